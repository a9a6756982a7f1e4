/*
 * Makes room for nested groups: supervise/ calls it when the first run is started from within another.
 *
 * cgroup2 lets a group have processes or controllers for its children, not both, so the group's own processes must move
 * to a leaf. A process that forks while it is being moved leaves a child behind, and the list never gets empty under a
 * fork storm: the group is frozen first (its children are born frozen), moved in one or two passes, and thawed on every
 * way out. The leaf, being below, is frozen with it, so that nobody runs between the move and the thaw.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cgroup/group-internal.h"
#include "cgroup/group.h"
#include "cgroup/procs.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>

/* Passes over cgroup.procs: frozen groups need two; the rest is for those that cannot be frozen at once (vfork, D
 * state). */
#define MOVE_PASSES_MAX 64
/* How long to wait for `frozen 1`; measured under a fork storm: 80 ms. After it the move goes on with what is not
 * frozen. */
#define FREEZE_WAIT_USEC (500 * USEC_PER_MSEC)
/* A list of controllers: a dozen short words. */
#define CONTROLLERS_TEXT_MAX 4096

static const char *const controllers_wanted[] = { "memory", "pids", "cpu" };

bool text_has_word(const char *text, const char *word) {
        size_t length = strlen(word);

        for (const char *at = text; (at = strstr(at, word)); at += length)
                if ((at == text || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\n' || !at[length]))
                        return true;
        return false;
}

typedef int (*ControllerFunc)(int group_fd, const char *name, void *userdata);

/* Calls func for each wanted controller that the group has and its children have not; the first failure is returned at
 * the end. */
static int each_lacking(int group_fd, ControllerFunc func, void *userdata) {
        _cleanup_(freep) char *has = NULL, *enabled = NULL;
        int r = file_read_at(group_fd, "cgroup.controllers", CONTROLLERS_TEXT_MAX, &has, NULL);

        if (r >= 0)
                r = file_read_at(group_fd, "cgroup.subtree_control", CONTROLLERS_TEXT_MAX, &enabled, NULL);
        if (r < 0)
                return group_result(group_fd, r);
        for (size_t i = 0; i < ELEMENTSOF(controllers_wanted); i++) {
                int one;

                if (!text_has_word(has, controllers_wanted[i]) || text_has_word(enabled, controllers_wanted[i]))
                        continue;
                one = func(group_fd, controllers_wanted[i], userdata);
                r = r < 0 ? r : one;
        }
        return r;
}

static int enable_one(int group_fd, const char *name, void *userdata) {
        _cleanup_(freep) char *text = text_printf("+%s", name);

        return text ? file_write_at(group_fd, "cgroup.subtree_control", text) : -ENOMEM;
}

int group_enable_controllers(int group_fd) {
        return each_lacking(group_fd, enable_one, NULL);
}

static int note_one(int group_fd, const char *name, void *userdata) {
        *(bool *)userdata = true;
        return 0;
}

int group_lacks_controllers(int group_fd, bool *ret_lacks) {
        *ret_lacks = false;
        return each_lacking(group_fd, note_one, ret_lacks);
}

/* 0 when the list was empty, 1 when there were some, -errno. */
static int move_pass(const Group *group, const Group *target) {
        _cleanup_(pid_list_deinit) PidList list = {};
        int r = procs_read(group->fd, &list);

        if (r != 0)
                return r == GROUP_E_GONE ? 0 : r;
        for (size_t i = 0; i < list.count; i++) {
                r = group_attach(target, list.pids[i]);
                if (r != 0 && r != -ESRCH)
                        return r == GROUP_E_GONE ? -ENOENT : r;
        }
        return list.count > 0;
}

int group_move_all(const Group *group, const Group *target) {
        int r = 1;

        for (unsigned i = 0; i < MOVE_PASSES_MAX && r > 0; i++)
                r = move_pass(group, target);
        return r > 0 ? -EAGAIN : r;
}

/* POLLPRI on cgroup.events comes with each change (kernfs); the first poll(2) after a read waits for the next. */
static void wait_frozen(const Group *group) {
        uint64_t deadline = usec_add(clock_boottime_usec(), FREEZE_WAIT_USEC);
        _cleanup_(close_fdp) int fd = openat(group->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        char buffer[4096];
        uint64_t left;

        while (fd >= 0 && (left = usec_sub(deadline, clock_boottime_usec())) > 0) {
                struct pollfd poll_fd = { .fd = fd, .events = POLLPRI };
                bool frozen;

                if (pread(fd, buffer, sizeof(buffer), 0) < 0 || group_is_frozen(group, &frozen) != 0 || frozen)
                        return;
                if (poll(&poll_fd, 1, (int)(left / USEC_PER_MSEC) + 1) < 0 && errno != EINTR)
                        return;
        }
}

static int open_leaf(const Group *group, const char *leaf_name, Group *ret) {
        int r = group_create(group->fd, leaf_name, ret);

        if (r == -EEXIST)
                r = group_open(group->fd, leaf_name, ret);
        return r == GROUP_E_GONE ? -ENOENT : r;
}

static int move_and_enable(const Group *group, const Group *leaf) {
        int r = group_move_all(group, leaf);

        if (r == 0)
                r = group_enable_controllers(group->fd);
        return r > 0 ? -ENOENT : r;
}

int group_make_inner(const Group *group, const char *leaf_name) {
        _cleanup_(group_deinit) Group leaf = GROUP_NONE;
        bool lacks;
        int r, thawed;

        r = group_lacks_controllers(group->fd, &lacks);
        if (r != 0 || !lacks)
                return r > 0 ? -ENOENT : r;
        r = open_leaf(group, leaf_name, &leaf);
        if (r < 0)
                return r;
        r = group_freeze(group, true);
        if (r == 0)
                wait_frozen(group);
        if (r == 0 || r == GROUP_E_UNSUPPORTED) /* no freezer before 5.2: the passes then have to do */
                r = move_and_enable(group, &leaf);
        thawed = group_freeze(group, false);
        if (r < 0)
                return r;
        return thawed < 0 ? thawed : 0;
}
