/* What is written down of a run and of a kill: the objects `run` and `event` of docs/protocol.md. */
#pragma once

#include "supervise/config.h"
#include "supervise/run.h"

/* What stands the same on every row. Strings borrowed, for the life of the supervisor. */
typedef struct RecordHost {
        const char *host;
        const char *boot_id;
        const char *tree_path; /* NULL without a tree */
        RecordCmdline cmdline; /* how much of the command lines is kept, and shown */
} RecordHost;

/* A run at now_usec (BOOTTIME). NULL on OOM. */
json_t *record_run(const RecordHost *host, const Run *run, uint64_t now_usec);
/* Its kill, once empty_at is known, with processes and timeline. NULL on OOM. */
json_t *record_event(const RecordHost *host, const Run *run, uint64_t now_usec);
/* The event without lists (processes, timeline, signals): what the launcher is told. NULL on OOM. */
json_t *record_event_brief(const json_t *event);
/* The limits asked for that are not kept: a list of names. NULL on OOM. */
json_t *record_not_enforced(const Run *run);
/* The group's directory; NULL without one or on OOM. Caller frees. */
char *record_group_path(const RecordHost *host, const Run *run);
