/* A prepared statement of SQLite, where it is used in one function. */
#pragma once

#include "base/cleanup.h"
#include <sqlite3.h>

static inline void statement_finalizep(sqlite3_stmt **statement) {
        (void)sqlite3_finalize(*statement);
}

/* NULL for NULL. The statement's, until its next step. */
static inline const char *column_text(sqlite3_stmt *statement, int column) {
        return (const char *)sqlite3_column_text(statement, column);
}
