/*
 * What waits in the spool to be shipped to PostgreSQL, and what PostgreSQL has refused for good.
 *
 * A row of the outbox is a key: what is shipped is what the tables hold when it is read. A key whose row is gone is a
 * deletion. Ids only grow, and a row that changes gets a new one, so a range of ids that was shipped can be taken off
 * whatever has come since.
 */
#pragma once

#include "base/clock.h"
#include "db/columns.h"
#include "db/spool.h"

typedef enum OutboxKind {
        OUTBOX_PROCESS,
        OUTBOX_RUN,
        OUTBOX_EVENT,
        _OUTBOX_KIND_MAX,
        _OUTBOX_KIND_INVALID = -EINVAL,
} OutboxKind;

/* "process", "run", "event": as in the tables outbox and dead_letters. */
const char *outbox_kind_to_string(OutboxKind kind);
/* _OUTBOX_KIND_INVALID of any other text, and of NULL. */
OutboxKind outbox_kind_from_string(const char *text);
/* The column that an outbox row's key is of: "run_id", "event_id". */
const char *outbox_kind_key(OutboxKind kind);
/* The table, in both databases. */
const char *outbox_kind_table(OutboxKind kind);
/* Its columns. */
RecordKind outbox_kind_record(OutboxKind kind);

enum {
        _OUTBOX_E_SUCCESS,
        OUTBOX_E_END = 1, /* there is no more */
        OUTBOX_E_AWAY,    /* the spool can't be read or written now: spool_state() says why */
        OUTBOX_E_STALE,   /* the file is another one than was read: read again */
};

typedef struct OutboxRow {
        int64_t id;
        OutboxKind kind;
        const char *key;         /* borrowed */
        sqlite3_stmt *statement; /* columns_select_list() of its record from column 0, then stored_at; NULL: gone */
} OutboxRow;

/* 0: go on; positive: enough, this row was not taken; -ENOMEM. Only valid until it returns: row, key, statement. */
typedef int (*OutboxRowFunc)(const OutboxRow *row, void *userdata);

/* SELECT of the row with the key ?1, as in OutboxRow. SQLite's result code; caller finalizes. */
int outbox_prepare_row(sqlite3 *db, OutboxKind kind, sqlite3_stmt **ret);
/* Calls the function for each row behind after_id, oldest first. 0, OUTBOX_E_AWAY, -ENOMEM. */
int outbox_read(Spool *spool, int64_t after_id, OutboxRowFunc func, void *userdata);

/*
 * The ids from first to last are shipped. generation is spool_generation() of when they were read. Not synced to the
 * disk: what comes back after a power failure is shipped again, which changes nothing. 0, OUTBOX_E_AWAY,
 * OUTBOX_E_STALE.
 */
int outbox_shipped(Spool *spool, uint64_t generation, int64_t first, int64_t last);

typedef struct OutboxRefusal {
        const char *sqlstate, *message;
} OutboxRefusal;

/* One row is refused for good: it goes to dead_letters as it is, in the same transaction. 0, OUTBOX_E_AWAY,
 * OUTBOX_E_STALE, -ENOMEM. */
int outbox_refuse(Spool *spool, uint64_t generation, int64_t id, const OutboxRefusal *refusal);

/* Every live process is queued again, for a server that may have forgotten. 0, OUTBOX_E_AWAY. */
int outbox_requeue_processes(Spool *spool);
/* The run ids that live or wait to be shipped: a JSON list. 0, OUTBOX_E_AWAY, -ENOMEM. */
int outbox_run_ids(Spool *spool, json_t **ret);

typedef struct OutboxFigures {
        uint64_t waiting, dead_letters;
        uint64_t given_up;                 /* events and runs that were forgotten unshipped: see db/retention.h */
        char oldest_at[CLOCK_RFC3339_MAX]; /* when the first that waits was queued; "" if none */
} OutboxFigures;

/* 0, OUTBOX_E_AWAY. */
int outbox_figures(Spool *spool, OutboxFigures *ret);

/*
 * The next dead letter behind after_id (0: the first), oldest first: {"id", "kind", "key", "created_at", "failed_at",
 * "sqlstate", "message", "row"}, row as docs/protocol.md has it, null for a deletion. 0, OUTBOX_E_END, OUTBOX_E_AWAY,
 * -ENOMEM. Caller owns the row.
 */
int outbox_dead_next(Spool *spool, int64_t after_id, json_t **ret_row);
/*
 * Back into the outbox with the dead letter of this id, or with all (0). What the history has forgotten meanwhile is
 * put back into it. *ret_count is how many. 0, OUTBOX_E_AWAY, -ENOMEM.
 */
int outbox_retry(Spool *spool, int64_t id, uint64_t *ret_count);
