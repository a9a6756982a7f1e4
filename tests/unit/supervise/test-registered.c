/*
 * Moving what runs already: into a scratch group on this host's cgroup2 mount and out of it, and the pid that got
 * another owner between the check and the move.
 */
#include "supervise/registered.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "tests/unit/cgroup/scratch.h"
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* A supervisor that has a tree, the scratch group, and nothing else. */
static Supervisor made_supervisor(const Scratch *scratch) {
        Supervisor s = { .tree = { .kind = TREE_MOUNT, .fd = scratch->group.fd } };

        LIST_INIT(&s.runs);
        LIST_INIT(&s.sessions);
        s.host = scratch->host;
        assert_true(asprintf(&s.tree.cgroup, "/%s", scratch->group.name) > 0);
        return s;
}

static Run *made_run(Supervisor *s, const Scratch *scratch) {
        RunRequest request;
        Run *run = NULL;

        request_init(&request);
        assert_int_equal(run_new(&request, clock_realtime_usec(), clock_boottime_usec(), &run), 0);
        assert_int_equal(group_create(scratch->group.fd, "run-0123abcd", &run->group), 0);
        run->registered = true;
        run->registered_by = run->uid = getuid();
        LIST_INSERT_HEAD(&s->runs, run, link);
        s->n_runs = 1;
        return run;
}

static void end_run(Supervisor *s, Run *run) {
        LIST_REMOVE(run, link);
        run_free(run);
        free(s->tree.cgroup);
}

static char *cgroup_of(pid_t pid) {
        char *cgroup = NULL;

        assert_int_equal(process_cgroup(pid, &cgroup), 0);
        return cgroup;
}

static void take(Supervisor *s, Run *run, const Child *child) {
        ProcessIdentity process;

        assert_int_equal(process_identity(child->pid, &process), 0);
        assert_int_equal(registered_take(s, run, child->pid, process.start_ticks, child->pidfd), 0);
        run->pid = child->pid;
        run->start_ticks = process.start_ticks;
}

static void a_stranger_that_got_the_pid_is_put_back(void **state) {
        Scratch *scratch = scratch_need(state);
        Supervisor s = made_supervisor(scratch);
        Run *run = made_run(&s, scratch);
        Child gone = child_start(NULL, body_pause), stranger = child_start(NULL, body_pause);
        _cleanup_(freep) char *before = cgroup_of(stranger.pid), *after = NULL;
        ProcessIdentity process;
        bool populated = true;
        int pidfd = dup(gone.pidfd); /* child_end() closes the child's */

        assert_int_equal(process_identity(gone.pid, &process), 0);
        assert_int_equal(pidfd_signal(gone.pidfd, SIGKILL), 0);
        (void)child_end(&gone);
        /* As if the number had been given to the stranger since. */
        assert_int_equal(registered_take(&s, run, stranger.pid, process.start_ticks - 1, pidfd), -ESRCH);
        close_fd(pidfd);
        after = cgroup_of(stranger.pid);
        assert_string_equal(after, before);
        assert_int_equal(group_is_populated(&run->group, &populated), 0);
        assert_false(populated);
        child_destroy(&stranger);
        end_run(&s, run);
}

/* Forks a child of its own, which says so, and waits. */
static void body_parent(int out) {
        if (fork() == 0) {
                (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* before the word: then its parent still lives */
                (void)!write(out, "x", 1);
        }
        body_pause(out);
}

static int count_process(pid_t pid, void *userdata) {
        (*(unsigned *)userdata)++;
        return 0;
}

static unsigned processes_in(const Run *run) {
        unsigned n = 0;

        assert_int_equal(group_each_process(&run->group, count_process, &n), 0);
        return n;
}

static void children_come_along_and_all_go_back(void **state) {
        Scratch *scratch = scratch_need(state);
        Supervisor s = made_supervisor(scratch);
        Run *run = made_run(&s, scratch);
        Child parent = child_start(NULL, body_parent);
        size_t moved = 0;

        assert_int_equal(child_byte(&parent), 'x');
        run->origin = cgroup_of(parent.pid);
        take(&s, run, &parent);
        assert_int_equal(processes_in(run), 1);
        assert_int_equal(registered_sweep(&s, run, &moved), 0);
        assert_int_equal(moved, 1);
        assert_int_equal(processes_in(run), 2);
        assert_int_equal(registered_sweep(&s, run, &moved), 0);
        assert_int_equal(moved, 0);
        assert_int_equal(registered_release(&s, run, &moved), 0);
        assert_int_equal(moved, 2);
        assert_int_equal(processes_in(run), 0);
        assert_true(run->letting_go);
        {
                _cleanup_(freep) char *after = cgroup_of(parent.pid);

                assert_string_equal(after, run->origin);
        }
        child_destroy(&parent);
        end_run(&s, run);
}

static void children_of_another_user_are_left(void **state) {
        Scratch *scratch = scratch_need(state);
        Supervisor s = made_supervisor(scratch);
        Run *run = made_run(&s, scratch);
        Child parent = child_start(NULL, body_parent);
        size_t moved = 1;

        assert_int_equal(child_byte(&parent), 'x');
        take(&s, run, &parent);
        run->registered_by = run->uid = 4711; /* not root asks, and the children are not its own */
        assert_int_equal(registered_sweep(&s, run, &moved), 0);
        assert_int_equal(moved, 0);
        child_destroy(&parent);
        end_run(&s, run);
}

static void without_a_home_they_go_to_the_root(void **state) {
        Scratch *scratch = scratch_need(state);
        Supervisor s = made_supervisor(scratch);
        Run *run = made_run(&s, scratch);
        Child child = child_start(NULL, body_pause);
        _cleanup_(freep) char *after = NULL;
        size_t moved = 0;

        take(&s, run, &child);
        run->origin = strdup("/no/such/cgroup");
        assert_int_equal(registered_release(&s, run, &moved), 0);
        after = cgroup_of(child.pid);
        assert_string_equal(after, "/");
        child_destroy(&child);
        end_run(&s, run);
}

#define WITH_GROUP(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                WITH_GROUP(a_stranger_that_got_the_pid_is_put_back),
                WITH_GROUP(children_come_along_and_all_go_back),
                WITH_GROUP(children_of_another_user_are_left),
                WITH_GROUP(without_a_home_they_go_to_the_root),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
