/* The pages: whole without a script, and nothing that a user wrote becomes markup. */
#include "base/cleanup.h"
#include "status/asset.h"
#include "status/page.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#define HOSTILE "\"'><script>alert(1)</script>&amp;\xe2\x80\xae\x1b[31m"
#define SHOWN   "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;\\xe2\\x80\\xae\\x1b[31m"

static json_t *run_object(const char *analysis) {
        json_t *run = json_pack("{s:s, s:s, s:s, s:n, s:n, s:s, s:f, s:f, s:i, s:i, s:i, s:i, s:i, s:f, s:[f,f,f]}",
                "run_id", "019a0000-0000-7000-8000-00007c1e90ab", "short_id", "7c1e90ab", "state", "running", "verdict",
                "reason", "launched_at", "2026-11-21T07:19:42.000000Z", "age_sec", 60.0, "timeout_sec", 120.0,
                "memory_bytes", 100 << 20, "memory_limit_bytes", 200 << 20, "anon_bytes", 50 << 20, "shmem_bytes", 0,
                "pids", 3, "cpus", 1.5, "spark", 0.1, 0.2, 0.5);

        assert_non_null(run);
        assert_int_equal(json_object_set_new(run, "analysis_id", analysis ? json_string(analysis) : json_null()), 0);
        return run;
}

static json_t *status_object(int monitored, json_t *events) {
        json_t *status = json_pack("{s:s, s:{s:i, s:i, s:i, s:{s:i, s:i}, s:o, s:{s:i, s:i, s:f}, s:{s:s, s:s, s:n}, "
                                   "s:{s:s, s:f, s:i, s:s, s:b}}}",
                "generated_at", "2026-11-21T07:20:42.000000Z", "watchdog", "monitored_count", monitored, "grace_count",
                0, "kills_last_24h", 3, "kills_by_reason", "timeout", 3, "memory", 0, "recent_events", events, "totals",
                "memory_bytes", 100 << 20, "limit_bytes", 200 << 20, "cpus", 1.5, "storage", "kind", "sqlite", "state",
                "ok", "postgres_state", "supervisor", "version", "0.1.0", "uptime_sec", 7200.0, "restarts", 1,
                "enforcement", "kernel", "connected", 1);

        assert_non_null(status);
        return status;
}

static char *dashboard_of(json_t *runs) {
        _cleanup_(json_decrefp) json_t *status = status_object((int)json_array_size(runs), json_array());
        _cleanup_(json_decrefp) json_t *answer = json_pack("{s:o}", "runs", runs);
        char *page = page_dashboard(status, answer);

        assert_non_null(page);
        return page;
}

static void assert_contains(const char *page, const char *text) {
        if (!strstr(page, text))
                fail_msg("not in the page: %s\n%s", text, page);
}

static void a_run_is_a_row_with_its_figures(void **state) {
        _cleanup_(freep) char *page = dashboard_of(json_pack("[o]", run_object("SDA-42")));

        assert_contains(page, "<a href=\"/runs/019a0000-0000-7000-8000-00007c1e90ab\"><bdi>SDA-42</bdi></a>");
        assert_contains(page, "data-state=\"running\">running</span>");
        assert_contains(page, "100 MiB <span class=\"of\">of 200 MiB</span>");
        assert_contains(page, "<rect class=\"solid\" width=\"25.0%\" height=\"100%\"/>");
        assert_contains(page, "x=\"25.0%\" width=\"25.0%\"");
        assert_contains(page, "1min <span class=\"of\">of 2min</span>");
        assert_contains(page, "M57 14.4L58 12.8L59 8.0");
}

static void with_no_runs_a_command_to_copy_is_shown(void **state) {
        _cleanup_(freep) char *page = dashboard_of(json_array());

        assert_contains(page, "<div id=\"empty\" class=\"empty\">");
        assert_contains(page, "scidex-run --analysis-id SDA-42");
        assert_contains(page, "<table role=\"table\" id=\"runs\" aria-labelledby=\"runs-title\" hidden>");
}

