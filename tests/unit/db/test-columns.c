/* Every member that docs/protocol.md promises is a column, and comes back as it went in. */
#include "tests/unit/db/scratch.h"

#include "db/columns.h"
#include "db/queries.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define PROTOCOL_MAX_BYTES (1 << 20)

static const Viewer root = { .all = true };

/* Adds the words in `backticks` that stand outside of parentheses. */
static void add_names(json_t *names, const char *text, const char *end) {
        int depth = 0;

        for (const char *p = text; p < end; p++) {
                const char *close;

                if (*p == '(')
                        depth++;
                else if (*p == ')')
                        depth--;
                else if (*p == '`') {
                        close = strchr(p + 1, '`');
                        assert_non_null(close);
                        if (depth == 0) {
                                _cleanup_(freep) char *name = strndup(p + 1, (size_t)(close - p - 1));

                                assert_int_equal(json_object_set_new(names, name, json_true()), 0);
                        }
                        p = close;
                }
        }
}

static const char *find(const char *text, const char *what) {
        const char *p = strstr(text, what);

        if (!p)
                fail_msg("docs/protocol.md has no \"%s\" any more", what);
        return p;
}

/* The first cells of the table of run. */
static json_t *documented_run(const char *text) {
        json_t *names = json_object();
        const char *end = find(text, "\n**event**");

        for (const char *line = find(text, "\n**run**") + 1; line < end; line = strchr(line, '\n') + 1)
                if (strncmp(line, "| `", 3) == 0)
                        add_names(names, line, strchr(line + 1, '|'));
        return names;
}

static json_t *documented_event(const char *text) {
        json_t *names = documented_run(text);
        const char *begin = find(text, "\n**event**"), *rest = find(begin, "and every member of **run**");
        _cleanup_(json_decrefp) json_t *without = json_object();
        const char *key;
        json_t *value;

        add_names(without, rest, find(rest, ".\n"));
        json_object_foreach(without, key, value) assert_int_equal(json_object_del(names, key), 0);
        add_names(names, begin, rest);
        return names;
}

static char *read_protocol(void) {
        char *text = NULL;

        if (access(PROTOCOL, R_OK) < 0) {
                print_message("no docs/protocol.md at " PROTOCOL " on this machine\n");
                skip();
        }
        assert_int_equal(file_read_at(AT_FDCWD, PROTOCOL, PROTOCOL_MAX_BYTES, &text, NULL), 0);
        return text;
}

static void assert_columns_are(RecordKind kind, json_t *documented) {
        const char *key;
        json_t *value;

        assert_true(json_object_size(documented) > 50);
        for (const Column *c = NULL; (c = column_next(kind, c));)
                if (json_object_del(documented, c->name) < 0)
                        fail_msg("column %s is not in docs/protocol.md", c->name);
        json_object_foreach(documented, key, value) fail_msg("docs/protocol.md has %s, which is no column", key);
        json_decref(documented);
}

static void every_documented_member_of_run_is_a_column(void **state) {
        _cleanup_(freep) char *text = read_protocol();

        assert_columns_are(RECORD_RUN, documented_run(text));
}

static void every_documented_member_of_event_is_a_column(void **state) {
        _cleanup_(freep) char *text = read_protocol();

        assert_columns_are(RECORD_EVENT, documented_event(text));
}

static void assert_table_has(const Scratch *scratch, RecordKind kind, const char *table) {
        static const char *const types[_COLUMN_TYPE_MAX] = { "TEXT", "INTEGER", "REAL", "TEXT" };
        int64_t n = 0;

        for (const Column *c = NULL; (c = column_next(kind, c)); n++) {
                _cleanup_(freep) char *sql =
                        text_printf("SELECT count(*) FROM pragma_table_info('%s') WHERE name='%s' AND type='%s'", table,
                                c->name, types[c->type]);

                if (count_rows(scratch, sql) != 1)
                        fail_msg("%s has no column %s %s", table, c->name, types[c->type]);
        }
        {
                _cleanup_(freep) char *sql = text_printf("SELECT count(*) FROM pragma_table_info('%s')", table);

                assert_int_equal(count_rows(scratch, sql), n + 2); /* extra, stored_at */
        }
}

static void the_schema_and_the_column_table_agree(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_table_has(&scratch, RECORD_RUN, "watchdog_runs");
        assert_table_has(&scratch, RECORD_RUN, "watchdog_processes");
        assert_table_has(&scratch, RECORD_EVENT, "watchdog_events");
}

static json_t *full_object(RecordKind kind) {
        json_t *object = json_object(), *value = NULL;
        int i = 0;

        for (const Column *c = NULL; (c = column_next(kind, c)); i++) {
                switch (c->type) {
                case COLUMN_TEXT:
                        value = json_sprintf("text of %s, \xc3\xa4'\"%%\\", c->name);
                        break;
                case COLUMN_INTEGER:
                        value = json_integer(INT64_MAX - i);
                        break;
                case COLUMN_REAL:
                        value = json_real(0.1 + i);
                        break;
                default:
                        value = json_pack("[{s:i, s:n, s:[f, s]}]", "n", i, "none", "list", 0.25, "x");
                }
                assert_int_equal(json_object_set_new(object, c->name, value), 0);
        }
        return object;
}

