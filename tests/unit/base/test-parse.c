/*
 * base/parse.h: what people type, and back.
 *
 * Beside the tables, every string up to a length over an alphabet of the characters that matter is parsed and compared
 * with a regular expression of the grammar: what is accepted must match, what matches must be accepted.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"

#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define KIB  UINT64_C(1024)
#define MIB  (1024 * KIB)
#define GIB  (1024 * MIB)
#define TIB  (1024 * GIB)
#define SEC  USEC_PER_SEC
#define MIN  (60 * SEC)
#define HOUR (60 * MIN)
#define DAY  (24 * HOUR)

typedef int (*Parser)(const char *text, uint64_t *ret, const char **ret_hint);

typedef struct Accepted {
        const char *text;
        uint64_t value;
} Accepted;

typedef struct Refused {
        const char *text;
        int error;
        const char *hint; /* a part of it */
} Refused;

static void assert_accepted(Parser parse, const Accepted *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const char *hint = "untouched";
                uint64_t value = 42;
                int r = parse(cases[i].text, &value, &hint);

                if (r != 0)
                        fail_msg("refused: \"%s\" (%s)", cases[i].text, hint);
                if (value != cases[i].value)
                        fail_msg("\"%s\" is %llu", cases[i].text, (unsigned long long)value);
                assert_string_equal(hint, "untouched");
        }
}

static void assert_refused(Parser parse, const Refused *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const char *hint = NULL;
                uint64_t value = 42;
                int r = parse(cases[i].text, &value, &hint);

                if (r != cases[i].error)
                        fail_msg("\"%s\": %d", cases[i].text, r);
                assert_int_equal(value, 42);
                assert_non_null(hint);
                if (!strstr(hint, cases[i].hint))
                        fail_msg("\"%s\": the hint is \"%s\"", cases[i].text, hint);
                assert_int_equal(parse(cases[i].text, &value, NULL), r);
        }
}

/* Every string of up to max letters of the alphabet: accepted exactly if the pattern matches. */
static void assert_grammar(Parser parse, const char *alphabet, size_t min, size_t max, const char *pattern) {
        size_t letters = strlen(alphabet);
        regex_t regex;

        assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
        for (size_t length = min; length <= max; length++) {
                size_t total = 1;

                for (size_t i = 0; i < length; i++)
                        total *= letters;
                for (size_t n = 0; n < total; n++) {
                        char text[16] = "";
                        uint64_t value;
                        bool accepted, matches;

                        for (size_t i = 0, rest = n; i < length; i++, rest /= letters)
                                text[i] = alphabet[rest % letters];
                        accepted = parse(text, &value, NULL) == 0;
                        matches = regexec(&regex, text, 0, NULL, 0) == 0;
                        if (accepted != matches)
                                fail_msg("%s: \"%s\"", accepted ? "accepted" : "refused", text);
                }
        }
        regfree(&regex);
}

static void sizes_are_1024_based(void **state) {
        static const Accepted cases[] = {
                { "0K", 0 },
                { "1K", KIB },
                { "512M", 512 * MIB },
                { "2G", 2 * GIB },
                { "1T", TIB },
                { "1KiB", KIB },
                { "512MiB", 512 * MIB },
                { "2GiB", 2 * GIB },
                { "3TiB", 3 * TIB },
                { "007M", 7 * MIB },
                { "9007199254740993K", UINT64_C(9007199254740993) * 1024 }, /* 2^53 + 1: no double in between */
                { "16777215T", 16777215 * TIB },
                { "18014398509481983K", UINT64_MAX - 1023 },
                { "infinity", SIZE_INFINITY },
        };

        assert_accepted(parse_size, cases, ELEMENTSOF(cases));
}

static void fractions_of_a_size_are_exact_and_cut_off_below_a_byte(void **state) {
        static const Accepted cases[] = {
                { "1.5GiB", 1610612736 },
                { "1.5G", 1610612736 },
                { "0.5K", 512 },
                { "0.0K", 0 },
                { "0.1G", 107374182 },   /* 107374182.4 */
                { "0.3G", 322122547 },   /* 322122547.2 */
                { "0.7K", 716 },         /* 716.8 */
                { "1.10G", 1181116006 }, /* 1181116006.4 */
                { "0.000000001G", 1 },   /* 1.07 */
                { "0.0000000001G", 0 },
                { "0.999999999999999999K", 1023 },
        };

        assert_accepted(parse_size, cases, ELEMENTSOF(cases));
}

