/*
 * Requests of launchers: a run is asked for, started, attached to again, ended.
 *
 * Called from the table in serve.c.  The hard thing is trust: the caller is believed in nothing but what it asks for,
 * so its pid, uid, start time and the run that it lies within are looked up here, and a process is only taken for the
 * run's if it is a child of the launcher, by pidfd.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/process.h"
#include "supervise/adopt.h"
#include "supervise/enforce.h"
#include "supervise/environment.h"
#include "supervise/life.h"
#include "supervise/serve.h"
#include "supervise/story.h"
#include <string.h>
#include <sys/stat.h>

#define DEAD_COMM_MAX 60 /* 15 bytes, each of them as \xNN */
#define NEST_MAX      8  /* deeper nesting is refused: every level costs each of its processes a walk */

static int append_text(json_t *list, char *text) {
        int r = text ? json_array_append_new(list, json_from_text(text)) : -1;

        free(text);
        return r;
}

json_t *serve_warnings(const Supervisor *s, const Run *run) {
        _cleanup_(json_decrefp) json_t *missing = record_not_enforced(run);
        json_t *list = json_array(), *name, *storage = recorder_storage(s->recorder);
        const char *state = NULL, *detail = NULL;
        size_t i;

        if (json_get_text(storage, "state", &state) == 0 && strcmp(state, "ok") != 0 && strcmp(state, "away") != 0) {
                (void)json_get_text(storage, "detail", &detail);
                (void)append_text(
                        list, text_printf("the record can't be written (%s): %s", state, detail ? detail : ""));
        }
        if (run->enforcement == ENFORCEMENT_SAMPLED && run->request.memory_bytes != UINT64_MAX)
                (void)append_text(list,
                        text_printf("the memory limit is sampled, not enforced by the kernel (%s)",
                                s->tree.kind == TREE_NONE ? "no group can be made here"
                                                          : "no memory controller in the cgroup v2 tree"));
        json_array_foreach(missing, i,
                name) if (strcmp(json_string_value(name), "swap") != 0 || run->enforcement == ENFORCEMENT_KERNEL)(void)
                append_text(list, text_printf("the %s limit can't be kept on this host", json_string_value(name)));
        return list;
}

/* 0; < 0: the answer could not be made or sent, and a launcher that knows half of it must not start. */
static int answer_start(const Request *q, const Run *run) {
        _cleanup_(json_decrefp) json_t *reply = message_reply(q->op);
        _cleanup_(close_fdp) int kill_fd = -EBADF;
        _cleanup_(freep) char *path = record_group_path(&q->s->record_host, run);
        int fds[2] = { run->group.fd, -EBADF };

        if (json_object_set_new(reply, "run_id", json_string(run->id.text)) < 0 ||
                json_object_set_new(reply, "start", json_string(run_is_grouped(run) ? "clone" : "plain")) < 0 ||
                json_object_set_new(reply, "deadline_boottime_usec", json_from_u64(run->deadline_usec)) < 0 ||
                json_object_set_new(reply, "launched_boottime_usec", json_from_u64(run->launched_usec)) < 0 ||
                json_object_set_new(reply, "launched_at_usec", json_from_u64(run->launched_at)) < 0 ||
                json_object_set_new(reply, "request", request_limits_to_json(&run->request)) < 0 ||
                (q->s->options.private_mode &&
                        json_object_set_new(reply, "state_directory", json_from_text(q->s->options.state_directory)) <
                                0) ||
                json_object_set_new(reply, "enforcement",
                        json_string(run->enforcement == ENFORCEMENT_SAMPLED ? "sampled" : "kernel")) < 0 ||
                json_object_set_new(reply, "environment", environment_of_run(run, path)) < 0 ||
                json_object_set_new(reply, "warnings", serve_warnings(q->s, run)) < 0)
                return -ENOMEM;
        if (run_is_grouped(run)) {
                kill_fd = group_open_kill_fd(&run->group);
                fds[1] = kill_fd;
        }
        return client_send(q->session->client, reply, fds, run_is_grouped(run) ? (kill_fd >= 0 ? 2 : 1) : 0);
}

