/* The pids of cgroup.procs, and a set of pids. A pid read here names a process only until it has been checked by pidfd.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct PidList {
        pid_t *pids; /* owned */
        size_t count, allocated;
} PidList;

/*
 * The processes of this group itself, as far as this pid namespace sees them (others are listed as 0 and left out).
 * None in a threaded group: its domain lists them. 0, GROUP_E_GONE, -errno. Zombies are not listed by the kernel.
 */
int procs_read(int group_fd, PidList *ret);
/* Parses the text of cgroup.procs. 0, -EINVAL, -ENOMEM. */
int procs_parse(const char *text, PidList *ret);
void pid_list_deinit(PidList *list);

/* One bit per pid: pid_max is at most 4,194,304 (PID_MAX_LIMIT), so 512 KiB at most. */
#define PID_LIMIT (1 << 22)

typedef struct PidSet {
        uint64_t *words; /* owned */
        size_t count;
} PidSet;

bool pid_set_contains(const PidSet *set, pid_t pid);
/* 0, -ENOMEM, -ERANGE for no pid. */
int pid_set_add(PidSet *set, pid_t pid);
void pid_set_clear(PidSet *set);
void pid_set_deinit(PidSet *set);
