/* Starts a program inside a group: clone3(CLONE_INTO_CGROUP|CLONE_PIDFD), or fork and wait to be moved. */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct SpawnOptions {
        char **argv;        /* NULL-terminated; argv[0] is searched in PATH as execvp(3) does */
        char **environment; /* extra "K=V", NULL-terminated, set in the child before exec, "K" is taken out; may be NULL
                             */
        const sigset_t *mask; /* the signal mask the program is to have: the one the launcher was started with */
        bool ignore_sigchld;  /* the disposition the launcher was started with, to be given back */
} SpawnOptions;

typedef struct Spawned {
        pid_t pid;
        int pidfd;   /* owned */
        int gate_fd; /* owned; -EBADF when started inside the group; else one byte lets the child go on to exec */
        int exec_fd; /* owned; reads an int errno if exec failed, end of file once it succeeded (or the child died) */
} Spawned;

/*
 * group_fd >= 0: straight into the group. group_fd < 0: a child that waits at the gate for its move; it dies at end
 * of file. In the child: oom_score_adj below 0 is put back to 0, mask and dispositions as given.
 * 0; -EACCES, -ENOSYS, -EPERM, -EOPNOTSUPP from clone3: try again with group_fd -1; -ENODEV the group is gone; -EAGAIN
 * its pids limit; -errno.
 */
int spawn_process(const SpawnOptions *options, int group_fd, Spawned *ret);
/* Waits for the exec: 0 it runs (or died before exec), > 0 the errno of execvp. */
int spawn_wait_exec(Spawned *spawned);
void spawned_deinit(Spawned *spawned);
