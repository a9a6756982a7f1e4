/* `suggest`: what histories lead to, each figure worked out by hand. */
#include "cmd/scidexctl/suggestion.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static void add(json_t *rows, const char *verdict, unsigned mib, unsigned seconds) {
        json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:I, s:f}", "run_id", "0198c0de-0000-7000-8000-000000000000",
                "verdict", verdict, "enforcement", "kernel", "private_peak_bytes", (json_int_t)(mib * MIB),
                "memory_limit_bytes", (json_int_t)(512 * MIB), "duration_sec", (double)seconds);

        assert_int_equal(json_array_append_new(rows, row), 0);
}

static void add_times(json_t *rows, unsigned times, const char *verdict, unsigned mib, unsigned seconds) {
        while (times-- > 0)
                add(rows, verdict, mib, seconds);
}

static Suggestion made(const json_t *rows) {
        Suggestion s;

        assert_int_equal(suggestion_make("SDA-42", rows, &s), 0);
        return s;
}

static char *said(const Suggestion *s) {
        static const Terminal plain = { 0 };
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_int_equal(suggestion_print(out, &plain, s), 0);
        (void)fclose(out);
        return text;
}

static void assert_options(const Suggestion *s, const char *expected) {
        _cleanup_(freep) char *options = suggestion_options(s);

        assert_string_equal(options, expected);
}

/* The words (ended by NULL) are said, each. */
static void assert_says(const Suggestion *s, const char *const *phrases) {
        _cleanup_(freep) char *text = said(s);

        for (; *phrases; phrases++)
                if (!strstr(text, *phrases))
                        fail_msg("does not say '%s':\n%s", *phrases, text);
}

static void assert_does_not_say(const Suggestion *s, const char *phrase) {
        _cleanup_(freep) char *text = said(s);

        if (strstr(text, phrase))
                fail_msg("says '%s':\n%s", phrase, text);
}

#define SAYS(s, ...) assert_says(s, (const char *const[]){ __VA_ARGS__, NULL })

/* 10, 20, … 500 MiB and as many seconds, in no order: rank ceil(0.95 x 50) = 48 is 480, and 20 % more 576. */
static void plenty_is_the_48th_of_50_and_a_fifth_more(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        for (unsigned i = 0; i < 50; i++)
                add(rows, "completed", 10 * (i * 7 % 50 + 1), 10 * (i * 13 % 50 + 1));
        s = made(rows);
        assert_int_equal(s.memory.p95, 480 * MIB);
        assert_int_equal(s.memory.median, 250 * MIB);
        assert_int_equal(s.memory.most, 500 * MIB);
        assert_int_equal(s.memory.suggested, 576 * MIB);
        assert_int_equal(s.memory.above, 0);
        assert_int_equal(s.duration.p95, 480 * USEC_PER_SEC);
        assert_options(&s, "--memory 576M --timeout 576s");
        SAYS(&s, "the last 50 runs: 50 completed.");
        SAYS(&s, "Memory without page cache: 576 MiB. 95 % of 50 runs took at most 480 MiB, and 20 % more.");
        SAYS(&s, "Half of them took at most 250 MiB, the most was 500 MiB.");
        SAYS(&s, "Time: 9min 36s. 95 % of 50 runs took at most 8min, and 20 % more.");
        SAYS(&s, "\n\n  scidex-run --analysis-id SDA-42 --memory 576M --timeout 576s -- COMMAND\n");
        assert_does_not_say(&s, "thin");
        assert_does_not_say(&s, "Censored");
}

/* ceil(0.95 n) worked out for each n; the values are 1, 2, … n MiB. */
static void nearest_rank_is_exact_where_rounding_could_be_off_by_one(void **state) {
        static const struct {
                unsigned n, rank;
        } cases[] = { { 1, 1 }, { 2, 2 }, { 10, 10 }, { 19, 19 }, { 20, 19 }, { 21, 20 }, { 39, 38 }, { 40, 38 },
                { 41, 39 }, { 50, 48 } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *rows = json_array();
                _cleanup_(suggestion_deinit) Suggestion s = { 0 };

                for (unsigned value = 1; value <= cases[i].n; value++)
                        add(rows, "completed", value, value);
                s = made(rows);
                assert_int_equal(s.memory.p95, cases[i].rank * MIB);
                assert_int_equal(s.duration.p95, cases[i].rank * USEC_PER_SEC);
        }
}

/* Three runs: rank 3, the largest. 300 MiB + 60; 700 s + 140 = 840 s, which is told as 14 minutes. */
static void thin_is_said_below_ten(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add(rows, "completed", 100, 700);
        add(rows, "failed", 300, 60);
        add(rows, "crashed", 200, 120);
        s = made(rows);
        assert_options(&s, "--memory 360M --timeout 14min");
        SAYS(&s, "the last 3 runs: 1 completed, 1 failed, 1 crashed.", "This is thin: it rests on 3 runs only.");
        assert_does_not_say(&s, "Censored");
}

