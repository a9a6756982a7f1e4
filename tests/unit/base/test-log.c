/* base/log.h: one escaped line per call, on stderr. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Capture {
        int saved;    /* owned: the real stderr */
        int read_end; /* owned */
} Capture;

static int setup(void **state) {
        static Capture capture;
        int ends[2];

        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
                return -1;
        capture.saved = dup(STDERR_FILENO);
        capture.read_end = ends[0];
        if (dup2(ends[1], STDERR_FILENO) < 0)
                return -1;
        close_fd(ends[1]);
        *state = &capture;
        return unsetenv("JOURNAL_STREAM");
}

static int teardown(void **state) {
        Capture *capture = *state;

        if (dup2(capture->saved, STDERR_FILENO) < 0)
                return -1;
        capture->saved = close_fd(capture->saved);
        capture->read_end = close_fd(capture->read_end);
        return 0;
}

static void assert_written(Capture *capture, const char *expected) {
        char text[1024];
        ssize_t n = read(capture->read_end, text, sizeof(text) - 1);

        text[n < 0 ? 0 : n] = '\0';
        assert_string_equal(text, expected);
}

static void a_line_starts_with_the_program(void **state) {
        log_open("scidex-run", LOG_LEVEL_INFO);
        log_line(LOG_LEVEL_NOTICE, "%s %d", "hello", 42);
        assert_written(*state, "scidex-run: hello 42\n");
}

static void a_line_about_a_run_names_it(void **state) {
        static const char id[] = "01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0";

        log_open("p", LOG_LEVEL_INFO);
        log_run(LOG_LEVEL_NOTICE, id, "SDA-42", "killed");
        assert_written(*state, "p: [0868d8d0 SDA-42] killed\n");
        log_run(LOG_LEVEL_NOTICE, id, NULL, "killed");
        assert_written(*state, "p: [0868d8d0] killed\n");
        log_run(LOG_LEVEL_NOTICE, NULL, NULL, "killed");
        assert_written(*state, "p: killed\n");
}

static void lines_above_the_maximum_are_not_written(void **state) {
        log_open("p", LOG_LEVEL_WARNING);
        log_line(LOG_LEVEL_NOTICE, "no");
        log_run(LOG_LEVEL_DEBUG, "01234567", NULL, "no");
        assert_written(*state, "");
        log_line(LOG_LEVEL_WARNING, "yes");
        assert_written(*state, "p: yes\n");
}

static void a_newline_in_a_name_cannot_forge_a_line(void **state) {
        log_open("p", LOG_LEVEL_INFO);
        log_run(LOG_LEVEL_NOTICE, "01234567", "x\n<0>p: forged", "\x1b[2J");
        assert_written(*state, "p: [01234567 x\\x0a<0>p: forged] \\x1b[2J\n");
}

static void errno_stays_as_it_was(void **state) {
        log_open("p", LOG_LEVEL_INFO);
        errno = ENOSPC;
        log_line(LOG_LEVEL_ERROR, "%m");
        assert_int_equal(errno, ENOSPC);
        assert_written(*state, "p: No space left on device\n");
}

static void a_journal_without_its_own_socket_gets_the_level_and_no_program(void **state) {
        _cleanup_(freep) char *stream = NULL;
        struct stat st;

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        stream = text_printf("%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
        log_open("p", LOG_LEVEL_INFO);
        log_open_journal_at("/nonexistent/socket");
        log_line(LOG_LEVEL_WARNING, "hello");
        assert_written(*state, "<4>hello\n");
}

static void a_journal_stream_inherited_from_elsewhere_does_not_count(void **state) {
        assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
        log_open("p", LOG_LEVEL_INFO);
        log_open_journal();
        log_line(LOG_LEVEL_WARNING, "hello");
        assert_written(*state, "p: hello\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_line_starts_with_the_program, setup, teardown),
                cmocka_unit_test_setup_teardown(a_line_about_a_run_names_it, setup, teardown),
                cmocka_unit_test_setup_teardown(lines_above_the_maximum_are_not_written, setup, teardown),
                cmocka_unit_test_setup_teardown(a_newline_in_a_name_cannot_forge_a_line, setup, teardown),
                cmocka_unit_test_setup_teardown(errno_stays_as_it_was, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_journal_without_its_own_socket_gets_the_level_and_no_program, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        a_journal_stream_inherited_from_elsewhere_does_not_count, setup, teardown),
        };

        return cmocka_run_group_tests_name("base-log", tests, NULL, NULL);
}
