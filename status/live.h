/*
 * The live mirror: what runs at this moment, as the recorder hears it from its supervisor.
 *
 * The record has the rows of live runs too, but up to half a second late and as texts; a page that many look at asks
 * here. Fed by the recorder's intake with each packet as it comes (live_take()) and with rows once they are committed
 * (live_stored()), filled from the record at the start (live_load()). A run costs about 600 bytes. The figures
 * (`now`, the spark, cpus) are as fresh as somebody watches: live_watch(), status/sampler.h.
 *
 * One thread. Pointers to runs and facts hold until the next live_take() or live_stored() (so: within one callback of
 * the loop).
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include <stdint.h>
#include <sys/types.h>

struct Spool;

#define LIVE_NONE       UINT64_MAX /* unknown, or no limit */
#define LIVE_SPARK_MAX  60
#define LIVE_RUNS_MAX   65536 /* ten times what one host has been seen to carry; what is beyond is counted only */
#define LIVE_WATCH_USEC (UINT64_C(10) * 1000000) /* figures stay fresh for so long after live_watch() */

typedef enum LiveState {
        LIVE_STARTING,
        LIVE_RUNNING,
        LIVE_GRACE,
        LIVE_KILLING,
        LIVE_ENDING,
        LIVE_STATE_MAX_,
        LIVE_STATE_INVALID_ = -EINVAL,
} LiveState;

/* "starting", …: as docs/protocol.md has them. */
const char *live_state_to_string(LiveState state);
LiveState live_state_from_string(const char *text);

/* What was measured last; LIVE_NONE: unknown. */
typedef struct LiveFigures {
        uint64_t memory_bytes, memory_peak_bytes, swap_bytes;
        uint64_t anon_bytes, file_bytes, shmem_bytes;
        uint64_t pids, cpu_usec, psi_memory_full_usec;
        double cpus;           /* processors in use between the last two samples; negative: unknown */
        uint64_t sampled_usec; /* BOOTTIME of memory_bytes; 0: never in this recorder's life */
} LiveFigures;

extern const LiveFigures LIVE_FIGURES_NONE;

typedef struct LiveRun {
        char *run_id, *analysis_id, *group; /* owned; analysis_id and group (path of its directory) may be NULL */
        uid_t uid;
        LiveState state;
        uint64_t launched_usec, deadline_usec;                             /* REALTIME; LIVE_NONE: no deadline */
        uint64_t timeout_usec, grace_usec, memory_limit_bytes, pids_limit; /* LIVE_NONE: no limit */
        unsigned n_events;
        bool is_sampled;    /* enforcement */
        bool is_registered; /* it ran before it came under supervision */
        bool is_nested;     /* its figures are in an outer run's, too */
        bool is_shown;      /* the sampler's: among the first when its last pass began */
        bool is_listed;     /* the mirror's: the packet `alive` that is being taken names it */
        LiveFigures now;
        float spark[LIVE_SPARK_MAX]; /* memory as share of the limit, oldest first; none without a limit */
        size_t n_spark;
        uint64_t generation; /* of the mirror when it last changed */
        double share;        /* 0…1 and beyond: how near its end it is, live_share() when last looked at */
} LiveRun;

/* All runs together. Figures and limits are of the outermost runs, which the nested ones are part of. */
typedef struct LiveTotals {
        size_t n_runs, n_by_state[LIVE_STATE_MAX_], n_sampled;
        size_t n_unlimited; /* outermost runs without a memory limit */
        size_t n_measured;  /* outermost runs whose memory is known; the sums are of these */
        uint64_t memory_bytes, anon_bytes, file_bytes, shmem_bytes;
        uint64_t limit_bytes; /* of those that have one */
        double cpus;
        uint64_t oldest_sample_usec; /* BOOTTIME; 0: some run was never measured, LIVE_NONE: no run */
} LiveTotals;

/* What the supervisor has said of itself (packet `supervisor`). Texts borrowed of `facts`, NULL before it came. */
typedef struct LiveSupervisor {
        bool is_connected; /* the link to it stands */
        const char *version, *mode, *enforcement;
        pid_t pid;
        uint64_t started_usec;            /* REALTIME, 0: unknown */
        uint64_t starts, recorder_starts; /* of a supervisor on this tree in this boot; of recorders by this one */
        const json_t *facts;              /* borrowed; the object `supervisor` of docs/protocol.md, NULL */
} LiveSupervisor;

