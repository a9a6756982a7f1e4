/* What a row counts for, and what it does not. */
#include "status/tally.h"

#include "base/cleanup.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define AT(seconds) "2026-11-21T07:19:" seconds "Z"

static void count_event(Tally *tally, const char *text) {
        _cleanup_(json_decrefp) json_t *event = json_loads(text, 0, NULL);

        assert_non_null(event);
        tally_event(tally, event);
}

static void count_run(Tally *tally, const char *text) {
        _cleanup_(json_decrefp) json_t *run = json_loads(text, 0, NULL);

        assert_non_null(run);
        tally_run(tally, run);
}

static const Histogram *of(const Tally *tally, TallyHistogram which) {
        return &tally->histograms[which];
}

static void assert_near(double value, double wanted) {
        assert_true(fabs(value - wanted) < 1e-6);
}

static void a_new_tally_is_all_zero_and_has_rising_bounds(void **state) {
        Tally tally;

        tally_init(&tally);
        for (size_t i = 0; i < VERDICT_MAX; i++)
                assert_true(tally.kills[i] == 0 && tally.ended[i] == 0);
        for (size_t i = 0; i < _TALLY_HISTOGRAM_MAX; i++) {
                const Histogram *h = &tally.histograms[i];

                assert_true(h->n_bounds > 0 && h->n_bounds <= HISTOGRAM_BOUNDS_MAX && h->count == 0);
                for (size_t j = 1; j < h->n_bounds; j++)
                        assert_true(h->bounds[j] > h->bounds[j - 1]);
        }
}

static void a_value_on_a_bound_is_in_its_bucket_and_above_the_last_in_the_one_without(void **state) {
        Tally tally;
        Histogram *h = &tally.histograms[TALLY_PEAK];

        tally_init(&tally);
        histogram_observe(h, h->bounds[2]);
        histogram_observe(h, h->bounds[2] + 0.001);
        histogram_observe(h, 1e9);
        histogram_observe(h, NAN);
        histogram_observe(h, INFINITY);
        assert_int_equal(h->counts[2], 1);
        assert_int_equal(h->counts[3], 1);
        assert_int_equal(h->counts[h->n_bounds], 1);
        assert_int_equal(h->count, 3);
}

static void the_latency_of_a_timeout_counts_from_its_deadline(void **state) {
        Tally tally;

        tally_init(&tally);
        count_event(&tally,
                "{\"reason\":\"timeout\",\"deadline_at\":\"" AT("40.000000") "\",\"decided_at\":\"" AT(
                        "40.010000") "\",\"term_at\":\"" AT("40.020000") "\",\"empty_at\":\"" AT("41.500000") "\"}");
        assert_int_equal(tally.kills[VERDICT_TIMEOUT], 1);
        assert_int_equal(of(&tally, TALLY_KILL_LATENCY)->count, 1);
        assert_near(of(&tally, TALLY_KILL_LATENCY)->sum, 1.5);
        assert_near(of(&tally, TALLY_DEADLINE_LATE)->sum, 0.02);
}

static void the_latency_of_any_other_kill_counts_from_its_decision(void **state) {
        Tally tally;

        tally_init(&tally);
        count_event(&tally,
                "{\"reason\":\"memory\",\"deadline_at\":\"" AT("50.000000") "\",\"decided_at\":\"" AT(
                        "40.000000") "\",\"term_at\":null,\"empty_at\":\"" AT("40.250000") "\"}");
        assert_int_equal(tally.kills[VERDICT_MEMORY], 1);
        assert_near(of(&tally, TALLY_KILL_LATENCY)->sum, 0.25);
        assert_int_equal(of(&tally, TALLY_DEADLINE_LATE)->count, 0);
}

static void a_clock_that_was_set_back_makes_no_negative_latency(void **state) {
        Tally tally;

        tally_init(&tally);
        count_event(&tally,
                "{\"reason\":\"cancelled\",\"decided_at\":\"" AT("40.000000") "\",\"empty_at\":\"" AT(
                        "10.000000") "\"}");
        assert_int_equal(of(&tally, TALLY_KILL_LATENCY)->count, 1);
        assert_near(of(&tally, TALLY_KILL_LATENCY)->sum, 0);
}

