/*
 * Makes, opens, looks at, freezes and kills one group; supervise/ decides when.
 *
 * The hard thing is that a group can vanish between any two system calls, and that the kernel says so in two ways:
 * ENODEV from a file that was open, ENOENT from the directory. ENOENT is also what a file gives that this kernel or
 * tree hasn't got, so group_result() asks for cgroup.procs, which every group has, before it believes in either.
 *
 * Sweeps of signals, the removal, and the room for nested groups lie in the group-*.c beside this; limits in limits.c.
 */
#include "cgroup/group.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/group-internal.h"
#include "cgroup/procs.h"
#include "cgroup/walk.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* cgroup.events has two lines; a page holds whatever a later kernel adds. */
#define EVENTS_TEXT_MAX 4096

int group_result(int group_fd, int r) {
        if (r == -ENODEV)
                return GROUP_E_GONE;
        if (r != -ENOENT)
                return r;
        if (faccessat(group_fd, "cgroup.procs", F_OK, 0) >= 0 || errno == EACCES)
                return GROUP_E_UNSUPPORTED;
        return GROUP_E_GONE;
}

static bool name_is_valid(const char *name) {
        return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int group_open(int parent_fd, const char *name, Group *ret) {
        _cleanup_(freep) char *copy = NULL;
        int fd;

        if (!name_is_valid(name))
                return -EINVAL;
        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        fd = walk_open(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd == -ENOENT || fd == -ENODEV)
                return GROUP_E_GONE;
        if (fd < 0)
                return fd;
        *ret = (Group){ .fd = fd, .parent_fd = parent_fd, .name = TAKE_PTR(copy) };
        return 0;
}

int group_create(int parent_fd, const char *name, Group *ret) {
        int r;

        if (!name_is_valid(name))
                return -EINVAL;
        if (mkdirat(parent_fd, name, 0755) < 0)
                return -errno;
        r = group_open(parent_fd, name, ret);
        if (r != 0) {
                (void)unlinkat(parent_fd, name, AT_REMOVEDIR);
                return r < 0 ? r : -ENOENT;
        }
        return 0;
}

void group_deinit(Group *group) {
        close_fd(group->fd);
        free(group->name);
        *group = GROUP_NONE;
}

int group_give_pressure(const Group *group, uid_t uid) {
        if (fchownat(group->fd, "memory.pressure", uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
                return group_result(group->fd, -errno);
        return 0;
}

int group_attach(const Group *group, pid_t pid) {
        _cleanup_(freep) char *text = text_printf("%d", (int)pid);

        if (!text)
                return -ENOMEM;
        return group_result(group->fd, file_write_at(group->fd, "cgroup.procs", text));
}

static int read_events(int group_fd, char **ret) {
        int fd, r = file_read_at(group_fd, "cgroup.events", EVENTS_TEXT_MAX, ret, NULL);

        if (r != -EACCES)
                return r;
        fd = walk_open(group_fd, "cgroup.events", O_RDONLY); /* puts the owner's rights back */
        if (fd < 0)
                return fd;
        close_fd(fd);
        return file_read_at(group_fd, "cgroup.events", EVENTS_TEXT_MAX, ret, NULL);
}

/* One 0/1 line of cgroup.events; false when the group is gone. */
static int group_read_event(const Group *group, const char *key, bool *ret) {
        _cleanup_(freep) char *text = NULL;
        uint64_t value;
        int r;

        *ret = false;
        r = read_events(group->fd, &text);
        if (r < 0)
                return group_result(group->fd, r);
        r = text_find_u64(text, key, &value);
        if (r < 0)
                return GROUP_E_UNSUPPORTED;
        *ret = value != 0;
        return 0;
}

int group_is_populated(const Group *group, bool *ret_populated) {
        return group_read_event(group, "populated", ret_populated);
}

int group_is_frozen(const Group *group, bool *ret_frozen) {
        return group_read_event(group, "frozen", ret_frozen);
}

static int group_write_forced(int group_fd, const char *file, const char *text) {
        _cleanup_(close_fdp) int fd = walk_open(group_fd, file, O_WRONLY);

        if (fd < 0)
                return group_result(group_fd, fd);
        return write(fd, text, strlen(text)) < 0 ? group_result(group_fd, -errno) : 0;
}

int group_freeze(const Group *group, bool freeze) {
        return group_write_forced(group->fd, "cgroup.freeze", freeze ? "1" : "0");
}

typedef struct EachProcess {
        GroupProcessFunc func;
        void *userdata;
} EachProcess;

static int each_process_enter(int fd, void *userdata) {
        _cleanup_(pid_list_deinit) PidList list = {};
        const EachProcess *each = userdata;
        int r = procs_read(fd, &list);

        if (r != 0)
                return r == GROUP_E_GONE ? 0 : r;
        for (size_t i = 0; r == 0 && i < list.count; i++)
                r = each->func(list.pids[i], each->userdata);
        return r;
}

int group_each_process(const Group *group, GroupProcessFunc func, void *userdata) {
        EachProcess each = { .func = func, .userdata = userdata };

        return group_walk(group->fd, &(WalkVisitor){ .enter = each_process_enter, .userdata = &each });
}

int group_open_kill_fd(const Group *group) {
        return walk_open(group->fd, "cgroup.kill", O_WRONLY);
}

int group_kill(const Group *group) {
        int r = group_write_forced(group->fd, "cgroup.kill", "1");
        size_t reached;

        /* Before 5.14 the file does not exist, and in a threaded group it refuses. */
        if (r == GROUP_E_UNSUPPORTED || r == -EOPNOTSUPP)
                return group_signal(group, SIGKILL, &reached);
        return r;
}
