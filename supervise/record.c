/*
 * Run and Kill to JSON: one function per object, members in the order of docs/protocol.md.
 *
 * Called for every row that is stored or shown.  The hard thing is honesty about what is not known: a counter that this
 * kernel has not is null, never 0, and anonymous memory after a kernel kill (it is gone by then) is the last look's
 * figure, or derived from the limit and said to be.
 */
#include "supervise/record.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include <string.h>
#include <sys/wait.h>

static int set(json_t *object, const char *key, json_t *value) {
        return json_object_set_new(object, key, value ? value : json_null());
}

static int set_text(json_t *object, const char *key, const char *text) {
        return set(object, key, json_from_text(text));
}

static int set_u64(json_t *object, const char *key, uint64_t value) {
        return set(object, key, json_from_u64(value));
}

static int set_sec(json_t *object, const char *key, uint64_t usec) {
        return set(object, key, usec == USEC_INFINITY ? json_null() : json_real((double)usec / (double)USEC_PER_SEC));
}

static int set_at(json_t *object, const char *key, uint64_t realtime) {
        char buffer[CLOCK_RFC3339_MAX];

        if (realtime == 0 || realtime == USEC_INFINITY)
                return set(object, key, json_null());
        return set_text(object, key, clock_format_rfc3339(buffer, realtime));
}

json_t *record_not_enforced(const Run *run) {
        const RunRequest *r = &run->request;
        const LimitsKept *k = &run->kept;
        const struct {
                const char *name;
                bool missing;
        } limits[] = {
                { "memory", r->memory_bytes != SIZE_INFINITY && !k->memory && run->enforcement != ENFORCEMENT_SAMPLED },
                { "memory_high", r->memory_high_bytes != SIZE_INFINITY && !k->memory_high },
                { "swap", r->memory_bytes != SIZE_INFINITY && r->swap_bytes != SIZE_INFINITY && !k->swap },
                { "pids", r->pids != UINT64_MAX && !k->pids },
                { "cpu", r->cpu_centi != UINT64_MAX && !k->cpu },
        };
        _cleanup_(json_decrefp) json_t *list = json_array();

        for (size_t i = 0; i < ELEMENTSOF(limits); i++)
                if (limits[i].missing && json_array_append_new(list, json_string(limits[i].name)) < 0)
                        return NULL;
        return TAKE_PTR(list);
}

/* Arguments may be secrets. The words were joined by blanks: the first is what the command was called by. */
static int record_cmdline(json_t *o, RecordCmdline how, const RunRequest *r) {
        _cleanup_(freep) char *name = NULL;

        if (how == RECORD_CMDLINE_NO)
                return set(o, "cmdline", NULL) || set(o, "cmdline_length", NULL);
        if (how == RECORD_CMDLINE_ARGV0 && r->cmdline) {
                name = strndup(r->cmdline, strcspn(r->cmdline, " "));
                if (!name)
                        return -ENOMEM;
        }
        return set_text(o, "cmdline", name ? name : r->cmdline) || set_u64(o, "cmdline_length", r->cmdline_length);
}

static int record_identity(json_t *o, const RecordHost *host, const Run *run) {
        return set_text(o, "run_id", run->id.text) || set_text(o, "analysis_id", run->request.analysis_id) ||
                set_text(o, "host", host->host) || set_text(o, "boot_id", host->boot_id) ||
                set_u64(o, "uid", run->uid) || set(o, "pid", run->pid ? json_integer(run->pid) : NULL) ||
                set_text(o, "comm", run->comm[0] ? run->comm : NULL) ||
                record_cmdline(o, host->cmdline, &run->request) ||
                set(o, "launcher_pid", run->launcher_pid ? json_integer(run->launcher_pid) : NULL) ||
                set_text(o, "outer_run_id", run->outer ? run->outer->id.text : NULL) ||
                set(o, "labels", run->request.labels ? json_incref(run->request.labels) : json_object());
}