static void a_size_others_read_differently_is_refused_with_what_to_write(void **state) {
        static const Refused cases[] = {
                { "2GB", -EINVAL, "write 2G (1024-based)" },
                { "500MB", -EINVAL, "write 500M (1024-based)" },
                { "10kB", -EINVAL, "write 10K (1024-based)" },
                { "1.5TB", -EINVAL, "write 1.5T (1024-based)" },
                { "2gb", -EINVAL, "write 2G (1024-based)" },
                { "512", -EINVAL, "write 512M for mebibytes" },
                { "0", -EINVAL, "write 0M for mebibytes" },
                { "2.5", -EINVAL, "2.5G for gibibytes" },
                { "512m", -EINVAL, "write 512M" },
                { "2g", -EINVAL, "write 2G" },
                { "2gib", -EINVAL, "write 2G" },
                { "2GIB", -EINVAL, "write 2G" },
                { "1,5G", -EINVAL, "point" },
                { "-1", -EINVAL, "infinity" },
                { "max", -EINVAL, "infinity" },
                { "unlimited", -EINVAL, "infinity" },
                { "Infinity", -EINVAL, "infinity" },
                { "none", -EINVAL, "infinity" },
        };

        assert_refused(parse_size, cases, ELEMENTSOF(cases));
}

