/*
 * The eye of the supervisor.
 *
 * Called when something may have changed and when a timer says so.  Two hard things.  Sampling: the RSS of processes
 * that share memory counts it many times over, the exact figure (PSS) costs a walk over page tables; so PSS is taken
 * only where the RSS sum is above the limit, and then always: a child that writes to what it shares with its parent
 * doubles the memory in use while the RSS sum stands still.  Thrashing: a group at its limit may be well (a reader of
 * a large file) or stand still; only the stall totals over a whole window tell the two apart, and only a group that was
 * in reclaim at its limit is measured at all.
 */
#include "supervise/watch.h"

#include "base/clock.h"
#include "base/process.h"
#include "supervise/enforce.h"
#include "supervise/measure.h"
#include <string.h>

#define WATCH_COST_SHARE 10 /* a look takes at most this part of the time until the next */
#define WATCH_COST_MAX_USEC \
        (10 * USEC_PER_SEC)   /* nor is a look longer than that: the machine was suspended, or we were stopped */
#define LIST_SHARE_PERCENT 50 /* above it a look also lists who is alive: the next look may come too late */

static void note_private(Run *run) {
        const Usage *u = &run->usage;
        uint64_t private_bytes;

        if (u->anon_bytes == USAGE_UNKNOWN || u->shmem_bytes == USAGE_UNKNOWN)
                return;
        private_bytes = u->anon_bytes + u->shmem_bytes;
        run->private_peak_bytes = MAX_OF(run->private_peak_bytes, private_bytes);
}

int watch_look(Run *run) {
        Usage usage = USAGE_NONE;
        int r;

        if (!run_is_grouped(run))
                return 0;
        r = usage_read(run->group.fd, &usage);
        if (r != 0)
                return r;
        run->usage = usage;
        note_private(run);
        return 0;
}

static uint64_t memory_now(const Run *run) {
        if (run->enforcement == ENFORCEMENT_SAMPLED)
                return run->watch.private_bytes;
        return run->usage.memory_bytes == USAGE_UNKNOWN ? 0 : run->usage.memory_bytes;
}

static bool is_large(const Run *run) {
        return run->request.memory_bytes != UINT64_MAX &&
                memory_now(run) >= run->request.memory_bytes / 100 * LIST_SHARE_PERCENT;
}

int watch_oom(Run *run, bool *ret_max_grew) {
        uint64_t before = run->watch.max_events;
        int r;

        *ret_max_grew = false;
        if (!run_is_grouped(run))
                return 0;
        r = usage_read_oom(run->group.fd, &run->usage);
        if (r != 0)
                return r;
        if (run->usage.max_events != USAGE_UNKNOWN && run->usage.max_events > before) {
                run->watch.max_events = run->usage.max_events;
                *ret_max_grew = true;
        }
        return 0;
}

typedef struct Sum {
        uint64_t rss, pss;
} Sum;

static int add_rss(pid_t pid, void *userdata) {
        Sum *sum = userdata;
        uint64_t rss;

        if (process_rss(pid, &rss) == 0)
                sum->rss += rss;
        return 0;
}

static int add_pss(pid_t pid, void *userdata) {
        Sum *sum = userdata;
        uint64_t anon, shmem, file, rss;

        if (process_rss(pid, &rss) < 0)
                return 0;
        sum->rss += rss;
        /* Another user's process may refuse: then only the upper bound is to be had. */
        sum->pss += process_pss(pid, &anon, &shmem, &file) == 0 ? anon + shmem : rss;
        return 0;
}

typedef struct Pids {
        pid_t *pids; /* owned */
        size_t n, allocated;
} Pids;

static void pids_deinit(Pids *list) {
        free(list->pids);
}

static int add_pid(pid_t pid, void *userdata) {
        Pids *list = userdata;

        if (list->n == list->allocated) {
                size_t more = list->allocated ? list->allocated * 2 : 64;
                pid_t *pids = reallocarray(list->pids, more, sizeof(pid_t));

                if (!pids)
                        return -ENOMEM;
                list->pids = pids;
                list->allocated = more;
        }
        list->pids[list->n++] = pid;
        return 0;
}

