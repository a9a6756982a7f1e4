/*
 * launch-floor TREE COMMAND [ARG]...: the least that one run in a cgroup of its own can cost.
 *
 * mkdir, four limits, clone3 into it, exec, wait, cgroup.kill, rmdir, in one program that talks to nobody, records
 * nothing and watches nothing. The bench sets scidex-run's figure beside it.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
        const char *file, *value;
} settings[] = {
        { "memory.max", "2147483648" },
        { "memory.swap.max", "0" },
        { "memory.oom.group", "1" },
        { "pids.max", "4096" },
};

/* A file that this tree has not (no controller) costs its open all the same. */
static void write_file(int group, const char *file, const char *value) {
        int fd = openat(group, file, O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return;
        if (write(fd, value, strlen(value)) < 0)
                fprintf(stderr, "launch-floor: %s: %s\n", file, strerror(errno));
        close(fd);
}

static int run_in(int group, char **argv) {
        struct clone_args arguments = {
                .flags = CLONE_INTO_CGROUP,
                .exit_signal = SIGCHLD,
                .cgroup = (uint64_t)group,
        };
        int status;
        long pid;

        pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
        if (pid == 0) {
                execvp(argv[0], argv);
                _exit(127);
        }
        if (pid < 0 || waitpid((pid_t)pid, &status, 0) < 0) {
                perror("launch-floor: clone3");
                return 2;
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv) {
        char name[32];
        int tree, group, status;

        if (argc < 3 || (tree = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
                return 2;
        snprintf(name, sizeof(name), "floor-%d", getpid());
        if (mkdirat(tree, name, 0755) < 0 || (group = openat(tree, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
                perror("launch-floor: mkdir");
                return 2;
        }
        for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
                write_file(group, settings[i].file, settings[i].value);
        status = run_in(group, argv + 2);
        write_file(group, "cgroup.kill", "1");
        if (unlinkat(tree, name, AT_REMOVEDIR) < 0)
                perror("launch-floor: rmdir");
        return status;
}
