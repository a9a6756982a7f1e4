/*
 * Processes that ran before they came under supervision: into the group of a run, and out of it again.
 *
 * A move is a write of a number into cgroup.procs, and a number may have got another owner at any time: each function
 * takes the process's pidfd before and asks it afterwards; a stranger that was moved in its place is put back.
 */
#pragma once

#include "supervise/supervisor-internal.h"

/* Of one tree, in and out: each costs a move, some 0.2 ms of CPU, and everybody waits for all of them. Ten times as
 * long under the unit's CPUQuota=, so four times as many would last as long as its WatchdogSec=. */
#define REGISTERED_PROCESSES_MAX 1024

/* Moves one process, known by its start time and pidfd. 0; -ESRCH it has gone; -EACCES, -EPERM; -errno. */
int registered_take(Supervisor *s, const Run *run, pid_t pid, uint64_t start_ticks, int pidfd);

/*
 * Moves what descends from the main process, again until there is nobody new. Left where they are: processes of other
 * users (unless root asked), with all below them, and those that belong to another run. 0; -E2BIG: more than
 * REGISTERED_PROCESSES_MAX, those are moved; -EOPNOTSUPP: this kernel does not list children; -errno. *ret_moved counts
 * also when it fails.
 */
int registered_sweep(Supervisor *s, const Run *run, size_t *ret_moved);

enum {
        _REGISTERED_E_SUCCESS,
        REGISTERED_E_IN_PLACE =
                1, /* they may not be moved back: they stay in the directory, which is no group any more */
};

/*
 * Moves all processes of the run back to where the main one came from, or the nearest cgroup above that takes them. The
 * run's attributes say beforehand that it is being let go: a supervisor that dies in the middle leaves that to the
 * next. 0, REGISTERED_E_IN_PLACE: the limits are lifted instead and the run has no group any more; -E2BIG: more than
 * REGISTERED_PROCESSES_MAX, none is moved; -errno.
 */
int registered_release(Supervisor *s, Run *run, size_t *ret_moved);

/* Closes the run as `lost`, detail `unregistered`, after registered_release(). It may be freed by this. */
void registered_close(Supervisor *s, Run *run);
