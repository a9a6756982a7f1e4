/*
 * The life of one run, step by step: look, decide, act, end, record, remove.
 *
 * Called by the supervisor's event sources and by serve.c.  Every source ends in life_look(): it looks at what may have
 * changed, asks decide(), and carries the answer out; nobody else changes a run's phase.  The hard thing is the end: a
 * run is over when its group is empty, its nested runs are over and the launcher has told the exit status (or is gone);
 * only then is the verdict known, and a kill is told to nobody before the recorder has committed it.
 */
#include "supervise/life.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/process.h"
#include "control/priority.h"
#include "supervise/adopt.h"
#include "supervise/enforce.h"
#include "supervise/planted.h"
#include "supervise/watch.h"
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RETRY_MAX_USEC   (10 * USEC_PER_SEC)
#define RETRY_FIRST_USEC (20 * USEC_PER_MSEC) /* kill and rmdir are repeated, doubling up to … */

#define UNTOLD_USEC      (100 * USEC_PER_MSEC) /* from look to look in its grace, where a group can't be listened to */
#define UNTOLD_WALK_USEC USEC_PER_SEC          /* where there is none, and all of /proc is walked over */

#define SPIN_USEC USEC_PER_MSEC /* a timer that was due and is due again lets others have their turn */

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata);

static uint64_t warn_usec(const Run *run) {
        if (run->warned || run->request.warn_before_usec == 0 || run->phase > PHASE_RUNNING)
                return USEC_INFINITY;
        return usec_sub(run->deadline_usec, run->request.warn_before_usec);
}

static void life_arm(Supervisor *s, Run *run) {
        Situation situation = run_situation(run, clock_boottime_usec());
        uint64_t next = decide_next_usec(&situation, s->cpus);

        next = MIN_OF(next, warn_usec(run));
        if (run_lives(run) && run->phase != PHASE_KILLING) {
                next = MIN_OF(next, run->watch.next_look_usec);
                next = MIN_OF(next, run->watch.stall_next_usec);
        }
        next = MIN_OF(next, MIN_OF(run->next_retry_usec, run->reply_by_usec));
        if (run->phase == PHASE_GRACE && run->events_populated < 0) /* nobody tells when it is empty */
                next = MIN_OF(next, situation.now_usec + (run_is_grouped(run) ? UNTOLD_USEC : UNTOLD_WALK_USEC));
        if (next <= run->timer_fired_usec) /* what it waits for may be an event of a lower priority */
                next = situation.now_usec + SPIN_USEC;
        if (next == USEC_INFINITY) {
                if (run->timer)
                        (void)sd_event_source_set_enabled(run->timer, SD_EVENT_OFF);
        } else if (!run->timer) {
                (void)sd_event_add_time(s->event, &run->timer, CLOCK_BOOTTIME, next, 1, on_timer, run);
                (void)sd_event_source_set_priority(run->timer, PRIORITY_DEADLINES);
        } else {
                (void)sd_event_source_set_time(run->timer, next);
                (void)sd_event_source_set_enabled(run->timer, SD_EVENT_ONESHOT);
        }
}

void life_soon(Supervisor *s, Run *run) {
        run->next_retry_usec = 0;
        life_arm(s, run);
}

void life_retry_later(Run *run, uint64_t now_usec) {
        uint64_t delay = RETRY_FIRST_USEC << MIN_OF(run->n_retries, 16U);

        run->n_retries++;
        run->next_retry_usec = usec_add(now_usec, MIN_OF(delay, RETRY_MAX_USEC));
}

static bool is_over(const Run *run) {
        if (run->phase == PHASE_STARTING && !run->main_exited && !run->launcher_gone)
                return false;
        if (run->pidfd >= 0 && !run->main_exited && (run->phase < PHASE_GRACE || !pidfd_ended(run->pidfd)))
                return false; /* also where it has left its group */
        return enforce_is_empty(run);
}

static void kill_again(Supervisor *s, Run *run, uint64_t now_usec) {
        if (run->phase != PHASE_KILLING || now_usec < run->next_retry_usec)
                return;
        (void)enforce_kill(run, clock_realtime_usec());
        if (run->n_retries == LIFE_MANY_TRIES)
                log_run(LOG_LEVEL_ERROR, run->id.text, run->request.analysis_id,
                        "does not die: its processes are in an uninterruptible wait; still trying");
        life_retry_later(run, now_usec);
}

