/* The page of /metrics: what stands on it whatever happens, what is left out, and both formats of it. */
#include "status/metrics.h"

#include "base/cleanup.h"
#include "db/database.h"
#include "status/api.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const char nothing_known[] = "{}";
static const char whole[] =
        "{\"schema\":1,\"watchdog\":{\"monitored_count\":7,\"states\":{\"starting\":1,\"running\":3,\"grace\":2,"
        "\"killing\":0,\"ending\":1},\"kills_by_reason\":{\"timeout\":4,\"memory\":0},"
        "\"totals\":{\"memory_bytes\":9007199254740991,\"anon_bytes\":null,\"limit_bytes\":2147483648,\"cpus\":1.25},"
        "\"storage\":{\"kind\":\"postgres\",\"state\":\"read-only\",\"waiting\":12,\"dead_letters\":1,"
        "\"postgres_state\":\"away\"},"
        "\"supervisor\":{\"version\":\"9.8 \\\"odd\\\"\\n\\\\\",\"mode\":\"system\",\"connected\":true,\"restarts\":2,"
        "\"enforcement\":\"kernel\",\"started_at\":\"2026-11-21T07:19:42.500000Z\"}}}";

static char *render(const char *status, const Tally *tally, MetricsFormat format) {
        _cleanup_(json_decrefp) json_t *document = json_loads(status, 0, NULL);
        char *page;

        assert_non_null(document);
        page = metrics_render(document, tally, format);
        assert_non_null(page);
        return page;
}

static char *render_new(const char *status, MetricsFormat format) {
        Tally tally;

        tally_init(&tally);
        return render(status, &tally, format);
}

/* Whether the page has this line, whole. */
static bool has(const char *page, const char *line) {
        size_t n = strlen(line);

        for (const char *p = page; (p = strstr(p, line)); p += n)
                if ((p == page || p[-1] == '\n') && p[n] == '\n')
                        return true;
        return false;
}

#define assert_has(page, line)                                      \
        do {                                                        \
                if (!has(page, line))                               \
                        fail_msg("no line %s in:\n%s", line, page); \
        } while (0)

static void every_reason_and_verdict_is_there_with_zero_from_the_start(void **state) {
        _cleanup_(freep) char *page = render_new(nothing_known, METRICS_TEXT);
        char line[128];

        for (int v = VERDICT_NONE + 1; v < VERDICT_MAX; v++) {
                const char *name = verdict_to_string((Verdict)v);
                bool kills = v >= VERDICT_TIMEOUT && v != VERDICT_LOST, ends = v != VERDICT_ORPHAN;

                (void)snprintf(line, sizeof(line), "scidex_kills_total{reason=\"%s\"} 0", name);
                assert_int_equal(has(page, line), kills);
                (void)snprintf(line, sizeof(line), "scidex_runs_ended_total{verdict=\"%s\"} 0", name);
                assert_int_equal(has(page, line), ends);
        }
        assert_null(strstr(page, "\"other\""));
}

static void what_nobody_knows_has_a_head_and_no_sample(void **state) {
        _cleanup_(freep) char *page = render_new(nothing_known, METRICS_TEXT);

        assert_has(page, "# TYPE scidex_runs_memory_bytes gauge");
        assert_null(strstr(page, "\nscidex_runs_memory_bytes"));
        assert_null(strstr(page, "\nscidex_runs{"));
        assert_null(strstr(page, "\nscidex_storage_state{"));
        assert_null(strstr(page, "nan"));
}

static void the_figures_are_those_of_the_status_document(void **state) {
        _cleanup_(freep) char *page = render_new(whole, METRICS_TEXT);

        assert_has(page, "scidex_runs{state=\"running\"} 3");
        assert_has(page, "scidex_runs{state=\"grace\"} 2");
        assert_has(page, "scidex_runs{state=\"killing\"} 0");
        assert_has(page, "scidex_runs_memory_bytes 9007199254740991");
        assert_null(strstr(page, "\nscidex_runs_anon_bytes"));
        assert_has(page, "scidex_runs_memory_limit_bytes 2147483648");
        assert_has(page, "scidex_runs_cpus 1.25");
        assert_has(page, "scidex_kills_last_24h{reason=\"timeout\"} 4");
        assert_has(page, "scidex_storage_waiting_rows 12");
        assert_has(page, "scidex_storage_dead_letter_rows 1");
        assert_has(page, "scidex_supervisor_connected 1");
        assert_has(page, "scidex_supervisor_restarts_total 2");
        assert_has(page, "scidex_supervisor_start_time_seconds 1795245582.5");
}

static void the_storage_is_in_one_of_its_states(void **state) {
        _cleanup_(freep) char *page = render_new(whole, METRICS_TEXT);
        char line[128];

        for (int s = 0; s < _STORAGE_STATE_MAX; s++) {
                (void)snprintf(line, sizeof(line), "scidex_storage_state{store=\"sqlite\",state=\"%s\"} %d",
                        storage_state_to_string((StorageState)s), s == STORAGE_READ_ONLY);
                assert_has(page, line);
        }
        assert_has(page, "scidex_storage_state{store=\"postgres\",state=\"away\"} 1");
        assert_has(page, "scidex_storage_state{store=\"postgres\",state=\"ok\"} 0");
}

static void a_label_is_escaped(void **state) {
        _cleanup_(freep) char *page = render_new(whole, METRICS_TEXT);

        assert_has(page,
                "scidex_build_info{version=\"" SCIDEX_VERSION
                "\",supervisor_version=\"9.8 \\\"odd\\\"\\n\\\\\",mode=\"system\",enforcement=\"kernel\"} 1");
}

