/* What everybody may see: these members, from wherever a run is known, and nothing else. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "base/cleanup.h"
#include "status/public.h"
#include <string.h>

#define SECRET "secret"

/* Members that are somebody's own business, each with a text that must not come out. */
static const char *const private_members[] = { "cmdline", "comm", "labels", "group", "host", "boot_id", "user",
        "processes", "launcher_pid", "pid", "uid", "cmdline_length", "outer_run_id", "something_new" };

static json_t *make_row(void) {
        json_t *row = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:b, s:f, s:i, s:s, s:i, s:s}", "run_id",
                "019aa000-0000-7000-8000-00000000abcd", "analysis_id", "SDA-1", "state", "ended", "events", 1,
                "verdict", "timeout", "launched_at", "2026-11-21T01:00:00.000000Z", "registered", 1, "duration_sec",
                2.5, "memory_bytes", 4096, "event_id", "019aa000-0000-7000-8000-00000000ffff", "seq", 1, "reason",
                "timeout");

        assert_non_null(row);
        for (size_t i = 0; i < ELEMENTSOF(private_members); i++)
                assert_int_equal(json_object_set_new(row, private_members[i], json_string(SECRET)), 0);
        assert_int_equal(json_object_set_new(row, "detail", json_string("scidexctl kill by uid " SECRET)), 0);
        assert_int_equal(
                json_object_set_new(row, "evidence", json_pack("{s:s, s:i}", "note", SECRET, "own_oom_events", 3)), 0);
        return row;
}

static void assert_keeps_secrets(json_t *object) {
        _cleanup_(freep) char *text = json_to_text(object);

        assert_non_null(text);
        if (strstr(text, SECRET))
                fail_msg("a secret is shown: %s", text);
        json_decref(object);
}

static void nothing_that_is_somebodys_own_is_shown(void **state) {
        _cleanup_(json_decrefp) json_t *row = make_row();

        assert_keeps_secrets(public_run(row, false));
        assert_keeps_secrets(public_event(row, false));
        assert_keeps_secrets(public_told(row, false));
}

static void an_analysis_id_can_be_hidden(void **state) {
        _cleanup_(json_decrefp) json_t *row = make_row(), *run = public_run(row, true),
                                       *event = public_event(row, true), *told = public_told(row, true);

        assert_true(json_is_null(json_object_get(run, "analysis_id")));
        assert_true(json_is_null(json_object_get(event, "analysis_id")));
        assert_true(json_is_null(json_object_get(told, "analysis_id")));
        json_decref(run);
        run = public_run(row, false);
        assert_string_equal(json_string_value(json_object_get(run, "analysis_id")), "SDA-1");
}

static LiveRun make_live(void) {
        LiveRun run = { .run_id = (char *)"019aa000-0000-7000-8000-00000000abcd",
                .analysis_id = (char *)"SDA-1",
                .group = (char *)SECRET,
                .uid = 1000,
                .state = LIVE_GRACE,
                .launched_usec = 1000000,
                .deadline_usec = LIVE_NONE,
                .timeout_usec = LIVE_NONE,
                .grace_usec = 10000000,
                .memory_limit_bytes = 1 << 20,
                .pids_limit = LIVE_NONE,
                .is_sampled = true,
                .now = LIVE_FIGURES_NONE,
                .n_spark = 2,
                .share = 0.51249 };

        run.spark[1] = 0.25F;
        return run;
}

static void a_run_has_the_same_members_live_and_recorded(void **state) {
        LiveRun run = make_live();
        _cleanup_(json_decrefp) json_t *row = make_row(), *recorded = public_run(row, false),
                                       *live = public_live(&run, 3000000, false, true);
        const char *key;
        json_t *value;

        assert_int_equal(json_object_size(live), json_object_size(recorded));
        json_object_foreach(live, key, value) if (!json_object_get(recorded, key)) fail_msg("%s is not there", key);
}

static void a_live_run_says_what_is_known(void **state) {
        LiveRun run = make_live();
        _cleanup_(json_decrefp) json_t *live = public_live(&run, 3000000, false, true);
        _cleanup_(freep) char *text = json_to_text(live);

        assert_null(strstr(text, SECRET));
        assert_string_equal(json_string_value(json_object_get(live, "short_id")), "0000abcd");
        assert_string_equal(json_string_value(json_object_get(live, "state")), "grace");
        assert_string_equal(json_string_value(json_object_get(live, "enforcement")), "sampled");
        assert_string_equal(json_string_value(json_object_get(live, "launched_at")), "1970-01-01T00:00:01.000000Z");
        assert_true(json_is_null(json_object_get(live, "deadline_at")));
        assert_true(json_is_null(json_object_get(live, "memory_bytes")));
        assert_true(json_is_null(json_object_get(live, "cpus")));
        assert_true(json_real_value(json_object_get(live, "age_sec")) == 2.0);
        assert_true(json_real_value(json_object_get(live, "share")) == 0.512);
        assert_int_equal(json_array_size(json_object_get(live, "spark")), 2);
}

static void an_update_has_no_spark(void **state) {
        LiveRun run = make_live();
        _cleanup_(json_decrefp) json_t *live = public_live(&run, 3000000, true, false);

        assert_null(json_object_get(live, "spark"));
        assert_true(json_is_null(json_object_get(live, "analysis_id")));
}

static void the_reason_is_what_it_was_killed_for(void **state) {
        static const struct {
                const char *verdict;
                int events;
                const char *reason;
        } cases[] = { { "timeout", 1, "timeout" }, { "memory", 1, "memory" }, { "completed", 1, NULL },
                { "crashed", 0, NULL }, { "host-oom", 1, "host-oom" }, { "cancelled", 0, NULL }, { "lost", 0, NULL } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *row = json_pack("{s:s, s:s, s:i}", "run_id", "x", "verdict",
                                                       cases[i].verdict, "events", cases[i].events),
                                               *run = public_run(row, false);
                const char *reason = json_string_value(json_object_get(run, "reason"));

                assert_true(cases[i].reason ? reason && strcmp(reason, cases[i].reason) == 0 : !reason);
        }
}

static void who_owns_it_sees_the_rest(void **state) {
        _cleanup_(json_decrefp) json_t *row = make_row(), *run = public_run(row, false);

        assert_int_equal(public_complete(run, row), 0);
        assert_string_equal(json_string_value(json_object_get(run, "cmdline")), SECRET);
        /* What both have is the public one: `cpus` of the record is the limit. */
        assert_true(json_is_null(json_object_get(run, "cpus")));
}

static void words_rest_on_figures_and_harmless_details(void **state) {
        _cleanup_(json_decrefp) json_t *row = make_row(), *told = public_told(row, false);

        assert_int_equal(json_integer_value(json_object_get(json_object_get(told, "evidence"), "own_oom_events")), 3);
        assert_null(json_object_get(told, "detail"));
        assert_int_equal(json_object_set_new(row, "detail", json_string("thrashing")), 0);
        json_decref(told);
        told = public_told(row, false);
        assert_string_equal(json_string_value(json_object_get(told, "detail")), "thrashing");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nothing_that_is_somebodys_own_is_shown),
                cmocka_unit_test(an_analysis_id_can_be_hidden),
                cmocka_unit_test(a_run_has_the_same_members_live_and_recorded),
                cmocka_unit_test(a_live_run_says_what_is_known),
                cmocka_unit_test(an_update_has_no_spark),
                cmocka_unit_test(the_reason_is_what_it_was_killed_for),
                cmocka_unit_test(who_owns_it_sees_the_rest),
                cmocka_unit_test(words_rest_on_figures_and_harmless_details),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
