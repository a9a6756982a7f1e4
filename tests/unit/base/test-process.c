/*
 * base/process.h on text and on real children.
 *
 * A child is cat(1) with stdin on a pipe, known to have been executed when it gives a byte back: a close-on-exec pipe
 * would end in the midst of exec, before there is a name, a command line or an environment. Nothing sleeps.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cmocka.h>

#define DEADLINE_MSEC 10000
#define SHARED_BYTES  ((size_t)8 * 1024 * 1024)

typedef struct Child {
        pid_t pid;
        int pidfd; /* owned */
        int stdin; /* owned: closing it ends the child */
} Child;

static void wait_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&p, 1, DEADLINE_MSEC), 1);
}

_Noreturn static void run_cat(int in, int out, char *const environment[]) {
        char *const argv[] = { (char *)"cat", (char *)"-u", (char *)"-", NULL };

        if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0)
                (void)execve("/bin/cat", argv, environment);
        _exit(127);
}

static Child start_child(char *const environment[]) {
        int in[2], out[2];
        char byte;
        Child child;

        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        child.pid = fork();
        assert_true(child.pid >= 0);
        if (child.pid == 0)
                run_cat(in[0], out[1], environment);
        assert_int_equal(write(in[1], "x", 1), 1);
        close_fd(in[0]);
        close_fd(out[1]);
        wait_readable(out[0]);
        assert_int_equal(read(out[0], &byte, 1), 1); /* 0: exec failed */
        close_fd(out[0]);
        child.stdin = in[1];
        child.pidfd = pidfd_open_pid(child.pid);
        assert_true(child.pidfd >= 0);
        return child;
}

/* Ends it, and leaves a zombie. */
static void end_child(Child *child) {
        child->stdin = close_fd(child->stdin);
        wait_readable(child->pidfd);
}

static void reap_child(Child *child) {
        assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
        child->pidfd = close_fd(child->pidfd);
}

/* valgrind 3.19 knows no pidfds. */
static void require_pidfds(void) {
        int fd = pidfd_open_pid(getpid());

        close_fd(fd);
        if (fd == -ENOSYS) {
                print_message("pidfd_open() is missing here\n");
                skip();
        }
}

static Child *started(void **state) {
        require_pidfds();
        return *state;
}

static int setup(void **state) {
        static Child child;
        int probe = pidfd_open_pid(getpid());
        char *const environment[] = { (char *)"SCIDEX_RUN_ID_OTHER=1", (char *)"X=SCIDEX_RUN_ID=2",
                (char *)"SCIDEX_RUN_ID=a=b", (char *)"EMPTY=", NULL };

        if (probe == -ENOSYS)
                return 0;
        close_fd(probe);
        child = start_child(environment);
        *state = &child;
        return 0;
}

static int teardown(void **state) {
        Child *child = *state;

        /* Not started, or reaped by the test. */
        if (!child || child->pidfd < 0)
                return 0;
        end_child(child);
        reap_child(child);
        return 0;
}

static void stat_is_read_whatever_the_name_holds(void **state) {
        static const char *const names[] = { "cat", "", "a b", "a) b", ") R 1 2 3", "((", "))", "a\nb", "x) Z 9 (y" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *text = text_printf(
                        "4242 (%s) S 17 4242 4242 34816 4242 4194304 120 0 0 0 1 2 0 0 20 0 1 0 987654321 5 6\n",
                        names[i]);
                ProcessIdentity identity = { 0 };

                assert_int_equal(process_parse_stat(text, &identity), 0);
                assert_int_equal(identity.pid, 4242);
                assert_int_equal(identity.parent, 17);
                assert_int_equal(identity.state, 'S');
                assert_int_equal(identity.start_ticks, 987654321);
        }
}

static void negative_fields_before_the_start_time_do_no_harm(void **state) {
        ProcessIdentity identity = { 0 };

        assert_int_equal(
                process_parse_stat("1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 -20 -5 1 0 33 1\n", &identity), 0);
        assert_int_equal(identity.parent, 0);
        assert_int_equal(identity.start_ticks, 33);
}

