/*
 * From a launcher to its supervisor.
 *
 * Called by main at the start, and by the wait loop when the supervisor is lost.  The hard thing is the race: many
 * launchers may find no supervisor at the same moment.  As tmux does, whoever holds the lock beside the socket starts
 * it, the others wait at the lock and then find it there.  The supervisor is started apart from us: own session, none
 * of our fds.
 */
#include "cmd/scidex-run/connect.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/place.h"
#include "cmd/scidex-run/options.h"
#include "cmd/sibling.h"
#include "control/client.h"
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define START_WAIT_MSEC    20000              /* for "ready": a scope asked of systemd may take seconds */
#define RESTART_EVERY_USEC (2 * USEC_PER_SEC) /* a supervisor that can't start is not started in a loop */
#define OTHER_WAIT_USEC    (500 * USEC_PER_MSEC)
#define OTHER_EVERY_MSEC   20
#define OTHER_TRIES        20 /* of both: 10 s */
#define READY_MAX          4096

static void connection_failed(const char *path, int r) {
        switch (r) {
        case CLIENT_E_DENIED:
                run_say("the supervisor at %s can't be used: permission denied; ask to be added to its group (scidex), "
                        "or "
                        "use scidex-run --private",
                        path);
                break;
        case CLIENT_E_REFUSED:
                run_say("the supervisor at %s does not answer; start it (systemctl start scidex-supervisor), or use "
                        "scidex-run --private",
                        path);
                break;
        case -EAGAIN:
                run_say("the supervisor at %s takes nobody: too many wait before us; try again, or see scidexctl "
                        "doctor",
                        path);
                break;
        case CLIENT_E_FOREIGN:
                run_say("the server at %s is neither root's nor yours and is not trusted; remove the socket, or set "
                        "SCIDEX_SOCKET to another path",
                        path);
                break;
        default:
                run_say("can't connect to %s: %s; set SCIDEX_SOCKET to another path, or see scidexctl doctor", path,
                        strerror(r < 0 ? -r : ENOENT));
        }
}

/* The lock of whoever starts a supervisor at that place. -EWOULDBLOCK: another does. */
static int lock_take(const char *path) {
        _cleanup_(freep) char *name = text_printf("%s.lock", path);
        _cleanup_(close_fdp) int fd = -EBADF;

        if (!name)
                return -ENOMEM;
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        while (flock(fd, LOCK_EX | LOCK_NB) < 0)
                if (errno != EINTR)
                        return -errno;
        return TAKE_FD(fd);
}

/* In the child: nothing of ours but the ready pipe, as fd 3. */
static void become_supervisor(const char *program, const char *path, int ready_fd) {
        int null_fd = open("/dev/null", O_RDWR);
        sigset_t none;

        for (int fd = 0; fd <= 2; fd++)
                (void)dup2(null_fd, fd);
        if (ready_fd == 3)
                (void)fcntl(3, F_SETFD, 0);
        else
                (void)dup2(ready_fd, 3);
        (void)syscall(SYS_close_range, 4U, ~0U, 0U);
        for (int signal_number = 1; signal_number < NSIG; signal_number++)
                (void)signal(signal_number, SIG_DFL);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)umask(077);
        if (chdir("/") < 0)
                _exit(RUN_EXIT_FAILED);
        (void)execl(program, "scidex-supervisor", "--private", "--socket", path, "--ready-fd", "3", NULL);
        _exit(RUN_EXIT_FAILED);
}

/* Forks twice: the supervisor is not our child, whose end would be one of the run's. */
static pid_t fork_detached(const char *program, const char *path, int ready_fd) {
        int reaper = 0;
        pid_t pid;

        (void)prctl(PR_GET_CHILD_SUBREAPER, &reaper);
        (void)prctl(PR_SET_CHILD_SUBREAPER, 0);
        pid = fork();
        if (pid == 0) {
                (void)setsid();
                if (fork() == 0)
                        become_supervisor(program, path, ready_fd);
                _exit(EXIT_SUCCESS);
        }
        while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                continue;
        (void)prctl(PR_SET_CHILD_SUBREAPER, reaper);
        return pid;
}

/* *ret_ready_fd reads "ready", or why not, or nothing. */
static int start(const char *path, int *ret_ready_fd) {
        _cleanup_(freep) char *program = NULL;
        int ready[2], r;
        pid_t pid;

        r = sibling_find("scidex-supervisor", &program);
        if (r < 0)
                return r;
        if (pipe2(ready, O_CLOEXEC) < 0)
                return -errno;
        pid = fork_detached(program, path, ready[1]);
        r = pid < 0 ? -errno : 0;
        (void)close_fd(ready[1]);
        if (r < 0) {
                (void)close_fd(ready[0]);
                return r;
        }
        *ret_ready_fd = ready[0];
        return 0;
}

/* 0 when it said "ready"; -EBUSY when another one has the tree; else what it said is said on stderr. */
static int wait_ready(int fd) {
        char text[READY_MAX + 1] = "";
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        ssize_t n = 0;

        if (poll(&waiting, 1, START_WAIT_MSEC) > 0)
                n = read(fd, text, READY_MAX);
        if (n > 0 && strcmp(text, "ready") == 0)
                return 0;
        if (n > 0 && strcmp(text, "busy") == 0)
                return -EBUSY;
        run_say("can't start a private supervisor: %s; see scidexctl doctor",
                n > 0 ? text : "it gave no answer (its log is supervisor.log in the state directory)");
        return -EIO;
}

