/*
 * fdcheck: says what a process inherits: open fds, blocked and ignored signals, umask, directory, oom_score_adj,
 * priority, process group and session, limits.
 *
 * The test runs it bare and through scidex-run and compares the lines.
 */

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void say_fds(void) {
        DIR *directory = opendir("/proc/self/fd");
        struct dirent *entry;

        while (directory && (entry = readdir(directory))) {
                char target[256] = "";
                long fd = strtol(entry->d_name, NULL, 10);

                if (entry->d_name[0] == '.' || fd == dirfd(directory))
                        continue;
                if (readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1) < 0)
                        continue;
                printf("fd %ld %s\n", fd, target);
        }
        if (directory)
                closedir(directory);
}

static void say_signals(void) {
        sigset_t blocked;

        sigprocmask(SIG_SETMASK, NULL, &blocked);
        for (int number = 1; number <= SIGRTMAX; number++) {
                struct sigaction action;

                if (sigismember(&blocked, number) == 1)
                        printf("blocked %d\n", number);
                if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
                        printf("ignored %d\n", number);
        }
}

static void say_file(const char *name, const char *path) {
        char text[64] = "";
        FILE *file = fopen(path, "re");

        if (file && fgets(text, sizeof(text), file))
                printf("%s %s", name, text);
        if (file)
                fclose(file);
}

int main(void) {
        char directory[4096];
        struct rlimit limit;
        mode_t mask = umask(0);

        umask(mask);
        say_fds();
        say_signals();
        printf("umask %03o\n", mask);
        printf("cwd %s\n", getcwd(directory, sizeof(directory)) ? directory : "?");
        say_file("oom_score_adj", "/proc/self/oom_score_adj");
        printf("priority %d\n", getpriority(PRIO_PROCESS, 0));
        printf("group of its own %d, session of its own %d\n", getpgrp() == getpid(), getsid(0) == getpid());
        for (int resource = 0; resource < RLIMIT_NLIMITS; resource++)
                if (getrlimit((unsigned)resource, &limit) == 0)
                        printf("rlimit %d %lu %lu\n", resource, limit.rlim_cur, limit.rlim_max);
        return 0;
}