static void who_is_killed_or_ending_is_told_apart(void **state) {
        static const struct {
                const char *flags, *threads, *pending;
                bool exiting, killed;
        } cases[] = {
                { "4194304", "1", "0", false, false },
                { "4194308", "1", "0", true, false },   /* PF_EXITING */
                { "4194304", "3", "256", false, true }, /* SIGKILL is number 9 */
                { "4194304", "1", "255", false, false },
                { "4194308", "2", "2147483647", true, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *text = text_printf("1 (a) R 0 1 1 0 -1 %s 1 2 3 4 5 6 7 8 20 0 %s 0 33 1 2 "
                                                          "18446744073709551615 1 1 0 0 0 %s 0 0 0 0 0 0 17 0 0 0\n",
                        cases[i].flags, cases[i].threads, cases[i].pending);
                ProcessIdentity identity = { 0 };

                assert_int_equal(process_parse_stat(text, &identity), 0);
                assert_int_equal(identity.exiting, cases[i].exiting);
                assert_int_equal(identity.killed, cases[i].killed);
                assert_int_equal(identity.threads, cases[i].threads[0] - '0');
        }
}

static void stat_that_is_cut_or_garbled_is_refused(void **state) {
        static const char *const cases[] = {
                "",
                "1",
                "1 (a",
                "1 a) S 0",
                "(a) S 0 1",
                "1 )a( S 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 33 1",
                "1 (a)",
                "1 (a) ",
                "1 (a) S",
                "1 (a) 5 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 33 1",
                "1 (a) S -1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 33 1",
                "1 (a) S 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0",
                "1 (a) S 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0\n33 1",
                "1 (a) S 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 -33 1",
                "1 (a) S 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 99999999999999999999 1",
                "-1 (a) S 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 33 1",
                "99999999999 (a) S 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 33 1",
        };
        ProcessIdentity identity;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (process_parse_stat(cases[i], &identity) != -EINVAL)
                        fail_msg("accepted: \"%s\"", cases[i]);
}

static void uids_are_the_first_three_of_their_line(void **state) {
        ProcessIdentity identity = { 0 };

        assert_int_equal(
                process_parse_status("Name:\tUid:\t9 9 9\nPid:\t7\nUid:\t1000\t0\t4294967294\t5\nGid:\t1\n", &identity),
                0);
        assert_int_equal(identity.uid_real, 1000);
        assert_int_equal(identity.uid_effective, 0);
        assert_int_equal(identity.uid_saved, 4294967294U);
        assert_int_equal(process_parse_status("Name:\tx\n", &identity), -EINVAL);
        assert_int_equal(process_parse_status("Uid:\t1\t2\n", &identity), -EINVAL);
        assert_int_equal(process_parse_status("Uid:\t1\t2\t4294967296\n", &identity), -EINVAL);
}

static void a_process_in_a_pid_namespace_below_has_a_second_number(void **state) {
        ProcessIdentity identity = { .nested = true };

        assert_int_equal(process_parse_status("Uid:\t1\t1\t1\t1\nNSpid:\t4711\nNSpgid:\t4711\t9\n", &identity), 0);
        assert_false(identity.nested);
        assert_int_equal(process_parse_status("Uid:\t1\t1\t1\t1\nNSpid:\t4711\t5\n", &identity), 0);
        assert_true(identity.nested);
        assert_int_equal(process_parse_status("Uid:\t1\t1\t1\t1\n", &identity), 0);
        assert_false(identity.nested);
}

static void kib_lines_are_bytes(void **state) {
        static const char text[] = "VmRSS:\t    4 kB\nRssAnon:\t     312 kB\nRssAnonX:\t1 kB\nThreads:\t1\n";
        uint64_t bytes = 42;

        assert_int_equal(process_parse_kib(text, "RssAnon", &bytes), 0);
        assert_int_equal(bytes, 312 * 1024);
        assert_int_equal(process_parse_kib(text, "Rss", &bytes), -ENOENT);
        assert_int_equal(process_parse_kib(text, "Threads", &bytes), -EINVAL);
        assert_int_equal(process_parse_kib("A: 18446744073709551615 kB\n", "A", &bytes), -EINVAL);
}

static void the_v2_line_of_cgroup_is_found_among_v1_lines(void **state) {
        _cleanup_(freep) char *hybrid = NULL, *root = NULL, *last = NULL;

        assert_int_equal(process_parse_cgroup("12:pids:/a\n10:memory:/0::/b\n0::/user.slice/x: y\n", &hybrid), 0);
        assert_string_equal(hybrid, "/user.slice/x: y");
        assert_int_equal(process_parse_cgroup("0::/\n", &root), 0);
        assert_string_equal(root, "/");
        assert_int_equal(process_parse_cgroup("0::/end", &last), 0);
        assert_string_equal(last, "/end");
}

static void without_a_v2_line_there_is_no_group(void **state) {
        char *path = NULL;

        assert_int_equal(process_parse_cgroup("12:pids:/a\n10:memory:/b\n", &path), -ENODATA);
        assert_int_equal(process_parse_cgroup("", &path), -ENODATA);
        assert_int_equal(process_parse_cgroup("10::/x\n", &path), -ENODATA);
        assert_int_equal(process_parse_cgroup("0::\n", &path), -ENODATA);
        assert_null(path);
}

static void a_child_is_identified(void **state) {
        Child *child = started(state);
        ProcessIdentity identity, self;

        assert_int_equal(process_identity(child->pid, &identity), 0);
        assert_int_equal(identity.pid, child->pid);
        assert_int_equal(identity.parent, getpid());
        assert_int_equal(identity.uid_real, getuid());
        assert_int_equal(identity.uid_effective, geteuid());
        assert_non_null(strchr("RSD", identity.state));
        assert_int_equal(process_identity(getpid(), &self), 0);
        assert_true(self.start_ticks > 0);
        assert_true(identity.start_ticks >= self.start_ticks);
        assert_int_equal(self.parent, getppid());
}

static void a_process_that_renames_itself_stays_identified(void **state) {
        static const char name[] = "a) R 1 (b\nc d";
        ProcessIdentity before, after;
        char saved[16], comm[16];

        assert_int_equal(process_identity(getpid(), &before), 0);
        assert_int_equal(process_comm(getpid(), saved), 0);
        assert_int_equal(prctl(PR_SET_NAME, name), 0);
        assert_int_equal(process_identity(getpid(), &after), 0);
        assert_int_equal(process_comm(getpid(), comm), 0);
        assert_int_equal(prctl(PR_SET_NAME, saved), 0);
        assert_string_equal(comm, name);
        assert_int_equal(after.parent, before.parent);
        assert_int_equal(after.start_ticks, before.start_ticks);
}

static void a_pidfd_knows_its_pid_and_signals_it(void **state) {
        Child *child = started(state);

        assert_true(fcntl(child->pidfd, F_GETFD) & FD_CLOEXEC);
        assert_int_equal(pidfd_pid(child->pidfd), child->pid);
        assert_false(pidfd_ended(child->pidfd));
        assert_int_equal(pidfd_signal(child->pidfd, 0), 0);
        assert_int_equal(pidfd_signal(child->pidfd, SIGTERM), 0);
        wait_readable(child->pidfd);
        assert_true(pidfd_ended(child->pidfd));
}

static void a_zombie_tells_how_it_ended(void **state) {
        Child *child = started(state);
        ProcessIdentity identity;
        int status = 42;

        assert_int_equal(process_identity(child->pid, &identity), 0);
        assert_int_equal(process_exit_status(child->pid, identity.start_ticks, child->pidfd, &status), -EAGAIN);
        assert_int_equal(pidfd_signal(child->pidfd, SIGTERM), 0);
        wait_readable(child->pidfd);
        assert_int_equal(process_exit_status(child->pid, identity.start_ticks, child->pidfd, &status), 0);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGTERM);
        /* Of another process that had this number nothing is told. */
        assert_true(process_exit_status(child->pid, identity.start_ticks + 1, -EBADF, &status) < 0);
}

