/*
 * The members of run and event (docs/protocol.md), each a column of the same name.
 *
 * One table drives INSERT, SELECT and JSON both ways, so a member can't be stored and then not shown.
 */
#pragma once

#include "base/json.h"
#include <sqlite3.h>

typedef enum ColumnType {
        COLUMN_TEXT,
        COLUMN_INTEGER,
        COLUMN_REAL,
        COLUMN_JSON, /* a list or object, kept as JSON text */
        _COLUMN_TYPE_MAX,
} ColumnType;

typedef enum RecordKind {
        RECORD_RUN = 1, /* watchdog_runs and watchdog_processes */
        RECORD_EVENT = 2,
} RecordKind;

typedef struct Column {
        const char *name;
        ColumnType type;
        unsigned kinds; /* RecordKind, or-ed */
} Column;

/* The columns of a kind in order: NULL starts, NULL ends. */
const Column *column_next(RecordKind kind, const Column *previous);

/* `"run_id","analysis_id",…,"extra"`. NULL on OOM. Caller frees. */
char *columns_select_list(RecordKind kind);
/*
 * INSERT of every column, `extra` and `stored_at` into a table, parameters in that order, with ON CONFLICT (key):
 * DO UPDATE of all columns, or DO NOTHING. NULL on OOM. Caller frees.
 */
char *columns_insert_sql(RecordKind kind, const char *table, const char *key, bool update);

/*
 * Binds an object to a statement of columns_insert_sql(). A member that is no column, or does not have its column's
 * type, goes to `extra`: nothing is lost. SQLITE_OK, SQLITE_NOMEM.
 */
int columns_bind(sqlite3_stmt *statement, RecordKind kind, const json_t *object, const char *stored_at);
/*
 * The object of a row whose columns_select_list() begins at `first`; every member is there, null if not known, except
 * the one named by leave_out (may be NULL). NULL on OOM.
 */
json_t *columns_read(sqlite3_stmt *statement, RecordKind kind, int first, const char *leave_out);

/* Whether SQLite can hold every text in it as it is: valid UTF-8, no NUL. */
bool json_is_clean(const json_t *value);
/* A copy in which what is not clean is escaped as \xNN. NULL on OOM. */
json_t *json_clean_copy(const json_t *value);
