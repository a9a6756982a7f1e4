/* cgroup/spawn.c: where the program starts, with what it starts, and why it did not. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/spawn.h"
#include "scratch.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Runs what argv says with stdout and stderr in a pipe, and reads all of it. */
typedef struct Result {
        int r, exec_error, status;
        char *output; /* owned */
} Result;

static void result_deinit(Result *result) {
        free(result->output);
}

static char *read_to_end(int fd) {
        char *text = calloc(1, 65536);
        size_t size = 0;
        ssize_t n;

        assert_non_null(text);
        while (size < 65535 && wait_fd(fd, POLLIN) && (n = read(fd, text + size, 65535 - size)) > 0)
                size += (size_t)n;
        return text;
}

static Result run(SpawnOptions options, int group_fd, bool open_gate) {
        Result result = {};
        Spawned spawned = {};
        int fds[2], saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

        assert_true(saved >= 0);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        (void)fflush(stdout);
        assert_int_equal(dup2(fds[1], STDOUT_FILENO), STDOUT_FILENO);
        result.r = spawn_process(&options, group_fd, &spawned);
        assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
        close_fd(saved);
        close_fd(fds[1]);
        if (result.r != 0) {
                result.output = strdup("");
        } else {
                if (open_gate)
                        assert_int_equal(write(spawned.gate_fd, "+", 1), 1);
                else
                        spawned.gate_fd = close_fd(spawned.gate_fd);
                result.exec_error = spawn_wait_exec(&spawned);
                result.output = read_to_end(fds[0]);
                assert_true(wait_fd(spawned.pidfd, POLLIN));
                assert_int_equal(waitpid(spawned.pid, &result.status, 0), spawned.pid);
                spawned_deinit(&spawned);
        }
        close_fd(fds[0]);
        return result;
}

#define ARGV(...) ((char **)(const char *[]){ __VA_ARGS__, NULL })

static void the_program_starts_inside_the_group(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(result_deinit) Result result = {};

        need_clone3();
        result = run((SpawnOptions){ .argv = ARGV("grep", "^0::", "/proc/self/cgroup") }, scratch->group.fd, false);
        assert_int_equal(result.r, 0);
        assert_int_equal(result.exec_error, 0);
        assert_int_equal(result.status, 0);
        assert_non_null(strstr(result.output, scratch->group.name));
}

static void without_a_group_it_waits_at_the_gate(void **state) {
        Spawned spawned;
        SpawnOptions options = { .argv = ARGV("true") };
        int status;

        assert_int_equal(spawn_process(&options, -1, &spawned), 0);
        assert_true(spawned.gate_fd >= 0 && spawned.pidfd >= 0);
        assert_int_equal(poll(&(struct pollfd){ .fd = spawned.exec_fd, .events = POLLIN }, 1, 50), 0);
        assert_int_equal(write(spawned.gate_fd, "+", 1), 1);
        assert_int_equal(spawn_wait_exec(&spawned), 0);
        assert_true(wait_fd(spawned.pidfd, POLLIN));
        assert_int_equal(waitpid(spawned.pid, &status, 0), spawned.pid);
        assert_int_equal(status, 0);
        spawned_deinit(&spawned);
}

static void a_gate_that_closes_ends_the_child_without_an_exec(void **state) {
        _cleanup_(result_deinit) Result result = run((SpawnOptions){ .argv = ARGV("echo", "ran") }, -1, false);

        assert_int_equal(result.exec_error, 0);
        assert_true(WIFEXITED(result.status));
        assert_int_equal(WEXITSTATUS(result.status), 125);
        assert_string_equal(result.output, "");
}

static void the_exit_status_is_the_programs_own(void **state) {
        _cleanup_(result_deinit) Result result = run((SpawnOptions){ .argv = ARGV("sh", "-c", "exit 7") }, -1, true);

        assert_int_equal(WEXITSTATUS(result.status), 7);
}

static void every_program_that_cannot_start_says_why(void **state) {
        static const struct {
                const char *name;
                int error;
        } cases[] = {
                { "", ENOENT },
                { "no-such-program-here", ENOENT },
                { "/no/such/file", ENOENT },
                { "/etc/passwd", EACCES },
                { "/etc", EACCES },
                { "/etc/passwd/x", ENOTDIR },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(result_deinit) Result result = run((SpawnOptions){ .argv = ARGV(cases[i].name) }, -1, true);

                assert_int_equal(result.r, 0);
                assert_int_equal(result.exec_error, cases[i].error);
                assert_int_equal(WEXITSTATUS(result.status), cases[i].error == ENOENT ? 127 : 126);
        }
}

