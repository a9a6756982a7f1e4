/*
 * The supervisor's link to its recorder, against recorders that are quick, deaf, or die.
 *
 * The recorder is this very program, started a second time: it knows by its arguments, and how it is to behave by the
 * name of its directory.
 */
#include "supervise/recorder.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "tests/unit/control/wire.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "control/message.h"

#define DEADLINE_USEC (20 * USEC_PER_SEC)
#define LINK_FD       3

/* The recorder. */

static void acknowledge(const Message *m) {
        const char *op = "";
        json_t *reply;

        (void)json_get_text(m->body, "op", &op);
        reply = message_reply(op);
        (void)json_object_set(reply, "n", json_object_get(m->body, "n"));
        (void)message_send(LINK_FD, reply, NULL, 0);
        json_decref(reply);
}

/* As a report of trouble, so that its text comes out at state_changed(). */
static void tell_what_came(const Message *m) {
        char *text = json_to_text(m->body);
        json_t *report =
                json_pack("{s:s, s:{s:s, s:s}}", "op", "storage", "storage", "state", "failed", "detail", text);

        (void)message_send(LINK_FD, report, NULL, 0);
        json_decref(report);
        free(text);
}

static void say_ok(void) {
        json_t *report = json_pack("{s:s, s:{s:s, s:i}}", "op", "storage", "storage", "state", "ok", "runs", 7);

        (void)message_send(LINK_FD, report, NULL, 0);
        json_decref(report);
}