static void ten_runs_are_not_thin_and_nine_are(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion nine = { 0 }, ten = { 0 };

        add_times(rows, 9, "completed", 100, 10);
        nine = made(rows);
        SAYS(&nine, "thin", "9 runs");
        add(rows, "completed", 100, 10);
        ten = made(rows);
        assert_does_not_say(&ten, "thin");
}

/*
 * 16 completed with 100, 110, … 250 MiB in 60 s, 3 killed at the limit of 512 MiB (400 seen) after 30 s, 1 timed out
 * after 1800 s with 200 MiB. Rank 19 of 20: memory 512, and 20 % more 614.4, so 615; time 60, so 72. The three are
 * among the lowest times, and at the percentile of memory.
 */
static void censored_runs_count_with_what_they_had_reached(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array(), *json = NULL;
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        for (unsigned i = 0; i < 16; i++)
                add(rows, "completed", 100 + 10 * i, 60);
        add_times(rows, 3, "memory", 400, 30);
        add(rows, "timeout", 200, 1800);
        s = made(rows);
        assert_int_equal(s.memory.p95, 512 * MIB);
        assert_int_equal(s.duration.p95, 60 * USEC_PER_SEC);
        assert_int_equal(s.memory.censored, 4);
        assert_true(s.memory.is_low);
        assert_true(s.duration.is_low);
        assert_int_equal(s.duration.above, 1);
        assert_options(&s, "--memory 615M --timeout 72s");
        SAYS(&s, "16 completed, 3 memory, 1 timeout.",
                "Censored: 4 of 20 runs were killed for memory (3), killed for time (1).",
                "The figure for memory can only be too low for that, never too high.",
                "The figure for time can only be too low for that, never too high.",
                "1 of them used more than is suggested, and would have been killed.");
        json = suggestion_to_json(&s);
        assert_string_equal(field_text(json_object_get(json, "memory"), "bias"), "low");
        assert_int_equal(json_integer_value(json_object_get(json_object_get(json, "censored"), "memory")), 3);
        assert_int_equal(
                json_integer_value(json_object_get(json_object_get(json, "memory"), "suggested_bytes")), 615 * MIB);
        assert_true(json_real_value(json_object_get(json_object_get(json, "duration"), "suggested_sec")) == 72.0);
}

/* 48 took 100 MiB and 60 s; two were cut off above that: rank 48 is what it would be had they gone on. */
static void a_percentile_below_all_that_were_cut_off_stands(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add_times(rows, 2, "timeout", 300, 600);
        add_times(rows, 48, "completed", 100, 60);
        s = made(rows);
        assert_options(&s, "--memory 120M --timeout 72s");
        assert_false(s.memory.is_low);
        assert_false(s.duration.is_low);
        assert_int_equal(s.memory.above, 2);
        SAYS(&s, "Censored: 2 of 50 runs were killed for time (2).", "The figure for memory stands, as all of these",
                "The figure for time stands");
}

/* At the same value the exact one comes first: what was cut off at 60 s would have taken longer. */
static void a_bound_at_the_percentile_itself_lies_above_equal_values(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add(rows, "timeout", 200, 60);
        add_times(rows, 19, "completed", 100, 60);
        s = made(rows);
        assert_int_equal(s.duration.p95, 60 * USEC_PER_SEC);
        assert_false(s.duration.is_low);
}

/* 30 with 100 MiB, 20 with 4 GiB: rank 48 is 4096 MiB, and a fifth more 4915.2. The median says 100. */
static void bimodal_is_the_larger_kind_and_says_so(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        for (unsigned i = 0; i < 10; i++) {
                add_times(rows, 3, "completed", 100, 60);
                add_times(rows, 2, "completed", 4096, 60);
        }
        s = made(rows);
        assert_int_equal(s.memory.median, 100 * MIB);
        assert_options(&s, "--memory 4916M --timeout 72s");
        SAYS(&s, "They lie far apart");
}

/* 48 with 100 MiB, 2 with 4 GiB: rank 48 is 100. What it would have cost is said. */
static void a_rare_kind_above_the_percentile_is_counted(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add_times(rows, 2, "completed", 4096, 60);
        add_times(rows, 48, "completed", 100, 60);
        s = made(rows);
        assert_options(&s, "--memory 120M --timeout 72s");
        assert_int_equal(s.memory.above, 2);
        SAYS(&s, "the most was 4.0 GiB. 2 of them used more than is suggested, and would have been killed.");
        assert_does_not_say(&s, "far apart");
}

