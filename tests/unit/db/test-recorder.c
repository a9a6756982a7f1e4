/* The recorder and its supervisor: what is acknowledged is on the disk, whatever becomes of either. */
#include "tests/unit/db/recorder-program.h"

#include "base/clock.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define BIG_EVENTS 8 /* more than the log has got room for from before */
#define TRIES      5 /* a commit waits for the disk, which others use too: the best of these counts */

static void an_event_is_on_the_disk_when_it_is_acknowledged(void **state) {
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 1);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM watchdog_events"), 1);
}

/* How long the acknowledgement of an event takes that has two rows before it. */
static uint64_t event_usec(Program *program, int seq) {
        _cleanup_(freep) char *event_id = text_printf("e%d", seq), *run_id = text_printf("r0-%d", seq);
        uint64_t begin = clock_boottime_usec();
        int first = program->n + 1;

        send_row(program, "process", make_run("r1", "a", 0, AT));
        send_row(program, "run", make_run(run_id, "a", 0, AT));
        send_row(program, "event", make_event(event_id, "r1", seq, AT));
        for (int n = first; n < first + 3; n++)
                assert_acknowledged(program, n);
        return clock_boottime_usec() - begin;
}

static void what_stands_before_an_event_is_committed_with_it_in_order(void **state) {
        _cleanup_(program_deinit) Program program;
        uint64_t best = UINT64_MAX;

        program_init(&program);
        program_start(&program);
        await_storage(&program, "ok");
        for (int seq = 1; seq <= TRIES && best >= 400 * USEC_PER_MSEC; seq++)
                best = MIN_OF(best, event_usec(&program, seq));
        assert_true(best < 400 * USEC_PER_MSEC);
}

static void a_run_is_written_behind_by_less_than_a_second(void **state) {
        _cleanup_(program_deinit) Program program;
        uint64_t best = UINT64_MAX;

        program_init(&program);
        program_start(&program);
        await_storage(&program, "ok");
        for (int n = 1; n <= TRIES && best > 1000 * USEC_PER_MSEC; n++) {
                _cleanup_(freep) char *run_id = text_printf("r%d", n);
                uint64_t begin = clock_boottime_usec(), took;

                send_row(&program, "run", make_run(run_id, "a", 0, AT));
                assert_acknowledged(&program, n);
                took = clock_boottime_usec() - begin;
                assert_true(took >= 300 * USEC_PER_MSEC);
                best = MIN_OF(best, took);
        }
        assert_true(best <= 1000 * USEC_PER_MSEC);
}

static void a_packet_that_is_no_row_is_answered_and_holds_nothing_up(void **state) {
        static const char *const wrong[] = { "{\"v\":1,\"op\":\"nonsense\",\"n\":1}",
                "{\"v\":1,\"op\":\"event\",\"n\":2}", "{\"v\":1,\"op\":\"run\",\"n\":3,\"run\":7}", "{\"v\":1,\"n\":4}",
                "{\"v\":1,\"op\":7,\"n\":5}" };
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_(json_decrefp) json_t *reply = NULL;

                assert_int_equal(send(program.link, wrong[i], strlen(wrong[i]), 0), (ssize_t)strlen(wrong[i]));
                reply = receive_reply(&program);
                assert_true(json_is_false(json_object_get(reply, "ok")));
                assert_int_equal(json_integer_value(json_object_get(reply, "n")), (json_int_t)i + 1);
        }
        send_row(&program, "event", make_event("", "r1", 1, AT));
        {
                _cleanup_(json_decrefp) json_t *reply = receive_reply(&program);

                assert_true(json_is_false(json_object_get(reply, "ok")));
        }
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 2);
}

static void what_is_for_the_mirror_is_not_answered(void **state) {
        static const char *const tidings[] = { "{\"v\":1,\"op\":\"supervisor\",\"supervisor\":{}}",
                "{\"v\":1,\"op\":\"state\",\"rows\":[[\"r1\",\"grace\"]]}", "{\"v\":1,\"op\":\"samples\",\"rows\":[]}",
                "{\"v\":1,\"re\":\"look\",\"ok\":true,\"run_id\":\"r1\",\"run\":null}" };
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        await_storage(&program, "ok");
        for (size_t i = 0; i < ELEMENTSOF(tidings); i++)
                assert_int_equal(send(program.link, tidings[i], strlen(tidings[i]), 0), (ssize_t)strlen(tidings[i]));
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        {
                _cleanup_(json_decrefp) json_t *first = receive_reply(&program);

                assert_string_equal(json_string_value(json_object_get(first, "re")), "event");
                assert_true(json_is_true(json_object_get(first, "ok")));
        }
}

static void when_the_supervisor_hangs_up_what_is_pending_is_stored(void **state) {
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        for (int i = 0; i < 10; i++) {
                _cleanup_(freep) char *run_id = text_printf("r%d", i);

                send_row(&program, "run", make_run(run_id, "a", 0, AT));
        }
        program.link = close_fd(program.link);
        assert_int_equal(program_wait(&program), 0);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM watchdog_runs"), 10);
}

static void signals_of_a_terminal_do_not_end_it(void **state) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        await_storage(&program, "ok");
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                assert_int_equal(kill(program.pid, signals[i]), 0);
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 1);
        program.link = close_fd(program.link);
        assert_int_equal(program_wait(&program), 0);
}

