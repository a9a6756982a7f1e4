/* cgroup/group.c on this host's real cgroup2: making, looking, freezing, killing, and a group that is gone. */
#include "base/cleanup.h"
#include "cgroup/usage.h"
#include "scratch.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void creating_a_name_that_exists_says_so(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group first = GROUP_NONE, second = GROUP_NONE;

        assert_int_equal(group_create(scratch->group.fd, "run", &first), 0);
        assert_int_equal(group_create(scratch->group.fd, "run", &second), -EEXIST);
        assert_int_equal(second.fd, -EBADF);
        assert_string_equal(first.name, "run");
}

static void a_name_that_is_a_path_is_refused(void **state) {
        Scratch *scratch = scratch_need(state);
        static const char *const names[] = { "", ".", "..", "a/b", "/a", "../x" };
        _cleanup_(group_deinit) Group group = GROUP_NONE;

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                assert_int_equal(group_create(scratch->group.fd, names[i], &group), -EINVAL);
                assert_int_equal(group_open(scratch->group.fd, names[i], &group), -EINVAL);
        }
}

static void opening_a_group_that_does_not_exist_says_gone(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group group = GROUP_NONE;

        assert_int_equal(group_open(scratch->group.fd, "none", &group), GROUP_E_GONE);
}

static void a_fresh_group_has_nobody_and_runs(void **state) {
        Scratch *scratch = scratch_need(state);
        bool populated = true, frozen = true;

        assert_int_equal(group_is_populated(&scratch->group, &populated), 0);
        assert_int_equal(group_is_frozen(&scratch->group, &frozen), 0);
        assert_false(populated);
        assert_false(frozen);
}

static void a_process_in_a_sub_group_populates_the_group(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group below = GROUP_NONE;
        bool populated = false;
        Child child;

        assert_int_equal(group_create(scratch->group.fd, "below", &below), 0);
        child = child_start(&below, body_pause);
        assert_int_equal(group_is_populated(&scratch->group, &populated), 0);
        assert_true(populated);
        child_destroy(&child);
        wait_populated(&scratch->group, false);
}

static void attaching_a_pid_that_does_not_exist_says_so(void **state) {
        Scratch *scratch = scratch_need(state);

        assert_int_equal(group_attach(&scratch->group, 4194303), -ESRCH);
}

static void kill_ends_every_process_also_below(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group below = GROUP_NONE;
        Child here, there;
        int status;

        assert_int_equal(group_create(scratch->group.fd, "below", &below), 0);
        here = child_start(&scratch->group, body_pause);
        there = child_start(&below, body_pause);
        assert_int_equal(group_kill(&scratch->group), 0);
        status = child_end(&here);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        status = child_end(&there);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        wait_populated(&scratch->group, false);
}

