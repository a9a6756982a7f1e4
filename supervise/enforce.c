/*
 * The hand of the supervisor.
 *
 * Called by supervisor.c when decide() has spoken.  The hard thing is the order: the marker goes into the group before
 * the first signal, so that a crash between the two can neither lose nor double the event; and what is listed as killed
 * is looked at before the first signal, because afterwards there is nothing to look at.
 */
#include "supervise/enforce.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "supervise/adopt.h"
#include "supervise/descend.h"
#include <assert.h>
#include <signal.h>
#include <string.h>

/* cgroup.kill sends to each thread by itself, and passes by a process whose leader has ended (__cgroup_kill(),
 * kernel/cgroup/cgroup.c): who is still there after this many tries is killed one by one. */
#define KILL_EACH_AFTER 3

#define DESCEND_SWEEPS_MAX 8 /* as GROUP_SWEEPS_MAX: a fork bomb outruns it, the grace bounds that */

/* Whose pid it has become must not have its children taken for the run's. */
static bool launcher_is_itself(const Run *run) {
        ProcessIdentity process;

        return process_identity(run->launcher_pid, &process) == 0 && process.start_ticks == run->launcher_start_ticks;
}

int enforce_each_process(const Run *run, GroupProcessFunc func, void *userdata) {
        if (run_is_grouped(run))
                return group_each_process(&run->group, func, userdata);
        return descend_each(launcher_is_itself(run) ? run->launcher_pid : -1, run->id.text, func, userdata);
}

typedef struct Listing {
        const Run *run;
        json_t *list; /* owned by the caller */
        size_t count;
} Listing;

static int list_process(pid_t pid, void *userdata) {
        Listing *listing = userdata;
        char comm[16] = "";
        uint64_t rss = UINT64_MAX;
        json_t *row;

        if (json_array_size(listing->list) >= KILL_PROCESSES_MAX && pid != listing->run->pid) {
                listing->count++; /* not looked at: the signal waits until all are counted */
                return 0;
        }
        if (pid != listing->run->pid && process_is_exiting(pid))
                return 0;
        listing->count++;
        (void)process_comm(pid, comm);
        (void)process_rss(pid, &rss);
        row = json_pack(
                "{s:i, s:o, s:o}", "pid", (int)pid, "comm", json_from_text(comm), "rss_bytes", json_from_u64(rss));
        if (pid == listing->run->pid)
                return json_array_insert_new(listing->list, 0, row) < 0 ? -ENOMEM : 0;
        return json_array_append_new(listing->list, row) < 0 ? -ENOMEM : 0;
}

int enforce_list(const Run *run, ProcessList *ret) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        Listing listing = { .run = run, .list = list };
        int r;

        if (!list)
                return -ENOMEM;
        r = enforce_each_process(run, list_process, &listing);
        if (r != 0)
                return r;
        process_list_deinit(ret);
        *ret = (ProcessList){ .list = TAKE_PTR(list), .count = listing.count };
        return 0;
}

static int any_process(pid_t pid, void *userdata) {
        return 1;
}

static int any_living(pid_t pid, void *userdata) {
        return !process_is_doomed(pid);
}

bool enforce_only_dying(const Run *run) {
        return enforce_each_process(run, any_living, NULL) == 0;
}

bool enforce_is_empty(const Run *run) {
        bool populated = true;
        int r;

        if (!run_is_grouped(run))
                return enforce_each_process(run, any_process, NULL) == 0;
        r = group_is_populated(&run->group, &populated);
        return r == GROUP_E_GONE || (r == 0 && !populated);
}

/* The last look's list; a run that never was looked at had at least its main process. */
static void list_as_last_seen(Run *run) {
        if (run->processes.list && run->processes.count > 0)
                run->kill.processes = (ProcessList){ json_incref(run->processes.list), run->processes.count };
        else if (run->pid != 0)
                run->kill.processes = (ProcessList){
                        .list = json_pack("[{s:i, s:o, s:n}]", "pid", (int)run->pid, "comm", json_from_text(run->comm),
                                "rss_bytes"),
                        .count = 1,
                };
}

