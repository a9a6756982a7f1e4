/* The verdicts' strings as they stand in the record, and what scidex-run exits with. */
#include "supervise/verdict.h"

#include "base/cleanup.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WAIT_EXIT(status) ((status) << 8)

static const struct {
        Verdict verdict;
        const char *text;
} words[] = {
        { VERDICT_COMPLETED, "completed" },
        { VERDICT_FAILED, "failed" },
        { VERDICT_CRASHED, "crashed" },
        { VERDICT_TIMEOUT, "timeout" },
        { VERDICT_CPU_TIME, "cpu-time" },
        { VERDICT_MEMORY, "memory" },
        { VERDICT_HOST_OOM, "host-oom" },
        { VERDICT_ORPHANED, "orphaned" },
        { VERDICT_CANCELLED, "cancelled" },
        { VERDICT_LOST, "lost" },
        { VERDICT_ORPHAN, "orphan" },
};

static void every_verdict_has_its_word_both_ways(void **state) {
        assert_int_equal(ELEMENTSOF(words), VERDICT_MAX - 1);
        for (size_t i = 0; i < ELEMENTSOF(words); i++) {
                assert_string_equal(verdict_to_string(words[i].verdict), words[i].text);
                assert_int_equal(verdict_from_string(words[i].text), words[i].verdict);
        }
}

static void what_is_no_verdict_has_no_word(void **state) {
        assert_null(verdict_to_string(VERDICT_NONE));
        assert_null(verdict_to_string(VERDICT_MAX));
        assert_null(verdict_to_string(VERDICT_INVALID));
}

static void other_words_are_no_verdict(void **state) {
        static const char *const others[] = { "", "Timeout", "timeout ", "time", "cpu_time", "none" };

        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                assert_int_equal(verdict_from_string(others[i]), VERDICT_INVALID);
}

static void a_run_that_ends_by_itself_keeps_its_exit_status(void **state) {
        assert_int_equal(verdict_exit_status(VERDICT_COMPLETED, 0), 0);
        assert_int_equal(verdict_exit_status(VERDICT_FAILED, WAIT_EXIT(3)), 3);
        assert_int_equal(verdict_exit_status(VERDICT_FAILED, WAIT_EXIT(255)), 255);
        assert_int_equal(verdict_exit_status(VERDICT_CRASHED, SIGSEGV | 0x80), 128 + SIGSEGV);
        assert_int_equal(verdict_exit_status(VERDICT_CRASHED, SIGKILL), 137);
}

static void a_killed_run_exits_with_the_status_of_its_verdict(void **state) {
        static const int statuses[] = { 0, WAIT_EXIT(7), SIGTERM, SIGKILL };

        for (size_t i = 0; i < ELEMENTSOF(statuses); i++) {
                assert_int_equal(verdict_exit_status(VERDICT_TIMEOUT, statuses[i]), 124);
                assert_int_equal(verdict_exit_status(VERDICT_CPU_TIME, statuses[i]), 124);
                assert_int_equal(verdict_exit_status(VERDICT_MEMORY, statuses[i]), 137);
                assert_int_equal(verdict_exit_status(VERDICT_HOST_OOM, statuses[i]), 137);
                assert_int_equal(verdict_exit_status(VERDICT_CANCELLED, statuses[i]), 143);
                assert_int_equal(verdict_exit_status(VERDICT_ORPHANED, statuses[i]), 143);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_verdict_has_its_word_both_ways),
                cmocka_unit_test(what_is_no_verdict_has_no_word),
                cmocka_unit_test(other_words_are_no_verdict),
                cmocka_unit_test(a_run_that_ends_by_itself_keeps_its_exit_status),
                cmocka_unit_test(a_killed_run_exits_with_the_status_of_its_verdict),
        };

        return cmocka_run_group_tests_name("supervise-verdict", tests, NULL, NULL);
}