static unsigned depth_of(const Run *run) {
        unsigned depth = 0;

        for (; run; run = run->outer)
                depth++;
        return depth;
}

/* Under the name that people can read; should another have it, under the run's whole id. */
static int create_group(Run *run, int parent) {
        _cleanup_(freep) char *name = run_group_name(run);
        int r = name ? group_create(parent, name, &run->group) : -ENOMEM;

        return r == -EEXIST ? group_create(parent, run->id.text, &run->group) : r;
}

int serve_make_group(Supervisor *s, Run *run, const char **ret_what) {
        Limits limits = request_limits(&run->request);
        int r, parent = s->tree.fd;

        if (s->tree.kind == TREE_NONE || (run->outer && !run_is_grouped(run->outer)))
                return 0;
        if (run->outer) {
                *ret_what = "no room can be made for a nested run";
                r = group_make_inner(&run->outer->group, SERVE_LEAF_NAME);
                if (r != 0)
                        return r < 0 ? r : -EBUSY;
                run->outer->has_leaf = true;
                parent = run->outer->group.fd;
        }
        *ret_what = "no group can be made";
        r = create_group(run, parent);
        if (r < 0)
                return r;
        *ret_what = "the limits can't be set";
        r = group_set_limits(&run->group, &limits, &run->kept);
        if (r != 0) {
                (void)group_remove(&run->group);
                return r < 0 ? r : -ENOENT;
        }
        if (geteuid() == 0 && run->uid != 0) {
                (void)group_give_pressure(&run->group, run->uid); /* refused, the run only hears no warning */
                (void)fchmod(run->group.fd, 0711); /* its attributes, and so the request, are nobody else's to read */
        }
        return 0;
}

static void refuse_sampled(const Request *q) {
        const TreeError *e = &q->s->tree_error;

        serve_refuse(q, "unsupported", "the memory limit could only be sampled here, and --require=kernel forbids that",
                e->detail, e->hint ? e->hint : "See `scidexctl doctor`; or leave --require=kernel out.");
}

static void tell_launch(const Run *run) {
        char memory[FORMAT_MAX], time[FORMAT_MAX];

        story_tell(STORY_LAUNCH, LOG_LEVEL_INFO, run, "launched by uid %u: memory limit %s%s, time limit %s",
                (unsigned)run->uid, format_bytes(memory, run->request.memory_bytes),
                run->enforcement == ENFORCEMENT_SAMPLED ? " (sampled)" : "",
                format_duration(time, run->request.timeout_usec));
}

/* Who asks for a run. False: refused. */
static bool read_launcher(const Request *q, ProcessIdentity *ret) {
        if (process_identity(q->message->pid, ret) < 0) {
                serve_refuse(q, "gone", "the launcher is gone", NULL, NULL);
                return false;
        }
        if (ret->nested) { /* the numbers it will name are not ours */
                serve_refuse(q, "unsupported", "the launcher is in another pid namespace", NULL,
                        "Inside of a container use scidex-run --private.");
                return false;
        }
        return true;
}

/*
 * A launcher that asks again lost a supervisor before it had its answer: what that one had made for it holds nothing,
 * and nobody will ever start anything in there. Not while a nested run is still to be recorded: that one refers to it.
 */
static void drop_abandoned(const Request *q, const ProcessIdentity *launcher) {
        Run *run, *next;

        for (run = LIST_FIRST(&q->s->runs); run; run = next) {
                next = LIST_NEXT(run, link);
                if (run->launcher_pid == launcher->pid && run->launcher_start_ticks == launcher->start_ticks &&
                        run->phase == PHASE_STARTING && run->pid == 0 && !run->client && run->n_inner == 0 &&
                        enforce_is_empty(run) && enforce_remove(run) == 0) {
                        serve_tell_waiting(q->s, run);
                        ending_remove(q->s, run);
                }
        }
}

