/* Who sees what, what a selector means, and that every question goes through an index. */
#include "tests/unit/db/scratch.h"

#include "db/queries.h"
#include <string.h>
#include <sys/stat.h>

#define ID_ONE   "019aa000-0000-7000-8000-0000000aabcd"
#define ID_TWO   "019aa000-0000-7000-8000-1111111aabcd"
#define ID_THREE "019bb000-0000-7000-8000-222222222222"
#define ID_LIVE  "019cc000-0000-7000-8000-333333333333"

static const Viewer root = { .all = true };
static const Viewer alice = { .uid = 1000 };
static const Viewer bob = { .uid = 1001 };

typedef struct Record {
        Scratch scratch;
        Spool *spool;
} Record;

static int setup(void **state) {
        Record *record = calloc(1, sizeof(*record));

        assert_non_null(record);
        scratch_init(&record->scratch);
        record->spool = scratch_open(&record->scratch);
        assert_int_equal(
                store_one(record->spool, SPOOL_RUN, make_run(ID_ONE, "SDA-1", 1000, "2026-11-21T01:00:00.000000Z")), 0);
        assert_int_equal(
                store_one(record->spool, SPOOL_RUN, make_run(ID_TWO, "SDA-1", 1000, "2026-11-21T02:00:00.500000Z")), 0);
        assert_int_equal(
                store_one(record->spool, SPOOL_RUN, make_run(ID_THREE, "aabcd", 1001, "2026-11-21T03:00:00.000000Z")),
                0);
        assert_int_equal(store_one(record->spool, SPOOL_PROCESS,
                                 make_run(ID_LIVE, "SDA-L", 1001, "2026-11-21T04:00:00.000000Z")),
                0);
        assert_int_equal(
                store_one(record->spool, SPOOL_EVENT, make_event("e1", ID_ONE, 1, "2026-11-21T01:00:00.000000Z")), 0);
        assert_int_equal(
                store_one(record->spool, SPOOL_EVENT, make_event("e2", ID_TWO, 1, "2026-11-21T02:00:00.000000Z")), 0);
        assert_int_equal(
                store_one(record->spool, SPOOL_EVENT, make_event("e3", ID_TWO, 2, "2026-11-21T02:00:01.000000Z")), 0);
        *state = record;
        return 0;
}

static int teardown(void **state) {
        Record *record = *state;

        spool_free(record->spool);
        scratch_deinit(&record->scratch);
        free(record);
        return 0;
}

static void assert_selects(Record *record, const Viewer *viewer, const char *selector, const char *run_id) {
        _cleanup_(selection_deinit) Selection selection = { .run_id = NULL };

        assert_int_equal(query_select(record->spool, viewer, selector, &selection), 0);
        assert_string_equal(selection.run_id, run_id);
}

static void assert_no_selection(Record *record, const Viewer *viewer, const char *selector, int result) {
        _cleanup_(selection_deinit) Selection selection = { .run_id = NULL };

        assert_int_equal(query_select(record->spool, viewer, selector, &selection), result);
        assert_null(selection.run_id);
}

static void a_whole_run_id_selects_its_run(void **state) {
        assert_selects(*state, &root, ID_ONE, ID_ONE);
        assert_selects(*state, &root, ID_LIVE, ID_LIVE);
}

static void a_unique_suffix_selects_its_run(void **state) {
        assert_selects(*state, &root, "22222222", ID_THREE);
        assert_selects(*state, &root, "0AABCD", ID_ONE);
        assert_selects(*state, &root, "3333", ID_LIVE);
}

static void a_unique_prefix_selects_its_run(void **state) {
        assert_selects(*state, &root, "019b", ID_THREE);
        assert_selects(*state, &root, "019CC000-", ID_LIVE);
}

static void fewer_than_four_characters_select_nothing(void **state) {
        assert_no_selection(*state, &root, "222", QUERY_E_NOT_FOUND);
        assert_no_selection(*state, &root, "", QUERY_E_NOT_FOUND);
}