static void the_buckets_of_a_histogram_add_up(void **state) {
        Tally tally;
        _cleanup_(freep) char *page = NULL;

        tally_init(&tally);
        histogram_observe(&tally.histograms[TALLY_RUN_DURATION], 0.5);
        histogram_observe(&tally.histograms[TALLY_RUN_DURATION], 4);
        histogram_observe(&tally.histograms[TALLY_RUN_DURATION], 100000.25);
        page = render(nothing_known, &tally, METRICS_TEXT);
        assert_has(page, "scidex_run_duration_seconds_bucket{le=\"1.0\"} 1");
        assert_has(page, "scidex_run_duration_seconds_bucket{le=\"5.0\"} 2");
        assert_has(page, "scidex_run_duration_seconds_bucket{le=\"86400.0\"} 2");
        assert_has(page, "scidex_run_duration_seconds_bucket{le=\"+Inf\"} 3");
        assert_has(page, "scidex_run_duration_seconds_sum 100004.75");
        assert_has(page, "scidex_run_duration_seconds_count 3");
        assert_has(page, "scidex_run_memory_peak_ratio_bucket{le=\"0.05\"} 0");
}

static void a_kill_and_a_reason_of_a_newer_version_are_counted(void **state) {
        Tally tally;
        _cleanup_(freep) char *page = NULL;

        tally_init(&tally);
        tally.kills[VERDICT_HOST_OOM] = 3;
        tally.kills[VERDICT_NONE] = 1;
        page = render(nothing_known, &tally, METRICS_TEXT);
        assert_has(page, "scidex_kills_total{reason=\"host-oom\"} 3");
        assert_has(page, "scidex_kills_total{reason=\"other\"} 1");
}

static void openmetrics_names_families_without_suffix_tells_units_and_ends(void **state) {
        _cleanup_(freep) char *page = render_new(whole, METRICS_OPENMETRICS);
        const char *end = "# EOF\n";

        assert_has(page, "# TYPE scidex_kills counter");
        assert_has(page, "scidex_kills_total{reason=\"memory\"} 0");
        assert_has(page, "# TYPE scidex_build info");
        assert_has(page, "# UNIT scidex_kill_latency_seconds seconds");
        assert_string_equal(page + strlen(page) - strlen(end), end);
}

static void prometheus_text_names_counters_whole_and_has_neither_units_nor_end(void **state) {
        _cleanup_(freep) char *page = render_new(whole, METRICS_TEXT);

        assert_has(page, "# TYPE scidex_kills_total counter");
        assert_has(page, "# TYPE scidex_build_info gauge");
        assert_null(strstr(page, "# UNIT"));
        assert_null(strstr(page, "# EOF"));
}

static void every_unit_is_the_last_word_of_its_name(void **state) {
        _cleanup_(freep) char *page = render_new(whole, METRICS_OPENMETRICS);
        char name[128], unit[32];
        size_t n = 0;

        for (const char *p = page; (p = strstr(p, "# UNIT ")); p++, n++) {
                assert_int_equal(sscanf(p, "# UNIT %127s %31s", name, unit), 2);
                assert_true(strlen(name) > strlen(unit));
                assert_string_equal(name + strlen(name) - strlen(unit), unit);
        }
        assert_true(n > 5);
}

static void the_accept_header_decides_the_format(void **state) {
        static const struct {
                const char *accept;
                MetricsFormat format;
        } table[] = {
                { NULL, METRICS_TEXT },
                { "", METRICS_TEXT },
                { "*/*", METRICS_TEXT },
                { "text/plain", METRICS_TEXT },
                { "application/openmetrics-text", METRICS_OPENMETRICS },
                { "Application/OpenMetrics-Text; version=1.0.0", METRICS_OPENMETRICS },
                /* What Prometheus sends: 2.42, then 3. */
                { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                  "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                        METRICS_OPENMETRICS },
                { "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;"
                  "escaping=allow-utf-8;q=0.3,*/*;q=0.2",
                        METRICS_OPENMETRICS },
                { "text/plain;q=0.9, application/openmetrics-text; q=0.5", METRICS_TEXT },
                { "application/openmetrics-text;q=0", METRICS_TEXT },
                { "application/openmetrics-textual", METRICS_TEXT },
                { "application/openmetrics-text;q=", METRICS_TEXT },
                { ",,;,application/openmetrics-text;;q=1,", METRICS_OPENMETRICS },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(api_choose_metrics(table[i].accept), metrics_content_type(table[i].format)) != 0)
                        fail_msg("another format for %s", table[i].accept);
}

static void each_format_has_its_content_type(void **state) {
        assert_string_equal(metrics_content_type(METRICS_TEXT), "text/plain; version=0.0.4; charset=utf-8");
        assert_string_equal(metrics_content_type(METRICS_OPENMETRICS),
                "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_reason_and_verdict_is_there_with_zero_from_the_start),
                cmocka_unit_test(what_nobody_knows_has_a_head_and_no_sample),
                cmocka_unit_test(the_figures_are_those_of_the_status_document),
                cmocka_unit_test(the_storage_is_in_one_of_its_states),
                cmocka_unit_test(a_label_is_escaped),
                cmocka_unit_test(the_buckets_of_a_histogram_add_up),
                cmocka_unit_test(a_kill_and_a_reason_of_a_newer_version_are_counted),
                cmocka_unit_test(openmetrics_names_families_without_suffix_tells_units_and_ends),
                cmocka_unit_test(prometheus_text_names_counters_whole_and_has_neither_units_nor_end),
                cmocka_unit_test(every_unit_is_the_last_word_of_its_name),
                cmocka_unit_test(the_accept_header_decides_the_format),
                cmocka_unit_test(each_format_has_its_content_type),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