/* Known from Linux 6.15 on; never wrong. */
static void one_that_is_collected_tells_its_pidfd_or_nobody(void **state) {
        Child *child = started(state);
        ProcessIdentity identity;
        int status = 42, r, pidfd;

        assert_int_equal(process_identity(child->pid, &identity), 0);
        pidfd = pidfd_open_pid(child->pid);
        child->stdin = close_fd(child->stdin); /* cat ends with 0 */
        wait_readable(child->pidfd);
        assert_int_equal(waitpid(child->pid, NULL, 0), child->pid);
        r = process_exit_status(child->pid, identity.start_ticks, pidfd, &status);
        close_fd(pidfd);
        if (r == 0)
                assert_int_equal(status, 0);
        else
                assert_int_equal(r, -ENODATA);
        *child = start_child(environ);
}

static void the_exit_status_is_the_last_field_of_stat(void **state) {
        static const char fields[] =
                " Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30"
                " 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48";
        _cleanup_(freep) char *whole = text_printf("7 (a) b)%s 1792\n", fields);
        _cleanup_(freep) char *cut = text_printf("7 (a) b)%s\n", fields),
                              *large = text_printf("7 (a)%s 65536\n", fields);
        int status = 0;

        assert_int_equal(process_parse_exit_status(whole, &status), 0);
        assert_int_equal(WEXITSTATUS(status), 7);
        assert_int_equal(process_parse_exit_status(cut, &status), -EINVAL);
        assert_int_equal(process_parse_exit_status(large, &status), -EINVAL);
        assert_int_equal(process_parse_exit_status("", &status), -EINVAL);
}