/* Looks at the runs that this one lies within, from the outside in: their end explains what happens to it. */
static void look_around(Supervisor *s, Run *run) {
        Run *outers[16];
        size_t n = 0;

        for (Run *outer = run->outer; outer && n < ELEMENTSOF(outers); outer = outer->outer)
                outers[n++] = outer;
        while (n > 0)
                if (run_lives(outers[--n]))
                        life_look(s, outers[n]);
}

/* Killed by the kernel, and not for its own limit. */
static bool is_killed_from_outside(const Run *run, uint64_t now_usec) {
        Situation situation = run_situation(run, now_usec);

        return situation.own_oom == 0 && situation.local_oom_kill > 0 && situation.outer_reason == VERDICT_NONE;
}

/*
 * The main process has ended, whatever tells of it first.  One that was registered is nobody's child who would tell the
 * status; its zombie can be asked, if its parent is slow.
 */
static void main_ended(Run *run) {
        if (run->main_exited)
                return;
        run->main_exited = true;
        if (run->registered && !run->status_known)
                run->status_known = process_exit_status(run->pid, run->start_ticks, run->pidfd, &run->wait_status) == 0;
}

static void look_at_main(Run *run) {
        if (run->pidfd >= 0 && !run->main_exited && pidfd_ended(run->pidfd))
                main_ended(run);
}

void life_look(Supervisor *s, Run *run) {
        uint64_t now_usec = clock_boottime_usec();
        bool max_grew;

        if (run->next_retry_usec <= now_usec && run->phase != PHASE_KILLING)
                run->next_retry_usec = USEC_INFINITY; /* this is the try; who needs another says so */
        look_at_main(run); /* before its event: a deadline is served first, and it had ended by then */
        if (run_lives(run) && !run->outer && is_over(run)) {
                ending_begin(s, run, now_usec); /* nothing is left to decide but the verdict */
        } else if (run_lives(run)) {
                (void)watch_oom(run, &max_grew);
                if (run->outer && is_killed_from_outside(run, now_usec))
                        look_around(s, run);
                act_decide(s, run, now_usec);
                kill_again(s, run, now_usec);
                if (is_over(run))
                        ending_begin(s, run, now_usec);
        }
        if (run->phase == PHASE_ENDING && run->n_inner == 0) {
                if (ending_status_is_due(run, now_usec)) {
                        run->next_retry_usec = run_has_kill(run) && run->kill.reason != VERDICT_ORPHAN
                                ? usec_add(run->ended_usec, LIFE_STATUS_WAIT_USEC)
                                : USEC_INFINITY;
                } else {
                        run->next_retry_usec = USEC_INFINITY;
                        if (ending_settle(s, run, now_usec)) {
                                ending_remove(s, run);
                                return;
                        }
                }
        }
        life_arm(s, run);
}

void life_sample_now(Run *run) {
        (void)watch_look(run);
        if (run->enforcement == ENFORCEMENT_SAMPLED)
                (void)watch_exactly(run);
        look_at_main(run);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Run *run = userdata;
        Supervisor *s = run->supervisor;
        uint64_t now_usec = clock_boottime_usec();

        run->timer_fired_usec = now_usec;
        if (now_usec >= warn_usec(run)) {
                run->warned = true;
                run->warned_at = clock_realtime_usec();
                (void)adopt_save(run, s->boot_id); /* a second one would end whoever listens once */
                if (run->pidfd >= 0)
                        (void)pidfd_signal(run->pidfd, run->request.warn_signal);
                story_tell(STORY_WARN, LOG_LEVEL_INFO, run, "warned of its wall-clock limit");
        }
        if (run_lives(run)) {
                if (now_usec >= run->watch.next_look_usec && watch_turn(&run->watch, now_usec, &s->look_rest_usec))
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
                supervisor_want_tick(s, run->timeline.next_usec);
        }
        life_look(s, run);
}

static int on_main(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Run *run = userdata;

        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        main_ended(run);
        life_look(run->supervisor, run);
        return 0;
}

void life_main_is(Supervisor *s, Run *run, int pidfd) {
        run->pidfd = pidfd;
        if (run->phase == PHASE_STARTING)
                run->phase = PHASE_RUNNING;
        if (pidfd >= 0)
                (void)sd_event_add_io(s->event, &run->main_source, pidfd, EPOLLIN | EPOLLET, on_main, run);
        else
                main_ended(run);
}

