/* Between live.c (the table), live-row.c (what a row says) and live-listen.c (who listens, and who asks). */
#pragma once

#include "status/live.h"
#include <sys/queue.h>

typedef struct Listener {
        LiveWatchFunc watch;
        LiveRowFunc row;
        void *userdata;
} Listener;

typedef struct Listeners {
        Listener list[LIVE_LISTENERS_MAX];
        size_t n;
} Listeners;

typedef struct Look {
        TAILQ_ENTRY(Look) link;
        char *run_id; /* owned */
        LiveRowFunc func;
        void *userdata;
        uint64_t serial;
} Look;

struct Live {
        LiveRun **runs; /* owned, each; by run_id */
        size_t n, allocated;
        uint64_t generation, watched_until_usec;
        LiveSupervisor supervisor;
        json_t *facts; /* owned */
        LiveSendFunc send;
        void *send_userdata;
        Listeners on_event, on_run, on_watch;
        TAILQ_HEAD(, Look) looks;
        size_t n_looks;
        uint64_t look_serial;
};

/* Fills a run from its row. Figures only where the row is fresh: at_usec is then its BOOTTIME, else 0. 0; -EINVAL: it
 * has no run_id, or no state of a live one; -ENOMEM. */
int live_run_read(LiveRun *run, const json_t *row, uint64_t at_usec);
void live_run_free(LiveRun *run);
DEFINE_CLEANUP(LiveRun *, live_run_free);
/* Figures into now, cpus from the two last ones, and a point of the spark. */
void live_run_measure(LiveRun *run, const LiveFigures *figures);
/* One of the rows of `samples`, [run_id, memory, anon, file, shmem, pids, cpu_sec]: its id, borrowed; NULL: it is none.
 */
const char *live_sample_read(const json_t *sample, uint64_t at_usec, LiveFigures *ret);
/* What the supervisor says of itself; borrows from facts. */
void live_supervisor_read(LiveSupervisor *supervisor, const json_t *facts);

/* Those that have asked before this call; who asks again from within is answered by the next. run_id NULL: all. */
void live_answer_looks(Live *live, const char *run_id, const json_t *run);
/* Without an answer. */
void live_drop_looks(Live *live);
