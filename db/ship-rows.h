/*
 * Rows of the spool as parameters of one statement: an array for each column, in PostgreSQL's binary format.
 *
 * Knows nothing of connections. The columns of docs/protocol.md have types here by their names and kinds: ids are uuid,
 * `*_at` timestamptz, the rest bigint, double precision, text or jsonb.
 */
#pragma once

#include "base/cleanup.h"
#include "db/outbox.h"
#include "db/ship-array.h"

#define SHIP_COLUMNS_MAX 96

typedef struct ShipRows ShipRows;

enum {
        _SHIP_ROWS_E_SUCCESS,
        SHIP_ROWS_E_UNFIT = 1, /* a key is no UUID: no server will ever take this row */
};

int ship_rows_new(OutboxKind kind, ShipRows **ret);
void ship_rows_free(ShipRows *rows);
DEFINE_CLEANUP(ShipRows *, ship_rows_free);

void ship_rows_reset(ShipRows *rows);
/*
 * Adds the row that the statement stands on (columns_select_list(), stored_at). Other values that do not fit their
 * column's type go into `extra`, as in the spool. 0, SHIP_ROWS_E_UNFIT and nothing is added, -ENOMEM: reset it.
 */
int ship_rows_add(ShipRows *rows, sqlite3_stmt *statement);
size_t ship_rows_count(const ShipRows *rows);
size_t ship_rows_bytes(const ShipRows *rows);

/* How many parameters ship_rows_sql() has, and their types. */
int ship_rows_types(const ShipRows *rows, uint32_t ret_types[static SHIP_COLUMNS_MAX]);
/* The same in number: the arrays, finished. Borrowed until the next reset or add. */
int ship_rows_values(
        ShipRows *rows, const char *ret_values[static SHIP_COLUMNS_MAX], int ret_lengths[static SHIP_COLUMNS_MAX]);
/*
 * INSERT … SELECT of the arrays, analysis_ref and analysis_id from analysis_id, into the kind's table; events DO
 * NOTHING where they are, runs and processes DO UPDATE. A process has one more parameter, a text: its supervisor. NULL
 * on OOM. Caller frees.
 */
char *ship_rows_sql(OutboxKind kind);
