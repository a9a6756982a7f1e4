/*
 * Preloaded into a program under test: the n-th call of one family fails.
 *
 * Called by test_fault.py, through LD_PRELOAD and the environment:
 *     SCIDEX_FAULT_COMM     the program (the comm of its process) that it concerns; all others are left alone
 *     SCIDEX_FAULT_FAMILY   memory, fd, io, group, process, event, disk
 *     SCIDEX_FAULT_N        which call fails, from 1; 0 none: only counts
 *     SCIDEX_FAULT_TIMES    how many in a row (1)
 *     SCIDEX_FAULT_ERRNO    its number
 *     SCIDEX_FAULT_COUNTER  a file of 16 bytes: calls seen, calls failed
 *
 * The hard thing is a program that dies of it and is started again: counters of its own would fail its n-th call too,
 * and so on for ever.  So the count lies in a file that all of them map.  The C library calls its own allocator through
 * these names as well, so strdup(3), asprintf(3) and jansson are covered; its own system calls (inside opendir(3),
 * fork(2)) are not.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <unistd.h>

typedef enum Family {
        FAMILY_NONE,
        FAMILY_MEMORY,
        FAMILY_FD,      /* what makes a file descriptor */
        FAMILY_IO,      /* what reads and writes one */
        FAMILY_GROUP,   /* what changes a directory or its attributes */
        FAMILY_PROCESS, /* what makes a process or signals one */
        FAMILY_EVENT,   /* what the event loop is made of */
        FAMILY_DISK,    /* what SQLite stores with */
        FAMILY_MAX,
} Family;

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

static Family chosen;
static uint64_t first, times = 1;
static int error_number;
static Counter *counter;

static uint64_t number_of(const char *name, uint64_t fallback) {
        const char *text = getenv(name);

        return text ? strtoull(text, NULL, 10) : fallback;
}

static bool is_concerned(void) {
        const char *wanted = getenv("SCIDEX_FAULT_COMM");
        char comm[32] = "";
        int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/comm", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return false;
        if (syscall(SYS_read, fd, comm, sizeof(comm) - 1) <= 0)
                comm[0] = '\0';
        (void)syscall(SYS_close, fd);
        comm[strcspn(comm, "\n")] = '\0';
        return wanted && strcmp(comm, wanted) == 0;
}