static void several_matches_are_told_as_candidates(void **state) {
        Record *record = *state;
        _cleanup_(selection_deinit) Selection selection = { .run_id = NULL };

        assert_int_equal(query_select(record->spool, &root, "019aa000", &selection), QUERY_E_AMBIGUOUS);
        assert_int_equal(json_array_size(selection.candidates), 2);
        assert_string_equal(json_string_value(json_array_get(selection.candidates, 0)), ID_ONE);
        assert_string_equal(json_string_value(json_array_get(selection.candidates, 1)), ID_TWO);
}

static void an_analysis_id_selects_its_newest_run(void **state) {
        Record *record = *state;

        assert_selects(record, &root, "SDA-1", ID_TWO);
        assert_selects(record, &root, "SDA-L", ID_LIVE);
        assert_int_equal(
                store_one(record->spool, SPOOL_PROCESS,
                        make_run("019dd000-0000-7000-8000-444444444444", "SDA-1", 1000, "2026-11-21T05:00:00.000000Z")),
                0);
        assert_selects(record, &root, "SDA-1", "019dd000-0000-7000-8000-444444444444");
}

static void an_analysis_id_that_looks_like_a_piece_of_a_run_id_is_an_analysis_id(void **state) {
        assert_selects(*state, &root, "aabcd", ID_THREE);
        assert_no_selection(*state, &alice, "aabcd", QUERY_E_AMBIGUOUS);
}

static void wildcards_and_quotes_mean_nothing(void **state) {
        static const char *const selectors[] = { "%%%%", "____", "019_", "%aabcd", "' OR 1=1 --", "019aa000*", "~~~~",
                "\xff\xff\xff\xff" };

        for (size_t i = 0; i < ELEMENTSOF(selectors); i++)
                assert_no_selection(*state, &root, selectors[i], QUERY_E_NOT_FOUND);
}

static void other_peoples_runs_can_not_be_selected(void **state) {
        Record *record = *state;
        _cleanup_(json_decrefp) json_t *run = NULL;

        assert_no_selection(record, &bob, ID_ONE, QUERY_E_NOT_FOUND);
        assert_no_selection(record, &bob, "SDA-1", QUERY_E_NOT_FOUND);
        assert_no_selection(record, &bob, "0aabcd", QUERY_E_NOT_FOUND);
        assert_selects(record, &alice, "0aabcd", ID_ONE);
        assert_int_equal(query_run(record->spool, &bob, ID_ONE, &run), QUERY_E_NOT_FOUND);
        assert_int_equal(query_run(record->spool, &alice, ID_ONE, &run), 0);
}

/* The ids of a list, joined by blanks. */
static void assert_list(Record *record, const Filter *filter, const char *key, const char *expected) {
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        char text[512] = "";
        json_t *row;
        int r;

        assert_int_equal(cursor_new(record->spool, filter, &cursor), 0);
        while ((r = cursor_next(cursor, &row)) == 0) {
                (void)strncat(text, json_string_value(json_object_get(row, key)), sizeof(text) - strlen(text) - 1);
                (void)strncat(text, " ", sizeof(text) - strlen(text) - 1);
                json_decref(row);
        }
        assert_int_equal(r, QUERY_E_END);
        assert_string_equal(text, expected);
}

static void lists_are_newest_first_and_filtered(void **state) {
        Record *record = *state;
        Filter runs = { .kind = RECORD_RUN, .viewer = root, .limit = UINT64_MAX };
        Filter events = { .kind = RECORD_EVENT, .viewer = root, .limit = UINT64_MAX };
        Filter f;

        assert_list(record, &runs, "run_id", ID_THREE " " ID_TWO " " ID_ONE " ");
        assert_list(record, &events, "event_id", "e3 e2 e1 ");
        f = runs, f.limit = 1;
        assert_list(record, &f, "run_id", ID_THREE " ");
        f = runs, f.limit = 0;
        assert_list(record, &f, "run_id", "");
        f = runs, f.analysis_id = "SDA-1";
        assert_list(record, &f, "run_id", ID_TWO " " ID_ONE " ");
        f = runs, f.why = "timeout";
        assert_list(record, &f, "run_id", "");
        f = runs, f.viewer = bob;
        assert_list(record, &f, "run_id", ID_THREE " ");
        f = events, f.viewer = bob;
        assert_list(record, &f, "event_id", "");
        f = events, f.run_id = ID_TWO;
        assert_list(record, &f, "event_id", "e3 e2 ");
        f = events, f.why = "memory", f.since_at = "2026-11-21T02:00:00Z";
        assert_list(record, &f, "event_id", "e3 e2 ");
        f = runs, f.since_at = "2026-11-21T02:00:00Z"; /* without a fraction, before 02:00:00.5 */
        assert_list(record, &f, "run_id", ID_THREE " " ID_TWO " ");
}