static int record_times(json_t *o, const Run *run, uint64_t now_usec) {
        uint64_t end = run->ended_usec ? run->ended_usec : now_usec;

        return set_at(o, "launched_at", run->launched_at) ||
                set_at(o, "deadline_at", usec_add(run->launched_at, run->request.timeout_usec)) ||
                set_at(o, "ended_at", run->ended_at) || set_sec(o, "duration_sec", usec_sub(end, run->launched_usec)) ||
                (run->warned_at && set_at(o, "warned_at", run->warned_at));
}

static int record_status(json_t *o, const Run *run) {
        bool exited = run->status_known && WIFEXITED(run->wait_status);
        bool signalled = run->status_known && WIFSIGNALED(run->wait_status);

        return set(o, "exit_status", exited ? json_integer(WEXITSTATUS(run->wait_status)) : NULL) ||
                set_text(o, "exit_signal", signalled ? signal_to_name(WTERMSIG(run->wait_status)) : NULL);
}

static int record_asked(json_t *o, const RunRequest *r) {
        return set_sec(o, "timeout_sec", r->timeout_usec) || set_sec(o, "cpu_limit_sec", r->cpu_time_usec) ||
                set_sec(o, "grace_sec", r->grace_usec) || set_sec(o, "thrash_sec", r->thrash_usec) ||
                set_u64(o, "memory_limit_bytes", r->memory_bytes) ||
                set_u64(o, "memory_high_bytes", r->memory_high_bytes) ||
                set_u64(o, "swap_limit_bytes", r->swap_bytes) || set_u64(o, "pids_limit", r->pids) ||
                set(o, "cpus", r->cpu_centi == UINT64_MAX ? NULL : json_real((double)r->cpu_centi / 100)) ||
                set_text(o, "term_signal", signal_to_name(r->term_signal));
}

/* The sampler's figure where it samples (unknown before its first look), else the kernel's. */
static uint64_t sampled_or(const Run *run, uint64_t sampled_bytes, uint64_t kernel_bytes) {
        if (run->enforcement != ENFORCEMENT_SAMPLED)
                return kernel_bytes;
        return run->watch.peak_bytes != 0 ? sampled_bytes : USAGE_UNKNOWN;
}

static int record_memory(json_t *o, const Run *run, const Usage *u) {
        return set_u64(o, "memory_bytes", sampled_or(run, run->watch.private_bytes, u->memory_bytes)) ||
                set_u64(o, "memory_peak_bytes", sampled_or(run, run->watch.peak_bytes, u->memory_peak_bytes)) ||
                set_u64(o, "anon_bytes", u->anon_bytes) || set_u64(o, "file_bytes", u->file_bytes) ||
                set_u64(o, "shmem_bytes", u->shmem_bytes) ||
                set_u64(o, "private_peak_bytes", run->private_peak_bytes ? run->private_peak_bytes : USAGE_UNKNOWN) ||
                set_u64(o, "swap_bytes", u->swap_bytes) || set_u64(o, "oom_events", u->oom) ||
                set_u64(o, "oom_kill_events", u->oom_kill_local) || set_u64(o, "max_events", u->max_events);
}

static int record_usage(json_t *o, const Usage *u) {
        return set_u64(o, "pids", u->pids) || set_u64(o, "pids_peak", u->pids_peak) ||
                set_u64(o, "pids_max_events", u->pids_max_events) || set_sec(o, "cpu_sec", u->cpu_usec) ||
                set_sec(o, "cpu_user_sec", u->cpu_user_usec) || set_sec(o, "cpu_system_sec", u->cpu_system_usec) ||
                set_sec(o, "cpu_throttled_sec", u->cpu_throttled_usec) ||
                set_sec(o, "psi_memory_some_sec", u->psi_memory_some_usec) ||
                set_sec(o, "psi_memory_full_sec", u->psi_memory_full_usec) ||
                set_sec(o, "psi_cpu_some_sec", u->psi_cpu_some_usec) ||
                set_sec(o, "psi_io_some_sec", u->psi_io_some_usec) ||
                set_sec(o, "psi_io_full_sec", u->psi_io_full_usec) || set_u64(o, "io_read_bytes", u->io_read_bytes) ||
                set_u64(o, "io_write_bytes", u->io_write_bytes);
}