static bool has_died_before(const char *directory) {
        int fd;

        if (chdir(directory) < 0)
                _exit(3);
        fd = open("died", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
        close_fd(fd);
        return fd < 0;
}

/* Returns when the test opens the other end. */
static void wait_at_gate(const char *directory) {
        int fd;

        if (chdir(directory) < 0)
                _exit(3);
        fd = open("gate", O_RDONLY | O_CLOEXEC);
        close_fd(fd);
}

static int be_recorder(const char *directory) {
        const char *way = strrchr(directory, '/') + 1;
        bool dies = strcmp(way, "dies") == 0 && !has_died_before(directory);

        if (strcmp(way, "deaf") == 0)
                wait_at_gate(directory);
        if (strcmp(way, "ok") == 0)
                say_ok();
        for (;;) {
                Message m = MESSAGE_NONE;

                if (message_receive(LINK_FD, &m) != 0)
                        return 0;
                if (dies) {
                        message_deinit(&m);
                        return 1;
                }
                if (strcmp(way, "tells") == 0)
                        tell_what_came(&m);
                acknowledge(&m);
                message_deinit(&m);
        }
}

/* The tests. */

typedef struct Link {
        sd_event *event;
        Recorder *recorder;
        char directory[32], *way; /* below it */
        char program[256];
        unsigned n_recorded, n_said;
        char op[16], id[64];
        char *said; /* the last state_changed() */
        bool bad;
        size_t n_fds;
} Link;

static void on_recorded(const char *op, const char *id, void *userdata) {
        Link *l = userdata;

        l->n_recorded++;
        (void)snprintf(l->op, sizeof(l->op), "%s", op);
        (void)snprintf(l->id, sizeof(l->id), "%s", id);
}

static void on_state(const char *what, bool bad, void *userdata) {
        Link *l = userdata;

        l->n_said++;
        l->bad = bad;
        free(l->said);
        l->said = strdup(what);
}

static int link_setup(void **state) {
        static Link link;
        ssize_t n;

        link = (Link){ .directory = "/tmp/scidex-test-XXXXXX", .n_fds = fd_count() };
        n = readlink("/proc/self/exe", link.program, sizeof(link.program) - 1);
        *state = &link;
        return n > 0 && mkdtemp(link.directory) && sd_event_new(&link.event) >= 0 ? 0 : -1;
}

static int link_teardown(void **state) {
        Link *l = *state;
        static const char *const left[] = { "died", "gate" };

        if (l->recorder)
                recorder_free(l->recorder);
        sd_event_unref(l->event);
        for (size_t i = 0; l->way && i < ELEMENTSOF(left); i++) {
                _cleanup_(freep) char *path = text_printf("%s/%s", l->way, left[i]);

                (void)unlink(path);
        }
        while (waitpid(-1, NULL, 0) > 0) /* the link is closed: it leaves */
                ;
        if (l->way)
                (void)rmdir(l->way);
        (void)rmdir(l->directory);
        free(l->way);
        free(l->said);
        return fd_count() == l->n_fds ? 0 : -1;
}

static void start_program(Link *l, const char *program, const char *way) {
        RecorderOptions options = { .program = program,
                .listen_fd = -EBADF,
                .recorded = on_recorded,
                .state_changed = on_state,
                .userdata = l };

        l->way = text_printf("%s/%s", l->directory, way);
        assert_int_equal(mkdir(l->way, 0700), 0);
        if (strcmp(way, "deaf") == 0) {
                _cleanup_(freep) char *gate = text_printf("%s/gate", l->way);

                assert_int_equal(mkfifo(gate, 0600), 0);
        }
        options.directory = l->way;
        assert_int_equal(recorder_new(l->event, &options, &l->recorder), 0);
}

static void start(Link *l, const char *way) {
        start_program(l, l->program, way);
}

static bool all_recorded(const Link *l) {
        return recorder_waiting(l->recorder) == 0;
}

static bool has_spoken(const Link *l) {
        return l->n_said > 0;
}

static bool storage_is_known(const Link *l) {
        return json_object_get(recorder_storage(l->recorder), "runs") != NULL;
}

static void until(Link *l, bool (*done)(const Link *l)) {
        uint64_t deadline = clock_boottime_usec() + DEADLINE_USEC;

        while (!done(l)) {
                assert_true(clock_boottime_usec() < deadline);
                assert_true(sd_event_run(l->event, USEC_PER_SEC) >= 0);
        }
}

static void send_row(Link *l, const char *op, size_t bytes, const char *id) {
        assert_int_equal(recorder_send(l->recorder, op, "row", padded_request("x", bytes), id), 0);
}

static void a_row_leaves_when_it_is_acknowledged(void **state) {
        Link *l = *state;

        start(l, "quick");
        send_row(l, "run", 10, "run-1");
        send_row(l, "event", 10, "event-2");
        assert_int_equal(recorder_waiting(l->recorder), 2);
        until(l, all_recorded);
        assert_int_equal(l->n_recorded, 2);
        assert_string_equal(l->op, "event");
        assert_string_equal(l->id, "event-2");
        assert_int_equal(recorder_dropped(l->recorder), 0);
        assert_int_equal(l->n_said, 0);
        assert_true(recorder_pid(l->recorder) > 0);
}

static void the_members_of_an_object_can_be_sent_themselves(void **state) {
        Link *l = *state;

        start(l, "tells");
        assert_int_equal(recorder_send(l->recorder, "alive", NULL,
                                 json_pack("{s:[s], s:s}", "run_ids", "a", "boot_id", "b"), ""),
                0);
        until(l, has_spoken);
        assert_non_null(strstr(l->said, "\"op\":\"alive\""));
        assert_non_null(strstr(l->said, "\"run_ids\":[\"a\"]"));
        assert_non_null(strstr(l->said, "\"boot_id\":\"b\""));
        assert_non_null(strstr(l->said, "\"n\":1"));
        assert_true(l->bad);
        until(l, all_recorded);
}

static void what_was_not_acknowledged_goes_to_the_next_recorder(void **state) {
        Link *l = *state;
        pid_t first;

        start(l, "dies");
        first = recorder_pid(l->recorder);
        for (unsigned i = 0; i < 40; i++) /* more than are on the wire at once */
                send_row(l, "event", 100, "event");
        until(l, has_spoken);
        assert_true(l->bad);
        assert_non_null(strstr(l->said, "died"));
        assert_string_equal(json_string_value(json_object_get(recorder_storage(l->recorder), "state")), "away");
        until(l, all_recorded);
        assert_int_equal(l->n_recorded, 40);
        assert_int_not_equal(recorder_pid(l->recorder), first);
}

/* As long as a hung disk lasts: the rows of many kills, each as large as an event can well be. */
static void a_recorder_that_does_not_read_loses_nothing(void **state) {
        Link *l = *state;
        _cleanup_(freep) char *gate = NULL;
        pid_t first;
        int fd;

        start(l, "deaf");
        first = recorder_pid(l->recorder);
        for (unsigned i = 0; i < 100; i++)
                send_row(l, "event", 20000, "event");
        for (unsigned i = 0; i < 100; i++)
                assert_true(sd_event_run(l->event, 0) >= 0);
        assert_int_equal(recorder_waiting(l->recorder), 100);
        gate = text_printf("%s/gate", l->way);
        fd = open(gate, O_WRONLY | O_CLOEXEC); /* waits for the reader */
        assert_true(fd >= 0);
        close_fd(fd);
        until(l, all_recorded);
        assert_int_equal(l->n_recorded, 100);
        assert_int_equal(recorder_pid(l->recorder), first); /* it was not thrown out for being slow */
        assert_int_equal(l->n_said, 0);
}

static void a_row_too_long_for_a_packet_does_not_hold_up_the_others(void **state) {
        Link *l = *state;
        json_t *row = padded_request("x", MESSAGE_MAX_BYTES);

        start(l, "quick");
        assert_int_equal(recorder_send(l->recorder, "event", "event", row, "too long"), -EMSGSIZE);
        assert_int_equal(recorder_dropped(l->recorder), 1);
        row = padded_request("x", 100);
        assert_int_equal(json_object_set_new(row, "labels", padded_request("x", MESSAGE_MAX_BYTES)), 0);
        assert_int_equal(recorder_send(l->recorder, "event", "event", row, "shortened"), 0);
        until(l, all_recorded);
        assert_string_equal(l->id, "shortened");
}

/* 60,000 bytes in characters of 4: jansson takes its time for each character, and there are 64 MiB to fill. */
static json_t *large_row(void) {
        char text[60001] = "";

        for (size_t i = 0; i < 60000; i++)
                text[i] = "\xf0\x9f\x98\x80"[i % 4];
        return json_pack("{s:s}", "x", text);
}

static void above_the_bound_runs_are_dropped_and_events_kept(void **state) {
        Link *l = *state;
        _cleanup_(json_decrefp) json_t *row = large_row();
        int r = 0;

        start_program(l, "/nonexistent/scidex-recorder", "quick");
        while (r == 0 && recorder_waiting(l->recorder) < 5000)
                r = recorder_send(l->recorder, "run", "run", json_incref(row), "run");
        assert_int_equal(r, -ENOBUFS);
        assert_in_range(recorder_waiting(l->recorder), RECORDER_WAITING_MAX_BYTES / 61000,
                RECORDER_WAITING_MAX_BYTES / 60000 + 1);
        assert_int_equal(recorder_dropped(l->recorder), 1);
        assert_int_equal(recorder_send(l->recorder, "event", "event", json_incref(row), "event"), 0);
        assert_int_equal(recorder_dropped(l->recorder), 1);
}

static void a_recorder_that_can_not_be_started_is_said_once_and_tried_again(void **state) {
        Link *l = *state;

        start_program(l, "/nonexistent/scidex-recorder", "quick");
        assert_int_equal(l->n_said, 1);
        assert_true(l->bad);
        assert_non_null(strstr(l->said, "/nonexistent/scidex-recorder"));
        send_row(l, "event", 10, "event");
        assert_true(sd_event_run(l->event, DEADLINE_USEC) > 0); /* the next try */
        assert_int_equal(l->n_said, 1);
        assert_int_equal(recorder_waiting(l->recorder), 1);
        assert_int_equal(recorder_pid(l->recorder), 0);
}

static void storage_is_away_until_it_reports(void **state) {
        Link *l = *state;

        start(l, "ok");
        assert_string_equal(json_string_value(json_object_get(recorder_storage(l->recorder), "state")), "away");
        until(l, storage_is_known);
        assert_string_equal(json_string_value(json_object_get(recorder_storage(l->recorder), "state")), "ok");
        assert_false(l->bad);
}

static void no_object_is_no_row(void **state) {
        Link *l = *state;

        start(l, "quick");
        assert_int_equal(recorder_send(l->recorder, "run", "run", NULL, "run"), -ENOMEM);
        assert_int_equal(recorder_waiting(l->recorder), 0);
}

static void a_recorder_leaves_when_its_link_is_closed(void **state) {
        Link *l = *state;
        _cleanup_(close_fdp) int pidfd = -EBADF;
        struct pollfd ended;

        start(l, "quick");
        send_row(l, "run", 10, "run");
        until(l, all_recorded);
        pidfd = pidfd_open_pid(recorder_pid(l->recorder));
        assert_true(pidfd >= 0);
        recorder_free(l->recorder);
        l->recorder = NULL;
        ended = (struct pollfd){ .fd = pidfd, .events = POLLIN };
        assert_int_equal(poll(&ended, 1, (int)(DEADLINE_USEC / USEC_PER_MSEC)), 1);
}

static bool is_told(const Link *l, const char *words) {
        _cleanup_(freep) char *cmdline = NULL;

        assert_int_equal(process_cmdline(recorder_pid(l->recorder), 4096, &cmdline, NULL), 0);
        return strstr(cmdline, words);
}

static void a_changed_policy_is_the_next_recorders_and_no_trouble(void **state) {
        Link *l = *state;
        PeerPolicy policy = { .group = 700, .admin_group = 701, .group_name = "scidex" };
        pid_t first;

        start(l, "quick");
        send_row(l, "event", 10, "before");
        until(l, all_recorded);
        first = recorder_pid(l->recorder);
        assert_false(is_told(l, "--group"));
        recorder_set_policy(l->recorder, &policy);
        recorder_set_policy(l->recorder, &policy);
        send_row(l, "event", 10, "after");
        until(l, all_recorded);
        assert_string_equal(l->id, "after");
        assert_int_not_equal(recorder_pid(l->recorder), first);
        assert_true(is_told(l, "--group 700 --admin-group 701 --group-name scidex"));
        assert_int_equal(l->n_said, 0);

        first = recorder_pid(l->recorder);
        recorder_set_policy(l->recorder, &policy); /* the same: nobody is ended for it */
        send_row(l, "event", 10, "again");
        until(l, all_recorded);
        assert_int_equal(recorder_pid(l->recorder), first);
}

static void what_is_listened_at_is_the_next_recorders_and_no_trouble(void **state) {
        Link *l = *state;
        _cleanup_(close_fdp) int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, HTTP_SOCKETS_LOW);
        RecorderHttp http = { .fds = { fd }, .n_fds = 1, .hosts = "a.example  b", .hides_analysis_ids = true };
        RecorderHttp none = { .n_fds = 0, .hosts = "a.example" };
        pid_t first;

        start(l, "quick");
        send_row(l, "event", 10, "before");
        until(l, all_recorded);
        first = recorder_pid(l->recorder);
        assert_int_equal(recorder_starts(l->recorder), 1);
        assert_int_equal(recorder_set_http(l->recorder, &http), 0);
        send_row(l, "event", 10, "after");
        until(l, all_recorded);
        assert_int_not_equal(recorder_pid(l->recorder), first);
        assert_int_equal(recorder_starts(l->recorder), 2);
        assert_true(is_told(l, "--http-fd 5 --http-host a.example --http-host b --http-hide-analysis-ids"));
        assert_int_equal(l->n_said, 0);

        assert_int_equal(recorder_set_http(l->recorder, &http), 0); /* the same: nobody is ended for it */
        send_row(l, "event", 10, "again");
        until(l, all_recorded);
        assert_int_equal(recorder_starts(l->recorder), 2);

        http.generation++; /* the same number is another socket now */
        assert_int_equal(recorder_set_http(l->recorder, &http), 0);
        send_row(l, "event", 10, "other");
        until(l, all_recorded);
        assert_int_equal(recorder_starts(l->recorder), 3);

        assert_int_equal(recorder_set_http(l->recorder, &none), 0);
        send_row(l, "event", 10, "none");
        until(l, all_recorded);
        assert_int_equal(recorder_starts(l->recorder), 4);
        assert_false(is_told(l, "--http"));
}

