/*
 * What is to be done about a run, and why it ended.
 *
 * Called by the supervisor after every look, and by a launcher whose supervisor does not come back.  The hard thing is
 * attribution: only `oom` in the group's own memory.events.local proves its own limit; `max` counts reclaim and proves
 * nothing; `oom_kill` counts the kills of any OOM killer.  And order: what the kernel has done already comes before
 * what we would do, and the first decision stays.
 */
#include "supervise/decide.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <assert.h>
#include <signal.h>
#include <sys/wait.h>

#define CPU_LOOK_MIN_USEC (10 * USEC_PER_MSEC) /* a run near its CPU limit is not looked at more often */

static const char *const phase_names[] = {
        [PHASE_STARTING] = "starting",
        [PHASE_RUNNING] = "running",
        [PHASE_GRACE] = "grace",
        [PHASE_KILLING] = "killing",
        [PHASE_ENDING] = "ending",
        [PHASE_ENDED] = "ended",
};
static_assert(ELEMENTSOF(phase_names) == PHASE_MAX, "every phase has its string");

const char *phase_to_string(Phase phase) {
        return phase_names[phase];
}

/* The share of whole, rounded down; UINT64_MAX where it does not fit. */
static uint64_t share_of(uint64_t whole, unsigned percent) {
        uint64_t share;

        if (__builtin_mul_overflow(whole / 100, (uint64_t)percent, &share) ||
                __builtin_add_overflow(share, whole % 100 * percent / 100, &share))
                return UINT64_MAX;
        return share;
}

/* UINT64_MAX is no limit: nothing reaches it, not even a figure that could not be read. */
static bool is_reached(uint64_t value, uint64_t limit) {
        return limit != UINT64_MAX && value >= limit;
}

static bool is_above(uint64_t value, uint64_t limit, unsigned percent) {
        return limit != UINT64_MAX && value > share_of(limit, percent);
}

static bool is_thrashing(const Situation *s) {
        return s->stall_window_usec > 0 && s->memory_limit_bytes != UINT64_MAX &&
                s->stall_usec >= share_of(s->stall_window_usec, DECIDE_STALL_PERCENT) &&
                s->memory_bytes >= share_of(s->memory_limit_bytes, DECIDE_NEAR_PERCENT);
}

static Decision decide_living(const Situation *s) {
        if (s->own_oom > 0)
                return (Decision){ ACTION_KERNEL, VERDICT_MEMORY, NULL };
        if (s->outer_reason != VERDICT_NONE)
                return (Decision){ ACTION_OUTER,
                        s->outer_reason == VERDICT_MEMORY || s->outer_reason == VERDICT_HOST_OOM ? VERDICT_HOST_OOM
                                                                                                 : VERDICT_CANCELLED,
                        s->outer_detail };
        if (s->local_oom_kill > 0)
                return (Decision){ ACTION_KERNEL, VERDICT_HOST_OOM, NULL };
        if (s->backstop)
                return (Decision){ ACTION_KILL, VERDICT_TIMEOUT, "backstop" };
        if (s->main_exited)
                return (Decision){ ACTION_LEFTOVERS, VERDICT_ORPHAN, NULL };
        if (s->cancel_asked)
                return (Decision){ ACTION_TERM, VERDICT_CANCELLED, s->cancel_detail };
        if (s->launcher_gone)
                return (Decision){ ACTION_TERM, VERDICT_ORPHANED, "the launcher is gone" };
        if (is_reached(s->now_usec, s->deadline_usec))
                return (Decision){ ACTION_TERM, VERDICT_TIMEOUT, NULL };
        if (is_reached(s->cpu_used_usec, s->cpu_limit_usec))
                return (Decision){ ACTION_TERM, VERDICT_CPU_TIME, NULL };
        if (is_above(s->private_bytes, s->memory_limit_bytes, DECIDE_OVERSHOOT_PERCENT))
                return (Decision){ ACTION_KILL, VERDICT_MEMORY, "sampled" };
        if (is_above(s->private_bytes, s->memory_limit_bytes, 100))
                return (Decision){ ACTION_TERM, VERDICT_MEMORY, "sampled" };
        if (is_thrashing(s))
                return (Decision){ ACTION_TERM, VERDICT_MEMORY, "thrashing" };
        return (Decision){ ACTION_NONE };
}

Decision decide(const Situation *s) {
        switch (s->phase) {
        case PHASE_STARTING:
        case PHASE_RUNNING:
                return decide_living(s);
        case PHASE_GRACE:
                if (s->now_usec >= s->grace_end_usec ||
                        is_above(s->private_bytes, s->memory_limit_bytes, DECIDE_OVERSHOOT_PERCENT))
                        return (Decision){ .action = ACTION_KILL };
                return (Decision){ ACTION_NONE };
        default:
                return (Decision){ ACTION_NONE };
        }
}

uint64_t decide_next_usec(const Situation *s, unsigned cpus) {
        uint64_t next, cpu_left;

        if (s->phase == PHASE_GRACE)
                return s->grace_end_usec;
        if ((s->phase != PHASE_STARTING && s->phase != PHASE_RUNNING) || s->main_exited)
                return USEC_INFINITY; /* leftovers: their turn is not one of its limits */
        next = s->deadline_usec;
        if (s->cpu_limit_usec != USEC_INFINITY) {
                cpu_left = usec_sub(s->cpu_limit_usec, s->cpu_used_usec) / MAX_OF(cpus, 1U);
                next = MIN_OF(next, usec_add(s->now_usec, MAX_OF(cpu_left, CPU_LOOK_MIN_USEC)));
        }
        return next;
}

static Verdict decide_killed_by_signal(const Ending *e, int signal, const char **ret_detail) {
        if (e->forwarded != 0 && signal == e->forwarded) {
                *ret_detail = "by a signal through scidex-run";
                return VERDICT_CANCELLED;
        }
        return VERDICT_CRASHED;
}

/* The kernel killed for memory, but only after the main process was over: then it was for the leftovers'. */
static bool is_of_leftovers(const Ending *e) {
        return e->reason == VERDICT_ORPHAN && e->status_known &&
                !(WIFSIGNALED(e->wait_status) && WTERMSIG(e->wait_status) == SIGKILL);
}

Verdict decide_verdict(const Ending *e, const char **ret_detail) {
        *ret_detail = NULL;
        if (e->reason != VERDICT_NONE && e->reason != VERDICT_ORPHAN)
                return e->reason;
        if (e->own_oom > 0 && !is_of_leftovers(e))
                return VERDICT_MEMORY;
        if (e->local_oom_kill > 0 && !is_of_leftovers(e))
                return VERDICT_HOST_OOM;
        if (e->exec_errno == ENOMEM && e->max_events > 0) {
                *ret_detail = "the limit is too small to start the command";
                return VERDICT_MEMORY;
        }
        if (e->exec_errno != 0) {
                *ret_detail = "the command could not be started";
                return VERDICT_FAILED;
        }
        if (!e->status_known && e->registered) {
                *ret_detail = "registered: only its parent knows the exit status";
                return VERDICT_LOST;
        }
        if (!e->status_known) {
                *ret_detail = "the launcher is gone, nobody collected the exit status";
                return VERDICT_ORPHANED;
        }
        if (WIFSIGNALED(e->wait_status))
                return decide_killed_by_signal(e, WTERMSIG(e->wait_status), ret_detail);
        return WEXITSTATUS(e->wait_status) == 0 ? VERDICT_COMPLETED : VERDICT_FAILED;
}
