/*
 * The life of one run, step by step: look, decide, act, end, record, remove.
 *
 * Called by the supervisor's event sources and by serve.c.  Every source ends in life_look(): it looks at what may have
 * changed, asks decide(), and carries the answer out; nobody else changes a run's phase.  The hard thing is the end: a
 * run is over when its group is empty, its nested runs are over and the launcher has told the exit status (or is gone);
 * only then is the verdict known, and a kill is told to nobody before the recorder has committed it.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "supervise/adopt.h"
#include "supervise/enforce.h"
#include "supervise/supervisor-internal.h"
#include "supervise/watch.h"
#include <search.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define STATUS_WAIT_USEC (USEC_PER_SEC) /* for the exit status of a killed run, from a launcher that may be stopped */
#define RECORD_WAIT_USEC (5 * USEC_PER_SEC)   /* then the launcher is told, with recorded: false */
#define SETTLE_USEC      (20 * USEC_PER_MSEC) /* what is on its way out gets this long before it counts as leftover */
#define RETRY_FIRST_USEC (20 * USEC_PER_MSEC) /* kill and rmdir are repeated, doubling up to … */
#define RETRY_MAX_USEC   (10 * USEC_PER_SEC)
#define UNKILLABLE_TRIES 9 /* about 10 s of kills: say that it does not die (D state), go on */

typedef struct Watching {
        int watch;
        Run *run;
} Watching;

static int watching_compare(const void *a, const void *b) {
        const Watching *x = a, *y = b;

        return (x->watch > y->watch) - (x->watch < y->watch);
}

bool watching_find(Supervisor *s, int watch, Run **ret) {
        Watching key = { .watch = watch };
        Watching *const *found = tfind(&key, &s->watches, watching_compare);

        if (found)
                *ret = (*found)->run;
        return found != NULL;
}

static int watching_add(Supervisor *s, Run *run, const char *file) {
        int watch = group_events_add(&s->events, run->group.fd, file);
        Watching *w;

        if (watch < 0)
                return watch;
        w = malloc(sizeof(*w));
        if (!w) {
                group_events_remove(&s->events, watch);
                return -ENOMEM;
        }
        *w = (Watching){ .watch = watch, .run = run };
        (void)tsearch(w, &s->watches, watching_compare);
        return watch;
}

static void watching_remove(Supervisor *s, int *watch) {
        Watching key = { .watch = *watch };
        Watching *const *found;
        Watching *w;

        if (*watch < 0)
                return;
        found = tfind(&key, &s->watches, watching_compare);
        if (found) {
                w = *found;
                (void)tdelete(&key, &s->watches, watching_compare);
                free(w);
        }
        group_events_remove(&s->events, *watch);
        *watch = -1;
}

