/*
 * The timeline of a run.
 *
 * Called from the supervisor's shared timer, and once more when a kill is decided, so that the last sample is the one
 * that matters.
 */
#include "supervise/timeline.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <assert.h>

#define SLOTS_FIRST 8 /* most runs are short */

static_assert(TIMELINE_SLOTS % 2 == 0, "every second one goes");

void timeline_init(Timeline *timeline, uint64_t now_usec) {
        *timeline = (Timeline){ .interval_sec = 1, .next_usec = (now_usec / USEC_PER_SEC + 1) * USEC_PER_SEC };
}

void timeline_deinit(Timeline *timeline) {
        free(timeline->samples);
        *timeline = (Timeline){ 0 };
}

static int timeline_grow(Timeline *timeline) {
        uint32_t more = timeline->allocated ? MIN_OF(timeline->allocated * 2, (uint32_t)TIMELINE_SLOTS) : SLOTS_FIRST;
        Sample *samples = reallocarray(timeline->samples, more, sizeof(Sample));

        if (!samples)
                return -ENOMEM;
        timeline->samples = samples;
        timeline->allocated = more;
        return 0;
}

static void timeline_thin(Timeline *timeline) {
        for (uint32_t i = 0; i < timeline->n / 2; i++)
                timeline->samples[i] = timeline->samples[i * 2];
        timeline->n /= 2;
        timeline->interval_sec *= 2;
}

static uint32_t to_u32(uint64_t value) {
        return value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
}

void timeline_add(
        Timeline *timeline, uint64_t launched_usec, uint64_t now_usec, uint64_t memory_bytes, uint64_t cpu_usec) {
        if (timeline->n == TIMELINE_SLOTS)
                timeline_thin(timeline);
        timeline->next_usec = usec_add(now_usec / USEC_PER_SEC * USEC_PER_SEC, timeline->interval_sec * USEC_PER_SEC);
        if (timeline->n == timeline->allocated && timeline_grow(timeline) < 0)
                return;
        timeline->samples[timeline->n++] = (Sample){
                .t_msec = to_u32(usec_sub(now_usec, launched_usec) / USEC_PER_MSEC),
                .memory_kib = to_u32(memory_bytes / 1024),
                .cpu_msec = to_u32(cpu_usec / USEC_PER_MSEC),
        };
}

json_t *timeline_to_json(const Timeline *timeline) {
        _cleanup_(json_decrefp) json_t *t = json_array(), *memory = json_array(), *cpu = json_array();

        for (uint32_t i = 0; i < timeline->n; i++) {
                const Sample *s = &timeline->samples[i];

                if (json_array_append_new(t, json_real(s->t_msec / 1e3)) < 0 ||
                        json_array_append_new(memory, json_integer((json_int_t)s->memory_kib * 1024)) < 0 ||
                        json_array_append_new(cpu, json_real(s->cpu_msec / 1e3)) < 0)
                        return NULL;
        }
        return json_pack("{s:i, s:O, s:O, s:O}", "interval_sec", (int)timeline->interval_sec, "t_sec", t,
                "memory_bytes", memory, "cpu_sec", cpu);
}
