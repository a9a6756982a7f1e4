/* Rows into the tables, inside a transaction that the spool has begun. */
#pragma once

#include "db/spool.h"

typedef struct RowContext {
        const char *host, *boot_id;
        const char *now_at; /* RFC 3339 */
        bool outbox;
} RowContext;

/*
 * Stores the rows in order; what is no row gets the result SPOOL_E_REFUSED and the rest goes on. SQLITE_OK, or SQLite's
 * result code of the first one that failed: roll back.
 */
int rows_store(sqlite3 *db, const RowContext *context, SpoolRow *rows, size_t n_rows);
