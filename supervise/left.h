/*
 * What launchers of any user leave for the system's supervisor: how a run ended while there was none.
 *
 * In <control socket>.left, a directory that members of the group may write to and not list (01730), one file per run.
 * A file is believed about one thing, the exit status, and only where the run's own uid has written it: what the run
 * was killed for is known from its group.
 */
#pragma once

#include "supervise/run.h"

/* Makes the directory, ours, for members of group. Its fd (owned by the caller) or -errno. */
int left_open(const char *socket_path, gid_t group);
/* Reads what was left for run, if anything was. True: its exit status is known now, and its launcher is gone. */
bool left_take(int fd, Run *run);
/* Removes the file of a run whose row is committed. */
void left_forget(int fd, const char *run_id);
