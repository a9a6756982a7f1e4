/*
 * What the kernel says of one process: pidfds, and the files of /proc/PID (proc(5)).
 *
 * Called by adoption and the sampler for processes that may end at any moment, so "gone" is -ESRCH everywhere and
 * never an accident. The hard thing is that a pid may name another process between two reads. All files of one call
 * are therefore read through one fd of the directory /proc/PID: that fd stands for the process, not for the number,
 * and answers ESRCH or ENOENT once the process is gone, even if the number has a new owner.
 * The texts are parsed apart from the reading, in process-parse.c.
 */
#include "base/process.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/process-internal.h"

#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>

#define PROC_TEXT_MAX_BYTES ((size_t)64 * 1024) /* stat, status, smaps_rollup: a few KiB */
#define CHILDREN_MAX_BYTES \
        ((size_t)4 * 1024 * 1024)             /* 7 digits for each of PID_MAX_LIMIT would be 32 MiB: more is refused */
#define CGROUP_MAX_BYTES ((size_t)256 * 1024) /* one PATH_MAX per v1 hierarchy, at most a few dozen of them */
#define ARGUMENTS_MAX_BYTES                                                                       \
        ((size_t)8 * 1024 * 1024) /* the kernel stops at 6 MiB of argv and environment, execve(2) \
                                   */
#define THREADS_MAX 64            /* of a process whose leader is dead: read to find one that lives */

/* include/uapi/linux/pidfd.h of 6.15; older headers lack it. */
typedef struct PidfdInfo {
        uint64_t mask, cgroup_id;
        uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
        int32_t exit_code;
} PidfdInfo;
#define PIDFD_INFO_MASK_EXIT (UINT64_C(1) << 3)
#define PIDFD_IOCTL_GET_INFO _IOWR(0xFF, 11, PidfdInfo)

int pidfd_open_pid(pid_t pid) {
        int fd = pidfd_open(pid, 0);

        return fd < 0 ? -errno : fd;
}

