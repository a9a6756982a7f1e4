/*
 * One change of the outbox, in a transaction of the spool.
 *
 * Called by outbox.c for what was shipped and by dead-letters.c for what was refused or is to go again.
 */
#include "db/outbox-change.h"

int outbox_change(OutboxChange *change, int (*func)(sqlite3 *db, void *change), bool durable) {
        if (spool_change(change->spool, func, change, durable) != 0)
                return OUTBOX_E_AWAY;
        return change->stale ? OUTBOX_E_STALE : 0;
}

bool outbox_change_is_stale(OutboxChange *change) {
        change->stale = spool_generation(change->spool) != change->generation;
        return change->stale;
}

int outbox_execute_range(sqlite3 *db, const char *sql, int64_t first, int64_t last) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 1, first);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_int64(statement, 2, last);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int outbox_read_failed(Spool *spool, int rc) {
        if (rc == SQLITE_NOMEM)
                return -ENOMEM;
        spool_read_failed(spool, rc);
        return OUTBOX_E_AWAY;
}