static Counter *counter_map(void) {
        const char *path = getenv("SCIDEX_FAULT_COUNTER");
        int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
        void *map = MAP_FAILED;

        if (fd < 0)
                return NULL;
        map = mmap(NULL, sizeof(Counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        (void)syscall(SYS_close, fd);
        return map == MAP_FAILED ? NULL : map;
}

__attribute__((constructor)) static void begin(void) {
        const char *family = getenv("SCIDEX_FAULT_FAMILY");

        if (!family || !is_concerned())
                return;
        counter = counter_map();
        if (!counter)
                return;
        first = number_of("SCIDEX_FAULT_N", 0);
        times = number_of("SCIDEX_FAULT_TIMES", 1);
        error_number = (int)number_of("SCIDEX_FAULT_ERRNO", ENOMEM);
        for (int f = FAMILY_NONE + 1; f < FAMILY_MAX; f++)
                if (strcmp(family_names[f], family) == 0)
                        chosen = (Family)f;
}

/* One threaded programs: a plain increment does. */
static bool fails(Family family) {
        if (chosen != family)
                return false;
        counter->seen++;
        if (first == 0 || counter->seen < first || counter->seen >= first + times)
                return false;
        counter->failed++;
        errno = error_number;
        return true;
}

/* The next definition of a name; looked for once, since dlsym(3) itself allocates. */
#define REAL(name)                                                  \
        ({                                                          \
                static typeof(&(name)) _real;                       \
                if (!_real)                                         \
                        *(void **)&_real = dlsym(RTLD_NEXT, #name); \
                _real;                                              \
        })

#define EXPORT __attribute__((visibility("default")))

/* dlsym() may call calloc(): the allocator is reached by its other names. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

EXPORT void *malloc(size_t size) {
        return fails(FAMILY_MEMORY) ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t n, size_t size) {
        return fails(FAMILY_MEMORY) ? NULL : __libc_calloc(n, size);
}

EXPORT void *realloc(void *old, size_t size) {
        return fails(FAMILY_MEMORY) ? NULL : __libc_realloc(old, size);
}

EXPORT void *reallocarray(void *old, size_t n, size_t size) {
        size_t bytes;

        if (__builtin_mul_overflow(n, size, &bytes)) {
                errno = ENOMEM;
                return NULL;
        }
        return fails(FAMILY_MEMORY) ? NULL : __libc_realloc(old, bytes);
}

#define MODE_OF(flags, last)                              \
        ({                                                \
                mode_t _mode = 0;                         \
                if ((flags) & (O_CREAT | __O_TMPFILE)) {  \
                        va_list _ap;                      \
                        va_start(_ap, last);              \
                        _mode = (mode_t)va_arg(_ap, int); \
                        va_end(_ap);                      \
                }                                         \
                _mode;                                    \
        })

EXPORT int open(const char *path, int flags, ...) {
        mode_t mode = MODE_OF(flags, flags);

        return fails(FAMILY_FD) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...) {
        mode_t mode = MODE_OF(flags, flags);

        return fails(FAMILY_FD) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

EXPORT int openat(int at, const char *path, int flags, ...) {
        mode_t mode = MODE_OF(flags, flags);

        return fails(FAMILY_FD) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}

EXPORT int openat64(int at, const char *path, int flags, ...) {
        mode_t mode = MODE_OF(flags, flags);

        return fails(FAMILY_FD) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}

EXPORT DIR *opendir(const char *path) {
        return fails(FAMILY_FD) ? NULL : REAL(opendir)(path);
}

EXPORT int pipe2(int fds[2], int flags) {
        return fails(FAMILY_FD) ? -1 : REAL(pipe2)(fds, flags);
}

EXPORT int socket(int domain, int type, int protocol) {
        return fails(FAMILY_FD) ? -1 : REAL(socket)(domain, type, protocol);
}

EXPORT int socketpair(int domain, int type, int protocol, int fds[2]) {
        return fails(FAMILY_FD) ? -1 : REAL(socketpair)(domain, type, protocol, fds);
}

EXPORT int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict size, int flags) {
        return fails(FAMILY_FD) ? -1 : REAL(accept4)(fd, address, size, flags);
}

EXPORT int inotify_init1(int flags) {
        return fails(FAMILY_FD) ? -1 : REAL(inotify_init1)(flags);
}

EXPORT int epoll_create1(int flags) {
        return fails(FAMILY_FD) ? -1 : REAL(epoll_create1)(flags);
}

EXPORT int timerfd_create(clockid_t clock, int flags) {
        return fails(FAMILY_FD) ? -1 : REAL(timerfd_create)(clock, flags);
}

EXPORT int signalfd(int fd, const sigset_t *mask, int flags) {
        return fails(FAMILY_FD) ? -1 : REAL(signalfd)(fd, mask, flags);
}

EXPORT ssize_t read(int fd, void *buffer, size_t size) {
        return fails(FAMILY_IO) ? -1 : syscall(SYS_read, fd, buffer, size);
}

EXPORT ssize_t write(int fd, const void *buffer, size_t size) {
        return fails(FAMILY_IO) ? -1 : syscall(SYS_write, fd, buffer, size);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
        return fails(FAMILY_IO) ? -1 : syscall(SYS_sendmsg, fd, message, flags);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
        return fails(FAMILY_IO) ? -1 : syscall(SYS_recvmsg, fd, message, flags);
}

EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout) {
        return fails(FAMILY_IO) ? -1 : REAL(poll)(fds, n, timeout);
}

EXPORT int mkdir(const char *path, mode_t mode) {
        return fails(FAMILY_GROUP) ? -1 : REAL(mkdir)(path, mode);
}

EXPORT int mkdirat(int at, const char *path, mode_t mode) {
        return fails(FAMILY_GROUP) ? -1 : REAL(mkdirat)(at, path, mode);
}

EXPORT int unlinkat(int at, const char *path, int flags) {
        return fails(FAMILY_GROUP) ? -1 : REAL(unlinkat)(at, path, flags);
}

EXPORT int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags) {
        return fails(FAMILY_GROUP) ? -1 : REAL(fsetxattr)(fd, name, value, size, flags);
}

EXPORT ssize_t fgetxattr(int fd, const char *name, void *value, size_t size) {
        return fails(FAMILY_GROUP) ? -1 : REAL(fgetxattr)(fd, name, value, size);
}

EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask) {
        return fails(FAMILY_GROUP) ? -1 : REAL(inotify_add_watch)(fd, path, mask);
}

EXPORT pid_t fork(void) {
        return fails(FAMILY_PROCESS) ? -1 : REAL(fork)();
}

EXPORT int posix_spawn(pid_t *restrict pid, const char *restrict path,
        const posix_spawn_file_actions_t *restrict actions, const posix_spawnattr_t *restrict attributes,
        char *const argv[restrict], char *const environment[restrict]) {
        return fails(FAMILY_PROCESS) ? error_number
                                     : REAL(posix_spawn)(pid, path, actions, attributes, argv, environment);
}

/* Our own programs reach these only so. The arguments are passed on whole: the kernel takes six at most. */
EXPORT long syscall(long number, ...) {
        bool makes = number == SYS_clone3 || number == SYS_pidfd_send_signal || number == SYS_pidfd_open;
        long a[6];
        va_list ap;

        va_start(ap, number);
        for (unsigned i = 0; i < 6; i++)
                a[i] = va_arg(ap, long);
        va_end(ap);
        if (makes && fails(FAMILY_PROCESS))
                return -1;
        return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

EXPORT int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event) {
        return fails(FAMILY_EVENT) ? -1 : REAL(epoll_ctl)(epoll, op, fd, event);
}

EXPORT int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old) {
        return fails(FAMILY_EVENT) ? -1 : REAL(timerfd_settime)(fd, flags, value, old);
}

EXPORT ssize_t pwrite64(int fd, const void *buffer, size_t size, off64_t offset) {
        return fails(FAMILY_DISK) ? -1 : syscall(SYS_pwrite64, fd, buffer, size, offset);
}

EXPORT ssize_t pwrite(int fd, const void *buffer, size_t size, off_t offset) {
        return fails(FAMILY_DISK) ? -1 : syscall(SYS_pwrite64, fd, buffer, size, offset);
}

EXPORT ssize_t pread64(int fd, void *buffer, size_t size, off64_t offset) {
        return fails(FAMILY_DISK) ? -1 : syscall(SYS_pread64, fd, buffer, size, offset);
}

EXPORT int fsync(int fd) {
        return fails(FAMILY_DISK) ? -1 : (int)syscall(SYS_fsync, fd);
}

EXPORT int fdatasync(int fd) {
        return fails(FAMILY_DISK) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

EXPORT int ftruncate64(int fd, off64_t size) {
        return fails(FAMILY_DISK) ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
        return fails(FAMILY_DISK) ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}
