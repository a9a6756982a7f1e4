/*
 * The outbox: what is read for shipping, and what becomes of it.
 *
 * Called by the shipping (read, shipped, refuse) and by the recorder's answers (figures, dead letters, retry).  The
 * hard thing is that the file may be another one by the time that a batch comes back: a corrupt one was set aside, and
 * the ids of its successor begin at 1 again.  So every change names the generation in which the ids were read, and is
 * judged inside its transaction.  No statement stays open between two calls: the spool may close its connection.
 */
#include "db/outbox.h"

#include "base/file.h"
#include <assert.h>
#include <string.h>

#define DEAD_COLUMNS "id,kind,key,created_at,failed_at,sqlstate,message,row"

static const struct {
        const char *name, *table, *key;
        RecordKind record;
} kinds[] = {
        [OUTBOX_PROCESS] = { "process", "watchdog_processes", "run_id", RECORD_RUN },
        [OUTBOX_RUN] = { "run", "watchdog_runs", "run_id", RECORD_RUN },
        [OUTBOX_EVENT] = { "event", "watchdog_events", "event_id", RECORD_EVENT },
};
static_assert(ELEMENTSOF(kinds) == _OUTBOX_KIND_MAX, "each kind has its table");

const char *outbox_kind_to_string(OutboxKind kind) {
        return kinds[kind].name;
}

const char *outbox_kind_table(OutboxKind kind) {
        return kinds[kind].table;
}

RecordKind outbox_kind_record(OutboxKind kind) {
        return kinds[kind].record;
}

static OutboxKind kind_from_string(const char *text) {
        for (OutboxKind kind = 0; text && kind < _OUTBOX_KIND_MAX; kind++)
                if (strcmp(kinds[kind].name, text) == 0)
                        return kind;
        return _OUTBOX_KIND_INVALID;
}

static void statement_finalizep(sqlite3_stmt **statement) {
        (void)sqlite3_finalize(*statement);
}

static const char *text_column(sqlite3_stmt *statement, int i) {
        return (const char *)sqlite3_column_text(statement, i);
}

/* Reading that failed, told to the spool. */
static int read_failed(Spool *spool, int rc) {
        if (rc == SQLITE_NOMEM)
                return -ENOMEM;
        spool_read_failed(spool, rc);
        return OUTBOX_E_AWAY;
}

static int prepare_row(sqlite3 *db, OutboxKind kind, sqlite3_stmt **ret) {
        _cleanup_(freep) char *names = columns_select_list(kinds[kind].record);
        _cleanup_(freep) char *sql = names
                ? text_printf("SELECT %s,stored_at FROM %s WHERE %s=?1", names, kinds[kind].table, kinds[kind].key)
                : NULL;

        return sql ? sqlite3_prepare_v2(db, sql, -1, ret, NULL) : SQLITE_NOMEM;
}

typedef struct Reader {
        sqlite3 *db;
        sqlite3_stmt *outbox, *rows[_OUTBOX_KIND_MAX]; /* owned */
} Reader;

static void reader_deinit(Reader *reader) {
        (void)sqlite3_finalize(reader->outbox);
        for (OutboxKind kind = 0; kind < _OUTBOX_KIND_MAX; kind++)
                (void)sqlite3_finalize(reader->rows[kind]);
}

static int reader_init(sqlite3 *db, int64_t after_id, Reader *ret) {
        int rc;

        ret->db = db;
        rc = sqlite3_prepare_v2(db, "SELECT id,kind,key FROM outbox WHERE id>?1 ORDER BY id", -1, &ret->outbox, NULL);
        return rc == SQLITE_OK ? sqlite3_bind_int64(ret->outbox, 1, after_id) : rc;
}

