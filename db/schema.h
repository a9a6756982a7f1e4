/* The tables, by version. A step, once released, is never changed: a new one is added. */
#pragma once

#include <sqlite3.h>

#define SCHEMA_VERSION 2

/* When a row happened, for order, `since` and retention. The indexes are on exactly these expressions. */
#define RUN_AT   "coalesce(ended_at,launched_at,stored_at)"
#define EVENT_AT "coalesce(decided_at,stored_at)"

enum {
        /* Beside SQLite's own result codes, which are >= 0. */
        SCHEMA_E_NEWER = -1,   /* made by a newer scidex */
        SCHEMA_E_FOREIGN = -2, /* has tables, but is no record of scidex */
};

/* user_version, 0 of an empty file. SQLite's result code, SCHEMA_E_*. Changes nothing. */
int schema_check(sqlite3 *db, int *ret_version);
/* From `version` to SCHEMA_VERSION, each step one transaction. SQLite's result code. */
int schema_migrate(sqlite3 *db, int version);
