/* The cgroup mounts in the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
#pragma once

#include <stdbool.h>

typedef struct CgroupMounts {
        char *v2_mount;      /* owned; the first cgroup2 mount point, NULL if none */
        char *v2_root;       /* owned; the part of the hierarchy that it shows, "/" if all */
        bool v1_controllers; /* a v1 hierarchy with a controller (name=systemd is none) is mounted */
} CgroupMounts;

/* Lines that don't read as mountinfo are passed over. 0 or -ENOMEM. */
int cgroup_mounts_parse(const char *text, CgroupMounts *ret);
void cgroup_mounts_deinit(CgroupMounts *mounts);