/* Of another user, who could keep us waiting: what can't be measured in time is held to the upper bound. */
static int sum_aside(const Run *run, Sum *ret) {
        _cleanup_(pids_deinit) Pids list = { 0 };
        int r = enforce_each_process(run, add_pid, &list);

        if (r != 0 || measure_processes(run->uid, list.pids, list.n, &ret->rss, &ret->pss) == 0)
                return r;
        *ret = (Sum){ 0 };
        for (size_t i = 0; i < list.n; i++)
                (void)add_rss(list.pids[i], ret);
        ret->pss = ret->rss;
        return 0;
}

int watch_exactly(Run *run) {
        uint64_t begun_usec = clock_boottime_usec();
        Sum sum = { 0 };
        int r = geteuid() == 0 && run->uid != 0 ? sum_aside(run, &sum) : enforce_each_process(run, add_pss, &sum);

        if (r != 0)
                return r;
        run->watch.rss_bytes = run->watch.exact_rss_bytes = sum.rss;
        run->watch.private_bytes = run->watch.exact_bytes = sum.pss;
        run->watch.exact_at_usec = run->watch.summed_at_usec = begun_usec;
        run->watch.exact_cost_usec = clock_boottime_usec() - begun_usec;
        run->watch.peak_bytes = MAX_OF(run->watch.peak_bytes, sum.pss);
        run->private_peak_bytes = run->watch.peak_bytes;
        return 0;
}

void watch_last(Run *run) {
        Watch *w = &run->watch;

        (void)watch_look(run);
        if (run->enforcement != ENFORCEMENT_SAMPLED)
                return;
        if (w->exact_cost_usec > WATCH_LAST_USEC &&
                clock_boottime_usec() < usec_add(w->exact_at_usec, WATCH_EXACT_USEC))
                w->private_bytes = w->exact_bytes;
        else
                (void)watch_exactly(run);
}

/*
 * For the timeline: where the sum has not moved since, the exact figure has not either, but for pages that are no
 * longer shared. The look of the same second has the sum already.
 */
static void sample_exactly(Run *run, uint64_t now_usec) {
        Watch *w = &run->watch;

        if (w->rss_bytes == w->exact_rss_bytes && w->rss_bytes <= run->request.memory_bytes &&
                now_usec < usec_add(w->summed_at_usec, WATCH_FAR_USEC / 2) &&
                now_usec < usec_add(w->exact_at_usec, WATCH_EXACT_USEC))
                w->private_bytes = w->exact_bytes;
        else
                (void)watch_exactly(run);
}

void watch_sample(Run *run, uint64_t now_usec) {
        if (run_is_grouped(run) && usage_read_sample(run->group.fd, &run->usage) != 0)
                return;
        if (run->enforcement == ENFORCEMENT_SAMPLED)
                sample_exactly(run, now_usec);
        if (is_large(run)) {
                (void)watch_look(run);
                (void)enforce_list(run, &run->processes);
        }
        timeline_add(&run->timeline, run->launched_usec, now_usec, memory_now(run),
                run->usage.cpu_usec == USAGE_UNKNOWN ? 0 : run->usage.cpu_usec);
}

/* Far from the limit the looks of all runs fall on whole seconds, so that together they are one wake-up. */
uint64_t watch_next_look_usec(uint64_t limit, uint64_t private_bytes, uint64_t begun_usec, uint64_t cost_usec) {
        uint64_t delay = usec_sub(limit, private_bytes) / (WATCH_GROWTH_BYTES / USEC_PER_SEC);
        uint64_t rest = cost_usec * WATCH_COST_SHARE, wait = MAX_OF(MAX_OF(delay, WATCH_NEAR_USEC / 2), rest);

        if (limit == UINT64_MAX)
                return USEC_INFINITY;
        if (wait < WATCH_FAR_USEC)
                return begun_usec + wait;
        return ((begun_usec + rest) / WATCH_FAR_USEC + 1) * WATCH_FAR_USEC;
}

