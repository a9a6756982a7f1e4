/*
 * Numbers, to what people read: the other half of parse.h.
 *
 * Called for every line and table that is shown. Sizes are rounded to the nearest (a peak of a page less than its
 * limit of 2 GiB reads "2.0 GiB"), and a size that rounds up to 1024 takes the next unit. Durations are cut off: a
 * run of 59.999 s has not yet taken a minute. parse_time() reads what format_duration() writes.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

__extension__ typedef unsigned __int128 Wide;

char *format_bytes(char buffer[static FORMAT_MAX], uint64_t bytes) {
        static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        enum { GIB = 3 };
        size_t unit = 0;
        uint64_t tenths, wholes;

        if (bytes == SIZE_INFINITY)
                return memcpy(buffer, "infinity", sizeof("infinity"));
        if (bytes < 1024) {
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 " B", bytes);
                return buffer;
        }
        do {
                Wide factor = (Wide)1 << (10 * ++unit);

                tenths = (uint64_t)(((Wide)bytes * 10 + factor / 2) / factor);
                wholes = (uint64_t)((bytes + factor / 2) / factor);
        } while (wholes >= 1024 && unit + 1 < ELEMENTSOF(names));

        if (unit >= GIB || tenths < 100)
                (void)snprintf(
                        buffer, FORMAT_MAX, "%" PRIu64 ".%u %s", tenths / 10, (unsigned)(tenths % 10), names[unit]);
        else
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 " %s", wholes, names[unit]);
        return buffer;
}

/* "2h 5min", without the second part where it is 0. */
static char *format_pair(char *buffer, uint64_t large, const char *large_unit, uint64_t small, const char *small_unit) {
        if (small == 0)
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "%s", large, large_unit);
        else
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "%s %" PRIu64 "%s", large, large_unit, small, small_unit);
        return buffer;
}

static char *format_seconds(char *buffer, uint64_t usec) {
        uint64_t seconds = usec / USEC_PER_SEC, hundredths = usec % USEC_PER_SEC / 10000;

        if (hundredths == 0)
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 "s", seconds);
        else if (hundredths % 10 == 0)
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 ".%" PRIu64 "s", seconds, hundredths / 10);
        else
                (void)snprintf(buffer, FORMAT_MAX, "%" PRIu64 ".%02" PRIu64 "s", seconds, hundredths);
        return buffer;
}

char *format_duration(char buffer[static FORMAT_MAX], uint64_t usec) {
        uint64_t seconds = usec / USEC_PER_SEC;

        if (usec == USEC_INFINITY)
                return memcpy(buffer, "infinity", sizeof("infinity"));
        if (usec > 0 && usec < USEC_PER_MSEC)
                return format_pair(buffer, usec, "us", 0, "");
        if (usec > 0 && usec < USEC_PER_SEC)
                return format_pair(buffer, usec / USEC_PER_MSEC, "ms", 0, "");
        if (seconds < 60)
                return format_seconds(buffer, usec);
        if (seconds < 3600)
                return format_pair(buffer, seconds / 60, "min", seconds % 60, "s");
        if (seconds < 86400)
                return format_pair(buffer, seconds / 3600, "h", seconds % 3600 / 60, "min");
        return format_pair(buffer, seconds / 86400, "d", seconds % 86400 / 3600, "h");
}

const char *signal_to_name(int signal) {
        static _Thread_local char name[sizeof("RTMIN+999")];

        if (signal < SIGRTMIN)
                return sigabbrev_np(signal);
        if (signal > SIGRTMAX)
                return NULL;
        if (signal == SIGRTMIN)
                return "RTMIN";
        (void)snprintf(name, sizeof(name), "RTMIN+%u", (unsigned)(signal - SIGRTMIN) % 1000);
        return name;
}
