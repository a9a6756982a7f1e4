/*
 * `register` and `unregister`: a tree of processes that runs already comes under supervision, and is let go again.
 *
 * Called from the table in serve.c.  The hard thing is what the caller may point at.  An ordinary user: a process whose
 * real, effective and saved uid are all its own.  Only root may name others': a member of scidex-admin who could would
 * be able to end any process of the host.  And nobody may name what keeps the host or this supervisor going, or what is
 * under supervision already.  Its own shell one may: a job script registers itself.
 *
 * Memory that was charged before stays where it was, so it is sampled; memory.max is set all the same and counts what
 * comes from now on, as a second guard.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/process.h"
#include "supervise/adopt.h"
#include "supervise/enforce.h"
#include "supervise/life.h"
#include "supervise/registered.h"
#include "supervise/serve.h"
#include "supervise/story.h"
#include <string.h>

/* The process that is to be registered. */
typedef struct Target {
        ProcessIdentity process;
        int pidfd;    /* owned */
        char *cgroup; /* owned */
} Target;

static void target_deinit(Target *target) {
        (void)close_fd(target->pidfd);
        free(target->cgroup);
}

static bool refuse(const Request *q, const char *code, const char *message, const char *detail, const char *hint) {
        serve_refuse(q, code, message, detail, hint);
        return false;
}

/* The process is named, since one command line may register many; why may be NULL. */
static bool refuse_process(
        const Request *q, pid_t pid, const char *code, const char *message, const char *why, const char *hint) {
        _cleanup_(freep) char *detail = text_printf("pid %d%s%s", (int)pid, why ? ": " : "", why ? why : "");

        return refuse(q, code, message, detail, hint);
}

/* "/user.slice/…/init.scope": a manager; moved out of it, it could not manage any more. */
static bool is_manager(const char *cgroup) {
        const char *last = strrchr(cgroup, '/');

        return last && strcmp(last, "/init.scope") == 0;
}

static bool is_in_tree(const Supervisor *s, const char *cgroup) {
        size_t length = strlen(s->tree.cgroup);

        return length > 1 && strncmp(cgroup, s->tree.cgroup, length) == 0 &&
                (cgroup[length] == '/' || cgroup[length] == '\0');
}

static bool is_owners(const ProcessIdentity *p, uid_t uid) {
        return p->uid_real == uid && p->uid_effective == uid && p->uid_saved == uid;
}

/* The pidfd first: what is read afterwards is of the process that it stands for, as long as that lives. */
static bool find_target(const Request *q, Target *ret) {
        uint64_t start_ticks = 0;
        int pid;

        if (json_get_int(q->message->body, "pid", &pid) < 0 || pid <= 0)
                return refuse(q, "bad-request", "member \"pid\" is no process id", NULL, "Give the id of a process.");
        ret->pidfd = pidfd_open_pid(pid);
        if (ret->pidfd < 0 || process_identity(pid, &ret->process) < 0 || process_cgroup(pid, &ret->cgroup) < 0 ||
                ret->process.exiting || ret->process.state == 'Z' || pidfd_ended(ret->pidfd))
                return refuse_process(q, pid, "gone", "there is no such process", NULL,
                        "It has ended, or its main thread has, or it is a thread of another.");
        if (json_get_u64(q->message->body, "start_ticks", &start_ticks) == 0 && start_ticks != ret->process.start_ticks)
                return refuse_process(q, pid, "gone", "the process has ended, and its id is another's now", NULL,
                        "There is nothing left to supervise.");
        return true;
}

static bool may_register(const Request *q, const Target *t) {
        const ProcessIdentity *p = &t->process;
        const Run *run;

        if (q->message->uid != 0 && !is_owners(p, q->message->uid))
                return refuse_process(q, p->pid, "denied", "the process is not yours",
                        "its real, effective and saved uid must be your own", "Ask root to register it.");
        if (p->pid == 1 || p->kernel || is_manager(t->cgroup))
                return refuse_process(q, p->pid, "denied", "that process keeps the host, or a session, going", NULL,
                        "Register the process that does the work.");
        if (p->pid == getpid() || p->pid == recorder_pid(q->s->recorder))
                return refuse_process(q, p->pid, "denied", "the supervisor does not end itself", NULL,
                        "Register the process that does the work.");
        run = serve_run_around(q->s, p->pid);
        if (run)
                return refuse_process(q, p->pid, "denied", "the process belongs to a run already", run->id.text,
                        "See `scidexctl set` for other limits.");
        if (is_in_tree(q->s, t->cgroup))
                return refuse_process(q, p->pid, "denied", "the process keeps the tree of the runs", NULL,
                        "Register the process that does the work.");
        return true;
}