int pidfd_signal(int pidfd, int signal) {
        return pidfd_send_signal(pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

pid_t pidfd_pid(int pidfd) {
        _cleanup_(freep) char *path = NULL, *text = NULL;
        const char *line;
        long pid;
        int r;

        path = text_printf("/proc/self/fdinfo/%d", pidfd);
        if (!path)
                return -ENOMEM;
        r = file_read_at(AT_FDCWD, path, PROC_TEXT_MAX_BYTES, &text, NULL);
        if (r < 0)
                return r == -ENOENT ? -EBADF : r;
        line = strstr(text, "\nPid:\t");
        if (!line)
                return -EBADF;
        pid = strtol(line + strlen("\nPid:\t"), NULL, 10);
        /* -1 when reaped, 0 when it lives in a pid namespace we cannot see into. */
        return pid > 0 && pid <= INT_MAX ? (pid_t)pid : -ESRCH;
}

bool pidfd_ended(int pidfd) {
        struct pollfd p = { .fd = pidfd, .events = POLLIN };

        return poll(&p, 1, 0) > 0 && (p.revents & POLLIN);
}

/* fd of /proc/PID; -ESRCH when there is no such process. */
static int process_open(pid_t pid) {
        _cleanup_(freep) char *path = text_printf("/proc/%d", (int)pid);
        int fd;

        if (!path)
                return -ENOMEM;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        return fd;
}

static int process_read(int dir, const char *name, size_t max_bytes, char **ret, size_t *ret_size) {
        int r = file_read_at(dir, name, max_bytes, ret, ret_size);

        return r == -ENOENT ? -ESRCH : r;
}

static int process_read_text(pid_t pid, const char *name, size_t max_bytes, char **ret, size_t *ret_size) {
        _cleanup_(close_fdp) int dir = process_open(pid);

        return dir < 0 ? dir : process_read(dir, name, max_bytes, ret, ret_size);
}

static bool thread_lives(int tasks, const char *name, bool though_killed) {
        _cleanup_(freep) char *path = text_printf("%s/stat", name), *text = NULL;
        int r = path ? file_read_at(tasks, path, PROC_TEXT_MAX_BYTES, &text, NULL) : -ENOMEM;
        ProcessIdentity thread;

        if (r == -ENOENT || r == -ESRCH)
                return false;
        return r < 0 || process_parse_stat(text, &thread) < 0 || !(thread.exiting || (thread.killed && !though_killed));
}

/*
 * Whether a thread of /proc/PID is not on its way out; also where that can't be said. Not all are looked at: the dead
 * can be held there by thousands (ptrace(2)); then one may live, but nobody who was not killed does.
 */
static bool a_thread_lives(int dir, bool though_killed) {
        int fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(closedirp) DIR *tasks = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;
        unsigned n = 0;

        if (!tasks) {
                bool gone = errno == ENOENT || errno == ESRCH;

                (void)close_fd(fd);
                return !gone;
        }
        while ((entry = readdir(tasks))) {
                if (entry->d_name[0] == '.')
                        continue;
                if (++n > THREADS_MAX)
                        return though_killed;
                if (thread_lives(dirfd(tasks), entry->d_name, though_killed))
                        return true;
        }
        return false;
}

/* The leader (pthread_exit(3) in main) may be long over while the process lives: it stays a zombie till the last. */
static void look_behind_leader(int dir, ProcessIdentity *process) {
        if (!process->exiting || process->threads <= 1)
                return;
        process->killed = !a_thread_lives(dir, false); /* what is pending on a dead leader says nothing */
        process->exiting = !a_thread_lives(dir, true);
}

int process_identity(pid_t pid, ProcessIdentity *ret) {
        _cleanup_(freep) char *stat = NULL, *status = NULL;
        _cleanup_(close_fdp) int dir = process_open(pid);
        ProcessIdentity identity = { 0 };
        int r;

        if (dir < 0)
                return dir;
        r = process_read(dir, "stat", PROC_TEXT_MAX_BYTES, &stat, NULL);
        if (r < 0)
                return r;
        r = process_read(dir, "status", PROC_TEXT_MAX_BYTES, &status, NULL);
        if (r < 0)
                return r;
        r = process_parse_stat(stat, &identity);
        if (r < 0)
                return r;
        r = process_parse_status(status, &identity);
        if (r < 0)
                return r;
        look_behind_leader(dir, &identity);
        *ret = identity;
        return 0;
}

/* What stat says of it. 0 or -ESRCH, -errno. */
static int process_look(pid_t pid, ProcessIdentity *ret) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(close_fdp) int dir = process_open(pid);
        int r;

        if (dir < 0)
                return dir;
        r = process_read(dir, "stat", PROC_TEXT_MAX_BYTES, &text, NULL);
        if (r == 0)
                r = process_parse_stat(text, ret);
        if (r == 0)
                look_behind_leader(dir, ret);
        return r;
}

bool process_is_exiting(pid_t pid) {
        ProcessIdentity process;
        int r = process_look(pid, &process);

        return r == -ESRCH || (r == 0 && process.exiting);
}

bool process_is_doomed(pid_t pid) {
        ProcessIdentity process;
        int r = process_look(pid, &process);

        return r == -ESRCH || (r == 0 && (process.exiting || process.killed));
}

static int exit_status_of_pidfd(int pidfd, int *ret_status) {
        PidfdInfo info = { .mask = PIDFD_INFO_MASK_EXIT };

        if (ioctl(pidfd, PIDFD_IOCTL_GET_INFO, &info) < 0 || !(info.mask & PIDFD_INFO_MASK_EXIT))
                return -ENODATA;
        *ret_status = info.exit_code;
        return 0;
}

/* Nobody but the owner and root is told: for others the field is 0, which would read as a success. */
static bool may_know_exit(int dir) {
        _cleanup_(freep) char *status = NULL;
        ProcessIdentity process;

        if (geteuid() == 0)
                return true;
        return process_read(dir, "status", PROC_TEXT_MAX_BYTES, &status, NULL) == 0 &&
                process_parse_status(status, &process) == 0 && process.uid_real == geteuid() &&
                process.uid_effective == geteuid() && process.uid_saved == geteuid();
}

static int exit_status_of_zombie(pid_t pid, uint64_t start_ticks, int *ret_status) {
        _cleanup_(close_fdp) int dir = process_open(pid);
        _cleanup_(freep) char *stat = NULL;
        ProcessIdentity process;

        if (dir < 0 || process_read(dir, "stat", PROC_TEXT_MAX_BYTES, &stat, NULL) < 0 ||
                process_parse_stat(stat, &process) < 0 || process.start_ticks != start_ticks)
                return -ENODATA;
        if (process.state != 'Z' && process.state != 'X')
                return -EAGAIN;
        return may_know_exit(dir) ? process_parse_exit_status(stat, ret_status) : -ENODATA;
}

int process_exit_status(pid_t pid, uint64_t start_ticks, int pidfd, int *ret_status) {
        int r = exit_status_of_zombie(pid, start_ticks, ret_status);

        return r == 0 || r == -EAGAIN ? r : exit_status_of_pidfd(pidfd, ret_status);
}

/* The text of one thread's `children`. */
static int each_in_list(const char *text, ProcessChildFunc func, void *userdata) {
        uint64_t child;
        int r = 0;

        while (r == 0 && process_next_u64(&text, &child) == 0)
                r = child <= INT_MAX ? func((pid_t)child, userdata) : -EINVAL;
        return r;
}

static int each_child_of_thread(int tasks, const char *thread, ProcessChildFunc func, void *userdata) {
        _cleanup_(freep) char *name = text_printf("%s/children", thread), *text = NULL;
        int r = name ? file_read_at(tasks, name, CHILDREN_MAX_BYTES, &text, NULL) : -ENOMEM;

        if (r == -ENOENT) /* the thread is gone, or this kernel has no such file */
                return faccessat(tasks, thread, F_OK, 0) == 0 ? -EOPNOTSUPP : 0;
        if (r < 0)
                return r == -ESRCH ? 0 : r;
        return each_in_list(text, func, userdata);
}

int process_each_child(pid_t pid, ProcessChildFunc func, void *userdata) {
        _cleanup_(freep) char *path = text_printf("/proc/%d/task", (int)pid);
        _cleanup_(closedirp) DIR *tasks = path ? opendir(path) : NULL;
        struct dirent *entry;
        int r = 0;

        if (!tasks)
                return !path ? -ENOMEM : errno == ENOENT ? -ESRCH : -errno;
        while (r == 0 && (entry = readdir(tasks)))
                if (entry->d_name[0] != '.')
                        r = each_child_of_thread(dirfd(tasks), entry->d_name, func, userdata);
        return r;
}

int process_comm(pid_t pid, char ret_comm[static 16]) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        int r;

        r = process_read_text(pid, "comm", PROC_TEXT_MAX_BYTES, &text, &size);
        if (r < 0)
                return r;
        /* The newline at the end is proc's, another one is part of the name; kernel threads have longer names. */
        if (size > 0 && text[size - 1] == '\n')
                size--;
        size = MIN_OF(size, (size_t)15);
        memcpy(ret_comm, text, size);
        ret_comm[size] = '\0';
        return 0;
}

