/*
 * Carrying out what decide() has said.
 *
 * Called by life_look().  One function per action; each begins the kill (marker, list, last sample) before it sends
 * anything.
 */
#include "base/clock.h"
#include "base/file.h"
#include "supervise/enforce.h"
#include "supervise/life.h"
#include "supervise/planted.h"
#include "supervise/watch.h"

#define OUTER_EXTRA_USEC                                                                            \
        (500 * USEC_PER_MSEC) /* after the outer run's kill, which reaches the nested one by itself \
                               */
#define SETTLE_STEP_USEC USEC_PER_SEC
#define SETTLE_USEC      (20 * USEC_PER_MSEC) /* what is on its way out is looked at again then, and ever more seldom */

/* Tells nested runs that their outer run is being ended. */
void act_tell_inner(Supervisor *s, Run *outer) {
        Run *run;

        if (outer->n_inner == 0)
                return;
        LIST_FOREACH(run, &s->runs, link) {
                if (run->outer != outer || run->outer_reason != VERDICT_NONE)
                        continue;
                run->outer_reason = outer->kill.reason;
                run->outer_detail = text_printf("outer %s: %s", uuid_short(&outer->id),
                        outer->kill.reason == VERDICT_ORPHAN ? "ended" : verdict_to_string(outer->kill.reason));
                life_soon(s, run);
        }
}

void act_tell_kill(StoryKind kind, const Run *run, const char *what) {
        story_tell(kind, LOG_LEVEL_NOTICE, run, "%s: %s%s%s", what, verdict_to_string(run->kill.reason),
                run->kill.detail ? ", " : "", run->kill.detail ? run->kill.detail : "");
}

void act_wait_for_empty(Supervisor *s, Run *run) {
        if (run_is_grouped(run) && run->events_populated < 0)
                run->events_populated = watching_add(s, run, "cgroup.events");
}

/* The last sample of the timeline; after a kernel kill the memory is gone, the peak was what it had. */
static void sample_kill(Run *run, bool by_kernel, uint64_t now_usec) {
        uint64_t memory = by_kernel ? run->usage.memory_peak_bytes : run->usage.memory_bytes;

        if (run->enforcement == ENFORCEMENT_SAMPLED)
                memory = run->watch.private_bytes;
        if (run->timeline.n == 0)
                timeline_add(&run->timeline, run->launched_usec, run->launched_usec, 0, 0);
        timeline_add(&run->timeline, run->launched_usec, now_usec, memory == USAGE_UNKNOWN ? 0 : memory,
                run->usage.cpu_usec == USAGE_UNKNOWN ? 0 : run->usage.cpu_usec);
}

void act_begin(Supervisor *s, Run *run, const Decision *d, bool by_kernel, uint64_t now_usec) {
        watch_last(run);
        sample_kill(run, by_kernel, now_usec);
        act_wait_for_empty(s, run);
        enforce_begin(run, d->reason, d->detail, by_kernel, clock_realtime_usec());
}

static void act_term(Supervisor *s, Run *run, const Decision *d, uint64_t now_usec) {
        uint64_t term_at;

        act_begin(s, run, d, false, now_usec);
        /* Not now_usec: to list a crowd takes a while, which is not of its grace. This order: recorded before counted.
         */
        term_at = clock_realtime_usec();
        (void)enforce_term(run, term_at, clock_boottime_usec());
        if (run->kill.term_processes == 0 && (run->pid != 0 || run->launcher_gone) && enforce_is_empty(run)) {
                enforce_withdraw(run); /* it was over, or never begun, before a signal reached anyone */
                return;
        }
        run->phase = PHASE_GRACE;
        tidings_state(run);
        act_tell_kill(STORY_TERM, run, "TERM");
        act_tell_inner(s, run);
}

static void act_kill(Supervisor *s, Run *run, const Decision *d, bool by_kernel, uint64_t now_usec) {
        if (!run_has_kill(run))
                act_begin(s, run, d, by_kernel, now_usec);
        (void)enforce_kill(run, clock_realtime_usec());
        run->phase = PHASE_KILLING;
        run->n_retries = 0;
        life_retry_later(run, now_usec);
        tidings_state(run);
        act_tell_kill(STORY_KILL, run, by_kernel ? "killed by the kernel" : "KILL");
        act_tell_inner(s, run);
}

static void act_leftovers(Supervisor *s, Run *run, const Decision *d, uint64_t now_usec) {
        uint64_t settled_usec, next;

        if (enforce_is_empty(run))
                return;
        act_wait_for_empty(s, run);
        if (run->settle_since_usec == 0)
                run->settle_since_usec = now_usec;
        settled_usec = usec_add(run->settle_since_usec, MAX_OF(run->request.grace_usec, SETTLE_USEC));
        if (now_usec < settled_usec && enforce_only_dying(run)) {
                next = MIN_OF((now_usec - run->settle_since_usec) / 2, SETTLE_STEP_USEC);
                run->next_retry_usec = MIN_OF(now_usec + SETTLE_USEC + next, settled_usec);
                return;
        }
        act_term(s, run, d, now_usec);
}

/* The outer run's signals and kill reach it, and its grace is the outer one's; ours come only if it stays. */
static void act_outer(Supervisor *s, Run *run, const Decision *d, uint64_t now_usec) {
        act_begin(s, run, d, false, now_usec);
        if (run->outer->phase == PHASE_GRACE) {
                run->phase = PHASE_GRACE;
                run->kill.grace_end_usec = usec_add(run->outer->kill.grace_end_usec, OUTER_EXTRA_USEC);
        } else {
                run->phase = PHASE_KILLING;
                run->n_retries = 4;
                life_retry_later(run, now_usec);
        }
        tidings_state(run);
        act_tell_inner(s, run);
}

void act_decide(Supervisor *s, Run *run, uint64_t now_usec) {
        Situation situation = run_situation(run, now_usec);
        Decision d = decide(&situation);

        if (PLANTED(PLANTED_LEFTOVERS_SPARED) && run->kill.reason == VERDICT_ORPHAN)
                return;
        switch (d.action) {
        case ACTION_TERM:
                act_term(s, run, &d, now_usec);
                break;
        case ACTION_KILL:
                act_kill(s, run, &d, false, now_usec);
                break;
        case ACTION_KERNEL:
                act_kill(s, run, &d, true, now_usec);
                break;
        case ACTION_LEFTOVERS:
                act_leftovers(s, run, &d, now_usec);
                break;
        case ACTION_OUTER:
                act_outer(s, run, &d, now_usec);
                break;
        default:
                break;
        }
}
