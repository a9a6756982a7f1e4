/*
 * What people type, to numbers; parse.h says what is accepted.
 *
 * Called by the options of cmd/, the configuration and the wire. The hard thing is not the grammar but the cases in
 * which other tools mean something else by the same text (a bare 30 is minutes to Slurm and seconds to systemd, 2GB
 * is 1000-based to some): these are refused, with a hint that has the number typed in it and the unit that is meant.
 *
 * Numbers are kept as integer part, fraction and power of ten and multiplied in 128 bits: through a double, 1.1h
 * would be off by a microsecond and 2^53 would be the largest exact size. A result below one unit is cut off.
 */
#include "base/parse.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#define FRACTION_DIGITS_MAX 18 /* 10^18 times the largest unit (a week, 2^40) fits 128 bits, and 10^18 fits 64 */
#define HINT_MAX            192
#define HINT_NUMBER_MAX     20              /* digits of the input repeated in a hint */
#define CPUS_MAX            UINT64_C(65536) /* eight times what Linux can be built for; keeps quota arithmetic in 64 bits */

__extension__ typedef unsigned __int128 Wide;

typedef struct Decimal {
        const char *text; /* points into the input */
        size_t length;
        uint64_t whole;
        uint64_t fraction;
        uint64_t scale; /* the fraction is fraction / scale */
        size_t fraction_digits;
        bool overflow; /* whole does not fit 64 bits */
} Decimal;

typedef struct Unit {
        const char *name;
        uint64_t factor;
} Unit;

