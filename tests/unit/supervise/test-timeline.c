/* The timeline: any length of run in 120 samples. */
#include "supervise/timeline.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define START (UINT64_C(1000) * USEC_PER_SEC)
#define KIB   UINT64_C(1024)

/* As the supervisor's timer does it: n samples, each at the time that the one before it set. Sample i holds i KiB. */
static uint64_t fill(Timeline *timeline, unsigned n) {
        uint64_t now_usec = START;

        for (unsigned i = 1; i <= n; i++) {
                now_usec = timeline->next_usec;
                timeline_add(timeline, START, now_usec, i * KIB, i * USEC_PER_MSEC);
        }
        return now_usec;
}

static void check_order(const Timeline *timeline) {
        for (uint32_t i = 1; i < timeline->n; i++)
                assert_true(timeline->samples[i - 1].t_msec < timeline->samples[i].t_msec);
}

static void the_first_sample_is_due_after_a_second(void **state) {
        _cleanup_(timeline_deinit) Timeline timeline;

        timeline_init(&timeline, START);
        assert_int_equal(timeline.next_usec, START + USEC_PER_SEC);
        assert_int_equal(timeline.interval_sec, 1);
        assert_int_equal(timeline.n, 0);
}

static void as_many_as_there_are_slots_are_all_kept(void **state) {
        _cleanup_(timeline_deinit) Timeline timeline;

        timeline_init(&timeline, START);
        fill(&timeline, TIMELINE_SLOTS);
        assert_int_equal(timeline.n, TIMELINE_SLOTS);
        assert_int_equal(timeline.interval_sec, 1);
        for (uint32_t i = 0; i < timeline.n; i++) {
                assert_int_equal(timeline.samples[i].t_msec, (i + 1) * 1000);
                assert_int_equal(timeline.samples[i].memory_kib, i + 1);
                assert_int_equal(timeline.samples[i].cpu_msec, i + 1);
        }
}

static void one_more_thins_out_every_second_one_and_doubles_the_interval(void **state) {
        _cleanup_(timeline_deinit) Timeline timeline;
        uint64_t last_usec;

        timeline_init(&timeline, START);
        last_usec = fill(&timeline, TIMELINE_SLOTS + 1);
        assert_int_equal(timeline.n, TIMELINE_SLOTS / 2 + 1);
        assert_int_equal(timeline.interval_sec, 2);
        assert_int_equal(timeline.next_usec, last_usec + 2 * USEC_PER_SEC);
        for (uint32_t i = 0; i < TIMELINE_SLOTS / 2; i++)
                assert_int_equal(timeline.samples[i].memory_kib, 2 * i + 1);
        assert_int_equal(timeline.samples[timeline.n - 1].memory_kib, TIMELINE_SLOTS + 1);
}

static void a_run_of_any_length_fits_and_its_last_sample_is_there(void **state) {
        for (unsigned n = 1; n < 1000; n += 7) {
                _cleanup_(timeline_deinit) Timeline timeline;
                uint64_t last_usec;

                timeline_init(&timeline, START);
                last_usec = fill(&timeline, n);
                assert_in_range(timeline.n, n < TIMELINE_SLOTS / 2 ? n : TIMELINE_SLOTS / 2, TIMELINE_SLOTS);
                assert_int_equal(timeline.samples[timeline.n - 1].memory_kib, n);
                assert_int_equal(timeline.samples[timeline.n - 1].t_msec, (last_usec - START) / USEC_PER_MSEC);
                assert_int_equal(timeline.samples[0].memory_kib, 1);
                check_order(&timeline);
        }
}

static void figures_too_large_for_a_sample_stand_at_its_maximum(void **state) {
        _cleanup_(timeline_deinit) Timeline timeline;

        timeline_init(&timeline, START);
        timeline_add(&timeline, START, UINT64_MAX - 1, UINT64_MAX, UINT64_MAX);
        assert_int_equal(timeline.samples[0].t_msec, UINT32_MAX);
        assert_int_equal(timeline.samples[0].memory_kib, UINT32_MAX);
        assert_int_equal(timeline.samples[0].cpu_msec, UINT32_MAX);
        assert_int_equal(timeline.next_usec, USEC_INFINITY);
}

static void a_sample_before_the_launch_stands_at_zero(void **state) {
        _cleanup_(timeline_deinit) Timeline timeline;

        timeline_init(&timeline, START);
        timeline_add(&timeline, START, START - 5, 0, 0);
        assert_int_equal(timeline.samples[0].t_msec, 0);
}

static void check_list(const json_t *object, const char *key, size_t n) {
        const json_t *list = json_object_get(object, key);

        assert_true(json_is_array(list));
        assert_int_equal(json_array_size(list), n);
        for (size_t i = 0; i < n; i++)
                assert_true(json_is_number(json_array_get(list, i)));
}

static void json_has_three_lists_of_one_length(void **state) {
        static const unsigned lengths[] = { 0, 1, 9, 120, 121, 900 };

        for (size_t i = 0; i < ELEMENTSOF(lengths); i++) {
                _cleanup_(timeline_deinit) Timeline timeline;
                _cleanup_(json_decrefp) json_t *object = NULL;

                timeline_init(&timeline, START);
                fill(&timeline, lengths[i]);
                object = timeline_to_json(&timeline);
                check_list(object, "t_sec", timeline.n);
                check_list(object, "memory_bytes", timeline.n);
                check_list(object, "cpu_sec", timeline.n);
                assert_int_equal(json_object_size(object), 4);
                assert_int_equal(json_integer_value(json_object_get(object, "interval_sec")), timeline.interval_sec);
        }
}

static void json_is_in_bytes_and_seconds(void **state) {
        _cleanup_(timeline_deinit) Timeline timeline;
        _cleanup_(json_decrefp) json_t *object = NULL;

        timeline_init(&timeline, START);
        timeline_add(&timeline, START, START + 1500 * USEC_PER_MSEC, UINT64_C(6) << 30, 250 * USEC_PER_MSEC);
        object = timeline_to_json(&timeline);
        assert_float_equal(json_number_value(json_array_get(json_object_get(object, "t_sec"), 0)), 1.5, 1e-9);
        assert_int_equal(
                json_integer_value(json_array_get(json_object_get(object, "memory_bytes"), 0)), UINT64_C(6) << 30);
        assert_float_equal(json_number_value(json_array_get(json_object_get(object, "cpu_sec"), 0)), 0.25, 1e-9);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_first_sample_is_due_after_a_second),
                cmocka_unit_test(as_many_as_there_are_slots_are_all_kept),
                cmocka_unit_test(one_more_thins_out_every_second_one_and_doubles_the_interval),
                cmocka_unit_test(a_run_of_any_length_fits_and_its_last_sample_is_there),
                cmocka_unit_test(figures_too_large_for_a_sample_stand_at_its_maximum),
                cmocka_unit_test(a_sample_before_the_launch_stands_at_zero),
                cmocka_unit_test(json_has_three_lists_of_one_length),
                cmocka_unit_test(json_is_in_bytes_and_seconds),
        };

        return cmocka_run_group_tests_name("supervise-timeline", tests, NULL, NULL);
}