static json_t *read_back(Spool *spool, RecordKind kind) {
        Filter filter = { .kind = kind, .viewer = root, .limit = UINT64_MAX };
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        json_t *row = NULL;

        assert_int_equal(cursor_new(spool, &filter, &cursor), 0);
        assert_int_equal(cursor_next(cursor, &row), 0);
        return row;
}

static void assert_same_members(const json_t *a, const json_t *b) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)a, key, value) if (!json_equal(value, json_object_get(b, key)))
                fail_msg("%s came back as something else", key);
        assert_int_equal(json_object_size(a), json_object_size(b));
}

static void a_full_run_comes_back_member_by_member(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *run = full_object(RECORD_RUN), *back = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_RUN, json_incref(run)), 0);
        assert_int_equal(query_run(spool, &root, json_string_value(json_object_get(run, "run_id")), &back), 0);
        assert_same_members(run, back);
}

static void a_list_of_runs_leaves_out_the_timeline(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *run = full_object(RECORD_RUN), *back = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_RUN, json_incref(run)), 0);
        back = read_back(spool, RECORD_RUN);
        assert_null(json_object_get(back, "timeline"));
        (void)json_object_del(run, "timeline");
        assert_same_members(run, back);
}

static void a_full_event_comes_back_member_by_member(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *event = full_object(RECORD_EVENT), *back = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, json_incref(event)), 0);
        back = read_back(spool, RECORD_EVENT);
        assert_same_members(event, back);
}

static void what_has_no_fitting_column_is_kept(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *back = NULL, *event = make_event("e", "r", 1, "2026-11-21T07:00:00.000000Z");
        _cleanup_(json_decrefp) json_t *new_member = json_pack("{s:[i, i]}", "a", 1, 2);

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(json_object_set(event, "member_of_next_year", new_member), 0);
        assert_int_equal(json_object_set_new(event, "pid", json_string("not a number")), 0);
        assert_int_equal(json_object_set_new(event, "comm", json_integer(7)), 0);
        assert_int_equal(json_object_set_new(event, "memory_bytes", json_real(1.5)), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, json_incref(event)), 0);
        back = read_back(spool, RECORD_EVENT);
        assert_true(json_equal(json_object_get(back, "member_of_next_year"), new_member));
        assert_string_equal(json_string_value(json_object_get(back, "pid")), "not a number");
        assert_int_equal(json_integer_value(json_object_get(back, "comm")), 7);
        assert_true(json_equal(json_object_get(back, "memory_bytes"), json_object_get(event, "memory_bytes")));
        assert_null(json_object_get(back, "extra"));
}

static void text_that_is_no_utf8_or_has_a_nul_is_stored_escaped(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *back = NULL, *event = make_event("e", "r", 1, "2026-11-21T07:00:00.000000Z");
        json_t *labels = json_object();

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(json_object_set_new(event, "comm", json_stringn_nocheck("a\0b\0", 4)), 0);
        assert_int_equal(json_object_set_new(event, "cmdline", json_string_nocheck("caf\xe9 \xff!")), 0);
        assert_int_equal(json_object_set_new_nocheck(labels, "k\xfe", json_string_nocheck("v\x80")), 0);
        assert_int_equal(json_object_set_new(event, "labels", labels), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, json_incref(event)), 0);
        back = read_back(spool, RECORD_EVENT);
        assert_string_equal(json_string_value(json_object_get(back, "comm")), "a\\x00b\\x00");
        assert_string_equal(json_string_value(json_object_get(back, "cmdline")), "caf\\xe9 \\xff!");
        assert_string_equal(json_string_value(json_object_get(json_object_get(back, "labels"), "k\\xfe")), "v\\x80");
}

static void a_member_that_is_absent_reads_as_null(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *back = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e", "r", 1, "2026-11-21T07:00:00.000000Z")), 0);
        back = read_back(spool, RECORD_EVENT);
        assert_true(json_is_null(json_object_get(back, "term_at")));
        assert_true(json_is_null(json_object_get(back, "processes")));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_documented_member_of_run_is_a_column),
                cmocka_unit_test(every_documented_member_of_event_is_a_column),
                cmocka_unit_test(the_schema_and_the_column_table_agree),
                cmocka_unit_test(a_full_run_comes_back_member_by_member),
                cmocka_unit_test(a_list_of_runs_leaves_out_the_timeline),
                cmocka_unit_test(a_full_event_comes_back_member_by_member),
                cmocka_unit_test(what_has_no_fitting_column_is_kept),
                cmocka_unit_test(text_that_is_no_utf8_or_has_a_nul_is_stored_escaped),
                cmocka_unit_test(a_member_that_is_absent_reads_as_null),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
