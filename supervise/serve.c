/*
 * Requests at the control socket (docs/protocol.md).
 *
 * Called by the server for each packet.  One table of operations; before any of them is called, who asks (the kernel's
 * word) is held against the table in control/peer.c, and each handler goes through it again for the runs it names. What
 * launchers ask stands in serve-launch.c, questions about runs in serve-show.c.
 */
#include "supervise/serve.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "supervise/story.h"
#include <string.h>
#include <unistd.h>

#define SELECTOR_MIN 4
#define OP_SHOWN_MAX 64 /* an unknown one is repeated in the refusal, unless it would burst it */

void serve_answer(const Request *q, json_t *reply) {
        _cleanup_(json_decrefp) json_t *owned = reply;

        /* No memory, or too long: the end of the connection is an answer too, silence would not be. */
        if (!owned || client_send(q->session->client, owned, NULL, 0) < 0)
                client_close(q->session->client);
}

/* Who was refused what he asked to change. A mistyped name is no story, nor is a question. */
static void tell_refusal(const Request *q, const char *code, const char *message, const char *detail) {
        static const char *const told_ops[] = { "launch", "register", "unregister", "kill", "set", "drain", "once" };
        static const char *const told_codes[] = { "denied", "failed", "unsupported", "busy" };
        Refusal refusal = { .code = code,
                .message = message,
                .detail = detail,
                .uid = q->message ? q->message->uid : 0,
                .pid = q->message ? q->message->pid : 0 };

        for (size_t i = 0; i < ELEMENTSOF(told_ops); i++)
                if (strcmp(q->op, told_ops[i]) == 0)
                        refusal.op = told_ops[i];
        if (!refusal.op || !q->message)
                return;
        (void)json_get_text(json_object_get(q->message->body, "request"), "analysis_id", &refusal.analysis_id);
        for (size_t i = 0; i < ELEMENTSOF(told_codes); i++)
                if (strcmp(code, told_codes[i]) == 0)
                        story_refuse(&refusal, clock_boottime_usec());
}

void serve_refuse(const Request *q, const char *code, const char *message, const char *detail, const char *hint) {
        tell_refusal(q, code, message, detail);
        serve_answer(q, message_error(q->op, code, message, detail, hint));
}

bool serve_peer_may(const Request *q, const Run *run) {
        const Peer *peer = client_peer(q->session->client);

        return peer_may(q->op, peer->role, peer->uid == run->uid ? PEER_OWN : PEER_OTHERS);
}

Run *restart_find(Supervisor *s, const char *run_id) {
        Run *run;

        LIST_FOREACH(run, &s->runs, link)
        if (strcmp(run->id.text, run_id) == 0)
                return run;
        return NULL;
}

/* The run whose group has that name directly inside the group of outer (NULL: in the tree). */
static Run *find_inside(Supervisor *s, const Run *outer, const char *name) {
        Run *run;

        LIST_FOREACH(run, &s->runs, link)
        if (run->outer == outer && run_is_grouped(run) && strcmp(run->group.name, name) == 0)
                return run;
        return NULL;
}