/* A run around the target, with its group; NULL: the refusal is sent. */
static Run *make_run(const Request *q, const Target *t, RunRequest *request) {
        _cleanup_(run_freep) Run *run = NULL;
        const char *what = "";
        int r;

        if (run_new(request, clock_realtime_usec(), clock_boottime_usec(), &run) < 0) {
                serve_refuse(q, "failed", "out of memory", NULL, NULL);
                return NULL;
        }
        run->uid = t->process.uid_real;
        run->registered = true;
        run->registered_by = q->message->uid;
        run->enforcement = ENFORCEMENT_SAMPLED;
        run->origin = strdup(t->cgroup);
        r = run->origin ? serve_make_group(q->s, run, &what) : -ENOMEM;
        if (r == 0)
                r = adopt_save(run, q->s->boot_id);
        if (r == 0)
                return TAKE_PTR(run);
        (void)enforce_remove(run);
        serve_refuse(q, "failed", *what ? what : "the run can't be noted in its group", strerror(-r),
                "See `scidexctl doctor`.");
        return NULL;
}

/* Main first: what it forks from then on is born inside. 0 or -errno, and nothing has changed. */
static int take_main(const Request *q, Run *run, const Target *t) {
        size_t moved;
        int r = registered_take(q->s, run, t->process.pid, t->process.start_ticks, t->pidfd);

        if (r == -ESRCH)
                serve_bring_back_strays(q->s, run); /* what the stranger has forked meanwhile, too */
        if (r < 0)
                return r;
        run->pid = t->process.pid;
        run->start_ticks = t->process.start_ticks;
        (void)process_comm(run->pid, run->comm);
        r = adopt_save_main(run);
        if (r < 0)
                (void)registered_release(q->s, run, &moved);
        return r;
}

static json_t *answer(const Request *q, const Run *run, size_t processes, int sweep) {
        _cleanup_(json_decrefp) json_t *reply = message_reply(q->op), *warnings = serve_warnings(q->s, run);
        uint64_t deadline_at = usec_add(run->launched_at, run->request.timeout_usec);
        char at[CLOCK_RFC3339_MAX];

        if (sweep < 0)
                (void)json_array_append_new(warnings,
                        json_string(sweep == -E2BIG
                                        ? "it has more children than can be taken over: the rest is not held"
                                        : "not all of its children could be taken over"));
        if (json_object_set_new(reply, "run_id", json_string(run->id.text)) < 0 ||
                json_object_set_new(reply, "analysis_id", json_from_text(run->request.analysis_id)) < 0 ||
                json_object_set_new(reply, "request", request_limits_to_json(&run->request)) < 0 ||
                json_object_set_new(reply, "deadline_at",
                        deadline_at == USEC_INFINITY ? json_null()
                                                     : json_string(clock_format_rfc3339(at, deadline_at))) < 0 ||
                json_object_set_new(reply, "processes", json_integer((json_int_t)processes)) < 0 ||
                json_object_set_new(reply, "enforcement", json_string("sampled")) < 0 ||
                json_object_set(reply, "warnings", warnings) < 0)
                return NULL;
        return TAKE_PTR(reply);
}