typedef struct Live Live;

/* 0 or -ENOMEM. */
int live_new(Live **ret);
void live_free(Live *live);
DEFINE_CLEANUP(Live *, live_free);

/* The live runs of the record, before the first packet. A record that can't be read is an empty one. 0 or -ENOMEM. */
int live_load(Live *live, struct Spool *spool);

/*
 * A packet has come. op is its `op` (or, of an answer, its `re`): process, run, event, alive, state, samples,
 * supervisor, look. Others, and what has not the form of docs/protocol.md, change nothing. Borrowed. 0 or -ENOMEM.
 */
int live_take(Live *live, const char *op, const json_t *packet);
/* An `event` or `run` is committed and was not in the record before: those who listen are told. */
void live_stored(Live *live, const char *op, const json_t *row);
/* The link to the supervisor is gone. */
void live_hung_up(Live *live);

size_t live_count(const Live *live);
LiveRun *live_find(Live *live, const char *run_id); /* by its whole id; NULL */
/* Those nearest to their end first: killing and grace, then the highest share, then the newest. The number of them. */
size_t live_top(Live *live, LiveRun **list, size_t most);
/* In the order of their ids, which is that of their launch. */
typedef void (*LiveEachFunc)(LiveRun *run, void *userdata);
void live_each(Live *live, LiveEachFunc func, void *userdata);
/* The i-th in that order, i < live_count(). */
LiveRun *live_at(Live *live, size_t i);
/* The first behind this id ("" or NULL: the first of all) in that order; NULL: there is none. */
LiveRun *live_next(Live *live, const char *run_id);
void live_totals(Live *live, LiveTotals *ret);
/* Grows with every change. */
uint64_t live_generation(const Live *live);
const LiveSupervisor *live_supervisor(const Live *live);

/* The higher of time used and of memory that is the run's own (anon and shmem; else all of it), as share of the limits.
 * 0 without any. */
double live_share(const LiveRun *run, uint64_t realtime_usec);
/* Processes and figures have been read: into the run, its spark and its cpus. For the sampler. */
void live_sampled(Live *live, LiveRun *run, const LiveFigures *figures);

/*
 * Somebody looks at figures: they are kept fresh for LIVE_WATCH_USEC from now. Cheap; called with each request for
 * them, and by whoever shows them all the time, more often than that.
 */
void live_watch(Live *live);
bool live_is_watched(const Live *live);

/*
 * Who listens, each in the order of their calls; at most LIVE_LISTENERS_MAX of a kind. 0 or -ENOSPC. func NULL takes
 * back what userdata listens to.
 */
#define LIVE_LISTENERS_MAX 8
/* An event, or an ended run, is in the record from now on: its row (borrowed). Each once, also over restarts. */
typedef void (*LiveRowFunc)(const json_t *row, void *userdata);
int live_on_event(Live *live, LiveRowFunc func, void *userdata);
int live_on_run(Live *live, LiveRowFunc func, void *userdata);
/* live_watch() was called and nobody watched before. For the sampler. */
typedef void (*LiveWatchFunc)(void *userdata);
int live_on_watch(Live *live, LiveWatchFunc func, void *userdata);

/*
 * Asks the supervisor for a live run as `show` tells it, with its timeline. func is called once: with the run
 * (borrowed), or NULL when it is no longer there; not within this call. The supervisor may be busy: who asks bounds the
 * wait and then cancels. 0; -ENOTCONN without a supervisor, -EBUSY: LIVE_LOOKS_MAX wait already, -ENOMEM.
 */
#define LIVE_LOOKS_MAX 64
int live_look(Live *live, const char *run_id, LiveRowFunc func, void *userdata);
/* Whatever userdata has asked for is not told any more. */
void live_look_cancel(Live *live, const void *userdata);

/* The way to the supervisor: sends a packet (its reference is taken over), which may be lost. For intake. */
typedef void (*LiveSendFunc)(json_t *packet, void *userdata);
void live_set_link(Live *live, LiveSendFunc func, void *userdata);
/* Asks it for the samples of the runs that only it can measure; good for LIVE_TOLD_USEC. For the sampler. */
#define LIVE_TOLD_USEC (UINT64_C(30) * 1000000)
void live_ask_samples(Live *live);