static void what_is_no_size_is_refused(void **state) {
        static const char *const cases[] = { "", " ", "G", ".5G", "1.G", "1.5.2G", "nan", "0x10", "0x10K", "1e3",
                "1e3M", "-1G", "+1G", " 1G", "1G ", "1 G", "1G\n", "1GG", "1G1", "1GiBs", "1Gi", "1iB", "1B", "1b",
                "512B", "1P", "1E", "1%", "infinity ", "infinityG", "\xff", "1\xff", "1G\xff",
                "1.0000000000000000000G" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_refused(parse_size, &(Refused){ cases[i], -EINVAL, " " }, 1);
}

static void a_size_of_16_eib_and_more_is_out_of_range(void **state) {
        static const Refused cases[] = {
                { "16777216T", -ERANGE, "infinity" }, { "18014398509481984K", -ERANGE, "infinity" },
                { "16777215.999999999999999999T", -ERANGE, "infinity" }, /* cut off to 2^64 - 1: that is infinity */
                { "18446744073709551615T", -ERANGE, "infinity" }, { "18446744073709551616K", -ERANGE, "infinity" },
                { "99999999999999999999999999999999999999999999999999999999999999999999999M", -ERANGE, "infinity" },
                { "340282366920938463463374607431768211456K", -ERANGE, "infinity" }, /* 2^128 */
        };

        assert_refused(parse_size, cases, ELEMENTSOF(cases));
}

static void every_short_text_is_a_size_exactly_if_the_grammar_says_so(void **state) {
        assert_grammar(parse_size, "05.KGTiBk- ", 0, 5, "^[0-9]+(\\.[0-9]+)?[KMGT](iB)?$");
}

static void times_follow_systemd(void **state) {
        static const Accepted cases[] = {
                { "0s", 0 },
                { "1us", 1 },
                { "1usec", 1 },
                { "1\u00b5s", 1 },
                { "1\u03bcs", 1 },
                { "250ms", 250000 },
                { "3msec", 3000 },
                { "90s", 90 * SEC },
                { "90sec", 90 * SEC },
                { "1second", SEC },
                { "2seconds", 2 * SEC },
                { "5m", 5 * MIN },
                { "30min", 30 * MIN },
                { "1minute", MIN },
                { "2minutes", 2 * MIN },
                { "2h", 2 * HOUR },
                { "2hr", 2 * HOUR },
                { "1hour", HOUR },
                { "2hours", 2 * HOUR },
                { "2d", 2 * DAY },
                { "1day", DAY },
                { "30days", 30 * DAY },
                { "1w", 7 * DAY },
                { "1week", 7 * DAY },
                { "2weeks", 14 * DAY },
                { "1h 30min", 90 * MIN },
                { "1h30min", 90 * MIN },
                { "1 h  30 min", 90 * MIN },
                { "30min 1h", 90 * MIN },
                { "5s 5s", 10 * SEC },
                { "1w2d3h4min5s6ms7us", 9 * DAY + 3 * HOUR + 4 * MIN + 5 * SEC + 6007 },
                { "infinity", USEC_INFINITY },
                { "18446744073709551614us", UINT64_MAX - 1 },
                { "18446744073709s 551614us", UINT64_MAX - 1 },
        };

        assert_accepted(parse_time, cases, ELEMENTSOF(cases));
}

static void fractions_of_a_time_are_exact(void **state) {
        static const Accepted cases[] = {
                { "1.5h", 90 * MIN }, { "0.1s", 100000 }, { "1.1h", 3960 * SEC }, { "0.000001s", 1 },
                { "0.0000019s", 1 }, { "2.3d", 198720 * SEC }, { "1.000001w", 604800604800 },
                { "1.5h 1.5min", 5490 * SEC }, { "4294967296.000001s", UINT64_C(4294967296000001) },
                { "9007199254.740993s", UINT64_C(9007199254740993) }, /* 2^53 + 1 */
        };

        assert_accepted(parse_time, cases, ELEMENTSOF(cases));
}

static void clock_times_are_hours_minutes_seconds(void **state) {
        static const Accepted cases[] = {
                { "00:00:00", 0 },
                { "01:30:00", 90 * MIN },
                { "1:30:00", 90 * MIN },
                { "00:00:59", 59 * SEC },
                { "00:59:59", 3599 * SEC },
                { "23:59:59", DAY - SEC },
                { "100:00:01", 100 * HOUR + SEC },
                { "5124095576:01:49", UINT64_C(18446744073709) * SEC },
        };

        assert_accepted(parse_time, cases, ELEMENTSOF(cases));
}

static void every_second_of_a_day_reads_as_itself(void **state) {
        for (unsigned n = 0; n < 86400; n++) {
                char text[32];
                uint64_t value;

                (void)snprintf(text, sizeof(text), "%02u:%02u:%02u", n / 3600, n / 60 % 60, n % 60);
                assert_int_equal(parse_time(text, &value, NULL), 0);
                assert_int_equal(value, n * SEC);
        }
}

static void a_time_others_read_differently_is_refused_with_what_to_write(void **state) {
        static const Refused cases[] = {
                { "30", -EINVAL, "write 30min or 30s: Slurm means minutes, systemd seconds" },
                { "0", -EINVAL, "write 0min or 0s" },
                { "1.5", -EINVAL, "write 1.5min or 1.5s" },
                { "1h30", -EINVAL, "write 30min or 30s" },
                { "01:30", -EINVAL, "write HH:MM:SS" },
                { "1-12:00:00", -EINVAL, "units are" },
                { "00:60:00", -EINVAL, "below 60" },
                { "00:00:60", -EINVAL, "below 60" },
                { "1.5:00:00", -EINVAL, "write HH:MM:SS" },
                { "1:2:3", -EINVAL, "write HH:MM:SS" },
                { "01:30:00.5", -EINVAL, "write HH:MM:SS" },
                { "01:30:00s", -EINVAL, "write HH:MM:SS" },
                { "01:30:00 1s", -EINVAL, "write HH:MM:SS" },
                { "01:30:", -EINVAL, "write HH:MM:SS" },
                { "01::00:00", -EINVAL, "write HH:MM:SS" },
                { "01:-3:00", -EINVAL, "write HH:MM:SS" },
                { "-1", -EINVAL, "infinity" },
                { "never", -EINVAL, "infinity" },
                { "INFINITY", -EINVAL, "infinity" },
                { "1M", -EINVAL, "units are" },
                { "1month", -EINVAL, "units are" },
                { "1y", -EINVAL, "units are" },
                { "1H", -EINVAL, "units are" },
                { "90S", -EINVAL, "units are" },
        };

        assert_refused(parse_time, cases, ELEMENTSOF(cases));
}

static void what_is_no_time_is_refused(void **state) {
        static const char *const cases[] = { "", " ", "s", "min", ".5h", "1.h", "1.5.2h", "nan", "0x10", "0x10s", "1e3",
                "1e3s", "-5s", "+5s", "1h -5min", " 90s", "90s ", "90s\n", "90\ts", "90s,", "1h,30min", "1h and 30min",
                "infinity ", "infinitys", ":", "::", ":30:00", "1ss", "s1", "\xff", "1\xffs" };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_refused(parse_time, &(Refused){ cases[i], -EINVAL, " " }, 1);
}

static void a_time_that_does_not_fit_is_out_of_range(void **state) {
        static const Refused cases[] = {
                { "18446744073709551615us", -ERANGE, "infinity" },
                { "18446744073709551616us", -ERANGE, "infinity" },
                { "18446744073709s 551615us", -ERANGE, "infinity" },
                { "99999999999999999999w", -ERANGE, "infinity" },
                { "18446744073709551615w 1s", -ERANGE, "infinity" },
                { "30500568w 10000000d", -ERANGE, "infinity" },
                { "5124095576:01:50", -ERANGE, "infinity" },
                { "5124095577:00:00", -ERANGE, "infinity" },
                { "99999999999999999999:00:00", -ERANGE, "infinity" },
        };

        assert_refused(parse_time, cases, ELEMENTSOF(cases));
}

static void every_short_text_is_a_time_exactly_if_the_grammar_says_so(void **state) {
        static const char pattern[] = "^([0-9]+(\\.[0-9]+)? *(us|ms|s|m|min|h|hr|d|w) *)*"
                                      "[0-9]+(\\.[0-9]+)? *(us|ms|s|m|min|h|hr|d|w)$";

        assert_grammar(parse_time, "07. smuhr-", 0, 5, pattern);
        assert_grammar(parse_time, "1.min ", 6, 6, pattern);
}

static void every_short_text_of_colons_is_a_time_exactly_if_the_grammar_says_so(void **state) {
        assert_grammar(parse_time, "059:6", 1, 7, "^[0-9]+:[0-5][0-9]:[0-5][0-9]$");
        assert_grammar(parse_time, "16:", 8, 8, "^[0-9]+:[0-5][0-9]:[0-5][0-9]$");
}

static void numbers_are_digits_and_nothing_else(void **state) {
        static const char *const refused[] = { "", " ", "-1", "+1", " 1", "1 ", "1\n", "0x1", "1.0", "1e3", "a", "1a" };
        static const Accepted accepted[] = { { "0", 0 }, { "00", 0 }, { "42", 42 }, { "007", 7 },
                { "18446744073709551615", UINT64_MAX },
                { "000000000000000000000000018446744073709551615", UINT64_MAX } };
        uint64_t value;

        for (size_t i = 0; i < ELEMENTSOF(accepted); i++) {
                assert_int_equal(parse_u64(accepted[i].text, &value), 0);
                assert_int_equal(value, accepted[i].value);
        }
        value = 42;
        for (size_t i = 0; i < ELEMENTSOF(refused); i++)
                assert_int_equal(parse_u64(refused[i], &value), -EINVAL);
        assert_int_equal(parse_u64("18446744073709551616", &value), -ERANGE);
        assert_int_equal(parse_u64("18446744073709551620", &value), -ERANGE);
        assert_int_equal(parse_u64("99999999999999999999999", &value), -ERANGE);
        assert_int_equal(parse_u64("99999999999999999999999x", &value), -EINVAL);
        assert_int_equal(value, 42);
}

static void cpus_are_hundredths(void **state) {
        static const Accepted accepted[] = { { "1", 100 }, { "1.5", 150 }, { "0.25", 25 }, { "0.01", 1 },
                { "2.0", 200 }, { "0.29", 29 }, { "1.15", 115 }, { "65536", 6553600 } };
        static const Refused refused[] = {
                { "0", -ERANGE, "0.01" },
                { "0.00", -ERANGE, "0.01" },
                { "65536.01", -ERANGE, "65536 CPUs" },
                { "99999999999999999999", -ERANGE, "65536 CPUs" },
                { "0.001", -EINVAL, "two decimals" },
                { "1.500", -EINVAL, "two decimals" },
                { "", -EINVAL, "1.5" },
                { "-1", -EINVAL, "1.5" },
                { "1,5", -EINVAL, "1.5" },
                { "150%", -EINVAL, "1.5" },
                { "500m", -EINVAL, "1.5" },
                { "1.", -EINVAL, "1.5" },
                { ".5", -EINVAL, "1.5" },
                { "nan", -EINVAL, "1.5" },
                { "infinity", -EINVAL, "1.5" },
                { "1 ", -EINVAL, "1.5" },
        };

        assert_accepted(parse_cpus, accepted, ELEMENTSOF(accepted));
        assert_refused(parse_cpus, refused, ELEMENTSOF(refused));
        assert_grammar(parse_cpus, "12.-m ", 0, 5, "^[0-9]+(\\.[0-9][0-9]?)?$");
}

static void signals_have_names_and_numbers(void **state) {
        static const struct {
                const char *text;
                int signal;
        } cases[] = { { "TERM", SIGTERM }, { "SIGTERM", SIGTERM }, { "15", SIGTERM }, { "term", SIGTERM },
                { "sigusr1", SIGUSR1 }, { "KILL", SIGKILL }, { "IO", SIGIO }, { "POLL", SIGIO }, { "CLD", SIGCHLD },
                { "IOT", SIGABRT }, { "1", 1 }, { "64", 64 } };
        int number;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                assert_int_equal(parse_signal(cases[i].text, &number, NULL), 0);
                assert_int_equal(number, cases[i].signal);
        }
        assert_int_equal(parse_signal("RTMIN", &number, NULL), 0);
        assert_int_equal(number, SIGRTMIN);
        assert_int_equal(parse_signal("SIGRTMIN+3", &number, NULL), 0);
        assert_int_equal(number, SIGRTMIN + 3);
        assert_int_equal(parse_signal("RTMAX", &number, NULL), 0);
        assert_int_equal(number, SIGRTMAX);
        assert_int_equal(parse_signal("RTMAX-2", &number, NULL), 0);
        assert_int_equal(number, SIGRTMAX - 2);
}