/* The row that a key names; row->statement is NULL if there is none. */
static int look_up(Reader *reader, OutboxRow *row) {
        sqlite3_stmt **statement = &reader->rows[row->kind];
        int rc = *statement ? sqlite3_reset(*statement) : prepare_row(reader->db, row->kind, statement);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(*statement, 1, row->key, -1, SQLITE_STATIC);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(*statement);
        row->statement = rc == SQLITE_ROW ? *statement : NULL;
        return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* SQLite's result code; *ret_r is what the function said. */
static int read_rows(Reader *reader, OutboxRowFunc func, void *userdata, int *ret_r) {
        int rc;

        *ret_r = 0;
        while (*ret_r == 0 && (rc = sqlite3_step(reader->outbox)) == SQLITE_ROW) {
                OutboxRow row = { .id = sqlite3_column_int64(reader->outbox, 0),
                        .kind = kind_from_string(text_column(reader->outbox, 1)),
                        .key = text_column(reader->outbox, 2) };

                if (row.kind < 0 || !row.key) /* of a newer schema, and that is refused when the file is opened */
                        return SQLITE_MISMATCH;
                rc = look_up(reader, &row);
                if (rc != SQLITE_OK)
                        return rc;
                *ret_r = func(&row, userdata);
        }
        return *ret_r != 0 || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int outbox_read(Spool *spool, int64_t after_id, OutboxRowFunc func, void *userdata) {
        _cleanup_(reader_deinit) Reader reader = { .db = NULL };
        sqlite3 *db = NULL;
        int r, rc;

        if (spool_reader(spool, &db) != 0)
                return OUTBOX_E_AWAY;
        rc = reader_init(db, after_id, &reader);
        if (rc == SQLITE_OK)
                rc = read_rows(&reader, func, userdata, &r);
        if (rc != SQLITE_OK) {
                reader_deinit(&reader);
                reader = (Reader){ .db = NULL };
                return read_failed(spool, rc);
        }
        return r < 0 ? r : 0;
}

/* What one change of the outbox is about, and how it ended. */
typedef struct Change {
        Spool *spool;
        uint64_t generation;
        int64_t first, last;
        const OutboxRefusal *refusal;
        bool stale;
        uint64_t count;
} Change;

static int change_outbox(Change *change, int (*func)(sqlite3 *db, void *change), bool durable) {
        if (spool_change(change->spool, func, change, durable) != 0)
                return OUTBOX_E_AWAY;
        return change->stale ? OUTBOX_E_STALE : 0;
}

static bool change_is_stale(Change *change) {
        change->stale = spool_generation(change->spool) != change->generation;
        return change->stale;
}

/* Runs a statement with the range as parameters 1 and 2. */
static int execute_range(sqlite3 *db, const char *sql, int64_t first, int64_t last) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 1, first);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 2, last);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int delete_range(sqlite3 *db, int64_t first, int64_t last) {
        return execute_range(db, "DELETE FROM outbox WHERE id BETWEEN ?1 AND ?2", first, last);
}

static int do_shipped(sqlite3 *db, void *userdata) {
        Change *change = userdata;

        return change_is_stale(change) ? SQLITE_OK : delete_range(db, change->first, change->last);
}

int outbox_shipped(Spool *spool, uint64_t generation, int64_t first, int64_t last) {
        Change change = { .spool = spool, .generation = generation, .first = first, .last = last };

        return change_outbox(&change, do_shipped, false);
}

/* The row as JSON text; NULL in *ret if it is gone. */
static int read_row_text(sqlite3 *db, OutboxKind kind, const char *key, char **ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(json_decrefp) json_t *row = NULL;
        int rc = prepare_row(db, kind, &statement);

        *ret = NULL;
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return SQLITE_OK;
        if (rc != SQLITE_ROW)
                return rc;
        row = columns_read(statement, kinds[kind].record, 0, NULL);
        *ret = row ? json_to_text(row) : NULL;
        return *ret ? SQLITE_OK : SQLITE_NOMEM;
}

