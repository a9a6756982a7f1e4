/*
 * Questions about live runs: one of them, all of them, the end of one.
 *
 * Called by serve.c, and by whoever ends or drops a run.  The hard thing is that an answer takes longer than a turn of
 * the loop: a list is a few rows a turn, and a wait lasts until the run's end.  So a session refers to a run meanwhile:
 * a list to the one that comes next, which serve_forget() moves on, a wait by its id.
 */
#include "base/clock.h"
#include "base/process.h"
#include "supervise/serve.h"
#include <string.h>

#define LIST_ROWS_PER_TURN 3 /* and the end: of the greatest length, they still fit a client's queue */

static json_t *fresh_run(const Supervisor *s, Run *run) {
        if (run_lives(run)) {
                if (run_is_grouped(run))
                        (void)usage_read(run->group.fd, &run->usage);
                if (run->pid > 0 && !run->main_exited)
                        (void)process_comm(run->pid, run->comm);
        }
        return record_run(&s->record_host, run, clock_boottime_usec());
}

/* Whether row is whole, made to fit a packet. */
static bool row_fits(json_t *row) {
        return row && message_fit(row, MESSAGE_MAX_BYTES - MESSAGE_ENVELOPE_BYTES) == 0;
}

json_t *serve_run_in_full(Supervisor *s, Run *run) {
        _cleanup_(json_decrefp) json_t *object = fresh_run(s, run);

        if (!object || json_object_set_new(object, "timeline", timeline_to_json(&run->timeline)) < 0 ||
                !row_fits(object))
                return NULL;
        return TAKE_PTR(object);
}

void serve_show(const Request *q) {
        Run *run = serve_select_one(q);
        _cleanup_(json_decrefp) json_t *reply = NULL, *object = NULL;

        if (!run)
                return;
        reply = message_reply(q->op);
        object = serve_run_in_full(q->s, run);
        if (!object || json_object_set(reply, "run", object) < 0)
                client_close(q->session->client);
        else
                serve_answer(q, json_incref(reply));
}

static void wait_for(Supervisor *s, Session *session, Uuid id) {
        s->n_waiting -= session->waits_for.text[0] != '\0';
        session->waits_for = id;
        s->n_waiting += id.text[0] != '\0';
}

void serve_wait(const Request *q) {
        Run *run = serve_select_one(q);

        if (run)
                wait_for(q->s, q->session, run->id);
}

/* From that one on, the first that the caller may see: a list keeps no copy of anything, however many do. */
static Run *listed_from(const Request *q, Run *run) {
        while (run && !serve_peer_may(q, run))
                run = LIST_NEXT(run, link);
        return run;
}

static void end_list(Session *session) {
        if (session->lists)
                LIST_REMOVE(session, listing_link);
        session->lists = false;
        session->list_next = NULL;
}

void serve_list_more(Supervisor *s, Session *session) {
        Request q = { .s = s, .session = session, .op = "list" };
        json_t *last;
        Run *run;

        session->list_next = listed_from(&q, session->list_next);
        for (size_t i = 0; i < LIST_ROWS_PER_TURN && (run = session->list_next); i++) {
                _cleanup_(json_decrefp) json_t *row = fresh_run(s, run);

                session->list_next = listed_from(&q, LIST_NEXT(run, link));
                session->n_sent++;
                serve_answer(&q,
                        row_fits(row) ? json_pack("{s:i, s:s, s:O}", "v", MESSAGE_VERSION, "re", "list", "row", row)
                                      : NULL);
        }
        if (session->list_next) {
                client_more(session->client);
                return;
        }
        end_list(session);
        last = message_reply("list");
        (void)json_object_set_new(last, "end", json_true());
        (void)json_object_set_new(last, "count", json_integer((json_int_t)session->n_sent));
        serve_answer(&q, last);
}

void serve_list(const Request *q) {
        Session *session = q->session;

        if (session->lists)
                return serve_refuse(q, "busy", "a list is under way on this connection", NULL, "Wait for its end.");
        session->lists = true;
        LIST_INSERT_HEAD(&q->s->listing, session, listing_link);
        session->list_next = LIST_FIRST(&q->s->runs);
        session->n_sent = 0;
        serve_list_more(q->s, session);
}

/* Its end, or that there will be none: it was dropped before it began. */
static json_t *answer_wait(const Supervisor *s, const Run *run) {
        _cleanup_(json_decrefp) json_t *object = NULL, *reply = NULL;

        if (run->phase == PHASE_STARTING)
                return message_error("wait", "gone", "the run was never started", run->id.text,
                        "Its launcher asked for another one; see `scidexctl list`.");
        reply = message_reply("wait");
        object = record_run(&s->record_host, run, clock_boottime_usec());
        return row_fits(object) && json_object_set(reply, "run", object) == 0 ? json_incref(reply) : NULL;
}

void serve_tell_waiting(Supervisor *s, const Run *run) {
        Session *session;

        if (s->n_waiting == 0)
                return;
        LIST_FOREACH(session, &s->sessions, link) {
                Request q = { .s = s, .session = session, .op = "wait" };

                if (strcmp(session->waits_for.text, run->id.text) != 0)
                        continue;
                serve_answer(&q, answer_wait(s, run));
                wait_for(s, session, (Uuid){ "" });
        }
}

void serve_end_questions(Supervisor *s, Session *session) {
        end_list(session);
        wait_for(s, session, (Uuid){ "" });
}

void serve_forget(const Supervisor *s, const Run *run) {
        Session *session = run->client ? client_userdata(run->client) : NULL;

        if (session && session->run == run)
                session->run = NULL;
        LIST_FOREACH(session, &s->listing, listing_link)
        if (session->list_next == run)
                session->list_next = LIST_NEXT(run, link);
}
