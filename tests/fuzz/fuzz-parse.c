/*
 * What people type: sizes, times, signals, numbers, CPUs, RFC 3339, UUIDs; and text that others wrote, escaped.
 *
 * A value that was accepted must be one that can be shown, and a refusal must leave the result alone and give a hint.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/uuid.h"
#include "tests/fuzz/fuzz.h"
#include <signal.h>
#include <string.h>

#define UNTOUCHED UINT64_C(0x5ca1ab1e)

typedef int (*Parser)(const char *text, uint64_t *ret, const char **ret_hint);

static void try_parser(Parser parse, const char *text) {
        uint64_t value = UNTOUCHED;
        const char *hint = NULL;
        char shown[FORMAT_MAX];
        int r = parse(text, &value, &hint);

        if (r < 0 && (value != UNTOUCHED || !hint || !*hint))
                fuzz_fail("a refusal has changed the value, or has no hint");
        if (r > 0)
                fuzz_fail("a result that the header does not name");
        if (r == 0 && (!*format_bytes(shown, value) || !*format_duration(shown, value)))
                fuzz_fail("a value that can't be shown");
}

static void try_signal(const char *text) {
        const char *hint = NULL, *name;
        int signal, again;

        if (parse_signal(text, &signal, &hint) < 0)
                return;
        if (signal < 1 || signal > SIGRTMAX)
                fuzz_fail("a signal that is none");
        name = signal_to_name(signal);
        if (name && (parse_signal(name, &again, &hint) < 0 || again != signal))
                fuzz_fail("a signal's name is not read back");
}

static void try_time_of_day(const char *text) {
        char shown[CLOCK_RFC3339_MAX];
        uint64_t usec, again;

        if (clock_parse_rfc3339(text, &usec) == 0 &&
                (clock_parse_rfc3339(clock_format_rfc3339(shown, usec), &again) < 0 || again != usec))
                fuzz_fail("a time is not read back");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(freep) char *text = fuzz_text(bytes, size), *escaped = text_escape(text);
        uint64_t value;

        try_parser(parse_size, text);
        try_parser(parse_time, text);
        try_parser(parse_cpus, text);
        try_signal(text);
        try_time_of_day(text);
        (void)parse_u64(text, &value);
        (void)uuid_valid(text);
        if (!escaped)
                fuzz_fail("out of memory");
        fuzz_assert_harmless(escaped);
        if (strchr(escaped, '\n'))
                fuzz_fail("a newline was not escaped");
        return 0;
}