/*
 * Keeps the first bytes of cmdline and counts the rest. A process can point the kernel at any part of its memory as its
 * arguments (PR_SET_MM_MAP), so neither memory nor time may depend on what it says.
 */
static int read_arguments(int fd, char *head, size_t head_bytes, size_t *ret_kept, size_t *ret_length) {
        char chunk[4096];
        size_t offset = 0, length = 0;

        while (offset < ARGUMENTS_MAX_BYTES) {
                ssize_t n = read(fd, chunk, sizeof(chunk));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                for (ssize_t i = 0; i < n; i++, offset++) {
                        if (offset < head_bytes)
                                head[offset] = chunk[i] ? chunk[i] : ' ';
                        /* One NUL ends the last argument; programs that overwrite their title leave many. */
                        if (chunk[i])
                                length = offset + 1;
                }
        }
        *ret_kept = MIN_OF(length, head_bytes);
        *ret_length = length;
        return 0;
}

int process_cmdline(pid_t pid, size_t max_bytes, char **ret, size_t *ret_length) {
        _cleanup_(freep) char *head = NULL;
        _cleanup_(close_fdp) int dir = process_open(pid), fd = -EBADF;
        size_t kept = 0, length = 0;
        int r;

        if (dir < 0)
                return dir;
        fd = openat(dir, "cmdline", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        head = malloc(max_bytes + 1);
        if (!head)
                return -ENOMEM;
        r = read_arguments(fd, head, max_bytes, &kept, &length);
        if (r < 0)
                return r;
        head[kept] = '\0';
        *ret = TAKE_PTR(head);
        if (ret_length)
                *ret_length = length;
        return 0;
}

int process_rss(pid_t pid, uint64_t *ret_bytes) {
        _cleanup_(freep) char *text = NULL;
        uint64_t anon = 0, shmem = 0;
        int r;

        r = process_read_text(pid, "status", PROC_TEXT_MAX_BYTES, &text, NULL);
        if (r < 0)
                return r;
        /* Zombies and kernel threads have no memory and no such lines. */
        r = process_parse_kib(text, "RssAnon", &anon);
        if (r < 0 && r != -ENOENT)
                return r;
        r = process_parse_kib(text, "RssShmem", &shmem);
        if (r < 0 && r != -ENOENT)
                return r;
        *ret_bytes = anon + shmem;
        return 0;
}

int process_pss(pid_t pid, uint64_t *ret_anon_bytes, uint64_t *ret_shmem_bytes, uint64_t *ret_file_bytes) {
        _cleanup_(close_fdp) int dir = process_open(pid);
        _cleanup_(freep) char *text = NULL;
        uint64_t anon, shmem, file;
        int r;

        if (dir < 0)
                return dir;
        r = file_read_at(dir, "smaps_rollup", PROC_TEXT_MAX_BYTES, &text, NULL);
        /* A kernel without the file must not look like a process that is gone. */
        if (r == -ENOENT)
                return faccessat(dir, "stat", F_OK, 0) == 0 ? -EOPNOTSUPP : -ESRCH;
        if (r < 0)
                return r;
        if (process_parse_kib(text, "Pss_Anon", &anon) < 0 || process_parse_kib(text, "Pss_Shmem", &shmem) < 0 ||
                process_parse_kib(text, "Pss_File", &file) < 0)
                return -EOPNOTSUPP;
        *ret_anon_bytes = anon;
        *ret_shmem_bytes = shmem;
        *ret_file_bytes = file;
        return 0;
}

int process_environment(pid_t pid, const char *name, char **ret) {
        _cleanup_(freep) char *text = NULL;
        size_t size, length = strlen(name);
        int r;

        r = process_read_text(pid, "environ", ARGUMENTS_MAX_BYTES, &text, &size);
        if (r < 0)
                return r;
        for (const char *p = text; p < text + size; p += strlen(p) + 1)
                if (strncmp(p, name, length) == 0 && p[length] == '=') {
                        char *value = strdup(p + length + 1);

                        if (!value)
                                return -ENOMEM;
                        *ret = value;
                        return 0;
                }
        return -ENOENT;
}

int process_cgroup(pid_t pid, char **ret_path) {
        _cleanup_(freep) char *text = NULL;
        int r = process_read_text(pid, "cgroup", CGROUP_MAX_BYTES, &text, NULL);

        return r < 0 ? r : process_parse_cgroup(text, ret_path);
}