/* Formats the hint and returns the error. Per thread, so that the number typed can be in it. */
_printf_(3, 4) static int refuse(int error, const char **ret_hint, const char *format, ...) {
        static _Thread_local char hint[HINT_MAX];
        va_list ap;

        if (!ret_hint)
                return error;
        va_start(ap, format);
        (void)vsnprintf(hint, sizeof(hint), format, ap);
        va_end(ap);
        *ret_hint = hint;
        return error;
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* For "%.*s" in hints. */
static int shown(const Decimal *number) {
        return (int)MIN_OF(number->length, (size_t)HINT_NUMBER_MAX);
}

/* Appends a digit; false on overflow. */
static bool append_digit(uint64_t *value, char digit) {
        return !__builtin_mul_overflow(*value, (uint64_t)10, value) &&
                !__builtin_add_overflow(*value, (uint64_t)(digit - '0'), value);
}

/* "12" or "12.5": digits on both sides of the point. Where it stops is for the caller to judge. */
static int decimal_read(const char *text, Decimal *ret) {
        Decimal number = { .text = text, .scale = 1 };
        const char *p = text;

        if (!is_digit(*p))
                return -EINVAL;
        for (; is_digit(*p); p++)
                number.overflow = number.overflow || !append_digit(&number.whole, *p);
        if (*p == '.') {
                for (p++; is_digit(*p); p++) {
                        if (++number.fraction_digits > FRACTION_DIGITS_MAX)
                                return -EINVAL;
                        number.fraction = number.fraction * 10 + (uint64_t)(*p - '0');
                        number.scale *= 10;
                }
                if (number.fraction_digits == 0)
                        return -EINVAL;
        }

        number.length = (size_t)(p - text);
        *ret = number;
        return 0;
}

/* number × factor, rounded down. -ERANGE from UINT64_MAX on: that value means infinity. */
static int decimal_scale(const Decimal *number, uint64_t factor, uint64_t *ret) {
        Wide product = (Wide)number->whole * factor + (Wide)number->fraction * factor / number->scale;

        if (number->overflow || product >= UINT64_MAX)
                return -ERANGE;
        *ret = (uint64_t)product;
        return 0;
}

/* The factor of the unit of exactly this name, 0 if there is none. */
static uint64_t unit_find(const Unit *units, size_t n, const char *name, size_t length) {
        for (size_t i = 0; i < n; i++)
                if (strlen(units[i].name) == length && memcmp(units[i].name, name, length) == 0)
                        return units[i].factor;
        return 0;
}

/* What other tools call it, taken as a wish for the word that we take. */
static bool means_infinity(const char *text) {
        static const char *const words[] = { "inf", "infinite", "infinity", "max", "none", "never", "unlimited", "-1" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcasecmp(text, words[i]) == 0)
                        return true;
        return false;
}

static int refuse_size_unit(const Decimal *number, const char **ret_hint) {
        const char *unit = number->text + number->length;
        int digits = shown(number);
        char letter = *unit >= 'a' && *unit <= 'z' ? (char)(*unit - 'a' + 'A') : *unit;

        if (letter == '\0')
                return refuse(-EINVAL, ret_hint,
                        "write %.*sM for mebibytes or %.*sG for gibibytes: a bare number means bytes to systemd and "
                        "Kubernetes, mebibytes to Slurm",
                        digits, number->text, digits, number->text);
        if (strchr("KMGT", letter) && strcasecmp(unit + 1, "B") == 0)
                return refuse(-EINVAL, ret_hint,
                        "write %.*s%c (1024-based): some read %s as 1000-based, others as 1024-based", digits,
                        number->text, letter, unit);
        if (strchr("KMGT", letter) && (unit[1] == '\0' || strcasecmp(unit + 1, "iB") == 0))
                return refuse(-EINVAL, ret_hint,
                        "write %.*s%c: units are K, M, G, T, in upper case, or KiB, MiB, GiB, TiB", digits,
                        number->text, letter);
        if (letter == ',')
                return refuse(-EINVAL, ret_hint, "the decimal sign is a point: write 1.5G");
        return refuse(-EINVAL, ret_hint, "units are K, M, G and T (1024-based): write 512M, 2G or 1.5GiB");
}

int parse_size(const char *text, uint64_t *ret_bytes, const char **ret_hint) {
        static const Unit units[] = {
                { "K", UINT64_C(1) << 10 },
                { "M", UINT64_C(1) << 20 },
                { "G", UINT64_C(1) << 30 },
                { "T", UINT64_C(1) << 40 },
                { "KiB", UINT64_C(1) << 10 },
                { "MiB", UINT64_C(1) << 20 },
                { "GiB", UINT64_C(1) << 30 },
                { "TiB", UINT64_C(1) << 40 },
        };
        const char *unit;
        Decimal number;
        uint64_t factor;

        if (strcmp(text, "infinity") == 0) {
                *ret_bytes = SIZE_INFINITY;
                return 0;
        }
        if (means_infinity(text))
                return refuse(-EINVAL, ret_hint, "write infinity for no limit");
        if (decimal_read(text, &number) < 0)
                return refuse(-EINVAL, ret_hint, "write a size such as 512M, 2G or 1.5GiB (1024-based), or infinity");

        unit = text + number.length;
        factor = unit_find(units, ELEMENTSOF(units), unit, strlen(unit));
        if (factor == 0)
                return refuse_size_unit(&number, ret_hint);
        if (decimal_scale(&number, factor, ret_bytes) < 0)
                return refuse(-ERANGE, ret_hint, "that is 16 EiB or more: write infinity for no limit");
        return 0;
}

/* "HH:MM:SS". -ENOENT if there is no colon after the first digits: it is the other grammar then. */
static int parse_clock(const char *text, uint64_t *ret_usec) {
        Decimal hours = { .scale = 1 };
        unsigned minutes, seconds;
        uint64_t usec;
        const char *p;

        if (decimal_read(text, &hours) < 0 || text[hours.length] != ':')
                return -ENOENT;
        p = text + hours.length;
        if (hours.fraction_digits > 0 || strlen(p) != strlen(":MM:SS") || p[3] != ':' || !is_digit(p[1]) ||
                !is_digit(p[2]) || !is_digit(p[4]) || !is_digit(p[5]))
                return -EINVAL;
        minutes = (unsigned)(p[1] - '0') * 10 + (unsigned)(p[2] - '0');
        seconds = (unsigned)(p[4] - '0') * 10 + (unsigned)(p[5] - '0');
        if (minutes >= 60 || seconds >= 60)
                return -EINVAL;
        if (decimal_scale(&hours, 3600 * USEC_PER_SEC, &usec) < 0)
                return -ERANGE;
        usec = usec_add(usec, (minutes * 60 + seconds) * USEC_PER_SEC);
        if (usec == USEC_INFINITY)
                return -ERANGE;
        *ret_usec = usec;
        return 0;
}

static uint64_t time_unit(const char *name, size_t length) {
        static const Unit units[] = {
                { "us", 1 },
                { "usec", 1 },
                { "\u00b5s", 1 },
                { "\u03bcs", 1 },
                { "ms", USEC_PER_MSEC },
                { "msec", USEC_PER_MSEC },
                { "s", USEC_PER_SEC },
                { "sec", USEC_PER_SEC },
                { "second", USEC_PER_SEC },
                { "seconds", USEC_PER_SEC },
                { "m", 60 * USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },
                { "minute", 60 * USEC_PER_SEC },
                { "minutes", 60 * USEC_PER_SEC },
                { "h", 3600 * USEC_PER_SEC },
                { "hr", 3600 * USEC_PER_SEC },
                { "hour", 3600 * USEC_PER_SEC },
                { "hours", 3600 * USEC_PER_SEC },
                { "d", 86400 * USEC_PER_SEC },
                { "day", 86400 * USEC_PER_SEC },
                { "days", 86400 * USEC_PER_SEC },
                { "w", 604800 * USEC_PER_SEC },
                { "week", 604800 * USEC_PER_SEC },
                { "weeks", 604800 * USEC_PER_SEC },
        };

        return unit_find(units, ELEMENTSOF(units), name, length);
}

static int refuse_time_unit(const Decimal *number, const char **ret_hint) {
        int digits = shown(number);

        if (number->text[number->length] == '\0')
                return refuse(-EINVAL, ret_hint, "write %.*smin or %.*ss: Slurm means minutes, systemd seconds", digits,
                        number->text, digits, number->text);
        return refuse(-EINVAL, ret_hint, "units are us, ms, s, min, h, d and w: write 90s, 30min or 1h 30min");
}

/* "1h 30min": numbers with units, summed up. Blanks may stand between any two words. */
static int parse_terms(const char *text, uint64_t *ret_usec, const char **ret_hint) {
        uint64_t total = 0;

        for (const char *p = text; *p;) {
                uint64_t factor, usec;
                Decimal number;
                size_t length;

                if (decimal_read(p, &number) < 0)
                        return refuse(-EINVAL, ret_hint,
                                "write a time such as 90s, 30min, 1h 30min or 01:30:00, or infinity");
                p += number.length + strspn(p + number.length, " ");
                length = strcspn(p, " 0123456789");
                factor = time_unit(p, length);
                if (factor == 0)
                        return refuse_time_unit(&number, ret_hint);
                total = decimal_scale(&number, factor, &usec) < 0 ? USEC_INFINITY : usec_add(total, usec);
                p += length;
                if (*p == ' ' && p[strspn(p, " ")])
                        p += strspn(p, " ");
        }
        if (total == USEC_INFINITY)
                return refuse(-ERANGE, ret_hint, "that is more than 584,000 years: write infinity for no limit");
        *ret_usec = total;
        return 0;
}

int parse_time(const char *text, uint64_t *ret_usec, const char **ret_hint) {
        int r;

        if (strcmp(text, "infinity") == 0) {
                *ret_usec = USEC_INFINITY;
                return 0;
        }
        if (means_infinity(text))
                return refuse(-EINVAL, ret_hint, "write infinity for no limit");
        r = parse_clock(text, ret_usec);
        if (r == -EINVAL)
                return refuse(r, ret_hint, "write HH:MM:SS, minutes and seconds below 60: 01:30:00 is 1h 30min");
        if (r == -ERANGE)
                return refuse(r, ret_hint, "that is more than 584,000 years: write infinity for no limit");
        if (r == 0)
                return 0;
        if (*text == '\0')
                return refuse(-EINVAL, ret_hint, "write a time such as 90s, 30min, 1h 30min or 01:30:00, or infinity");
        return parse_terms(text, ret_usec, ret_hint);
}

int parse_u64(const char *text, uint64_t *ret_value) {
        uint64_t value = 0;
        bool overflow = false;

        if (*text == '\0')
                return -EINVAL;
        for (; *text; text++) {
                if (!is_digit(*text))
                        return -EINVAL;
                overflow = overflow || !append_digit(&value, *text);
        }
        if (overflow)
                return -ERANGE;
        *ret_value = value;
        return 0;
}

int parse_cpus(const char *text, uint64_t *ret_centi, const char **ret_hint) {
        Decimal number;
        uint64_t centi;

        if (decimal_read(text, &number) < 0 || text[number.length] != '\0')
                return refuse(-EINVAL, ret_hint, "write a number of CPUs such as 2, 1.5 or 0.25");
        if (number.fraction_digits > 2)
                return refuse(-EINVAL, ret_hint, "write at most two decimals: hundredths of a CPU");
        if (decimal_scale(&number, 100, &centi) < 0 || centi > CPUS_MAX * 100)
                return refuse(
                        -ERANGE, ret_hint, "that is more than %u CPUs; leave it out for no limit", (unsigned)CPUS_MAX);
        if (centi == 0)
                return refuse(-ERANGE, ret_hint, "write at least 0.01");
        *ret_centi = centi;
        return 0;
}

/* "RTMIN", "RTMIN+3", "RTMAX-2": the number, 0 if it is no such name, -ERANGE outside of RTMIN..RTMAX. */
static int parse_realtime_signal(const char *name) {
        bool from_min = strncasecmp(name, "RTMIN", 5) == 0;
        uint64_t offset = 0;

        if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
                return 0;
        name += 5;
        if (*name) {
                int r;

                if (*name != (from_min ? '+' : '-'))
                        return 0;
                r = parse_u64(name + 1, &offset);
                if (r < 0)
                        return r == -ERANGE ? r : 0;
        }
        if (offset > (uint64_t)(SIGRTMAX - SIGRTMIN))
                return -ERANGE;
        return from_min ? SIGRTMIN + (int)offset : SIGRTMAX - (int)offset;
}

static int signal_from_name(const char *name) {
        static const struct {
                const char *name;
                int signal;
        } aliases[] = { { "IO", SIGIO }, { "IOT", SIGIOT }, { "CLD", SIGCHLD } };

        if (strncasecmp(name, "SIG", 3) == 0)
                name += 3;
        for (int i = 1; i < SIGRTMIN; i++) {
                const char *known = sigabbrev_np(i);

                if (known && strcasecmp(known, name) == 0)
                        return i;
        }
        for (size_t i = 0; i < ELEMENTSOF(aliases); i++)
                if (strcasecmp(aliases[i].name, name) == 0)
                        return aliases[i].signal;
        return parse_realtime_signal(name);
}

int parse_signal(const char *text, int *ret_signal, const char **ret_hint) {
        uint64_t number;
        int r = parse_u64(text, &number);

        if (r == -EINVAL) {
                r = signal_from_name(text);
                if (r == 0)
                        return refuse(-EINVAL, ret_hint,
                                "write a signal such as TERM, SIGUSR1, RTMIN+3 or 15; kill -l lists them");
                number = r < 0 ? 0 : (uint64_t)r;
        }
        if (r < 0 || number < 1 || number > (uint64_t)SIGRTMAX)
                return refuse(-ERANGE, ret_hint, "signals are 1 to %d, realtime ones RTMIN to RTMIN+%d", SIGRTMAX,
                        SIGRTMAX - SIGRTMIN);
        *ret_signal = (int)number;
        return 0;
}
