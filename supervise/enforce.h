/*
 * What is done to a run: look at its processes, mark, TERM, kill, remove. Acts on the group, or on the descendants
 * where there is none; decides nothing.
 */
#pragma once

#include "supervise/run.h"

/* Calls func for each process of the run. 0, GROUP_E_GONE, -errno, or what func returned. */
int enforce_each_process(const Run *run, GroupProcessFunc func, void *userdata);

/*
 * Lists who is alive: {pid, comm, rss_bytes}, the main process always first when it is among them. Who is already on
 * the way out (no memory any more) does not count; once the list is full nobody is looked at any more, and all count.
 * 0, GROUP_E_GONE, -errno.
 */
int enforce_list(const Run *run, ProcessList *ret);

/* Whether all that is left of it is on its way out, or in the middle of an exec. False where that can't be read. */
bool enforce_only_dying(const Run *run);

/* Whether nothing of the run is alive. */
bool enforce_is_empty(const Run *run);

/*
 * Begins a kill: event id, reason, detail, the list of processes and the usage, and the marker in the group's xattrs,
 * so that whoever finds the group finishes under the same event id. Sends nothing. What there is no memory for, or a
 * marker that can't be written, is no reason not to kill.
 */
void enforce_begin(Run *run, Verdict reason, const char *detail, bool by_kernel, uint64_t now_realtime);
/* Takes it back: the run had ended by itself before a signal reached anyone. */
void enforce_withdraw(Run *run);

/* The run's term signal to every process; CONT and thaw, so that stopped and frozen ones see it. */
int enforce_term(Run *run, uint64_t now_realtime, uint64_t now_boottime);
/* cgroup.kill. Returns before they are dead. */
int enforce_kill(Run *run, uint64_t now_realtime);
/* Removes the group. 0, GROUP_E_BUSY (try again), -errno. Nothing to do without one. */
int enforce_remove(Run *run);