Run *serve_run_around(Supervisor *s, pid_t pid) {
        _cleanup_(freep) char *path = NULL;
        size_t length = s->tree.cgroup ? strlen(s->tree.cgroup) : 0;
        char *rest = NULL, *part;
        Run *found = NULL, *run;

        if (s->n_runs == 0 || length == 0 || process_cgroup(pid, &path) < 0)
                return NULL;
        if (strncmp(path, s->tree.cgroup, length) != 0 || (length > 1 && path[length] != '/'))
                return NULL;
        for (part = strtok_r(path + length, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
                run = find_inside(s, found, part);
                if (!run)
                        break; /* what lies deeper is the run's own */
                found = run;
        }
        return found;
}

static bool selector_matches(const Run *run, const char *selector) {
        size_t length = strlen(selector);

        if (run->request.analysis_id && strcmp(run->request.analysis_id, selector) == 0)
                return true;
        if (length < SELECTOR_MIN || length > 36)
                return false;
        return strncasecmp(run->id.text, selector, length) == 0 ||
                strcasecmp(run->id.text + 36 - length, selector) == 0;
}

/* The runs that a selector names and the caller may see; ids in *ret (owned by the caller). */
static json_t *select_runs(const Request *q, const char *selector) {
        json_t *ids = json_array();
        Run *run;

        LIST_FOREACH(run, &q->s->runs, link)
        if (serve_peer_may(q, run) && selector_matches(run, selector))
                (void)json_array_append_new(ids, json_string(run->id.text));
        return ids;
}

Run *serve_select_one(const Request *q) {
        _cleanup_(json_decrefp) json_t *ids = NULL, *error = NULL;
        const char *selector;

        if (json_get_text(q->message->body, "run", &selector) < 0) {
                serve_refuse(
                        q, "bad-request", "no run is named", "member \"run\" is missing", "Name a run or an analysis.");
                return NULL;
        }
        ids = select_runs(q, selector);
        if (json_array_size(ids) == 1)
                return restart_find(q->s, json_string_value(json_array_get(ids, 0)));
        error = json_array_size(ids) == 0
                ? message_error(q->op, "not-found", "no live run of that name", selector,
                          "See `scidexctl list`; what has ended is in `scidexctl history`.")
                : message_error(q->op, "ambiguous", "several live runs match", selector, "Name one by its run id.");
        if (json_array_size(ids) > 1)
                (void)json_object_set(json_object_get(error, "error"), "candidates", ids);
        serve_answer(q, json_incref(error));
        return NULL;
}

static void handle_kill(const Request *q) {
        _cleanup_(json_decrefp) json_t *ids = NULL, *reply = message_reply(q->op);
        const char *selector;
        json_t *id;
        size_t i;

        if (json_get_text(q->message->body, "run", &selector) < 0)
                return serve_refuse(q, "bad-request", "no run is named", NULL, "Name a run or an analysis.");
        ids = select_runs(q, selector);
        if (json_array_size(ids) != 1) {
                Run *first =
                        json_array_size(ids) ? restart_find(q->s, json_string_value(json_array_get(ids, 0))) : NULL;

                if (!first || !first->request.analysis_id || strcmp(first->request.analysis_id, selector) != 0) {
                        (void)serve_select_one(q);
                        return;
                }
        }
        (void)json_object_set(reply, "runs", ids);
        json_array_foreach(ids, i, id) {
                Run *run = restart_find(q->s, json_string_value(id));

                if (!run)
                        continue;
                run->cancel_asked = true;
                if (!run->cancel_detail)
                        run->cancel_detail = text_printf("scidexctl kill by uid %u", (unsigned)q->message->uid);
                life_look(q->s, run);
        }
        serve_answer(q, json_incref(reply)); /* only now: what it tells has begun, and is noted in the groups */
}

json_t *serve_tree_object(const Supervisor *s) {
        static const char *const kinds[] = { [TREE_NONE] = "none",
                [TREE_GIVEN] = "given",
                [TREE_MOUNT] = "mount",
                [TREE_SCOPE] = "scope",
                [TREE_KEEPER] = "keeper" };

        return json_pack("{s:s, s:o, s:b, s:b, s:b, s:o, s:o}", "kind", kinds[s->tree.kind], "path",
                json_from_text(s->tree.path), "memory", s->tree.memory, "pids", s->tree.pids, "cpu", s->tree.cpu,
                "detail", json_from_text(s->tree_error.detail), "hint", json_from_text(s->tree_error.hint));
}

static json_t *states_object(const Supervisor *s) {
        unsigned counts[PHASE_MAX] = { 0 };
        json_t *states = json_object();
        Run *run;

        LIST_FOREACH(run, &s->runs, link)
        counts[run->phase]++;
        for (int phase = 0; phase < PHASE_ENDED; phase++)
                (void)json_object_set_new(states, phase_to_string((Phase)phase), json_integer(counts[phase]));
        return states;
}

static void handle_status(const Request *q) {
        const Supervisor *s = q->s;
        _cleanup_(json_decrefp) json_t *reply = message_reply(q->op);
        char at[CLOCK_RFC3339_MAX];
        json_t *status;

        status = json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:o, s:s, s:i, s:o, s:O, s:I, s:I, s:I, s:o, s:o, s:I, s:I}",
                "version", SCIDEX_VERSION, "pid", (int)getpid(), "recorder_pid", (int)recorder_pid(s->recorder), "mode",
                s->options.private_mode ? "private" : "system", "started_at", clock_format_rfc3339(at, s->started_at),
                "record_socket", s->record_path, "tree", serve_tree_object(s), "enforcement",
                s->tree.memory ? "kernel" : "sampled", "runs", (int)s->n_runs, "states", states_object(s), "storage",
                recorder_storage(s->recorder), "unrecorded", (json_int_t)recorder_waiting(s->recorder), "dropped",
                (json_int_t)recorder_dropped(s->recorder), "foreign_groups", (json_int_t)s->n_foreign,
                "foreign_group_names", s->foreign_names ? json_incref(s->foreign_names) : json_array(), "http",
                http_sockets_to_json(&s->http), "starts", (json_int_t)s->starts, "recorder_starts",
                (json_int_t)recorder_starts(s->recorder));
        serve_answer(q, json_object_set_new(reply, "status", status) == 0 ? json_incref(reply) : NULL);
}

static const struct {
        const char *op;
        void (*handle)(const Request *request);
} operations[] = {
        { "launch", serve_launch },
        { "started", serve_started },
        { "move", serve_move },
        { "exited", serve_exited },
        { "cancel", serve_cancel },
        { "attach", serve_attach },
        { "list", serve_list },
        { "show", serve_show },
        { "kill", handle_kill },
        { "set", serve_set },
        { "register", serve_register },
        { "unregister", serve_unregister },
        { "wait", serve_wait },
        { "status", handle_status },
        { "drain", serve_drain },
        { "once", serve_once },
};