/* NOLINTBEGIN(misc-misleading-bidirectional): as hostile as it can be */
static void what_users_wrote_is_never_markup(void **state) {
        _cleanup_(json_decrefp) json_t *run = run_object(HOSTILE);
        _cleanup_(json_decrefp) json_t *answer =
                json_pack("{s:O, s:[], s:n, s:s}", "run", run, "events", "timeline", "why", HOSTILE);
        _cleanup_(freep) char *list = dashboard_of(json_pack("[O]", run)), *one = page_run(answer);

        assert_non_null(one);
        assert_contains(list, "<bdi>" SHOWN "</bdi>");
        assert_contains(one, "<title>" SHOWN);
        assert_contains(one, "<pre id=\"why\" class=\"why\">" SHOWN);
        assert_null(strstr(list, "<script>"));
        assert_null(strstr(one, "<script>"));
        assert_null(strstr(list, "\xe2\x80\xae"));
        assert_null(strstr(one, "\x1b"));
}
/* NOLINTEND(misc-misleading-bidirectional) */

static void pages_have_neither_style_nor_script_in_them(void **state) {
        _cleanup_(freep) char *page = dashboard_of(json_pack("[o]", run_object(NULL)));

        assert_null(strstr(page, " style="));
        assert_null(strstr(page, "<style"));
        assert_null(strstr(page,
                " on"
                "click="));
        assert_contains(page, "no analysis id");
}

static void a_supervisor_that_is_away_is_said_at_the_top(void **state) {
        _cleanup_(json_decrefp) json_t *status = status_object(0, json_array()), *runs = json_pack("{s:[]}", "runs");
        _cleanup_(freep) char *before = page_dashboard(status, runs), *after = NULL;

        (void)json_object_set_new(
                json_object_get(json_object_get(status, "watchdog"), "supervisor"), "connected", json_false());
        after = page_dashboard(status, runs);
        assert_null(strstr(before, "does not answer"));
        assert_contains(after, "role=\"alert\">The supervisor does not answer.");
}

/* Before the first packet of a supervisor; and whatever else is missing. */
static void a_page_of_nothing_known_is_still_a_page(void **state) {
        _cleanup_(json_decrefp) json_t *nothing = json_object();
        _cleanup_(freep) char *list = page_dashboard(nothing, nothing), *one = page_run(nothing),
                              *problem = page_problem(nothing);

        assert_contains(list, "</html>");
        assert_contains(one, "</html>");
        assert_contains(problem, "</html>");
}

static void a_timeline_is_a_table_without_a_script(void **state) {
        _cleanup_(json_decrefp) json_t *answer = json_pack(
                "{s:o, s:[{s:s, s:s, s:s}], s:{s:[i,i], s:[i,n], s:[f,f]}, s:s}", "run", run_object("SDA-42"), "events",
                "event_id", "e1", "reason", "timeout", "term_at", "2026-11-21T07:20:42.500000Z", "timeline", "t_sec", 1,
                2, "memory_bytes", 1 << 20, "cpu_sec", 0.5, 1.5, "why", "It took too long.\n\nTry more.");
        _cleanup_(freep) char *page = page_run(answer);

        assert_contains(page, "<tr><td>1 s</td><td>1.0 MiB</td><td>0.50 s</td></tr>");
        assert_contains(page, "<tr><td>2 s</td><td></td><td>1.50 s</td></tr>");
        assert_contains(page, "<time datetime=\"2026-11-21T07:20:42.500000Z\">07:20:42 UTC</time>");
        assert_contains(page, "It took too long.\n\nTry more.\n</pre>");
}

static void assets_are_found_by_the_path_that_the_page_names(void **state) {
        const Asset *style = asset_named("/app-", ".css");

        assert_non_null(style);
        assert_ptr_equal(asset_find(style->path), style);
        assert_non_null(asset_find("/favicon.svg"));
        assert_null(asset_find("/app-.css"));
        assert_null(asset_named("/app-", ".exe"));
        assert_true(style->size > style->gzip_size && style->gzip[0] == 0x1f);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_run_is_a_row_with_its_figures),
                cmocka_unit_test(with_no_runs_a_command_to_copy_is_shown),
                cmocka_unit_test(what_users_wrote_is_never_markup),
                cmocka_unit_test(pages_have_neither_style_nor_script_in_them),
                cmocka_unit_test(a_supervisor_that_is_away_is_said_at_the_top),
                cmocka_unit_test(a_page_of_nothing_known_is_still_a_page),
                cmocka_unit_test(a_timeline_is_a_table_without_a_script),
                cmocka_unit_test(assets_are_found_by_the_path_that_the_page_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
