/*
 * The dashboard, and what stands in place of a page that could not be made.
 *
 * Called by the HTTP server, at most once a second for all who look. The script (web/src) then keeps the same elements
 * up to date: it knows them by id, by the attribute data-f of a figure, and by the classes of a row's cells; whoever
 * changes them here changes them there, and the browser tests see it.
 */
#include "status/page.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "status/field.h"
#include "status/html.h"
#include <string.h>

static void figure(Html *h, const char *name, const char *title) {
        html_printf(h, "<div data-f=\"%s\"><dt>%s</dt><dd>", name, title);
}

static uint64_t count_of(const json_t *object, const char *key) {
        uint64_t value;

        return field_u64(object, key, &value) ? value : 0;
}

static void figure_runs(Html *h, const json_t *watchdog) {
        figure(h, "runs", "Runs");
        html_printf(h, "<b>%ju</b> <span>%ju in grace</span></dd></div>\n",
                (uintmax_t)count_of(watchdog, "monitored_count"), (uintmax_t)count_of(watchdog, "grace_count"));
}

static void figure_memory(Html *h, const json_t *totals) {
        char text[FORMAT_MAX];

        figure(h, "memory", "Memory in use");
        html_raw(h, "<b>");
        html_text(h, field_bytes(text, totals, "memory_bytes", "unknown"));
        html_raw(h, "</b> <span>");
        if (count_of(totals, "limit_bytes") > 0) {
                html_raw(h, "of ");
                html_text(h, field_bytes(text, totals, "limit_bytes", ""));
                html_raw(h, " in limits");
        }
        html_raw(h, "</span></dd></div>\n");
}

static void figure_cpus(Html *h, const json_t *totals) {
        double cpus;

        figure(h, "cpus", "CPUs in use");
        if (field_real(totals, "cpus", &cpus))
                html_printf(h, "<b>%.1f</b></dd></div>\n", cpus);
        else
                html_raw(h, "<b>unknown</b></dd></div>\n");
}

static void figure_kills(Html *h, const json_t *watchdog) {
        figure(h, "kills", "Kills in 24 h");
        html_printf(h, "<b>%ju</b></dd></div>\n", (uintmax_t)count_of(watchdog, "kills_last_24h"));
}

/* The state that matters: of the database where rows go to one, else of the local record. */
static void figure_storage(Html *h, const json_t *storage) {
        const char *kind = field_text(storage, "kind");
        bool postgres = kind && strcmp(kind, "postgres") == 0;
        const char *state = field_text(storage, "state"), *away = field_text(storage, "postgres_state");

        if (postgres && state && strcmp(state, "ok") == 0)
                state = away;
        figure(h, "storage", "Record");
        html_raw(h, "<b>");
        html_text(h, state ? state : "unknown");
        html_printf(h, "</b> <span>%s", postgres ? "PostgreSQL" : "SQLite");
        if (postgres)
                html_printf(h, ", %ju waiting, %ju refused", (uintmax_t)count_of(storage, "waiting"),
                        (uintmax_t)count_of(storage, "dead_letters"));
        html_raw(h, "</span></dd></div>\n");
}

static void figure_supervisor(Html *h, const json_t *supervisor) {
        char text[FORMAT_MAX];
        const char *version = field_text(supervisor, "version"), *enforcement = field_text(supervisor, "enforcement");
        uint64_t uptime, restarts = count_of(supervisor, "restarts");

        figure(h, "supervisor", "Supervisor");
        html_raw(h, "<b>");
        html_text(h, version ? version : "unknown");
        html_raw(h, "</b> <span>");
        if (field_usec(supervisor, "uptime_sec", &uptime))
                html_printf(h, "up %s, ", format_duration(text, uptime / USEC_PER_SEC * USEC_PER_SEC));
        html_printf(h, "%ju restart%s", (uintmax_t)restarts, restarts == 1 ? "" : "s");
        if (enforcement) {
                html_raw(h, ", limits ");
                html_text(h, strcmp(enforcement, "kernel") == 0 ? "by the kernel" : enforcement);
        }
        html_raw(h, "</span></dd></div>\n");
}

static void figures(Html *h, const json_t *watchdog) {
        const json_t *totals = json_object_get(watchdog, "totals");

        html_raw(h, "<dl class=\"figures\" id=\"figures\">\n");
        figure_runs(h, watchdog);
        figure_memory(h, totals);
        figure_cpus(h, totals);
        figure_kills(h, watchdog);
        figure_storage(h, json_object_get(watchdog, "storage"));
        figure_supervisor(h, json_object_get(watchdog, "supervisor"));
        html_raw(h, "</dl>\n");
}