void watching_deinit(Supervisor *s) {
        tdestroy(s->watches, free);
        s->watches = NULL;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static uint64_t warn_usec(const Run *run) {
        if (run->warned || run->request.warn_before_usec == 0 || run->phase != PHASE_RUNNING)
                return USEC_INFINITY;
        return usec_sub(run->deadline_usec, run->request.warn_before_usec);
}

static void life_arm(Supervisor *s, Run *run) {
        Situation situation = run_situation(run, clock_boottime_usec());
        uint64_t next = decide_next_usec(&situation, (unsigned)sysconf(_SC_NPROCESSORS_ONLN));

        next = MIN_OF(next, warn_usec(run));
        if (run_lives(run) && run->phase != PHASE_KILLING) {
                next = MIN_OF(next, run->watch.next_look_usec);
                next = MIN_OF(next, run->watch.stall_next_usec);
        }
        next = MIN_OF(next, MIN_OF(run->next_retry_usec, run->reply_by_usec));
        if (next == USEC_INFINITY) {
                if (run->timer)
                        (void)sd_event_source_set_enabled(run->timer, SD_EVENT_OFF);
        } else if (!run->timer) {
                (void)sd_event_add_time(s->event, &run->timer, CLOCK_BOOTTIME, next, 1, on_timer, run);
                (void)sd_event_source_set_userdata(run->timer, run);
        } else {
                (void)sd_event_source_set_time(run->timer, next);
                (void)sd_event_source_set_enabled(run->timer, SD_EVENT_ONESHOT);
        }
}

void life_soon(Supervisor *s, Run *run) {
        run->next_retry_usec = 0;
        life_arm(s, run);
}

static void retry_later(Run *run, uint64_t now_usec) {
        uint64_t delay = RETRY_FIRST_USEC << MIN_OF(run->n_retries, 16U);

        run->n_retries++;
        run->next_retry_usec = usec_add(now_usec, MIN_OF(delay, RETRY_MAX_USEC));
}

/* Tells nested runs that their outer run is being ended. */
static void tell_inner(Supervisor *s, Run *outer) {
        Run *run;

        LIST_FOREACH(run, &s->runs, link) {
                if (run->outer != outer || run->outer_reason != VERDICT_NONE)
                        continue;
                run->outer_reason = outer->kill.reason;
                (void)asprintf(&run->outer_detail, "outer %s: %s", uuid_short(&outer->id),
                        outer->kill.reason == VERDICT_ORPHAN ? "ended" : verdict_to_string(outer->kill.reason));
                life_soon(s, run);
        }
}

static void log_kill(const Run *run, const char *what) {
        log_run(LOG_LEVEL_NOTICE, run->id.text, run->request.analysis_id, "%s: %s%s%s", what,
                verdict_to_string(run->kill.reason), run->kill.detail ? ", " : "",
                run->kill.detail ? run->kill.detail : "");
}

static void wait_for_empty(Supervisor *s, Run *run) {
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

static int begin(Supervisor *s, Run *run, const Decision *d, bool by_kernel, uint64_t now_usec) {
        (void)watch_look(run);
        if (run->enforcement == ENFORCEMENT_SAMPLED)
                (void)watch_exactly(run);
        sample_kill(run, by_kernel, now_usec);
        wait_for_empty(s, run);
        return enforce_begin(run, d->reason, d->detail, by_kernel, clock_realtime_usec());
}

static void act_term(Supervisor *s, Run *run, const Decision *d, uint64_t now_usec) {
        if (begin(s, run, d, false, now_usec) < 0)
                return;
        (void)enforce_term(run, clock_realtime_usec(), now_usec);
        if (run->kill.term_processes == 0 && run->pid != 0 && enforce_is_empty(run)) {
                enforce_withdraw(run); /* it was over before a signal reached anyone */
                return;
        }
        run->phase = PHASE_GRACE;
        log_kill(run, "TERM");
        tell_inner(s, run);
}

static void act_kill(Supervisor *s, Run *run, const Decision *d, bool by_kernel, uint64_t now_usec) {
        if (!run_has_kill(run) && begin(s, run, d, by_kernel, now_usec) < 0)
                return;
        (void)enforce_kill(run, clock_realtime_usec());
        run->phase = PHASE_KILLING;
        run->n_retries = 0;
        retry_later(run, now_usec);
        log_kill(run, by_kernel ? "killed by the kernel" : "KILL");
        tell_inner(s, run);
}

static void act_leftovers(Supervisor *s, Run *run, const Decision *d, uint64_t now_usec) {
        _cleanup_(process_list_deinit) ProcessList alive = { 0 };

        if (enforce_is_empty(run))
                return;
        wait_for_empty(s, run);
        if (run->settle_usec == 0)
                run->settle_usec = now_usec + SETTLE_USEC;
        if (now_usec < run->settle_usec && enforce_list(run, &alive) == 0 && alive.count == 0) {
                run->next_retry_usec = run->settle_usec; /* all on their way out, or in the middle of an exec */
                return;
        }
        run->next_retry_usec = USEC_INFINITY;
        act_term(s, run, d, now_usec);
}

static void act_outer(Supervisor *s, Run *run, const Decision *d, uint64_t now_usec) {
        if (begin(s, run, d, false, now_usec) < 0)
                return;
        run->phase = PHASE_KILLING; /* the outer run's signals and kill reach it; ours only if it stays */
        run->n_retries = 4;
        retry_later(run, now_usec);
        tell_inner(s, run);
}

static void act(Supervisor *s, Run *run, uint64_t now_usec) {
        Situation situation = run_situation(run, now_usec);
        Decision d = decide(&situation);

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

static void remove_run(Supervisor *s, Run *run) {
        serve_forget(s, run);
        if (run->outer) {
                run->outer->n_inner--;
                life_soon(s, run->outer);
        }
        watching_remove(s, &run->events_memory);
        watching_remove(s, &run->events_populated);
        LIST_REMOVE(run, link);
        s->n_runs--;
        run_free(run);
        supervisor_check_idle(s);
}

/* Whether the exit status is still to be hoped for: the launcher is there and has not told it. */
static bool status_is_due(const Run *run, uint64_t now_usec) {
        if (run->status_known || run->exec_errno != 0 || run->launcher_gone)
                return false;
        return !run_has_kill(run) || run->kill.reason == VERDICT_ORPHAN ||
                now_usec < usec_add(run->ended_usec, STATUS_WAIT_USEC);
}

static void settle_verdict(Run *run) {
        Ending ending = run_ending(run);
        const char *detail;

        if (run->verdict != VERDICT_NONE)
                return;
        run->verdict = decide_verdict(&ending, &detail);
        run->verdict_detail = run_has_kill(run) && run->kill.reason == run->verdict ? run->kill.detail : detail;
        log_run(run_has_kill(run) ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO, run->id.text, run->request.analysis_id,
                "ended: %s%s%s", verdict_to_string(run->verdict), run->verdict_detail ? ", " : "",
                run->verdict_detail ? run->verdict_detail : "");
}

/* Everything that is owed once a run is over. Returns true when nothing is. */
static bool settle(Supervisor *s, Run *run, uint64_t now_usec) {
        _cleanup_(json_decrefp) json_t *event = NULL;

        settle_verdict(run);
        if (run_has_kill(run)) {
                event = record_event(&s->record_host, run, now_usec);
                if (!run->kill.sent) {
                        run->kill.sent = recorder_send(s->recorder, "event", "event", json_incref(event),
                                                 run->kill.event_id.text) == 0;
                        run->reply_by_usec = usec_add(now_usec, RECORD_WAIT_USEC);
                }
                if (!run->kill.committed && now_usec < run->reply_by_usec)
                        return false;
                run->reply_by_usec = USEC_INFINITY;
        }
        if (run_has_kill(run) && !run->kill.committed) {
                serve_reply_end(s, run, event, false);
                return false;
        }
        if (enforce_remove(run) == GROUP_E_BUSY) {
                retry_later(run, now_usec);
                if (run->n_retries > 2)
                        serve_reply_end(s, run, event, true);
                return false;
        }
        run->phase = PHASE_ENDED;
        serve_reply_end(s, run, event, true);
        if (!run->row_sent)
                (void)recorder_send(
                        s->recorder, "run", "run", record_run(&s->record_host, run, now_usec), run->id.text);
        run->row_sent = true;
        serve_tell_waiting(s, run);
        return true;
}

static void end(Supervisor *s, Run *run, uint64_t now_usec) {
        Situation situation;
        Decision d;

        (void)watch_look(run);
        run->phase = PHASE_RUNNING;
        situation = run_situation(run, now_usec);
        situation.main_exited = situation.launcher_gone = situation.cancel_asked = false;
        situation.deadline_usec = situation.cpu_limit_usec = USEC_INFINITY;
        situation.private_bytes = 0;
        situation.stall_window_usec = 0;
        d = decide(&situation); /* only what the kernel, or the outer run's kill, has done already */
        if (!run_has_kill(run) && (d.action == ACTION_KERNEL || d.action == ACTION_OUTER)) {
                (void)begin(s, run, &d, d.action == ACTION_KERNEL, now_usec);
                run->kill.kill_at = run->kill.decided_at;
        }
        run->phase = PHASE_ENDING;
        run->ended_usec = now_usec;
        run->ended_at = clock_realtime_usec();
        run->kill.empty_at = run_has_kill(run) ? run->ended_at : 0;
        run->next_retry_usec = USEC_INFINITY;
        run->n_retries = 0;
        run->main_exited = true;
        watching_remove(s, &run->events_memory);
        watching_remove(s, &run->events_populated);
        if (run_has_kill(run))
                tell_inner(s, run);
}

static bool is_over(const Run *run) {
        if (run->phase == PHASE_STARTING && !run->main_exited && !run->launcher_gone)
                return false;
        if (run->pidfd >= 0 && !run->main_exited && run->phase < PHASE_GRACE)
                return false;
        return enforce_is_empty(run);
}

static void kill_again(Supervisor *s, Run *run, uint64_t now_usec) {
        if (run->phase != PHASE_KILLING || now_usec < run->next_retry_usec)
                return;
        (void)enforce_kill(run, clock_realtime_usec());
        if (run->n_retries == UNKILLABLE_TRIES)
                log_run(LOG_LEVEL_ERROR, run->id.text, run->request.analysis_id,
                        "does not die: its processes are in an uninterruptible wait; still trying");
        retry_later(run, now_usec);
}

void life_look(Supervisor *s, Run *run) {
        uint64_t now_usec = clock_boottime_usec();
        bool max_grew;

        if (run->next_retry_usec == 0)
                run->next_retry_usec = run->phase == PHASE_KILLING ? now_usec + RETRY_MAX_USEC : USEC_INFINITY;
        if (run_lives(run)) {
                (void)watch_oom(run, &max_grew);
                act(s, run, now_usec);
                kill_again(s, run, now_usec);
                if (is_over(run))
                        end(s, run, now_usec);
        }
        if (run->phase == PHASE_ENDING && run->n_inner == 0) {
                if (status_is_due(run, now_usec)) {
                        run->next_retry_usec = run_has_kill(run) && run->kill.reason != VERDICT_ORPHAN
                                ? usec_add(run->ended_usec, STATUS_WAIT_USEC)
                                : USEC_INFINITY;
                } else {
                        run->next_retry_usec = USEC_INFINITY;
                        if (settle(s, run, now_usec)) {
                                remove_run(s, run);
                                return;
                        }
                }
        }
        life_arm(s, run);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *run = userdata;
        Supervisor *s = run->supervisor;
        uint64_t now_usec = clock_boottime_usec();

        if (now_usec >= warn_usec(run)) {
                run->warned = true;
                if (run->pidfd >= 0)
                        (void)pidfd_signal(run->pidfd, run->request.warn_signal);
                log_run(LOG_LEVEL_INFO, run->id.text, run->request.analysis_id, "warned of its wall-clock limit");
        }
        if (run_lives(run)) {
                if (now_usec >= run->watch.next_look_usec)
                        (void)watch_memory(run, now_usec);
                if (now_usec >= run->watch.stall_next_usec)
                        (void)watch_stall_step(run, now_usec);
                if (run->request.cpu_time_usec != USEC_INFINITY && run_is_grouped(run))
                        (void)usage_read_sample(run->group.fd, &run->usage);
        }
        life_look(s, run);
        return 0;
}

void life_memory_event(Supervisor *s, Run *run) {
        uint64_t now_usec = clock_boottime_usec();
        bool max_grew = false;

        if (run_lives(run) && watch_oom(run, &max_grew) == 0 && max_grew) {
                (void)watch_stall_arm(run, now_usec);
                (void)enforce_list(run, &run->processes);
                (void)watch_look(run);
                /* In reclaim the file changes up to 100 times a second: not listened to until the next tick. */
                watching_remove(s, &run->events_memory);
                run->timeline.next_usec = MIN_OF(run->timeline.next_usec, (now_usec / USEC_PER_SEC + 1) * USEC_PER_SEC);
                supervisor_arm_tick(s);
        }
        life_look(s, run);
}

static int on_main(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Run *run = userdata;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        run->main_exited = true;
        life_look(run->supervisor, run);
        return 0;
}

void life_main_is(Supervisor *s, Run *run, int pidfd) {
        run->pidfd = pidfd;
        if (run->phase == PHASE_STARTING)
                run->phase = PHASE_RUNNING;
        if (pidfd >= 0)
                (void)sd_event_add_io(s->event, &run->main_source, pidfd, EPOLLIN, on_main, run);
        else
                run->main_exited = true;
}

void life_launcher_gone(Supervisor *s, Run *run) {
        Run *outers[16];
        size_t n = 0;

        run->launcher_gone = true;
        /* An outer run's end takes the launcher of a nested one along: look at it first, from the outside in. */
        for (Run *outer = run->outer; outer && n < ELEMENTSOF(outers); outer = outer->outer)
                outers[n++] = outer;
        while (n > 0)
                if (run_lives(outers[--n]))
                        life_look(s, outers[n]);
        life_look(s, run);
}

static int on_launcher(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Run *run = userdata;

        run->launcher_source = sd_event_source_disable_unref(run->launcher_source);
        if (!run->client)
                life_launcher_gone(run->supervisor, run);
        return 0;
}

void life_watch_launcher(Supervisor *s, Run *run) {
        run->launcher_pidfd = pidfd_open_pid(run->launcher_pid);
        if (run->launcher_pidfd < 0 || !adopt_process_lives(run->launcher_pid, run->launcher_start_ticks)) {
                run->launcher_gone = true;
                return;
        }
        (void)sd_event_add_io(s->event, &run->launcher_source, run->launcher_pidfd, EPOLLIN, on_launcher, run);
}

void life_recorded(Supervisor *s, const char *event_id) {
        Run *run;

        LIST_FOREACH(run, &s->runs, link)
        if (strcmp(run->kill.event_id.text, event_id) == 0) {
                run->kill.committed = true;
                life_look(s, run);
                return;
        }
}

int life_add(Supervisor *s, Run *run) {
        run->supervisor = s;
        LIST_INSERT_HEAD(&s->runs, run, link);
        s->n_runs++;
        if (run_is_grouped(run) && run->kept.memory)
                run->events_memory = watching_add(s, run, "memory.events.local");
        if (run->enforcement == ENFORCEMENT_SAMPLED)
                run->watch.next_look_usec = clock_boottime_usec() + WATCH_NEAR_USEC / 2;
        life_arm(s, run);
        supervisor_arm_tick(s);
        supervisor_check_idle(s);
        return 0;
}

void life_tick(Supervisor *s, uint64_t now_usec) {
        Run *run;

        LIST_FOREACH(run, &s->runs, link) {
                if (run->phase == PHASE_STARTING || !run_lives(run) || now_usec < run->timeline.next_usec)
                        continue;
                watch_sample(run, now_usec);
                if (run_is_grouped(run) && run->kept.memory && run->events_memory < 0)
                        run->events_memory = watching_add(s, run, "memory.events.local");
                if (!run->announced) {
                        (void)process_comm(run->pid, run->comm);
                        (void)recorder_send(s->recorder, "process", "run", record_run(&s->record_host, run, now_usec),
                                run->id.text);
                        run->announced = true;
                }
        }
}

uint64_t life_next_tick_usec(Supervisor *s, uint64_t now_usec) {
        uint64_t next = USEC_INFINITY;
        Run *run;

        LIST_FOREACH(run, &s->runs, link)
        if (run_lives(run))
                next = MIN_OF(next, run->timeline.next_usec);
        return next == USEC_INFINITY ? next : MAX_OF(next, (now_usec / USEC_PER_SEC + 1) * USEC_PER_SEC);
}
