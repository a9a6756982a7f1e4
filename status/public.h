/*
 * What everybody may see of a run and of a kill: numbers, times, states, and the analysis id, unless it is hidden.
 *
 * The tables here are the one place where it is said. A command line, a user, a label, a path or a process of a run is
 * in none of them, and a member that a newer supervisor sends is not, before somebody adds it.
 */
#pragma once

#include "base/json.h"
#include "status/live.h"

/* A live run. realtime_usec: now. NULL on OOM. */
json_t *public_live(const LiveRun *run, uint64_t realtime_usec, bool hides_ids, bool has_spark);
/* The same members of a row of the record, live or ended. NULL on OOM. */
json_t *public_run(const json_t *row, bool hides_ids);
/* NULL on OOM. */
json_t *public_event(const json_t *row, bool hides_ids);

/* For whom the row belongs to: a public object gets the other members of the row. 0 or -ENOMEM. */
int public_complete(json_t *object, const json_t *row);

/*
 * A row (of a run or an event) as far as everybody may be told in words what happened: public members, and the figures
 * that prove it. For explain_print(). NULL on OOM.
 */
json_t *public_told(const json_t *row, bool hides_ids);

/* RFC 3339, null for 0 and LIVE_NONE. */
json_t *public_time(uint64_t realtime_usec);
/* Seconds, null for LIVE_NONE. */
json_t *public_seconds(uint64_t usec);
