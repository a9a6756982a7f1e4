/* cgroup/procs.c: the text of cgroup.procs, and sets of pids. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "cgroup/procs.h"
#include <cmocka.h>

static void pids_are_read_a_line_each(void **state) {
        _cleanup_(pid_list_deinit) PidList list = {};

        assert_int_equal(procs_parse("1\n4194303\n77\n", &list), 0);
        assert_int_equal(list.count, 3);
        assert_int_equal(list.pids[0], 1);
        assert_int_equal(list.pids[1], 4194303);
        assert_int_equal(list.pids[2], 77);
}

static void processes_of_another_pid_namespace_are_left_out(void **state) {
        _cleanup_(pid_list_deinit) PidList list = {};

        assert_int_equal(procs_parse("0\n12\n0\n", &list), 0);
        assert_int_equal(list.count, 1);
        assert_int_equal(list.pids[0], 12);
}

static void an_empty_file_is_an_empty_list(void **state) {
        _cleanup_(pid_list_deinit) PidList list = {};

        assert_int_equal(procs_parse("", &list), 0);
        assert_int_equal(list.count, 0);
}

static void other_text_is_refused(void **state) {
        static const char *const texts[] = { "a\n", "-1\n", "\n", "12", "12 \n", "99999999999999999999\n",
                "4194304\n" };
        PidList list = {};

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                assert_int_equal(procs_parse(texts[i], &list), -EINVAL);
                assert_null(list.pids);
        }
}

static void a_set_holds_what_was_added(void **state) {
        _cleanup_(pid_set_deinit) PidSet set = {};
        static const pid_t pids[] = { 1, 63, 64, 65, 4194303 };

        assert_false(pid_set_contains(&set, 1));
        for (size_t i = 0; i < ELEMENTSOF(pids); i++)
                assert_int_equal(pid_set_add(&set, pids[i]), 0);
        for (size_t i = 0; i < ELEMENTSOF(pids); i++)
                assert_true(pid_set_contains(&set, pids[i]));
        assert_false(pid_set_contains(&set, 2));
        assert_false(pid_set_contains(&set, 4194302));
        assert_false(pid_set_contains(&set, 0));
        assert_false(pid_set_contains(&set, -1));
        pid_set_clear(&set);
        assert_false(pid_set_contains(&set, 64));
}

static void what_is_no_pid_is_refused_by_a_set(void **state) {
        _cleanup_(pid_set_deinit) PidSet set = {};

        assert_int_equal(pid_set_add(&set, 0), -ERANGE);
        assert_int_equal(pid_set_add(&set, -5), -ERANGE);
        assert_int_equal(pid_set_add(&set, PID_LIMIT), -ERANGE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pids_are_read_a_line_each),
                cmocka_unit_test(processes_of_another_pid_namespace_are_left_out),
                cmocka_unit_test(an_empty_file_is_an_empty_list),
                cmocka_unit_test(other_text_is_refused),
                cmocka_unit_test(a_set_holds_what_was_added),
                cmocka_unit_test(what_is_no_pid_is_refused_by_a_set),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
