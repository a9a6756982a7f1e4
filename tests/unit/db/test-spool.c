/* What the spool stores, and what becomes of a row that comes twice, late or broken. */
#include "tests/unit/db/scratch.h"

#include <sys/stat.h>

#define AT "2026-11-21T07:00:00.000000Z"

static void an_event_stored_twice_is_one_row(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, "2026-11-21T08:00:00.000000Z")), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 1);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events WHERE decided_at='" AT "'"), 1);
}

static void an_event_whose_number_is_taken_gets_the_next(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 1, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 1, AT)), 0);
        assert_int_equal(count_rows(&scratch, "SELECT seq FROM watchdog_events WHERE event_id='e2'"), 2);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 2);
}

static void what_was_there_before_is_told_apart(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *run = make_run("r1", "a", 0, AT), *event = make_event("e1", "r1", 1, AT);
        SpoolRow rows[] = { { .kind = SPOOL_EVENT, .object = event }, { .kind = SPOOL_RUN, .object = run } };

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_store(spool, rows, 2), 0);
        assert_false(rows[0].was_there || rows[1].was_there);
        assert_int_equal(spool_store(spool, rows, 2), 0);
        assert_true(rows[0].was_there && rows[1].was_there);
        assert_int_equal(rows[0].result, 0);
}

static void a_run_stored_twice_is_replaced(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        json_t *again = make_run("r1", "a", 0, AT);

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(json_object_set_new(again, "verdict", json_string("timeout")), 0);
        assert_int_equal(store_one(spool, SPOOL_RUN, again), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 1);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs WHERE verdict='timeout'"), 1);
}

static void a_run_takes_its_process_row_away(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r2", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_processes WHERE run_id='r1'"), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_processes WHERE run_id='r2'"), 1);
}

static void rows_of_one_batch_are_done_in_their_order(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *run = make_run("r1", "a", 0, AT);
        SpoolRow begun_and_ended[] = { { run, SPOOL_PROCESS, -1 }, { run, SPOOL_RUN, -1 } };
        SpoolRow ended_and_begun[] = { { run, SPOOL_RUN, -1 }, { run, SPOOL_PROCESS, -1 } };

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_store(spool, begun_and_ended, 2), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_processes"), 0);
        assert_int_equal(spool_store(spool, ended_and_begun, 2), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_processes"), 1);
}

static void a_row_without_its_key_is_refused_and_holds_nothing_up(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *good = make_event("e1", "r1", 1, AT), *bad = make_event("", "r1", 2, AT);
        SpoolRow rows[] = { { bad, SPOOL_EVENT, -1 }, { good, SPOOL_EVENT, -1 }, { bad, SPOOL_RUN, -1 } };

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_store(spool, rows, 2), 0);
        assert_int_equal(rows[0].result, SPOOL_E_REFUSED);
        assert_int_equal(rows[1].result, 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 1);
}

static json_t *alive(const char *boot_id, const char *run_id) {
        return json_pack("{s:s, s:[s]}", "boot_id", boot_id, "run_ids", run_id);
}

static void after_a_reboot_what_lived_is_lost(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        json_t *elsewhere = make_run("r3", "a", 0, AT);

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(json_object_set_new(elsewhere, "host", json_string("another")), 0);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r2", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, elsewhere), 0);
        assert_int_equal(store_one(spool, SPOOL_ALIVE, alive("boot-3", "r2")), 0);
        assert_int_equal(
                count_rows(&scratch,
                        "SELECT count(*) FROM watchdog_runs WHERE run_id='r1' AND verdict='lost' AND state='ended'"
                        " AND detail='the host restarted'"),
                1);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 1);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_processes"), 2);
}

static void a_process_row_whose_run_has_ended_is_dropped(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_ALIVE, alive("boot-2", "other")), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_processes"), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs WHERE verdict='completed'"), 1);
}

