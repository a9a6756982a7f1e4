/* cgroup/group-signal.c: everybody once, whatever state they are in, and nobody else. */
#include "base/cleanup.h"
#include "cgroup/group-internal.h"
#include "scratch.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int handler_out;

static void tell(int signal) {
        char byte = signal == SIGTERM ? 'T' : 'c';

        (void)!write(handler_out, &byte, 1);
}

/* Says 'T' for each SIGTERM and lives on. */
static void body_tell_term(int out) {
        handler_out = out;
        (void)signal(SIGTERM, tell);
        (void)!write(out, "r", 1);
        body_pause(out);
}

static void body_tell_both(int out) {
        (void)signal(SIGCONT, tell);
        body_tell_term(out);
}

static Scratch *need(void **state) {
        need_pidfd_open();
        return scratch_need(state);
}

static void each_process_gets_the_signal_once(void **state) {
        Scratch *scratch = need(state);
        _cleanup_(group_deinit) Group below = GROUP_NONE;
        Child here, there;
        size_t reached;

        assert_int_equal(group_create(scratch->group.fd, "below", &below), 0);
        here = child_start(&scratch->group, body_tell_term);
        there = child_start(&below, body_tell_term);
        assert_int_equal(child_byte(&here), 'r');
        assert_int_equal(child_byte(&there), 'r');
        assert_int_equal(group_signal(&scratch->group, SIGTERM, &reached), 0);
        assert_int_equal(reached, 2);
        assert_int_equal(child_byte(&here), 'T');
        assert_int_equal(child_byte(&there), 'T');
        /* A later signal is told after any second TERM, so the next byte shows whether there was one. */
        assert_int_equal(group_kill(&scratch->group), 0);
        assert_true(wait_fd(here.out, POLLIN));
        assert_int_equal(read(here.out, &(char){ 0 }, 1), 0);
        (void)child_end(&here);
        (void)child_end(&there);
}

static void an_empty_group_is_success_with_nobody_reached(void **state) {
        Scratch *scratch = scratch_need(state);
        size_t reached = 1;

        assert_int_equal(group_signal(&scratch->group, SIGTERM, &reached), 0);
        assert_int_equal(reached, 0);
}

static void a_stopped_process_sees_the_signal(void **state) {
        Scratch *scratch = need(state);
        Child child = child_start(&scratch->group, body_pause);
        size_t reached;
        int status;

        assert_int_equal(kill(child.pid, SIGSTOP), 0);
        assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
        assert_true(WIFSTOPPED(status));
        assert_int_equal(group_signal(&scratch->group, SIGTERM, &reached), 0);
        status = child_end(&child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void a_stop_is_not_undone_at_once(void **state) {
        Scratch *scratch = need(state);
        Child child = child_start(&scratch->group, body_tell_both);
        size_t reached;
        int status;

        assert_int_equal(child_byte(&child), 'r');
        assert_int_equal(group_signal(&scratch->group, SIGSTOP, &reached), 0);
        assert_int_equal(waitpid(child.pid, &status, WUNTRACED), child.pid);
        assert_true(WIFSTOPPED(status));
        assert_int_equal(waitpid(child.pid, &status, WNOHANG | WCONTINUED), 0);
        child_destroy(&child);
}

static void a_frozen_sub_group_is_thawed_to_see_it(void **state) {
        Scratch *scratch = need(state);
        _cleanup_(group_deinit) Group below = GROUP_NONE;
        Child child;
        size_t reached;
        int status;

        assert_int_equal(group_create(scratch->group.fd, "below", &below), 0);
        child = child_start(&below, body_pause);
        assert_int_equal(group_freeze(&below, true), 0);
        wait_frozen_state(&below, true);
        assert_int_equal(group_freeze(&scratch->group, true), 0);
        assert_int_equal(group_signal(&scratch->group, SIGTERM, &reached), 0);
        assert_int_equal(reached, 1);
        status = child_end(&child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void a_process_outside_is_not_hit(void **state) {
        Scratch *scratch = need(state);
        _cleanup_(group_deinit) Group one = GROUP_NONE, other = GROUP_NONE;
        Child inside, beside;
        size_t reached;

        assert_int_equal(group_create(scratch->group.fd, "one", &one), 0);
        assert_int_equal(group_create(scratch->group.fd, "other", &other), 0);
        inside = child_start(&one, body_pause);
        beside = child_start(&other, body_tell_term);
        assert_int_equal(child_byte(&beside), 'r');
        assert_int_equal(group_signal(&one, SIGTERM, &reached), 0);
        assert_int_equal(reached, 1);
        (void)child_end(&inside);
        assert_int_equal(poll(&(struct pollfd){ .fd = beside.out, .events = POLLIN }, 1, 0), 0);
        child_destroy(&beside);
}

/* Forks a crowd in the group; says '.' when all stand. */
static void body_crowd(int out) {
        for (unsigned i = 0; i < 600; i++) {
                pid_t pid = fork();

                if (pid == 0)
                        body_pause(out);
                if (pid < 0)
                        (void)!write(out, "!", 1);
        }
        (void)!write(out, ".", 1);
        body_pause(out);
}

static void signal_crowd(Scratch *scratch, rlim_t fds) {
        struct rlimit old, low;
        Child child = child_start(&scratch->group, body_crowd);
        size_t reached = 0;
        int r;

        assert_int_equal(child_byte(&child), '.');
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        low = old;
        low.rlim_cur = fds;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        r = group_signal(&scratch->group, SIGTERM, &reached);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(r, 0);
        assert_int_equal(reached, 601);
        (void)child_end(&child);
        wait_populated(&scratch->group, false);
}

static void a_crowd_of_several_batches_is_reached(void **state) {
        signal_crowd(need(state), 1024);
}

static void a_crowd_is_reached_with_hardly_an_fd_left(void **state) {
        Scratch *scratch = need(state);
        int highest = fcntl(0, F_DUPFD_CLOEXEC, 0);

        assert_true(highest >= 0);
        close_fd(highest);
        /* child_start() takes two; one more for a pidfd, one for cgroup.procs. */
        signal_crowd(scratch, (rlim_t)highest + 4);
}

static void what_refuses_does_not_keep_the_others(void **state) {
        Scratch *scratch = need(state);
        size_t reached = 0;

        /* An invalid signal is refused by each process alike. */
        Child child = child_start(&scratch->group, body_pause);

        assert_int_equal(group_signal(&scratch->group, 200, &reached), -EINVAL);
        assert_int_equal(reached, 0);
        child_destroy(&child);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                T(each_process_gets_the_signal_once),
                T(an_empty_group_is_success_with_nobody_reached),
                T(a_stopped_process_sees_the_signal),
                T(a_stop_is_not_undone_at_once),
                T(a_frozen_sub_group_is_thawed_to_see_it),
                T(a_process_outside_is_not_hit),
                T(a_crowd_of_several_batches_is_reached),
                T(a_crowd_is_reached_with_hardly_an_fd_left),
                T(what_refuses_does_not_keep_the_others),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