static void row_name(Html *h, const json_t *run) {
        const char *short_id = field_text(run, "short_id");

        html_raw(h, "<th role=\"rowheader\" scope=\"row\" class=\"c-name\">");
        html_name(h, run, true);
        html_raw(h, " <span class=\"id\">");
        html_text(h, short_id);
        html_raw(h, "</span></th>");
}

static void row_state(Html *h, const json_t *run) {
        const char *state = field_text(run, "state"), *reason = field_text(run, "reason");

        html_raw(h, "<td role=\"cell\" class=\"c-state\"><span class=\"state\" data-state=\"");
        html_text(h, state);
        html_raw(h, "\">");
        html_text(h, state ? state : "unknown");
        html_raw(h, "</span>");
        if (reason) {
                html_raw(h, " <span class=\"of\">");
                html_text(h, reason);
                html_raw(h, "</span>");
        }
        html_raw(h, "</td>");
}

static void row_figures(Html *h, const json_t *run) {
        double cpus;
        uint64_t pids;

        html_raw(h, "<td role=\"cell\" class=\"c-trend\">");
        html_spark(h, json_object_get(run, "spark"));
        html_raw(h, "</td><td role=\"cell\" class=\"c-cpu\">");
        if (field_real(run, "cpus", &cpus))
                html_printf(h, "%.1f", cpus);
        html_raw(h, "</td><td role=\"cell\" class=\"c-pids\">");
        if (field_u64(run, "pids", &pids))
                html_printf(h, "%ju", (uintmax_t)pids);
        html_raw(h, "</td>");
}

static void row_time(Html *h, const json_t *run) {
        double age, limit;

        html_raw(h, "<td role=\"cell\" class=\"c-time\"><span>");
        html_of_seconds(h, run, "age_sec", "timeout_sec");
        html_raw(h, "</span>");
        if (field_real(run, "age_sec", &age) && field_real(run, "timeout_sec", &limit) && limit > 0)
                html_bar(h, "time", age / limit, 0);
        html_raw(h, "</td>");
}

static void row(Html *h, const json_t *run) {
        html_raw(h, "<tr role=\"row\" data-run=\"");
        html_text(h, field_text(run, "run_id"));
        html_raw(h, "\" data-state=\"");
        html_text(h, field_text(run, "state"));
        html_raw(h, "\">");
        row_name(h, run);
        row_state(h, run);
        html_raw(h, "<td role=\"cell\" class=\"c-memory\"><span>");
        html_of_bytes(h, run, "memory_bytes", "memory_limit_bytes");
        html_raw(h, "</span>");
        html_memory_bar(h, run);
        html_raw(h, "</td>");
        row_figures(h, run);
        row_time(h, run);
        html_raw(h, "</tr>\n");
}

static void runs_section(Html *h, const json_t *runs, uint64_t count) {
        const json_t *list = json_object_get(runs, "runs"), *run;
        size_t i;

        html_raw(h,
                "<section class=\"runs\" aria-labelledby=\"runs-title\">\n<h2 id=\"runs-title\">Live runs "
                "<span class=\"of\" id=\"runs-note\">");
        if (count > json_array_size(list))
                html_printf(h, "%zu of %ju, nearest to a limit first", json_array_size(list), (uintmax_t)count);
        html_raw(h, "</span></h2>\n");
        html_printf(h, "<table role=\"table\" id=\"runs\" aria-labelledby=\"runs-title\"%s>\n",
                json_array_size(list) ? "" : " hidden");
        html_raw(h,
                "<thead role=\"rowgroup\"><tr role=\"row\">"
                "<th role=\"columnheader\" scope=\"col\" class=\"c-name\">Analysis</th>"
                "<th role=\"columnheader\" scope=\"col\" class=\"c-state\">State</th>"
                "<th role=\"columnheader\" scope=\"col\" class=\"c-memory\">Memory <span class=\"key\"><i "
                "class=\"k-solid\"></i>held "
                "<i class=\"k-hatched\"></i>cache</span></th>"
                "<th role=\"columnheader\" scope=\"col\" class=\"c-trend\">Trend</th>"
                "<th role=\"columnheader\" scope=\"col\" class=\"c-cpu\">CPUs</th>"
                "<th role=\"columnheader\" scope=\"col\" class=\"c-pids\">Tasks</th>"
                "<th role=\"columnheader\" scope=\"col\" class=\"c-time\">Time</th></tr></thead>\n"
                "<tbody role=\"rowgroup\">\n");
        json_array_foreach(list, i, run) row(h, run);
        html_printf(h, "</tbody>\n</table>\n<div id=\"empty\" class=\"empty\"%s>\n",
                json_array_size(list) ? " hidden" : "");
        html_raw(h,
                "<p>Nothing is running. A run that is started now appears here by itself:</p>\n"
                "<pre><code id=\"command\">scidex-run --analysis-id SDA-42 --memory 2G --timeout 30min -- python3 "
                "analysis.py"
                "</code></pre>\n</div>\n</section>\n");
}

