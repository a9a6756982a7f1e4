/*
 * The record does not grow for ever.
 *
 * Called by spool_retain(), whenever the recorder has nothing else to do.  Age is judged by the row's own time, size by
 * the pages in use.  The hard thing is the end: rows that wait in the outbox may not go, so a step that finds nothing
 * to delete must say so, or the recorder would turn in circles on a full outbox.  Only an outbox of several times the
 * size loses its oldest: a record that fills the disk would lose what comes, which is worse, and silently.
 */
#include "db/retention.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "db/schema.h"
#include "db/statement.h"
#include <string.h>

#define VACUUM_STEP_PAGES "256"
#define LOW_WATER_PERCENT 95 /* of the size: not one row forgotten for each one that comes */
#define AFTER_ALL_TIMES   "~"
#define STEP_ROWS         "32"
/*
 * Of the oldest, how many are looked at for one that may go.  What waits is the newest, as a rule: behind so many that
 * all wait there is none, and to make sure would be to read a whole outbox for each step.
 */
#define FRONT_ROWS "1024"
#define ALL_ROWS   "-1"

typedef struct Forgettable {
        const char *table, *at, *kind, *key;
} Forgettable;

static const Forgettable runs = { "watchdog_runs", RUN_AT, "run", "run_id" };
static const Forgettable events = { "watchdog_events", EVENT_AT, "event", "event_id" };

static int pragma_u64(sqlite3 *db, const char *sql, uint64_t *ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW)
                return rc;
        *ret = (uint64_t)sqlite3_column_int64(statement, 0);
        return SQLITE_OK;
}

int retention_measure(sqlite3 *db, uint64_t *ret_bytes, uint64_t *ret_used_bytes) {
        uint64_t size = 0, pages = 0, unused = 0;
        int rc = pragma_u64(db, "PRAGMA page_size", &size);

        if (rc == SQLITE_OK)
                rc = pragma_u64(db, "PRAGMA page_count", &pages);
        if (rc == SQLITE_OK)
                rc = pragma_u64(db, "PRAGMA freelist_count", &unused);
        if (rc != SQLITE_OK)
                return rc;
        *ret_bytes = pages * size;
        *ret_used_bytes = (pages - unused) * size;
        return SQLITE_OK;
}

/* Deletes the oldest rows up to a time. *ret_deleted at most RETENTION_STEP_ROWS. */
static int forget(sqlite3 *db, const Forgettable *what, const char *until_at, const char *look_at, int *ret_deleted) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *sql = text_printf(
                "DELETE FROM %s WHERE rowid IN (SELECT rowid FROM (SELECT rowid,%s AS key FROM %s AS r"
                " WHERE %s<=?1 ORDER BY %s LIMIT %s) AS f WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE"
                " kind='%s' AND key=f.key) LIMIT %d)",
                what->table, what->key, what->table, what->at, what->at, look_at, what->kind, RETENTION_STEP_ROWS);
        int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &statement, NULL) : SQLITE_NOMEM;

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 1, until_at, -1, SQLITE_TRANSIENT);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc != SQLITE_DONE)
                return rc;
        *ret_deleted = sqlite3_changes(db);
        return SQLITE_OK;
}

/* The time of the oldest row that may go; AFTER_ALL_TIMES if there is none. Caller frees. */
static int oldest(sqlite3 *db, const Forgettable *what, const char *look_at, char **ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *sql = text_printf("SELECT at FROM (SELECT %s AS at,%s AS key FROM %s AS r ORDER BY %s"
                                                 " LIMIT %s) AS f WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE"
                                                 " kind='%s' AND key=f.key) ORDER BY at LIMIT 1",
                what->at, what->key, what->table, what->at, look_at, what->kind);
        int rc = sql ? sqlite3_prepare_v2(db, sql, -1, &statement, NULL) : SQLITE_NOMEM;

        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE)
                return rc == SQLITE_OK ? SQLITE_ERROR : rc;
        *ret = text_printf("%s", rc == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : AFTER_ALL_TIMES);
        return *ret ? SQLITE_OK : SQLITE_NOMEM;
}

/* The oldest rows of both tables, as far as one table's are older than all of the other's. */
static int forget_oldest(sqlite3 *db, const char *look_at, int *ret_deleted) {
        _cleanup_(freep) char *run_at = NULL, *event_at = NULL;
        int rc = oldest(db, &runs, look_at, &run_at);

        if (rc == SQLITE_OK)
                rc = oldest(db, &events, look_at, &event_at);
        if (rc != SQLITE_OK)
                return rc;
        return strcmp(run_at, event_at) <= 0 ? forget(db, &runs, event_at, look_at, ret_deleted)
                                             : forget(db, &events, run_at, look_at, ret_deleted);
}

