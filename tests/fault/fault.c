/*
 * Preloaded into a program under test: the n-th call of one family fails, or some of them do while a window is open.
 *
 * Called through LD_PRELOAD and the environment, by test_fault.py:
 *     SCIDEX_FAULT_COMM     the program (the comm of its process) that it concerns; all others are left alone
 *     SCIDEX_FAULT_FAMILY   memory, fd, io, group, process, event, disk
 *     SCIDEX_FAULT_N        which call fails, from 1; 0 none: only counts
 *     SCIDEX_FAULT_TIMES    how many in a row (1)
 *     SCIDEX_FAULT_ERRNO    its number
 *     SCIDEX_FAULT_COUNTER  a file of 16 bytes: calls seen, calls failed
 * and by the chaos run (chaosworld.py):
 *     SCIDEX_FAULT_WINDOW   a file that is a Window, which the test changes at any time
 *     SCIDEX_FAULT_PLACE    what a window that is `placed` is about: descriptors below this directory
 *
 * The hard thing is a program that dies of it and is started again: counters of its own would fail its n-th call too,
 * and so on for ever.  So the count lies in a file that all of them map.  The C library calls its own allocator through
 * these names as well, so strdup(3), asprintf(3) and jansson are covered; its own system calls (inside opendir(3),
 * fork(2)) are not.
 */
#include "tests/fault/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *const family_names[FAMILY_MAX] = {
        [FAMILY_NONE] = "none",
        [FAMILY_MEMORY] = "memory",
        [FAMILY_FD] = "fd",
        [FAMILY_IO] = "io",
        [FAMILY_GROUP] = "group",
        [FAMILY_PROCESS] = "process",
        [FAMILY_EVENT] = "event",
        [FAMILY_DISK] = "disk",
};

typedef struct Counter {
        uint64_t seen, failed;
} Counter;

/* Read by all programs of a world at each call, written by its test (tests/fault/window.py has the same members). */
typedef struct Window {
        uint64_t seen, failed;
        int64_t clock_offset_usec; /* added to CLOCK_REALTIME, in all of them */
        uint64_t program;          /* 1 launcher, 2 supervisor, 3 recorder; 0: closed */
        uint64_t family, error;
        uint64_t one_in; /* of so many calls */
        uint64_t placed; /* only those on descriptors in SCIDEX_FAULT_PLACE */
        uint64_t left;   /* calls yet to fail, then it is closed */
} Window;

static const char *const programs[] = { [1] = "scidex-run", [2] = "scidex-supervis", [3] = "scidex-recorder" };

static Family chosen;
static Window *window;
static uint64_t program;
static const char *place;
static uint64_t first, times = 1;
static int error_number;
static Counter *counter;

static uint64_t number_of(const char *name, uint64_t fallback) {
        const char *text = getenv(name);

        return text ? strtoull(text, NULL, 10) : fallback;
}

static void read_comm(char comm[static 32]) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC);

        comm[0] = '\0';
        if (fd < 0)
                return;
        if (syscall(SYS_read, fd, comm, 31) <= 0)
                comm[0] = '\0';
        (void)syscall(SYS_close, fd);
        comm[strcspn(comm, "\n")] = '\0';
}

static void *map_file(const char *variable, size_t size) {
        const char *path = getenv(variable);
        int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
        void *map = MAP_FAILED;

        if (fd < 0)
                return NULL;
        map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void)syscall(SYS_close, fd);
        return map == MAP_FAILED ? NULL : map;
}

static void begin_window(const char *comm) {
        for (size_t i = 1; i < sizeof(programs) / sizeof(programs[0]); i++)
                if (strncmp(comm, programs[i], 15) == 0)
                        program = i;
        place = getenv("SCIDEX_FAULT_PLACE");
        if (program != 0)
                window = map_file("SCIDEX_FAULT_WINDOW", sizeof(Window));
}

__attribute__((constructor)) static void begin(void) {
        const char *family = getenv("SCIDEX_FAULT_FAMILY"), *wanted = getenv("SCIDEX_FAULT_COMM");
        char comm[32];

        read_comm(comm);
        begin_window(comm);
        if (!family || !wanted || strcmp(comm, wanted) != 0)
                return;
        counter = map_file("SCIDEX_FAULT_COUNTER", sizeof(Counter));
        if (!counter)
                return;
        first = number_of("SCIDEX_FAULT_N", 0);
        times = number_of("SCIDEX_FAULT_TIMES", 1);
        error_number = (int)number_of("SCIDEX_FAULT_ERRNO", ENOMEM);
        for (int f = FAMILY_NONE + 1; f < FAMILY_MAX; f++)
                if (strcmp(family_names[f], family) == 0)
                        chosen = (Family)f;
}

static bool is_placed(int fd) {
        char name[64], target[4096];
        long n;

        if (!window->placed)
                return true;
        if (fd < 0 || !place)
                return false;
        (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        n = syscall(SYS_readlinkat, AT_FDCWD, name, target, sizeof(target) - 1);
        if (n < 0)
                return false;
        target[n] = '\0';
        return strncmp(target, place, strlen(place)) == 0;
}

/* Which of the calls fail is the same for the same number of calls: a hash of their count. */
static bool fails_in_window(Family family, int fd) {
        uint64_t hash;

        if (!window || window->program != program || window->family != family || window->left == 0 || !is_placed(fd))
                return false;
        hash = __atomic_add_fetch(&window->seen, 1, __ATOMIC_RELAXED) * UINT64_C(0x9e3779b97f4a7c15);
        if ((hash >> 32) % window->one_in != 0)
                return false;
        if (__atomic_fetch_sub(&window->left, 1, __ATOMIC_RELAXED) == 1)
                window->program = 0;
        __atomic_add_fetch(&window->failed, 1, __ATOMIC_RELAXED);
        errno = (int)window->error;
        return true;
}

/* One threaded programs: a plain increment does. fd: what the call is about, -1: none. */
bool fails_at(Family family, int fd) {
        if (fails_in_window(family, fd))
                return true;
        if (chosen != family)
                return false;
        counter->seen++;
        if (first == 0 || counter->seen < first || counter->seen >= first + times)
                return false;
        counter->failed++;
        errno = error_number;
        return true;
}

bool fails(Family family) {
        return fails_at(family, -1);
}

int64_t fault_clock_offset_usec(void) {
        return window ? window->clock_offset_usec : 0;
}
