/*
 * limit-leak LIMIT_MIB RATE_MIB MOST_MIB: grows at RATE_MIB a second, and says when it has crossed its limit and when
 * somebody minds.
 *
 * Started by overshoot.py. Says `ready PID NANOSECONDS` at once, `crossed NANOSECONDS MIB` when it holds LIMIT_MIB, and
 * at TERM `term NANOSECONDS MIB`, and ends (CLOCK_REALTIME; MIB is what it holds by then). Where the kernel holds the
 * limit it dies before it can say that it crossed it. It stops growing at MOST_MIB, so that a slow watchdog does not
 * take the machine along.
 */

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PART_MIB  2UL /* taken at a time, a huge page where there are any: how exact `crossed` is */
#define PART      (PART_MIB << 20)
#define NSEC      1000000000LL
#define PAGE_SIZE 4096

static long long now_nsec(clockid_t clock) {
        struct timespec now;

        clock_gettime(clock, &now);
        return now.tv_sec * NSEC + now.tv_nsec;
}

/* Until then, or until TERM. Returns whether it came. */
static int wait_until(const sigset_t *set, long long due_nsec) {
        long long left;

        while ((left = due_nsec - now_nsec(CLOCK_MONOTONIC)) > 0) {
                const struct timespec time = { .tv_sec = left / NSEC, .tv_nsec = left % NSEC };

                if (sigtimedwait(set, NULL, &time) == SIGTERM)
                        return 1;
                if (errno == EAGAIN)
                        return 0;
        }
        return sigtimedwait(set, NULL, &(struct timespec){ 0 }) == SIGTERM;
}

/* Room for that many parts, of which nothing is charged yet. In huge pages: single faults can be too slow for RATE. */
static char *reserve(unsigned long parts) {
        size_t size = (parts + 1) * PART;
        char *place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (place == MAP_FAILED)
                return NULL;
        (void)madvise(place, size, MADV_HUGEPAGE);
        return place + (PART - (uintptr_t)place % PART);
}

static void take(char *part) {
        for (size_t at = 0; at < PART; at += PAGE_SIZE)
                part[at] = 1;
}

static int say(const char *what, unsigned long parts) {
        printf("%s %lld %lu\n", what, now_nsec(CLOCK_REALTIME), parts * PART_MIB);
        return fflush(stdout);
}

int main(int argc, char **argv) {
        unsigned long limit, rate, most;
        char *place;
        long long start;
        sigset_t set;

        if (argc != 4)
                return 2;
        limit = strtoul(argv[1], NULL, 10) / PART_MIB;
        rate = strtoul(argv[2], NULL, 10) / PART_MIB;
        most = strtoul(argv[3], NULL, 10) / PART_MIB;
        if (rate == 0 || !(place = reserve(most)))
                return 2;
        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        printf("ready %d %lld\n", getpid(), now_nsec(CLOCK_REALTIME));
        if (fflush(stdout) != 0)
                return 2;
        start = now_nsec(CLOCK_MONOTONIC);
        for (unsigned long i = 0;; i++) {
                /* What it has by itself (a static program: some 100 KiB) is below what `crossed` is exact to. */
                long long due = i < most ? start + (long long)(i * NSEC / rate) : INT64_MAX / 2;

                if (wait_until(&set, due))
                        return say("term", i) == 0 ? 0 : 2;
                if (i < most)
                        take(place + i * PART);
                if (i + 1 == limit && say("crossed", i + 1) != 0)
                        return 2;
        }
}
