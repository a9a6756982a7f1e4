/*
 * UUIDv7: run ids and event ids.
 *
 * Made by the launcher and the supervisor, checked wherever an id comes from outside. PostgreSQL partitions by them
 * and the history sorts by them, so within a process a later id must be greater even in the same microsecond and
 * even after the clock was set back. RFC 9562, section 6.2, method 3: the 12 bits after the milliseconds hold the
 * fraction of the millisecond; both together are a counter that only grows. The other 62 bits are random, which
 * keeps ids of several processes and hosts apart and makes the short form (the last 8 digits) differ.
 */
#include "base/uuid.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>

#define SEQUENCE_MAX ((UINT64_C(1) << 60) - 1) /* 48 bits of milliseconds, 12 bits of their fraction */
#define SHORT_DIGITS 8

static uint64_t last_sequence;

static uint64_t random_u64(void) {
        uint64_t value;
        ssize_t n;

        do
                n = getrandom(&value, sizeof(value), 0);
        while (n < 0 && errno == EINTR);
        /* Cannot happen after boot (getrandom(2)); an id that is not random would be worse than none. */
        if (n != (ssize_t)sizeof(value))
                abort();
        return value;
}

static uint64_t next_sequence(uint64_t realtime_usec) {
        uint64_t msec = realtime_usec / USEC_PER_MSEC, rest = realtime_usec % USEC_PER_MSEC;
        uint64_t sequence = MIN_OF(msec, SEQUENCE_MAX >> 12) << 12 | rest * 4096 / USEC_PER_MSEC;

        if (sequence <= last_sequence)
                sequence = MIN_OF(last_sequence + 1, SEQUENCE_MAX);
        last_sequence = sequence;
        return sequence;
}

Uuid uuid_new(uint64_t realtime_usec) {
        uint64_t sequence = next_sequence(realtime_usec), noise = random_u64();
        unsigned variant = 0x8000 | (unsigned)(noise >> 48 & 0x3fff);
        Uuid uuid;

        (void)snprintf(uuid.text, sizeof(uuid.text), "%08" PRIx64 "-%04" PRIx64 "-7%03" PRIx64 "-%04x-%012" PRIx64,
                sequence >> 28, sequence >> 12 & 0xffff, sequence & 0xfff, variant, noise & 0xffffffffffff);
        return uuid;
}

static bool is_hex(char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool uuid_valid(const char *text) {
        static const char shape[] = "00000000-0000-0000-0000-000000000000";
        static_assert(sizeof(shape) == UUID_TEXT_MAX, "the canonical form and its NUL fill a Uuid");

        if (!text)
                return false;
        for (size_t i = 0; i < sizeof(shape); i++)
                if (shape[i] == '0' ? !is_hex(text[i]) : text[i] != shape[i])
                        return false;
        return true;
}

const char *uuid_short(const Uuid *uuid) {
        size_t length = strlen(uuid->text);

        return length > SHORT_DIGITS ? uuid->text + length - SHORT_DIGITS : uuid->text;
}