static int record_means(json_t *o, const Run *run) {
        return set_text(o, "enforcement", run->enforcement == ENFORCEMENT_SAMPLED ? "sampled" : "kernel") ||
                set_text(o, "containment", run_is_grouped(run) ? "group" : "descendants") ||
                set(o, "not_enforced", record_not_enforced(run)) ||
                (run->registered && set(o, "registered", json_true())) ||
                (run->launch_usec != USEC_INFINITY && set_sec(o, "launch_sec", run->launch_usec));
}

char *record_group_path(const RecordHost *host, const Run *run) {
        _cleanup_(freep) char *outer = NULL;
        char *path = NULL;

        if (!host->tree_path || !run_is_grouped(run))
                return NULL;
        outer = run->outer ? record_group_path(host, run->outer) : strdup(host->tree_path);
        if (outer && asprintf(&path, "%s/%s", outer, run->group.name) < 0)
                return NULL;
        return path;
}

json_t *record_run(const RecordHost *host, const Run *run, uint64_t now_usec) {
        _cleanup_(json_decrefp) json_t *o = json_object();
        _cleanup_(freep) char *path = record_group_path(host, run);

        if (!o || record_identity(o, host, run) || record_times(o, run, now_usec) || record_status(o, run) ||
                record_asked(o, &run->request) || record_memory(o, run, &run->usage) || record_usage(o, &run->usage) ||
                record_means(o, run) || set_text(o, "state", phase_to_string(run->phase)) ||
                set_text(o, "verdict", verdict_to_string(run->verdict)) || set_text(o, "detail", run->verdict_detail) ||
                set_text(o, "group", path) || set(o, "events", json_integer(run_has_kill(run) ? 1 : 0)))
                return NULL;
        return TAKE_PTR(o);
}

static json_t *record_signals(const Run *run) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        const Kill *k = &run->kill;
        char buffer[CLOCK_RFC3339_MAX];

        if (k->term_at != 0 &&
                json_array_append_new(list,
                        json_pack("{s:s, s:s, s:I}", "signal", signal_to_name(run->request.term_signal), "at",
                                clock_format_rfc3339(buffer, k->term_at), "processes", (json_int_t)k->term_processes)) <
                        0)
                return NULL;
        if (k->kill_at != 0 &&
                json_array_append_new(list,
                        json_pack("{s:s, s:s}", "signal", "KILL", "at", clock_format_rfc3339(buffer, k->kill_at))) < 0)
                return NULL;
        return TAKE_PTR(list);
}

static json_t *record_evidence(const Run *run) {
        _cleanup_(json_decrefp) json_t *o = json_object();
        const Kill *k = &run->kill;
        const Watch *w = &run->watch;

        if (set_u64(o, "own_oom_events", run->usage.oom) ||
                set_u64(o, "own_oom_kill_events", run->usage.oom_kill_local) ||
                set_u64(o, "oom_kill_events_below", run->usage.oom_kill) ||
                set_u64(o, "own_max_events", run->usage.max_events) || set(o, "by_kernel", json_boolean(k->by_kernel)))
                return NULL;
        if (run->enforcement == ENFORCEMENT_SAMPLED && k->reason == VERDICT_MEMORY &&
                (set_u64(o, "pss_bytes", k->private_bytes) || set_u64(o, "rss_sum_bytes", k->shared_bytes)))
                return NULL;
        if (w->stall_window_usec != 0 &&
                (set_sec(o, "stall_sec", w->stall_usec) || set_sec(o, "stall_window_sec", w->stall_window_usec)))
                return NULL;
        return TAKE_PTR(o);
}

