/*
 * Requests at the control socket (docs/protocol.md).
 *
 * Called by the server for each packet.  One table of operations; each handler checks who asks (the kernel's word: the
 * credentials of the packet), does one thing, and answers.  The hard thing is the launch: the caller is believed in nothing
 * but what it asks for, so its pid, uid, start time and the run that it lies within are looked up here.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "supervise/adopt.h"
#include "supervise/supervisor-internal.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define LIST_ROWS_PER_TURN 16
#define SELECTOR_MIN       4
#define LEAF_NAME          "main" /* where a run's own processes go when a nested one needs the group */
#define NEST_MAX           8      /* deeper nesting is refused: every level costs each of its processes a walk */

typedef struct Request {
        Supervisor *s;
        Session *session;
        Message *message;
        const char *op;
} Request;

static void answer(const Request *q, json_t *reply) {
        _cleanup_(json_decrefp) json_t *owned = reply;

        if (owned)
                (void)client_send(q->session->client, owned, NULL, 0);
}

static void refuse(const Request *q, const char *code, const char *message, const char *detail, const char *hint) {
        answer(q, message_error(q->op, code, message, detail, hint));
}

static bool peer_may(const Request *q, const Run *run) {
        return q->message->uid == 0 || q->message->uid == run->uid;
}

Run *restart_find(Supervisor *s, const char *run_id) {
        Run *run;

        LIST_FOREACH(run, &s->runs, link)
                if (strcmp(run->id.text, run_id) == 0)
                        return run;
        return NULL;
}

