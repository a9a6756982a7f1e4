/*
 * Rows that were committed, to counters and histograms.
 *
 * Called by the recorder with each event and each ended run.  The hard thing is what a row may lack: a run of a host
 * without a memory controller has no peak, one that was lost has no end, an old supervisor tells no launch time.  A
 * histogram that counted such a row with 0 would lie, so it is left out there and counted elsewhere.  A latency below
 * zero is a clock that was set in between: the wall clock is all that rows have.  It counts as 0.
 */
#include "status/tally.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <assert.h>
#include <math.h>

const Verdict tally_reasons[] = { VERDICT_TIMEOUT, VERDICT_CPU_TIME, VERDICT_MEMORY, VERDICT_HOST_OOM, VERDICT_ORPHANED,
        VERDICT_CANCELLED, VERDICT_ORPHAN, VERDICT_NONE };

const Verdict tally_verdicts[] = { VERDICT_COMPLETED, VERDICT_FAILED, VERDICT_CRASHED, VERDICT_TIMEOUT,
        VERDICT_CPU_TIME, VERDICT_MEMORY, VERDICT_HOST_OOM, VERDICT_ORPHANED, VERDICT_CANCELLED, VERDICT_LOST,
        VERDICT_NONE };

static const double duration_bounds[] = { 1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14400, 28800, 86400 };
static const double launch_bounds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5 };
static const double share_bounds[] = { 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1, 1.25 };
/* The grace of 10 s lies within: what ended by SIGTERM is below it, what did not just above. */
static const double kill_bounds[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 10.5, 12.5, 30, 60 };
static const double late_bounds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30 };

#define BOUNDS(x) \
        { .bounds = (x), .n_bounds = ELEMENTSOF(x) }
static const Histogram empty[] = {
        [TALLY_RUN_DURATION] = BOUNDS(duration_bounds),
        [TALLY_LAUNCH] = BOUNDS(launch_bounds),
        [TALLY_PEAK] = BOUNDS(share_bounds),
        [TALLY_PRIVATE_PEAK] = BOUNDS(share_bounds),
        [TALLY_KILL_LATENCY] = BOUNDS(kill_bounds),
        [TALLY_DEADLINE_LATE] = BOUNDS(late_bounds),
};
static_assert(ELEMENTSOF(empty) == _TALLY_HISTOGRAM_MAX, "every histogram has its bounds");
static_assert(ELEMENTSOF(kill_bounds) <= HISTOGRAM_BOUNDS_MAX, "the longest list of bounds fits");

void tally_init(Tally *tally) {
        *tally = (Tally){ .cpu_sec = 0 };
        for (size_t i = 0; i < ELEMENTSOF(empty); i++)
                tally->histograms[i] = empty[i];
}

void histogram_observe(Histogram *histogram, double value) {
        size_t i = 0;

        if (!isfinite(value))
                return;
        while (i < histogram->n_bounds && value > histogram->bounds[i])
                i++;
        histogram->counts[i]++;
        histogram->count++;
        histogram->sum += value;
}

static void observe(Tally *tally, TallyHistogram which, double value) {
        histogram_observe(&tally->histograms[which], value);
}

/* NAN where there is no number. */
static double get_number(const json_t *row, const char *key) {
        const json_t *value = json_object_get(row, key);

        return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Seconds since the epoch; NAN where there is no time. */
static double get_time(const json_t *row, const char *key) {
        const char *text;
        uint64_t usec;

        if (json_get_text(row, key, &text) < 0 || clock_parse_rfc3339(text, &usec) < 0)
                return NAN;
        return (double)usec / (double)USEC_PER_SEC;
}

static double get_span(const json_t *row, const char *from, const char *to) {
        double span = get_time(row, to) - get_time(row, from);

        return span < 0 ? 0 : span;
}

static Verdict get_verdict(const json_t *row, const char *key) {
        const char *text;
        Verdict verdict = json_get_text(row, key, &text) < 0 ? VERDICT_INVALID : verdict_from_string(text);

        return verdict < 0 ? VERDICT_NONE : verdict;
}

void tally_event(Tally *tally, const json_t *event) {
        Verdict reason = get_verdict(event, "reason");

        tally->kills[reason]++;
        if (reason != VERDICT_TIMEOUT) {
                observe(tally, TALLY_KILL_LATENCY, get_span(event, "decided_at", "empty_at"));
                return;
        }
        observe(tally, TALLY_KILL_LATENCY, get_span(event, "deadline_at", "empty_at"));
        observe(tally, TALLY_DEADLINE_LATE, get_span(event, "deadline_at", "term_at"));
}

void tally_run(Tally *tally, const json_t *run) {
        double limit = get_number(run, "memory_limit_bytes"), cpu = get_number(run, "cpu_sec");
        const char *verdict;

        if (json_get_text(run, "verdict", &verdict) < 0)
                return;
        tally->ended[get_verdict(run, "verdict")]++;
        if (isfinite(cpu) && cpu > 0)
                tally->cpu_sec += cpu;
        observe(tally, TALLY_LAUNCH, get_number(run, "launch_sec"));
        /* What was lost has no known end. */
        if (!isnan(get_time(run, "ended_at")))
                observe(tally, TALLY_RUN_DURATION, get_number(run, "duration_sec"));
        if (limit > 0) {
                observe(tally, TALLY_PEAK, get_number(run, "memory_peak_bytes") / limit);
                observe(tally, TALLY_PRIVATE_PEAK, get_number(run, "private_peak_bytes") / limit);
        }
}