static int insert_dead(sqlite3 *db, int64_t id, const char *row, const OutboxRefusal *refusal) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        char now_at[CLOCK_RFC3339_MAX];
        const char *texts[] = { clock_format_rfc3339(now_at, clock_realtime_usec()), refusal->sqlstate,
                refusal->message, row };
        int rc = sqlite3_prepare_v2(db,
                "INSERT OR REPLACE INTO dead_letters (kind,key,created_at,failed_at,sqlstate,message,row)"
                " SELECT kind,key,created_at,?2,?3,?4,?5 FROM outbox WHERE id=?1",
                -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 1, id);
        for (int i = 0; rc == SQLITE_OK && i < (int)ELEMENTSOF(texts); i++)
                rc = sqlite3_bind_text(statement, i + 2, texts[i], -1, SQLITE_TRANSIENT);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int do_refuse(sqlite3 *db, void *userdata) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *row = NULL;
        Change *change = userdata;
        OutboxKind kind;
        int rc;

        if (change_is_stale(change))
                return SQLITE_OK;
        rc = sqlite3_prepare_v2(db, "SELECT kind,key FROM outbox WHERE id=?1", -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 1, change->first);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE) /* replaced by a newer state of the row, which is tried on its own */
                return SQLITE_OK;
        kind = rc == SQLITE_ROW ? kind_from_string(text_column(statement, 0)) : _OUTBOX_KIND_INVALID;
        if (kind < 0)
                return rc == SQLITE_ROW ? SQLITE_MISMATCH : rc;
        rc = read_row_text(db, kind, text_column(statement, 1), &row);
        if (rc == SQLITE_OK)
                rc = insert_dead(db, change->first, row, change->refusal);
        return rc == SQLITE_OK ? delete_range(db, change->first, change->first) : rc;
}

int outbox_refuse(Spool *spool, uint64_t generation, int64_t id, const OutboxRefusal *refusal) {
        Change change = { .spool = spool, .generation = generation, .first = id, .refusal = refusal };

        return change_outbox(&change, do_refuse, true);
}

static int do_requeue(sqlite3 *db, void *userdata) {
        return sqlite3_exec(db,
                "INSERT OR IGNORE INTO outbox (kind,key,created_at)"
                " SELECT 'process',run_id,strftime('%Y-%m-%dT%H:%M:%fZ','now') FROM watchdog_processes",
                NULL, NULL, NULL);
}

int outbox_requeue_processes(Spool *spool) {
        Change change = { .spool = spool };

        return change_outbox(&change, do_requeue, false);
}

int outbox_run_ids(Spool *spool, json_t **ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(json_decrefp) json_t *list = json_array();
        sqlite3 *db = NULL;
        int rc;

        if (!list)
                return -ENOMEM;
        if (spool_reader(spool, &db) != 0)
                return OUTBOX_E_AWAY;
        rc = sqlite3_prepare_v2(db,
                "SELECT run_id FROM watchdog_processes UNION SELECT key FROM outbox WHERE kind<>'event'", -1,
                &statement, NULL);
        while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
                if (json_array_append_new(list, json_string(text_column(statement, 0))) < 0)
                        return -ENOMEM;
                rc = SQLITE_OK;
        }
        if (rc != SQLITE_DONE) {
                statement_finalizep(&statement);
                statement = NULL;
                return read_failed(spool, rc);
        }
        *ret = TAKE_PTR(list);
        return 0;
}

/* The number of a query; 0 where the table is not there yet (an older file, opened to read only). */
static uint64_t number_of(sqlite3 *db, const char *sql) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;

        if (sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
                return 0;
        return (uint64_t)sqlite3_column_int64(statement, 0);
}

int outbox_figures(Spool *spool, OutboxFigures *ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        sqlite3 *db = NULL;

        *ret = (OutboxFigures){ .waiting = 0 };
        if (spool_reader(spool, &db) != 0)
                return OUTBOX_E_AWAY;
        ret->waiting = number_of(db, "SELECT count(*) FROM outbox");
        ret->dead_letters = number_of(db, "SELECT count(*) FROM dead_letters");
        ret->given_up = number_of(db, "SELECT value FROM meta WHERE key='given_up'");
        if (sqlite3_prepare_v2(db, "SELECT created_at FROM outbox ORDER BY id LIMIT 1", -1, &statement, NULL) ==
                        SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW)
                (void)snprintf(ret->oldest_at, sizeof(ret->oldest_at), "%s", text_column(statement, 0));
        return 0;
}

