/*
 * The decisions, pure: what is known goes in, what is to be done comes out. No fd, no clock, no log; `now` is an
 * argument.
 *
 * Used by the supervisor, and by a launcher that has lost it.
 */
#pragma once

#include "supervise/verdict.h"
#include <stdbool.h>
#include <stdint.h>

#define DECIDE_OVERSHOOT_PERCENT 125 /* sampled: above this share of the limit there is no grace */
#define DECIDE_STALL_PERCENT     80  /* thrashing: share of the window in which every task was stalled on memory */
#define DECIDE_NEAR_PERCENT      95  /* thrashing: how near the limit */

typedef enum Phase {
        PHASE_STARTING, /* the group is made, the process not yet reported */
        PHASE_RUNNING,
        PHASE_GRACE,   /* TERM is sent */
        PHASE_KILLING, /* cgroup.kill is written, or the kernel killed: waiting for empty */
        PHASE_ENDING,  /* empty: waiting for the exit status, the record, nested runs */
        PHASE_ENDED,
        PHASE_MAX,
} Phase;

const char *phase_to_string(Phase phase);

/* A run as it stands at `now`. Times in microseconds of CLOCK_BOOTTIME, USEC_INFINITY for never. */
typedef struct Situation {
        Phase phase;
        uint64_t now_usec;
        uint64_t deadline_usec;
        uint64_t grace_end_usec; /* in PHASE_GRACE */
        uint64_t cpu_used_usec, cpu_limit_usec;
        uint64_t own_oom;        /* `oom` of the group's own memory.events.local, since the launch */
        uint64_t local_oom_kill; /* `oom_kill` of the processes of this run, nested runs and own sub-cgroups left out */
        uint64_t private_bytes;  /* sampled: Pss_Anon + Pss_Shmem of all processes; 0 when not sampled */
        uint64_t memory_limit_bytes;
        uint64_t stall_usec, stall_window_usec; /* memory pressure `full` within the window; window 0: not measured */
        uint64_t memory_bytes;
        bool main_exited; /* by itself: what lives on is leftover */
        bool launcher_gone;
        bool backstop; /* the launcher has killed it at its deadline */
        bool cancel_asked;
        const char *cancel_detail;
        Verdict outer_reason;     /* why the outer run is ending, VERDICT_NONE if it is not */
        const char *outer_detail; /* "outer 7c1e90ab: timeout" */
} Situation;

typedef enum Action {
        ACTION_NONE,
        ACTION_TERM,      /* begin the kill: TERM to all, grace, cgroup.kill */
        ACTION_KILL,      /* cgroup.kill now */
        ACTION_KERNEL,    /* the kernel has killed already: record it, cgroup.kill what is left */
        ACTION_LEFTOVERS, /* TERM to what outlived the main process; the verdict stays the run's own */
        ACTION_OUTER,     /* the outer run's kill takes this one along: record, wait for empty */
        ACTION_MAX,
} Action;

typedef struct Decision {
        Action action;
        Verdict reason;
        const char *detail; /* static, or of the Situation; NULL */
} Decision;

Decision decide(const Situation *situation);

/* When decide() can come to another answer by the passing of time alone; USEC_INFINITY: never. cpus: most CPUs it can
 * use. */
uint64_t decide_next_usec(const Situation *situation, unsigned cpus);

/* How a run ended, for its verdict. */
typedef struct Ending {
        Verdict reason; /* of the kill that was begun and reached a process; VERDICT_NONE, VERDICT_ORPHAN: it ended by
                           itself */
        bool status_known;
        int wait_status; /* waitpid(2) */
        int exec_errno;  /* 0, or why exec failed */
        int forwarded;   /* last signal that came through scidex-run, 0 none */
        uint64_t own_oom, local_oom_kill, max_events;
        bool launcher_gone;
        bool registered; /* it ran before: nobody whom we know collects its status */
} Ending;

/* *ret_detail: static text or NULL. */
Verdict decide_verdict(const Ending *ending, const char **ret_detail);