static void a_tiding_is_left_out_where_the_recorder_is_behind(void **state) {
        Link *l = *state;
        _cleanup_(freep) char *gate = NULL;
        unsigned n = 0;
        int fd, r = 0;

        start(l, "deaf");
        while (r == 0 && n < 10000) {
                r = recorder_tell(l->recorder, json_pack("{s:i, s:s, s:[]}", "v", 1, "op", "state", "rows"));
                n += r == 0;
        }
        assert_int_equal(r, -ENOBUFS);
        send_row(l, "event", 1000, "event"); /* there is room for what matters */
        gate = text_printf("%s/gate", l->way);
        fd = open(gate, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        close_fd(fd);
        until(l, all_recorded);
        assert_int_equal(recorder_starts(l->recorder), 1);
        assert_int_equal(recorder_tell(l->recorder, NULL), -ENOMEM);
}

/* How often the recorder's environment has it. */
static unsigned has_variable(const Link *l, const char *variable) {
        _cleanup_(freep) char *path = text_printf("/proc/%d/environ", (int)recorder_pid(l->recorder)), *text = NULL;
        size_t length = 0;
        unsigned n = 0;

        assert_int_equal(file_read_at(AT_FDCWD, path, 1 << 20, &text, &length), 0);
        for (const char *one = text; one < text + length; one += strlen(one) + 1)
                n += strncmp(one, variable, strlen(variable)) == 0 &&
                        (strchr(variable, '=') ? one[strlen(variable)] == '\0' : one[strlen(variable)] == '=');
        return n;
}

#define VARIABLE "SCIDEX_STORAGE_POSTGRES"

static void the_database_stands_in_the_recorders_environment_and_not_in_its_arguments(void **state) {
        Link *l = *state;
        pid_t first;

        assert_int_equal(setenv(VARIABLE, "host=of-the-environment", 1), 0);
        start(l, "quick"); /* with none configured: the variable itself has had its part in that */
        send_row(l, "event", 10, "none");
        until(l, all_recorded);
        assert_int_equal(has_variable(l, VARIABLE), 0);

        first = recorder_pid(l->recorder);
        assert_int_equal(recorder_set_postgres(l->recorder, "host=db password=x"), 0);
        send_row(l, "event", 10, "another");
        until(l, all_recorded);
        assert_int_not_equal(recorder_pid(l->recorder), first);
        assert_int_equal(has_variable(l, VARIABLE), 1);
        assert_int_equal(has_variable(l, VARIABLE "=host=db password=x"), 1);
        assert_false(is_told(l, "host=db"));
        assert_int_equal(l->n_said, 0);
        assert_int_equal(unsetenv(VARIABLE), 0);

        first = recorder_pid(l->recorder);
        assert_int_equal(recorder_set_postgres(l->recorder, "host=db password=x"), 0); /* the same */
        send_row(l, "event", 10, "again");
        until(l, all_recorded);
        assert_int_equal(recorder_pid(l->recorder), first);
        assert_int_equal(recorder_set_postgres(l->recorder, NULL), 0);
        send_row(l, "event", 10, "none again");
        until(l, all_recorded);
        assert_int_equal(has_variable(l, VARIABLE), 0);
}

static void a_user_is_found_in_the_file_and_nowhere_else(void **state) {
        Link *l = *state;
        _cleanup_(freep) char *path = text_printf("%s/passwd", l->directory);
        static const char text[] = "root:x:0:0::/root:/bin/sh\nscidexx:x:7:7:::\nscidex:x:990:991::/:/bin/false\n";
        uid_t uid = 0;
        gid_t gid = 0;

        assert_int_equal(recorder_find_user(path, "scidex", &uid, &gid), -ENOENT);
        assert_int_equal(file_replace_at(AT_FDCWD, path, text, strlen(text), 0600), 0);
        assert_int_equal(recorder_find_user(path, "scidex", &uid, &gid), 0);
        assert_int_equal(uid, 990);
        assert_int_equal(gid, 991);
        assert_int_equal(recorder_find_user(path, "nobody", &uid, &gid), -ENOENT);
        assert_int_equal(unlink(path), 0);
}

int main(int argc, char **argv) {
#define WITH_LINK(test) cmocka_unit_test_setup_teardown(test, link_setup, link_teardown)
        const struct CMUnitTest tests[] = {
                WITH_LINK(a_row_leaves_when_it_is_acknowledged),
                WITH_LINK(the_members_of_an_object_can_be_sent_themselves),
                WITH_LINK(what_was_not_acknowledged_goes_to_the_next_recorder),
                WITH_LINK(a_recorder_that_does_not_read_loses_nothing),
                WITH_LINK(a_row_too_long_for_a_packet_does_not_hold_up_the_others),
                WITH_LINK(above_the_bound_runs_are_dropped_and_events_kept),
                WITH_LINK(a_recorder_that_can_not_be_started_is_said_once_and_tried_again),
                WITH_LINK(what_is_listened_at_is_the_next_recorders_and_no_trouble),
                WITH_LINK(a_tiding_is_left_out_where_the_recorder_is_behind),
                WITH_LINK(a_changed_policy_is_the_next_recorders_and_no_trouble),
                WITH_LINK(the_database_stands_in_the_recorders_environment_and_not_in_its_arguments),
                WITH_LINK(a_user_is_found_in_the_file_and_nowhere_else),
                WITH_LINK(storage_is_away_until_it_reports),
                WITH_LINK(no_object_is_no_row),
                WITH_LINK(a_recorder_leaves_when_its_link_is_closed),
        };

        if (argc > 4 && strcmp(argv[1], "--supervisor-fd") == 0)
                return be_recorder(argv[4]);
        return cmocka_run_group_tests_name("supervise-recorder", tests, NULL, NULL);
}