static void a_time_that_is_none_is_refused(void **state) {
        Record *record = *state;
        Filter filter = { .kind = RECORD_RUN, .viewer = root, .since_at = "yesterday" };
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        json_t *by_reason = NULL;
        uint64_t count;

        assert_int_equal(cursor_new(record->spool, &filter, &cursor), -EINVAL);
        assert_int_equal(query_kills(record->spool, &root, "yesterday", &count, &by_reason), -EINVAL);
}

static void rows_of_the_same_moment_all_come_once(void **state) {
        Record *record = *state;
        Filter filter = { .kind = RECORD_EVENT, .viewer = root, .run_id = "same", .limit = UINT64_MAX };

        for (int i = 1; i <= 5; i++) {
                char id[] = { 's', (char)('0' + i), '\0' };

                assert_int_equal(
                        store_one(record->spool, SPOOL_EVENT, make_event(id, "same", i, "2026-11-21T09:00:00.000000Z")),
                        0);
        }
        assert_list(record, &filter, "event_id", "s5 s4 s3 s2 s1 ");
}

static void a_list_goes_on_while_rows_come_and_go(void **state) {
        Record *record = *state;
        Filter filter = { .kind = RECORD_EVENT, .viewer = root, .limit = UINT64_MAX };
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        _cleanup_(json_decrefp) json_t *first = NULL, *second = NULL, *third = NULL;

        assert_int_equal(cursor_new(record->spool, &filter, &cursor), 0);
        assert_int_equal(cursor_next(cursor, &first), 0);
        assert_int_equal(
                store_one(record->spool, SPOOL_EVENT, make_event("e9", "x", 1, "2026-11-21T09:00:00.000000Z")), 0);
        run_sql(&record->scratch, "DELETE FROM watchdog_events WHERE event_id='e2'; PRAGMA wal_checkpoint(TRUNCATE)");
        assert_int_equal(cursor_next(cursor, &second), 0);
        assert_string_equal(json_string_value(json_object_get(second, "event_id")), "e1");
        assert_int_equal(cursor_next(cursor, &third), QUERY_E_END);
        assert_int_equal(cursor_count(cursor), 2);
}

static void kills_are_counted_by_reason(void **state) {
        Record *record = *state;
        _cleanup_(json_decrefp) json_t *all = NULL, *recent = NULL, *none = NULL;
        uint64_t count = 99;

        assert_int_equal(query_kills(record->spool, &root, NULL, &count, &all), 0);
        assert_int_equal(count, 3);
        assert_int_equal(json_integer_value(json_object_get(all, "memory")), 3);
        assert_int_equal(query_kills(record->spool, &alice, "2026-11-21T02:00:00.5Z", &count, &recent), 0);
        assert_int_equal(count, 1);
        assert_int_equal(query_kills(record->spool, &bob, NULL, &count, &none), 0);
        assert_int_equal(count, 0);
        assert_int_equal(json_object_size(none), 0);
}

/* Every statement that the connection runs, as text with its values. */
static int on_statement(unsigned what, void *list, void *statement, void *text) {
        char *sql = sqlite3_expanded_sql(statement);

        assert_int_equal(json_array_append_new(list, json_string(sql)), 0);
        sqlite3_free(sql);
        return 0;
}

static void assert_indexed(sqlite3 *db, const char *sql) {
        _cleanup_(freep) char *explain = text_printf("EXPLAIN QUERY PLAN %s", sql);
        sqlite3_stmt *statement = NULL;
        int steps = 0;

        assert_int_equal(sqlite3_prepare_v2(db, explain, -1, &statement, NULL), SQLITE_OK);
        for (; sqlite3_step(statement) == SQLITE_ROW; steps++) {
                const char *step = (const char *)sqlite3_column_text(statement, 3);

                if (strstr(step, "SCAN watchdog_runs") || strstr(step, "SCAN watchdog_events") ||
                        strstr(step, "SCAN r") || (strstr(step, "B-TREE FOR ORDER BY") && strstr(sql, "SELECT rowid")))
                        fail_msg("%s: %s", sql, step);
        }
        (void)sqlite3_finalize(statement);
        assert_true(steps > 0);
}

