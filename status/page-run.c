/*
 * The page of a run: what it was given, what it used, its timeline, its kills, and why it ended.
 *
 * Called by the HTTP server. The timeline is a table here; the script draws it, with the limit and the signals, and
 * leaves the table to those who would rather read it.
 */
#include "status/page.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "status/field.h"
#include "status/html.h"
#include <string.h>

static void begin(Html *h, const char *name, const char *title) {
        html_printf(h, "<div data-f=\"%s\"><dt>%s</dt><dd>", name, title);
}

static void end(Html *h) {
        html_raw(h, "</dd></div>\n");
}

static void bytes(Html *h, const char *name, const char *title, const json_t *run, const char *key, const char *limit) {
        begin(h, name, title);
        html_of_bytes(h, run, key, limit);
        end(h);
}

static void plain_bytes(Html *h, const char *name, const char *title, const json_t *run, const char *key) {
        char text[FORMAT_MAX];

        begin(h, name, title);
        html_text(h, field_bytes(text, run, key, "unknown"));
        end(h);
}

static void seconds(Html *h, const char *name, const char *title, const json_t *run, const char *key) {
        char text[FORMAT_MAX];

        begin(h, name, title);
        html_text(h, field_duration(text, run, key, "unknown"));
        end(h);
}

static void ending(Html *h, const json_t *run) {
        const char *signal = field_text(run, "exit_signal");
        uint64_t status;

        begin(h, "exit", "Exit");
        if (signal) {
                html_raw(h, "signal ");
                html_text(h, signal);
        } else if (field_u64(run, "exit_status", &status)) {
                html_printf(h, "status %ju", (uintmax_t)status);
        } else {
                html_raw(h, "none yet");
        }
        end(h);
}

static void when(
        Html *h, const char *name, const char *title, const json_t *run, const char *key, const char *otherwise) {
        begin(h, name, title);
        if (field_text(run, key))
                html_time(h, run, key);
        else
                html_text(h, otherwise);
        end(h);
}

static void facts(Html *h, const json_t *run) {
        uint64_t pids;

        html_raw(h, "<dl class=\"facts\" id=\"facts\">\n");
        bytes(h, "memory", "Memory", run, "memory_bytes", "memory_limit_bytes");
        plain_bytes(h, "peak", "Peak", run, "memory_peak_bytes");
        plain_bytes(h, "anon", "Anonymous", run, "anon_bytes");
        plain_bytes(h, "shmem", "Shared", run, "shmem_bytes");
        plain_bytes(h, "file", "File cache and shared", run, "file_bytes");
        begin(h, "age", "Time");
        html_of_seconds(h, run, "age_sec", "timeout_sec");
        end(h);
        seconds(h, "cpu", "CPU time", run, "cpu_sec");
        begin(h, "pids", "Tasks");
        if (field_u64(run, "pids", &pids))
                html_printf(h, "%ju", (uintmax_t)pids);
        else
                html_raw(h, "unknown");
        end(h);
        when(h, "launched", "Launched", run, "launched_at", "unknown");
        when(h, "deadline", "Deadline", run, "deadline_at", "none");
        when(h, "ended", "Ended", run, "ended_at", "not yet");
        ending(h, run);
        begin(h, "enforcement", "Limits enforced");
        html_text(h, field_text(run, "enforcement") ? field_text(run, "enforcement") : "unknown");
        end(h);
        html_raw(h, "</dl>\n");
}

static void heading(Html *h, const json_t *run) {
        const char *verdict = field_text(run, "verdict"), *state = field_text(run, "state"),
                   *reason = field_text(run, "reason");

        html_raw(h, "<p class=\"path\"><a href=\"/\">\u2190 Live runs</a></p>\n<h1 class=\"name\">");
        html_name(h, run, false);
        html_raw(h, "</h1>\n<p class=\"under\"><span class=\"state\" id=\"state\" data-state=\"");
        html_text(h, verdict ? verdict : state);
        html_raw(h, "\">");
        html_text(h, verdict ? verdict : state);
        html_raw(h, "</span> <span class=\"of\" id=\"reason\">");
        html_text(h, verdict ? NULL : reason);
        html_raw(h, "</span> <span class=\"id\" id=\"run-id\">");
        html_text(h, field_text(run, "run_id"));
        html_raw(h, "</span></p>\n");
}

static void timeline_rows(Html *h, const json_t *timeline) {
        const json_t *t = json_object_get(timeline, "t_sec"), *memory = json_object_get(timeline, "memory_bytes"),
                     *cpu = json_object_get(timeline, "cpu_sec");
        size_t n = MIN_OF(json_array_size(t), MIN_OF(json_array_size(memory), json_array_size(cpu)));

        for (size_t i = 0; i < n; i++) {
                char text[FORMAT_MAX];
                double bytes_now = json_number_value(json_array_get(memory, i));
                bool known = json_is_number(json_array_get(memory, i)) && bytes_now >= 0 && bytes_now < 1e18;

                html_printf(h, "<tr><td>%.0f s</td><td>%s</td><td>%.2f s</td></tr>\n",
                        json_number_value(json_array_get(t, i)), known ? format_bytes(text, (uint64_t)bytes_now) : "",
                        json_number_value(json_array_get(cpu, i)));
        }
}

