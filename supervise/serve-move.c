/*
 * The processes that a launcher names: believing that they are its own, and moving one into its group before exec.
 *
 * Called for started, move and attach.  The hard thing is that a launcher names a number, and a number can be given
 * anew at any moment: a pidfd is opened first, and what /proc says of the number is only believed if the pidfd's
 * process still lives afterwards.  A pidfd sent by the launcher would say no more (it is as free to send another's) and
 * taking descriptors from users costs: see message_receive_without_fds().
 *
 * The kernel moves by number only, so in one case it can be the wrong one: our process ends, is collected, and its
 * number goes to another before the write.  Then ours has ended, which the pidfd tells, and whoever is in the group got
 * there by mistake: it is brought back to where its parent lives, and nobody is killed.
 */
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "cgroup/procs.h"
#include "supervise/enforce.h"
#include "supervise/serve.h"
#include <fcntl.h>
#include <string.h>

#define STRAY_PASSES_MAX 64 /* over a group's processes: they may fork meanwhile */
#define ANCESTORS_MAX    64
#define LAST_HOME        "supervisor" /* leaf of the tree, for who has no parent to go to */

/* Also a launcher is a number: that of the process which has asked for the run. */
static bool is_launchers_child(const Run *run, const ProcessIdentity *child) {
        ProcessIdentity launcher;

        return child->parent == run->launcher_pid && process_identity(run->launcher_pid, &launcher) == 0 &&
                launcher.start_ticks == run->launcher_start_ticks;
}

/*
 * Whether the run may end it, wherever it lives: only what its user could end as well, or what is in the run's group
 * and ends with that. A child of the launcher may be root's: of sudo, or left to it as to a subreaper.
 */
static bool is_for_the_run(const Request *q, const Run *run, const ProcessIdentity *child) {
        return geteuid() != 0 || run->uid == 0 || child->uid_real == run->uid || child->uid_saved == run->uid ||
                serve_run_around(q->s, child->pid) == run;
}

int serve_child(const Request *q, ProcessIdentity *ret, int *ret_pidfd) {
        _cleanup_(close_fdp) int pidfd = -EBADF;
        int pid, r;

        if (json_get_int(q->message->body, "pid", &pid) < 0 || pid <= 1)
                return -EINVAL;
        *ret = (ProcessIdentity){ .pid = pid };
        *ret_pidfd = -EBADF;
        pidfd = pidfd_open_pid(pid);
        if (pidfd < 0)
                return pidfd;
        r = process_identity(pid, ret);
        if (r == 0 && (!is_launchers_child(q->session->run, ret) || !is_for_the_run(q, q->session->run, ret)))
                r = -EPERM;
        if (pidfd_ended(pidfd)) { /* what was read may be of another one since */
                *ret = (ProcessIdentity){ .pid = pid };
                return -ESRCH;
        }
        if (r == 0)
                *ret_pidfd = TAKE_FD(pidfd);
        return r;
}

static bool is_listed(const PidList *list, pid_t pid) {
        for (size_t i = 0; i < list->count; i++)
                if (list->pids[i] == pid)
                        return true;
        return false;
}

/* The nearest ancestor that is not astray as well. > 0; -ENOENT: init, as its own has ended; -errno. */
static pid_t find_ancestor(const PidList *strays, pid_t pid) {
        ProcessIdentity process = { .parent = pid };

        for (unsigned n = 0; n < ANCESTORS_MAX && is_listed(strays, process.parent); n++) {
                int r = process_identity(process.parent, &process);

                if (r < 0)
                        return r;
        }
        return process.parent > 1 ? process.parent : -ENOENT;
}

