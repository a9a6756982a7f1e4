/*
 * crowd PROCESSES [ignore]: that many children which do nothing, each in a session of its own.
 *
 * Says `crowd` when all are there. With `ignore` they ignore SIGTERM, so that only SIGKILL ends them.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
        long processes = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

        if (argc > 2)
                signal(SIGTERM, SIG_IGN);
        for (long i = 0; i < processes; i++) {
                pid_t child = fork();

                if (child < 0) {
                        perror("crowd: fork");
                        return 2;
                }
                if (child == 0) {
                        setsid();
                        for (;;)
                                pause();
                }
        }
        if (write(STDOUT_FILENO, "crowd\n", 6) < 0)
                return 2;
        for (;;)
                pause();
}