static void begin(const Request *q, Run *run, Target *t) {
        char memory[FORMAT_MAX], time[FORMAT_MAX];
        size_t moved = 0;
        int r;

        (void)life_add(q->s, run);
        life_main_is(q->s, run, TAKE_FD(t->pidfd));
        r = registered_sweep(q->s, run, &moved);
        client_charge(q->session->client, moved);
        story_tell(STORY_LAUNCH, LOG_LEVEL_INFO, run,
                "registered by uid %u with %zu processes: memory limit %s (sampled), time limit %s",
                (unsigned)run->registered_by, moved + 1, format_bytes(memory, run->request.memory_bytes),
                format_duration(time, run->request.timeout_usec));
        serve_answer(q, answer(q, run, moved + 1, r));
        life_look(q->s, run);
}

static bool take_request(const Request *q, RunRequest *request) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };

        if (request_from_json(json_object_get(q->message->body, "request"), request, &error) < 0)
                return refuse(q, "bad-request", error.message ? error.message : "out of memory", NULL, error.hint);
        if (request->require_kernel)
                return refuse(q, "unsupported", "the memory of what runs already can only be sampled", NULL,
                        "Start it with scidex-run instead.");
        return true;
}

void serve_register(const Request *q) {
        _cleanup_(request_deinit) RunRequest request = { 0 };
        _cleanup_(target_deinit) Target target = { .pidfd = -EBADF };
        _cleanup_(run_freep) Run *run = NULL;
        int r;

        if (q->s->draining)
                return serve_refuse(
                        q, "gone", "the supervisor is ending all runs and begins none", NULL, SERVE_HINT_DRAINING);
        if (q->s->tree.kind == TREE_NONE)
                return serve_refuse(q, "unsupported",
                        "no group can be made here, and only a group holds what runs already", q->s->tree_error.detail,
                        q->s->tree_error.hint);
        if (!take_request(q, &request) || !find_target(q, &target) || !may_register(q, &target) ||
                !serve_admit(q, target.process.uid_real, false, &request))
                return;
        run = make_run(q, &target, &request);
        if (!run)
                return;
        r = take_main(q, run, &target);
        if (r < 0) {
                (void)enforce_remove(run);
                (void)refuse_process(q, target.process.pid,
                        r == -ESRCH                           ? "gone"
                                : r == -EACCES || r == -EPERM ? "denied"
                                                              : "failed",
                        r == -ESRCH ? "the process has just ended" : "the process can't be moved into a group",
                        r == -ESRCH ? NULL : strerror(-r),
                        r == -ESRCH ? "There is nothing left to supervise."
                                    : "Ask the system supervisor for it, or start it with scidex-run.");
                return;
        }
        begin(q, TAKE_PTR(run), &target);
}

void serve_unregister(const Request *q) {
        _cleanup_(json_decrefp) json_t *reply = message_reply(q->op);
        size_t moved;
        Run *run;
        int r;

        run = serve_select_one(q);
        if (!run)
                return;
        if (!run->registered)
                return serve_refuse(q, "unsupported", "only what was registered can be let go", NULL,
                        "Lift its limits with `scidexctl set`, or end it with `scidexctl kill`.");
        if (!serve_may_change(q, run))
                return;
        if (run->phase > PHASE_RUNNING)
                return serve_refuse(q, "gone", "the run is being ended", NULL, "There is nothing left to let go of.");
        if (run->n_inner > 0)
                return serve_refuse(
                        q, "busy", "there are runs inside of it", NULL, "Wait for their end, or end them first.");
        r = registered_release(q->s, run, &moved);
        client_charge(q->session->client, moved);
        if (r == -E2BIG)
                return serve_refuse(q, "busy", "it has more processes than can be moved back at once", NULL,
                        "Let some of them end first, or lift its limits with `scidexctl set`.");
        if (r < 0)
                return serve_refuse(
                        q, "failed", "its processes can't be moved back", strerror(-r), "It stays under supervision.");
        log_run(LOG_LEVEL_NOTICE, run->id.text, run->request.analysis_id, "let go by uid %u",
                (unsigned)q->message->uid);
        (void)json_object_set_new(reply, "run_id", json_string(run->id.text));
        (void)json_object_set_new(reply, "analysis_id", json_from_text(run->request.analysis_id));
        (void)json_object_set_new(reply, "in_place", json_boolean(r == REGISTERED_E_IN_PLACE));
        serve_answer(q, json_incref(reply));
        registered_close(q->s, run);
}
