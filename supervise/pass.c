/*
 * The end of all runs, and the supervisor that stays for one pass only.
 *
 * Called by the wiring (--once, --drain) and for the operation `drain`.  The hard thing of a single pass is to know
 * when it is over: nothing is being ended any more, and all that was is written; whose launchers live goes on without
 * us.
 */
#include "base/clock.h"
#include "supervise/supervisor-internal.h"
#include <string.h>

#define PASS_EVERY_USEC (50 * USEC_PER_MSEC) /* how often it looks whether it is done */

void supervisor_drain(Supervisor *s, const char *detail) {
        Run *run;

        s->draining = true;
        LIST_FOREACH(run, &s->runs, link) {
                if (!detail || run->cancel_asked)
                        continue;
                run->cancel_asked = true;
                run->cancel_detail = strdup(detail);
                life_soon(s, run);
        }
}

void supervisor_note_end(Supervisor *s, const Run *run) {
        if (s->ended)
                (void)json_array_append_new(s->ended, record_run(&s->record_host, run, clock_boottime_usec()));
}

bool supervisor_is_single_pass(const Supervisor *s) {
        return s->options.mode == SUPERVISOR_ONCE || s->options.mode == SUPERVISOR_DRAIN;
}

static bool is_being_ended(const Run *run) {
        return run->phase == PHASE_GRACE || run->phase == PHASE_KILLING || run->phase == PHASE_ENDING ||
                run->settle_since_usec != 0 || run->next_retry_usec == 0; /* its first look is still to come */
}

static int on_pass(sd_event_source *source, uint64_t usec, void *userdata) {
        Supervisor *s = userdata;
        const Run *run;
        bool done = recorder_waiting(s->recorder) == 0;

        LIST_FOREACH(run, &s->runs, link)
        done = done && s->options.mode != SUPERVISOR_DRAIN && !is_being_ended(run);
        if (done)
                return sd_event_exit(s->event, 0);
        (void)sd_event_source_set_time(source, clock_boottime_usec() + PASS_EVERY_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int supervisor_begin_pass(Supervisor *s) {
        s->ended = json_array();
        s->n_adopted = s->n_runs;
        if (!s->ended)
                return -ENOMEM;
        supervisor_drain(s, s->options.mode == SUPERVISOR_DRAIN ? SUPERVISOR_DRAIN_DETAIL : NULL);
        return sd_event_add_time(
                s->event, &s->pass, CLOCK_BOOTTIME, clock_boottime_usec() + PASS_EVERY_USEC, 1, on_pass, s);
}

json_t *supervisor_account(const Supervisor *s) {
        return json_pack("{s:i, s:i, s:O, s:I}", "adopted", (int)s->n_adopted, "alive", (int)s->n_runs, "ended",
                s->ended, "foreign_groups", (json_int_t)s->n_foreign);
}