static void only_the_last_fifty_that_ended_count(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        assert_int_equal(json_array_append_new(rows, json_pack("{s:n, s:f}", "verdict", "duration_sec", 9e6)), 0);
        add_times(rows, 50, "completed", 100, 10);
        add_times(rows, 50, "completed", 4096, 9000);
        s = made(rows);
        assert_int_equal(s.runs, 50);
        assert_options(&s, "--memory 120M --timeout 12s");
}

/* Cut off by somebody or something else: not killed for memory or time, and all the same not what it would have taken.
 */
static void whatever_cut_a_run_off_censors_it(void **state) {
        static const char *const verdicts[] = { "host-oom", "orphaned", "cancelled", "lost" };
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(verdicts); i++)
                add(rows, verdicts[i], 100, 10);
        add(rows, "cpu-time", 100, 10);
        s = made(rows);
        assert_int_equal(s.otherwise, 4);
        assert_int_equal(s.by_time, 1);
        assert_int_equal(s.by_memory, 0);
        SAYS(&s, "Censored: 5 of 5 runs were killed for time (1), cut off by something else (4).");
}

static void a_sampled_kill_counts_with_what_was_seen(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add(rows, "memory", 700, 10);
        add(rows, "memory", 400, 10);
        (void)json_object_set_new(json_array_get(rows, 1), "enforcement", json_string("sampled"));
        s = made(rows);
        assert_int_equal(s.memory.values[0].value, 400 * MIB);
        assert_int_equal(s.memory.values[1].value, 700 * MIB);
}

static void what_was_never_counted_is_not_made_up(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add(rows, "completed", 0, 10);
        (void)json_object_set_new(json_array_get(rows, 0), "private_peak_bytes", json_null());
        s = made(rows);
        assert_int_equal(s.memory.runs, 0);
        assert_options(&s, "--timeout 12s");
        SAYS(&s, "Memory without page cache: of no run is it known how much it took.");
}

static void short_runs_count_with_their_cache_and_registered_ones_are_too_short(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add(rows, "completed", 0, 10);
        (void)json_object_del(json_array_get(rows, 0), "private_peak_bytes");
        (void)json_object_set_new(json_array_get(rows, 0), "memory_peak_bytes", json_integer((json_int_t)(50 * MIB)));
        (void)json_object_set_new(json_array_get(rows, 0), "registered", json_true());
        s = made(rows);
        assert_options(&s, "--memory 60M --timeout 12s");
        assert_true(s.duration.is_low);
        assert_false(s.memory.is_low);
        SAYS(&s, "1 of them was registered", "figure for time too low", "1 of them was too short",
                "figure for memory too high");
}

/* 1 MiB and 0.1 s: a program would not even start within 2 MiB. */
static void tiny_runs_get_what_the_kernel_needs_for_them(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add(rows, "completed", 1, 0);
        s = made(rows);
        assert_options(&s, "--memory 32M --timeout 1s");
}

/* NOLINTBEGIN(misc-misleading-bidirectional) */
static void a_hostile_id_is_quoted_and_escaped(void **state) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(suggestion_deinit) Suggestion s = { 0 };

        add(rows, "completed", 100, 10);
        assert_int_equal(suggestion_make("a; rm -rf \x1b[31m\xe2\x80\xae<b>", rows, &s), 0);
        SAYS(&s, "--analysis-id $'a; rm -rf \\x1b[31m\\xe2\\x80\\xae<b>' --memory");
        assert_does_not_say(&s, "\x1b");
        assert_does_not_say(&s, "\xe2\x80\xae");
}

/* NOLINTEND(misc-misleading-bidirectional) */

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(plenty_is_the_48th_of_50_and_a_fifth_more),
                cmocka_unit_test(nearest_rank_is_exact_where_rounding_could_be_off_by_one),
                cmocka_unit_test(thin_is_said_below_ten),
                cmocka_unit_test(ten_runs_are_not_thin_and_nine_are),
                cmocka_unit_test(censored_runs_count_with_what_they_had_reached),
                cmocka_unit_test(a_percentile_below_all_that_were_cut_off_stands),
                cmocka_unit_test(a_bound_at_the_percentile_itself_lies_above_equal_values),
                cmocka_unit_test(bimodal_is_the_larger_kind_and_says_so),
                cmocka_unit_test(a_rare_kind_above_the_percentile_is_counted),
                cmocka_unit_test(only_the_last_fifty_that_ended_count),
                cmocka_unit_test(whatever_cut_a_run_off_censors_it),
                cmocka_unit_test(a_sampled_kill_counts_with_what_was_seen),
                cmocka_unit_test(what_was_never_counted_is_not_made_up),
                cmocka_unit_test(short_runs_count_with_their_cache_and_registered_ones_are_too_short),
                cmocka_unit_test(tiny_runs_get_what_the_kernel_needs_for_them),
                cmocka_unit_test(a_hostile_id_is_quoted_and_escaped),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
