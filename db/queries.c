/*
 * Lists, one run, and counts.
 *
 * Called by the recorder for its clients.  The hard thing is a client that asks for a million rows and reads one a
 * minute: a statement left open that long would pin the write-ahead log.  So a cursor is no statement but a place (time
 * and rowid of the last row), and each row is sought anew through an index, which costs some 50 µs.
 */
#include "db/queries.h"

#include "base/clock.h"
#include "base/file.h"
#include "db/schema.h"
#include "db/statement.h"
#include <string.h>

#define AFTER_ALL_TIMES "~"

struct Cursor {
        Spool *spool;
        RecordKind kind;
        Viewer viewer;
        char *sql;                        /* owned */
        char *analysis_id, *why, *run_id; /* owned; NULL: not asked for */
        char since_at[CLOCK_RFC3339_MAX];
        char *last_at; /* owned */
        int64_t last_row;
        uint64_t left, count;
};

static const char *given(const char *text) {
        return text && *text ? text : NULL;
}

/* In the form that rows have, as they are compared as texts: with six digits. "" for no time at all. */
static int normalize_since(const char *since_at, char ret[static CLOCK_RFC3339_MAX]) {
        uint64_t usec;

        ret[0] = '\0';
        if (!given(since_at))
                return 0;
        if (clock_parse_rfc3339(since_at, &usec) < 0)
                return -EINVAL;
        clock_format_rfc3339(ret, usec);
        return 0;
}

/* Only the conditions that are asked for: one that is always true would hide the index from the planner. */
static char *cursor_sql(const Filter *filter) {
        _cleanup_(freep) char *list = columns_select_list(filter->kind);
        bool runs = filter->kind == RECORD_RUN;
        const char *at = runs ? RUN_AT : EVENT_AT;

        if (!list)
                return NULL;
        return text_printf(
                "SELECT rowid, %s, %s FROM %s WHERE %s>=:since AND %s<=:last AND (%s<:last OR rowid<:row)%s%s%s%s"
                " ORDER BY %s DESC, rowid DESC LIMIT 1",
                at, list, runs ? "watchdog_runs" : "watchdog_events", at, at, at,
                filter->viewer.all ? "" : " AND uid=:uid",
                given(filter->analysis_id) ? " AND analysis_id=:analysis" : "",
                given(filter->why) ? (runs ? " AND verdict=:why" : " AND reason=:why") : "",
                given(filter->run_id) ? " AND run_id=:run" : "", at);
}

static int copy_text(const char *text, char **ret) {
        if (!given(text))
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

int cursor_new(Spool *spool, const Filter *filter, Cursor **ret) {
        _cleanup_(cursor_freep) Cursor *cursor = calloc(1, sizeof(*cursor));

        if (!cursor)
                return -ENOMEM;
        *cursor = (Cursor){ .spool = spool,
                .kind = filter->kind,
                .viewer = filter->viewer,
                .sql = cursor_sql(filter),
                .last_at = strdup(AFTER_ALL_TIMES),
                .last_row = INT64_MAX,
                .left = filter->limit };
        if (!cursor->sql || !cursor->last_at || copy_text(filter->analysis_id, &cursor->analysis_id) < 0 ||
                copy_text(filter->why, &cursor->why) < 0 || copy_text(filter->run_id, &cursor->run_id) < 0)
                return -ENOMEM;
        if (normalize_since(filter->since_at, cursor->since_at) < 0)
                return -EINVAL;
        *ret = TAKE_PTR(cursor);
        return 0;
}

void cursor_free(Cursor *cursor) {
        free(cursor->last_at);
        free(cursor->run_id);
        free(cursor->why);
        free(cursor->analysis_id);
        free(cursor->sql);
        free(cursor);
}

uint64_t cursor_count(const Cursor *cursor) {
        return cursor->count;
}

/* A statement need not have the parameter. */
static int bind_text(sqlite3_stmt *statement, const char *name, const char *value) {
        int i = sqlite3_bind_parameter_index(statement, name);

        return i > 0 ? sqlite3_bind_text(statement, i, value, -1, SQLITE_TRANSIENT) : SQLITE_OK;
}

static int bind_number(sqlite3_stmt *statement, const char *name, int64_t value) {
        int i = sqlite3_bind_parameter_index(statement, name);

        return i > 0 ? sqlite3_bind_int64(statement, i, value) : SQLITE_OK;
}

static int bind_cursor(sqlite3_stmt *statement, const Cursor *cursor) {
        const struct {
                const char *name, *value;
        } texts[] = {
                { ":since", cursor->since_at },
                { ":last", cursor->last_at },
                { ":analysis", cursor->analysis_id },
                { ":why", cursor->why },
                { ":run", cursor->run_id },
        };
        int rc = bind_number(statement, ":row", cursor->last_row);

        if (rc == SQLITE_OK)
                rc = bind_number(statement, ":uid", (int64_t)cursor->viewer.uid);
        for (size_t i = 0; rc == SQLITE_OK && i < ELEMENTSOF(texts); i++)
                rc = bind_text(statement, texts[i].name, texts[i].value);
        return rc;
}

/* A result code that is no row: the end, or a failure that the spool has to know of. */
static int read_result(Spool *spool, int rc) {
        if (rc == SQLITE_DONE)
                return QUERY_E_END;
        spool_read_failed(spool, rc);
        return rc == SQLITE_NOMEM ? -ENOMEM : QUERY_E_AWAY;
}

static int open_record(Spool *spool, sqlite3 **ret) {
        int r = spool_reader(spool, ret);

        return r == SPOOL_E_EMPTY ? QUERY_E_END : r == 0 ? 0 : QUERY_E_AWAY;
}

static int cursor_take(Cursor *cursor, sqlite3_stmt *statement, json_t **ret_row) {
        char *at = strdup((const char *)sqlite3_column_text(statement, 1));
        json_t *row = columns_read(statement, cursor->kind, 2, cursor->kind == RECORD_RUN ? "timeline" : NULL);

        if (!at || !row) {
                free(at);
                json_decref(row);
                return -ENOMEM;
        }
        free(cursor->last_at);
        cursor->last_at = at;
        cursor->last_row = sqlite3_column_int64(statement, 0);
        cursor->count++;
        if (cursor->left != UINT64_MAX)
                cursor->left--;
        *ret_row = row;
        return 0;
}

int cursor_next(Cursor *cursor, json_t **ret_row) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        sqlite3 *db = NULL;
        int r, rc;

        if (cursor->left == 0)
                return QUERY_E_END;
        r = open_record(cursor->spool, &db);
        if (r != 0)
                return r;
        rc = sqlite3_prepare_v2(db, cursor->sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = bind_cursor(statement, cursor);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
                return cursor_take(cursor, statement, ret_row);
        return read_result(cursor->spool, rc);
}

/* 0, QUERY_E_END if this table has not got it. */
static int read_run(
        Spool *spool, sqlite3 *db, const char *table, const Viewer *viewer, const char *run_id, json_t **ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *list = columns_select_list(RECORD_RUN), *sql = NULL;
        int rc;

        if (list)
                sql = text_printf(
                        "SELECT %s FROM %s WHERE run_id=:run%s", list, table, viewer->all ? "" : " AND uid=:uid");
        if (!sql)
                return -ENOMEM;
        rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = bind_text(statement, ":run", run_id);
        if (rc == SQLITE_OK)
                rc = bind_number(statement, ":uid", (int64_t)viewer->uid);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
                *ret = columns_read(statement, RECORD_RUN, 0, NULL);
                return *ret ? 0 : -ENOMEM;
        }
        return read_result(spool, rc);
}