static void list_once(Record *record, Filter filter) {
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        json_t *row = NULL;

        filter.limit = UINT64_MAX;
        assert_int_equal(cursor_new(record->spool, &filter, &cursor), 0);
        if (cursor_next(cursor, &row) == 0)
                json_decref(row);
}

static void ask_everything(Record *record, const Viewer *viewer) {
        static const char *const selectors[] = { ID_ONE, "SDA-1", "22222222", "019b", "nothing" };
        json_t *answer = NULL;
        uint64_t count;

        for (size_t i = 0; i < ELEMENTSOF(selectors); i++) {
                _cleanup_(selection_deinit) Selection selection = { .run_id = NULL };

                (void)query_select(record->spool, viewer, selectors[i], &selection);
        }
        for (RecordKind kind = RECORD_RUN; kind <= RECORD_EVENT; kind++) {
                Filter f = { .kind = kind, .viewer = *viewer };

                list_once(record, f);
                list_once(record, (Filter){ .kind = kind, .viewer = *viewer, .since_at = "2026-11-21T02:00:00Z" });
                list_once(record, (Filter){ .kind = kind, .viewer = *viewer, .analysis_id = "SDA-1" });
                list_once(record, (Filter){ .kind = kind, .viewer = *viewer, .why = "memory" });
                list_once(record, (Filter){ .kind = kind, .viewer = *viewer, .run_id = ID_TWO });
        }
        if (query_run(record->spool, viewer, ID_ONE, &answer) == 0)
                json_decref(answer);
        assert_int_equal(query_kills(record->spool, viewer, "2026-11-21T02:00:00Z", &count, &answer), 0);
        json_decref(answer);
}

static void no_question_scans_runs_or_events(void **state) {
        Record *record = *state;
        _cleanup_(json_decrefp) json_t *statements = json_array();
        sqlite3 *db = NULL;
        json_t *sql;
        size_t i;

        assert_int_equal(spool_reader(record->spool, &db), 0);
        assert_int_equal(sqlite3_trace_v2(db, SQLITE_TRACE_STMT, on_statement, statements), SQLITE_OK);
        ask_everything(record, &root);
        ask_everything(record, &alice);
        assert_int_equal(sqlite3_trace_v2(db, 0, NULL, NULL), SQLITE_OK);
        assert_true(json_array_size(statements) > 40);
        json_array_foreach(statements, i, sql) assert_indexed(db, json_string_value(sql));
}

static Spool *open_reader(const Scratch *scratch) {
        SpoolOptions options = scratch_options(scratch);
        Spool *spool = NULL;

        options.read_only = true;
        assert_int_equal(spool_new(&options, &spool), 0);
        return spool;
}

static void without_a_database_everything_is_empty_and_nothing_is_made(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *by_reason = NULL;
        Record record;
        uint64_t count = 99;

        scratch_init(&scratch);
        spool = open_reader(&scratch);
        record = (Record){ .spool = spool };
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_list(&record, &(Filter){ .kind = RECORD_RUN, .viewer = root, .limit = 9 }, "run_id", "");
        assert_no_selection(&record, &root, ID_ONE, QUERY_E_NOT_FOUND);
        assert_int_equal(query_kills(spool, &root, NULL, &count, &by_reason), 0);
        assert_int_equal(count, 0);
        assert_int_equal(store_one(spool, SPOOL_RUN, make_run("r", "a", 0, "x")), SPOOL_E_AWAY);
        assert_int_equal(access(scratch.directory, F_OK), -1);
}

/* Names, sizes and times of what is in a directory. */
static char *fingerprint(const Scratch *scratch) {
        static const char *const names[] = { "", "-wal", "-shm", "-journal" };
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *path = text_printf("%s%s", scratch->path, names[i]);
                struct stat st;

                if (stat(path, &st) == 0)
                        (void)fprintf(f, "%s %ld %ld.%09ld; ", names[i], (long)st.st_size, (long)st.st_mtim.tv_sec,
                                st.st_mtim.tv_nsec);
        }
        assert_int_equal(fclose(f), 0);
        return text;
}

