/*
 * One inotify fd for the *.events files of all groups; it says "look again", never what happened (notifications come
 * at most every 10 ms per file and are merged: counters are re-read, not counted).
 */
#pragma once

#include <stdint.h>

typedef struct GroupEvents {
        int fd; /* owned; for the event loop, readable when something is waiting */
} GroupEvents;

int group_events_init(GroupEvents *events);
void group_events_deinit(GroupEvents *events);
/* IN_MODIFY on a file of the group ("memory.events", "cgroup.events"). Watch descriptor > 0 or -errno (-ENOSPC:
 * max_user_watches). */
int group_events_add(GroupEvents *events, int group_fd, const char *file);
void group_events_remove(GroupEvents *events, int watch);

typedef void (*GroupEventFunc)(int watch, void *userdata);
/* Reads what is waiting and calls func per watch; watch -1 means the queue overflowed: look at everything. 0 or -errno.
 */
int group_events_dispatch(GroupEvents *events, GroupEventFunc func, void *userdata);