static json_t *dead_to_json(sqlite3_stmt *statement) {
        static const char *const names[] = { "kind", "key", "created_at", "failed_at", "sqlstate", "message" };
        _cleanup_(json_decrefp) json_t *dead = json_pack("{s:I}", "id", (json_int_t)sqlite3_column_int64(statement, 0));
        const char *text = text_column(statement, (int)ELEMENTSOF(names) + 1);
        json_t *row = text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;

        for (int i = 0; i < (int)ELEMENTSOF(names); i++)
                if (json_object_set_new(dead, names[i], json_from_text(text_column(statement, i + 1))) < 0) {
                        json_decref(row);
                        return NULL;
                }
        return json_object_set_new(dead, "row", row ? row : json_null()) < 0 ? NULL : TAKE_PTR(dead);
}

int outbox_dead_next(Spool *spool, int64_t after_id, json_t **ret_row) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        sqlite3 *db = NULL;
        int r = spool_reader(spool, &db), rc;

        if (r != 0)
                return r == SPOOL_E_EMPTY ? OUTBOX_E_END : OUTBOX_E_AWAY;
        rc = sqlite3_prepare_v2(
                db, "SELECT " DEAD_COLUMNS " FROM dead_letters WHERE id>?1 ORDER BY id LIMIT 1", -1, &statement, NULL);
        if (rc == SQLITE_ERROR) /* no such table: an older file, opened to read only */
                return OUTBOX_E_END;
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 1, after_id);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return OUTBOX_E_END;
        if (rc != SQLITE_ROW) {
                statement_finalizep(&statement);
                statement = NULL;
                return read_failed(spool, rc);
        }
        *ret_row = dead_to_json(statement);
        return *ret_row ? 0 : -ENOMEM;
}

/* Into its table again, unless it is there. */
static int restore_row(sqlite3 *db, OutboxKind kind, const json_t *row) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *sql = columns_insert_sql(kinds[kind].record, kinds[kind].table, kinds[kind].key, false);
        char now_at[CLOCK_RFC3339_MAX];
        int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &statement, NULL) : SQLITE_NOMEM;

        if (rc == SQLITE_OK)
                rc = columns_bind(
                        statement, kinds[kind].record, row, clock_format_rfc3339(now_at, clock_realtime_usec()));
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        return rc == SQLITE_DONE || (rc & 0xff) == SQLITE_CONSTRAINT ? SQLITE_OK : rc;
}

/* A live process is not brought back: that it is gone is what is to be shipped now. */
static int restore_dead(sqlite3 *db, sqlite3_stmt *statement) {
        OutboxKind kind = kind_from_string(text_column(statement, 1));
        _cleanup_(json_decrefp) json_t *row = NULL;

        if (kind < 0 || kind == OUTBOX_PROCESS || !text_column(statement, 7))
                return SQLITE_OK;
        row = json_loads(text_column(statement, 7), JSON_ALLOW_NUL, NULL);
        return row ? restore_row(db, kind, row) : SQLITE_OK;
}

static int restore_all(sqlite3 *db, int64_t first, int64_t last) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db,
                "SELECT " DEAD_COLUMNS " FROM dead_letters WHERE id BETWEEN ?1 AND ?2 ORDER BY id", -1, &statement,
                NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 1, first);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 2, last);
        while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW)
                rc = restore_dead(db, statement);
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int do_retry(sqlite3 *db, void *userdata) {
        Change *change = userdata;
        int rc = restore_all(db, change->first, change->last);

        if (rc == SQLITE_OK) /* one that waits already is newer, and keeps its place */
                rc = execute_range(db,
                        "INSERT OR IGNORE INTO outbox (kind,key,created_at) SELECT kind,key,created_at FROM"
                        " dead_letters WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
                        change->first, change->last);
        if (rc == SQLITE_OK)
                rc = execute_range(
                        db, "DELETE FROM dead_letters WHERE id BETWEEN ?1 AND ?2", change->first, change->last);
        change->count = rc == SQLITE_OK ? (uint64_t)sqlite3_changes(db) : 0;
        return rc;
}

int outbox_retry(Spool *spool, int64_t id, uint64_t *ret_count) {
        Change change = { .spool = spool, .first = id, .last = id > 0 ? id : INT64_MAX };
        int r = change_outbox(&change, do_retry, true);

        *ret_count = change.count;
        return r;
}
