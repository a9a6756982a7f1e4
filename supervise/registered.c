/*
 * Moves trees of processes into groups and out again.
 *
 * Called by `register`, `unregister` and adoption.  The hard thing is that everything moves while we look: children are
 * born outside until their parent is moved, so the tree is walked until a walk finds nobody new; and a pid may be
 * recycled between the check and the move, which the kernel takes by number only.  After each move the pidfd is asked
 * whether the process lived through it; if not, and the number has a new owner, that one goes back to the cgroup of its
 * parent, where it was born.
 */
#include "supervise/registered.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "supervise/adopt.h"
#include "supervise/life.h"
#include "supervise/serve.h"
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#define SWEEPS_MAX         8  /* as GROUP_SWEEPS_MAX: a fork bomb outruns it */
#define RELEASE_PASSES_MAX 64 /* a tree that forks faster than it is moved stays under supervision */

/* A cgroup by its path as /proc/PID/cgroup shows it. fd or -errno. */
static int open_cgroup(const HostFacts *host, const char *cgroup) {
        size_t length = host->mount_root && strcmp(host->mount_root, "/") != 0 ? strlen(host->mount_root) : 0;
        _cleanup_(freep) char *path = NULL;
        int fd;

        if (!host->mount || strncmp(cgroup, length ? host->mount_root : "", length) != 0 || strstr(cgroup, "/.."))
                return -ENOENT;
        path = text_printf("%s%s", host->mount, cgroup + length);
        if (!path)
                return -ENOMEM;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int attach_at(int cgroup_fd, pid_t pid) {
        const Group group = { .fd = cgroup_fd, .parent_fd = -EBADF };
        int r = group_attach(&group, pid);

        return r > 0 ? -ENOENT : r;
}

/* Moved in the place of a process that died: back to where its parent stands. */
static void put_back_stranger(const Supervisor *s, pid_t pid, uint64_t start_ticks) {
        _cleanup_(freep) char *cgroup = NULL;
        _cleanup_(close_fdp) int fd = -EBADF;
        ProcessIdentity process;

        if (process_identity(pid, &process) < 0 || process.start_ticks == start_ticks ||
                process_cgroup(process.parent, &cgroup) < 0)
                return;
        fd = open_cgroup(&s->host, cgroup);
        if (fd >= 0)
                (void)attach_at(fd, pid);
        log_line(LOG_LEVEL_WARNING, "pid %d got a new owner while it was moved; moved back to %s", (int)pid, cgroup);
}

int registered_take(Supervisor *s, const Run *run, pid_t pid, uint64_t start_ticks, int pidfd) {
        int r = group_attach(&run->group, pid);

        if (r == -EACCES || r == -EPERM)
                r = tree_attach(&s->tree, run->group.name, pid);
        if (r > 0)
                return -ENOENT;
        if (r == 0 && pidfd_ended(pidfd)) {
                put_back_stranger(s, pid, start_ticks);
                return -ESRCH;
        }
        return r == -EOPNOTSUPP ? -EACCES : r;
}

typedef struct Member {
        pid_t pid;
        uint64_t start_ticks;
} Member;

typedef struct Sweep {
        Supervisor *s;
        const Run *run;
        char *own_cgroup; /* owned; of the group, as /proc/PID/cgroup shows it */
        Member *members;  /* owned; found so far, the main process first */
        size_t n, allocated;
        Member parent; /* whose children are looked at */
        size_t moved;
        int error; /* the first */
} Sweep;

static void sweep_deinit(Sweep *sweep) {
        free(sweep->members);
        free(sweep->own_cgroup);
}

static int sweep_add(Sweep *sweep, pid_t pid, uint64_t start_ticks) {
        if (sweep->n >= REGISTERED_PROCESSES_MAX)
                return -E2BIG;
        if (sweep->n == sweep->allocated) {
                size_t more = sweep->allocated ? sweep->allocated * 2 : 64;
                Member *members = reallocarray(sweep->members, more, sizeof(Member));

                if (!members)
                        return -ENOMEM;
                sweep->members = members;
                sweep->allocated = more;
        }
        sweep->members[sweep->n++] = (Member){ pid, start_ticks };
        return 0;
}

static bool is_below(const char *cgroup, const char *above) {
        size_t length = strlen(above);

        return strncmp(cgroup, above, length) == 0 && (cgroup[length] == '\0' || cgroup[length] == '/');
}

/* Whether it is the same user's, or it is for root to say. */
static bool may_take(const Run *run, const ProcessIdentity *p) {
        /* Nor whose leader has ended: the kernel would move its threads, and list it where it was. */
        if (p->kernel || p->exiting || p->state == 'Z' || p->pid == getpid())
                return false;
        return run->registered_by == 0 ||
                (p->uid_real == run->uid && p->uid_effective == run->uid && p->uid_saved == run->uid);
}

/* The parent's number is still the parent's: then the child's was the child's. */
static bool is_child_of(const ProcessIdentity *p, const Member *parent) {
        ProcessIdentity now;

        return p->parent == parent->pid && process_identity(parent->pid, &now) == 0 &&
                now.start_ticks == parent->start_ticks;
}

static int sweep_child(pid_t pid, void *userdata) {
        Sweep *sweep = userdata;
        _cleanup_(close_fdp) int pidfd = pidfd_open_pid(pid);
        _cleanup_(freep) char *cgroup = NULL;
        ProcessIdentity child;
        int r;

        if (pidfd < 0)
                return pidfd == -ESRCH ? 0 : pidfd;
        if (process_identity(pid, &child) < 0 || !is_child_of(&child, &sweep->parent) ||
                !may_take(sweep->run, &child) || process_cgroup(pid, &cgroup) < 0)
                return 0;
        if (!is_below(cgroup, sweep->own_cgroup)) {
                if (is_below(cgroup, sweep->s->tree.cgroup) && strcmp(sweep->s->tree.cgroup, "/") != 0)
                        return 0; /* of another run */
                r = registered_take(sweep->s, sweep->run, pid, child.start_ticks, pidfd);
                if (r == -ESRCH)
                        return 0;
                if (r < 0)
                        return r;
                sweep->moved++;
        }
        return sweep_add(sweep, pid, child.start_ticks);
}

/* One walk over the whole tree, from the main process down. */
static int sweep_once(Sweep *sweep) {
        int r;

        sweep->n = 0;
        r = sweep_add(sweep, sweep->run->pid, sweep->run->start_ticks);
        for (size_t i = 0; r == 0 && i < sweep->n; i++) {
                sweep->parent = sweep->members[i]; /* a copy: the list may move */
                r = process_each_child(sweep->parent.pid, sweep_child, sweep);
                if (r == -ESRCH)
                        r = 0;
        }
        return r;
}

int registered_sweep(Supervisor *s, const Run *run, size_t *ret_moved) {
        _cleanup_(sweep_deinit) Sweep sweep = { .s = s, .run = run };
        size_t before;
        unsigned n = 0;
        int r;

        sweep.own_cgroup =
                text_printf("%s/%s", strcmp(s->tree.cgroup, "/") == 0 ? "" : s->tree.cgroup, run->group.name);
        if (!sweep.own_cgroup)
                return -ENOMEM;
        do {
                before = sweep.moved;
                r = sweep_once(&sweep);
        } while (r == 0 && sweep.moved > before && ++n < SWEEPS_MAX);
        *ret_moved = sweep.moved;
        return r;
}

/* The nearest cgroup that takes processes; one with controllers for its children refuses them (EBUSY). */
static int release_one(Supervisor *s, const Run *run, pid_t pid) {
        _cleanup_(close_fdp) int pidfd = pidfd_open_pid(pid);
        _cleanup_(freep) char *place = strdup(run->origin ? run->origin : "/");
        ProcessIdentity process;
        int r = -ENOENT;

        if (!place)
                return -ENOMEM;
        if (pidfd < 0 || process_identity(pid, &process) < 0 || serve_run_around(s, pid) != run)
                return pidfd == -EMFILE || pidfd == -ENFILE ? pidfd : 0; /* it has gone: no move is needed */
        for (;;) {
                _cleanup_(close_fdp) int fd = open_cgroup(&s->host, place);

                r = fd < 0 ? fd : attach_at(fd, pid);
                if (r == -ESRCH || (r == 0 && pidfd_ended(pidfd))) {
                        put_back_stranger(s, pid, process.start_ticks);
                        return 0;
                }
                if ((r != -ENOENT && r != -EBUSY && r != -EOPNOTSUPP && r != -ENODEV) || strcmp(place, "/") == 0)
                        return r;
                *MAX_OF(strrchr(place, '/'), place + 1) = '\0'; /* the one above; of "/a" that is "/" */
        }
}

typedef struct Release {
        Supervisor *s;
        const Run *run;
        size_t found, moved;
} Release;

static int release_process(pid_t pid, void *userdata) {
        Release *release = userdata;

        release->found++;
        if (++release->moved > 2 * REGISTERED_PROCESSES_MAX) /* it forks faster than it is moved */
                return -EAGAIN;
        return release_one(release->s, release->run, pid);
}

/* As if it had never been a group of ours. */
static int release_in_place(Supervisor *s, Run *run) {
        static const char *const names[] = { "user.scidex.run", "user.scidex.main", "user.scidex.kill",
                "user.scidex.end" };
        const Limits none = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };
        int r = group_change_limits(&run->group, &none, &run->kept);

        if (r < 0)
                return r;
        (void)file_write_at(run->group.fd, "memory.oom.group", "0");
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                (void)fremovexattr(run->group.fd, names[i]);
        watching_remove(s, &run->events_memory);
        watching_remove(s, &run->events_populated);
        group_deinit(&run->group);
        return REGISTERED_E_IN_PLACE;
}

