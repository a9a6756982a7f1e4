/*
 * The status document and the tally, to the families of /metrics.
 *
 * Called for each scrape.  It reads the same document that /api/quests/status answers with, so that the two can't
 * disagree, and so that this file needs neither runs nor a database.  One table for what is a single number there;
 * one function for each family that has labels.  The hard thing is what is not known: a gauge that said 0 for memory
 * that nobody could read would hide a fire, so such a sample is absent.  Counters are there with 0 from the start: a
 * rate() that sees a counter begin at 1 sees no increase.
 */
#include "status/metrics.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "status/metrics-text.h"
#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct Figure {
        MetricFamily family;
        const char *object; /* member of `watchdog` */
        const char *member;
} Figure;

#define GAUGE(n, h)         .name = (n), .help = (h), .type = METRIC_GAUGE
#define GAUGE_IN(n, u, h)   .name = (n), .unit = (u), .help = (h), .type = METRIC_GAUGE
#define COUNTER(n, h)       .name = (n), .help = (h), .type = METRIC_COUNTER
#define COUNTER_IN(n, u, h) .name = (n), .unit = (u), .help = (h), .type = METRIC_COUNTER
#define HISTOGRAM(n, u, h)  .name = (n), .unit = (u), .help = (h), .type = METRIC_HISTOGRAM

static const Figure figures[] = {
        { { GAUGE("scidex_supervisor_connected", "Whether the supervisor answers: 1 or 0.") }, "supervisor",
                "connected" },
        { { COUNTER("scidex_supervisor_restarts", "Restarts of the supervisor since the host's boot.") }, "supervisor",
                "restarts" },
        { { GAUGE_IN("scidex_runs_memory_bytes", "bytes", "Memory of all live runs, page cache included.") }, "totals",
                "memory_bytes" },
        { { GAUGE_IN("scidex_runs_anon_bytes", "bytes", "Anonymous memory of all live runs.") }, "totals",
                "anon_bytes" },
        { { GAUGE_IN("scidex_runs_file_bytes", "bytes", "Page cache and shared memory of all live runs.") }, "totals",
                "file_bytes" },
        { { GAUGE_IN("scidex_runs_memory_limit_bytes", "bytes",
                  "Sum of the memory limits of the live runs that have one.") },
                "totals", "limit_bytes" },
        { { GAUGE("scidex_runs_cpus", "Processors that all live runs use together.") }, "totals", "cpus" },
        { { GAUGE("scidex_storage_waiting_rows", "Rows that wait to be sent to the database.") }, "storage",
                "waiting" },
        { { GAUGE("scidex_storage_dead_letter_rows", "Rows that the database has refused for good.") }, "storage",
                "dead_letters" },
        { { GAUGE("scidex_storage_run_rows", "Runs in the local record.") }, "storage", "runs" },
        { { GAUGE("scidex_storage_event_rows", "Kills in the local record.") }, "storage", "events" },
        { { GAUGE_IN("scidex_storage_size_bytes", "bytes", "Size of the local record.") }, "storage", "bytes" },
};

static const MetricFamily histogram_families[] = {
        [TALLY_RUN_DURATION] = { HISTOGRAM("scidex_run_duration_seconds", "seconds", "Duration of runs that ended.") },
        [TALLY_LAUNCH] = { HISTOGRAM("scidex_launch_duration_seconds", "seconds",
                "From the request of a launch to its process, of runs that ended.") },
        [TALLY_PEAK] = { HISTOGRAM("scidex_run_memory_peak_ratio", "ratio",
                "Peak of the memory of ended runs, page cache included, as share of the limit.") },
        [TALLY_PRIVATE_PEAK] = { HISTOGRAM("scidex_run_private_peak_ratio", "ratio",
                "Highest anonymous and shared memory seen of ended runs, as share of the limit.") },
        [TALLY_KILL_LATENCY] = { HISTOGRAM("scidex_kill_latency_seconds", "seconds",
                "From the deadline, or where there is none the decision, until the group was empty; grace included.") },
        [TALLY_DEADLINE_LATE] = { HISTOGRAM(
                "scidex_deadline_delay_seconds", "seconds", "From the deadline to the SIGTERM that it causes.") },
};
static_assert(ELEMENTSOF(histogram_families) == _TALLY_HISTOGRAM_MAX, "every histogram has its family");

static const char *const states[] = { "starting", "running", "grace", "killing", "ending" };
static const char *const sqlite_states[] = { "ok", "full", "read-only", "failed" };
static const char *const postgres_states[] = { "connecting", "ok", "away", "denied", "schema", "read-only", "full",
        "failed" };

static double number_of(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);

        if (json_is_boolean(value))
                return json_is_true(value);
        return json_is_number(value) ? json_number_value(value) : NAN;
}

