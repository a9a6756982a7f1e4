/*
 * What the environment of a run says: each variable set or taken out, and of a nested run what really holds.
 */
#include "supervise/environment.h"

#include "base/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define AT (UINT64_C(1750000000) * USEC_PER_SEC)

static Run made_run(uint64_t memory_bytes, uint64_t timeout_usec, Run *outer) {
        return (Run){ .id = { "0190d3a4-7c1e-7aaa-8bbb-01234567c1ab" },
                .group = GROUP_NONE,
                .launched_at = AT,
                .outer = outer,
                .request = { .memory_bytes = memory_bytes, .timeout_usec = timeout_usec } };
}

/* The entry of that name; NULL when there is none. */
static const char *entry(const json_t *list, const char *name) {
        size_t i, length = strlen(name);
        json_t *text;

        json_array_foreach(list, i, text) if (strncmp(json_string_value(text), name, length) == 0 &&
                (json_string_value(text)[length] == '=' ||
                        json_string_value(text)[length] == '\0')) return json_string_value(text);
        return NULL;
}

static void what_does_not_hold_is_taken_out(void **state) {
        static const char *const names[] = { "SCIDEX_ANALYSIS_ID", "SCIDEX_MEMORY_MAX", "SCIDEX_DEADLINE",
                "MEMORY_PRESSURE_WATCH", "MEMORY_PRESSURE_WRITE" };
        Run run = made_run(UINT64_MAX, USEC_INFINITY, NULL);
        _cleanup_(json_decrefp) json_t *list = environment_of_run(&run, NULL);

        assert_string_equal(entry(list, "SCIDEX_RUN_ID"), "SCIDEX_RUN_ID=0190d3a4-7c1e-7aaa-8bbb-01234567c1ab");
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_string_equal(entry(list, names[i]), names[i]);
}

static void limits_are_told_in_bytes_and_utc(void **state) {
        Run run = made_run(1 << 20, 90 * USEC_PER_SEC, NULL);
        _cleanup_(json_decrefp) json_t *list = NULL;

        run.request.analysis_id = (char *)"SDA=42";
        list = environment_of_run(&run, NULL);
        assert_string_equal(entry(list, "SCIDEX_ANALYSIS_ID"), "SCIDEX_ANALYSIS_ID=SDA=42");
        assert_string_equal(entry(list, "SCIDEX_MEMORY_MAX"), "SCIDEX_MEMORY_MAX=1048576");
        assert_string_equal(entry(list, "SCIDEX_DEADLINE"), "SCIDEX_DEADLINE=2025-06-15T15:08:10.000000Z");
}

static void of_a_nested_run_the_tighter_limit_is_told(void **state) {
        Run outer = made_run(1 << 20, USEC_INFINITY, NULL), inner = made_run(1 << 30, 90 * USEC_PER_SEC, &outer);
        Run innermost = made_run(UINT64_MAX, 120 * USEC_PER_SEC, &inner);
        _cleanup_(json_decrefp) json_t *list = environment_of_run(&innermost, NULL);

        assert_string_equal(entry(list, "SCIDEX_MEMORY_MAX"), "SCIDEX_MEMORY_MAX=1048576");
        assert_string_equal(entry(list, "SCIDEX_DEADLINE"), "SCIDEX_DEADLINE=2025-06-15T15:08:10.000000Z");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_does_not_hold_is_taken_out),
                cmocka_unit_test(limits_are_told_in_bytes_and_utc),
                cmocka_unit_test(of_a_nested_run_the_tighter_limit_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
