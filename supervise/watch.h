/*
 * Looking at a run: the timeline's samples, sampled memory, thrashing. Fills run->usage and run->watch; decides
 * nothing.
 */
#pragma once

#include "supervise/run.h"

/* The whole usage, for a decision or the record. 0, GROUP_E_GONE. */
int watch_look(Run *run);
/* The cheap look of the shared timer, and a sample for the timeline; lists the processes when memory is above half of
 * the limit. Where memory is sampled the figure is exact, at most WATCH_EXACT_USEC old while the RSS sum stands still.
 */
#define WATCH_EXACT_USEC (10 * UINT64_C(1000000))
void watch_sample(Run *run, uint64_t now_usec);
/* Only the OOM counters; *ret_max_grew: the group has been in reclaim at its limit since the last look. */
int watch_oom(Run *run, bool *ret_max_grew);

/*
 * Sampled memory: the RSS sum, and the exact PSS where the sum is above the limit; sets next_look_usec: at most 100 ms
 * from now near the limit, later when far from it (WATCH_GROWTH bytes a second are presumed; at most a second) or when
 * the look itself took long: a tenth of the time at most, however many processes there are. now_usec: its beginning.
 */
#define WATCH_NEAR_USEC    (100 * UINT64_C(1000))
#define WATCH_FAR_USEC     (1000 * UINT64_C(1000))
#define WATCH_GROWTH_BYTES (UINT64_C(2) << 30)
int watch_memory(Run *run, uint64_t now_usec);
/* BOOTTIME of the look after one that was begun then and took so long. */
uint64_t watch_next_look_usec(uint64_t limit_bytes, uint64_t private_bytes, uint64_t begun_usec, uint64_t cost_usec);
/*
 * Whether the look that is due may be taken now. Looks of more than WATCH_LONG_USEC, of whichever run, take a third of
 * the time together, one after the other as they were due: where others are first, next_look_usec becomes its turn.
 * *rest_usec: BOOTTIME from which on no turn is given away yet, one for all runs.
 */
#define WATCH_LONG_USEC  (10 * UINT64_C(1000))
#define WATCH_LONG_SHARE 3
bool watch_turn(Watch *w, uint64_t now_usec, uint64_t *rest_usec);
/* The exact figure now: Pss_Anon + Pss_Shmem of all processes. 0, GROUP_E_GONE. */
int watch_exactly(Run *run);

/*
 * What a run that is about to be ended has, for its event: the whole usage and, where it is sampled, the exact figure.
 * That one is the last known, at most WATCH_EXACT_USEC old, where it took longer than WATCH_LAST_USEC: the signal waits
 * for this (measured: 40 ms of 1,000 processes), and a run that grows would grow on.
 */
#define WATCH_LAST_USEC (3 * UINT64_C(1000))
void watch_last(Run *run);

/*
 * Thrashing. Armed once the group has been in reclaim at its limit (`max` grew): from then on the `full` total of
 * memory.pressure is noted WATCH_STALL_STEPS times in each --thrash, so that decide() sees the stall of the last window
 * at every step. Disarms itself when `max` has stood still for a whole window. No PSI trigger: root's cost a kernel
 * thread each.
 */
#define WATCH_STALL_STEPS 15
/* Arms it unless it is. 0, GROUP_E_GONE, -EOPNOTSUPP without PSI, -ENOMEM. */
int watch_stall_arm(Run *run, uint64_t now_usec);
/* One step; fills stall_usec and stall_window_usec once a whole window is known. 0, GROUP_E_GONE. */
int watch_stall_step(Run *run, uint64_t now_usec);