static void after_kill_9_sending_again_doubles_nothing(void **state) {
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 1);
        assert_int_equal(kill(program.pid, SIGKILL), 0);
        assert_int_equal(WTERMSIG(program_wait(&program)), SIGKILL);
        program.link = close_fd(program.link);
        program_start(&program);
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 2);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM watchdog_events"), 1);
}

/* From one short write to the end of the space. */
static void fill(const Program *program) {
        _cleanup_(freep) char *path = text_printf("%s/filler", program->scratch.directory), *block = calloc(1, 4096);
        _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        while (write(fd, block, 4096) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
}

/* Fills the disk and sends events until the log has no room left for one. The number of those that still found room. */
static int send_until_full(Program *program) {
        int stored = 0;

        program_init(program);
        scratch_mount(&program->scratch, "2m");
        program_start(program);
        await_storage(program, "ok");
        fill(program);
        for (int seq = 1; seq <= BIG_EVENTS; seq++) {
                _cleanup_(freep) char *event_id = text_printf("e%d", seq);

                send_row(program, "event", big_event(event_id, seq));
        }
        for (;; stored++) {
                _cleanup_(json_decrefp) json_t *packet = receive(program->link);

                if (is_storage(packet)) {
                        assert_string_equal(storage_state(packet), "full");
                        return stored;
                }
                assert_int_equal(json_integer_value(json_object_get(packet, "n")), stored + 1);
        }
}

static void unfill(const Program *program) {
        _cleanup_(freep) char *filler = text_printf("%s/filler", program->scratch.directory);

        assert_int_equal(unlink(filler), 0);
}

static void a_full_disk_is_reported_and_retried_without_a_new_event(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int asker = -EBADF;
        _cleanup_(json_decrefp) json_t *answer = NULL;
        int stored = send_until_full(&program);

        send_row(&program, "run", make_run("r1", "a", 0, AT));
        unfill(&program);
        for (int n = stored + 1; n <= BIG_EVENTS + 1; n++)
                assert_acknowledged(&program, n);
        asker = connect_to(&program);
        answer = ask(asker, request_of("storage"));
        assert_string_equal(storage_state(answer), "ok");
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM watchdog_events"), BIG_EVENTS);
}

static void the_next_event_tries_a_failed_disk_at_once(void **state) {
        _cleanup_(program_deinit) Program program;
        int stored = send_until_full(&program);
        uint64_t begin;

        unfill(&program);
        begin = clock_boottime_usec();
        send_row(&program, "event", big_event("last", BIG_EVENTS + 1));
        for (int n = stored + 1; n <= BIG_EVENTS + 1; n++)
                assert_acknowledged(&program, n);
        assert_true(clock_boottime_usec() - begin < 800 * USEC_PER_MSEC);
}

static void without_a_supervisor_it_reads_and_changes_nothing(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int theirs = -EBADF;
        _cleanup_(json_decrefp) json_t *history = NULL;
        int pair[2];

        program_init(&program);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        program.link = above(pair[0]);
        theirs = above(pair[1]);
        {
                char *const argv[] = { (char *)"scidex-recorder", (char *)"--read", (char *)"--directory",
                        program.scratch.directory, (char *)"--fd", (char *)"3", NULL };

                program.pid = spawn(argv, theirs, -EBADF, &program.ended);
        }
        close_fdp(&theirs);
        history = ask(program.link, request_of("history"));
        assert_true(json_is_true(json_object_get(history, "end")));
        assert_int_equal(json_integer_value(json_object_get(history, "count")), 0);
        program.link = close_fd(program.link);
        assert_int_equal(program_wait(&program), 0);
        assert_int_equal(access(program.scratch.directory, F_OK), -1);
}

static void wrong_usage_is_status_64(void **state) {
        static const char *const wrong[][4] = {
                { "--directory", "/nowhere" },
                { "--supervisor-fd", "0" },
                { "--supervisor-fd", "99", "--directory", "/nowhere" },
                { "--read", "--directory", "/nowhere" },
                { "--supervisor-fd", "3", "--uid", "1000" },
                { "--uid", "x" },
                { "--frobnicate" },
                { "word" },
        };

        need_program();
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                char *argv[6] = { (char *)"scidex-recorder" };
                int status = 0;
                pid_t pid;

                for (size_t k = 0; k < ELEMENTSOF(wrong[i]); k++)
                        argv[k + 1] = (char *)wrong[i][k];
                pid = fork();
                if (pid == 0) {
                        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

                        if (dup2(null, 0) == 0 && dup2(null, 2) == 2)
                                (void)execv(RECORDER, argv);
                        _exit(127);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(WEXITSTATUS(status), 64);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_event_is_on_the_disk_when_it_is_acknowledged),
                cmocka_unit_test(what_stands_before_an_event_is_committed_with_it_in_order),
                cmocka_unit_test(a_run_is_written_behind_by_less_than_a_second),
                cmocka_unit_test(a_packet_that_is_no_row_is_answered_and_holds_nothing_up),
                cmocka_unit_test(what_is_for_the_mirror_is_not_answered),
                cmocka_unit_test(when_the_supervisor_hangs_up_what_is_pending_is_stored),
                cmocka_unit_test(signals_of_a_terminal_do_not_end_it),
                cmocka_unit_test(after_kill_9_sending_again_doubles_nothing),
                cmocka_unit_test(a_full_disk_is_reported_and_retried_without_a_new_event),
                cmocka_unit_test(the_next_event_tries_a_failed_disk_at_once),
                cmocka_unit_test(without_a_supervisor_it_reads_and_changes_nothing),
                cmocka_unit_test(wrong_usage_is_status_64),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