static int find_child(pid_t child, void *userdata) {
        return child == *(const pid_t *)userdata;
}

static void children_are_found(void **state) {
        Child *child = started(state);
        int r = process_each_child(getpid(), find_child, &child->pid);

        if (r == -EOPNOTSUPP) {
                print_message("no /proc/PID/task/TID/children here\n");
                skip();
        }
        assert_int_equal(r, 1);
        assert_int_equal(process_each_child(child->pid, find_child, &child->pid), 0);
        assert_int_equal(process_each_child(1 << 22, find_child, &child->pid), -ESRCH);
}

static void a_zombie_has_ended_and_still_has_an_identity(void **state) {
        Child *child = started(state);
        _cleanup_(freep) char *cmdline = NULL;
        uint64_t bytes = 42, a, b, c;
        ProcessIdentity identity;
        size_t length = 42;

        end_child(child);
        assert_true(pidfd_ended(child->pidfd));
        assert_int_equal(pidfd_pid(child->pidfd), child->pid);
        assert_int_equal(process_identity(child->pid, &identity), 0);
        assert_int_equal(identity.state, 'Z');
        assert_int_equal(process_rss(child->pid, &bytes), 0);
        assert_int_equal(bytes, 0);
        assert_int_equal(process_cmdline(child->pid, 100, &cmdline, &length), 0);
        assert_string_equal(cmdline, "");
        assert_int_equal(length, 0);
        assert_true(process_pss(child->pid, &a, &b, &c) < 0);
}

static void a_reaped_process_is_esrch_everywhere(void **state) {
        Child *child = started(state);
        _cleanup_(close_fdp) int pidfd = fcntl(child->pidfd, F_DUPFD_CLOEXEC, 0);
        ProcessIdentity identity;
        uint64_t a, b, c;
        char *text = NULL, comm[16];

        end_child(child);
        reap_child(child);
        assert_int_equal(pidfd_pid(pidfd), -ESRCH);
        assert_int_equal(pidfd_signal(pidfd, SIGKILL), -ESRCH);
        assert_true(pidfd_ended(pidfd));
        /* Nothing is forked in between: the number is not taken again. */
        assert_int_equal(pidfd_open_pid(child->pid), -ESRCH);
        assert_int_equal(process_identity(child->pid, &identity), -ESRCH);
        assert_int_equal(process_comm(child->pid, comm), -ESRCH);
        assert_int_equal(process_cmdline(child->pid, 10, &text, NULL), -ESRCH);
        assert_int_equal(process_rss(child->pid, &a), -ESRCH);
        assert_int_equal(process_pss(child->pid, &a, &b, &c), -ESRCH);
        assert_int_equal(process_environment(child->pid, "X", &text), -ESRCH);
        assert_int_equal(process_cgroup(child->pid, &text), -ESRCH);
        assert_null(text);
}

static void numbers_that_are_no_pids_are_esrch(void **state) {
        ProcessIdentity identity;

        require_pidfds();
        assert_int_equal(process_identity(0, &identity), -ESRCH);
        assert_int_equal(process_identity(-1, &identity), -ESRCH);
        assert_true(pidfd_open_pid(-1) < 0);
}

static void an_fd_that_is_no_pidfd_is_ebadf(void **state) {
        _cleanup_(close_fdp) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

        require_pidfds();
        assert_int_equal(pidfd_pid(fd), -EBADF);
        assert_int_equal(pidfd_pid(-1), -EBADF);
        assert_int_equal(pidfd_pid(1 << 20), -EBADF);
        assert_int_equal(pidfd_signal(fd, 0), -EBADF);
        assert_false(pidfd_ended(-1));
}

static void a_command_line_is_joined_by_blanks(void **state) {
        Child *child = started(state);
        _cleanup_(freep) char *cmdline = NULL;
        char comm[16];
        size_t length;

        assert_int_equal(process_cmdline(child->pid, 100, &cmdline, &length), 0);
        assert_string_equal(cmdline, "cat -u -");
        assert_int_equal(length, 8);
        assert_int_equal(process_comm(child->pid, comm), 0);
        assert_string_equal(comm, "cat");
}

static void a_command_line_is_capped_and_its_true_length_told(void **state) {
        Child *child = started(state);

        for (size_t max = 0; max <= 10; max++) {
                _cleanup_(freep) char *cmdline = NULL;
                size_t length = 42;

                assert_int_equal(process_cmdline(child->pid, max, &cmdline, &length), 0);
                assert_int_equal(length, 8);
                assert_int_equal(strlen(cmdline), MIN_OF(max, (size_t)8));
                assert_memory_equal(cmdline, "cat -u -", strlen(cmdline));
        }
}

