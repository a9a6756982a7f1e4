/*
 * Keeps the figures of the live mirror fresh while somebody looks at them, and sleeps otherwise.
 *
 * The recorder reads the groups' files itself (they are everybody's to read): memory and CPU of every run each
 * SAMPLER_PERIOD_USEC, the split, pressure and processes of those that are shown, and of the others in turn. What only
 * the supervisor can measure (sampled runs) it is asked for. All together takes at most a small share of the processor:
 * with many runs the passes get rarer.
 */
#pragma once

#include "status/live.h"
#include <systemd/sd-event.h>

#define SAMPLER_PERIOD_USEC   (UINT64_C(2) * 1000000)
#define SAMPLER_SHOWN_MAX     100 /* of live_top(), as pages show them; and as many of the others in each pass */
#define SAMPLER_QUOTA_PERCENT 6   /* of a CPU quota */
#define SAMPLER_CPU_PERCENT   2   /* of one processor where there is none */

typedef struct Sampler Sampler;

/* Works from the loop, last of all, whenever the mirror (borrowed) is watched. 0 or -errno. */
int sampler_new(sd_event *event, Live *live, Sampler **ret);
void sampler_free(Sampler *sampler);
DEFINE_CLEANUP(Sampler *, sampler_free);
