/* cgroup/group-inner.c: moving a group's own processes away, and room for nested groups. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/group-internal.h"
#include "scratch.h"
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

static void words_of_a_list_are_whole_words(void **state) {
        static const char text[] = "cpuset cpu io memory pids\n";

        assert_true(text_has_word(text, "cpu"));
        assert_true(text_has_word(text, "cpuset"));
        assert_true(text_has_word(text, "pids"));
        assert_false(text_has_word(text, "mem"));
        assert_false(text_has_word(text, "set"));
        assert_false(text_has_word("", "cpu"));
        assert_false(text_has_word("cpuset", "cpu"));
}

static void all_processes_of_the_group_itself_are_moved(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group from = GROUP_NONE, to = GROUP_NONE;
        Child children[3];
        bool populated = true;

        assert_int_equal(group_create(scratch->group.fd, "from", &from), 0);
        assert_int_equal(group_create(scratch->group.fd, "to", &to), 0);
        for (size_t i = 0; i < ELEMENTSOF(children); i++)
                children[i] = child_start(&from, body_pause);
        assert_int_equal(group_move_all(&from, &to), 0);
        assert_int_equal(group_is_populated(&from, &populated), 0);
        assert_false(populated);
        assert_int_equal(group_is_populated(&to, &populated), 0);
        assert_true(populated);
        for (size_t i = 0; i < ELEMENTSOF(children); i++)
                child_destroy(&children[i]);
}

static void a_tree_without_controllers_needs_no_room(void **state) {
        Scratch *scratch = scratch_need(state);
        bool lacks = true;

        assert_int_equal(group_lacks_controllers(scratch->group.fd, &lacks), 0);
        if (lacks) {
                print_message("skipped: this mount hands controllers to the scratch group\n");
                skip();
        }
        assert_int_equal(group_make_inner(&scratch->group, "main"), 0);
        assert_int_equal(faccessat(scratch->group.fd, "main", F_OK, 0), -1);
}

/* Forks and lets die as fast as it can, for as long as it lives. */
static void body_storm(int out) {
        (void)signal(SIGCHLD, SIG_IGN);
        for (;;)
                if (fork() == 0)
                        (void)fork(), _exit(0);
}

static void room_is_made_under_a_fork_storm(void **state) {
        Scratch *scratch = scratch_need_memory(state);
        _cleanup_(group_deinit) Group run = GROUP_NONE, nested = GROUP_NONE;
        _cleanup_(freep) char *procs = NULL;
        bool lacks;
        Child child;

        assert_int_equal(group_create(scratch->group.fd, "run", &run), 0);
        child = child_start(&run, body_storm);
        assert_int_equal(group_make_inner(&run, "main"), 0);
        assert_int_equal(file_read_at(run.fd, "cgroup.procs", 1 << 20, &procs, NULL), 0);
        assert_string_equal(procs, "");
        assert_int_equal(group_lacks_controllers(run.fd, &lacks), 0);
        assert_false(lacks);
        assert_int_equal(group_create(run.fd, "nested", &nested), 0);
        assert_int_equal(faccessat(nested.fd, "memory.max", F_OK, 0), 0);
        assert_int_equal(group_make_inner(&run, "main"), 0); /* again: nothing to do */
        /* A frozen process would not die of it; `frozen` of cgroup.events is no witness, see group.h. */
        assert_int_equal(pidfd_send_signal(child.pidfd, SIGTERM, NULL, 0), 0);
        (void)child_end(&child);
        assert_int_equal(group_kill(&run), 0);
        wait_populated(&run, false);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(words_of_a_list_are_whole_words),
                T(all_processes_of_the_group_itself_are_moved),
                T(a_tree_without_controllers_needs_no_room),
                T(room_is_made_under_a_fork_storm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
