/*
 * kill-floor GROUP kill|term: the least that the end of a group can cost: one write to cgroup.kill, or kill(2) for each
 * process of cgroup.procs, which is what a sweep of SIGTERM is without any of its guards (pids may have new owners).
 *
 * Started by kill.py for a group that is full and watched by kill-watch. Says CLOCK_REALTIME in nanoseconds just before
 * and just after. It knows nothing, records nothing and waits for nobody.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX (1 << 20)

static long long now_nsec(void) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int open_file(const char *group, const char *name, int flags) {
        char path[4096];

        snprintf(path, sizeof(path), "%s/%s", group, name);
        return open(path, flags | O_CLOEXEC);
}

static int kill_group(const char *group) {
        int fd = open_file(group, "cgroup.kill", O_WRONLY);

        return fd >= 0 && write(fd, "1", 1) == 1 ? 0 : -1;
}

static int term_each(const char *group) {
        static char text[TEXT_MAX];
        int fd = open_file(group, "cgroup.procs", O_RDONLY);
        size_t size = 0;
        ssize_t n;
        char *at = text;

        if (fd < 0)
                return -1;
        while (size < sizeof(text) - 1 && (n = read(fd, text + size, sizeof(text) - 1 - size)) > 0)
                size += (size_t)n;
        while (*at) {
                (void)kill((pid_t)strtol(at, &at, 10), SIGTERM);
                at += strspn(at, "\n");
        }
        return 0;
}

int main(int argc, char **argv) {
        long long begin, end;
        int r;

        if (argc != 3)
                return 2;
        begin = now_nsec();
        r = strcmp(argv[2], "kill") == 0 ? kill_group(argv[1]) : term_each(argv[1]);
        end = now_nsec();
        if (r < 0) {
                perror("kill-floor");
                return 2;
        }
        printf("%lld %lld\n", begin, end);
        return 0;
}
