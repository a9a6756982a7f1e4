/*
 * The shared timer of all timelines.
 *
 * Armed by the supervisor's files whenever a run comes or a sample is wanted sooner; never without a run.  The hard
 * thing is that a round over thousands of runs takes longer than a deadline may wait: it goes in pieces, after whatever
 * else is due, and all rounds together take a small share of one CPU, so that with many runs the timelines get coarser.
 */
#include "base/clock.h"
#include "control/priority.h"
#include "supervise/supervisor-internal.h"

#define TICK_ACCURACY_USEC (100 * USEC_PER_MSEC)
#define TICK_SHARE         20 /* the samples of all runs take at most this part of one CPU's time */

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata);

static void set_tick(Supervisor *s, uint64_t next_usec) {
        if (!s->tick) {
                if (sd_event_add_time(s->event, &s->tick, CLOCK_BOOTTIME, next_usec, TICK_ACCURACY_USEC, on_tick, s) <
                        0)
                        return; /* with the next run */
                (void)sd_event_source_set_priority(s->tick, PRIORITY_SAMPLES);
        }
        s->tick_usec = next_usec;
        (void)sd_event_source_set_time(s->tick, next_usec);
        (void)sd_event_source_set_enabled(s->tick, SD_EVENT_ONESHOT);
}

/* A round over all runs, in pieces: with thousands of runs it would stand between a deadline and its TERM. */
static int tick_piece(Supervisor *s) {
        uint64_t now_usec = clock_boottime_usec(), begun_usec = clock_process_cpu_usec();
        bool more = life_tick(s, now_usec);

        s->tick_cost_usec += usec_sub(clock_process_cpu_usec(), begun_usec);
        if (more)
                return sd_event_source_set_enabled(s->more, SD_EVENT_ONESHOT);
        s->tick_usec = USEC_INFINITY;
        /* On a whole second: the looks at sampled memory fall there too, and together they are one wake-up. */
        s->tick_rest_usec = (usec_add(now_usec, s->tick_cost_usec * TICK_SHARE) / USEC_PER_SEC + 1) * USEC_PER_SEC;
        s->tick_cost_usec = 0;
        supervisor_want_tick(s, life_next_tick_usec(s));
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Supervisor *s = userdata;

        s->tick_run = LIST_FIRST(&s->runs);
        return tick_piece(s);
}

static int on_more(sd_event_source *source, void *userdata) {
        return tick_piece(userdata);
}

void supervisor_want_tick(Supervisor *s, uint64_t sample_usec) {
        uint64_t whole = (clock_boottime_usec() / USEC_PER_SEC + 1) * USEC_PER_SEC;
        uint64_t next = MAX_OF(MAX_OF(sample_usec, whole), s->tick_rest_usec);

        if (sample_usec != USEC_INFINITY && next < s->tick_usec)
                set_tick(s, next);
}

int supervisor_init_tick(Supervisor *s) {
        int r;

        s->tick_usec = USEC_INFINITY;
        r = sd_event_add_defer(s->event, &s->more, on_more, s); /* now: later there may be no memory for it */
        if (r >= 0)
                r = sd_event_source_set_enabled(s->more, SD_EVENT_OFF);
        return r < 0 ? r : sd_event_source_set_priority(s->more, PRIORITY_SAMPLES);
}
