/*
 * One cgroup: make, limit, look, freeze, signal, kill, remove.
 *
 * A Group is a directory fd and a name below the tree; nothing here rebuilds a path. The caller decides,
 * this module does. Functions return 0, a positive GROUP_E_* that is part of normal life, or -errno.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
        _GROUP_E_SUCCESS,
        GROUP_E_GONE = 1,   /* the directory has been removed (ENODEV, ENOENT) */
        GROUP_E_BUSY,       /* still holds processes or sub-cgroups */
        GROUP_E_UNSUPPORTED /* this kernel or tree lacks the file (no memory controller, old kernel) */
};

typedef struct Group {
        int fd;        /* owned; O_RDONLY|O_DIRECTORY|O_CLOEXEC of the cgroup directory, -EBADF if none */
        int parent_fd; /* borrowed; of the directory it lies in */
        char *name;    /* owned; its name in parent_fd */
} Group;

#define GROUP_NONE ((Group){ .fd = -EBADF, .parent_fd = -EBADF })

/* What is asked of the kernel. UINT64_MAX = "max". */
typedef struct Limits {
        uint64_t memory_bytes, memory_high_bytes, swap_bytes;
        uint64_t pids;
        uint64_t cpu_centi; /* hundredths of a CPU, cpu.max; UINT64_MAX none */
} Limits;

/* What the kernel kept, bit by bit. What was "max" is kept, but memory: that bit says whether memory.max exists. */
typedef struct LimitsKept {
        bool memory, memory_high, swap, oom_group, pids, cpu;
        uint64_t memory_bytes; /* as read back (rounded to pages); UINT64_MAX when not kept */
} LimitsKept;

/* mkdirat(parent_fd, name, 0755) and open. 0, -EEXIST, -errno. parent_fd must outlive the group. */
int group_create(int parent_fd, const char *name, Group *ret);
/* Opens an existing one. 0, GROUP_E_GONE, -errno. */
int group_open(int parent_fd, const char *name, Group *ret);
/* Closes; never removes. */
void group_deinit(Group *group);

/*
 * memory.max, memory.high, memory.swap.max, memory.oom.group=1, pids.max, cpu.max of a fresh group; memory.max is read
 * back. A missing controller is no error: its bit in *ret_kept is false and the caller says so. 0, GROUP_E_GONE, -errno
 * (EINVAL, EACCES) of a file that exists and refused.
 */
int group_set_limits(const Group *group, const Limits *limits, LimitsKept *ret_kept);
/* The same for a group that has had limits already: "max" is written too. Lowering memory.max reclaims, and may kill,
 * before it returns. */
int group_change_limits(const Group *group, const Limits *limits, LimitsKept *ret_kept);

/*
 * memory.pressure to uid, so that a run can arm a trigger of its own (systemd's memory pressure protocol); the kernel
 * makes such a trigger of an unprivileged user without a thread. 0, GROUP_E_UNSUPPORTED without PSI, GROUP_E_GONE,
 * -errno.
 */
int group_give_pressure(const Group *group, uid_t uid);

/* Writes pid into cgroup.procs (0 is the caller). Costs an RCU grace period. 0, -ESRCH, -EACCES, GROUP_E_GONE. */
int group_attach(const Group *group, pid_t pid);

/* cgroup.events. GROUP_E_GONE counts as not populated for the caller. */
int group_is_populated(const Group *group, bool *ret_populated);
/* Measured on 6.1: after the thaw of a group whose processes were moved below it while frozen, this can seldom stay
 * true for good. */
int group_is_frozen(const Group *group, bool *ret_frozen);
/* cgroup.freeze = 1/0. Asynchronous; cgroup.events tells when done. */
int group_freeze(const Group *group, bool freeze);

typedef int (*GroupProcessFunc)(pid_t pid, void *userdata);
/*
 * Calls func for each process of the group and of all groups below it, deepest last, skipping zombies (they are not
 * listed). A non-zero return of func ends the walk and is returned. Directories that refuse (mode 000) are opened after
 * a chmod. 0, GROUP_E_GONE, -errno.
 */
int group_each_process(const Group *group, GroupProcessFunc func, void *userdata);

/*
 * One sweep of a signal to every process of the group and below it, by pidfd whose membership is checked again after
 * the open; then SIGCONT for those stopped; thaws the group and frozen sub-cgroups. Repeats until a sweep finds no
 * process that it has not signalled, at most GROUP_SWEEPS_MAX times (a fork bomb outruns it; the grace bounds that).
 * *ret_signalled: processes reached. 0, GROUP_E_GONE, -errno; a refusal (-EPERM: a set-uid program in a user's tree) is
 * returned after all others have been signalled.
 */
#define GROUP_SWEEPS_MAX  8
#define GROUP_SWEEPS_USEC UINT64_C(100000) /* no sweep is begun later: others wait for the supervisor */
int group_signal(const Group *group, int signal, size_t *ret_signalled);

/* cgroup.kill = 1 (kernel 5.14), with a sweep of SIGKILL in its place before. Returns before they are dead. */
int group_kill(const Group *group);
/* An O_WRONLY|O_CLOEXEC fd of cgroup.kill, which may be handed to a user (cgroup.procs may not). fd or -errno. */
int group_open_kill_fd(const Group *group);

/*
 * rmdir of the group and all below it, bottom-up, also of sub-cgroups of mode 000. Sub-cgroups without processes go
 * even when the group itself cannot. 0 (also when already gone), GROUP_E_BUSY: processes or a straggling rmdir, try
 * again; -errno.
 */
int group_remove(const Group *group);

/*
 * Makes room for a nested group: freezes, moves the group's own processes into the leaf `leaf_name`, enables
 * controllers for children, thaws. Does nothing when the controllers are enabled already or the tree has none. 0,
 * -errno.
 */
int group_make_inner(const Group *group, const char *leaf_name);

/* Moves all processes of the group itself (not below) to target, until none is left. 0, -errno. */
int group_move_all(const Group *group, const Group *target);
