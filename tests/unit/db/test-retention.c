/* The record forgets the oldest first, never what is still to be shipped, and the file shrinks. */
#include "tests/unit/db/scratch.h"

#include "base/clock.h"
#include <string.h>
#include <sys/stat.h>

#define DAY_USEC  (UINT64_C(86400) * USEC_PER_SEC)
#define STEPS_MAX 1000

static uint64_t now_usec(void) {
        uint64_t usec = 0;

        assert_int_equal(clock_parse_rfc3339("2026-11-21T07:00:00.000000Z", &usec), 0);
        return usec;
}

/* Runs r0, r1, … and their events, `apart` older than the one before, with a command line of `size` bytes. */
static void store_history(Spool *spool, int n, uint64_t apart_usec, size_t size) {
        _cleanup_(freep) char *text = calloc(1, size + 1);

        memset(text, 'x', size);
        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *run_id = text_printf("r%d", i), *event_id = text_printf("e%d", i);
                _cleanup_(json_decrefp) json_t *run = NULL, *event = NULL;
                char at[CLOCK_RFC3339_MAX];
                SpoolRow rows[2];

                clock_format_rfc3339(at, now_usec() - (uint64_t)i * apart_usec);
                run = make_run(run_id, "a", 0, at);
                event = make_event(event_id, run_id, 1, at);
                assert_int_equal(json_object_set_new(run, "cmdline", json_string(text)), 0);
                rows[0] = (SpoolRow){ .kind = SPOOL_RUN, .object = run };
                rows[1] = (SpoolRow){ .kind = SPOOL_EVENT, .object = event };
                assert_int_equal(spool_store(spool, rows, 2), 0);
        }
}

/* To the end; the number of steps. */
static int retain_all(Spool *spool) {
        bool more = true;
        int steps = 0;

        while (more) {
                assert_int_equal(spool_retain(spool, now_usec(), &more), 0);
                assert_true(++steps < STEPS_MAX);
        }
        return steps;
}

static Spool *open_limited(const Scratch *scratch, uint64_t usec, uint64_t bytes, bool outbox) {
        SpoolOptions options = scratch_options(scratch);
        Spool *spool = NULL;

        options.history_usec = usec;
        options.history_bytes = bytes;
        options.outbox = outbox;
        assert_int_equal(spool_new(&options, &spool), 0);
        return spool;
}

static void what_is_older_than_the_limit_goes(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = open_limited(&scratch, 30 * DAY_USEC + 1, UINT64_MAX, false);
        store_history(spool, 100, DAY_USEC, 10);
        (void)retain_all(spool);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 31);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 31);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs WHERE run_id='r30'"), 1);
}

static void a_step_is_small(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        bool more = false;

        scratch_init(&scratch);
        spool = open_limited(&scratch, DAY_USEC, UINT64_MAX, false);
        store_history(spool, 300, DAY_USEC, 10);
        assert_int_equal(spool_retain(spool, now_usec(), &more), 0);
        assert_true(more);
        assert_in_range(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 300 - 64, 299);
        assert_true(retain_all(spool) > 3);
}

static void above_its_size_the_oldest_go_and_the_file_shrinks(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        struct stat before, after;
        int64_t left;

        scratch_init(&scratch);
        spool = open_limited(&scratch, UINT64_MAX, 512 << 10, false);
        store_history(spool, 400, USEC_PER_SEC, 4000);
        assert_true(spool_is_oversize(spool));
        run_sql(&scratch, "PRAGMA wal_checkpoint(TRUNCATE)");
        assert_int_equal(stat(scratch.path, &before), 0);
        (void)retain_all(spool);
        assert_int_equal(stat(scratch.path, &after), 0);
        assert_true(before.st_size > 1500 << 10);
        assert_in_range(after.st_size, 100 << 10, 512 << 10);
        assert_false(spool_is_oversize(spool));
        left = count_rows(&scratch, "SELECT count(*) FROM watchdog_runs");
        assert_in_range(left, 50, 150);
        assert_int_equal(
                count_rows(&scratch, "SELECT max(CAST(substr(run_id,2) AS INTEGER)) FROM watchdog_runs"), left - 1);
}

static void what_waits_in_the_outbox_stays(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = open_limited(&scratch, DAY_USEC, 128 << 10, true);
        store_history(spool, 100, DAY_USEC, 1000);
        (void)retain_all(spool);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 100);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 100);
        run_sql(&scratch, "DELETE FROM outbox WHERE key IN ('r50','e50','r99')");
        (void)retain_all(spool);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 98);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 99);
}

