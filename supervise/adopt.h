/*
 * What a restart needs, in extended attributes of the group itself: it can't go stale, it dies with the group.
 *
 * user.scidex.run   the request, start times, launcher (pid and start time), uid; written once, before the process
 *                   starts
 * user.scidex.main  pid and start time of the main process
 * user.scidex.kill  the marker: event id, reason, times; written before the first signal
 * user.scidex.end   verdict and exit status; written before the row is sent and the launcher told
 */
#pragma once

#include "supervise/run.h"

/* 0; -EOPNOTSUPP without a group; -errno. */
int adopt_save(const Run *run, const char *boot_id);
int adopt_save_main(const Run *run);
/* Writes the marker, or removes it when no kill is begun. */
int adopt_save_kill(const Run *run);
/* Verdict, exit status and time of the end, so that no later supervisor comes to another one. */
int adopt_save_end(const Run *run);

enum {
        _ADOPT_E_SUCCESS,
        ADOPT_E_FOREIGN = 1, /* not a group of ours: no or unreadable attributes */
};

/*
 * Rebuilds a run from the group name below parent_fd: same id, same deadline, same marker. Its phase is RUNNING, GRACE
 * or KILLING as the marker says, ENDING with the verdict that was reached. Processes are not touched. 0,
 * ADOPT_E_FOREIGN, GROUP_E_GONE as -ENOENT, -errno.
 */
int adopt_load(int parent_fd, const char *name, const char *boot_id, Run **ret);

/* Whether pid with these start ticks still lives; true also where that can't be told (no memory, no fd): nothing is
 * killed on a guess. */
bool adopt_process_lives(pid_t pid, uint64_t start_ticks);