static void what_is_no_signal_is_refused(void **state) {
        static const char *const refused[] = { "", " ", "SIG", "SIGSIGTERM", "TERMINATE", "-15", "+15", "15 ", " TERM",
                "TERM ", "SIG15", "1.5", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMIN3", "RTMIN+x", "RTMIN+ 3", "RT" };
        static const char *const beyond[] = { "0", "65", "100000000000000000000", "RTMIN+31", "RTMAX-31",
                "RTMIN+99999999999999999999", "4294967311" /* 2^32 + 15 */ };
        const char *hint;
        int number = 42;

        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                hint = NULL;
                if (parse_signal(refused[i], &number, &hint) != -EINVAL)
                        fail_msg("\"%s\"", refused[i]);
                assert_non_null(strstr(hint, "TERM"));
        }
        for (size_t i = 0; i < ELEMENTSOF(beyond); i++) {
                hint = NULL;
                if (parse_signal(beyond[i], &number, &hint) != -ERANGE)
                        fail_msg("\"%s\"", beyond[i]);
                assert_non_null(strstr(hint, "1 to 64"));
        }
        assert_int_equal(number, 42);
}

static void every_signal_name_reads_back(void **state) {
        for (int i = -2; i <= SIGRTMAX + 2; i++) {
                const char *name = signal_to_name(i);
                bool named = (i >= 1 && i < 32) || (i >= SIGRTMIN && i <= SIGRTMAX);
                int number;

                assert_int_equal(name != NULL, named);
                if (!name)
                        continue;
                assert_int_not_equal(strncmp(name, "SIG", 3), 0);
                assert_int_equal(parse_signal(name, &number, NULL), 0);
                assert_int_equal(number, i);
        }
        assert_string_equal(signal_to_name(SIGTERM), "TERM");
        assert_string_equal(signal_to_name(SIGRTMIN + 3), "RTMIN+3");
}