/* A directory with the files `plain` (no execute right), `script` (no #!) and a sub-directory `ls`. */
static char *make_bin(void) {
        char *path = strdup("/tmp/scidex-test-bin-XXXXXX");
        _cleanup_(freep) char *plain = NULL, *script = NULL, *ls = NULL;
        int fd;

        assert_non_null(mkdtemp(path));
        plain = text_printf("%s/plain", path);
        script = text_printf("%s/script", path);
        ls = text_printf("%s/ls", path);
        fd = open(plain, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        close_fd(fd);
        fd = open(script, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "echo \"$0 $1\"\n", 13), 13);
        close_fd(fd);
        assert_int_equal(mkdir(ls, 0755), 0);
        return path;
}

static void remove_bin(char *path) {
        static const char *const names[] = { "plain", "script" };
        _cleanup_(freep) char *ls = text_printf("%s/ls", path);

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *file = text_printf("%s/%s", path, names[i]);

                (void)unlink(file);
        }
        (void)rmdir(ls);
        (void)rmdir(path);
        free(path);
}

static void the_path_searched_is_the_programs_own(void **state) {
        char *bin = make_bin();
        _cleanup_(freep) char *path = text_printf("PATH=%s:/usr/bin:/bin", bin),
                              *only = text_printf("PATH=/nowhere:%s", bin),
                              *expected = text_printf("%s/script one\n", bin);
        Result result;

        result = run((SpawnOptions){ .argv = ARGV("script", "one"), .environment = ARGV(path) }, -1, true);
        assert_int_equal(result.exec_error, 0);
        assert_string_equal(result.output, expected); /* without #! it is a script of /bin/sh, as execvp(3) has it */
        result_deinit(&result);

        /* A directory of that name is passed over, a later program is found. */
        result = run((SpawnOptions){ .argv = ARGV("ls", "-d", "/"), .environment = ARGV(path) }, -1, true);
        assert_int_equal(result.exec_error, 0);
        assert_string_equal(result.output, "/\n");
        result_deinit(&result);

        /* EACCES of one that may not be executed wins over ENOENT of the rest. */
        result = run((SpawnOptions){ .argv = ARGV("plain"), .environment = ARGV(only) }, -1, true);
        assert_int_equal(result.exec_error, EACCES);
        result_deinit(&result);
        remove_bin(bin);
}

static void the_environment_is_extended_and_replaced(void **state) {
        _cleanup_(result_deinit) Result result = {};

        assert_int_equal(setenv("SCIDEX_TEST_OLD", "old", 1), 0);
        assert_int_equal(setenv("SCIDEX_TEST_KEPT", "kept", 1), 0);
        assert_int_equal(setenv("SCIDEX_TEST_GONE", "inherited", 1), 0);
        result = run(
                (SpawnOptions){ .argv = ARGV("sh", "-c",
                                        "echo $SCIDEX_TEST_OLD $SCIDEX_TEST_KEPT $SCIDEX_TEST_NEW "
                                        "${SCIDEX_TEST_GONE-none}"),
                        .environment = ARGV("SCIDEX_TEST_OLD=replaced", "SCIDEX_TEST_NEW=a=b", "SCIDEX_TEST_GONE") },
                -1, true);
        assert_string_equal(result.output, "replaced kept a=b none\n");
        assert_string_equal(getenv("SCIDEX_TEST_OLD"), "old");
}

static void handler_of_the_launcher(int signal) {
}

/* Value of a SigXxx line of the child's /proc/self/status. */
static uint64_t status_signals(const char *output, const char *key) {
        const char *line = strstr(output, key);

        assert_non_null(line);
        return strtoull(line + strlen(key), NULL, 16);
}

#define BIT(signal) (UINT64_C(1) << ((signal)-1))

static void mask_and_dispositions_are_those_the_launcher_was_started_with(void **state) {
        sigset_t ours, theirs, old;
        uint64_t ignored;
        Result result;

        assert_int_equal(sigfillset(&ours), 0);
        assert_int_equal(sigprocmask(SIG_SETMASK, &ours, &old), 0);
        (void)signal(SIGUSR1, handler_of_the_launcher);
        (void)signal(SIGUSR2, SIG_IGN);
        assert_int_equal(sigemptyset(&theirs), 0);
        assert_int_equal(sigaddset(&theirs, SIGHUP), 0);
        for (int ignore = 0; ignore < 2; ignore++) {
                result = run(
                        (SpawnOptions){
                                .argv = ARGV("cat", "/proc/self/status"), .mask = &theirs, .ignore_sigchld = ignore },
                        -1, true);
                assert_int_equal(status_signals(result.output, "SigBlk:"), BIT(SIGHUP));
                ignored = status_signals(result.output, "SigIgn:");
                assert_false(ignored & BIT(SIGUSR1));
                assert_true(ignored & BIT(SIGUSR2));
                assert_int_equal(!!(ignored & BIT(SIGCHLD)), ignore);
                assert_int_equal(status_signals(result.output, "SigCgt:"), 0);
                result_deinit(&result);
        }
        (void)signal(SIGUSR1, SIG_DFL);
        (void)signal(SIGUSR2, SIG_DFL);
        assert_int_equal(sigprocmask(SIG_SETMASK, &old, NULL), 0);
}