/* The run's group, with all in it that the next supervisor needs; else the refusal is sent, and nothing is left. */
static bool make(const Request *q, Run *run) {
        const char *what = "";
        int r = serve_make_group(q->s, run, &what);

        if (r < 0) {
                serve_refuse(q, "failed", what, strerror(-r), "See `scidexctl doctor`.");
                return false;
        }
        if (run->kept.memory || (run_is_grouped(run) && run->request.memory_bytes == UINT64_MAX))
                run->enforcement = ENFORCEMENT_KERNEL;
        else
                run->enforcement = ENFORCEMENT_SAMPLED;
        if (run->request.require_kernel && run->enforcement != ENFORCEMENT_KERNEL) {
                if (run_is_grouped(run))
                        (void)group_remove(&run->group);
                refuse_sampled(q);
                return false;
        }
        r = adopt_save(run, q->s->boot_id);
        if (r < 0 && r != -EOPNOTSUPP) { /* the next supervisor would not know it: nobody would end it */
                (void)group_remove(&run->group);
                serve_refuse(
                        q, "failed", "the run can't be noted in its group", strerror(-r), "See `scidexctl doctor`.");
                return false;
        }
        return true;
}

void serve_launch(const Request *q) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest request = { 0 };
        _cleanup_(run_freep) Run *run = NULL;
        ProcessIdentity launcher;
        Run *outer;

        if (q->session->run)
                return serve_refuse(
                        q, "bad-request", "this connection has a run already", NULL, "Connect once per run.");
        if (q->s->draining)
                return serve_refuse(
                        q, "gone", "the supervisor is ending all runs and begins none", NULL, SERVE_HINT_DRAINING);
        if (request_from_json(json_object_get(q->message->body, "request"), &request, &error) < 0)
                return serve_refuse(
                        q, "bad-request", error.message ? error.message : "out of memory", NULL, error.hint);
        if (!read_launcher(q, &launcher))
                return;
        if (json_is_true(json_object_get(q->message->body, "again")))
                drop_abandoned(q, &launcher);
        outer = serve_run_around(q->s, launcher.pid);
        if (outer && (run_has_kill(outer) || !run_lives(outer)))
                return serve_refuse(q, "gone", "the outer run is being ended", outer->id.text,
                        "Start it from outside of that run.");
        if (depth_of(outer) >= NEST_MAX)
                return serve_refuse(q, "denied", "runs are nested too deeply", NULL, "At most 8 levels are allowed.");
        if (!serve_admit(q, q->message->uid, outer != NULL, &request))
                return;
        if (run_new(&request, clock_realtime_usec(), clock_boottime_usec(), &run) < 0)
                return serve_refuse(q, "failed", "out of memory", NULL, NULL);
        run->uid = q->message->uid;
        run->launcher_pid = launcher.pid;
        run->launcher_start_ticks = launcher.start_ticks;
        run->outer = outer;
        if (!make(q, run))
                return;
        if (answer_start(q, run) < 0) {
                (void)enforce_remove(run);
                client_close(q->session->client);
                return;
        }
        run->client = q->session->client;
        if (run->outer)
                run->outer->n_inner++;
        q->session->run = run;
        tell_launch(run);
        (void)life_add(q->s, TAKE_PTR(run));
}

static void comm_from_command(Run *run) {
        const char *command = run->request.cmdline ? run->request.cmdline : "";
        const char *end = strchrnul(command, ' '), *start = end;

        while (start > command && start[-1] != '/')
                start--;
        (void)snprintf(run->comm, sizeof(run->comm), "%.*s", (int)(end - start), start);
}

void serve_started(const Request *q) {
        Run *run = q->session->run;
        ProcessIdentity child;
        int pidfd = -EBADF, r;

        if (!run || run->pid != 0)
                return;
        r = serve_child(q, &child, &pidfd);
        if (r < 0 && r != -ESRCH) { /* a launcher in good faith comes back, and names it again */
                client_close(q->session->client);
                return;
        }
        run->pid = child.pid;
        run->start_ticks = child.start_ticks;
        run->launch_usec = usec_sub(clock_boottime_usec(), run->launched_usec);
        comm_from_command(run);
        (void)adopt_save_main(run);
        life_main_is(q->s, run, pidfd);
        if (run->main_exited)
                life_look(q->s, run);
}

