/*
 * kill-crowd PROCESSES honour|ignore|note: what is killed in the benches of kill.py and orphans.py.
 *
 * PROCESSES in all, itself among them, which do nothing; children in sessions of their own, so that no signal to a
 * process group reaches them. When all are there it says `ready PID STARTED`: STARTED is CLOCK_REALTIME in nanoseconds
 * at its first instruction. `honour`: TERM has its default action. `ignore`: only KILL ends them. `note`: the first
 * process says `term NANOSECONDS` (CLOCK_REALTIME) when TERM reaches it, and ends; the others honour it.
 *
 * kill-crowd exec COMMAND [ARG]...: says `exec NANOSECONDS` and becomes COMMAND.
 */

#include <signal.h>
#include <stdbool.h>
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

static _Noreturn void be_child(void) {
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

static int become(char **command) {
        printf("exec %lld\n", now_nsec());
        (void)fflush(stdout);
        execvp(command[0], command);
        perror("kill-crowd: exec");
        return 2;
}

static int be_crowd(long processes, const char *how, long long started) {
        bool notes = strcmp(how, "note") == 0;
        sigset_t set;

        if (strcmp(how, "ignore") == 0)
                signal(SIGTERM, SIG_IGN);
        for (long i = 1; i < processes; i++) {
                pid_t child = fork();

                if (child < 0) {
                        perror("kill-crowd: fork");
                        return 2;
                }
                if (child == 0)
                        be_child();
        }
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        if (notes)
                sigprocmask(SIG_BLOCK, &set, NULL);
        printf("ready %d %lld\n", getpid(), started);
        if (fflush(stdout) != 0)
                return 2;
        if (notes)
                return note_term();
        be_child();
}

int main(int argc, char **argv) {
        long long started = now_nsec();

        if (argc > 2 && strcmp(argv[1], "exec") == 0)
                return become(argv + 2);
        if (argc == 3)
                return be_crowd(strtol(argv[1], NULL, 10), argv[2], started);
        fprintf(stderr, "usage: kill-crowd PROCESSES honour|ignore|note\n");
        return 2;
}