static const char *text_of(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

static void sample_one(
        const MetricsText *to, const MetricFamily *family, const char *name, const char *value, double number) {
        MetricLabel label = { name, value };

        metrics_sample(to, family, &label, 1, number);
}

static void put_build(const MetricsText *to, const json_t *supervisor) {
        static const MetricFamily family = { .name = "scidex_build",
                .help = "Versions of recorder and supervisor, and how limits are enforced.",
                .type = METRIC_INFO };
        MetricLabel labels[] = { { "version", SCIDEX_VERSION },
                { "supervisor_version", text_of(supervisor, "version") }, { "mode", text_of(supervisor, "mode") },
                { "enforcement", text_of(supervisor, "enforcement") } };

        metrics_head(to, &family);
        metrics_sample(to, &family, labels, ELEMENTSOF(labels), 1);
}

static void put_start_time(const MetricsText *to, const json_t *supervisor) {
        static const MetricFamily family = { GAUGE_IN(
                "scidex_supervisor_start_time_seconds", "seconds", "When the supervisor started, since the epoch.") };
        const char *text = text_of(supervisor, "started_at");
        uint64_t usec;

        metrics_head(to, &family);
        if (text && clock_parse_rfc3339(text, &usec) == 0)
                metrics_sample(to, &family, NULL, 0, (double)usec / (double)USEC_PER_SEC);
}

static void put_states(const MetricsText *to, const json_t *watchdog) {
        static const MetricFamily family = { GAUGE("scidex_runs", "Live runs by state.") };

        metrics_head(to, &family);
        for (size_t i = 0; i < ELEMENTSOF(states); i++)
                sample_one(to, &family, "state", states[i], number_of(json_object_get(watchdog, "states"), states[i]));
}

static void put_recent_kills(const MetricsText *to, const json_t *watchdog) {
        static const MetricFamily family = { GAUGE(
                "scidex_kills_last_24h", "Kills of the last 24 hours in the record, by reason.") };
        const json_t *kills = json_object_get(watchdog, "kills_by_reason");

        metrics_head(to, &family);
        for (const Verdict *v = tally_reasons; *v != VERDICT_NONE; v++)
                sample_one(to, &family, "reason", verdict_to_string(*v), number_of(kills, verdict_to_string(*v)));
}

static void put_verdicts(const MetricsText *to, const MetricFamily *family, const char *label, const Verdict *list,
        const uint64_t counts[VERDICT_MAX]) {
        metrics_head(to, family);
        for (const Verdict *v = list; *v != VERDICT_NONE; v++)
                sample_one(to, family, label, verdict_to_string(*v), (double)counts[*v]);
        /* Of a newer supervisor, while one is being upgraded. */
        if (counts[VERDICT_NONE] > 0)
                sample_one(to, family, label, "other", (double)counts[VERDICT_NONE]);
}

static void put_tally(const MetricsText *to, const Tally *tally) {
        static const MetricFamily kills = { COUNTER("scidex_kills", "Kills since the recorder started, by reason.") };
        static const MetricFamily ended = { COUNTER(
                "scidex_runs_ended", "Runs that ended since the recorder started, by verdict.") };
        static const MetricFamily cpu = { COUNTER_IN(
                "scidex_runs_cpu_seconds", "seconds", "CPU time of the runs that ended since the recorder started.") };

        put_verdicts(to, &kills, "reason", tally_reasons, tally->kills);
        put_verdicts(to, &ended, "verdict", tally_verdicts, tally->ended);
        metrics_head(to, &cpu);
        metrics_sample(to, &cpu, NULL, 0, tally->cpu_sec);
        for (size_t i = 0; i < _TALLY_HISTOGRAM_MAX; i++) {
                metrics_head(to, &histogram_families[i]);
                metrics_histogram(to, &histogram_families[i], &tally->histograms[i]);
        }
}

/* 1 for the state that it is in, 0 for the others. */
static void put_state_set(const MetricsText *to, const MetricFamily *family, const char *store, const char *const *list,
        size_t n, const char *state) {
        for (size_t i = 0; state && i < n; i++) {
                MetricLabel labels[] = { { "store", store }, { "state", list[i] } };

                metrics_sample(to, family, labels, ELEMENTSOF(labels), strcmp(list[i], state) == 0);
        }
}

static void put_storage(const MetricsText *to, const json_t *storage) {
        static const MetricFamily family = { GAUGE(
                "scidex_storage_state", "The record's state: 1 for the one it is in, 0 for the others.") };

        metrics_head(to, &family);
        put_state_set(to, &family, "sqlite", sqlite_states, ELEMENTSOF(sqlite_states), text_of(storage, "state"));
        put_state_set(to, &family, "postgres", postgres_states, ELEMENTSOF(postgres_states),
                text_of(storage, "postgres_state"));
}

static void put_figures(const MetricsText *to, const json_t *watchdog) {
        for (size_t i = 0; i < ELEMENTSOF(figures); i++) {
                const json_t *object = json_object_get(watchdog, figures[i].object);

                metrics_head(to, &figures[i].family);
                metrics_sample(to, &figures[i].family, NULL, 0, number_of(object, figures[i].member));
        }
}

char *metrics_render(const json_t *status, const Tally *tally, MetricsFormat format) {
        const json_t *watchdog = json_object_get(status, "watchdog");
        const json_t *supervisor = json_object_get(watchdog, "supervisor");
        MetricsText to = { .format = format };
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        bool failed;

        to.f = open_memstream(&text, &size);
        if (!to.f)
                return NULL;
        put_build(&to, supervisor);
        put_start_time(&to, supervisor);
        put_figures(&to, watchdog);
        put_states(&to, watchdog);
        put_recent_kills(&to, watchdog);
        put_storage(&to, json_object_get(watchdog, "storage"));
        put_tally(&to, tally);
        metrics_end(&to);
        failed = ferror(to.f) != 0;
        if (fclose(to.f) != 0 || failed)
                return NULL;
        return TAKE_PTR(text);
}

const char *metrics_content_type(MetricsFormat format) {
        return format == METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                             : "text/plain; version=0.0.4; charset=utf-8";
}
