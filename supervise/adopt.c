/*
 * Save and load of a run's state in the xattrs of its group.
 *
 * Called at the launch, at each step of a kill, and by a supervisor that has just started.  The hard thing is what can
 * be half there: a crash may fall between any two writes.  `run` is written before the process starts, so a group
 * without it has never been used; without `main` the process was never reported; the marker is rewritten as a whole
 * each time.
 */
#include "supervise/adopt.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "supervise/handover.h"
#include "supervise/planted.h"
#include <string.h>
#include <sys/xattr.h>

#define XATTR_RUN  "user.scidex.run"
#define XATTR_MAIN "user.scidex.main"
#define XATTR_KILL HANDOVER_MARKER
#define XATTR_END  "user.scidex.end"

static int save(const Run *run, const char *name, json_t *object) {
        _cleanup_(json_decrefp) json_t *owned = object;
        _cleanup_(freep) char *text = owned ? json_to_text(owned) : NULL;

        return text ? xattr_write(run->group.fd, name, text) : -ENOMEM;
}

int adopt_save(const Run *run, const char *boot_id) {
        if (!run_is_grouped(run))
                return -EOPNOTSUPP;
        return save(run, XATTR_RUN,
                json_pack("{s:i, s:s, s:s, s:o, s:I, s:I, s:I, s:i, s:I, s:b, s:b, s:b, s:b, s:b, s:b, s:I, s:o, s:b, "
                          "s:b, s:I}",
                        "v", 1, "run_id", run->id.text, "boot_id", boot_id, "request", request_to_json(&run->request),
                        "launched_at", (json_int_t)run->launched_at, "launched_usec", (json_int_t)run->launched_usec,
                        "uid", (json_int_t)run->uid, "launcher_pid", (int)run->launcher_pid, "launcher_start_ticks",
                        (json_int_t)run->launcher_start_ticks, "sampled", run->enforcement == ENFORCEMENT_SAMPLED,
                        "kept_memory", run->kept.memory, "kept_swap", run->kept.swap, "kept_pids", run->kept.pids,
                        "registered", run->registered, "letting_go", run->letting_go, "registered_by",
                        (json_int_t)run->registered_by, "origin", json_from_text(run->origin), "setting", run->setting,
                        "warned", run->warned, "warned_at", (json_int_t)run->warned_at));
}

int adopt_save_main(const Run *run) {
        if (!run_is_grouped(run))
                return -EOPNOTSUPP;
        return save(run, XATTR_MAIN,
                json_pack("{s:i, s:I, s:o}", "pid", (int)run->pid, "start_ticks", (json_int_t)run->start_ticks, "comm",
                        json_from_text(run->comm)));
}

int adopt_save_kill(const Run *run) {
        const Kill *k = &run->kill;

        if (PLANTED(PLANTED_NO_MARKER))
                return 0;
        if (!run_is_grouped(run))
                return -EOPNOTSUPP;
        if (!run_has_kill(run))
                return fremovexattr(run->group.fd, XATTR_KILL) < 0 && errno != ENODATA ? -errno : 0;
        return save(run, XATTR_KILL,
                json_pack("{s:s, s:i, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:I}", "event_id", k->event_id.text,
                        "seq", (int)k->seq, "reason", verdict_to_string(k->reason), "detail", json_from_text(k->detail),
                        "decided_at", (json_int_t)k->decided_at, "term_at", (json_int_t)k->term_at, "kill_at",
                        (json_int_t)k->kill_at, "grace_end_usec", (json_int_t)k->grace_end_usec, "term_processes",
                        (json_int_t)k->term_processes, "by_kernel", k->by_kernel, "processes",
                        k->processes.list ? json_incref(k->processes.list) : json_null(), "processes_count",
                        (json_int_t)k->processes.count));
}

int adopt_save_end(const Run *run) {
        if (!run_is_grouped(run))
                return -EOPNOTSUPP;
        return save(run, XATTR_END,
                json_pack("{s:s, s:o, s:I, s:I, s:b, s:i, s:i, s:i, s:b}", "verdict", verdict_to_string(run->verdict),
                        "detail", json_from_text(run->verdict_detail), "ended_at", (json_int_t)run->ended_at,
                        "ended_usec", (json_int_t)run->ended_usec, "status_known", run->status_known, "wait_status",
                        run->wait_status, "exec_errno", run->exec_errno, "forwarded", run->forwarded, "backstop",
                        run->backstop));
}

static int load(int fd, const char *name, json_t **ret) {
        _cleanup_(freep) char *text = NULL;
        int r = xattr_read(fd, name, &text);

        if (r < 0)
                return r;
        r = json_parse(text, strlen(text), ret);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        if (json_is_object(*ret))
                return 0;
        json_decref(*ret);
        *ret = NULL;
        return -EBADMSG;
}

static uint64_t number(const json_t *object, const char *key) {
        uint64_t value = 0;

        return json_get_u64(object, key, &value) == 0 ? value : 0;
}

static bool truth(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}

static void load_registered(const json_t *o, Run *run) {
        const char *origin;

        run->registered = truth(o, "registered");
        run->letting_go = truth(o, "letting_go");
        run->registered_by = (uid_t)number(o, "registered_by");
        if (json_get_text(o, "origin", &origin) == 0)
                run->origin = strdup(origin);
}

