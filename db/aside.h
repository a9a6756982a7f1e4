/* A corrupt database is put aside under another name, never deleted. */
#pragma once

#include "base/json.h"
#include <sqlite3.h>

/*
 * Renames spool.sqlite with its -wal and -shm to spool.sqlite.corrupt-TIME, unless somebody else has moved it already.
 * db (may be NULL; stays open) is the connection that saw the damage. 0 or -errno.
 */
int database_set_aside(const char *directory, sqlite3 *db, uint64_t realtime_usec);
/* Whether the file behind the connection is no longer at its path: renamed, replaced, unlinked. */
bool database_has_moved(sqlite3 *db);
/* The paths of what has been set aside: a JSON list of texts, sorted. NULL on OOM. */
json_t *database_list_aside(const char *directory);
