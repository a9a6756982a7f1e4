/*
 * What each operation of the supervisor does to the tables.
 *
 * Called by spool_store().  The hard thing is to be done twice: a recorder or supervisor that died between commit and
 * acknowledgement sends everything again, so each operation is an upsert, or finds its row and does nothing.  Events
 * are looked up by event_id first: a repeated event collides with its own (run_id, seq) too, and only a different event
 * in that place is a reason to take the next number.  A kill is never refused for a number that is taken.
 */
#include "db/rows.h"

#include "base/file.h"
#include "db/columns.h"
#include "db/statement.h"
#include <string.h>

static int step_done(sqlite3_stmt *statement) {
        int rc = sqlite3_step(statement);

        return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

/* Runs a statement with up to three texts as parameters. */
static int execute(sqlite3 *db, const char *sql, const char *first, const char *second, const char *third) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        const char *texts[] = { first, second, third };
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        for (int i = 0; rc == SQLITE_OK && i < (int)ELEMENTSOF(texts) && texts[i]; i++)
                rc = sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_TRANSIENT);
        return rc == SQLITE_OK ? step_done(statement) : rc;
}

/* SQLITE_ROW if the query has one, SQLITE_DONE if not; the first column goes to *ret_value (may be NULL). */
static int look_up(sqlite3 *db, const char *sql, const char *key, int64_t *ret_value) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 1, key, -1, SQLITE_TRANSIENT);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW && ret_value)
                *ret_value = sqlite3_column_int64(statement, 0);
        return rc;
}

static int insert(sqlite3 *db, RecordKind kind, const char *table, const RowContext *context, const json_t *object) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *sql =
                columns_insert_sql(kind, table, kind == RECORD_RUN ? "run_id" : "event_id", kind == RECORD_RUN);
        int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &statement, NULL) : SQLITE_NOMEM;

        if (rc == SQLITE_OK)
                rc = columns_bind(statement, kind, object, context->now_at);
        return rc == SQLITE_OK ? step_done(statement) : rc;
}

static int outbox_put(sqlite3 *db, const RowContext *context, const char *kind, const char *key) {
        if (!context->outbox)
                return SQLITE_OK;
        return execute(
                db, "INSERT OR REPLACE INTO outbox (kind,key,created_at) VALUES (?,?,?)", kind, key, context->now_at);
}

static const char *text_member(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text && *text ? text : NULL;
}

static int store_process(sqlite3 *db, const RowContext *context, const json_t *run) {
        const char *run_id = text_member(run, "run_id");
        /* It lives after all: its supervisor was away when it was counted as lost. */
        int rc = execute(db, "DELETE FROM watchdog_runs WHERE run_id=? AND verdict='lost'", run_id, NULL, NULL);

        if (rc == SQLITE_OK && sqlite3_changes(db) > 0)
                rc = outbox_put(db, context, "run", run_id);
        if (rc == SQLITE_OK)
                rc = insert(db, RECORD_RUN, "watchdog_processes", context, run);
        return rc == SQLITE_OK ? outbox_put(db, context, "process", run_id) : rc;
}

static int delete_process(sqlite3 *db, const RowContext *context, const char *run_id) {
        int rc = execute(db, "DELETE FROM watchdog_processes WHERE run_id=?", run_id, NULL, NULL);

        if (rc != SQLITE_OK || sqlite3_changes(db) == 0)
                return rc;
        return outbox_put(db, context, "process", run_id);
}

static int store_run(sqlite3 *db, const RowContext *context, const json_t *run) {
        const char *run_id = text_member(run, "run_id");
        int rc = insert(db, RECORD_RUN, "watchdog_runs", context, run);

        if (rc == SQLITE_OK)
                rc = delete_process(db, context, run_id);
        return rc == SQLITE_OK ? outbox_put(db, context, "run", run_id) : rc;
}

static int insert_renumbered(sqlite3 *db, const RowContext *context, const json_t *event) {
        _cleanup_(json_decrefp) json_t *copy = json_copy((json_t *)event);
        int64_t seq = 1;
        int rc;

        rc = look_up(db, "SELECT max(seq)+1 FROM watchdog_events WHERE run_id=?", text_member(event, "run_id"), &seq);
        if (rc != SQLITE_ROW)
                return rc;
        if (json_object_set_new(copy, "seq", json_integer(seq)) < 0)
                return SQLITE_NOMEM;
        return insert(db, RECORD_EVENT, "watchdog_events", context, copy);
}

static int store_event(sqlite3 *db, const RowContext *context, const json_t *event) {
        const char *event_id = text_member(event, "event_id");
        int rc = insert(db, RECORD_EVENT, "watchdog_events", context, event);

        if (rc == SQLITE_CONSTRAINT_UNIQUE)
                rc = insert_renumbered(db, context, event);
        return rc == SQLITE_OK ? outbox_put(db, context, "event", event_id) : rc;
}