/* The directory of the cgroup in which a process lives. fd or -errno. */
static int open_cgroup_of(const Supervisor *s, pid_t pid) {
        _cleanup_(freep) char *path = NULL, *directory = NULL;
        int fd, r = process_cgroup(pid, &path);

        if (r < 0)
                return r;
        if (!path || strstr(path, "/../")) /* outside of what our mount shows */
                return -ENOENT;
        directory = text_printf("%s%s", s->host.mount, path);
        if (!directory)
                return -ENOMEM;
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

static int attach_at_home(const Supervisor *s, const PidList *strays, pid_t pid) {
        pid_t ancestor = find_ancestor(strays, pid);
        Group home = GROUP_NONE;
        int r;

        home.fd = ancestor < 0 ? ancestor : open_cgroup_of(s, ancestor);
        r = home.fd < 0 ? home.fd : group_attach(&home, pid);
        (void)close_fd(home.fd);
        return r;
}

static int attach_at_last_home(const Supervisor *s, pid_t pid) {
        _cleanup_(group_deinit) Group leaf = GROUP_NONE;
        int r = group_create(s->tree.fd, LAST_HOME, &leaf);

        if (r == -EEXIST)
                r = group_open(s->tree.fd, LAST_HOME, &leaf);
        return r == 0 ? group_attach(&leaf, pid) : r;
}

static void bring_back_one(const Supervisor *s, const Run *run, const PidList *strays, pid_t pid) {
        int r = attach_at_home(s, strays, pid);

        if (r != 0 && r != -ESRCH)
                r = attach_at_last_home(s, pid);
        if (r == -ESRCH)
                return;
        log_run(r == 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, run->id.text, run->request.analysis_id,
                "process %d was taken for one that had ended, and %s", (int)pid,
                r == 0 ? "was moved back" : "can't be moved back");
}

void serve_bring_back_strays(const Supervisor *s, const Run *run) {
        for (unsigned i = 0; i < STRAY_PASSES_MAX; i++) {
                _cleanup_(pid_list_deinit) PidList strays = {};

                if (procs_read(run->group.fd, &strays) != 0 || strays.count == 0)
                        return;
                for (size_t k = 0; k < strays.count; k++)
                        bring_back_one(s, run, &strays, strays.pids[k]);
        }
}

static bool is_users(const ProcessIdentity *process, uid_t uid) {
        return uid == 0 || (process->uid_real == uid && process->uid_effective == uid && process->uid_saved == uid);
}

static int attach(Supervisor *s, const Run *run, pid_t pid) {
        int r = group_attach(&run->group, pid);

        if ((r == -EACCES || r == -EPERM) && !run->outer)
                r = tree_attach(&s->tree, run->group.name, pid);
        return r > 0 ? -ENOENT : r;
}

/* Whether pid, and nobody else, is in the group: a supervisor before us moved it and died before it could say so. */
static bool is_moved(const Run *run, pid_t pid) {
        _cleanup_(pid_list_deinit) PidList list = {};

        return procs_read(run->group.fd, &list) == 0 && list.count == 1 && list.pids[0] == pid;
}

void serve_move(const Request *q) {
        Run *run = q->session->run;
        _cleanup_(close_fdp) int pidfd = -EBADF;
        ProcessIdentity child;
        int r;

        if (!run || !run_is_grouped(run))
                return serve_refuse(q, "bad-request", "there is no group to move into", NULL, NULL);
        r = serve_child(q, &child, &pidfd);
        if (r == 0 && run->pid == 0 && is_moved(run, child.pid))
                return serve_answer(q, message_reply(q->op));
        /* Only then can a stray be told from a process of the run, which must not get out this way. */
        if (run->pid != 0 || !enforce_is_empty(run))
                return serve_refuse(q, "bad-request", "the run has been started already", NULL, NULL);
        if (r == -ESRCH)
                return serve_refuse(q, "gone", "the process has ended", NULL, NULL);
        if (r < 0)
                return serve_refuse(
                        q, "denied", "the process is no child of the launcher, or another user's", NULL, NULL);
        if (!is_users(&child, q->message->uid))
                return serve_refuse(q, "denied", "the process is another user's", NULL, NULL);
        if (serve_run_around(q->s, child.pid) != run->outer) /* moved on and on it would outlive every time limit */
                return serve_refuse(q, "denied", "the process belongs to another run", NULL, NULL);
        r = attach(q->s, run, child.pid);
        if (pidfd_ended(pidfd)) {
                serve_bring_back_strays(q->s, run);
                return serve_refuse(q, "gone", "the process has ended", NULL, NULL);
        }
        if (r < 0)
                return serve_refuse(q, "failed", "the process can't be moved into its group", strerror(-r),
                        "See `scidexctl doctor`.");
        serve_answer(q, message_reply(q->op));
}
