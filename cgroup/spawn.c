/*
 * Starts the command of a run; the launcher calls it once.
 *
 * clone3(CLONE_INTO_CGROUP) puts the child into the group before its first instruction, so nothing of it can be charged
 * elsewhere and no move (7-15 ms) is needed. Where the kernel or the permissions don't allow that (EACCES in a system
 * tree, ENOSYS under valgrind) the caller asks again without a group: then a plain copy waits at a pipe, the gate,
 * until the supervisor has moved it.
 *
 * The hard thing: between clone and exec the child may only do what is async-signal-safe, since a memory limit or a
 * gate may stop it anywhere. So all that needs memory (the PATH candidates, the environment, the argv of a script
 * without #!) is made before, and the child only walks tables. Why an exec failed comes back through a close-on-exec
 * pipe; end of file means that it succeeded, or that the kernel killed the child first.
 */
#include "cgroup/spawn.h"
#include "base/cleanup.h"
#include "cgroup/spawn-plan.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>

typedef struct Birth {
        const SpawnOptions *options; /* borrowed */
        SpawnPlan plan;
        int gate_read, gate_write, exec_read, exec_write; /* owned */
} Birth;

static void birth_deinit(Birth *birth) {
        spawn_plan_deinit(&birth->plan);
        close_fd(birth->gate_read);
        close_fd(birth->gate_write);
        close_fd(birth->exec_read);
        close_fd(birth->exec_write);
}

static int make_pipe(int *ret_read, int *ret_write) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        *ret_read = fds[0];
        *ret_write = fds[1];
        return 0;
}

static int birth_prepare(Birth *birth, bool gated) {
        int r = spawn_plan_init(&birth->plan, birth->options->argv, birth->options->environment);

        if (r == 0)
                r = make_pipe(&birth->exec_read, &birth->exec_write);
        if (r == 0 && gated)
                r = make_pipe(&birth->gate_read, &birth->gate_write);
        return r;
}

/* End of file: the launcher is gone or gave up, and nobody waits for this status. */
static void child_wait_gate(const Birth *birth) {
        ssize_t n;
        char byte;

        if (birth->gate_read < 0)
                return;
        close_fd(birth->gate_write);
        do
                n = read(birth->gate_read, &byte, 1);
        while (n < 0 && errno == EINTR);
        if (n != 1)
                _exit(125);
}

/* A protected launcher (OOMScoreAdjust of a service) must not make its run unkillable: nomad#10663. */
static void child_reset_oom_score(void) {
        int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
        char first = 0;

        if (fd < 0)
                return;
        if (read(fd, &first, 1) == 1 && first == '-')
                (void)!pwrite(fd, "0", 1, 0);
        close_fd(fd);
}

/*
 * Handlers go with the exec by themselves and what was ignored stays ignored, as the launcher inherited it; SIGCHLD
 * alone is one that it may have changed.
 */
static void child_restore_signals(const SpawnOptions *options) {
        const struct sigaction child = { .sa_handler = options->ignore_sigchld ? SIG_IGN : SIG_DFL };

        (void)sigaction(SIGCHLD, &child, NULL);
        if (options->mask)
                (void)sigprocmask(SIG_SETMASK, options->mask, NULL);
}

static _Noreturn void child_main(Birth *birth) {
        int error;

        child_wait_gate(birth);
        child_reset_oom_score();
        child_restore_signals(birth->options);
        error = spawn_plan_exec(&birth->plan);
        (void)!write(birth->exec_write, &error, sizeof(error));
        _exit(error == ENOENT ? 127 : 126);
}

/* No CLONE_VM: as after fork(2), the child has its own copy of everything and returns on its own stack. */
static pid_t clone_into(int group_fd, int *ret_pidfd) {
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_INTO_CGROUP,
                .pidfd = (uintptr_t)ret_pidfd,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)group_fd,
        };

        return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int spawn_into(Birth *birth, int group_fd, Spawned *ret) {
        pid_t pid = clone_into(group_fd, &ret->pidfd);

        if (pid < 0)
                return errno == ENOENT ? -ENODEV : -errno; /* kernels differ; ENOENT would read as "no such program" */
        if (pid == 0)
                child_main(birth);
        ret->pid = pid;
        return 0;
}

/*
 * fork(2) with a pidfd. clone(2) and not fork and pidfd_open(2), since valgrind 3.19 knows the first only. The first
 * three arguments have this order everywhere but on s390.
 */
static pid_t clone_plain(int *ret_pidfd) {
        return (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_PIDFD | SIGCHLD), NULL, ret_pidfd, NULL, NULL);
}

static int spawn_gated(Birth *birth, Spawned *ret) {
        pid_t pid = clone_plain(&ret->pidfd);

        if (pid < 0)
                return -errno;
        if (pid == 0)
                child_main(birth);
        ret->pid = pid;
        ret->gate_fd = TAKE_FD(birth->gate_write);
        return 0;
}

int spawn_process(const SpawnOptions *options, int group_fd, Spawned *ret) {
        _cleanup_(birth_deinit) Birth birth = {
                .options = options, .gate_read = -EBADF, .gate_write = -EBADF, .exec_read = -EBADF, .exec_write = -EBADF
        };
        Spawned spawned = { .pidfd = -EBADF, .gate_fd = -EBADF, .exec_fd = -EBADF };
        int r = birth_prepare(&birth, group_fd < 0);

        if (r == 0)
                r = group_fd >= 0 ? spawn_into(&birth, group_fd, &spawned) : spawn_gated(&birth, &spawned);
        if (r < 0)
                return r;
        spawned.exec_fd = TAKE_FD(birth.exec_read);
        *ret = spawned;
        return 0;
}

int spawn_wait_exec(Spawned *spawned) {
        ssize_t n;
        int error;

        do
                n = read(spawned->exec_fd, &error, sizeof(error));
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return n == (ssize_t)sizeof(error) ? error : 0;
}

void spawned_deinit(Spawned *spawned) {
        spawned->pidfd = close_fd(spawned->pidfd);
        spawned->gate_fd = close_fd(spawned->gate_fd);
        spawned->exec_fd = close_fd(spawned->exec_fd);
}
