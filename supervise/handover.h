/*
 * What a launcher leaves behind when its supervisor did not come back: the end of a run, for the next supervisor to
 * record.
 *
 * One file per run in <state directory>/left/, so that it outlives a systemd scope whose last process has gone.
 */
#pragma once

#include "base/json.h"
#include "supervise/request.h"
#include "supervise/verdict.h"
#include <stdint.h>
#include <sys/types.h>

typedef struct Handover {
        const char *run_id, *boot_id;
        const RunRequest *request;
        uint64_t launched_at, launched_usec, ended_at, ended_usec;
        pid_t launcher_pid, pid;
        int wait_status, exec_errno, forwarded;
        Verdict verdict;
        const char *detail;   /* NULL */
        const char *event_id; /* NULL: nothing was killed */
        uint64_t killed_at;   /* 0 */
        bool backstop;        /* the launcher has killed it at its deadline */
        uint64_t memory_peak_bytes, own_oom, local_oom_kill;
} Handover;

/* Writes <directory>/left/<run_id>.json durably. 0 or -errno. */
int handover_write(const char *directory, const Handover *handover);
/* Writes <socket_path>.left/<run_id>.json, for the system's supervisor (left.h), which has made that directory. */
int handover_write_system(const char *socket_path, const Handover *handover);

#define HANDOVER_MARKER "user.scidex.kill" /* of a group: the kill that was begun (adopt.h) */