/* As an event lists it, and nothing else of what was sent; NULL: it is no such row, or there is no memory for it. */
static json_t *copy_dead(const json_t *row) {
        uint64_t rss = UINT64_MAX;
        const char *comm;
        int pid;

        if (json_get_int(row, "pid", &pid) < 0 || json_get_text(row, "comm", &comm) < 0 || strlen(comm) > DEAD_COMM_MAX)
                return NULL;
        (void)json_get_u64(row, "rss_bytes", &rss);
        return json_pack("{s:i, s:s, s:o}", "pid", pid, "comm", comm, "rss_bytes", json_from_u64(rss));
}

/*
 * Whom the launcher found dead by SIGKILL: told of its own run only, and used where nobody else was in time to look. It
 * is copied, as what a packet can hold beside it is some hundred times its size in memory and would be kept with the
 * run.
 */
static void take_killed(Run *run, const json_t *body) {
        _cleanup_(json_decrefp) json_t *copy = NULL;
        json_t *list = json_object_get(body, "killed"), *row;
        uint64_t count = 0;
        size_t i;

        (void)json_get_u64(body, "killed_count", &count);
        if (!json_is_array(list) || json_array_size(list) > KILL_PROCESSES_MAX || count < json_array_size(list) ||
                count > INT32_MAX)
                return;
        copy = json_array();
        json_array_foreach(list, i, row) if (json_array_append_new(copy, copy_dead(row)) < 0) return;
        if (!copy)
                return;
        process_list_deinit(&run->found_dead);
        run->found_dead = (ProcessList){ .list = TAKE_PTR(copy), .count = count };
}

void serve_exited(const Request *q) {
        Run *run = q->session->run;

        if (!run)
                return serve_refuse(q, "bad-request", "this connection has no run", NULL, NULL);
        if (json_get_int(q->message->body, "status", &run->wait_status) < 0)
                return serve_refuse(q, "bad-request", "member \"status\" is missing", NULL, NULL);
        (void)json_get_int(q->message->body, "exec_errno", &run->exec_errno);
        (void)json_get_int(q->message->body, "forwarded", &run->forwarded);
        take_killed(run, q->message->body);
        run->backstop = json_is_true(json_object_get(q->message->body, "backstop"));
        run->status_known = true;
        run->main_exited = true;
        run->reply_owed = true;
        life_look(q->s, run);
}

void serve_cancel(const Request *q) {
        Run *run = q->session->run;

        if (!run)
                return;
        run->cancel_asked = true;
        if (!run->cancel_detail)
                run->cancel_detail = strdup("by a second signal through scidex-run");
        life_look(q->s, run);
}

void serve_attach(const Request *q) {
        const char *id;
        Run *run = json_get_text(q->message->body, "run_id", &id) == 0 ? restart_find(q->s, id) : NULL;
        int pidfd = -EBADF, r;
        ProcessIdentity child;

        if (q->session->run || !run)
                return serve_refuse(q, "gone", "no such run", NULL, "It has ended; the record knows how.");
        if (run->client || run->uid != q->message->uid || run->launcher_pid != q->message->pid)
                return serve_refuse(q, "denied", "this run has another launcher", NULL, NULL);
        run->client = q->session->client;
        run->launcher_gone = run->replied = run->reply_owed = false;
        run->launcher_source = sd_event_source_disable_unref(run->launcher_source);
        run->launcher_pidfd = close_fd(run->launcher_pidfd);
        q->session->run = run;
        r = run->pid == 0 ? serve_child(q, &child, &pidfd) : -EALREADY;
        if (r == 0 || r == -ESRCH) {
                run->pid = child.pid;
                run->start_ticks = child.start_ticks;
                comm_from_command(run);
                (void)adopt_save_main(run);
                life_main_is(q->s, run, pidfd);
        }
        if (answer_start(q, run) < 0)
                client_close(q->session->client);
        life_look(q->s, run);
}