/*
 * After a kernel kill the anonymous memory is gone before anyone can look, file and shmem pages stay charged. What is
 * missing up to the peak was anonymous (or the kernel's own, some MiB): derived where the last look is no longer true.
 */
static int record_split(json_t *o, const Run *run) {
        const Charge *then = &run->kill.charge;
        const Usage *last = &run->usage;
        uint64_t peak = last->memory_peak_bytes, rest;

        if (!run->kill.by_kernel || peak == USAGE_UNKNOWN || last->file_bytes == USAGE_UNKNOWN ||
                last->shmem_bytes == USAGE_UNKNOWN)
                return set_u64(o, "anon_bytes", then->anon_bytes) || set_u64(o, "file_bytes", then->file_bytes) ||
                        set_u64(o, "shmem_bytes", then->shmem_bytes) ||
                        set_u64(o, "memory_bytes", sampled_or(run, run->kill.private_bytes, then->memory_bytes));
        /* file includes shmem */
        rest = peak > last->file_bytes ? peak - last->file_bytes : 0;
        return set_u64(o, "anon_bytes", MAX_OF(rest, then->anon_bytes == USAGE_UNKNOWN ? 0 : then->anon_bytes)) ||
                set_u64(o, "file_bytes", last->file_bytes) || set_u64(o, "shmem_bytes", last->shmem_bytes) ||
                json_object_set_new(json_object_get(o, "evidence"), "anon_derived_from_peak", json_true()) ||
                set_u64(o, "memory_bytes", MIN_OF(peak, run->request.memory_bytes));
}

/* After a kernel kill the launcher may have found more of the dead than the last look had seen. */
static const ProcessList *killed_list(const Run *run) {
        return run->kill.by_kernel && run->found_dead.count >= run->kill.processes.count ? &run->found_dead
                                                                                         : &run->kill.processes;
}

json_t *record_event(const RecordHost *host, const Run *run, uint64_t now_usec) {
        _cleanup_(json_decrefp) json_t *o = record_run(host, run, now_usec);
        const Kill *k = &run->kill;
        const ProcessList *killed = killed_list(run);
        uint64_t limit = run->request.memory_bytes;
        bool over = run->enforcement == ENFORCEMENT_SAMPLED && run->watch.peak_bytes > limit;

        if (!o || set_text(o, "event_id", k->event_id.text) || set_u64(o, "seq", k->seq) ||
                set_text(o, "reason", verdict_to_string(k->reason)) || set_text(o, "detail", k->detail) ||
                set(o, "signals", record_signals(run)) || set_at(o, "decided_at", k->decided_at) ||
                set_at(o, "term_at", k->term_at) || set_at(o, "kill_at", k->kill_at) ||
                set_at(o, "empty_at", k->empty_at) ||
                set(o, "processes_killed", killed->list ? json_integer((json_int_t)killed->count) : NULL) ||
                set(o, "processes", killed->list ? json_incref(killed->list) : json_array()) ||
                set_u64(o, "overshoot_bytes", over ? run->watch.peak_bytes - limit : USAGE_UNKNOWN) ||
                set(o, "evidence", record_evidence(run)) || set(o, "timeline", timeline_to_json(&run->timeline)) ||
                record_split(o, run))
                return NULL;
        (void)json_object_del(o, "state");
        (void)json_object_del(o, "verdict");
        (void)json_object_del(o, "events");
        (void)json_object_del(o, "group");
        return TAKE_PTR(o);
}

json_t *record_event_brief(const json_t *event) {
        static const char *const lists[] = { "processes", "timeline", "signals", "evidence" };
        _cleanup_(json_decrefp) json_t *brief = json_copy((json_t *)event);

        if (!brief)
                return NULL;
        for (size_t i = 0; i < ELEMENTSOF(lists); i++)
                (void)json_object_del(brief, lists[i]);
        return TAKE_PTR(brief);
}
