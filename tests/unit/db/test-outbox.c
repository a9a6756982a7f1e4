/* What is queued, taken off, put aside and sent again. */
#include "tests/unit/db/scratch.h"

#include "db/outbox.h"
#include <string.h>

#define AT "2026-11-21T07:00:00.000000Z"

typedef struct Seen {
        int64_t ids[16];
        char keys[16][64];
        OutboxKind kinds[16];
        bool gone[16];
        size_t n, most; /* most: stop there; 0: never */
} Seen;

static int note(const OutboxRow *row, void *userdata) {
        Seen *seen = userdata;

        if (seen->most > 0 && seen->n == seen->most)
                return 1;
        assert_true(seen->n < ELEMENTSOF(seen->ids));
        seen->ids[seen->n] = row->id;
        seen->kinds[seen->n] = row->kind;
        seen->gone[seen->n] = !row->statement;
        (void)snprintf(seen->keys[seen->n], sizeof(seen->keys[0]), "%s", row->key);
        seen->n++;
        return 0;
}

static Seen read_all(Spool *spool, int64_t after) {
        Seen seen = { .n = 0 };

        assert_int_equal(outbox_read(spool, after, note, &seen), 0);
        return seen;
}

static Spool *open_shipping(const Scratch *scratch) {
        SpoolOptions options = scratch_options(scratch);
        Spool *spool = NULL;

        options.outbox = true;
        assert_int_equal(spool_new(&options, &spool), 0);
        return spool;
}

static OutboxFigures figures_of(Spool *spool) {
        OutboxFigures figures;

        assert_int_equal(outbox_figures(spool, &figures), 0);
        return figures;
}

static void what_is_stored_is_queued_in_order(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        Seen seen;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        seen = read_all(spool, 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.kinds[0], OUTBOX_PROCESS);
        assert_int_equal(seen.kinds[1], OUTBOX_EVENT);
        assert_true(seen.ids[0] < seen.ids[1]);
        assert_false(seen.gone[0] || seen.gone[1]);
        seen = read_all(spool, seen.ids[0]);
        assert_int_equal(seen.n, 1);
        assert_string_equal(seen.keys[0], "e1");
}

static void a_process_that_ended_is_a_deletion_and_a_run(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        Seen seen;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r1", "a", 0, AT)), 0);
        seen = read_all(spool, 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.kinds[0], OUTBOX_PROCESS);
        assert_true(seen.gone[0]);
        assert_int_equal(seen.kinds[1], OUTBOX_RUN);
        assert_false(seen.gone[1]);
}

static void a_lost_run_that_lives_is_a_deletion(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        json_t *run = make_run("r1", "a", 0, AT);
        Seen seen;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(json_object_set_new(run, "verdict", json_string("lost")), 0);
        assert_int_equal(store_one(spool, SPOOL_RUN, run), 0);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        seen = read_all(spool, 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.kinds[0], OUTBOX_RUN);
        assert_true(seen.gone[0]);
        assert_false(seen.gone[1]);
}

static void reading_stops_where_it_is_told(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        Seen seen = { .most = 1 };

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
        assert_int_equal(outbox_read(spool, 0, note, &seen), 0);
        assert_int_equal(seen.n, 1);
}

static void a_row_that_changed_since_it_was_read_stays_queued(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        Seen seen;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        seen = read_all(spool, 0);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "b", 0, AT)), 0);
        assert_int_equal(outbox_shipped(spool, spool_generation(spool), seen.ids[0], seen.ids[0]), 0);
        assert_int_equal(figures_of(spool).waiting, 1);
        seen = read_all(spool, 0);
        assert_int_equal(outbox_shipped(spool, spool_generation(spool), seen.ids[0], seen.ids[0]), 0);
        assert_int_equal(figures_of(spool).waiting, 0);
        assert_string_equal(figures_of(spool).oldest_at, "");
}

