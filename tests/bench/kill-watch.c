/*
 * kill-watch GROUP | PID: says when the last process of a cgroup, or one process, is dead by the kernel's word.
 *
 * Started by the benches beside whoever kills, so that all are measured by the same eyes. Says `watching`, then
 * NANOSECONDS of CLOCK_REALTIME (which the record's times are of). The hard thing is to be told at once: poll() of
 * cgroup.events is woken by the change itself (inotify goes over a work queue), at most once in 10 ms, which does not
 * matter to a group that was filled long before. It has a real-time priority, where it may, to be looking when the
 * processors are busy dying.
 */

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long long now_nsec(void) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int is_populated(int events) {
        char text[256];
        ssize_t n = pread(events, text, sizeof(text) - 1, 0);

        if (n <= 0)
                return 0; /* the group is gone already */
        text[n] = 0;
        return strstr(text, "populated 1") != NULL;
}

static int open_what(const char *what, short *ret_events) {
        char path[4096];

        if (what[0] != '/') {
                *ret_events = POLLIN;
                return (int)syscall(SYS_pidfd_open, (pid_t)strtol(what, NULL, 10), 0);
        }
        *ret_events = POLLPRI;
        snprintf(path, sizeof(path), "%s/cgroup.events", what);
        return open(path, O_RDONLY | O_CLOEXEC);
}

int main(int argc, char **argv) {
        const struct sched_param priority = { .sched_priority = 10 };
        struct pollfd poller;
        long long dead;

        if (argc != 2 || (poller.fd = open_what(argv[1], &poller.events)) < 0) {
                perror("kill-watch");
                return 2;
        }
        (void)sched_setscheduler(0, SCHED_FIFO, &priority);
        if (poller.events == POLLPRI && !is_populated(poller.fd)) {
                fprintf(stderr, "kill-watch: nobody was alive\n");
                return 2;
        }
        if (write(STDOUT_FILENO, "watching\n", 9) < 0)
                return 2;
        do {
                if (poll(&poller, 1, -1) < 0)
                        return 2;
                dead = now_nsec();
        } while (poller.events == POLLPRI && is_populated(poller.fd));
        printf("%lld\n", dead);
        return 0;
}