void life_find_main(Supervisor *s, Run *run) {
        Phase phase = run->phase;
        ProcessIdentity process;
        int pidfd, r;

        if (run->pid == 0)
                return;
        /* The pidfd first: what is read afterwards is of the process that it stands for. */
        pidfd = pidfd_open_pid(run->pid);
        r = pidfd < 0 ? pidfd : process_identity(run->pid, &process);
        if (r == 0 && process.start_ticks != run->start_ticks)
                r = -ESRCH;
        if (r < 0)
                pidfd = close_fd(pidfd);
        if (r < 0 && r != -ESRCH)
                return; /* for want of an fd: no death is guessed, the tick tries again */
        life_main_is(s, run, pidfd);
        run->phase = phase;
}

void life_launcher_gone(Supervisor *s, Run *run) {
        run->launcher_gone = true;
        look_around(s, run); /* an outer run's end takes the launcher of a nested one along */
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
        if (run->registered)
                return; /* it has none, and is not orphaned for that */
        if (PLANTED(PLANTED_LAUNCHER_UNHEEDED))
                return;
        run->launcher_pidfd = close_fd(run->launcher_pidfd);
        run->launcher_pidfd = pidfd_open_pid(run->launcher_pid);
        if (run->launcher_pidfd == -ESRCH || !adopt_process_lives(run->launcher_pid, run->launcher_start_ticks))
                run->launcher_gone = true;
        else if (run->launcher_pidfd >= 0) /* else the tick tries again */
                (void)sd_event_add_io(
                        s->event, &run->launcher_source, run->launcher_pidfd, EPOLLIN | EPOLLET, on_launcher, run);
}

/* They are acknowledged in the order in which they were sent, but for what a recorder's death has mixed up. */
void life_recorded(Supervisor *s, const char *event_id) {
        Run *run;

        TAILQ_FOREACH(run, &s->uncommitted, sent_link)
        if (strcmp(run->kill.event_id.text, event_id) == 0) {
                TAILQ_REMOVE(&s->uncommitted, run, sent_link);
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
        supervisor_want_tick(s, run->timeline.next_usec);
        supervisor_check_idle(s);
        return 0;
}

/* What could not be had for want of memory or fds. */
static void mend(Supervisor *s, Run *run) {
        if (!run->timer)
                life_arm(s, run);
        if (!run->client && !run->launcher_gone && !run->launcher_source) {
                life_watch_launcher(s, run);
                if (run->launcher_gone)
                        life_soon(s, run);
        }
        if (run->pidfd < 0 && !run->main_exited) {
                life_find_main(s, run);
                if (run->main_exited)
                        life_soon(s, run);
        }
}

static void tick_one(Supervisor *s, Run *run, uint64_t now_usec) {
        watch_sample(run, now_usec);
        run->timeline.next_usec = MAX_OF(run->timeline.next_usec, now_usec + 1); /* also where nothing can be read */
        if (run_is_grouped(run) && run->kept.memory && run->events_memory < 0) {
                run->events_memory = watching_add(s, run, "memory.events.local");
                life_soon(s, run); /* for what it counted while nobody listened */
        }
        if (run->announced)
                return;
        (void)process_comm(run->pid, run->comm);
        (void)recorder_send(s->recorder, "process", "run", record_run(&s->record_host, run, now_usec), run->id.text);
        run->announced = true;
}

bool life_tick(Supervisor *s, uint64_t now_usec) {
        unsigned n = 0;

        while (s->tick_run && n < LIFE_TICK_RUNS) {
                Run *run = s->tick_run;

                s->tick_run = LIST_NEXT(run, link);
                mend(s, run);
                if (run->phase == PHASE_STARTING || !run_lives(run) || now_usec < run->timeline.next_usec)
                        continue;
                tick_one(s, run, now_usec);
                n++;
        }
        return s->tick_run != NULL;
}

uint64_t life_next_tick_usec(const Supervisor *s) {
        uint64_t next = USEC_INFINITY;
        const Run *run;

        LIST_FOREACH(run, &s->runs, link)
        if (run_lives(run))
                next = MIN_OF(next, run->timeline.next_usec);
        return next;
}
