/*
 * The names that programs call, as a library to be preloaded: each asks fault.c whether this call is to fail.
 *
 * The hard thing is to ask for nothing that could fail itself: dlsym(3) allocates, so the real function is looked for
 * once, and where a plain system call does the same it is made.
 */
#include "tests/fault/fault.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

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

        return fails_at(FAMILY_FD, at) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
}

EXPORT int openat64(int at, const char *path, int flags, ...) {
        mode_t mode = MODE_OF(flags, flags);

        return fails_at(FAMILY_FD, at) ? -1 : (int)syscall(SYS_openat, at, path, flags, mode);
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
        return fails_at(FAMILY_IO, fd) ? -1 : syscall(SYS_read, fd, buffer, size);
}

EXPORT ssize_t write(int fd, const void *buffer, size_t size) {
        return fails_at(FAMILY_IO, fd) ? -1 : syscall(SYS_write, fd, buffer, size);
}

EXPORT ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
        return fails_at(FAMILY_IO, fd) ? -1 : syscall(SYS_sendmsg, fd, message, flags);
}

EXPORT ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
        return fails_at(FAMILY_IO, fd) ? -1 : syscall(SYS_recvmsg, fd, message, flags);
}

EXPORT int poll(struct pollfd *fds, nfds_t n, int timeout) {
        return fails(FAMILY_IO) ? -1 : REAL(poll)(fds, n, timeout);
}

EXPORT int mkdir(const char *path, mode_t mode) {
        return fails(FAMILY_GROUP) ? -1 : REAL(mkdir)(path, mode);
}

EXPORT int mkdirat(int at, const char *path, mode_t mode) {
        return fails_at(FAMILY_GROUP, at) ? -1 : REAL(mkdirat)(at, path, mode);
}

EXPORT int unlinkat(int at, const char *path, int flags) {
        return fails_at(FAMILY_GROUP, at) ? -1 : REAL(unlinkat)(at, path, flags);
}

EXPORT int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags) {
        return fails_at(FAMILY_GROUP, fd) ? -1 : REAL(fsetxattr)(fd, name, value, size, flags);
}

EXPORT ssize_t fgetxattr(int fd, const char *name, void *value, size_t size) {
        return fails_at(FAMILY_GROUP, fd) ? -1 : REAL(fgetxattr)(fd, name, value, size);
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
        return fails(FAMILY_PROCESS) ? errno : REAL(posix_spawn)(pid, path, actions, attributes, argv, environment);
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

/* Of our own programs; their alarms and timers go by clocks that nobody sets. */
EXPORT int clock_gettime(clockid_t clock, struct timespec *now) {
        int r = (int)syscall(SYS_clock_gettime, clock, now);
        int64_t usec;

        if (r < 0 || clock != CLOCK_REALTIME || fault_clock_offset_usec() == 0)
                return r;
        usec = now->tv_sec * INT64_C(1000000) + now->tv_nsec / 1000 + fault_clock_offset_usec();
        *now = (struct timespec){ .tv_sec = usec / 1000000, .tv_nsec = usec % 1000000 * 1000 };
        return r;
}

EXPORT time_t time(time_t *ret) {
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}

EXPORT int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
        struct timespec now;

        (void)clock_gettime(CLOCK_REALTIME, &now);
        *ret = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
        return 0;
}
