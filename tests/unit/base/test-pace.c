/* Work is paid for by waiting. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "base/pace.h"

/* Begins, and makes it as if 1 ms had been worked since. */
static void work(Pace *pace) {
        do
                pace_begin(pace);
        while (pace->begun_usec < 1000);
        pace->begun_usec -= 1000;
}

static void a_quota_is_read_and_shared(void **state) {
        Pace pace = { .share = 0.1 };

        assert_true(pace_parse_quota("10000 100000\n") > 0.09 && pace_parse_quota("10000 100000\n") < 0.11);
        assert_true(pace_parse_quota("max 100000\n") == 0);
        assert_true(pace_parse_quota("") == 0);
        assert_true(pace_parse_quota("7") == 0);
        assert_int_equal(pace_wait(&pace, 5), 0);
        work(&pace);
        pace_end(&pace, 100);
        assert_true(pace_wait(&pace, 100) >= 100 + 10000);
        assert_int_equal(pace_wait(&pace, pace.free_usec), 0);
}

static void without_a_quota_nothing_waits(void **state) {
        Pace pace = { .share = 0 };

        work(&pace);
        pace_end(&pace, 100);
        assert_int_equal(pace_wait(&pace, 100), 0);
}

static void where_there_is_no_quota_it_is_a_share_of_the_processor(void **state) {
        Pace pace;

        pace_init_with(&pace, 0.1, 30, 25);
        assert_true(pace.has_quota);
        assert_true(pace.share > 0.029 && pace.share < 0.031);
        pace_init_with(&pace, 0, 30, 25);
        assert_false(pace.has_quota);
        assert_true(pace.share > 0.249 && pace.share < 0.251);
        pace_init_with(&pace, 0, 30, 0);
        work(&pace);
        pace_end(&pace, 100);
        assert_int_equal(pace_wait(&pace, 100), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_quota_is_read_and_shared),
                cmocka_unit_test(without_a_quota_nothing_waits),
                cmocka_unit_test(where_there_is_no_quota_it_is_a_share_of_the_processor),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
