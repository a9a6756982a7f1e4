/*
 * Removes a group and what a run made below it, bottom-up; called when its processes are gone, again on GROUP_E_BUSY.
 *
 * rmdir of a cgroup says EBUSY for processes, for children, and for a little while after the last exit. Most groups
 * have no children, so the plain rmdir is tried first and only its EBUSY starts the walk.
 */
#include "base/cleanup.h"
#include "cgroup/group.h"
#include "cgroup/walk.h"
#include <fcntl.h>
#include <sys/stat.h>

/* 0, GROUP_E_BUSY, -errno. A parent whose write permission was taken away by its owner gets it back. */
static int remove_at(int parent_fd, const char *name) {
        int r = unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;

        if (r == -EACCES && fchmod(parent_fd, 0755) >= 0)
                r = unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
        if (r == -ENOENT || r == -ENODEV)
                return 0;
        return r == -EBUSY || r == -ENOTEMPTY ? GROUP_E_BUSY : r;
}

/* One that is busy does not keep its siblings; its parents then say EBUSY themselves. */
static int remove_leave(int parent_fd, const char *name, void *userdata) {
        int r = remove_at(parent_fd, name);

        return r == GROUP_E_BUSY ? 0 : r;
}

int group_remove(const Group *group) {
        int r = remove_at(group->parent_fd, group->name);

        if (r != GROUP_E_BUSY)
                return r;
        r = group_walk(group->fd, &(WalkVisitor){ .leave = remove_leave });
        return r < 0 ? r : remove_at(group->parent_fd, group->name);
}