static int load_run(const json_t *o, const char *boot_id, Run **ret) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest request = { 0 };
        const char *id, *boot;
        int r;

        if (json_get_text(o, "run_id", &id) < 0 || !uuid_valid(id) || json_get_text(o, "boot_id", &boot) < 0 ||
                strcmp(boot, boot_id) != 0 || request_from_json(json_object_get(o, "request"), &request, &error) < 0)
                return ADOPT_E_FOREIGN;
        r = run_new(&request, number(o, "launched_at"), number(o, "launched_usec"), ret);
        if (r < 0)
                return r;
        if (PLANTED(PLANTED_NEW_DEADLINE))
                (*ret)->deadline_usec = usec_add(clock_boottime_usec(), (*ret)->request.timeout_usec);
        memcpy((*ret)->id.text, id, UUID_TEXT_MAX);
        (*ret)->uid = (uid_t)number(o, "uid");
        (*ret)->launcher_pid = (pid_t)number(o, "launcher_pid");
        (*ret)->launcher_start_ticks = number(o, "launcher_start_ticks");
        (*ret)->enforcement = truth(o, "sampled") ? ENFORCEMENT_SAMPLED : ENFORCEMENT_KERNEL;
        (*ret)->setting = truth(o, "setting");
        (*ret)->warned = truth(o, "warned");
        (*ret)->warned_at = number(o, "warned_at");
        load_registered(o, *ret);
        (*ret)->kept = (LimitsKept){ .memory = truth(o, "kept_memory"),
                .swap = truth(o, "kept_swap"),
                .pids = truth(o, "kept_pids"),
                .memory_high = truth(o, "kept_memory"),
                .cpu = truth(o, "kept_pids"),
                .memory_bytes = (*ret)->request.memory_bytes };
        return 0;
}

static void load_main(Run *run) {
        _cleanup_(json_decrefp) json_t *o = NULL;
        const char *comm;

        if (load(run->group.fd, XATTR_MAIN, &o) < 0 || number(o, "pid") == 0 || number(o, "pid") > INT_MAX)
                return;
        run->pid = (pid_t)number(o, "pid");
        run->start_ticks = number(o, "start_ticks");
        if (json_get_text(o, "comm", &comm) == 0)
                (void)snprintf(run->comm, sizeof(run->comm), "%s", comm);
        run->phase = PHASE_RUNNING;
}

static void load_kill(Run *run) {
        _cleanup_(json_decrefp) json_t *o = NULL;
        const char *id, *reason, *detail = NULL;
        Kill *k = &run->kill;

        if (load(run->group.fd, XATTR_KILL, &o) < 0 || json_get_text(o, "event_id", &id) < 0 || !uuid_valid(id) ||
                json_get_text(o, "reason", &reason) < 0 || verdict_from_string(reason) < 0)
                return;
        *k = (Kill){ .seq = (unsigned)number(o, "seq"),
                .reason = verdict_from_string(reason),
                .decided_at = number(o, "decided_at"),
                .term_at = number(o, "term_at"),
                .kill_at = number(o, "kill_at"),
                .grace_end_usec = number(o, "grace_end_usec"),
                .term_processes = number(o, "term_processes"),
                .by_kernel = truth(o, "by_kernel"),
                .processes = { .count = number(o, "processes_count") },
                .charge = run_charge(&USAGE_NONE) };
        memcpy(k->event_id.text, id, UUID_TEXT_MAX);
        if (json_get_text(o, "detail", &detail) == 0)
                k->detail = strdup(detail);
        if (json_is_array(json_object_get(o, "processes")))
                k->processes.list = json_incref(json_object_get(o, "processes"));
        run->phase = k->kill_at || k->by_kernel ? PHASE_KILLING : PHASE_GRACE;
}

static void load_end(Run *run) {
        _cleanup_(json_decrefp) json_t *o = NULL;
        const char *verdict, *detail = NULL;

        if (load(run->group.fd, XATTR_END, &o) < 0 || json_get_text(o, "verdict", &verdict) < 0 ||
                verdict_from_string(verdict) < 0)
                return;
        run->verdict = verdict_from_string(verdict);
        if (json_get_text(o, "detail", &detail) == 0) {
                run->end_detail = strdup(detail);
                run->verdict_detail = run->end_detail;
        }
        run->ended_at = number(o, "ended_at");
        run->ended_usec = number(o, "ended_usec");
        run->kill.empty_at = run_has_kill(run) ? run->ended_at : 0;
        run->status_known = truth(o, "status_known");
        run->backstop = truth(o, "backstop");
        (void)json_get_int(o, "wait_status", &run->wait_status);
        (void)json_get_int(o, "exec_errno", &run->exec_errno);
        (void)json_get_int(o, "forwarded", &run->forwarded);
        run->main_exited = run->end_saved = true;
        run->phase = PHASE_ENDING;
}

int adopt_load(int parent_fd, const char *name, const char *boot_id, Run **ret) {
        _cleanup_(json_decrefp) json_t *o = NULL;
        _cleanup_(group_deinit) Group group = GROUP_NONE;
        _cleanup_(run_freep) Run *run = NULL;
        int r;

        r = group_open(parent_fd, name, &group);
        if (r != 0)
                return r == GROUP_E_GONE ? -ENOENT : r;
        r = load(group.fd, XATTR_RUN, &o);
        if (r == -ENODATA || r == -EBADMSG)
                return ADOPT_E_FOREIGN;
        if (r < 0)
                return r;
        r = load_run(o, boot_id, &run);
        if (r != 0)
                return r;
        run->group = group;
        group = GROUP_NONE;
        load_main(run);
        load_kill(run);
        load_end(run);
        *ret = TAKE_PTR(run);
        return 0;
}

bool adopt_process_lives(pid_t pid, uint64_t start_ticks) {
        ProcessIdentity process;

        int r = pid > 0 ? process_identity(pid, &process) : -ESRCH;

        if (r < 0)
                return r != -ESRCH;
        return process.start_ticks == start_ticks &&
                !(process.exiting && (process.state == 'Z' || process.state == 'X'));
}
