/* What launchers leave beside the system's socket, and what of it is believed. */
#include "supervise/left.h"

#include "base/clock.h"
#include "base/file.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct Scratch {
        char directory[32];
        char *socket, *file;
        int fd;
        Run *run;
} Scratch;

static int setup(void **state) {
        static Scratch scratch;
        RunRequest request;

        memcpy(scratch.directory, "/tmp/left-XXXXXX", sizeof("/tmp/left-XXXXXX"));
        assert_non_null(mkdtemp(scratch.directory));
        scratch.socket = text_printf("%s/control", scratch.directory);
        scratch.fd = left_open(scratch.socket, getegid());
        assert_true(scratch.fd >= 0);
        request_init(&request);
        assert_int_equal(run_new(&request, clock_realtime_usec() - USEC_PER_SEC, clock_boottime_usec() - USEC_PER_SEC,
                                 &scratch.run),
                0);
        scratch.run->uid = geteuid();
        scratch.file = text_printf("%s.json", scratch.run->id.text);
        *state = &scratch;
        return 0;
}

static int teardown(void **state) {
        Scratch *scratch = *state;
        _cleanup_(freep) char *left = text_printf("%s.left", scratch->socket);

        (void)unlinkat(scratch->fd, scratch->file, 0);
        (void)close_fd(scratch->fd);
        assert_int_equal(rmdir(left), 0);
        run_free(scratch->run);
        free(scratch->socket);
        free(scratch->file);
        return rmdir(scratch->directory);
}

static void leave(const Scratch *scratch, const char *run_id, uint64_t ended_at, uint64_t ended_usec) {
        _cleanup_(freep) char *text = text_printf("{\"v\":1,\"run_id\":\"%s\",\"wait_status\":768,\"exec_errno\":0,"
                                                  "\"forwarded\":2,\"verdict\":\"completed\",\"backstop\":true,"
                                                  "\"ended_at\":%llu,\"ended_usec\":%llu}",
                run_id, (unsigned long long)ended_at, (unsigned long long)ended_usec);

        assert_int_equal(file_replace_at(scratch->fd, scratch->file, text, strlen(text), 0600), 0);
}

static void the_status_is_taken_and_the_verdict_is_not(void **state) {
        Scratch *scratch = *state;
        Run *run = scratch->run;
        uint64_t at = clock_realtime_usec() - 1000, usec = clock_boottime_usec() - 1000;

        leave(scratch, run->id.text, at, usec);
        assert_true(left_take(scratch->fd, run));
        assert_int_equal(run->wait_status, 768);
        assert_int_equal(run->forwarded, 2);
        assert_true(run->status_known && run->main_exited && run->launcher_gone && run->backstop);
        assert_int_equal(run->verdict, VERDICT_NONE);
        assert_int_equal(run->left_at, at);
        assert_int_equal(run->left_usec, usec);
        left_forget(scratch->fd, run->id.text);
        assert_int_equal(faccessat(scratch->fd, scratch->file, F_OK, 0), -1);
}

static void an_end_before_the_start_or_in_the_future_is_not_its_time(void **state) {
        Scratch *scratch = *state;

        leave(scratch, scratch->run->id.text, 1, 1);
        assert_true(left_take(scratch->fd, scratch->run));
        assert_int_equal(scratch->run->left_usec, 0);
        scratch->run->status_known = false;
        leave(scratch, scratch->run->id.text, UINT64_MAX / 4, UINT64_MAX / 4);
        assert_true(left_take(scratch->fd, scratch->run));
        assert_int_equal(scratch->run->left_usec, 0);
}

static void assert_not_taken(Scratch *scratch) {
        assert_false(left_take(scratch->fd, scratch->run));
        assert_false(scratch->run->status_known || scratch->run->launcher_gone);
}

static void what_another_uid_has_written_is_not_believed(void **state) {
        Scratch *scratch = *state;

        leave(scratch, scratch->run->id.text, 1, 1);
        scratch->run->uid = geteuid() + 1;
        assert_not_taken(scratch);
}

static void what_tells_of_another_run_is_not_believed(void **state) {
        leave(*state, "01a1fdb6-66a9-7a24-8815-3ab85d435d90", 1, 1);
        assert_not_taken(*state);
}

static void no_link_is_followed_and_no_fifo_waited_for(void **state) {
        Scratch *scratch = *state;
        _cleanup_(freep) char *target = text_printf("%s/target", scratch->directory);

        leave(scratch, scratch->run->id.text, 1, 1);
        assert_int_equal(renameat(scratch->fd, scratch->file, AT_FDCWD, target), 0);
        assert_int_equal(symlinkat(target, scratch->fd, scratch->file), 0);
        assert_not_taken(scratch);
        assert_int_equal(unlinkat(scratch->fd, scratch->file, 0), 0);
        assert_int_equal(linkat(AT_FDCWD, target, scratch->fd, scratch->file, 0), 0);
        assert_not_taken(scratch); /* a second name: somebody may be writing to it through the other */
        assert_int_equal(unlinkat(scratch->fd, scratch->file, 0), 0);
        assert_int_equal(unlink(target), 0);
        assert_int_equal(mkfifoat(scratch->fd, scratch->file, 0600), 0);
        assert_not_taken(scratch);
}

static void half_a_file_is_none(void **state) {
        Scratch *scratch = *state;

        assert_int_equal(file_replace_at(scratch->fd, scratch->file, "{\"v\":1,", 7, 0600), 0);
        assert_not_taken(scratch);
}

static void members_may_write_and_not_list(void **state) {
        const Scratch *scratch = *state;
        struct stat st;

        assert_int_equal(fstat(scratch->fd, &st), 0);
        assert_int_equal(st.st_mode & 07777, 01730);
        assert_int_equal(st.st_gid, getegid());
}

int main(void) {
#define WITH_RUN(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                WITH_RUN(the_status_is_taken_and_the_verdict_is_not),
                WITH_RUN(an_end_before_the_start_or_in_the_future_is_not_its_time),
                WITH_RUN(what_another_uid_has_written_is_not_believed),
                WITH_RUN(what_tells_of_another_run_is_not_believed),
                WITH_RUN(no_link_is_followed_and_no_fifo_waited_for),
                WITH_RUN(half_a_file_is_none),
                WITH_RUN(members_may_write_and_not_list),
        };

        return cmocka_run_group_tests_name("supervise-left", tests, NULL, NULL);
}
