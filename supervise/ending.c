/*
 * The end of a run: from the empty group to the last word.
 *
 * Called by life_look().  The hard thing is the order: verdict, noted in the group, event committed, row noted and
 * sent, group removed, launcher told; each step may have to wait, and life_look() comes back here until nothing is owed
 * any more.  At every moment the group, the noted row (rows.c) or the record tells of the run, whoever dies.
 */
#include "base/clock.h"
#include "base/log.h"
#include "supervise/adopt.h"
#include "supervise/enforce.h"
#include "supervise/life.h"
#include "supervise/watch.h"
#include <assert.h>
#include <signal.h>
#include <string.h>

#define REMOVE_TRIES     2 /* then the launcher is told all the same: the group is empty, if not removed */
#define ROW_TRIES        8 /* of a row that there is no memory for */
#define RECORD_WAIT_USEC (5 * USEC_PER_SEC) /* then the launcher is told, with recorded: false */

void ending_remove(Supervisor *s, Run *run) {
        assert(run->n_inner == 0); /* they refer to it */
        serve_forget(s, run);
        if (run->outer) {
                run->outer->n_inner--;
                life_soon(s, run->outer);
        }
        watching_remove(s, &run->events_memory);
        watching_remove(s, &run->events_populated);
        if (run->kill.sent && !run->kill.committed)
                TAILQ_REMOVE(&s->uncommitted, run, sent_link);
        if (s->tick_run == run)
                s->tick_run = LIST_NEXT(run, link);
        LIST_REMOVE(run, link);
        s->n_runs--;
        run_free(run);
        supervisor_check_idle(s);
}

/* Whether the exit status is still to be hoped for: the launcher is there and has not told it. */
bool ending_status_is_due(const Run *run, uint64_t now_usec) {
        if (run->status_known || run->exec_errno != 0 || run->launcher_gone || run->registered)
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
        story_tell(STORY_VERDICT, run_has_kill(run) ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, run, "ended: %s%s%s",
                verdict_to_string(run->verdict), run->verdict_detail ? ", " : "",
                run->verdict_detail ? run->verdict_detail : "");
}

/* The event, until it is committed. Returns true then, or when there is none; in the end the launcher is told without.
 */
static bool settle_event(Supervisor *s, Run *run, uint64_t now_usec) {
        _cleanup_(json_decrefp) json_t *event = NULL;

        if (!run_has_kill(run) || run->kill.committed)
                return true;
        event = record_event(&s->record_host, run, now_usec);
        if (!run->kill.sent) {
                run->kill.sent =
                        recorder_send(s->recorder, "event", "event", json_incref(event), run->kill.event_id.text) == 0;
                if (run->kill.sent)
                        TAILQ_INSERT_TAIL(&s->uncommitted, run, sent_link);
                else
                        life_retry_later(run, now_usec);
                if (!run->replied && run->reply_by_usec == USEC_INFINITY)
                        run->reply_by_usec = usec_add(now_usec, RECORD_WAIT_USEC);
        }
        if (now_usec >= run->reply_by_usec) {
                run->reply_by_usec = USEC_INFINITY;
                serve_reply_end(s, run, event, false);
        }
        return false;
}

/* Sends the row. Returns false when it is to be tried again. */
static bool settle_row(Supervisor *s, Run *run, uint64_t now_usec) {
        _cleanup_(json_decrefp) json_t *row = NULL;
        Phase phase = run->phase;
        int r;

        if (run->row_sent)
                return true;
        run->phase = PHASE_ENDED; /* as the row says it */
        row = record_run(&s->record_host, run, now_usec);
        run->phase = phase;
        if (row)
                rows_note(&s->rows, run->id.text, row);
        r = row ? recorder_send(s->recorder, "run", "run", json_incref(row), run->id.text) : -ENOMEM;
        if (r == -ENOMEM && run->n_retries <= ROW_TRIES) {
                life_retry_later(run, now_usec);
                return false;
        }
        run->row_sent = true;
        run->row_lost = r < 0;
        return true;
}

/* A process can have come since the group was empty: its launcher stood still between the launch and the start. */
static void remove_later(Run *run, int r, uint64_t now_usec) {
        size_t reached;

        if (r == GROUP_E_BUSY && !enforce_is_empty(run)) {
                (void)group_kill(&run->group);
                (void)group_signal(&run->group, SIGKILL, &reached);
        }
        if (run->n_retries == LIFE_MANY_TRIES)
                log_run(LOG_LEVEL_ERROR, run->id.text, run->request.analysis_id,
                        "its group can't be removed: %s; still trying", r < 0 ? strerror(-r) : "busy");
        life_retry_later(run, now_usec);
}

/* Known from the launcher only, after the group was found empty. */
static void take_backstop(Supervisor *s, Run *run, uint64_t now_usec) {
        const Decision d = { ACTION_KILL, VERDICT_TIMEOUT, "backstop" };

        if (!run->backstop || run_has_kill(run))
                return;
        act_begin(s, run, &d, false, now_usec);
        watching_remove(s, &run->events_populated);
        run->kill.kill_at = run->kill.decided_at;
        run->kill.empty_at = run->ended_at;
        act_tell_kill(STORY_KILL, run, "killed by its launcher");
}

/* Everything that is owed once a run is over. Returns true when nothing is. */
bool ending_settle(Supervisor *s, Run *run, uint64_t now_usec) {
        _cleanup_(json_decrefp) json_t *event = NULL;
        int r;

        take_backstop(s, run, now_usec);
        settle_verdict(run);
        if (!run->end_saved) /* before the launcher may be told, and go: nobody else knows the exit status then */
                run->end_saved = adopt_save_end(run) == 0;
        if (!settle_event(s, run, now_usec))
                return false;
        run->reply_by_usec = USEC_INFINITY;
        if (!settle_row(s, run, now_usec))
                return false;
        r = enforce_remove(run);
        if (r != 0) {
                remove_later(run, r, now_usec);
                if (run->n_retries <= REMOVE_TRIES)
                        return false;
        }
        if (run_has_kill(run))
                event = record_event(&s->record_host, run, now_usec);
        serve_reply_end(s, run, event, !run->row_lost);
        if (r != 0)
                return false;
        run->phase = PHASE_ENDED;
        serve_tell_waiting(s, run);
        supervisor_note_end(s, run);
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
                act_tell_kill(STORY_KILL, run,
                        d.action == ACTION_KERNEL ? "killed by the kernel" : "ended with its outer run");
        }
        run->phase = PHASE_ENDING;
        run->ended_usec = run->left_usec ? run->left_usec : now_usec;
        run->ended_at = run->left_at ? run->left_at : clock_realtime_usec();
        run->kill.empty_at = run_has_kill(run) ? run->ended_at : 0;
        run->next_retry_usec = USEC_INFINITY;
        run->n_retries = 0;
        run->main_exited = true;
        watching_remove(s, &run->events_memory);
        watching_remove(s, &run->events_populated);
        if (run_has_kill(run))
                act_tell_inner(s, run);
}
