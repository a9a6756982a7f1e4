/*
 * The one inotify fd of all groups; the supervisor hangs it into its loop.
 *
 * inotify wants a path and we hold directory fds: /proc/self/fd/N/FILE is both, and follows no name that could change.
 * The kernel merges and delays notifications (kernel/cgroup/cgroup.c: cgroup_file_notify, 10 ms), so an event here only
 * names the group to look at again. Removing a watch leaves an IN_IGNORED behind, which nobody wants to see.
 */
#include "cgroup/events.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <string.h>
#include <sys/inotify.h>

/* Events without a name are 16 bytes: 256 of them per read; the loop comes back for the rest. */
#define EVENTS_BUFFER 4096

int group_events_init(GroupEvents *events) {
        events->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        return events->fd < 0 ? -errno : 0;
}

void group_events_deinit(GroupEvents *events) {
        events->fd = close_fd(events->fd);
}

int group_events_add(GroupEvents *events, int group_fd, const char *file) {
        _cleanup_(freep) char *path = text_printf("/proc/self/fd/%d/%s", group_fd, file);
        int watch;

        if (!path)
                return -ENOMEM;
        watch = inotify_add_watch(events->fd, path, IN_MODIFY);
        return watch < 0 ? -errno : watch;
}

void group_events_remove(GroupEvents *events, int watch) {
        if (watch > 0)
                (void)inotify_rm_watch(events->fd, watch);
}

static void dispatch_one(const struct inotify_event *event, GroupEventFunc func, void *userdata) {
        if (event->mask & IN_Q_OVERFLOW)
                func(-1, userdata);
        else if (event->mask & IN_MODIFY)
                func(event->wd, userdata);
}

int group_events_dispatch(GroupEvents *events, GroupEventFunc func, void *userdata) {
        _Alignas(struct inotify_event) char buffer[EVENTS_BUFFER];
        ssize_t size = read(events->fd, buffer, sizeof(buffer));
        struct inotify_event event;

        if (size < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        for (size_t at = 0; at + sizeof(event) <= (size_t)size; at += sizeof(event) + event.len) {
                memcpy(&event, buffer + at, sizeof(event));
                dispatch_one(&event, func, userdata);
        }
        return 0;
}