/* The innermost run that pid lies within, by its cgroup; NULL: none. */
static Run *run_around(Supervisor *s, pid_t pid) {
        _cleanup_(freep) char *path = NULL;
        size_t length = s->tree.cgroup ? strlen(s->tree.cgroup) : 0;
        char *rest = NULL, *part;
        Run *found = NULL, *run;

        if (s->n_runs == 0 || length == 0 || process_cgroup(pid, &path) < 0)
                return NULL;
        if (strncmp(path, s->tree.cgroup, length) != 0 || (length > 1 && path[length] != '/'))
                return NULL;
        for (part = strtok_r(path + length, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
                run = restart_find(s, part);
                if (run)
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
        return strncasecmp(run->id.text, selector, length) == 0 || strcasecmp(run->id.text + 36 - length, selector) == 0;
}

/* The runs that a selector names and the caller may see; ids in *ret (owned by the caller). */
static json_t *select_runs(const Request *q, const char *selector) {
        json_t *ids = json_array();
        Run *run;

        LIST_FOREACH(run, &q->s->runs, link)
                if (peer_may(q, run) && selector_matches(run, selector))
                        (void)json_array_append_new(ids, json_string(run->id.text));
        return ids;
}

/* The one run that is named, or NULL and the refusal is sent. */
static Run *select_one(const Request *q) {
        _cleanup_(json_decrefp) json_t *ids = NULL, *error = NULL;
        const char *selector;

        if (json_get_text(q->message->body, "run", &selector) < 0) {
                refuse(q, "bad-request", "no run is named", "member \"run\" is missing", "Name a run or an analysis.");
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
        answer(q, json_incref(error));
        return NULL;
}

static int append_text(json_t *list, char *text) {
        int r = text ? json_array_append_new(list, json_from_text(text)) : -1;

        free(text);
        return r;
}

static json_t *run_environment(const Run *run) {
        json_t *list = json_array();
        char at[CLOCK_RFC3339_MAX];

        (void)append_text(list, text_printf("SCIDEX_RUN_ID=%s", run->id.text));
        if (run->request.analysis_id)
                (void)append_text(list, text_printf("SCIDEX_ANALYSIS_ID=%s", run->request.analysis_id));
        if (run->request.memory_bytes != UINT64_MAX)
                (void)append_text(list, text_printf("SCIDEX_MEMORY_MAX=%llu", (unsigned long long)run->request.memory_bytes));
        if (run->request.timeout_usec != USEC_INFINITY)
                (void)append_text(list, text_printf("SCIDEX_DEADLINE=%s",
                                                clock_format_rfc3339(at, usec_add(run->launched_at, run->request.timeout_usec))));
        return list;
}

static json_t *run_warnings(const Supervisor *s, const Run *run) {
        _cleanup_(json_decrefp) json_t *missing = record_not_enforced(run);
        json_t *list = json_array(), *name, *storage = recorder_storage(s->recorder);
        const char *state = NULL, *detail = NULL;
        size_t i;

        if (json_get_text(storage, "state", &state) == 0 && strcmp(state, "ok") != 0 && strcmp(state, "away") != 0) {
                (void)json_get_text(storage, "detail", &detail);
                (void)append_text(list, text_printf("the record can't be written (%s): %s", state, detail ? detail : ""));
        }
        if (run->enforcement == ENFORCEMENT_SAMPLED && run->request.memory_bytes != UINT64_MAX)
                (void)append_text(list, text_printf("the memory limit is sampled, not enforced by the kernel (%s)",
                                                s->tree.kind == TREE_NONE ? "no group can be made here"
                                                                          : "no memory controller in the cgroup v2 tree"));
        json_array_foreach(missing, i, name)
                if (strcmp(json_string_value(name), "swap") != 0 || run->enforcement == ENFORCEMENT_KERNEL)
                        (void)append_text(list, text_printf("the %s limit can't be kept on this host", json_string_value(name)));
        return list;
}

static void answer_start(const Request *q, const Run *run) {
        _cleanup_(json_decrefp) json_t *reply = message_reply(q->op);
        _cleanup_(close_fdp) int kill_fd = -EBADF;
        int fds[2] = { run->group.fd, -EBADF };

        (void)json_object_set_new(reply, "run_id", json_string(run->id.text));
        (void)json_object_set_new(reply, "start", json_string(run_is_grouped(run) ? "clone" : "plain"));
        (void)json_object_set_new(reply, "deadline_boottime_usec", json_from_u64(run->deadline_usec));
        (void)json_object_set_new(reply, "launched_boottime_usec", json_from_u64(run->launched_usec));
        (void)json_object_set_new(reply, "launched_at_usec", json_from_u64(run->launched_at));
        (void)json_object_set_new(
                reply, "enforcement", json_string(run->enforcement == ENFORCEMENT_SAMPLED ? "sampled" : "kernel"));
        (void)json_object_set_new(reply, "environment", run_environment(run));
        (void)json_object_set_new(reply, "warnings", run_warnings(q->s, run));
        if (run_is_grouped(run)) {
                kill_fd = group_open_kill_fd(&run->group);
                fds[1] = kill_fd;
        }
        (void)client_send(q->session->client, reply, fds, run_is_grouped(run) ? (kill_fd >= 0 ? 2 : 1) : 0);
}

static unsigned depth_of(const Run *run) {
        unsigned depth = 0;

        for (; run; run = run->outer)
                depth++;
        return depth;
}

/* Makes the group and sets its limits. 0, or -errno with *ret_what the step that failed. */
static int make_group(Supervisor *s, Run *run, const char **ret_what) {
        Limits limits = request_limits(&run->request);
        int r, parent = s->tree.fd;

        if (s->tree.kind == TREE_NONE || (run->outer && !run_is_grouped(run->outer)))
                return 0;
        if (run->outer) {
                *ret_what = "make room for a nested run";
                r = group_make_inner(&run->outer->group, LEAF_NAME);
                if (r != 0)
                        return r < 0 ? r : -EBUSY;
                run->outer->has_leaf = true;
                parent = run->outer->group.fd;
        }
        *ret_what = "make the group";
        r = group_create(parent, run->id.text, &run->group);
        if (r < 0)
                return r;
        *ret_what = "set the limits";
        r = group_set_limits(&run->group, &limits, &run->kept);
        if (r != 0) {
                (void)group_remove(&run->group);
                return r < 0 ? r : -ENOENT;
        }
        return 0;
}

static void refuse_sampled(const Request *q) {
        const TreeError *e = &q->s->tree_error;

        refuse(q, "unsupported", "the memory limit could only be sampled here, and --require=kernel forbids that", e->detail,
                e->hint ? e->hint : "See `scidexctl doctor`; or leave --require=kernel out.");
}

static void handle_launch(const Request *q) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest request = { 0 };
        _cleanup_(run_freep) Run *run = NULL;
        ProcessIdentity launcher;
        const char *what = "";
        int r;

        if (q->session->run)
                return refuse(q, "bad-request", "this connection has a run already", NULL, "Connect once per run.");
        r = request_from_json(json_object_get(q->message->body, "request"), &request, &error);
        if (r < 0)
                return refuse(q, "bad-request", error.message ? error.message : "out of memory", NULL, error.hint);
        if (process_identity(q->message->pid, &launcher) < 0)
                return refuse(q, "gone", "the launcher is gone", NULL, NULL);
        if (run_new(&request, clock_realtime_usec(), clock_boottime_usec(), &run) < 0)
                return refuse(q, "failed", "out of memory", NULL, NULL);
        run->uid = q->message->uid;
        run->launcher_pid = launcher.pid;
        run->launcher_start_ticks = launcher.start_ticks;
        run->outer = run_around(q->s, launcher.pid);
        if (depth_of(run->outer) >= NEST_MAX)
                return refuse(q, "denied", "runs are nested too deeply", NULL, "At most 8 levels are allowed.");
        r = make_group(q->s, run, &what);
        if (r < 0)
                return refuse(q, "failed", what, strerror(-r), "See `scidexctl doctor`.");
        if (run->kept.memory || (run_is_grouped(run) && run->request.memory_bytes == UINT64_MAX))
                run->enforcement = ENFORCEMENT_KERNEL;
        else
                run->enforcement = ENFORCEMENT_SAMPLED;
        if (run->request.require_kernel && run->enforcement != ENFORCEMENT_KERNEL) {
                if (run_is_grouped(run))
                        (void)group_remove(&run->group);
                return refuse_sampled(q);
        }
        (void)adopt_save(run, q->s->boot_id);
        run->client = q->session->client;
        if (run->outer)
                run->outer->n_inner++;
        q->session->run = run;
        answer_start(q, run);
        (void)life_add(q->s, TAKE_PTR(run));
}

/* The pid of a child of the launcher, with its pidfd from the packet or opened here. < 0: refused. */
static pid_t child_of_launcher(const Request *q, ProcessIdentity *ret, int *ret_pidfd) {
        _cleanup_(close_fdp) int pidfd = message_take_fd(q->message, 0);
        const Run *run = q->session->run;
        int pid;

        if (json_get_int(q->message->body, "pid", &pid) < 0 || pid <= 1)
                return -EINVAL;
        if (pidfd >= 0 && pidfd_pid(pidfd) != pid && !pidfd_ended(pidfd))
                return -EPERM;
        if (pidfd < 0)
                pidfd = pidfd_open_pid(pid);
        if (process_identity(pid, ret) < 0)
                *ret = (ProcessIdentity){ .pid = pid };
        else if (ret->parent != run->launcher_pid)
                return -EPERM;
        *ret_pidfd = TAKE_FD(pidfd);
        return pid;
}

static void comm_from_command(Run *run) {
        const char *end = strchrnul(run->request.cmdline ? run->request.cmdline : "", ' ');
        const char *start = end;

        while (start > run->request.cmdline && start[-1] != '/')
                start--;
        (void)snprintf(run->comm, sizeof(run->comm), "%.*s", (int)(end - start), start);
}

static void handle_started(const Request *q) {
        Run *run = q->session->run;
        ProcessIdentity child;
        int pidfd = -EBADF;

        if (!run || run->pid != 0)
                return;
        if (child_of_launcher(q, &child, &pidfd) < 0) {
                client_close(q->session->client);
                return;
        }
        run->pid = child.pid;
        run->start_ticks = child.start_ticks;
        comm_from_command(run);
        (void)adopt_save_main(run);
        life_main_is(q->s, run, pidfd);
        life_look(q->s, run);
}

/* Into the group before exec: its uids must be the peer's, and it must still be the same process afterwards. */
static void handle_move(const Request *q) {
        Run *run = q->session->run;
        _cleanup_(close_fdp) int pidfd = -EBADF;
        ProcessIdentity child;
        pid_t pid;
        int r;

        if (!run || !run_is_grouped(run))
                return refuse(q, "bad-request", "there is no group to move into", NULL, NULL);
        pid = child_of_launcher(q, &child, &pidfd);
        if (pid < 0 || pidfd < 0 || child.start_ticks == 0)
                return refuse(q, "denied", "the process is not a child of the launcher", NULL, NULL);
        if (q->message->uid != 0 && (child.uid_real != q->message->uid || child.uid_saved != q->message->uid))
                return refuse(q, "denied", "the process is another user's", NULL, NULL);
        r = group_attach(&run->group, pid);
        if (r == -EACCES || r == -EPERM)
                r = run->outer ? r : tree_attach(&q->s->tree, run->group.name, pid);
        if (r == 0 && pidfd_ended(pidfd))
                r = -ESRCH;
        if (r != 0)
                return refuse(q, "failed", "the process can't be moved into its group", strerror(r < 0 ? -r : ENOENT),
                        "See `scidexctl doctor`.");
        answer(q, message_reply(q->op));
}

static void handle_exited(const Request *q) {
        Run *run = q->session->run;

        if (!run)
                return refuse(q, "bad-request", "this connection has no run", NULL, NULL);
        if (json_get_int(q->message->body, "status", &run->wait_status) < 0)
                return refuse(q, "bad-request", "member \"status\" is missing", NULL, NULL);
        (void)json_get_int(q->message->body, "exec_errno", &run->exec_errno);
        (void)json_get_int(q->message->body, "forwarded", &run->forwarded);
        run->status_known = true;
        run->main_exited = true;
        run->reply_owed = true;
        life_look(q->s, run);
}

static void handle_cancel(const Request *q) {
        Run *run = q->session->run;

        if (!run)
                return;
        run->cancel_asked = true;
        if (!run->cancel_detail)
                run->cancel_detail = strdup("by a second signal through scidex-run");
        life_look(q->s, run);
}

static void handle_attach(const Request *q) {
        const char *id;
        Run *run = json_get_text(q->message->body, "run_id", &id) == 0 ? restart_find(q->s, id) : NULL;
        int pidfd = -EBADF;
        ProcessIdentity child;

        if (q->session->run || !run)
                return refuse(q, "gone", "no such run", NULL, "It has ended; the record knows how.");
        if (run->client || run->uid != q->message->uid || run->launcher_pid != q->message->pid)
                return refuse(q, "denied", "this run has another launcher", NULL, NULL);
        run->client = q->session->client;
        run->launcher_gone = false;
        run->launcher_source = sd_event_source_disable_unref(run->launcher_source);
        run->launcher_pidfd = close_fd(run->launcher_pidfd);
        q->session->run = run;
        if (run->pid == 0 && child_of_launcher(q, &child, &pidfd) > 0) {
                run->pid = child.pid;
                run->start_ticks = child.start_ticks;
                comm_from_command(run);
                (void)adopt_save_main(run);
                life_main_is(q->s, run, pidfd);
        }
        answer_start(q, run);
        life_look(q->s, run);
}

static void handle_kill(const Request *q) {
        _cleanup_(json_decrefp) json_t *ids = NULL, *reply = message_reply(q->op);
        const char *selector;
        json_t *id;
        size_t i;

        if (run_around(q->s, q->message->pid))
                return refuse(q, "denied", "a run can't end runs", NULL, "Ask from outside of it.");
        if (json_get_text(q->message->body, "run", &selector) < 0)
                return refuse(q, "bad-request", "no run is named", NULL, "Name a run or an analysis.");
        ids = select_runs(q, selector);
        if (json_array_size(ids) != 1) {
                Run *first = json_array_size(ids) ? restart_find(q->s, json_string_value(json_array_get(ids, 0))) : NULL;

                if (!first || !first->request.analysis_id || strcmp(first->request.analysis_id, selector) != 0) {
                        (void)select_one(q);
                        return;
                }
        }
        (void)json_object_set(reply, "runs", ids);
        answer(q, json_incref(reply));
        json_array_foreach(ids, i, id) {
                Run *run = restart_find(q->s, json_string_value(id));

                if (!run)
                        continue;
                run->cancel_asked = true;
                if (!run->cancel_detail)
                        run->cancel_detail = text_printf("scidexctl kill by uid %u", (unsigned)q->message->uid);
                life_look(q->s, run);
        }
}

static json_t *fresh_run(const Request *q, Run *run) {
        if (run_lives(run)) {
                if (run_is_grouped(run))
                        (void)usage_read(run->group.fd, &run->usage);
                (void)process_comm(run->pid, run->comm);
        }
        return record_run(&q->s->record_host, run, clock_boottime_usec());
}

static void handle_show(const Request *q) {
        Run *run = select_one(q);
        json_t *reply, *object;

        if (!run)
                return;
        reply = message_reply(q->op);
        object = fresh_run(q, run);
        (void)json_object_set_new(object, "timeline", timeline_to_json(&run->timeline));
        (void)json_object_set_new(reply, "run", object);
        answer(q, reply);
}

static void handle_wait(const Request *q) {
        Run *run = select_one(q);

        if (run)
                q->session->waits_for = run->id;
}

static void list_more(Supervisor *s, Session *session) {
        Request q = { .s = s, .session = session, .op = "list" };
        json_t *last;

        for (size_t i = 0; i < LIST_ROWS_PER_TURN && session->next_id < session->n_ids; session->next_id++) {
                Run *run = restart_find(s, session->ids[session->next_id].text);
                json_t *row;

                if (!run)
                        continue;
                row = json_pack("{s:i, s:s, s:o}", "v", MESSAGE_VERSION, "re", "list", "row", fresh_run(&q, run));
                answer(&q, row);
                session->n_sent++;
                i++;
        }
        if (session->next_id < session->n_ids) {
                client_more(session->client);
                return;
        }
        last = message_reply("list");
        (void)json_object_set_new(last, "end", json_true());
        (void)json_object_set_new(last, "count", json_integer((json_int_t)session->n_sent));
        answer(&q, last);
        free(session->ids);
        session->ids = NULL;
        session->n_ids = 0;
}

static void handle_list(const Request *q) {
        Session *session = q->session;
        Run *run;

        if (session->ids)
                return refuse(q, "busy", "a list is under way on this connection", NULL, "Wait for its end.");
        session->ids = calloc(q->s->n_runs + 1, sizeof(Uuid));
        session->n_ids = session->next_id = session->n_sent = 0;
        if (!session->ids)
                return refuse(q, "failed", "out of memory", NULL, NULL);
        LIST_FOREACH(run, &q->s->runs, link)
                if (peer_may(q, run))
                        session->ids[session->n_ids++] = run->id;
        list_more(q->s, session);
}

static json_t *tree_object(const Supervisor *s) {
        static const char *const kinds[] = {
                [TREE_NONE] = "none", [TREE_GIVEN] = "given", [TREE_MOUNT] = "mount", [TREE_SCOPE] = "scope"
        };

        return json_pack("{s:s, s:o, s:b, s:b, s:b, s:o, s:o}", "kind", kinds[s->tree.kind], "path",
                json_from_text(s->tree.path), "memory", s->tree.memory, "pids", s->tree.pids, "cpu", s->tree.cpu, "detail",
                json_from_text(s->tree_error.detail), "hint", json_from_text(s->tree_error.hint));
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
        json_t *reply = message_reply(q->op);
        char at[CLOCK_RFC3339_MAX];

        (void)json_object_set_new(reply, "status",
                json_pack("{s:s, s:i, s:i, s:s, s:s, s:o, s:s, s:i, s:o, s:O, s:I, s:I, s:I}", "version", SCIDEX_VERSION, "pid",
                        (int)getpid(), "recorder_pid", (int)recorder_pid(s->recorder), "mode",
                        s->options.private_mode ? "private" : "system", "started_at",
                        clock_format_rfc3339(at, s->started_at), "tree", tree_object(s), "enforcement",
                        s->tree.memory ? "kernel" : "sampled", "runs", (int)s->n_runs, "states", states_object(s), "storage",
                        recorder_storage(s->recorder), "unrecorded", (json_int_t)recorder_waiting(s->recorder), "dropped",
                        (json_int_t)recorder_dropped(s->recorder), "foreign_groups", (json_int_t)s->n_foreign));
        answer(q, reply);
}

static const struct {
        const char *op;
        void (*handle)(const Request *request);
} operations[] = {
        { "launch", handle_launch }, { "started", handle_started }, { "move", handle_move }, { "exited", handle_exited },
        { "cancel", handle_cancel }, { "attach", handle_attach }, { "list", handle_list }, { "show", handle_show },
        { "kill", handle_kill }, { "wait", handle_wait }, { "status", handle_status },
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
                return refuse(&q, "too-old", "this version of the protocol is not spoken here", NULL,
                        "Use programs of the supervisor's version.");
        for (size_t i = 0; i < ELEMENTSOF(operations); i++)
                if (strcmp(operations[i].op, q.op) == 0)
                        return operations[i].handle(&q);
        refuse(&q, "bad-request", "unknown operation", q.op, "See docs/protocol.md.");
}

static void on_closed(Client *client, void *userdata) {
        Supervisor *s = userdata;
        Session *session = client_userdata(client);
        Run *run;

        if (!session)
                return;
        run = session->run;
        LIST_REMOVE(session, link);
        free(session->ids);
        free(session);
        if (run) {
                run->client = NULL;
                life_launcher_gone(s, run);
        }
        supervisor_check_idle(s);
}

static void on_more(Client *client, void *userdata) {
        Session *session = client_userdata(client);

        if (session && session->ids)
                list_more(userdata, session);
}

const ServerHandlers serve_handlers = { .request = on_request, .closed = on_closed, .more = on_more };

void serve_reply_end(Supervisor *s, Run *run, const json_t *event, bool recorded) {
        _cleanup_(json_decrefp) json_t *reply = NULL;

        if (run->replied || !run->reply_owed || !run->client)
                return;
        reply = message_reply("exited");
        (void)json_object_set_new(reply, "run", record_run(&s->record_host, run, clock_boottime_usec()));
        (void)json_object_set_new(reply, "event", event ? record_event_brief(event) : json_null());
        (void)json_object_set_new(reply, "recorded", json_boolean(recorded));
        (void)client_send(run->client, reply, NULL, 0);
        run->replied = true;
}

void serve_tell_waiting(Supervisor *s, const Run *run) {
        Session *session;

        LIST_FOREACH(session, &s->sessions, link) {
                Request q = { .s = s, .session = session, .op = "wait" };
                json_t *reply;

                if (strcmp(session->waits_for.text, run->id.text) != 0)
                        continue;
                reply = message_reply("wait");
                (void)json_object_set_new(reply, "run", record_run(&s->record_host, run, clock_boottime_usec()));
                answer(&q, reply);
                session->waits_for = (Uuid){ "" };
        }
}

void serve_forget(Supervisor *s, const Run *run) {
        Session *session;

        LIST_FOREACH(session, &s->sessions, link)
                if (session->run == run)
                        session->run = NULL;
}