static void a_reader_leaves_no_trace(void **state) {
        Record *record = *state;
        Filter all = { .kind = RECORD_EVENT, .viewer = root, .limit = UINT64_MAX };

        for (int closed = 0; closed <= 1; closed++) {
                _cleanup_(freep) char *before = NULL, *after = NULL;
                Record reader = { .spool = NULL };

                if (closed) {
                        spool_free(record->spool);
                        record->spool = NULL;
                }
                before = fingerprint(&record->scratch);
                reader.spool = open_reader(&record->scratch);
                assert_list(&reader, &all, "event_id", "e3 e2 e1 ");
                spool_free(reader.spool);
                after = fingerprint(&record->scratch);
                assert_string_equal(before, after);
        }
        record->spool = scratch_open(&record->scratch);
}

static void a_reader_sees_the_log_of_a_writer_that_crashed(void **state) {
        Record *record = *state;
        _cleanup_(scratch_deinit) Scratch copy;
        _cleanup_(freep) char *command = NULL, *before = NULL, *after = NULL;
        Record reader = { .spool = NULL };
        static const char *const names[] = { "", "-wal", "-shm" };

        scratch_init(&copy);
        assert_int_equal(directory_make(copy.directory, 0700), 0);
        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                _cleanup_(freep) char *from = text_printf("%s%s", record->scratch.path, names[i]);
                _cleanup_(freep) char *to = text_printf("%s%s", copy.path, names[i]), *data = NULL;
                _cleanup_(fclosep) FILE *f = NULL;
                size_t size = 0;

                assert_int_equal(file_read_at(-100, from, 64 << 20, &data, &size), 0);
                f = fopen(to, "we");
                assert_int_equal(fwrite(data, 1, size, f), size);
        }
        before = fingerprint(&copy);
        reader.spool = open_reader(&copy);
        assert_list(&reader, &(Filter){ .kind = RECORD_EVENT, .viewer = root, .limit = 9 }, "event_id", "e3 e2 e1 ");
        spool_free(reader.spool);
        after = fingerprint(&copy);
        assert_string_equal(before, after);
}

static void a_reader_of_a_corrupt_file_says_so_and_leaves_it(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        Filter filter = { .kind = RECORD_RUN, .viewer = root, .limit = 9 };
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        json_t *row = NULL;
        char text[5000];

        scratch_init(&scratch);
        assert_int_equal(directory_make(scratch.directory, 0700), 0);
        memset(text, 'x', sizeof(text));
        assert_int_equal(file_replace_at(-100, scratch.path, text, sizeof(text), 0600), 0);
        spool = open_reader(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_FAILED);
        assert_true(strlen(spool_detail(spool)) > 0);
        assert_int_equal(cursor_new(spool, &filter, &cursor), 0);
        assert_int_equal(cursor_next(cursor, &row), QUERY_E_AWAY);
        assert_int_equal(access(scratch.path, F_OK), 0);
}

#define with_record(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                with_record(a_whole_run_id_selects_its_run),
                with_record(a_unique_suffix_selects_its_run),
                with_record(a_unique_prefix_selects_its_run),
                with_record(fewer_than_four_characters_select_nothing),
                with_record(several_matches_are_told_as_candidates),
                with_record(an_analysis_id_selects_its_newest_run),
                with_record(an_analysis_id_that_looks_like_a_piece_of_a_run_id_is_an_analysis_id),
                with_record(wildcards_and_quotes_mean_nothing),
                with_record(other_peoples_runs_can_not_be_selected),
                with_record(lists_are_newest_first_and_filtered),
                with_record(a_time_that_is_none_is_refused),
                with_record(rows_of_the_same_moment_all_come_once),
                with_record(a_list_goes_on_while_rows_come_and_go),
                with_record(kills_are_counted_by_reason),
                with_record(no_question_scans_runs_or_events),
                cmocka_unit_test(without_a_database_everything_is_empty_and_nothing_is_made),
                with_record(a_reader_leaves_no_trace),
                with_record(a_reader_sees_the_log_of_a_writer_that_crashed),
                cmocka_unit_test(a_reader_of_a_corrupt_file_says_so_and_leaves_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
