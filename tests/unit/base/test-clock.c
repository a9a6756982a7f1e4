/* base/clock.h: arithmetic that saturates, and moments as text. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/uuid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void boottime_never_goes_back(void **state) {
        uint64_t last = clock_boottime_usec();

        assert_true(last > 0);
        for (int i = 0; i < 1000; i++) {
                uint64_t now = clock_boottime_usec();

                assert_true(now >= last);
                last = now;
        }
}

static void realtime_is_after_this_was_written(void **state) {
        assert_true(clock_realtime_usec() > UINT64_C(1700000000) * USEC_PER_SEC);
}

static void a_sum_that_overflows_is_infinity(void **state) {
        assert_int_equal(usec_add(2, 3), 5);
        assert_int_equal(usec_add(USEC_INFINITY, 0), USEC_INFINITY);
        assert_int_equal(usec_add(0, USEC_INFINITY), USEC_INFINITY);
        assert_int_equal(usec_add(USEC_INFINITY, USEC_INFINITY), USEC_INFINITY);
        assert_int_equal(usec_add(USEC_INFINITY - 1, 1), USEC_INFINITY);
        assert_int_equal(usec_add(USEC_INFINITY - 1, 2), USEC_INFINITY);
}

static void a_difference_below_nothing_is_nothing(void **state) {
        assert_int_equal(usec_sub(5, 3), 2);
        assert_int_equal(usec_sub(3, 5), 0);
        assert_int_equal(usec_sub(3, USEC_INFINITY), 0);
}

static void infinity_less_anything_stays_infinite(void **state) {
        assert_int_equal(usec_sub(USEC_INFINITY, 5), USEC_INFINITY);
        assert_int_equal(usec_sub(USEC_INFINITY, USEC_INFINITY), USEC_INFINITY);
}

static const struct {
        uint64_t usec;
        const char *text;
} moments[] = {
        { 0, "1970-01-01T00:00:00.000000Z" },
        { 1, "1970-01-01T00:00:00.000001Z" },
        { UINT64_C(951782400000000), "2000-02-29T00:00:00.000000Z" },
        { UINT64_C(1795245582123456), "2026-11-21T07:19:42.123456Z" },
        { UINT64_C(4107542399999999), "2100-02-28T23:59:59.999999Z" },
        { UINT64_C(4107542400000000), "2100-03-01T00:00:00.000000Z" },
        { UINT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z" },
};

static void moments_are_written_in_utc_with_microseconds(void **state) {
        char buffer[CLOCK_RFC3339_MAX];

        for (size_t i = 0; i < ELEMENTSOF(moments); i++)
                assert_string_equal(clock_format_rfc3339(buffer, moments[i].usec), moments[i].text);
}

static void what_is_written_reads_back(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(moments); i++) {
                uint64_t usec = 42;

                assert_int_equal(clock_parse_rfc3339(moments[i].text, &usec), 0);
                assert_int_equal(usec, moments[i].usec);
        }
}

static void every_day_of_four_centuries_reads_back(void **state) {
        char buffer[CLOCK_RFC3339_MAX];

        for (uint64_t day = 0; day < 146097; day++) {
                uint64_t usec = (day * 86400 + 43201) * USEC_PER_SEC + day, again;

                assert_int_equal(clock_parse_rfc3339(clock_format_rfc3339(buffer, usec), &again), 0);
                assert_int_equal(again, usec);
        }
}

static void moments_after_9999_keep_the_shape(void **state) {
        char buffer[CLOCK_RFC3339_MAX];

        assert_string_equal(clock_format_rfc3339(buffer, UINT64_C(253402300800000000)), "9999-12-31T23:59:59.999999Z");
        assert_string_equal(clock_format_rfc3339(buffer, USEC_INFINITY), "9999-12-31T23:59:59.999999Z");
}

static void the_fraction_is_optional_and_has_one_to_six_digits(void **state) {
        static const struct {
                const char *text;
                uint64_t fraction;
        } cases[] = {
                { "2026-11-21T07:19:42Z", 0 },
                { "2026-11-21T07:19:42.1Z", 100000 },
                { "2026-11-21T07:19:42.12Z", 120000 },
                { "2026-11-21T07:19:42.000001Z", 1 },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t usec;

                assert_int_equal(clock_parse_rfc3339(cases[i].text, &usec), 0);
                assert_int_equal(usec, UINT64_C(1795245582000000) + cases[i].fraction);
        }
}

static void what_is_no_moment_is_refused(void **state) {
        static const char *const cases[] = {
                "",
                "2026",
                "2026-11-21",
                "2026-11-21T07:19:42",
                "2026-11-21T07:19:42.Z",
                "2026-11-21T07:19:42.1234567Z",
                "2026-11-21T07:19:42.12a456Z",
                "2026-11-21T07:19:42+01:00",
                "2026-11-21T07:19:42.123456Z ",
                " 2026-11-21T07:19:42.123456Z",
                "2026-11-21 07:19:42Z",
                "2026-11-21t07:19:42z",
                "2026-02-29T00:00:00Z",
                "2026-02-30T00:00:00Z",
                "2026-04-31T00:00:00Z",
                "2026-00-01T00:00:00Z",
                "2026-13-01T00:00:00Z",
                "2026-01-00T00:00:00Z",
                "2026-01-32T00:00:00Z",
                "2026-01-01T24:00:00Z",
                "2026-01-01T00:60:00Z",
                "2026-12-31T23:59:60Z",
                "1969-12-31T23:59:59Z",
                "0000-00-00T00:00:00Z",
                "-026-01-01T00:00:00Z",
                "+026-01-01T00:00:00Z",
                "2026-1-01T00:00:00Z",
                "12026-01-01T00:00:00Z",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t usec = 42;

                if (clock_parse_rfc3339(cases[i], &usec) != -EINVAL)
                        fail_msg("accepted: \"%s\"", cases[i]);
                assert_int_equal(usec, 42);
        }
        assert_int_equal(clock_parse_rfc3339(NULL, NULL), -EINVAL);
}

static void the_boot_id_is_a_uuid_and_stays_the_same(void **state) {
        char first[37], second[37];

        assert_int_equal(clock_boot_id(first), 0);
        assert_true(uuid_valid(first));
        assert_int_equal(clock_boot_id(second), 0);
        assert_string_equal(first, second);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(boottime_never_goes_back),
                cmocka_unit_test(realtime_is_after_this_was_written),
                cmocka_unit_test(a_sum_that_overflows_is_infinity),
                cmocka_unit_test(a_difference_below_nothing_is_nothing),
                cmocka_unit_test(infinity_less_anything_stays_infinite),
                cmocka_unit_test(moments_are_written_in_utc_with_microseconds),
                cmocka_unit_test(what_is_written_reads_back),
                cmocka_unit_test(every_day_of_four_centuries_reads_back),
                cmocka_unit_test(moments_after_9999_keep_the_shape),
                cmocka_unit_test(the_fraction_is_optional_and_has_one_to_six_digits),
                cmocka_unit_test(what_is_no_moment_is_refused),
                cmocka_unit_test(the_boot_id_is_a_uuid_and_stays_the_same),
        };

        return cmocka_run_group_tests_name("base-clock", tests, NULL, NULL);
}