static int forget_old(sqlite3 *db, uint64_t limit_usec, uint64_t now_usec, int *ret_deleted) {
        char cutoff[CLOCK_RFC3339_MAX];
        int of_runs = 0, of_events = 0, rc;

        *ret_deleted = 0;
        if (limit_usec == UINT64_MAX || limit_usec >= now_usec)
                return SQLITE_OK;
        clock_format_rfc3339(cutoff, now_usec - limit_usec);
        rc = forget(db, &events, cutoff, FRONT_ROWS, &of_events);
        if (rc == SQLITE_OK)
                rc = forget(db, &runs, cutoff, FRONT_ROWS, &of_runs);
        *ret_deleted = of_runs + of_events;
        return rc;
}

/* The oldest that wait to be shipped wait no longer; as history they stay until their turn comes. */
static int give_up_oldest(sqlite3 *db, int *ret_deleted) {
        int rc = sqlite3_exec(db,
                "BEGIN IMMEDIATE;"
                "INSERT INTO meta (key,value) SELECT 'given_up',count(*) FROM (SELECT kind FROM outbox ORDER BY id"
                " LIMIT " STEP_ROWS ") WHERE kind<>'process' ON CONFLICT (key) DO UPDATE SET"
                " value=CAST(value AS INTEGER)+CAST(excluded.value AS INTEGER);"
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox ORDER BY id LIMIT " STEP_ROWS ");",
                NULL, NULL, NULL);

        *ret_deleted = rc == SQLITE_OK ? sqlite3_changes(db) : 0;
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
        if (rc != SQLITE_OK && !sqlite3_get_autocommit(db))
                (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return rc;
}

/* In the order of the outbox, which is that of time unless old rows were sent again: then they must be looked for. */
static int make_room(sqlite3 *db, int *ret_deleted) {
        int given_up = 0, deleted = 0, rc = give_up_oldest(db, &given_up);

        if (rc == SQLITE_OK)
                rc = forget_oldest(db, FRONT_ROWS, &deleted);
        if (rc == SQLITE_OK && deleted == 0)
                rc = forget_oldest(db, ALL_ROWS, &deleted);
        *ret_deleted = given_up + deleted;
        return rc;
}

uint64_t retention_bound(const RetentionLimits *limits) {
        return limits->bytes > UINT64_MAX / RETENTION_OUTBOX_FACTOR ? UINT64_MAX
                                                                    : limits->bytes * RETENTION_OUTBOX_FACTOR;
}

static int vacuum(sqlite3 *db, bool *ret_more) {
        uint64_t unused = 0, left = 0;
        int rc = pragma_u64(db, "PRAGMA freelist_count", &unused);

        if (rc == SQLITE_OK && unused > 0) {
                rc = sqlite3_exec(db, "PRAGMA incremental_vacuum(" VACUUM_STEP_PAGES ")", NULL, NULL, NULL);
                if (rc == SQLITE_OK)
                        rc = pragma_u64(db, "PRAGMA freelist_count", &left);
                /* A file made without auto_vacuum gives nothing back, and asking again is no use. */
                *ret_more = *ret_more || (left > 0 && left < unused);
        }
        /* The file itself shrinks when the log is carried over; what a reader holds up comes with the next time. */
        if (rc == SQLITE_OK && !*ret_more)
                (void)sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        return rc;
}

int retention_step(
        sqlite3 *db, const RetentionLimits *limits, uint64_t realtime_usec, bool *shrinking, bool *ret_more) {
        uint64_t bytes = 0, used = 0;
        int deleted = 0, rc;

        *ret_more = false;
        rc = forget_old(db, limits->usec, realtime_usec, &deleted);
        if (rc == SQLITE_OK)
                rc = retention_measure(db, &bytes, &used);
        if (rc != SQLITE_OK)
                return rc;
        if (used > limits->bytes)
                *shrinking = true;
        else if (limits->bytes == UINT64_MAX || used <= limits->bytes / 100 * LOW_WATER_PERCENT)
                *shrinking = false;
        if (deleted == 0 && *shrinking) {
                rc = forget_oldest(db, FRONT_ROWS, &deleted);
                if (rc == SQLITE_OK && deleted == 0 && used > retention_bound(limits))
                        rc = make_room(db, &deleted);
                if (rc != SQLITE_OK)
                        return rc;
        }
        *shrinking = *shrinking && deleted > 0;
        *ret_more = deleted > 0;
        return vacuum(db, ret_more);
}