int query_run(Spool *spool, const Viewer *viewer, const char *run_id, json_t **ret_run) {
        sqlite3 *db = NULL;
        int r = open_record(spool, &db);

        if (r == 0)
                r = read_run(spool, db, "watchdog_runs", viewer, run_id, ret_run);
        if (r == QUERY_E_END && db)
                r = read_run(spool, db, "watchdog_processes", viewer, run_id, ret_run);
        return r == QUERY_E_END ? QUERY_E_NOT_FOUND : r;
}

static int give_row(sqlite3_stmt *statement, QueryRowFunc func, void *userdata) {
        _cleanup_(json_decrefp) json_t *row = columns_read(statement, RECORD_RUN, 0, "timeline");

        return row ? func(row, userdata) : -ENOMEM;
}

int query_live(Spool *spool, QueryRowFunc func, void *userdata) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *list = columns_select_list(RECORD_RUN), *sql = NULL;
        sqlite3 *db = NULL;
        int r = open_record(spool, &db), rc;

        if (list)
                sql = text_printf("SELECT %s FROM watchdog_processes WHERE coalesce(host,:host)=:host", list);
        if (!sql)
                return -ENOMEM;
        if (r != 0)
                return r == QUERY_E_END ? 0 : r;
        rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = bind_text(statement, ":host", spool_host(spool));
        while (r == 0 && (rc == SQLITE_OK || rc == SQLITE_ROW)) {
                rc = sqlite3_step(statement);
                if (rc == SQLITE_ROW)
                        r = give_row(statement, func, userdata);
        }
        if (r != 0 || rc == SQLITE_DONE)
                return r;
        return read_result(spool, rc);
}

static int add_kills(sqlite3_stmt *statement, uint64_t *count, json_t *by_reason) {
        const char *reason = (const char *)sqlite3_column_text(statement, 0);
        int64_t n = sqlite3_column_int64(statement, 1);

        *count += (uint64_t)n;
        return json_object_set_new(by_reason, reason ? reason : "unknown", json_integer(n));
}

int query_kills(Spool *spool, const Viewer *viewer, const char *since_at, uint64_t *ret_count, json_t **ret_by_reason) {
        _cleanup_(json_decrefp) json_t *by_reason = json_object();
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        char since[CLOCK_RFC3339_MAX];
        /* The + keeps the planner from walking all kills of each reason instead of the recent ones. */
        const char *sql = viewer->all ? "SELECT reason, count(*) FROM watchdog_events WHERE " EVENT_AT
                                        ">=:since GROUP BY +reason"
                                      : "SELECT reason, count(*) FROM watchdog_events WHERE uid=:uid AND " EVENT_AT
                                        ">=:since GROUP BY +reason";
        uint64_t count = 0;
        sqlite3 *db = NULL;
        int r, rc = SQLITE_DONE;

        if (normalize_since(since_at, since) < 0)
                return -EINVAL;
        r = open_record(spool, &db);
        if (r != 0 && r != QUERY_E_END)
                return r;
        if (db)
                rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = bind_text(statement, ":since", since);
        if (rc == SQLITE_OK)
                rc = bind_number(statement, ":uid", (int64_t)viewer->uid);
        while (rc == SQLITE_OK || rc == SQLITE_ROW) {
                rc = sqlite3_step(statement);
                if (rc == SQLITE_ROW && add_kills(statement, &count, by_reason) < 0)
                        return -ENOMEM;
        }
        if (rc != SQLITE_DONE)
                return read_result(spool, rc);
        *ret_count = count;
        *ret_by_reason = TAKE_PTR(by_reason);
        return 0;
}
