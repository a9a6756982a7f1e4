/*
 * work cpu|alloc|fork AMOUNT [turns]: does it, and prints the nanoseconds of wall clock and of processor time that it
 * took.
 *
 * What overhead.py moves between a run's group and its own, and favordynmods.py starts with and without that option. It
 * times itself, so that nothing of a launch is in its figures. With `turns` it does so once for each byte of its stdin,
 * until that ends.
 *
 * - cpu: AMOUNT million steps of a generator, whose result is printed so that nothing can be left out.
 *
 * - alloc: AMOUNT times 16 MiB from the kernel, each page touched, and back: faults and their charge are all it does.
 *
 * - fork: AMOUNT children that end at once, one after the other. Their processor time is not in the figure.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (16UL << 20)
#define PAGE  4096UL

static long long nsec(clockid_t clock) {
        struct timespec time;

        clock_gettime(clock, &time);
        return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static uint64_t compute(long millions) {
        uint64_t x = 88172645463325252ULL;

        for (long i = 0; i < millions * 1000000; i++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
        }
        return x;
}

static uint64_t allocate(long times) {
        uint64_t pages = 0;

        for (long i = 0; i < times; i++) {
                char *block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                if (block == MAP_FAILED)
                        exit(2);
                (void)madvise(block, BLOCK, MADV_NOHUGEPAGE);
                for (size_t at = 0; at < BLOCK; at += PAGE, pages++)
                        block[at] = 1;
                munmap(block, BLOCK);
        }
        return pages;
}

static uint64_t make_children(long times) {
        for (long i = 0; i < times; i++) {
                pid_t pid = fork();

                if (pid == 0)
                        _exit(0);
                if (pid < 0 || waitpid(pid, NULL, 0) < 0)
                        exit(2);
        }
        return (uint64_t)times;
}

static const struct {
        const char *name;
        uint64_t (*function)(long amount);
} works[] = { { "cpu", compute }, { "alloc", allocate }, { "fork", make_children } };

/* Returns 0, or -1 when there is nothing to do. */
static int turn(const char *name, long amount) {
        long long wall = nsec(CLOCK_MONOTONIC), cpu = nsec(CLOCK_PROCESS_CPUTIME_ID);
        uint64_t result = 0;

        for (size_t i = 0; amount > 0 && i < sizeof(works) / sizeof(works[0]); i++)
                if (strcmp(name, works[i].name) == 0)
                        result = works[i].function(amount);
        if (result == 0)
                return -1;
        wall = nsec(CLOCK_MONOTONIC) - wall;
        cpu = nsec(CLOCK_PROCESS_CPUTIME_ID) - cpu;
        printf("%lld %lld %llu\n", wall, cpu, (unsigned long long)result);
        return fflush(stdout);
}

int main(int argc, char **argv) {
        long amount = argc >= 3 ? strtol(argv[2], NULL, 10) : 0;
        bool turns = argc == 4 && strcmp(argv[3], "turns") == 0;
        char byte;

        if (argc < 3 || argc > 4 || (argc == 4 && !turns) || (!turns && turn(argv[1], amount) < 0)) {
                fprintf(stderr, "usage: work cpu|alloc|fork AMOUNT [turns]\n");
                return 2;
        }
        while (turns && read(STDIN_FILENO, &byte, 1) == 1)
                if (turn(argv[1], amount) < 0)
                        return 2;
        return 0;
}
