/*
 * leaker KIND MEGABYTES RATE: takes memory at a known speed, then waits for its end.
 *
 * For tests of memory limits. KIND: anon (a private mapping), shmem (a file in /dev/shm, unlinked at once so that
 * nothing stays), file (a file named by $LEAKER_FILE: page cache, which a limit must not kill for). RATE is megabytes a
 * second, 0 as fast as it goes. It says `holds` on stdout when it has all. One page in 4 KiB is touched: that is what
 * is charged.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MEGABYTE (1UL << 20)

static int open_backing(const char *kind) {
        char name[] = "/dev/shm/scidex-leaker-XXXXXX";
        const char *file = getenv("LEAKER_FILE");
        int fd;

        if (strcmp(kind, "file") == 0)
                return file ? open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
        fd = mkstemp(name);
        if (fd >= 0)
                unlink(name);
        return fd;
}

static int take_megabyte(int fd, const char *kind) {
        static char block[MEGABYTE];
        char *place;

        if (fd >= 0)
                return write(fd, block, sizeof(block)) == (ssize_t)sizeof(block) ? 0 : -1;
        if (strcmp(kind, "anon") != 0)
                return -1;
        place = mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (place == MAP_FAILED)
                return -1;
        for (unsigned long at = 0; at < MEGABYTE; at += 4096)
                place[at] = 1;
        return 0;
}

/* Sleeps until the i-th megabyte is due, counted from the start: the work itself does not slow the rate. */
static void wait_for_turn(const struct timespec *start, unsigned long i, unsigned long rate) {
        struct timespec due = *start;
        unsigned long nsec;

        if (rate == 0)
                return;
        nsec = (unsigned long)due.tv_nsec + i % rate * (1000000000UL / rate);
        due.tv_sec += (time_t)(i / rate + nsec / 1000000000UL);
        due.tv_nsec = (long)(nsec % 1000000000UL);
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
                ;
}

int main(int argc, char **argv) {
        struct timespec start;
        unsigned long total, rate;
        int fd = -1;

        if (argc != 4) {
                fprintf(stderr, "usage: leaker anon|shmem|file MEGABYTES MEGABYTES_PER_SECOND\n");
                return 2;
        }
        total = strtoul(argv[2], NULL, 10);
        rate = strtoul(argv[3], NULL, 10);
        if (strcmp(argv[1], "anon") != 0 && (fd = open_backing(argv[1])) < 0) {
                perror("leaker");
                return 2;
        }
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (unsigned long i = 0; i < total; i++) {
                wait_for_turn(&start, i, rate);
                if (take_megabyte(fd, argv[1]) < 0) {
                        perror("leaker");
                        return 2;
                }
        }
        if (write(STDOUT_FILENO, "holds\n", 6) < 0)
                return 2;
        for (;;)
                pause();
}