static void kill_by_its_fd_ends_the_group(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(close_fdp) int fd = group_open_kill_fd(&scratch->group);
        Child child;
        int status;

        if (fd == -ENOENT) {
                print_message("skipped: no cgroup.kill before Linux 5.14\n");
                skip();
        }
        assert_true(fd >= 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        child = child_start(&scratch->group, body_pause);
        assert_int_equal(write(fd, "1", 1), 1);
        status = child_end(&child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void a_frozen_group_says_so_until_it_is_thawed(void **state) {
        Scratch *scratch = scratch_need(state);
        Child child = child_start(&scratch->group, body_pause);

        assert_int_equal(group_freeze(&scratch->group, true), 0);
        wait_frozen_state(&scratch->group, true);
        assert_int_equal(group_freeze(&scratch->group, false), 0);
        wait_frozen_state(&scratch->group, false);
        child_destroy(&child);
}

typedef struct Seen {
        pid_t pids[8];
        size_t count;
        int give;
} Seen;

static int note_pid(pid_t pid, void *userdata) {
        Seen *seen = userdata;

        if (seen->count < ELEMENTSOF(seen->pids))
                seen->pids[seen->count++] = pid;
        return seen->give;
}

static void processes_are_listed_the_deepest_last(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group below = GROUP_NONE;
        Child here, there;
        Seen seen = {};

        assert_int_equal(group_create(scratch->group.fd, "below", &below), 0);
        there = child_start(&below, body_pause);
        here = child_start(&scratch->group, body_pause);
        assert_int_equal(group_each_process(&scratch->group, note_pid, &seen), 0);
        assert_int_equal(seen.count, 2);
        assert_int_equal(seen.pids[0], here.pid);
        assert_int_equal(seen.pids[1], there.pid);
        child_destroy(&here);
        child_destroy(&there);
}

static void what_the_function_returns_ends_the_listing_unchanged(void **state) {
        Scratch *scratch = scratch_need(state);
        static const int answers[] = { GROUP_E_GONE, 7, -ENOENT, -ENODEV };
        _cleanup_(group_deinit) Group below = GROUP_NONE;
        Child first, second;

        assert_int_equal(group_create(scratch->group.fd, "below", &below), 0);
        first = child_start(&below, body_pause);
        second = child_start(&below, body_pause);
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                Seen seen = { .give = answers[i] };

                assert_int_equal(group_each_process(&scratch->group, note_pid, &seen), answers[i]);
                assert_int_equal(seen.count, 1);
        }
        child_destroy(&first);
        child_destroy(&second);
}

static void a_zombie_is_not_listed(void **state) {
        Scratch *scratch = scratch_need(state);
        Child child = child_start(&scratch->group, body_pause);
        Seen seen = {};

        assert_int_equal(kill(child.pid, SIGKILL), 0);
        assert_true(wait_fd(child.pidfd, 1 /* POLLIN */));
        assert_int_equal(group_each_process(&scratch->group, note_pid, &seen), 0);
        assert_int_equal(seen.count, 0);
        (void)child_end(&child);
}

static void a_group_that_is_gone_says_so_to_every_question(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group group = GROUP_NONE;
        const Limits limits = { .memory_bytes = 1 << 20, .pids = 4 };
        LimitsKept kept;
        Seen seen = {};
        Usage usage;
        size_t reached = 1;
        bool answer = true;

        assert_int_equal(group_create(scratch->group.fd, "run", &group), 0);
        assert_int_equal(group_remove(&group), 0);
        assert_int_equal(group_is_populated(&group, &answer), GROUP_E_GONE);
        assert_false(answer);
        assert_int_equal(group_freeze(&group, true), GROUP_E_GONE);
        assert_int_equal(group_attach(&group, 0), GROUP_E_GONE);
        assert_int_equal(group_each_process(&group, note_pid, &seen), GROUP_E_GONE);
        assert_int_equal(group_set_limits(&group, &limits, &kept), GROUP_E_GONE);
        assert_int_equal(usage_read(group.fd, &usage), GROUP_E_GONE);
        assert_int_equal(usage_read_oom(group.fd, &usage), GROUP_E_GONE);
        assert_int_equal(group_signal(&group, SIGTERM, &reached), GROUP_E_GONE);
        assert_int_equal(reached, 0);
}

static void kill_of_a_group_already_gone_says_gone(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group group = GROUP_NONE;

        assert_int_equal(group_create(scratch->group.fd, "run", &group), 0);
        assert_int_equal(group_remove(&group), 0);
        assert_int_equal(group_kill(&group), GROUP_E_GONE);
        assert_int_equal(group_remove(&group), 0);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                T(creating_a_name_that_exists_says_so),
                T(a_name_that_is_a_path_is_refused),
                T(opening_a_group_that_does_not_exist_says_gone),
                T(a_fresh_group_has_nobody_and_runs),
                T(a_process_in_a_sub_group_populates_the_group),
                T(attaching_a_pid_that_does_not_exist_says_so),
                T(kill_ends_every_process_also_below),
                T(kill_by_its_fd_ends_the_group),
                T(a_frozen_group_says_so_until_it_is_thawed),
                T(processes_are_listed_the_deepest_last),
                T(what_the_function_returns_ends_the_listing_unchanged),
                T(a_zombie_is_not_listed),
                T(a_group_that_is_gone_says_so_to_every_question),
                T(kill_of_a_group_already_gone_says_gone),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