static void a_variable_is_found_by_its_whole_name(void **state) {
        Child *child = started(state);
        _cleanup_(freep) char *id = NULL, *empty = NULL;
        char *none = NULL;

        assert_int_equal(process_environment(child->pid, "SCIDEX_RUN_ID", &id), 0);
        assert_string_equal(id, "a=b");
        assert_int_equal(process_environment(child->pid, "EMPTY", &empty), 0);
        assert_string_equal(empty, "");
        assert_int_equal(process_environment(child->pid, "SCIDEX_RUN", &none), -ENOENT);
        assert_int_equal(process_environment(child->pid, "", &none), -ENOENT);
        assert_null(none);
}

static void the_group_of_a_child_is_its_parents(void **state) {
        Child *child = started(state);
        _cleanup_(freep) char *own = NULL, *childs = NULL;
        int r = process_cgroup(getpid(), &own);

        if (r == -ENODATA) {
                print_message("no cgroup v2 hierarchy on this host\n");
                skip();
        }
        assert_int_equal(r, 0);
        assert_int_equal(own[0], '/');
        assert_int_equal(process_cgroup(child->pid, &childs), 0);
        assert_string_equal(childs, own);
}

/* Touches the shared memory, says so, and stays until the other end is closed. */
_Noreturn static void touch_shared(char *shared, int channel) {
        char byte = 'x';

        memset(shared, 2, SHARED_BYTES);
        (void)!write(channel, &byte, 1);
        (void)!read(channel, &byte, 1);
        _exit(0);
}

static void shared_memory_counts_whole_in_rss_and_shared_out_in_pss(void **state) {
        char *shared = mmap(NULL, SHARED_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        uint64_t anon, shmem, file, rss;
        int ends[2], r;
        char byte;
        pid_t pid;

        assert_ptr_not_equal(shared, MAP_FAILED);
        memset(shared, 1, SHARED_BYTES);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
                touch_shared(shared, ends[1]);
        wait_readable(ends[0]);
        assert_int_equal(read(ends[0], &byte, 1), 1);

        assert_int_equal(process_rss(pid, &rss), 0);
        r = process_pss(pid, &anon, &shmem, &file);
        assert_int_equal(write(ends[0], "x", 1), 1);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close_fd(ends[0]);
        close_fd(ends[1]);
        assert_int_equal(munmap(shared, SHARED_BYTES), 0);

        assert_true(rss >= SHARED_BYTES);
        assert_int_equal(r, 0);
        assert_true(shmem >= SHARED_BYTES * 4 / 10 && shmem <= SHARED_BYTES * 6 / 10);
        assert_true(anon > 0 && file > 0);
}

#define child_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(stat_is_read_whatever_the_name_holds),
                cmocka_unit_test(negative_fields_before_the_start_time_do_no_harm),
                cmocka_unit_test(who_is_killed_or_ending_is_told_apart),
                cmocka_unit_test(stat_that_is_cut_or_garbled_is_refused),
                cmocka_unit_test(uids_are_the_first_three_of_their_line),
                cmocka_unit_test(a_process_in_a_pid_namespace_below_has_a_second_number),
                cmocka_unit_test(kib_lines_are_bytes),
                cmocka_unit_test(the_v2_line_of_cgroup_is_found_among_v1_lines),
                cmocka_unit_test(without_a_v2_line_there_is_no_group),
                child_test(a_child_is_identified),
                cmocka_unit_test(a_process_that_renames_itself_stays_identified),
                child_test(a_pidfd_knows_its_pid_and_signals_it),
                child_test(a_zombie_has_ended_and_still_has_an_identity),
                child_test(a_zombie_tells_how_it_ended),
                child_test(one_that_is_collected_tells_its_pidfd_or_nobody),
                cmocka_unit_test(the_exit_status_is_the_last_field_of_stat),
                child_test(children_are_found),
                child_test(a_reaped_process_is_esrch_everywhere),
                cmocka_unit_test(numbers_that_are_no_pids_are_esrch),
                cmocka_unit_test(an_fd_that_is_no_pidfd_is_ebadf),
                child_test(a_command_line_is_joined_by_blanks),
                child_test(a_command_line_is_capped_and_its_true_length_told),
                child_test(a_variable_is_found_by_its_whole_name),
                child_test(the_group_of_a_child_is_its_parents),
                cmocka_unit_test(shared_memory_counts_whole_in_rss_and_shared_out_in_pss),
        };

        return cmocka_run_group_tests_name("base-process", tests, NULL, NULL);
}
