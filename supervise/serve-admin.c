/*
 * What an admin asks of the supervisor as a whole.
 *
 * Called by serve.c. `drain` ends everything: before a shutdown, and when the unit that keeps the tree is stopped; its
 * answer comes when no run is left and all is recorded, so that whoever waits for it may then take the tree away.
 * `once` looks at every run now, as a timer or an event would, and says what that began.
 */
#include "base/clock.h"
#include "base/log.h"
#include "supervise/life.h"
#include "supervise/serve.h"

#define ONCE_ROWS_MAX 256 /* in one answer; the list of what is being ended is that of `scidexctl list` */

void serve_drain(const Request *q) {
        log_line(LOG_LEVEL_NOTICE, "asked to end all runs (%u) by uid %u", q->s->n_runs, (unsigned)q->message->uid);
        q->session->waits_drain = true;
        q->session->n_drained = q->s->n_runs;
        supervisor_drain(q->s, SUPERVISOR_DRAIN_DETAIL);
        supervisor_check_drained(q->s);
}

void serve_tell_drained(Supervisor *s) {
        Session *session;
        json_t *reply;

        LIST_FOREACH(session, &s->sessions, link) {
                const Request q = { .s = s, .session = session, .op = "drain" };

                if (!session->waits_drain)
                        continue;
                session->waits_drain = false;
                reply = message_reply(q.op);
                (void)json_object_set_new(reply, "drained", json_integer(session->n_drained));
                serve_answer(&q, reply);
        }
}

static json_t *begun_row(const Run *run) {
        return json_pack("{s:s, s:o, s:s, s:s, s:o}", "run_id", run->id.text, "analysis_id",
                json_from_text(run->request.analysis_id), "state", phase_to_string(run->phase), "reason",
                verdict_to_string(run->kill.reason), "detail", json_from_text(run->kill.detail));
}

void serve_once(const Request *q) {
        _cleanup_(json_decrefp) json_t *reply = message_reply(q->op), *begun = json_array();
        Supervisor *s = q->s;
        Run *run, *next;

        for (run = LIST_FIRST(&s->runs); run; run = next) {
                bool had_kill = run_has_kill(run);

                next = LIST_NEXT(run, link);
                life_soon(s, run); /* what must be freed is freed from the loop, not under this walk */
                if (!run_lives(run) || had_kill)
                        continue;
                life_sample_now(run);
                act_decide(s, run, clock_boottime_usec());
                if (run_has_kill(run) && json_array_size(begun) < ONCE_ROWS_MAX)
                        (void)json_array_append_new(begun, begun_row(run));
        }
        if (json_object_set(reply, "begun", begun) < 0 ||
                json_object_set_new(reply, "alive", json_integer(s->n_runs)) < 0)
                client_close(q->session->client);
        else
                serve_answer(q, json_incref(reply));
}