/* The process rows of this host, as a JSON list of runs. */
static int read_processes(sqlite3 *db, const RowContext *context, json_t **ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(json_decrefp) json_t *list = json_array();
        _cleanup_(freep) char *names = columns_select_list(RECORD_RUN), *sql = NULL;
        int rc;

        if (names)
                sql = text_printf("SELECT %s FROM watchdog_processes WHERE coalesce(host,?1)=?1", names);
        if (!sql)
                return SQLITE_NOMEM;
        rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 1, context->host, -1, SQLITE_TRANSIENT);
        if (rc != SQLITE_OK)
                return rc;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
                if (json_array_append_new(list, columns_read(statement, RECORD_RUN, 0, NULL)) < 0)
                        return SQLITE_NOMEM;
        if (rc != SQLITE_DONE)
                return rc;
        *ret = TAKE_PTR(list);
        return SQLITE_OK;
}

static bool list_has(const json_t *list, const char *text) {
        const json_t *item;
        size_t i;

        json_array_foreach((json_t *)list, i, item) {
                const char *other = json_string_value(item);

                if (other && strcmp(other, text) == 0)
                        return true;
        }
        return false;
}

/* A process nobody knows any more: if its run left no row, this is all that will ever be known of it. */
static int close_process(sqlite3 *db, const RowContext *context, json_t *run, const char *boot_id) {
        const char *run_id = text_member(run, "run_id"), *boot = text_member(run, "boot_id");
        bool rebooted = boot && *boot_id && strcmp(boot, boot_id) != 0;
        int rc = look_up(db, "SELECT 1 FROM watchdog_runs WHERE run_id=?", run_id, NULL);

        if (rc == SQLITE_ROW)
                return delete_process(db, context, run_id);
        if (rc != SQLITE_DONE)
                return rc;
        if (json_object_set_new(run, "state", json_string("ended")) < 0 ||
                json_object_set_new(run, "verdict", json_string("lost")) < 0 ||
                json_object_set_new(run, "detail",
                        json_string(rebooted ? "the host restarted" : "ended while no supervisor was there")) < 0)
                return SQLITE_NOMEM;
        return store_run(db, context, run);
}

static int store_alive(sqlite3 *db, const RowContext *context, const json_t *packet) {
        const json_t *run_ids = json_object_get(packet, "run_ids");
        const char *boot_id = text_member(packet, "boot_id");
        _cleanup_(json_decrefp) json_t *processes = NULL;
        json_t *run;
        size_t i;
        int rc = read_processes(db, context, &processes);

        if (rc != SQLITE_OK)
                return rc;
        json_array_foreach(processes, i, run) {
                if (list_has(run_ids, text_member(run, "run_id")))
                        continue;
                rc = close_process(db, context, run, boot_id ? boot_id : context->boot_id);
                if (rc != SQLITE_OK)
                        return rc;
        }
        return SQLITE_OK;
}

typedef struct Operation {
        const char *name;
        const char *key, *second_key; /* members without which it is no row */
        const char *was_there;        /* the query that finds the row by its key; NULL: does not matter */
        int (*store)(sqlite3 *db, const RowContext *context, const json_t *object);
} Operation;

static const Operation operations[_SPOOL_KIND_MAX] = {
        [SPOOL_PROCESS] = { "process", "run_id", NULL, NULL, store_process },
        [SPOOL_RUN] = { "run", "run_id", NULL, "SELECT 1 FROM watchdog_runs WHERE run_id=?", store_run },
        [SPOOL_EVENT] = { "event", "event_id", "run_id", "SELECT 1 FROM watchdog_events WHERE event_id=?",
                store_event },
        [SPOOL_ALIVE] = { "alive", NULL, NULL, NULL, store_alive },
};

SpoolKind spool_kind_from_string(const char *text) {
        for (SpoolKind kind = 0; kind < _SPOOL_KIND_MAX; kind++)
                if (strcmp(operations[kind].name, text) == 0)
                        return kind;
        return _SPOOL_KIND_INVALID;
}

static bool row_is_keyed(const SpoolRow *row) {
        const Operation *operation = &operations[row->kind];

        if (row->kind == SPOOL_ALIVE)
                return json_is_array(json_object_get(row->object, "run_ids"));
        return text_member(row->object, operation->key) &&
                (!operation->second_key || text_member(row->object, operation->second_key));
}

/* SQLITE_OK, and whether the row has been stored before. */
static int find_row(sqlite3 *db, SpoolRow *row) {
        const Operation *operation = &operations[row->kind];
        int rc = SQLITE_DONE;

        if (operation->was_there)
                rc = look_up(db, operation->was_there, text_member(row->object, operation->key), NULL);
        row->was_there = rc == SQLITE_ROW;
        return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int store_row(sqlite3 *db, const RowContext *context, SpoolRow *row) {
        int rc = find_row(db, row);

        if (rc != SQLITE_OK || (row->kind == SPOOL_EVENT && row->was_there))
                return rc;
        return operations[row->kind].store(db, context, row->object);
}

int rows_store(sqlite3 *db, const RowContext *context, SpoolRow *rows, size_t n_rows) {
        for (size_t i = 0; i < n_rows; i++) {
                int rc;

                rows[i].result = SPOOL_E_REFUSED;
                if (!row_is_keyed(&rows[i]))
                        continue;
                rc = store_row(db, context, &rows[i]);
                /* Only the statement was undone; a row that the tables can't take must not hold up those behind it. */
                if ((rc & 0xff) == SQLITE_CONSTRAINT || rc == SQLITE_TOOBIG)
                        continue;
                if (rc != SQLITE_OK)
                        return rc;
                rows[i].result = 0;
        }
        return SQLITE_OK;
}