void enforce_begin(Run *run, Verdict reason, const char *detail, bool by_kernel, uint64_t now_realtime) {
        Kill *kill = &run->kill;

        assert(!kill->sent); /* else it stands in the supervisor's queue */
        *kill = (Kill){ .event_id = uuid_new(now_realtime),
                .seq = 1,
                .reason = reason,
                .detail = detail ? strdup(detail) : NULL, /* without memory for the word the kill goes on */
                .decided_at = now_realtime,
                .by_kernel = by_kernel,
                .charge = run_charge(&run->usage),
                .private_bytes = run->watch.private_bytes,
                .shared_bytes = run->watch.rss_bytes };
        (void)enforce_list(run, &kill->processes);
        if (by_kernel && kill->processes.count == 0) {
                process_list_deinit(&kill->processes);
                list_as_last_seen(run);
        }
        (void)adopt_save_kill(run);
}

void enforce_withdraw(Run *run) {
        free(run->kill.detail);
        process_list_deinit(&run->kill.processes);
        run->kill = (Kill){ 0 };
        (void)adopt_save_kill(run);
}

typedef struct Sweep {
        int signal;
        size_t reached;
} Sweep;

static int sweep_process(pid_t pid, void *userdata) {
        Sweep *sweep = userdata;
        _cleanup_(close_fdp) int pidfd = pidfd_open_pid(pid);

        if (pidfd < 0)
                return 0;
        if (pidfd_signal(pidfd, sweep->signal) == 0)
                sweep->reached++;
        if (sweep->signal != SIGKILL)
                (void)pidfd_signal(pidfd, SIGCONT);
        return 0;
}

static int descend_signal(const Run *run, int signal, size_t *ret_reached) {
        Sweep sweep = { .signal = signal };
        unsigned sweeps = signal == SIGKILL ? DESCEND_SWEEPS_MAX : 1;
        int r = 0;

        for (unsigned i = 0; i < sweeps && r == 0 && (i == 0 || !enforce_is_empty(run)); i++)
                r = enforce_each_process(run, sweep_process, &sweep);
        *ret_reached = sweep.reached;
        return r;
}

/* A main process that has left its group (systemd-run, a container engine, root) still is the run's. */
static size_t signal_escaped(const Run *run, int signal) {
        return run->pidfd >= 0 && !pidfd_ended(run->pidfd) && pidfd_signal(run->pidfd, signal) == 0;
}

int enforce_term(Run *run, uint64_t now_realtime, uint64_t now_boottime) {
        size_t reached = 0;
        int r;

        run->kill.term_at = now_realtime;
        run->kill.grace_end_usec = usec_add(now_boottime, run->request.grace_usec);
        r = run_is_grouped(run) ? group_signal(&run->group, run->request.term_signal, &reached)
                                : descend_signal(run, run->request.term_signal, &reached);
        run->kill.term_processes = reached ? reached : signal_escaped(run, run->request.term_signal);
        (void)adopt_save_kill(run);
        return r == GROUP_E_GONE ? 0 : r;
}

int enforce_kill(Run *run, uint64_t now_realtime) {
        size_t reached;
        int r;

        if (run->kill.kill_at == 0) {
                run->kill.kill_at = now_realtime;
                (void)adopt_save_kill(run);
        }
        r = run_is_grouped(run) ? group_kill(&run->group) : descend_signal(run, SIGKILL, &reached);
        if (run_is_grouped(run) && run->n_retries >= KILL_EACH_AFTER)
                (void)group_signal(&run->group, SIGKILL, &reached);
        (void)signal_escaped(run, SIGKILL);
        return r == GROUP_E_GONE ? 0 : r;
}

int enforce_remove(Run *run) {
        return run_is_grouped(run) ? group_remove(&run->group) : 0;
}
