/* The recorder between users: who sees what, and whose the files are. */
#include "tests/unit/db/recorder-program.h"

#include "base/clock.h"
#include "control/client.h"
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int count_seen(const Program *program, const char *op, uid_t uid, gid_t gid) {
        _cleanup_(json_decrefp) json_t *request = message_request(op);
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;
        _cleanup_(close_fdp) int fd = -EBADF;

        if (setgroups(1, &gid) < 0 || setresuid(uid, uid, uid) < 0 || client_connect(program->socket_path, &fd) != 0 ||
                client_ask(fd, request, DEADLINE_MSEC * USEC_PER_MSEC, &reply) != 0)
                return 200;
        if (!json_is_true(json_object_get(reply.body, "ok")))
                return 201;
        return (int)json_integer_value(json_object_get(reply.body, "count"));
}

/* In a child, as the uid can't be changed back. */
static int count_seen_by(const Program *program, const char *op, uid_t uid, gid_t gid) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
                _exit(count_seen(program, op, uid, gid));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WEXITSTATUS(status);
}

static void others_see_their_own_rows_only(void **state) {
        static const char *const groups[] = { "--group", "700", "--group-name", "scidex", "--admin-group", "701",
                NULL };
        _cleanup_(program_deinit) Program program;

        if (geteuid() != 0) {
                print_message("not root: can't ask as another user\n");
                skip();
        }
        program_init(&program);
        assert_int_equal(chmod(program.scratch.top, 0755), 0);
        program_start_with(&program, groups);
        store_events(&program, 3); /* of uid 1000 */
        assert_int_equal(count_seen_by(&program, "kills", 0, 0), 3);
        assert_int_equal(count_seen_by(&program, "kills", 1000, 700), 3);
        assert_int_equal(count_seen_by(&program, "kills", 1001, 700), 0);
        assert_int_equal(count_seen_by(&program, "kills", 1001, 701), 3); /* an admin */
        assert_int_equal(count_seen_by(&program, "kills", 1000, 702), 201);
        assert_int_equal(count_seen_by(&program, "retry", 1001, 700), 201); /* what was refused may be anybody's */
        assert_int_equal(count_seen_by(&program, "dead", 1001, 700), 201);
        assert_int_equal(count_seen_by(&program, "retry", 1001, 701), 0);
}

static void without_a_group_nobody_else_reads(void **state) {
        _cleanup_(program_deinit) Program program;

        if (geteuid() != 0) {
                print_message("not root: can't ask as another user\n");
                skip();
        }
        program_init(&program);
        assert_int_equal(chmod(program.scratch.top, 0755), 0);
        program_start(&program);
        store_events(&program, 1);
        assert_int_equal(count_seen_by(&program, "kills", 0, 0), 1);
        assert_int_equal(count_seen_by(&program, "kills", 1000, 1000), 201);
}

static const char *const as_user[] = { "--uid", "1001", "--gid", "1002", NULL };

static bool status_has(pid_t pid, const char *line) {
        _cleanup_(freep) char *path = text_printf("/proc/%d/status", (int)pid), *text = NULL;

        assert_int_equal(file_read_at(AT_FDCWD, path, 65536, &text, NULL), 0);
        return strstr(text, line);
}

static void as_another_user_it_is_that_user_for_good(void **state) {
        _cleanup_(program_deinit) Program program;
        struct stat st;

        if (geteuid() != 0) {
                print_message("not root: can't become another user\n");
                skip();
        }
        program_init(&program);
        assert_int_equal(chmod(program.scratch.top, 0755), 0);
        assert_int_equal(setgroups(1, &(gid_t){ 4 }), 0); /* of root's */
        program_start_with(&program, as_user);
        assert_int_equal(setgroups(0, NULL), 0);
        store_events(&program, 1); /* it has started, and writes */
        assert_true(status_has(program.pid, "\nUid:\t1001\t1001\t1001\t1001\n"));
        assert_true(status_has(program.pid, "\nGid:\t1002\t1002\t1002\t1002\n"));
        assert_true(status_has(program.pid, "\nGroups:\t \n"));
        assert_true(status_has(program.pid, "\nCapPrm:\t0000000000000000\n"));
        assert_true(status_has(program.pid, "\nCapEff:\t0000000000000000\n"));
        assert_true(status_has(program.pid, "\nNoNewPrivs:\t1\n"));
        assert_int_equal(stat(program.scratch.directory, &st), 0);
        assert_int_equal(st.st_uid, 1001);
        assert_int_equal(st.st_gid, 1002);
        assert_int_equal(st.st_mode & 07777, 0750);
        assert_int_equal(stat(program.scratch.path, &st), 0);
        assert_int_equal(st.st_uid, 1001);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static char *file_in(const char *directory, const char *name) {
        char *path = text_printf("%s/%s", directory, name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
        return path;
}

static uid_t owner_of(const char *path) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return st.st_uid;
}

static void what_root_has_recorded_is_given_to_the_user_and_nothing_else(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(freep) char *victim = NULL, *twice = NULL, *mine = NULL, *by_link = NULL, *by_name = NULL;

        if (geteuid() != 0) {
                print_message("not root: can't become another user\n");
                skip();
        }
        program_init(&program);
        assert_int_equal(chmod(program.scratch.top, 0755), 0);
        program_start(&program);
        store_events(&program, 2);
        program.link = close_fd(program.link);
        assert_int_equal(program_wait(&program), 0);

        victim = file_in(program.scratch.top, "shadow");
        twice = file_in(program.scratch.top, "shadow-too");
        mine = file_in(program.scratch.directory, "notes");
        by_link = text_printf("%s-wal2", program.scratch.path);
        by_name = text_printf("%s-hard", program.scratch.path);
        assert_int_equal(symlink(victim, by_link), 0);
        assert_int_equal(link(twice, by_name), 0);
        program_start_with(&program, as_user);
        assert_int_equal(count_seen_by(&program, "kills", 0, 0), 2);
        assert_int_equal(owner_of(program.scratch.path), 1001);
        assert_int_equal(owner_of(program.scratch.directory), 1001);
        assert_int_equal(owner_of(victim), 0);
        assert_int_equal(owner_of(twice), 0);
        assert_int_equal(owner_of(mine), 0);
        assert_int_equal(owner_of(by_link), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(others_see_their_own_rows_only),
                cmocka_unit_test(without_a_group_nobody_else_reads),
                cmocka_unit_test(as_another_user_it_is_that_user_for_good),
                cmocka_unit_test(what_root_has_recorded_is_given_to_the_user_and_nothing_else),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