static void sizes_are_shown_in_the_largest_unit_that_fits(void **state) {
        static const struct {
                uint64_t bytes;
                const char *text;
        } cases[] = {
                { 0, "0 B" },
                { 1, "1 B" },
                { 1023, "1023 B" },
                { KIB, "1.0 KiB" },
                { 512 * KIB, "512 KiB" },
                { 10 * KIB, "10 KiB" },
                { 10 * KIB - 1, "10 KiB" },
                { MIB - 1, "1.0 MiB" },
                { MIB - 513, "1023 KiB" },
                { 312 * MIB, "312 MiB" },
                { GIB - 1, "1.0 GiB" },
                { 3 * GIB / 2, "1.5 GiB" },
                { 2 * GIB, "2.0 GiB" },
                { 2 * GIB - 4096, "2.0 GiB" },
                { 100 * GIB, "100.0 GiB" },
                { TIB, "1.0 TiB" },
                { 1024 * TIB, "1.0 PiB" },
                { INT64_MAX, "8.0 EiB" },
                { UINT64_MAX - 1, "16.0 EiB" },
                { SIZE_INFINITY, "infinity" },
        };
        char buffer[FORMAT_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_string_equal(format_bytes(buffer, cases[i].bytes), cases[i].text);
}

static void durations_are_shown_in_at_most_two_units(void **state) {
        static const struct {
                uint64_t usec;
                const char *text;
        } cases[] = {
                { 0, "0s" },
                { 1, "1us" },
                { 999, "999us" },
                { 1000, "1ms" },
                { 40000, "40ms" },
                { 999999, "999ms" },
                { SEC, "1s" },
                { 1250000, "1.25s" },
                { 1500000, "1.5s" },
                { 1050000, "1.05s" },
                { 1009999, "1s" },
                { 59999999, "59.99s" },
                { MIN, "1min" },
                { 192 * SEC, "3min 12s" },
                { HOUR - 1, "59min 59s" },
                { HOUR, "1h" },
                { 2 * HOUR + 5 * MIN, "2h 5min" },
                { 2 * HOUR + 59 * SEC, "2h" },
                { DAY, "1d" },
                { 27 * HOUR, "1d 3h" },
                { UINT64_MAX - 1, "213503982d 8h" },
                { USEC_INFINITY, "infinity" },
        };
        char buffer[FORMAT_MAX];

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_string_equal(format_duration(buffer, cases[i].usec), cases[i].text);
}

/* Every power of two and its neighbours: buffers hold, and what is shown can be typed. */
static void what_is_shown_fits_and_a_duration_reads_back_to_no_more_than_it_was(void **state) {
        for (unsigned bit = 0; bit < 64; bit++)
                for (int delta = -1; delta <= 1; delta++) {
                        uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)delta, again;
                        char buffer[FORMAT_MAX + 1];

                        buffer[FORMAT_MAX] = 'x';
                        assert_true(strlen(format_bytes(buffer, value)) < 16);
                        assert_true(strlen(format_duration(buffer, value)) < 16);
                        assert_int_equal(buffer[FORMAT_MAX], 'x');
                        assert_int_equal(parse_time(buffer, &again, NULL), 0);
                        assert_true(again <= value);
                        assert_true(again >= value - value / 10);
                }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sizes_are_1024_based),
                cmocka_unit_test(fractions_of_a_size_are_exact_and_cut_off_below_a_byte),
                cmocka_unit_test(a_size_others_read_differently_is_refused_with_what_to_write),
                cmocka_unit_test(what_is_no_size_is_refused),
                cmocka_unit_test(a_size_of_16_eib_and_more_is_out_of_range),
                cmocka_unit_test(every_short_text_is_a_size_exactly_if_the_grammar_says_so),
                cmocka_unit_test(times_follow_systemd),
                cmocka_unit_test(fractions_of_a_time_are_exact),
                cmocka_unit_test(clock_times_are_hours_minutes_seconds),
                cmocka_unit_test(every_second_of_a_day_reads_as_itself),
                cmocka_unit_test(a_time_others_read_differently_is_refused_with_what_to_write),
                cmocka_unit_test(what_is_no_time_is_refused),
                cmocka_unit_test(a_time_that_does_not_fit_is_out_of_range),
                cmocka_unit_test(every_short_text_is_a_time_exactly_if_the_grammar_says_so),
                cmocka_unit_test(every_short_text_of_colons_is_a_time_exactly_if_the_grammar_says_so),
                cmocka_unit_test(numbers_are_digits_and_nothing_else),
                cmocka_unit_test(cpus_are_hundredths),
                cmocka_unit_test(signals_have_names_and_numbers),
                cmocka_unit_test(what_is_no_signal_is_refused),
                cmocka_unit_test(every_signal_name_reads_back),
                cmocka_unit_test(sizes_are_shown_in_the_largest_unit_that_fits),
                cmocka_unit_test(durations_are_shown_in_at_most_two_units),
                cmocka_unit_test(what_is_shown_fits_and_a_duration_reads_back_to_no_more_than_it_was),
        };

        return cmocka_run_group_tests_name("base-parse", tests, NULL, NULL);
}
