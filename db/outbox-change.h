/* What changes of the outbox and of the dead letters have in common: outbox.c and dead-letters.c only. */
#pragma once

#include "db/outbox.h"
#include "db/statement.h"

/* What one change is about, and how it ended. */
typedef struct OutboxChange {
        Spool *spool;
        uint64_t generation; /* in which the ids were read */
        int64_t first, last;
        const OutboxRefusal *refusal;
        bool stale;
        uint64_t count;
} OutboxChange;

/* Runs func in a transaction of the spool, with the change as its userdata. 0, OUTBOX_E_AWAY, OUTBOX_E_STALE. */
int outbox_change(OutboxChange *change, int (*func)(sqlite3 *db, void *change), bool durable);
/* For func: whether the file is another one than the ids are of; notes it. */
bool outbox_change_is_stale(OutboxChange *change);
/* A statement with the range as parameters 1 and 2. SQLite's result code. */
int outbox_execute_range(sqlite3 *db, const char *sql, int64_t first, int64_t last);
/* Reading that failed with rc, told to the spool. OUTBOX_E_AWAY, -ENOMEM. */
int outbox_read_failed(Spool *spool, int rc);