bool watch_turn(Watch *w, uint64_t now_usec, uint64_t *rest_usec) {
        uint64_t at_usec = MAX_OF(now_usec, *rest_usec);

        if (w->look_cost_usec <= WATCH_LONG_USEC || w->has_turn) {
                w->has_turn = false;
                return true;
        }
        *rest_usec = usec_add(at_usec, w->look_cost_usec * WATCH_LONG_SHARE);
        if (at_usec == now_usec)
                return true;
        w->has_turn = true;
        w->next_look_usec = at_usec;
        return false;
}

static int look_at_memory(Run *run, uint64_t begun_usec) {
        Watch *w = &run->watch;
        Sum sum = { 0 };
        int r = enforce_each_process(run, add_rss, &sum);

        if (r != 0)
                return r;
        w->rss_bytes = sum.rss;
        w->summed_at_usec = begun_usec;
        w->private_bytes = sum.rss; /* the upper bound of the exact figure */
        return sum.rss > run->request.memory_bytes || w->peak_bytes == 0 ? watch_exactly(run) : 0;
}

int watch_memory(Run *run, uint64_t now_usec) {
        Watch *w = &run->watch;
        uint64_t begun_usec = clock_boottime_usec();
        int r = look_at_memory(run, begun_usec);

        w->look_cost_usec = MIN_OF(clock_boottime_usec() - begun_usec, WATCH_COST_MAX_USEC);
        if (r == 0)
                w->next_look_usec =
                        watch_next_look_usec(run->request.memory_bytes, w->private_bytes, now_usec, w->look_cost_usec);
        else /* the timer must not stand in the past */
                w->next_look_usec = now_usec + MAX_OF(WATCH_NEAR_USEC, w->look_cost_usec * WATCH_COST_SHARE);
        return r;
}

static uint64_t stall_step_usec(const Run *run) {
        return run->request.thrash_usec / WATCH_STALL_STEPS;
}

int watch_stall_arm(Run *run, uint64_t now_usec) {
        Watch *w = &run->watch;

        if (w->stall_totals || run->request.thrash_usec == USEC_INFINITY || !run_is_grouped(run))
                return 0;
        if (usage_read_pressure(run->group.fd, &run->usage) != 0)
                return -EOPNOTSUPP;
        w->stall_totals = calloc(WATCH_STALL_STEPS + 1, sizeof(uint64_t));
        if (!w->stall_totals)
                return -ENOMEM;
        w->stall_totals[0] = run->usage.psi_memory_full_usec;
        w->stall_n = 1;
        w->stall_max_events = w->max_events;
        w->stall_quiet = 0;
        w->stall_next_usec = now_usec + stall_step_usec(run);
        return 0;
}

static void stall_disarm(Run *run) {
        Watch *w = &run->watch;

        free(w->stall_totals);
        w->stall_totals = NULL;
        w->stall_next_usec = USEC_INFINITY;
        w->stall_usec = w->stall_window_usec = 0;
}

int watch_stall_step(Run *run, uint64_t now_usec) {
        Watch *w = &run->watch;
        bool max_grew;
        int r = usage_read_pressure(run->group.fd, &run->usage);

        w->stall_next_usec = now_usec + stall_step_usec(run);
        if (r == 0)
                r = usage_read_sample(run->group.fd, &run->usage);
        if (r == 0)
                r = watch_oom(run, &max_grew);
        if (r != 0)
                return r;
        w->stall_quiet = w->max_events > w->stall_max_events ? 0 : w->stall_quiet + 1;
        w->stall_max_events = w->max_events;
        if (w->stall_quiet > WATCH_STALL_STEPS) {
                stall_disarm(run);
                return 0;
        }
        if (w->stall_n > WATCH_STALL_STEPS) {
                memmove(w->stall_totals, w->stall_totals + 1, WATCH_STALL_STEPS * sizeof(uint64_t));
                w->stall_n = WATCH_STALL_STEPS;
        }
        w->stall_totals[w->stall_n++] = run->usage.psi_memory_full_usec;
        if (w->stall_n > WATCH_STALL_STEPS) {
                w->stall_usec = usec_sub(w->stall_totals[WATCH_STALL_STEPS], w->stall_totals[0]);
                w->stall_window_usec = WATCH_STALL_STEPS * stall_step_usec(run);
        }
        return 0;
}