static Session *session_of(Supervisor *s, Client *client) {
        Session *session = client_userdata(client);

        if (session)
                return session;
        session = calloc(1, sizeof(*session));
        if (!session)
                return NULL;
        session->client = client;
        LIST_INSERT_HEAD(&s->sessions, session, link);
        client_set_userdata(client, session);
        return session;
}

static void refuse_stranger(const Request *q) {
        const Client *client = q->session->client;
        json_t *reply = peer_refusal(q->op, client_policy(client), client_peer(client)->uid);
        const char *message = "no role";

        (void)json_get_text(json_object_get(reply, "error"), "message", &message);
        tell_refusal(q, "denied", message, NULL);
        serve_answer(q, reply);
        client_close(q->session->client);
}

/* Where it stood can't be told any more. One of another pid namespace (0) is in no run of ours. */
static bool is_gone(pid_t pid) {
        _cleanup_(close_fdp) int pidfd = pid > 0 ? pidfd_open_pid(pid) : -EBADF;

        return pidfd == -ESRCH || (pidfd >= 0 && pidfd_ended(pidfd));
}

static bool may_ask(const Request *q) {
        const Peer *peer = client_peer(q->session->client);

        if (!peer_may(q->op, peer->role, PEER_OWN)) {
                serve_refuse(q, "denied", "only an admin may ask for that", q->op,
                        "Ask root, or a member of the admin group.");
                return false;
        }
        if (!peer_may_inside(q->op) && serve_run_around(q->s, q->message->pid)) {
                serve_refuse(q, "denied", "a run may not ask for that", q->op, "Ask from outside of it.");
                return false;
        }
        if (!peer_may_inside(q->op) && is_gone(q->message->pid)) { /* looked at last: it stood outside, and lives */
                serve_refuse(q, "gone", "who asks for that must wait for the answer", q->op, NULL);
                return false;
        }
        return true;
}

static void on_request(Client *client, Message *message, void *userdata) {
        Request q = { .s = userdata, .session = session_of(userdata, client), .message = message, .op = "" };
        int version = 0;

        if (!q.session) {
                client_close(client);
                return;
        }
        (void)json_get_text(message->body, "op", &q.op);
        (void)json_get_int(message->body, "v", &version);
        if (version != MESSAGE_VERSION)
                return serve_refuse(&q, "too-old", "this version of the protocol is not spoken here", NULL,
                        "Use programs of the supervisor's version.");
        if (client_peer(client)->role == ROLE_NONE)
                return refuse_stranger(&q);
        if (peer_knows(q.op) && !may_ask(&q))
                return;
        for (size_t i = 0; i < ELEMENTSOF(operations); i++)
                if (strcmp(operations[i].op, q.op) == 0)
                        return operations[i].handle(&q);
        serve_refuse(&q, "bad-request", "unknown operation", strlen(q.op) <= OP_SHOWN_MAX ? q.op : NULL,
                "See docs/protocol.md.");
}

static void on_closed(Client *client, void *userdata) {
        Supervisor *s = userdata;
        Session *session = client_userdata(client);
        Run *run;

        if (!session)
                return;
        run = session->run;
        serve_end_questions(s, session);
        LIST_REMOVE(session, link);
        free(session);
        if (run) {
                run->client = NULL;
                /* Dropped by us it may live and come back. */
                if (!client_hung_up(client))
                        life_watch_launcher(s, run);
                else
                        run->launcher_gone = true;
                if (run->launcher_gone)
                        life_launcher_gone(s, run);
        }
        supervisor_check_idle(s);
}

static void on_more(Client *client, void *userdata) {
        Session *session = client_userdata(client);

        if (session && session->lists)
                serve_list_more(userdata, session);
}

const ServerHandlers serve_handlers = { .request = on_request, .closed = on_closed, .more = on_more };

void serve_reply_end(Supervisor *s, Run *run, const json_t *event, bool recorded) {
        _cleanup_(json_decrefp) json_t *reply = NULL, *object = NULL, *brief = NULL;

        if (run->replied || !run->reply_owed || !run->client)
                return;
        run->replied = true;
        reply = message_reply("exited");
        object = record_run(&s->record_host, run, clock_boottime_usec());
        brief = event ? record_event_brief(event) : json_null();
        if (!object || !brief || message_fit(object, MESSAGE_MAX_BYTES / 2 - MESSAGE_ENVELOPE_BYTES) < 0 ||
                (event && message_fit(brief, MESSAGE_MAX_BYTES / 2 - MESSAGE_ENVELOPE_BYTES) < 0) ||
                json_object_set(reply, "run", object) < 0 || json_object_set(reply, "event", brief) < 0 ||
                json_object_set_new(reply, "recorded", json_boolean(recorded)) < 0 ||
                client_send(run->client, reply, NULL, 0) < 0)
                client_close(run->client); /* it comes back, and is told by us or by the record */
}
