/*
 * The name of a run's group: fit for systemd-cgls, never too long, never one of the leaves.
 */
#include "supervise/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void check_name(const char *analysis_id, const char *expected) {
        _cleanup_(freep) char *name = NULL;
        Run run = { .id = { "0190d3a4-7c1e-7aaa-8bbb-01234567c1ab" }, .request.analysis_id = (char *)analysis_id };

        name = run_group_name(&run);
        assert_string_equal(name, expected);
        assert_true(run_group_name_is_ours(name));
}

static void the_name_has_the_analysis_and_the_short_id(void **state) {
        check_name("SDA-42_b", "SDA-42_b-4567c1ab");
        check_name(NULL, "run-4567c1ab");
}

static void what_does_not_fit_a_name_becomes_an_underscore(void **state) {
        check_name("a/b c.d", "a_b_c_d-4567c1ab");
        check_name("..", "__-4567c1ab");
        check_name("\xc3\xb6\n\x1b[m", "_____m-4567c1ab");
}

static void a_long_analysis_id_is_cut(void **state) {
        char id[256];

        memset(id, 'x', sizeof(id) - 1);
        id[sizeof(id) - 1] = '\0';
        check_name(id, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-4567c1ab");
}

static void only_names_as_we_give_them_are_ours(void **state) {
        static const char *const others[] = { "supervisor", "keeper", "main", ".control", "system.slice", "-4567c1ab",
                "a-4567C1AB", "a-4567c1a", "a4567c1ab", "a.b-4567c1ab", "",
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-4567c1ab" };

        for (size_t i = 0; i < ELEMENTSOF(others); i++)
                assert_false(run_group_name_is_ours(others[i]));
        assert_true(run_group_name_is_ours("0190d3a4-7c1e-7aaa-8bbb-01234567c1ab"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_name_has_the_analysis_and_the_short_id),
                cmocka_unit_test(what_does_not_fit_a_name_becomes_an_underscore),
                cmocka_unit_test(a_long_analysis_id_is_cut),
                cmocka_unit_test(only_names_as_we_give_them_are_ours),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
