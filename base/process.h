/* What /proc and pidfds say of one process. A pid is only believed together with its start time or a pidfd. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* pidfd_open(2), close-on-exec. fd or -errno (-ESRCH: gone). */
int pidfd_open_pid(pid_t pid);
/* pidfd_send_signal(2). 0 or -errno (-ESRCH: gone). */
int pidfd_signal(int pidfd, int signal);
/* The pid a pidfd stands for, from /proc/self/fdinfo. > 0, -ESRCH when reaped, -EBADF when it is no pidfd. */
pid_t pidfd_pid(int pidfd);
/* Whether the process has ended (a zombie counts as ended): poll(2) for POLLIN. */
bool pidfd_ended(int pidfd);

typedef struct ProcessIdentity {
        pid_t pid;
        pid_t parent;
        uint64_t start_ticks; /* /proc/PID/stat field 22, clock ticks since boot; with pid it names one process */
        uid_t uid_real, uid_effective, uid_saved;
        uint64_t threads; /* those not yet collected; the leader is one until its process is a zombie no more */
        char state;       /* R S D T Z X …: of the leader, whose end need not be the process's */
        bool nested;      /* NSpid: in a pid namespace below ours, where it and its children have other numbers */
        bool exiting; /* PF_EXITING: on its way out, also before it is a zombie; process_identity(): all threads are */
        bool killed;  /* SIGKILL is pending: it has not run since */
        bool kernel;  /* PF_KTHREAD: a thread of the kernel's own */
} ProcessIdentity;

/* From /proc/PID/stat and status. 0 or -ESRCH, -errno. */
int process_identity(pid_t pid, ProcessIdentity *ret);

/* Whether it has ended or is ending: PF_EXITING (zombies have it) in all of its threads, or gone. */
bool process_is_exiting(pid_t pid);
/* Or will, as soon as it runs again: SIGKILL is pending. */
bool process_is_doomed(pid_t pid);

/*
 * The wait status of a process that has ended and is no child of ours: of a zombie /proc/PID/stat has it, of one that
 * its parent has collected already the pidfd, from Linux 6.15 on (PIDFD_INFO_EXIT). 0; -ENODATA when nobody tells any
 * more, or not to us; -EAGAIN while it lives.
 */
int process_exit_status(pid_t pid, uint64_t start_ticks, int pidfd, int *ret_status);

/* Calls func for each child of each thread of pid, as /proc/PID/task/TID/children lists them (it may miss some that are
 * forked meanwhile). A non-zero return of func ends it and is returned. 0, -ESRCH, -EOPNOTSUPP: a kernel without. */
typedef int (*ProcessChildFunc)(pid_t child, void *userdata);
int process_each_child(pid_t pid, ProcessChildFunc func, void *userdata);

/* The comm, at most 15 bytes + NUL (TASK_COMM_LEN). 0 or -ESRCH. */
int process_comm(pid_t pid, char ret_comm[static 16]);

/* argv joined by blanks, capped at max_bytes; *ret_length (or NULL) the true length. "" for zombies. 0 or -ESRCH.
 * Caller frees. */
int process_cmdline(pid_t pid, size_t max_bytes, char **ret, size_t *ret_length);

/* RssAnon + RssShmem of /proc/PID/status, bytes: cheap, counts shared pages in every process. 0 or -ESRCH. */
int process_rss(pid_t pid, uint64_t *ret_bytes);

/* Pss_Anon + Pss_Shmem of /proc/PID/smaps_rollup, bytes: shared pages divided by sharers. 0, -ESRCH (zombies too),
 * -EACCES, -EOPNOTSUPP without these fields. */
int process_pss(pid_t pid, uint64_t *ret_anon_bytes, uint64_t *ret_shmem_bytes, uint64_t *ret_file_bytes);

/* The value of an environment variable at exec time, from /proc/PID/environ. 0, -ENOENT, -ESRCH, -EACCES. Caller frees.
 */
int process_environment(pid_t pid, const char *name, char **ret);

/* The v2 line ("0::/…") of /proc/PID/cgroup, the path only (of a zombie maybe with " (deleted)"). 0, -ESRCH, -ENODATA
 * without such a line. Caller frees. */
int process_cgroup(pid_t pid, char **ret_path);

/* The texts of these files, parsed; the process_* above read them. 0 or -EINVAL. */

/* /proc/PID/stat: fills pid, parent, state, start_ticks, threads, and exiting and kernel of the one thread. The name
 * may hold blanks, parentheses and newlines. */
int process_parse_stat(const char *text, ProcessIdentity *ret);
/* Its last field, the wait status: 0 in the text of a process that lives, and where it is not for us. -EINVAL. */
int process_parse_exit_status(const char *text, int *ret_status);
/* The "Uid:" and "NSpid:" lines of /proc/PID/status: fills the uids and nested. */
int process_parse_status(const char *text, ProcessIdentity *ret);
/* "Key:   123 kB" of status and smaps_rollup, in bytes. -ENOENT without that line. */
int process_parse_kib(const char *text, const char *key, uint64_t *ret_bytes);
/* /proc/PID/cgroup: the path of the v2 line. -ENODATA without it. Caller frees. */
int process_parse_cgroup(const char *text, char **ret_path);