static void an_outbox_of_many_times_the_size_gives_its_oldest_up(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        int64_t waiting;

        scratch_init(&scratch);
        spool = open_limited(&scratch, UINT64_MAX, 128 * 1024, true);
        store_history(spool, 100, USEC_PER_SEC, 10000); /* some 1.1 MiB, all of it queued */
        (void)retain_all(spool);
        waiting = count_rows(&scratch, "SELECT count(*) FROM outbox");
        assert_true(waiting > 0 && waiting < 200);
        assert_int_equal(count_rows(&scratch, "SELECT value FROM meta WHERE key='given_up'"), 200 - waiting);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM outbox WHERE key='r99'"), 1);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM outbox WHERE key='r0'"), 0);
        assert_int_equal(count_rows(&scratch,
                                 "SELECT count(*) FROM outbox WHERE kind='run' AND NOT EXISTS"
                                 " (SELECT 1 FROM watchdog_runs WHERE run_id=key)"),
                0);
}

static void a_full_outbox_does_not_make_it_turn_in_circles(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = open_limited(&scratch, UINT64_MAX, 64 << 10, true);
        store_history(spool, 50, USEC_PER_SEC, 1000);
        assert_true(spool_is_oversize(spool));
        assert_int_equal(retain_all(spool), 1);
        store_history(spool, 1, USEC_PER_SEC, 1000);
        assert_false(spool_is_oversize(spool));
}

static int count_step(void *userdata) {
        (*(int *)userdata)++;
        return 0;
}

/* The recorder stores nothing while it looks: in a long outage it must not read all that waits for each step. */
static void a_step_reads_no_whole_outbox(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        sqlite3 *db = NULL;
        bool more = false;
        int thousands = 0;

        scratch_init(&scratch);
        spool = open_limited(&scratch, DAY_USEC, 64 << 10, true);
        run_sql(&scratch,
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<50000)"
                " INSERT INTO watchdog_events (event_id,run_id,seq,decided_at,stored_at) SELECT 'e'||i,'r'||i,1,"
                "strftime('%Y-%m-%dT%H:%M:%fZ','2026-11-01','+'||i||' seconds'),'' FROM n;"
                "INSERT INTO outbox (kind,key,created_at) SELECT 'event',event_id,'' FROM watchdog_events ORDER BY "
                "rowid");
        assert_int_equal(spool_reader(spool, &db), 0);
        sqlite3_progress_handler(db, 1000, count_step, &thousands);
        assert_int_equal(spool_retain(spool, now_usec(), &more), 0);
        sqlite3_progress_handler(db, 0, NULL, NULL);
        assert_true(more);
        assert_int_equal(count_rows(&scratch, "SELECT value FROM meta WHERE key='given_up'"), 32);
        assert_true(thousands < 200);
}

static void without_limits_all_is_kept(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = open_limited(&scratch, UINT64_MAX, UINT64_MAX, false);
        store_history(spool, 20, 400 * DAY_USEC, 10);
        assert_int_equal(retain_all(spool), 1);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 20);
}

static void a_row_without_any_time_is_as_old_as_its_coming(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        bool more = false;

        scratch_init(&scratch);
        spool = open_limited(&scratch, DAY_USEC, UINT64_MAX, false);
        assert_int_equal(store_one(spool, SPOOL_RUN, json_pack("{s:s}", "run_id", "r")), 0);
        assert_int_equal(spool_retain(spool, clock_realtime_usec(), &more), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 1);
        assert_int_equal(spool_retain(spool, clock_realtime_usec() + 2 * DAY_USEC, &more), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_runs"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_older_than_the_limit_goes),
                cmocka_unit_test(a_step_is_small),
                cmocka_unit_test(above_its_size_the_oldest_go_and_the_file_shrinks),
                cmocka_unit_test(what_waits_in_the_outbox_stays),
                cmocka_unit_test(an_outbox_of_many_times_the_size_gives_its_oldest_up),
                cmocka_unit_test(a_full_outbox_does_not_make_it_turn_in_circles),
                cmocka_unit_test(a_step_reads_no_whole_outbox),
                cmocka_unit_test(without_limits_all_is_kept),
                cmocka_unit_test(a_row_without_any_time_is_as_old_as_its_coming),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
