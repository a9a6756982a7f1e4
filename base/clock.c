/*
 * Clocks, and the text forms of a moment.
 *
 * Everybody calls it. Deadlines are in CLOCK_BOOTTIME: CLOCK_MONOTONIC stands still while the host sleeps, and the
 * real-time clock can be set. A restarted supervisor computes the same deadline from the same start as long as the
 * boot id is the same, which is why that lives here too.
 *
 * RFC 3339 wants four digits of year, so later moments are written as the last microsecond of 9999, and the parser
 * checks the calendar by writing back what it read: timegm(3) silently turns February 30 into March 2.
 */
#include "base/clock.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/uuid.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#define REALTIME_LAST_USEC (UINT64_C(253402300800) * USEC_PER_SEC - 1) /* 9999-12-31T23:59:59.999999Z */

static uint64_t clock_usec(clockid_t clock) {
        struct timespec now = { 0 };

        (void)clock_gettime(clock, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

uint64_t clock_boottime_usec(void) {
        return clock_usec(CLOCK_BOOTTIME);
}

uint64_t clock_process_cpu_usec(void) {
        return clock_usec(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t clock_realtime_usec(void) {
        return clock_usec(CLOCK_REALTIME);
}

uint64_t usec_add(uint64_t a, uint64_t b) {
        uint64_t sum;

        /* Infinity is the largest value: adding anything but 0 to it overflows. */
        return __builtin_add_overflow(a, b, &sum) ? USEC_INFINITY : sum;
}

uint64_t usec_sub(uint64_t a, uint64_t b) {
        if (a == USEC_INFINITY)
                return USEC_INFINITY;
        return a > b ? a - b : 0;
}

char *clock_format_rfc3339(char buffer[static CLOCK_RFC3339_MAX], uint64_t realtime_usec) {
        uint64_t usec = MIN_OF(realtime_usec, REALTIME_LAST_USEC);
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        struct tm broken_down = { 0 };
        size_t length;

        (void)gmtime_r(&seconds, &broken_down);
        length = strftime(buffer, CLOCK_RFC3339_MAX, "%Y-%m-%dT%H:%M:%S", &broken_down);
        (void)snprintf(buffer + length, CLOCK_RFC3339_MAX - length, ".%06" PRIu64 "Z", usec % USEC_PER_SEC);
        return buffer;
}

/* Reads ".123456", one to six digits, as microseconds. */
static int parse_fraction(const char **text, uint64_t *ret_usec) {
        const char *p = *text;
        uint64_t usec = 0, unit = USEC_PER_SEC;

        if (*p == '.') {
                for (p++; *p >= '0' && *p <= '9' && unit > 1; p++) {
                        unit /= 10;
                        usec += (uint64_t)(*p - '0') * unit;
                }
                if (unit == USEC_PER_SEC)
                        return -EINVAL;
        }

        *text = p;
        *ret_usec = usec;
        return 0;
}

/* The same shape as the template, where 0 stands for a digit. */
static bool has_shape(const char *text, const char *shape) {
        for (; *shape; text++, shape++)
                if (*shape == '0' ? *text < '0' || *text > '9' : *text != *shape)
                        return false;
        return true;
}

static int two_digits(const char *text) {
        return (text[0] - '0') * 10 + (text[1] - '0');
}

int clock_parse_rfc3339(const char *text, uint64_t *ret_realtime_usec) {
        static const char shape[] = "0000-00-00T00:00:00";
        char again[CLOCK_RFC3339_MAX];
        struct tm broken_down = { 0 };
        const char *rest;
        uint64_t fraction;
        time_t seconds;

        if (!text || !has_shape(text, shape))
                return -EINVAL;
        rest = text + strlen(shape);
        if (parse_fraction(&rest, &fraction) < 0 || strcmp(rest, "Z") != 0)
                return -EINVAL;

        broken_down.tm_year = two_digits(text) * 100 + two_digits(text + 2) - 1900;
        broken_down.tm_mon = two_digits(text + 5) - 1;
        broken_down.tm_mday = two_digits(text + 8);
        broken_down.tm_hour = two_digits(text + 11);
        broken_down.tm_min = two_digits(text + 14);
        broken_down.tm_sec = two_digits(text + 17);
        seconds = timegm(&broken_down);
        if (seconds < 0)
                return -EINVAL;

        clock_format_rfc3339(again, (uint64_t)seconds * USEC_PER_SEC);
        if (strncmp(again, text, strlen(shape)) != 0)
                return -EINVAL;
        *ret_realtime_usec = (uint64_t)seconds * USEC_PER_SEC + fraction;
        return 0;
}

int clock_boot_id(char ret_id[static 37]) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        r = file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 64, &text, &size);
        if (r < 0)
                return r;
        text[strcspn(text, "\n")] = '\0';
        if (!uuid_valid(text))
                return -EINVAL;
        memcpy(ret_id, text, 37);
        return 0;
}
