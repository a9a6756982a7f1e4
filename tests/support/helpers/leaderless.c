/*
 * leaderless STATUS [ignore]: its main thread ends at once, the process lives on in another: that one says `ready` when
 * the first is gone, waits for a line or the end of stdin, and exits with STATUS. With `ignore` it does not hear TERM.
 *
 * The leader of such a process is a zombie to proc(5) for as long as it lives.
 */

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Nothing wakes anybody up for it, so it is looked at. */
static int leader_is_gone(void) {
        char text[512], *end;
        FILE *stat = fopen("/proc/self/stat", "re");
        size_t n = stat ? fread(text, 1, sizeof(text) - 1, stat) : 0;

        if (stat)
                fclose(stat);
        text[n] = '\0';
        end = strrchr(text, ')');
        return end && end[1] == ' ' && end[2] == 'Z';
}

static void *live_on(void *status) {
        const struct timespec moment = { .tv_nsec = 1000000 };
        char byte;

        while (!leader_is_gone())
                nanosleep(&moment, NULL);
        if (write(STDOUT_FILENO, "ready\n", 6) < 0 || read(STDIN_FILENO, &byte, 1) < 0)
                exit(2);
        exit((int)strtol(status, NULL, 10));
}

int main(int argc, char **argv) {
        pthread_t thread;

        if (argc == 3)
                signal(SIGTERM, SIG_IGN);
        if (argc < 2 || argc > 3 || pthread_create(&thread, NULL, live_on, argv[1]) != 0)
                return 2;
        pthread_exit(NULL);
}