static void a_lost_run_that_lives_after_all_is_no_longer_lost(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(store_one(spool, SPOOL_ALIVE, alive("boot-2", "other")), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs WHERE verdict='lost'"), 1);
        assert_int_equal(store_one(spool, SPOOL_PROCESS, make_run("r1", "a", 0, AT)), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_processes"), 1);
}

static void the_outbox_is_filled_only_where_there_is_something_to_ship_to(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        SpoolOptions options;

        scratch_init(&scratch);
        options = scratch_options(&scratch);
        for (int outbox = 0; outbox <= 1; outbox++) {
                _cleanup_(spool_freep) Spool *spool = NULL;

                options.outbox = outbox;
                assert_int_equal(spool_new(&options, &spool), 0);
                assert_int_equal(
                        store_one(spool, SPOOL_EVENT, make_event(outbox ? "e2" : "e1", "r1", 1 + outbox, AT)), 0);
                assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r1", "a", 0, AT)), 0);
                assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r1", "a", 0, AT)), 0);
                assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM outbox"), outbox ? 2 : 0);
        }
        assert_int_equal(
                count_rows(&scratch, "SELECT count(*) FROM outbox WHERE (kind,key) IN (('event','e2'),('run','r1'))"),
                2);
}

static void directory_and_files_are_for_the_owner_only(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(freep) char *wal = NULL;
        struct stat st;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        wal = text_printf("%s-wal", scratch.path);
        assert_int_equal(stat(scratch.directory, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        assert_int_equal(stat(scratch.path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(stat(wal, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void the_length_of_the_history_is_read_as_people_write_it(void **state) {
        static const struct {
                const char *text;
                uint64_t usec, bytes;
        } cases[] = {
                { "30days", HISTORY_USEC_DEFAULT, HISTORY_BYTES_DEFAULT },
                { "1d", HISTORY_USEC_DEFAULT / 30, HISTORY_BYTES_DEFAULT },
                { "512M", HISTORY_USEC_DEFAULT, HISTORY_BYTES_DEFAULT / 2 },
                { "2weeks, 2G", HISTORY_USEC_DEFAULT / 30 * 14, HISTORY_BYTES_DEFAULT * 2 },
                { "infinity", UINT64_MAX, UINT64_MAX },
                { "infinity,512M", UINT64_MAX, HISTORY_BYTES_DEFAULT / 2 },
        };
        static const char *const wrong[] = { "", "30", "2GB", "30days,", "many", "30days;1G" };
        uint64_t usec, bytes;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                const char *hint = NULL;

                assert_int_equal(spool_parse_history(cases[i].text, &usec, &bytes, &hint), 0);
                assert_int_equal(usec, cases[i].usec);
                assert_int_equal(bytes, cases[i].bytes);
        }
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                const char *hint = NULL;

                assert_int_equal(spool_parse_history(wrong[i], &usec, &bytes, &hint), -EINVAL);
                assert_non_null(hint);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_event_stored_twice_is_one_row),
                cmocka_unit_test(an_event_whose_number_is_taken_gets_the_next),
                cmocka_unit_test(what_was_there_before_is_told_apart),
                cmocka_unit_test(a_run_stored_twice_is_replaced),
                cmocka_unit_test(a_run_takes_its_process_row_away),
                cmocka_unit_test(rows_of_one_batch_are_done_in_their_order),
                cmocka_unit_test(a_row_without_its_key_is_refused_and_holds_nothing_up),
                cmocka_unit_test(after_a_reboot_what_lived_is_lost),
                cmocka_unit_test(a_process_row_whose_run_has_ended_is_dropped),
                cmocka_unit_test(a_lost_run_that_lives_after_all_is_no_longer_lost),
                cmocka_unit_test(the_outbox_is_filled_only_where_there_is_something_to_ship_to),
                cmocka_unit_test(directory_and_files_are_for_the_owner_only),
                cmocka_unit_test(the_length_of_the_history_is_read_as_people_write_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
