/*
 * The last stretch of a run in at most 120 samples of memory and CPU.
 *
 * When the slots are full every second one goes and the interval doubles: any length of run fits, the recent past is as
 * fine as the distant one, and a run costs TIMELINE_SLOTS * 12 bytes.
 */
#pragma once

#include "base/json.h"
#include <stddef.h>
#include <stdint.h>

#define TIMELINE_SLOTS 120

typedef struct Sample {
        uint32_t t_msec;     /* since the launch; 49 days */
        uint32_t memory_kib; /* 4 TiB */
        uint32_t cpu_msec;
} Sample;

typedef struct Timeline {
        Sample *samples; /* owned; grows to TIMELINE_SLOTS */
        uint32_t n, allocated;
        uint32_t interval_sec;
        uint64_t next_usec; /* BOOTTIME of the next regular sample, a whole second: those of all runs are one wake-up */
} Timeline;

void timeline_init(Timeline *timeline, uint64_t now_usec);
void timeline_deinit(Timeline *timeline);
/* Appends; thins out first when full. Without memory for it the sample is left out. */
void timeline_add(
        Timeline *timeline, uint64_t launched_usec, uint64_t now_usec, uint64_t memory_bytes, uint64_t cpu_usec);
/* The `timeline` object of docs/protocol.md. NULL on OOM. */
json_t *timeline_to_json(const Timeline *timeline);
