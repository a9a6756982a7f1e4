/*
 * sigcount SIGNAL MILLISECONDS STATUS: counts how often SIGNAL arrives: waits for the first, then MILLISECONDS more.
 *
 * Says `ready` when it listens and `NUMBER times` at the end, and exits with STATUS. Signals of one number that arrive
 * while one is pending are merged by the kernel, so it takes each at once (sigtimedwait).
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
        struct timespec window;
        sigset_t set;
        long milliseconds;
        int count = 1;

        if (argc != 4)
                return 2;
        milliseconds = strtol(argv[2], NULL, 10);
        sigemptyset(&set);
        sigaddset(&set, (int)strtol(argv[1], NULL, 10));
        sigprocmask(SIG_BLOCK, &set, NULL);
        if (write(STDOUT_FILENO, "ready\n", 6) < 0)
                return 2;
        while (sigwaitinfo(&set, NULL) < 0)
                if (errno != EINTR)
                        return 2;
        window = (struct timespec){ .tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1000000 };
        while (sigtimedwait(&set, NULL, &window) > 0)
                count++;
        printf("%d times\n", count);
        return (int)strtol(argv[3], NULL, 10);
}