static void timeline_section(Html *h, const json_t *timeline) {
        bool some = json_array_size(json_object_get(timeline, "t_sec")) > 0;

        html_printf(h,
                "<section id=\"timeline\" aria-labelledby=\"timeline-title\"%s>\n<h2 "
                "id=\"timeline-title\">Timeline</h2>\n",
                some ? "" : " hidden");
        html_raw(h,
                "<div id=\"chart\"></div>\n<details><summary>As a table</summary>\n"
                "<table class=\"plain\"><thead><tr><th scope=\"col\">Since launch</th><th scope=\"col\">Memory</th>"
                "<th scope=\"col\">CPU time</th></tr></thead>\n<tbody id=\"samples\">\n");
        timeline_rows(h, timeline);
        html_raw(h, "</tbody></table></details>\n</section>\n");
}

static void event_row(Html *h, const json_t *event) {
        uint64_t killed;

        html_raw(h, "<tr data-event=\"");
        html_text(h, field_text(event, "event_id"));
        html_raw(h, "\"><td><span class=\"reason\" data-reason=\"");
        html_text(h, field_text(event, "reason"));
        html_raw(h, "\">");
        html_text(h, field_text(event, "reason"));
        html_raw(h, "</span></td><td>");
        html_clock(h, event, "decided_at");
        html_raw(h, "</td><td>");
        html_clock(h, event, "term_at");
        html_raw(h, "</td><td>");
        html_clock(h, event, "kill_at");
        html_raw(h, "</td><td>");
        html_clock(h, event, "empty_at");
        html_raw(h, "</td><td>");
        if (field_u64(event, "processes_killed", &killed))
                html_printf(h, "%ju", (uintmax_t)killed);
        html_raw(h, "</td></tr>\n");
}

static void events_section(Html *h, const json_t *events) {
        const json_t *event;
        size_t i;

        html_printf(h,
                "<section id=\"kills-of-run\" aria-labelledby=\"kills-title\"%s>\n<h2 id=\"kills-title\">Kills</h2>\n",
                json_array_size(events) ? "" : " hidden");
        html_raw(h,
                "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"kills-title\"><table "
                "class=\"plain\"><thead><tr><th scope=\"col\">Reason</th><th "
                "scope=\"col\">Decided</th><th scope=\"col\">TERM</th><th scope=\"col\">KILL</th><th "
                "scope=\"col\">Empty</th><th scope=\"col\">Processes</th></tr></thead>\n<tbody id=\"run-events\">\n");
        json_array_foreach(events, i, event) event_row(h, event);
        html_raw(h, "</tbody></table></div>\n</section>\n");
}

/* Paragraphs that scidexctl prints too: its lines and blanks mean something. */
static void why_write(Html *h, const char *why) {
        const char *line = why;

        while (line && *line) {
                size_t length = strcspn(line, "\n");
                _cleanup_(freep) char *text = strndup(line, length);

                h->failed |= !text;
                html_text(h, text);
                html_raw(h, "\n");
                line += length + (line[length] == '\n');
        }
}

static void why_section(Html *h, const char *why) {
        html_printf(h,
                "<section id=\"why-section\" aria-labelledby=\"why-title\"%s>\n<h2 id=\"why-title\">Why</h2>\n<pre "
                "id=\"why\" class=\"why\">",
                why && *why ? "" : " hidden");
        why_write(h, why);
        html_raw(h, "</pre>\n</section>\n");
}

char *page_run(const json_t *answer) {
        const json_t *run = json_object_get(answer, "run");
        const char *analysis = field_text(run, "analysis_id");
        _cleanup_(freep) char *title = text_printf("%s - scidex", analysis ? analysis : run_short_id(run));
        Html h;

        if (!title || html_begin(&h) < 0)
                return NULL;
        html_head(&h, "run", title, answer);
        html_raw(&h, "</div>\n<main id=\"main\" tabindex=\"-1\">\n<article data-run=\"");
        html_text(&h, field_text(run, "run_id"));
        html_raw(&h, "\">\n");
        heading(&h, run);
        facts(&h, run);
        why_section(&h, field_text(answer, "why"));
        timeline_section(&h, json_object_get(answer, "timeline"));
        events_section(&h, json_object_get(answer, "events"));
        html_raw(&h, "</article>\n");
        html_foot(&h);
        return html_end(&h);
}