static int count_process(pid_t pid, void *userdata) {
        size_t *n = userdata;

        return ++*n > REGISTERED_PROCESSES_MAX ? -E2BIG : 0;
}

int registered_release(Supervisor *s, Run *run, size_t *ret_moved) {
        Release release = { .s = s, .run = run };
        size_t n = 0;
        int r;

        *ret_moved = 0;
        run->letting_go = true;
        r = group_each_process(&run->group, count_process, &n);
        if (r >= 0)
                r = adopt_save(run, s->boot_id);
        for (unsigned i = 0; r == 0 && i < RELEASE_PASSES_MAX; i++) {
                release.found = 0;
                r = group_each_process(&run->group, release_process, &release);
                *ret_moved = release.moved;
                if (r == 0 && release.found == 0)
                        return 0;
        }
        if (r == GROUP_E_GONE)
                return 0;
        if (r == -EACCES || r == -EPERM || r == -EBUSY || r == -ENOENT)
                return release_in_place(s, run);
        run->letting_go = false;
        (void)adopt_save(run, s->boot_id);
        return r == 0 ? -EAGAIN : r;
}

void registered_close(Supervisor *s, Run *run) {
        run->verdict = VERDICT_LOST;
        run->verdict_detail = "unregistered";
        ending_begin(s, run, clock_boottime_usec());
        life_look(s, run);
}