static void kills_section(Html *h, const json_t *by_reason) {
        const char *reason;
        const json_t *value;
        json_int_t most = 0;

        html_raw(h,
                "<section class=\"kills\" aria-labelledby=\"kills-title\">\n<h2 id=\"kills-title\">Kills in 24 h, by "
                "reason</h2>\n"
                "<table id=\"kills\" aria-labelledby=\"kills-title\"><tbody>\n");
        json_object_foreach((json_t *)by_reason, reason, value) most = MAX_OF(most, json_integer_value(value));
        json_object_foreach((json_t *)by_reason, reason, value) {
                json_int_t n = json_integer_value(value);

                html_raw(h, "<tr data-reason=\"");
                html_text(h, reason);
                html_printf(h, "\"%s><th scope=\"row\">", n == 0 ? " class=\"none\"" : "");
                html_text(h, reason);
                html_raw(h, "</th><td class=\"c-bar\">");
                html_bar(h, "kill", most > 0 ? (double)n / (double)most : 0, 0);
                html_printf(h, "</td><td class=\"c-count\">%jd</td></tr>\n", (intmax_t)n);
        }
        html_raw(h, "</tbody></table>\n</section>\n");
}

static void event_row(Html *h, const json_t *event) {
        char after[FORMAT_MAX], peak[FORMAT_MAX];
        const char *reason = field_text(event, "reason");

        html_raw(h, "<li data-event=\"");
        html_text(h, field_text(event, "event_id"));
        html_raw(h, "\">");
        html_clock(h, event, "decided_at");
        html_raw(h, " <span class=\"reason\" data-reason=\"");
        html_text(h, reason);
        html_raw(h, "\">");
        html_text(h, reason);
        html_raw(h, "</span> ");
        html_name(h, event, true);
        html_raw(h, " <span class=\"of\">after ");
        html_text(h, field_duration(after, event, "duration_sec", "an unknown time"));
        html_raw(h, ", peak ");
        html_text(h, field_bytes(peak, event, "memory_peak_bytes", "unknown"));
        html_raw(h, "</span></li>\n");
}

static void events_section(Html *h, const json_t *events) {
        const json_t *event;
        size_t i;

        html_raw(h,
                "<section class=\"events\" aria-labelledby=\"events-title\">\n<h2 id=\"events-title\">Latest "
                "kills</h2>\n"
                "<ol id=\"events\">\n");
        json_array_foreach(events, i, event) event_row(h, event);
        html_printf(h, "</ol>\n<p id=\"no-events\" class=\"of\"%s>None yet.</p>\n</section>\n",
                json_array_size(events) ? " hidden" : "");
}

/* What must be known before any figure is believed. */
static void notice(Html *h, const json_t *watchdog) {
        const json_t *connected = json_object_get(json_object_get(watchdog, "supervisor"), "connected");

        if (json_is_false(connected))
                html_raw(h, "The supervisor does not answer. What is shown is the last that is known.");
        html_raw(h, "</div>\n<main id=\"main\" tabindex=\"-1\">\n");
}

char *page_dashboard(const json_t *status, const json_t *runs) {
        const json_t *watchdog = json_object_get(status, "watchdog");
        Html h;

        if (html_begin(&h) < 0)
                return NULL;
        html_head(&h, "dashboard", "scidex: live runs", status);
        notice(&h, watchdog);
        html_raw(&h, "<h1 class=\"hidden\">What scidex supervises on this host</h1>\n");
        figures(&h, watchdog);
        html_raw(&h, "<div class=\"columns\">\n");
        runs_section(&h, runs, count_of(watchdog, "monitored_count"));
        html_raw(&h, "<div class=\"side\">\n");
        kills_section(&h, json_object_get(watchdog, "kills_by_reason"));
        events_section(&h, json_object_get(watchdog, "recent_events"));
        html_raw(&h, "</div>\n</div>\n");
        html_foot(&h);
        return html_end(&h);
}

char *page_problem(const json_t *problem) {
        const char *title = field_text(problem, "title"), *hint = field_text(problem, "hint");
        Html h;

        if (html_begin(&h) < 0)
                return NULL;
        html_head(&h, "problem", title ? title : "Error", NULL);
        html_raw(&h, "</div>\n<main id=\"main\" tabindex=\"-1\">\n<h1>");
        html_text(&h, title ? title : "Error");
        html_raw(&h, "</h1>\n<p>");
        html_text(&h, field_text(problem, "detail"));
        html_raw(&h, "</p>\n<p>");
        html_text(&h, hint);
        html_raw(&h, "</p>\n<p><a href=\"/\">To the live runs</a></p>\n");
        html_foot(&h);
        return html_end(&h);
}
