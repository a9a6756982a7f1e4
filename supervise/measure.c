/*
 * A child that reads smaps_rollup for the supervisor.
 *
 * Called by watch.c where root samples the memory of other users' runs.  The hard thing is fairness: whoever makes his
 * processes unreadable costs the loop MEASURE_WAIT_USEC once a minute, however many runs he has, and is judged by the
 * upper bound meanwhile.  The child is started at the first need, and anew after it got stuck; it has no descriptor but
 * its socket, whose end is its end.
 */
#include "supervise/measure.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CHUNK_MAX       1024 /* pids in a packet */
#define DEATH_WAIT_MSEC 50
#define BLAMED_MAX      64 /* users; of more the one whose time is over first is forgotten */

typedef struct Sums {
        uint64_t rss_bytes, pss_bytes;
} Sums;

typedef struct Blame {
        uid_t uid;
        uint64_t until_usec;
} Blame;

static struct {
        pid_t pid;
        int fd;      /* owned */
        pid_t stuck; /* one that was killed and not yet collected */
} child = { .fd = -EBADF };
static Blame blamed[BLAMED_MAX];

pid_t measure_pid(void) {
        return child.pid;
}

static bool is_blamed(uid_t uid, uint64_t now_usec) {
        for (size_t i = 0; i < BLAMED_MAX; i++)
                if (blamed[i].uid == uid && now_usec < blamed[i].until_usec)
                        return true;
        return false;
}

static void put_blame(uid_t uid, uint64_t now_usec) {
        Blame *first = &blamed[0];

        for (size_t i = 0; i < BLAMED_MAX; i++)
                if (blamed[i].until_usec < first->until_usec)
                        first = &blamed[i];
        *first = (Blame){ .uid = uid, .until_usec = now_usec + MEASURE_BLAME_USEC };
}

static Sums sum_of(const pid_t *pids, size_t n) {
        Sums sums = { 0 };

        for (size_t i = 0; i < n; i++) {
                uint64_t rss, anon, shmem, file;

                if (process_rss(pids[i], &rss) < 0)
                        continue;
                sums.rss_bytes += rss;
                sums.pss_bytes += process_pss(pids[i], &anon, &shmem, &file) == 0 ? anon + shmem : rss;
        }
        return sums;
}

_Noreturn static void read_for_ever(int fd) {
        pid_t pids[CHUNK_MAX];
        ssize_t size;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)prctl(PR_SET_NAME, "scidex-measure");
        if (dup2(fd, STDIN_FILENO) < 0)
                _exit(1);
        (void)close_range(STDIN_FILENO + 1, ~0U, 0);
        while ((size = read(STDIN_FILENO, pids, sizeof(pids))) > 0) {
                Sums sums = sum_of(pids, (size_t)size / sizeof(pid_t));

                if (write(STDIN_FILENO, &sums, sizeof(sums)) != sizeof(sums))
                        break;
        }
        _exit(0);
}

static void collect_stuck(void) {
        if (child.stuck > 0 && waitpid(child.stuck, NULL, WNOHANG) != 0)
                child.stuck = 0;
}

static int child_start(void) {
        int fds[2];

        collect_stuck();
        if (child.pid > 0)
                return 0;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        child.pid = fork();
        if (child.pid == 0)
                read_for_ever(fds[1]);
        (void)close_fd(fds[1]);
        if (child.pid < 0) {
                child.pid = 0;
                (void)close_fd(fds[0]);
                return -errno;
        }
        child.fd = fds[0];
        return 0;
}

static void wait_a_moment(pid_t pid) {
        _cleanup_(close_fdp) int pidfd = pidfd_open_pid(pid);
        struct pollfd waiting = { .fd = pidfd, .events = POLLIN };

        if (pidfd >= 0)
                (void)poll(&waiting, 1, DEATH_WAIT_MSEC);
}

/* Killed it dies at once, unless it stands in the kernel: then it is collected later. */
static void child_end(void) {
        if (child.pid <= 0)
                return;
        (void)kill(child.pid, SIGKILL); /* our own child, not collected yet */
        child.fd = close_fd(child.fd);
        collect_stuck();
        wait_a_moment(child.pid);
        if (waitpid(child.pid, NULL, WNOHANG) == 0)
                child.stuck = child.pid;
        child.pid = 0;
}

void measure_deinit(void) {
        child_end();
}

/* One packet there and back before until_usec. 0, -ETIME, -errno. */
static int ask(const pid_t *pids, size_t n, uint64_t until_usec, Sums *ret) {
        struct pollfd waiting = { .fd = child.fd, .events = POLLIN };
        uint64_t left = usec_sub(until_usec, clock_boottime_usec());
        int r;

        if (send(child.fd, pids, n * sizeof(pid_t), MSG_NOSIGNAL) < 0)
                return -errno;
        do
                r = poll(&waiting, 1, (int)(left / USEC_PER_MSEC) + 1);
        while (r < 0 && errno == EINTR);
        if (r == 0)
                return -ETIME;
        return r > 0 && recv(child.fd, ret, sizeof(*ret), MSG_DONTWAIT) == sizeof(*ret) ? 0 : -EIO;
}

int measure_processes(uid_t uid, const pid_t *pids, size_t n, uint64_t *ret_rss_bytes, uint64_t *ret_pss_bytes) {
        uint64_t now_usec = clock_boottime_usec();
        Sums all = { 0 };
        int r;

        if (is_blamed(uid, now_usec))
                return -ETIME;
        r = child_start();
        for (size_t at = 0; r == 0 && at < n; at += CHUNK_MAX) {
                Sums sums = { 0 };

                r = ask(pids + at, MIN_OF(n - at, (size_t)CHUNK_MAX), now_usec + MEASURE_WAIT_USEC, &sums);
                all.rss_bytes += sums.rss_bytes;
                all.pss_bytes += sums.pss_bytes;
        }
        if (r < 0) {
                child_end(); /* a late answer would be taken for the next one's */
                if (r == -ETIME)
                        put_blame(uid, now_usec);
                return r;
        }
        *ret_rss_bytes = all.rss_bytes;
        *ret_pss_bytes = all.pss_bytes;
        return 0;
}
