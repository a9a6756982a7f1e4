/*
 * The end of a run: from the empty group to the last word.
 *
 * Called by life_look().  The hard thing is the order: verdict, event committed, group removed, launcher told, row
 * written; each step may have to wait, and life_look() comes back here until nothing is owed any more.
 */
#include "base/clock.h"
#include "base/log.h"
#include "supervise/enforce.h"
#include "supervise/life.h"
#include "supervise/watch.h"

#define RECORD_WAIT_USEC (5 * USEC_PER_SEC) /* then the launcher is told, with recorded: false */

void ending_remove(Supervisor *s, Run *run) {
        serve_forget(s, run);
        if (run->outer) {
                run->outer->n_inner--;
                life_soon(s, run->outer);
        }
        watching_remove(s, &run->events_memory);
        watching_remove(s, &run->events_populated);
        LIST_REMOVE(run, link);
        s->n_runs--;
        run_free(run);
        supervisor_check_idle(s);
}

/* Whether the exit status is still to be hoped for: the launcher is there and has not told it. */
bool ending_status_is_due(const Run *run, uint64_t now_usec) {
        if (run->status_known || run->exec_errno != 0 || run->launcher_gone)
                return false;
        return !run_has_kill(run) || run->kill.reason == VERDICT_ORPHAN ||
                now_usec < usec_add(run->ended_usec, LIFE_STATUS_WAIT_USEC);
}

static void settle_verdict(Run *run) {
        Ending ending = run_ending(run);
        const char *detail;

        if (run->verdict != VERDICT_NONE)
                return;
        run->verdict = decide_verdict(&ending, &detail);
        run->verdict_detail = run_has_kill(run) && run->kill.reason == run->verdict ? run->kill.detail : detail;
        log_run(run_has_kill(run) ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, run->id.text, run->request.analysis_id,
                "ended: %s%s%s", verdict_to_string(run->verdict), run->verdict_detail ? ", " : "",
                run->verdict_detail ? run->verdict_detail : "");
}

/* Everything that is owed once a run is over. Returns true when nothing is. */
bool ending_settle(Supervisor *s, Run *run, uint64_t now_usec) {
        _cleanup_(json_decrefp) json_t *event = NULL;

        settle_verdict(run);
        if (run_has_kill(run)) {
                event = record_event(&s->record_host, run, now_usec);
                if (!run->kill.sent) {
                        run->kill.sent = recorder_send(s->recorder, "event", "event", json_incref(event),
                                                 run->kill.event_id.text) == 0;
                        run->reply_by_usec = usec_add(now_usec, RECORD_WAIT_USEC);
                }
                if (!run->kill.committed && now_usec < run->reply_by_usec)
                        return false;
                run->reply_by_usec = USEC_INFINITY;
        }
        if (run_has_kill(run) && !run->kill.committed) {
                serve_reply_end(s, run, event, false);
                return false;
        }
        if (enforce_remove(run) == GROUP_E_BUSY) {
                life_retry_later(run, now_usec);
                if (run->n_retries > 2)
                        serve_reply_end(s, run, event, true);
                return false;
        }
        run->phase = PHASE_ENDED;
        serve_reply_end(s, run, event, true);
        if (!run->row_sent)
                (void)recorder_send(
                        s->recorder, "run", "run", record_run(&s->record_host, run, now_usec), run->id.text);
        run->row_sent = true;
        serve_tell_waiting(s, run);
        return true;
}

void ending_begin(Supervisor *s, Run *run, uint64_t now_usec) {
        Situation situation;
        Decision d;

        (void)watch_look(run);
        run->phase = PHASE_RUNNING;
        situation = run_situation(run, now_usec);
        situation.main_exited = situation.launcher_gone = situation.cancel_asked = false;
        situation.deadline_usec = situation.cpu_limit_usec = USEC_INFINITY;
        situation.private_bytes = 0;
        situation.stall_window_usec = 0;
        d = decide(&situation); /* only what the kernel, or the outer run's kill, has done already */
        if (!run_has_kill(run) && (d.action == ACTION_KERNEL || d.action == ACTION_OUTER)) {
                act_begin(s, run, &d, d.action == ACTION_KERNEL, now_usec);
                run->kill.kill_at = run->kill.decided_at;
        }
        run->phase = PHASE_ENDING;
        run->ended_usec = now_usec;
        run->ended_at = clock_realtime_usec();
        run->kill.empty_at = run_has_kill(run) ? run->ended_at : 0;
        run->next_retry_usec = USEC_INFINITY;
        run->n_retries = 0;
        run->main_exited = true;
        watching_remove(s, &run->events_memory);
        watching_remove(s, &run->events_populated);
        if (run_has_kill(run))
                act_tell_inner(s, run);
}
