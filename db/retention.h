/* Forgetting: the oldest rows go, in steps small enough that an event never waits long. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct RetentionLimits {
        uint64_t usec;  /* UINT64_MAX: no limit */
        uint64_t bytes; /* UINT64_MAX: no limit */
} RetentionLimits;

/* Beyond this many bytes in use not even the outbox is kept whole. UINT64_MAX: no such limit. */
uint64_t retention_bound(const RetentionLimits *limits);

/* Bytes of the file, and of them in use. SQLite's result code. */
int retention_measure(sqlite3 *db, uint64_t *ret_bytes, uint64_t *ret_used_bytes);

/*
 * One step: at most RETENTION_STEP_ROWS rows older than the limit, or, above the size, the oldest ones; not what is in
 * the outbox, unless that alone has grown to RETENTION_OUTBOX_FACTOR times the size: then its oldest are given up, and
 * counted (meta, given_up). Then free pages are given back. *shrinking is the caller's memory between steps: once above
 * the size, it goes on to a little below. *ret_more says that there is more to do. SQLite's result code.
 */
#define RETENTION_STEP_ROWS     32
#define RETENTION_OUTBOX_FACTOR 4 /* a database that is away for weeks must not fill the disk */
int retention_step(sqlite3 *db, const RetentionLimits *limits, uint64_t realtime_usec, bool *shrinking, bool *ret_more);
