/*
 * forkbomb MAXIMUM: forks from every process as fast as it can, until MAXIMUM processes exist or fork fails.
 *
 * A bound of its own because the test may run where no pids controller holds it: a test must not take the host down if
 * scidex fails. The counter is shared by all. The first process says `full` once fork was refused or the bound reached.
 */

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static void bomb(atomic_long *count, long maximum) {
        for (;;) {
                if (atomic_fetch_add(count, 1) >= maximum) {
                        atomic_fetch_sub(count, 1);
                        return;
                }
                /* A child goes on as its parent does. */
                if (fork() < 0) {
                        atomic_fetch_sub(count, 1);
                        return;
                }
        }
}

int main(int argc, char **argv) {
        atomic_long *count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        pid_t first = getpid();

        if (argc != 2 || count == MAP_FAILED)
                return 2;
        bomb(count, strtol(argv[1], NULL, 10));
        if (getpid() == first && write(STDOUT_FILENO, "full\n", 5) < 0)
                return 2;
        /* Those that a full group refused try again: what is killed must stay killed. */
        for (;;) {
                struct timespec pause_time = { .tv_nsec = 10000000 };

                nanosleep(&pause_time, NULL);
                bomb(count, strtol(argv[1], NULL, 10));
        }
}
