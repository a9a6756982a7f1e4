/*
 * One signal to every process of a group and below it, for the TERM before the grace and for kernels without
 * cgroup.kill.
 *
 * The hard thing is to never hit a process that only inherited a pid. A pid of cgroup.procs is turned into a pidfd, and
 * then cgroup.procs is read once more: whoever still stands in it and whose pidfd still takes a signal has held that
 * pid all the time between, so it is the process that is meant. This is done in batches, since each second reading
 * costs a pass over the whole list.
 *
 * There is no cgroup SIGTERM, so a fork can slip past a sweep; sweeps are repeated until one finds nobody new, at most
 * GROUP_SWEEPS_MAX times or GROUP_SWEEPS_USEC: a fork bomb outruns any number of them and is ended by cgroup.kill.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "cgroup/group-internal.h"
#include "cgroup/group.h"
#include "cgroup/procs.h"
#include "cgroup/walk.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

/* pidfds held at a time: well below the usual soft limit of 1024, and with less (EMFILE) the batch is just shorter. */
#define BATCH_MAX 256

typedef struct Target {
        pid_t pid;
        int fd;       /* owned */
        size_t index; /* in the list it comes from */
} Target;

typedef struct Batch {
        Target targets[BATCH_MAX];
        size_t count;
} Batch;

typedef struct Sweep {
        int signal;
        PidSet seen;    /* those that have had their signal, or refused it */
        size_t found;   /* by the present sweep */
        size_t reached; /* by all */
        int error;      /* the first refusal; the sweep goes on */
} Sweep;

static void sweep_deinit(Sweep *sweep) {
        pid_set_deinit(&sweep->seen);
}

static void batch_close(Batch *batch) {
        for (size_t i = 0; i < batch->count; i++)
                close_fd(batch->targets[i].fd);
        batch->count = 0;
}

/* Opens pids from list[*at] on until the batch is full or the fds are used up. */
static int batch_fill(Batch *batch, const Sweep *sweep, const PidList *list, size_t *at) {
        for (; *at < list->count && batch->count < BATCH_MAX; (*at)++) {
                pid_t pid = list->pids[*at];
                int fd;

                if (pid_set_contains(&sweep->seen, pid))
                        continue;
                fd = pidfd_open_pid(pid);
                if (fd == -ESRCH)
                        continue;
                if ((fd == -EMFILE || fd == -ENFILE) && batch->count > 0)
                        return 0; /* these first, then the rest with their fds */
                if (fd < 0)
                        return fd;
                batch->targets[batch->count++] = (Target){ .pid = pid, .fd = fd, .index = *at };
        }
        return 0;
}

/* A stopped process would see the signal only when continued; the job-control signals are not undone at once. */
static bool wants_wakeup(int signal) {
        return signal != SIGKILL && signal != SIGCONT && signal != SIGSTOP && signal != SIGTSTP && signal != SIGTTIN &&
                signal != SIGTTOU && signal != 0;
}

static void signal_target(Sweep *sweep, const Target *target) {
        int r = pidfd_signal(target->fd, sweep->signal);

        if (r == -ESRCH)
                return;
        if (r < 0) {
                sweep->error = sweep->error ? sweep->error : r;
                return;
        }
        if (wants_wakeup(sweep->signal))
                (void)pidfd_signal(target->fd, SIGCONT);
        sweep->reached++;
}

static int batch_signal(Batch *batch, int group_fd, Sweep *sweep, size_t *at) {
        _cleanup_(pid_list_deinit) PidList list = {};
        _cleanup_(pid_set_deinit) PidSet members = {};
        int r;

        r = procs_read(group_fd, &list);
        if ((r == -EMFILE || r == -ENFILE) && batch->count > 1) {
                /* The last one gives its fd for the reading, and begins the next batch. */
                *at = batch->targets[--batch->count].index;
                close_fd(batch->targets[batch->count].fd);
                r = procs_read(group_fd, &list);
        }
        for (size_t i = 0; r == 0 && i < list.count; i++)
                r = pid_set_add(&members, list.pids[i]);
        for (size_t i = 0; r == 0 && i < batch->count; i++) {
                const Target *target = &batch->targets[i];

                if (!pid_set_contains(&members, target->pid) || pid_set_contains(&sweep->seen, target->pid))
                        continue;
                signal_target(sweep, target);
                sweep->found++;
                r = pid_set_add(&sweep->seen, target->pid);
        }
        batch_close(batch);
        return r;
}

static int sweep_signal(int group_fd, Sweep *sweep) {
        _cleanup_(pid_list_deinit) PidList list = {};
        Batch batch;
        size_t at = 0;
        int r = procs_read(group_fd, &list);

        batch.count = 0;
        while (r == 0 && at < list.count) {
                r = batch_fill(&batch, sweep, &list, &at);
                if (r < 0)
                        batch_close(&batch);
                else if (batch.count > 0)
                        r = batch_signal(&batch, group_fd, sweep, &at);
        }
        return r;
}

/* The signal first, the thaw after it: whoever wakes finds it pending and does nothing else before. */
static int sweep_enter(int fd, void *userdata) {
        Sweep *sweep = userdata;
        int r = sweep_signal(fd, sweep);

        if (r == 0 && sweep->signal != SIGSTOP)
                r = group_freeze(&(Group){ .fd = fd }, false);
        return r > 0 ? 0 : r;
}

int group_signal(const Group *group, int signal, size_t *ret_signalled) {
        _cleanup_(sweep_deinit) Sweep sweep = { .signal = signal };
        const WalkVisitor visitor = { .enter = sweep_enter, .userdata = &sweep };
        uint64_t until = usec_add(clock_boottime_usec(), GROUP_SWEEPS_USEC);
        unsigned sweeps = 0;
        int r = 0;

        do {
                sweep.found = 0;
                r = group_walk(group->fd, &visitor);
        } while (r == 0 && sweep.found > 0 && ++sweeps < GROUP_SWEEPS_MAX && clock_boottime_usec() < until);
        *ret_signalled = sweep.reached;
        if (r == 0)
                return sweep.error;
        return r == GROUP_E_GONE && sweep.reached > 0 ? 0 : r;
}