static void a_kill_without_times_counts_as_a_kill_alone(void **state) {
        Tally tally;

        tally_init(&tally);
        count_event(&tally, "{\"reason\":\"orphan\",\"decided_at\":null,\"empty_at\":\"yesterday\"}");
        assert_int_equal(tally.kills[VERDICT_ORPHAN], 1);
        assert_int_equal(of(&tally, TALLY_KILL_LATENCY)->count, 0);
}

static void a_reason_of_a_newer_version_counts_as_unknown(void **state) {
        Tally tally;

        tally_init(&tally);
        count_event(&tally, "{\"reason\":\"boredom\"}");
        count_event(&tally, "{\"reason\":7}");
        count_event(&tally, "{}");
        assert_int_equal(tally.kills[VERDICT_NONE], 3);
}

static void a_run_is_counted_by_verdict_with_its_duration_cpu_and_shares(void **state) {
        Tally tally;

        tally_init(&tally);
        count_run(&tally,
                "{\"verdict\":\"completed\",\"ended_at\":\"" AT(
                        "42.000000") "\",\"duration_sec\":90.5,\"cpu_sec\":80.25,\"memory_limit_bytes\":1000,"
                                     "\"memory_peak_bytes\":900,\"private_peak_bytes\":250,\"launch_sec\":0.004}");
        assert_int_equal(tally.ended[VERDICT_COMPLETED], 1);
        assert_near(tally.cpu_sec, 80.25);
        assert_near(of(&tally, TALLY_RUN_DURATION)->sum, 90.5);
        assert_near(of(&tally, TALLY_PEAK)->sum, 0.9);
        assert_near(of(&tally, TALLY_PRIVATE_PEAK)->sum, 0.25);
        assert_near(of(&tally, TALLY_LAUNCH)->sum, 0.004);
}

static void what_a_run_does_not_know_is_not_counted_as_zero(void **state) {
        Tally tally;

        tally_init(&tally);
        /* No memory limit; then a limit but no peak; then lost, with a duration that means nothing. */
        count_run(&tally,
                "{\"verdict\":\"failed\",\"ended_at\":\"" AT(
                        "42.000000") "\",\"duration_sec\":1,\"cpu_sec\":null,\"memory_limit_bytes\":null,"
                                     "\"memory_peak_bytes\":5}");
        count_run(&tally, "{\"verdict\":\"failed\",\"memory_limit_bytes\":1000,\"memory_peak_bytes\":null}");
        count_run(&tally, "{\"verdict\":\"lost\",\"ended_at\":null,\"duration_sec\":4}");
        assert_int_equal(tally.ended[VERDICT_FAILED], 2);
        assert_int_equal(tally.ended[VERDICT_LOST], 1);
        assert_int_equal(of(&tally, TALLY_PEAK)->count, 0);
        assert_int_equal(of(&tally, TALLY_LAUNCH)->count, 0);
        assert_int_equal(of(&tally, TALLY_RUN_DURATION)->count, 1);
        assert_near(tally.cpu_sec, 0);
}

static void a_run_that_lives_counts_nowhere(void **state) {
        Tally tally;

        tally_init(&tally);
        count_run(&tally, "{\"verdict\":null,\"state\":\"running\",\"cpu_sec\":5,\"launch_sec\":1}");
        for (size_t i = 0; i < VERDICT_MAX; i++)
                assert_int_equal(tally.ended[i], 0);
        assert_near(tally.cpu_sec, 0);
        assert_int_equal(of(&tally, TALLY_LAUNCH)->count, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_new_tally_is_all_zero_and_has_rising_bounds),
                cmocka_unit_test(a_value_on_a_bound_is_in_its_bucket_and_above_the_last_in_the_one_without),
                cmocka_unit_test(the_latency_of_a_timeout_counts_from_its_deadline),
                cmocka_unit_test(the_latency_of_any_other_kill_counts_from_its_decision),
                cmocka_unit_test(a_clock_that_was_set_back_makes_no_negative_latency),
                cmocka_unit_test(a_kill_without_times_counts_as_a_kill_alone),
                cmocka_unit_test(a_reason_of_a_newer_version_counts_as_unknown),
                cmocka_unit_test(a_run_is_counted_by_verdict_with_its_duration_cpu_and_shares),
                cmocka_unit_test(what_a_run_does_not_know_is_not_counted_as_zero),
                cmocka_unit_test(a_run_that_lives_counts_nowhere),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
