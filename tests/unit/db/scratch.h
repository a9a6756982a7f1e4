/* What the tests of db/ share: a directory of their own, rows to store, and a way to look into the file. */
#pragma once

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "db/spool.h"

typedef struct Scratch {
        char top[64];
        char *directory; /* owned; top/state, not made yet */
        char *path;      /* owned; of the database */
} Scratch;

void scratch_init(Scratch *scratch);
/* Unmounts what lies on the directory, removes everything. */
void scratch_deinit(Scratch *scratch);
SpoolOptions scratch_options(const Scratch *scratch);
/* Opens; the state is the test's business. Caller frees. */
Spool *scratch_open(const Scratch *scratch);
/* A file system of its own on the directory, in a mount namespace of this process; flags as mount(2). skip()s if it
 * can't. */
void scratch_mount(const Scratch *scratch, const char *size);
void scratch_remount(const Scratch *scratch, bool read_only);

/* {"run_id":…, "analysis_id":…, "uid":…, "launched_at":at, "ended_at":at, "verdict":"completed"}. Caller frees. */
json_t *make_run(const char *run_id, const char *analysis_id, int uid, const char *at);
/* {"event_id":…, "run_id":…, "seq":…, "reason":"memory", "decided_at":at}. Caller frees. */
json_t *make_event(const char *event_id, const char *run_id, int seq, const char *at);

/* Stores one object and drops it; the row's result, or SPOOL_E_AWAY. */
int store_one(Spool *spool, SpoolKind kind, json_t *object);
/* The number that a query gives, by a connection of its own. */
int64_t count_rows(const Scratch *scratch, const char *sql);
/* Runs SQL by a connection of its own. */
void run_sql(const Scratch *scratch, const char *sql);
