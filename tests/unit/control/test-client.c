/*
 * The asking side: which socket under which environment, whose server, one question.
 *
 * The server of these tests is a bare listening socket; who answers is this process itself, before it asks.
 */
#include "control/client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "control/server.h"
#include "wire.h"
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOBODY 65534

static const char *const variables[] = { "SCIDEX_SOCKET", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "HOME" };

static int clear_environment(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(variables); i++)
                if (unsetenv(variables[i]) < 0)
                        return -1;
        return 0;
}

typedef struct PathCase {
        const char *socket_path, *runtime;
        bool private_only;
        const char *first, *second; /* NULL: none; "/tmp": /tmp/scidex-UID/control */
} PathCase;

static void put_environment(const char *name, const char *value) {
        assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void check_path(const char *path, const char *expected) {
        char own[64];

        if (!expected) {
                assert_null(path);
                return;
        }
        (void)snprintf(own, sizeof(own), "/tmp/scidex-%u/control", (unsigned)geteuid());
        assert_non_null(path);
        assert_string_equal(path, strcmp(expected, "/tmp") == 0 ? own : expected);
}

static void the_candidates_depend_on_the_environment(void **state) {
        static const PathCase cases[] = {
                { NULL, NULL, false, "/run/scidex/control", "/tmp" },
                { NULL, "/run/user/7", false, "/run/scidex/control", "/run/user/7/scidex/control" },
                { NULL, "run/user/7", false, "/run/scidex/control", "/tmp" }, /* relative: to be ignored */
                { NULL, "", false, "/run/scidex/control", "/tmp" },
                { "/x/y", "/run/user/7", false, "/x/y", NULL }, /* alone */
                { "y", NULL, false, "y", NULL },
                { "", "/run/user/7", false, "/run/scidex/control", "/run/user/7/scidex/control" },
                { NULL, NULL, true, "/tmp", NULL },
                { NULL, "/run/user/7", true, "/run/user/7/scidex/control", NULL },
                { "/x/y", "/run/user/7", true, "/x/y", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(client_paths_freep) char **paths = NULL;

                put_environment("SCIDEX_SOCKET", cases[i].socket_path);
                put_environment("XDG_RUNTIME_DIR", cases[i].runtime);
                assert_int_equal(client_socket_paths(cases[i].private_only, &paths), 0);
                check_path(paths[0], cases[i].first);
                check_path(paths[1], cases[i].second);
                assert_true(!paths[1] || !paths[2]);
        }
}

static void a_private_supervisor_binds_at_the_last_candidate(void **state) {
        static const PathCase cases[] = {
                { NULL, NULL, true, "/tmp", NULL },
                { NULL, "/run/user/7", true, "/run/user/7/scidex/control", NULL },
                { "/x/y", "/run/user/7", true, "/x/y", NULL },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(freep) char *path = NULL;

                put_environment("SCIDEX_SOCKET", cases[i].socket_path);
                put_environment("XDG_RUNTIME_DIR", cases[i].runtime);
                assert_int_equal(client_private_path(&path), 0);
                check_path(path, cases[i].first);
        }
}

static void the_record_socket_lies_beside_the_control_socket(void **state) {
        static const char *const pairs[][2] = {
                { "/run/scidex/control", "/run/scidex/record" },
                { "control", "record" },
                { "/x/mine", "/x/mine.record" },
                { "/x/control/mine", "/x/control/mine.record" },
                { "/x/mycontrol", "/x/mycontrol.record" },
        };

        for (size_t i = 0; i < ELEMENTSOF(pairs); i++) {
                _cleanup_(freep) char *path = NULL;

                assert_int_equal(client_record_path(pairs[i][0], &path), 0);
                assert_string_equal(path, pairs[i][1]);
        }
}

static void the_state_directory_is_the_users_own(void **state) {
        _cleanup_(freep) char *given = NULL, *home = NULL, *none = NULL;

        put_environment("XDG_STATE_HOME", "/x/state");
        put_environment("HOME", "/home/u");
        assert_int_equal(client_state_directory(&given), 0);
        assert_string_equal(given, "/x/state/scidex");
        put_environment("XDG_STATE_HOME", "relative");
        assert_int_equal(client_state_directory(&home), 0);
        assert_string_equal(home, geteuid() == 0 ? "/var/lib/scidex" : "/home/u/.local/state/scidex");
        put_environment("HOME", NULL);
        assert_int_equal(client_state_directory(&none), 0);
        assert_int_equal(none[0], '/');
}

static void the_record_named_by_path_lies_in_its_directory(void **state) {
        _cleanup_(freep) char *named = NULL, *top = NULL, *relative = NULL;

        put_environment("XDG_STATE_HOME", "/x/state");
        put_environment("SCIDEX_STORAGE_SQLITE", "/disk/scidex/spool.sqlite");
        assert_int_equal(client_state_directory(&named), 0);
        assert_string_equal(named, "/disk/scidex");
        put_environment("SCIDEX_STORAGE_SQLITE", "/spool.sqlite");
        assert_int_equal(client_state_directory(&top), 0);
        assert_string_equal(top, "/");
        put_environment("SCIDEX_STORAGE_SQLITE", "spool.sqlite");
        assert_int_equal(client_state_directory(&relative), 0);
        assert_string_equal(relative, "/x/state/scidex");
        put_environment("SCIDEX_STORAGE_SQLITE", NULL);
}

static char *place(void) {
        static char directory[32];

        (void)snprintf(directory, sizeof(directory), "/tmp/scidex-test-XXXXXX");
        assert_non_null(mkdtemp(directory));
        return directory;
}

static void clear_place(const char *directory, const char *path) {
        (void)unlink(path);
        (void)rmdir(directory);
}

static void each_way_of_not_connecting_has_its_result(void **state) {
        const char *directory = place();
        _cleanup_(freep) char *path = text_printf("%s/control", directory);
        char long_path[200];
        size_t n = fd_count();
        int fd = -EBADF, listening = -EBADF;

        memset(long_path, 'x', sizeof(long_path) - 1);
        long_path[sizeof(long_path) - 1] = '\0';
        assert_int_equal(client_connect(long_path, &fd), -ENAMETOOLONG);
        assert_int_equal(client_connect(path, &fd), CLIENT_E_NO_SOCKET);
        assert_int_equal(client_connect("/etc/passwd/control", &fd), CLIENT_E_NO_SOCKET);
        assert_int_equal(server_listen(path, 0600, PEER_GID_NONE, &listening), 0);
        close_fd(listening);
        assert_int_equal(client_connect(path, &fd), CLIENT_E_REFUSED);
        assert_int_equal(fd, -EBADF);
        assert_int_equal(fd_count(), n);
        clear_place(directory, path);
}

static void a_server_of_our_own_is_trusted(void **state) {
        const char *directory = place();
        _cleanup_(freep) char *path = text_printf("%s/control", directory);
        int fd = -EBADF, listening = -EBADF;

        assert_int_equal(server_listen(path, 0600, PEER_GID_NONE, &listening), 0);
        assert_int_equal(client_connect(path, &fd), 0);
        assert_true(fd >= 0);
        close_fd(fd);
        close_fd(listening);
        clear_place(directory, path);
}

static void a_full_queue_is_waited_for_a_moment_only_by_who_has_other_things_to_do(void **state) {
        const char *directory = place();
        _cleanup_(freep) char *path = text_printf("%s/control", directory);
        int fds[3] = { -EBADF, -EBADF, -EBADF }, listening = -EBADF, accepted;
        struct timeval wait;
        socklen_t size = sizeof(wait);
        uint64_t begin;

        assert_int_equal(server_listen(path, 0600, PEER_GID_NONE, &listening), 0);
        assert_int_equal(listen(listening, 0), 0); /* one more than that may wait */
        assert_int_equal(client_connect_now(path, &fds[0]), 0);
        begin = clock_boottime_usec();
        assert_int_equal(client_connect_now(path, &fds[1]), -EAGAIN);
        assert_true(clock_boottime_usec() - begin < 5 * USEC_PER_SEC);
        accepted = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        assert_true(accepted >= 0);
        assert_int_equal(client_connect(path, &fds[2]), 0);
        assert_int_equal(getsockopt(fds[2], SOL_SOCKET, SO_SNDTIMEO, &wait, &size), 0);
        assert_true(wait.tv_sec == 0 && wait.tv_usec == 0); /* to send is waited for as before */
        close_fd(accepted);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close_fd(fds[i]);
        close_fd(listening);
        clear_place(directory, path);
}

static int become(uid_t uid) {
        return setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0 ? 0 : -errno;
}

/* In a child of another uid; its result, which must be above 0 or a negative errno. */
static int in_child(uid_t uid, int (*act)(const char *path), const char *path) {
        pid_t pid = fork();
        int status;

        assert_true(pid >= 0);
        if (pid == 0)
                _exit(become(uid) < 0 ? 99 : act(path));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static int try_connect(const char *path) {
        int fd = -EBADF, r = client_connect(path, &fd);

        close_fd(fd);
        return r < 0 ? 90 : r;
}

static void need_root(void) {
        if (geteuid() != 0) {
                print_message("skipped: another uid is needed, and only root has one\n");
                skip();
        }
}

/* The listening socket keeps the credentials of who called listen(2): a child of another uid, which lives as long. */
static void a_server_of_another_user_is_foreign(void **state) {
        char *directory, byte;
        _cleanup_(freep) char *path = NULL;
        int ready[2], hold[2], fd = -EBADF;
        pid_t pid;

        need_root();
        directory = place();
        path = text_printf("%s/control", directory);
        assert_int_equal(chmod(directory, 0777), 0);
        assert_int_equal(pipe(ready), 0);
        assert_int_equal(pipe(hold), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                int listening = -EBADF;

                close_fd(hold[1]);
                if (become(NOBODY) < 0 || server_listen(path, 0666, PEER_GID_NONE, &listening) < 0)
                        _exit(1);
                (void)!write(ready[1], "+", 1);
                (void)!read(hold[0], &byte, 1); /* until the test is over */
                _exit(0);
        }
        ready[1] = close_fd(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_int_equal(client_connect(path, &fd), CLIENT_E_FOREIGN);
        assert_int_equal(fd, -EBADF);
        assert_int_equal(in_child(NOBODY, try_connect, path), 0); /* to its own user it is not */
        close_fd(hold[1]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        close_fd(hold[0]);
        close_fd(ready[0]);
        clear_place(directory, path);
}

static void roots_server_is_trusted_by_all_and_may_be_closed_to_some(void **state) {
        char *directory;
        _cleanup_(freep) char *path = NULL;
        int listening = -EBADF;

        need_root();
        directory = place();
        path = text_printf("%s/control", directory);
        assert_int_equal(chmod(directory, 0755), 0);
        assert_int_equal(server_listen(path, 0666, PEER_GID_NONE, &listening), 0);
        assert_int_equal(in_child(NOBODY, try_connect, path), 0);
        assert_int_equal(chmod(path, 0600), 0);
        assert_int_equal(in_child(NOBODY, try_connect, path), CLIENT_E_DENIED);
        close_fd(listening);
        clear_place(directory, path);
}

static void a_question_has_its_answer(void **state) {
        Pair *p = *state;
        _cleanup_(json_decrefp) json_t *request = message_request("status"), *answer = message_reply("status");
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE, question = MESSAGE_NONE;

        assert_int_equal(message_send(p->b, answer, NULL, 0), 0);
        assert_int_equal(client_ask(p->a, request, 10 * USEC_PER_SEC, &reply), 0);
        assert_true(json_equal(reply.body, answer));
        assert_int_equal(message_receive(p->b, &question), 0);
        assert_true(json_equal(question.body, request));
}

static void an_answer_sent_before_the_hang_up_counts(void **state) {
        Pair *p = *state;
        _cleanup_(json_decrefp) json_t *request = message_request("status"), *answer = message_reply("status");
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;

        assert_int_equal(message_send(p->a, request, NULL, 0), 0); /* never read: the close resets */
        assert_int_equal(message_send(p->b, answer, NULL, 0), 0);
        p->b = close_fd(p->b);
        assert_int_equal(message_receive(p->a, &reply), 0);
        assert_true(json_equal(reply.body, answer));
}

static void no_answer_is_a_timeout_or_a_hang_up(void **state) {
        Pair *p = *state;
        _cleanup_(json_decrefp) json_t *request = message_request("status");
        Message reply = MESSAGE_NONE;

        assert_int_equal(client_ask(p->a, request, 0, &reply), -ETIMEDOUT);
        assert_int_equal(client_ask(p->a, request, 1000, &reply), -ETIMEDOUT);
        p->b = close_fd(p->b);
        assert_int_equal(client_ask(p->a, request, USEC_INFINITY, &reply), -EPIPE);
}

int main(void) {
#define IN_ENVIRONMENT(test) cmocka_unit_test_setup_teardown(test, clear_environment, clear_environment)
#define WITH_PAIR(test)      cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)
        const struct CMUnitTest tests[] = {
                IN_ENVIRONMENT(the_candidates_depend_on_the_environment),
                IN_ENVIRONMENT(a_private_supervisor_binds_at_the_last_candidate),
                cmocka_unit_test(the_record_socket_lies_beside_the_control_socket),
                IN_ENVIRONMENT(the_state_directory_is_the_users_own),
                IN_ENVIRONMENT(the_record_named_by_path_lies_in_its_directory),
                cmocka_unit_test(each_way_of_not_connecting_has_its_result),
                cmocka_unit_test(a_server_of_our_own_is_trusted),
                cmocka_unit_test(a_full_queue_is_waited_for_a_moment_only_by_who_has_other_things_to_do),
                cmocka_unit_test(a_server_of_another_user_is_foreign),
                cmocka_unit_test(roots_server_is_trusted_by_all_and_may_be_closed_to_some),
                WITH_PAIR(a_question_has_its_answer),
                WITH_PAIR(an_answer_sent_before_the_hang_up_counts),
                WITH_PAIR(no_answer_is_a_timeout_or_a_hang_up),
        };

        return cmocka_run_group_tests_name("control-client", tests, NULL, NULL);
}
