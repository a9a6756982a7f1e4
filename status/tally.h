/*
 * What has happened since this recorder began: counters and histograms, which only grow. Fed with the rows of events
 * and of ended runs as they are committed; read by metrics.h. Allocates nothing, and knows no run afterwards.
 */
#pragma once

#include "base/json.h"
#include "supervise/verdict.h"
#include <stddef.h>

#define HISTOGRAM_BOUNDS_MAX 15 /* each is one line of /metrics */

typedef struct Histogram {
        const double *bounds; /* static, rising; the last bucket, above them, has none */
        size_t n_bounds;
        uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1]; /* of each bucket by itself */
        uint64_t count;
        double sum;
} Histogram;

/* A value belongs to the first bucket whose bound is not below it. What is no number is not counted. */
void histogram_observe(Histogram *histogram, double value);

typedef enum TallyHistogram {
        TALLY_RUN_DURATION,  /* seconds */
        TALLY_LAUNCH,        /* seconds from the request to the process */
        TALLY_PEAK,          /* peak of all memory, share of the limit */
        TALLY_PRIVATE_PEAK,  /* peak of anonymous and shared memory, share of the limit */
        TALLY_KILL_LATENCY,  /* seconds from the deadline, or else the decision, until the group was empty */
        TALLY_DEADLINE_LATE, /* seconds from the deadline to its SIGTERM */
        _TALLY_HISTOGRAM_MAX,
} TallyHistogram;

typedef struct Tally {
        uint64_t kills[VERDICT_MAX]; /* by reason; VERDICT_NONE: a reason that this version does not know */
        uint64_t ended[VERDICT_MAX]; /* by verdict; VERDICT_NONE: the same */
        double cpu_sec;              /* of the runs that have ended */
        Histogram histograms[_TALLY_HISTOGRAM_MAX];
} Tally;

void tally_init(Tally *tally);
/* A row of watchdog_events. A member that is missing or null is not counted where it would be needed. */
void tally_event(Tally *tally, const json_t *event);
/* A row of watchdog_runs; a run that has not ended counts nowhere. */
void tally_run(Tally *tally, const json_t *run);

/* Verdicts that can be the reason of an event; in both lists VERDICT_NONE is the end. */
extern const Verdict tally_reasons[];
/* Verdicts that a run can end with. */
extern const Verdict tally_verdicts[];
