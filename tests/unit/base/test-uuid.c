/* base/uuid.h: ids that sort by time and never repeat. */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/uuid.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define LATE UINT64_C(4000000000000000) /* 2096: after anything else a test here makes */

static void an_id_has_version_7_and_the_rfc_variant(void **state) {
        for (int i = 0; i < 1000; i++) {
                Uuid id = uuid_new(clock_realtime_usec());

                assert_true(uuid_valid(id.text));
                assert_int_equal(id.text[14], '7');
                assert_non_null(strchr("89ab", id.text[19]));
        }
}

static void ids_of_the_same_microsecond_sort_in_the_order_made(void **state) {
        uint64_t now = clock_realtime_usec();
        Uuid last = uuid_new(now);

        for (int i = 0; i < 20000; i++) {
                Uuid id = uuid_new(now);

                assert_true(strcmp(last.text, id.text) < 0);
                last = id;
        }
}

static void ids_sort_in_the_order_made_when_the_clock_is_set_back(void **state) {
        uint64_t now = clock_realtime_usec();
        Uuid before = uuid_new(now), after = uuid_new(now - 3600 * USEC_PER_SEC), zero = uuid_new(0);

        assert_true(strcmp(before.text, after.text) < 0);
        assert_true(strcmp(after.text, zero.text) < 0);
}

/* Runs last: it moves the counter of this process far ahead. */
static void the_first_48_bits_are_milliseconds(void **state) {
        Uuid id = uuid_new(LATE + 123456);
        char expected[UUID_TEXT_MAX];
        uint64_t msec = (LATE + 123456) / USEC_PER_MSEC;

        (void)snprintf(expected, sizeof(expected), "%08" PRIx64 "-%04" PRIx64 "-7", msec >> 16, msec & 0xffff);
        assert_memory_equal(id.text, expected, strlen(expected));
}

static void microseconds_of_one_millisecond_sort_too(void **state) {
        Uuid early = uuid_new(LATE + 1000001), late = uuid_new(LATE + 1000900);

        assert_memory_equal(early.text, late.text, strlen("00000000-0000-7"));
        assert_true(strcmp(early.text, late.text) < 0);
        /* 0.900 of 4096 */
        assert_memory_equal(late.text + 15, "e66", 3);
}

static void a_time_beyond_48_bits_still_makes_a_valid_id(void **state) {
        Uuid id = uuid_new(UINT64_MAX);

        assert_true(uuid_valid(id.text));
        assert_int_equal(id.text[14], '7');
        assert_true(uuid_valid(uuid_new(UINT64_MAX).text));
}

static void the_canonical_form_is_valid_in_either_case(void **state) {
        assert_true(uuid_valid("01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0"));
        assert_true(uuid_valid("01A1FD0C-4A4C-7D3B-B6DA-118A0868D8D0"));
        assert_true(uuid_valid("00000000-0000-0000-0000-000000000000"));
}

static void every_other_form_is_not(void **state) {
        static const char good[] = "01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0";
        static const char *const cases[] = {
                "",
                "{01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0}",
                "01a1fd0c4a4c7d3bb6da118a0868d8d0",
                "01a1fd0c-4a4c-7d3b-b6da-118a0868d8d",
                "01a1fd0c-4a4c-7d3b-b6da-118a0868d8d00",
                "01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0 ",
                "01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0/..",
                "01a1fd0g-4a4c-7d3b-b6da-118a0868d8d0",
                "01a1fd0-c4a4c-7d3b-b6da-118a0868d8d0",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_false(uuid_valid(cases[i]));
        assert_false(uuid_valid(NULL));
        for (size_t i = 0; i < strlen(good); i++) {
                char bad[sizeof(good)];

                memcpy(bad, good, sizeof(good));
                bad[i] = '\0';
                assert_false(uuid_valid(bad));
                bad[i] = '/';
                assert_false(uuid_valid(bad));
        }
}

static void the_short_form_is_the_last_8_digits(void **state) {
        Uuid id = { "01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0" }, none = { "" };

        assert_string_equal(uuid_short(&id), "0868d8d0");
        assert_ptr_equal(uuid_short(&id), id.text + 28);
        assert_string_equal(uuid_short(&none), "");
}

static void short_forms_of_one_moment_differ(void **state) {
        uint64_t now = clock_realtime_usec();
        Uuid a = uuid_new(now), b = uuid_new(now), c = uuid_new(now);

        /* All three equal: once in 2^64. */
        assert_false(strcmp(uuid_short(&a), uuid_short(&b)) == 0 && strcmp(uuid_short(&b), uuid_short(&c)) == 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_id_has_version_7_and_the_rfc_variant),
                cmocka_unit_test(ids_of_the_same_microsecond_sort_in_the_order_made),
                cmocka_unit_test(ids_sort_in_the_order_made_when_the_clock_is_set_back),
                cmocka_unit_test(the_canonical_form_is_valid_in_either_case),
                cmocka_unit_test(every_other_form_is_not),
                cmocka_unit_test(the_short_form_is_the_last_8_digits),
                cmocka_unit_test(short_forms_of_one_moment_differ),
                cmocka_unit_test(the_first_48_bits_are_milliseconds),
                cmocka_unit_test(microseconds_of_one_millisecond_sort_too),
                cmocka_unit_test(a_time_beyond_48_bits_still_makes_a_valid_id),
        };

        return cmocka_run_group_tests_name("base-uuid", tests, NULL, NULL);
}
