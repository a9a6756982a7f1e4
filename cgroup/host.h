/* What this host can do for us, found once at start-up with libcgroup and /proc/self/mountinfo. */
#pragma once

#include <stdbool.h>

typedef enum HostKind {
        HOST_PURE_V2, /* cgroup2 is the only hierarchy */
        HOST_HYBRID,  /* v1 hierarchies hold the controllers, cgroup2 is mounted beside them */
        HOST_NO_CGROUP2,
        HOST_KIND_MAX,
        HOST_KIND_INVALID = -22,
} HostKind;

typedef struct HostFacts {
        HostKind kind;
        char *mount;                /* owned; mount point of cgroup2, NULL with HOST_NO_CGROUP2 */
        char *mount_root;           /* owned; the part of the hierarchy that the mount shows, "/" if all (mountinfo) */
        bool mount_writable;        /* not mounted read-only and writable by us (access(2)) */
        bool mount_is_namespaced;   /* the mount's root is a cgroup namespace's, not the hierarchy's: a container */
        bool memory, pids, cpu, io; /* in the v2 root's cgroup.controllers */
        bool psi;                   /* /proc/pressure/memory is readable */
        bool clone_into_cgroup;     /* kernel >= 5.7 */
        bool memory_peak;           /* kernel >= 5.19 */
        bool cgroup_kill;           /* kernel >= 5.14 */
        bool systemd;               /* /run/systemd/system exists: systemd is the manager */
        char *own_cgroup;           /* owned; path of our own v2 cgroup below the mount, "/…" */
        char *kernel;               /* owned; uname release */
} HostFacts;

/* Fills *ret. 0, -ENOMEM, -errno when /proc is not readable. Absence of cgroups is a fact, not an error. */
int host_facts_read(HostFacts *ret);
void host_facts_deinit(HostFacts *facts);
const char *host_kind_to_string(HostKind kind);