static void fds_of_the_program_stay_and_ours_do_not_leak(void **state) {
        Scratch *scratch = scratch_need(state);
        int theirs = fcntl(STDOUT_FILENO, F_DUPFD, 77);
        Result before, gated;

        need_clone3();
        assert_int_equal(theirs, 77);
        before = run((SpawnOptions){ .argv = ARGV("sh", "-c", "echo /proc/self/fd/*") }, scratch->group.fd, false);
        gated = run((SpawnOptions){ .argv = ARGV("sh", "-c", "echo /proc/self/fd/*") }, -1, true);
        assert_non_null(strstr(before.output, "/77"));
        assert_string_equal(before.output, gated.output);
        assert_null(strstr(before.output, "/4"));
        result_deinit(&before);
        result_deinit(&gated);
        close_fd(theirs);
}

static void a_protected_launcher_does_not_protect_its_program(void **state) {
        Result result;

        if (file_write_at(AT_FDCWD, "/proc/self/oom_score_adj", "-10") < 0) {
                print_message("skipped: oom_score_adj cannot be lowered here\n");
                skip();
        }
        result = run((SpawnOptions){ .argv = ARGV("cat", "/proc/self/oom_score_adj") }, -1, true);
        assert_int_equal(file_write_at(AT_FDCWD, "/proc/self/oom_score_adj", "10"), 0);
        assert_string_equal(result.output, "0\n");
        result_deinit(&result);
        result = run((SpawnOptions){ .argv = ARGV("cat", "/proc/self/oom_score_adj") }, -1, true);
        assert_int_equal(file_write_at(AT_FDCWD, "/proc/self/oom_score_adj", "0"), 0);
        assert_string_equal(result.output, "10\n");
        result_deinit(&result);
}

static void a_group_that_is_gone_is_an_error_before_anything_runs(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group group = GROUP_NONE;
        _cleanup_(result_deinit) Result result = {};

        need_clone3();
        assert_int_equal(group_create(scratch->group.fd, "run", &group), 0);
        assert_int_equal(group_remove(&group), 0);
        result = run((SpawnOptions){ .argv = ARGV("true") }, group.fd, false);
        assert_int_equal(result.r, -ENODEV);
}

static void a_limit_too_small_for_the_exec_is_no_exec_error(void **state) {
        Scratch *scratch = scratch_need_memory(state);
        const Limits limits = { 100 << 10, UINT64_MAX, 0, UINT64_MAX, UINT64_MAX };
        _cleanup_(group_deinit) Group group = GROUP_NONE;
        _cleanup_(result_deinit) Result result = {};
        LimitsKept kept;

        assert_int_equal(group_create(scratch->group.fd, "run", &group), 0);
        assert_int_equal(group_set_limits(&group, &limits, &kept), 0);
        result = run((SpawnOptions){ .argv = ARGV("true") }, group.fd, false);
        assert_int_equal(result.r, 0);
        assert_int_equal(result.exec_error, 0);
        assert_true(WIFSIGNALED(result.status) && WTERMSIG(result.status) == SIGKILL);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                T(the_program_starts_inside_the_group),
                cmocka_unit_test(without_a_group_it_waits_at_the_gate),
                cmocka_unit_test(a_gate_that_closes_ends_the_child_without_an_exec),
                cmocka_unit_test(the_exit_status_is_the_programs_own),
                cmocka_unit_test(every_program_that_cannot_start_says_why),
                cmocka_unit_test(the_path_searched_is_the_programs_own),
                cmocka_unit_test(the_environment_is_extended_and_replaced),
                cmocka_unit_test(mask_and_dispositions_are_those_the_launcher_was_started_with),
                T(fds_of_the_program_stay_and_ours_do_not_leak),
                cmocka_unit_test(a_protected_launcher_does_not_protect_its_program),
                T(a_group_that_is_gone_is_an_error_before_anything_runs),
                T(a_limit_too_small_for_the_exec_is_no_exec_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
