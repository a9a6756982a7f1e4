/* The recorder and who asks it: nobody can hold it up, and each answer fits. */
#include "tests/unit/db/recorder-program.h"

#include <string.h>

/* With an event of another run behind it, so that it does not wait to be written. */
static void store_run_now(Program *program, json_t *run) {
        send_row(program, "run", run);
        send_row(program, "event", make_event("other", "other", 1, AT));
        assert_acknowledged(program, program->n - 1);
        assert_acknowledged(program, program->n);
}

static void a_client_that_does_not_read_holds_up_only_itself(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int slow = -EBADF, quick = -EBADF;
        _cleanup_(json_decrefp) json_t *first = NULL, *kills = NULL, *end = NULL;
        int rows = 1;

        program_init(&program);
        program_start(&program);
        store_events(&program, 200);
        slow = connect_to(&program);
        first = ask(slow, json_pack("{s:i, s:s, s:n}", "v", 1, "op", "events", "limit"));
        assert_non_null(json_object_get(first, "row"));
        /* It has 4 MB to read and reads nothing. */
        quick = connect_to(&program);
        kills = ask(quick, request_of("kills"));
        assert_int_equal(json_integer_value(json_object_get(kills, "count")), 200);
        send_row(&program, "event", make_event("last", "r1", 1000, AT));
        assert_acknowledged(&program, program.n);
        while (!end) {
                json_t *packet = receive(slow);

                if (json_object_get(packet, "row")) {
                        rows++;
                        json_decref(packet);
                } else
                        end = packet;
        }
        assert_int_equal(rows, 200);
        assert_true(json_is_true(json_object_get(end, "end")));
        assert_int_equal(json_integer_value(json_object_get(end, "count")), 200);
}

static void one_list_at_a_time(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int fd = -EBADF;
        bool busy = false, end = false;

        program_init(&program);
        program_start(&program);
        store_events(&program, 100);
        fd = connect_to(&program);
        for (int i = 0; i < 2; i++) {
                _cleanup_(json_decrefp) json_t *request = json_pack("{s:i, s:s, s:n}", "v", 1, "op", "events", "limit");

                assert_int_equal(message_send(fd, request, NULL, 0), 0);
        }
        while (!end || !busy) {
                _cleanup_(json_decrefp) json_t *packet = receive(fd);
                const char *code = json_string_value(json_object_get(json_object_get(packet, "error"), "code"));

                busy = busy || (code && strcmp(code, "busy") == 0);
                end = end || json_is_true(json_object_get(packet, "end"));
        }
}

static void why_shows_the_newest_event_whole_and_earlier_ones_short(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int fd = -EBADF;
        _cleanup_(json_decrefp) json_t *answer = NULL, *why = NULL;
        const json_t *events;

        program_init(&program);
        program_start(&program);
        for (int seq = 1; seq <= 2; seq++) {
                json_t *event = make_event(
                        seq == 1 ? "e1" : "e2", "run-one", seq, seq == 1 ? AT : "2026-11-21T08:00:00.000000Z");

                assert_int_equal(json_object_set_new(event, "processes", json_pack("[{s:i}]", "pid", seq)), 0);
                send_row(&program, "event", event);
                assert_acknowledged(&program, seq);
        }
        store_run_now(&program, make_run("run-one", "SDA-1", 1000, AT));
        fd = connect_to(&program);
        why = ask(fd, json_pack("{s:i, s:s, s:s}", "v", 1, "op", "why", "run", "SDA-1"));
        events = json_object_get(why, "events");
        assert_string_equal(json_string_value(json_object_get(json_object_get(why, "run"), "run_id")), "run-one");
        assert_int_equal(json_array_size(events), 2);
        assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "event_id")), "e2");
        assert_true(json_is_array(json_object_get(json_array_get(events, 0), "processes")));
        assert_null(json_object_get(json_array_get(events, 1), "processes"));
        answer = ask(fd, json_pack("{s:i, s:s, s:s}", "v", 1, "op", "why", "run", "nobody"));
        assert_string_equal(json_string_value(json_object_get(json_object_get(answer, "error"), "code")), "not-found");
}

static void why_always_fits_into_a_packet(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int fd = -EBADF;
        _cleanup_(json_decrefp) json_t *why = NULL;
        json_t *run = make_run("r1", "SDA-1", 1000, AT);
        char text[60001];

        program_init(&program);
        program_start(&program);
        store_events(&program, 20);
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(json_object_set_new(run, "timeline", json_pack("[s]", text)), 0);
        store_run_now(&program, run);
        fd = connect_to(&program);
        why = ask(fd, json_pack("{s:i, s:s, s:s}", "v", 1, "op", "why", "run", "r1"));
        assert_true(json_is_true(json_object_get(why, "ok")));
        assert_true(json_array_size(json_object_get(why, "events")) >= 1);
        assert_string_equal(
                json_string_value(json_array_get(json_object_get(json_object_get(why, "run"), "left_out"), 0)),
                "timeline");
}

static void what_the_database_refused_is_listed_and_sent_again(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int asker = -EBADF;
        _cleanup_(json_decrefp) json_t *first = NULL, *second = NULL, *end = NULL, *one = NULL, *none = NULL,
                                       *all = NULL;

        program_init(&program);
        program_start(&program);
        store_events(&program, 2);
        run_sql(&program.scratch,
                "INSERT INTO dead_letters (kind, key, created_at, failed_at, sqlstate, message) VALUES"
                " ('event', 'e1', '" AT "', '" AT "', '22021', 'no'), ('event', 'e2', '" AT "', '" AT
                "', '23514', 'never')");
        asker = connect_to(&program);
        first = ask(asker, request_of("dead"));
        second = receive(asker);
        end = receive(asker);
        assert_string_equal(json_string_value(json_object_get(json_object_get(first, "row"), "key")), "e1");
        assert_string_equal(json_string_value(json_object_get(json_object_get(second, "row"), "message")), "never");
        assert_true(json_is_true(json_object_get(end, "end")));
        assert_int_equal(json_integer_value(json_object_get(end, "count")), 2);
        one = ask(asker, json_pack("{s:i, s:s, s:i}", "v", 1, "op", "retry", "id", 1));
        assert_int_equal(json_integer_value(json_object_get(one, "count")), 1);
        none = ask(asker, json_pack("{s:i, s:s, s:i}", "v", 1, "op", "retry", "id", 1));
        assert_false(json_is_true(json_object_get(none, "ok")));
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM outbox WHERE key='e1'"), 1);
        all = ask(asker, request_of("retry"));
        assert_int_equal(json_integer_value(json_object_get(all, "count")), 1);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM dead_letters"), 0);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM outbox"), 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_client_that_does_not_read_holds_up_only_itself),
                cmocka_unit_test(one_list_at_a_time),
                cmocka_unit_test(why_shows_the_newest_event_whole_and_earlier_ones_short),
                cmocka_unit_test(why_always_fits_into_a_packet),
                cmocka_unit_test(what_the_database_refused_is_listed_and_sent_again),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