/*
 * Another supervisor has the tree and is not at the socket: it is starting (its launcher died with the lock), or
 * leaving. Either it comes, or the tree is free in a moment and ours may try again.
 */
static int wait_for_other(const char *path, int *ret_fd) {
        uint64_t until = clock_boottime_usec() + OTHER_WAIT_USEC;
        int r;

        do {
                (void)poll(NULL, 0, OTHER_EVERY_MSEC);
                r = client_connect_now(path, ret_fd);
        } while ((r == CLIENT_E_NO_SOCKET || r == CLIENT_E_REFUSED) && clock_boottime_usec() < until);
        return r;
}

/* 0: it is ready; -EBUSY: another one has the tree; -errno, said on stderr. */
static int start_one(const char *path) {
        _cleanup_(close_fdp) int ready = -EBADF;
        int r = start(path, &ready);

        if (r < 0) {
                run_say("can't start a private supervisor: scidex-supervisor %s; is scidex installed as a whole?",
                        r == -ENOENT ? "is not found" : strerror(-r));
                return r;
        }
        return wait_ready(ready);
}

static int start_and_connect(const char *path, Connection *ret) {
        uint64_t until_usec = clock_boottime_usec() + START_WAIT_MSEC * USEC_PER_MSEC;
        _cleanup_(close_fdp) int lock = -EBADF;
        _cleanup_(freep) char *error = NULL;
        int r;

        r = place_check(path, &error);
        if (r < 0) {
                run_say("%s", error ? error : strerror(-r));
                return r;
        }
        do {
                lock = lock_take(path);
                r = client_connect_now(path, &ret->fd);
                if (r == -EAGAIN) /* its queue is full: so it is there */
                        r = client_connect(path, &ret->fd);
                if (r == 0)
                        return 0; /* somebody else has started it meanwhile */
        } while (lock == -EWOULDBLOCK && clock_boottime_usec() < until_usec && poll(NULL, 0, OTHER_EVERY_MSEC) == 0);
        if (r == -EAGAIN) {
                connection_failed(path, r);
                return r;
        }
        if (lock == -EWOULDBLOCK)
                run_say("another scidex-run holds %s.lock and has started no supervisor for %d s; is it stopped? "
                        "End it, and try again",
                        path, START_WAIT_MSEC / 1000);
        else if (lock < 0)
                run_say("can't lock %s.lock: %s; set SCIDEX_SOCKET to a path that you can write to", path,
                        strerror(-lock));
        if (lock < 0)
                return lock;
        for (unsigned i = 0; i < OTHER_TRIES; i++) {
                r = start_one(path);
                if (r < 0 && r != -EBUSY)
                        return r;
                r = r == -EBUSY ? wait_for_other(path, &ret->fd) : client_connect(path, &ret->fd);
                if (r == 0)
                        return 0;
        }
        if (r == CLIENT_E_NO_SOCKET || r == CLIENT_E_REFUSED)
                run_say("another supervisor holds this machine's groups, and it does not listen at %s; end it, or set "
                        "SCIDEX_SOCKET to where it listens (scidexctl doctor says more)",
                        path);
        else
                connection_failed(path, r);
        return r > 0 ? -EIO : r;
}

static bool is_own_place(const char *path) {
        _cleanup_(freep) char *own = NULL;

        return client_private_path(&own) == 0 && strcmp(own, path) == 0;
}

int connection_open(bool private_only, Connection *ret) {
        _cleanup_(client_paths_freep) char **paths = NULL;
        _cleanup_(connection_deinit) Connection connection = CONNECTION_NONE;
        int r = client_socket_paths(private_only, &paths);

        if (r < 0) {
                run_say("can't look for a supervisor: %s", strerror(-r));
                return r;
        }
        for (char **path = paths; *path; path++) {
                r = client_connect(*path, &connection.fd);
                connection.is_private = is_own_place(*path);
                if (r != 0 && connection.is_private && (r == CLIENT_E_NO_SOCKET || r == CLIENT_E_REFUSED)) {
                        r = start_and_connect(*path, &connection);
                        if (r < 0)
                                return r;
                }
                if (r == CLIENT_E_NO_SOCKET)
                        continue;
                if (r != 0) {
                        connection_failed(*path, r);
                        return r < 0 ? r : -EACCES;
                }
                connection.path = strdup(*path);
                if (!connection.path) {
                        run_say("can't look for a supervisor: %s", strerror(ENOMEM));
                        return -ENOMEM;
                }
                *ret = connection;
                connection = CONNECTION_NONE;
                return 0;
        }
        run_say("no supervisor can be found or started; see scidexctl doctor");
        return -ENOENT;
}

int connection_reopen(Connection *c) {
        static uint64_t
                last_start_usec; /* of this process: a supervisor that can't start is tried again, not in a loop */
        uint64_t now_usec = clock_boottime_usec();
        _cleanup_(close_fdp) int lock = -EBADF;
        int ready = -EBADF, r;

        r = client_connect_now(c->path, &c->fd);
        if (r == 0)
                return 0;
        if (!c->is_private || (r != CLIENT_E_NO_SOCKET && r != CLIENT_E_REFUSED) ||
                now_usec < last_start_usec + RESTART_EVERY_USEC)
                return -EAGAIN;
        lock = lock_take(c->path);
        if (lock < 0)
                return -EAGAIN;
        last_start_usec = now_usec;
        if (start(c->path, &ready) == 0)
                (void)close_fd(ready); /* found by connecting; it ignores that nobody listens */
        return -EAGAIN;
}

void connection_deinit(Connection *c) {
        c->fd = close_fd(c->fd);
        free(c->path);
        c->path = NULL;
}
