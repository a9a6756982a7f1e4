/*
 * What the server has refused for good.
 *
 * Called by the shipping (refuse), and by the recorder's answers for people (list, retry).  A dead letter is a copy:
 * the history goes its own way and may have forgotten the row by the time that somebody has mended what it was refused
 * for. The hard thing is a row that changed while it was refused: its new state waits under a new id, and is tried by
 * itself.
 */
#include "db/outbox-change.h"

#include "base/file.h"
#include <string.h>

#define DEAD_COLUMNS "id,kind,key,created_at,failed_at,sqlstate,message,row"

/* The row as JSON text; NULL in *ret if it is gone. */
static int read_row_text(sqlite3 *db, OutboxKind kind, const char *key, char **ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(json_decrefp) json_t *row = NULL;
        int rc = outbox_prepare_row(db, kind, &statement);

        *ret = NULL;
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE)
                return SQLITE_OK;
        if (rc != SQLITE_ROW)
                return rc;
        row = columns_read(statement, outbox_kind_record(kind), 0, NULL);
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
        OutboxChange *change = userdata;
        OutboxKind kind;
        int rc;

        if (outbox_change_is_stale(change))
                return SQLITE_OK;
        rc = sqlite3_prepare_v2(db, "SELECT kind,key FROM outbox WHERE id=?1", -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 1, change->first);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_DONE) /* replaced by a newer state of the row, which is tried on its own */
                return SQLITE_OK;
        kind = rc == SQLITE_ROW ? outbox_kind_from_string(column_text(statement, 0)) : _OUTBOX_KIND_INVALID;
        if (kind < 0)
                return rc == SQLITE_ROW ? SQLITE_MISMATCH : rc;
        rc = read_row_text(db, kind, column_text(statement, 1), &row);
        if (rc == SQLITE_OK)
                rc = insert_dead(db, change->first, row, change->refusal);
        return rc == SQLITE_OK ? outbox_execute_range(db, "DELETE FROM outbox WHERE id BETWEEN ?1 AND ?2",
                                         change->first, change->first)
                               : rc;
}

int outbox_refuse(Spool *spool, uint64_t generation, int64_t id, const OutboxRefusal *refusal) {
        OutboxChange change = { .spool = spool, .generation = generation, .first = id, .refusal = refusal };

        return outbox_change(&change, do_refuse, true);
}

static json_t *dead_to_json(sqlite3_stmt *statement) {
        static const char *const names[] = { "kind", "key", "created_at", "failed_at", "sqlstate", "message" };
        _cleanup_(json_decrefp) json_t *dead = json_pack("{s:I}", "id", (json_int_t)sqlite3_column_int64(statement, 0));
        const char *text = column_text(statement, (int)ELEMENTSOF(names) + 1);
        json_t *row = text ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;

        for (int i = 0; i < (int)ELEMENTSOF(names); i++)
                if (json_object_set_new(dead, names[i], json_from_text(column_text(statement, i + 1))) < 0) {
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
                return outbox_read_failed(spool, rc);
        }
        *ret_row = dead_to_json(statement);
        return *ret_row ? 0 : -ENOMEM;
}

/* Into its table again, unless it is there. */
static int restore_row(sqlite3 *db, OutboxKind kind, const json_t *row) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *sql =
                columns_insert_sql(outbox_kind_record(kind), outbox_kind_table(kind), outbox_kind_key(kind), false);
        char now_at[CLOCK_RFC3339_MAX];
        int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &statement, NULL) : SQLITE_NOMEM;

        if (rc == SQLITE_OK)
                rc = columns_bind(
                        statement, outbox_kind_record(kind), row, clock_format_rfc3339(now_at, clock_realtime_usec()));
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        return rc == SQLITE_DONE || (rc & 0xff) == SQLITE_CONSTRAINT ? SQLITE_OK : rc;
}

/* A live process is not brought back: that it is gone is what is to be shipped now. */
static int restore_dead(sqlite3 *db, sqlite3_stmt *statement) {
        OutboxKind kind = outbox_kind_from_string(column_text(statement, 1));
        _cleanup_(json_decrefp) json_t *row = NULL;

        if (kind < 0 || kind == OUTBOX_PROCESS || !column_text(statement, 7))
                return SQLITE_OK;
        row = json_loads(column_text(statement, 7), JSON_ALLOW_NUL, NULL);
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
        OutboxChange *change = userdata;
        int rc = restore_all(db, change->first, change->last);

        if (rc == SQLITE_OK) /* one that waits already is newer, and keeps its place */
                rc = outbox_execute_range(db,
                        "INSERT OR IGNORE INTO outbox (kind,key,created_at) SELECT kind,key,created_at FROM"
                        " dead_letters WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
                        change->first, change->last);
        if (rc == SQLITE_OK)
                rc = outbox_execute_range(
                        db, "DELETE FROM dead_letters WHERE id BETWEEN ?1 AND ?2", change->first, change->last);
        change->count = rc == SQLITE_OK ? (uint64_t)sqlite3_changes(db) : 0;
        return rc;
}

int outbox_retry(Spool *spool, int64_t id, uint64_t *ret_count) {
        OutboxChange change = { .spool = spool, .first = id, .last = id > 0 ? id : INT64_MAX };
        int r = outbox_change(&change, do_retry, true);

        *ret_count = change.count;
        return r;
}