static void ids_of_a_file_that_was_set_aside_take_nothing_off_its_successor(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        OutboxRefusal refusal = { .sqlstate = "23514", .message = "no" };
        uint64_t generation;
        Seen seen;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        seen = read_all(spool, 0);
        generation = spool_generation(spool);
        assert_int_equal(unlink(scratch.path), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
        assert_int_equal(read_all(spool, 0).ids[0], seen.ids[0]);
        assert_int_equal(outbox_shipped(spool, generation, seen.ids[0], seen.ids[0]), OUTBOX_E_STALE);
        assert_int_equal(outbox_refuse(spool, generation, seen.ids[0], &refusal), OUTBOX_E_STALE);
        assert_int_equal(figures_of(spool).waiting, 1);
        assert_int_equal(figures_of(spool).dead_letters, 0);
}

static void a_refused_row_is_kept_with_the_reason(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *dead = NULL, *more = NULL;
        OutboxRefusal refusal = { .sqlstate = "23514", .message = "violates \"c\"" };

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(outbox_refuse(spool, spool_generation(spool), read_all(spool, 0).ids[0], &refusal), 0);
        assert_int_equal(figures_of(spool).waiting, 0);
        assert_int_equal(figures_of(spool).dead_letters, 1);
        assert_int_equal(outbox_dead_next(spool, 0, &dead), 0);
        assert_string_equal(json_string_value(json_object_get(dead, "key")), "e1");
        assert_string_equal(json_string_value(json_object_get(dead, "kind")), "event");
        assert_string_equal(json_string_value(json_object_get(dead, "sqlstate")), "23514");
        assert_string_equal(json_string_value(json_object_get(dead, "message")), "violates \"c\"");
        assert_string_equal(json_string_value(json_object_get(json_object_get(dead, "row"), "reason")), "memory");
        assert_int_equal(outbox_dead_next(spool, json_integer_value(json_object_get(dead, "id")), &more), OUTBOX_E_END);
}

static void refusing_what_has_changed_meanwhile_refuses_nothing(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        OutboxRefusal refusal = { .sqlstate = "23514", .message = "no" };
        int64_t id;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r1", "a", 0, AT)), 0);
        id = read_all(spool, 0).ids[0];
        assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r1", "b", 0, AT)), 0);
        assert_int_equal(outbox_refuse(spool, spool_generation(spool), id, &refusal), 0);
        assert_int_equal(figures_of(spool).waiting, 1);
        assert_int_equal(figures_of(spool).dead_letters, 0);
}

/* The events e1 and e2. */
static void refuse_two(Spool *spool) {
        OutboxRefusal refusal = { .sqlstate = "23514", .message = "no" };
        Seen seen;

        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
        seen = read_all(spool, 0);
        assert_int_equal(seen.n, 2);
        for (size_t i = 0; i < seen.n; i++)
                assert_int_equal(outbox_refuse(spool, spool_generation(spool), seen.ids[i], &refusal), 0);
}

static void what_was_refused_is_sent_again_also_when_the_history_forgot_it(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        uint64_t count = 0;
        Seen seen;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        refuse_two(spool);
        run_sql(&scratch, "DELETE FROM watchdog_events WHERE event_id='e1'");
        assert_int_equal(outbox_retry(spool, 0, &count), 0);
        assert_int_equal(count, 2);
        assert_int_equal(figures_of(spool).dead_letters, 0);
        seen = read_all(spool, 0);
        assert_int_equal(seen.n, 2);
        assert_string_equal(seen.keys[0], "e1");
        assert_false(seen.gone[0] || seen.gone[1]);
        assert_int_equal(count_rows(&scratch, "SELECT seq FROM watchdog_events WHERE event_id='e1'"), 1);
}

static void one_can_be_sent_again_alone(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        uint64_t count = 0;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        refuse_two(spool);
        assert_int_equal(outbox_retry(spool, 4711, &count), 0);
        assert_int_equal(count, 0);
        assert_int_equal(outbox_retry(spool, 1, &count), 0);
        assert_int_equal(count, 1);
        assert_int_equal(figures_of(spool).waiting, 1);
        assert_int_equal(figures_of(spool).dead_letters, 1);
}

static void live_processes_are_queued_again_once(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *ids = NULL;
        Seen seen;

        scratch_init(&scratch);
        spool = open_shipping(&scratch);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r2", "a", 0, AT)), 0);
        seen = read_all(spool, 0);
        assert_int_equal(outbox_shipped(spool, spool_generation(spool), seen.ids[0], seen.ids[0]), 0);
        assert_int_equal(outbox_requeue_processes(spool), 0);
        assert_int_equal(outbox_requeue_processes(spool), 0);
        assert_int_equal(figures_of(spool).waiting, 2);
        assert_int_equal(outbox_run_ids(spool, &ids), 0);
        assert_int_equal(json_array_size(ids), 2);
}

static void a_record_of_the_first_version_gets_its_new_table(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool_free(open_shipping(&scratch));
        run_sql(&scratch, "DROP TABLE dead_letters; PRAGMA user_version=1");
        spool = open_shipping(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_int_equal(count_rows(&scratch, "PRAGMA user_version"), 2);
        assert_int_equal(figures_of(spool).dead_letters, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_stored_is_queued_in_order),
                cmocka_unit_test(a_process_that_ended_is_a_deletion_and_a_run),
                cmocka_unit_test(a_lost_run_that_lives_is_a_deletion),
                cmocka_unit_test(reading_stops_where_it_is_told),
                cmocka_unit_test(a_row_that_changed_since_it_was_read_stays_queued),
                cmocka_unit_test(ids_of_a_file_that_was_set_aside_take_nothing_off_its_successor),
                cmocka_unit_test(a_refused_row_is_kept_with_the_reason),
                cmocka_unit_test(refusing_what_has_changed_meanwhile_refuses_nothing),
                cmocka_unit_test(what_was_refused_is_sent_again_also_when_the_history_forgot_it),
                cmocka_unit_test(one_can_be_sent_again_alone),
                cmocka_unit_test(live_processes_are_queued_again_once),
                cmocka_unit_test(a_record_of_the_first_version_gets_its_new_table),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
