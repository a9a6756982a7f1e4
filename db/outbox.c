/*
 * The outbox: what is read for shipping, and what becomes of it.
 *
 * Called by the shipping, and by the recorder for its figures; refused rows are db/dead-letters.c's.  The
 * hard thing is that the file may be another one by the time that a batch comes back: a corrupt one was set aside, and
 * the ids of its successor begin at 1 again.  So every change names the generation in which the ids were read, and is
 * judged inside its transaction.  No statement stays open between two calls: the spool may close its connection.
 */
#include "db/outbox-change.h"

#include "base/file.h"
#include <assert.h>
#include <string.h>

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

const char *outbox_kind_key(OutboxKind kind) {
        return kinds[kind].key;
}

RecordKind outbox_kind_record(OutboxKind kind) {
        return kinds[kind].record;
}

OutboxKind outbox_kind_from_string(const char *text) {
        for (OutboxKind kind = 0; text && kind < _OUTBOX_KIND_MAX; kind++)
                if (strcmp(kinds[kind].name, text) == 0)
                        return kind;
        return _OUTBOX_KIND_INVALID;
}

int outbox_prepare_row(sqlite3 *db, OutboxKind kind, sqlite3_stmt **ret) {
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
        int rc = *statement ? sqlite3_reset(*statement) : outbox_prepare_row(reader->db, row->kind, statement);

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
                        .kind = outbox_kind_from_string(column_text(reader->outbox, 1)),
                        .key = column_text(reader->outbox, 2) };

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
                return outbox_read_failed(spool, rc);
        }
        return r < 0 ? r : 0;
}

static int delete_range(sqlite3 *db, int64_t first, int64_t last) {
        return outbox_execute_range(db, "DELETE FROM outbox WHERE id BETWEEN ?1 AND ?2", first, last);
}

static int do_shipped(sqlite3 *db, void *userdata) {
        OutboxChange *change = userdata;

        return outbox_change_is_stale(change) ? SQLITE_OK : delete_range(db, change->first, change->last);
}

int outbox_shipped(Spool *spool, uint64_t generation, int64_t first, int64_t last) {
        OutboxChange change = { .spool = spool, .generation = generation, .first = first, .last = last };

        return outbox_change(&change, do_shipped, false);
}

static int do_requeue(sqlite3 *db, void *userdata) {
        return sqlite3_exec(db,
                "INSERT OR IGNORE INTO outbox (kind,key,created_at)"
                " SELECT 'process',run_id,strftime('%Y-%m-%dT%H:%M:%fZ','now') FROM watchdog_processes",
                NULL, NULL, NULL);
}

int outbox_requeue_processes(Spool *spool) {
        OutboxChange change = { .spool = spool };

        return outbox_change(&change, do_requeue, false);
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
                if (json_array_append_new(list, json_string(column_text(statement, 0))) < 0)
                        return -ENOMEM;
                rc = SQLITE_OK;
        }
        if (rc != SQLITE_DONE) {
                statement_finalizep(&statement);
                statement = NULL;
                return outbox_read_failed(spool, rc);
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
                (void)snprintf(ret->oldest_at, sizeof(ret->oldest_at), "%s", column_text(statement, 0));
        return 0;
}
