/*
 * kill-crowd PROCESSES honour|ignore|note: what is killed in the benches of kill.py and orphans.py.
 *
 * PROCESSES in all, itself among them, which do nothing; children in sessions of their own, so that no signal to a
 * process group reaches them. When all are there it says `ready PID STARTED`: STARTED is CLOCK_REALTIME in nanoseconds
 * at its first instruction. `honour`: TERM has its default action. `ignore`: only KILL ends them. `note`: the first
 * process says `term NANOSECONDS` (CLOCK_REALTIME) when TERM reaches it, and ends; the others honour it.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long long now_nsec(void) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int be_child(void) {
        setsid();
        for (;;)
                pause();
}

/* TERM is blocked and taken here, so that the time is noted by plain code and not in a handler. */
static int note_term(void) {
        sigset_t set;
        int signal;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        if (sigwait(&set, &signal) != 0)
                return 2;
        printf("term %lld\n", now_nsec());
        return fflush(stdout) == 0 ? 0 : 2;
}

int main(int argc, char **argv) {
        long long started = now_nsec();
        sigset_t set;
        long processes;

        if (argc != 3) {
                fprintf(stderr, "usage: kill-crowd PROCESSES honour|ignore|note\n");
                return 2;
        }
        processes = strtol(argv[1], NULL, 10);
        if (strcmp(argv[2], "ignore") == 0)
                signal(SIGTERM, SIG_IGN);
        for (long i = 1; i < processes; i++) {
                pid_t child = fork();

                if (child < 0) {
                        perror("kill-crowd: fork");
                        return 2;
                }
                if (child == 0)
                        return be_child();
        }
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        if (strcmp(argv[2], "note") == 0)
                sigprocmask(SIG_BLOCK, &set, NULL);
        printf("ready %d %lld\n", getpid(), started);
        if (fflush(stdout) != 0)
                return 2;
        if (strcmp(argv[2], "note") == 0)
                return note_term();
        for (;;)
                pause();
}
