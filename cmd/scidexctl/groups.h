/*
 * The groups of a tree as the kernel has them at this moment, beside what the supervisor says of its runs. Reads only:
 * nothing is thawed, chmod-ed or moved.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "cgroup/procs.h"
#include "cgroup/usage.h"

#define GROUPS_MOST       4096 /* directories read at most: a run can make any number below its own */
#define GROUPS_DEPTH_MOST 32   /* one descriptor each on the way down */

typedef enum GroupKind {
        GROUP_TREE,    /* the tree itself */
        GROUP_OWN,     /* scidex's or systemd's: the leaves `supervisor` and `keeper` */
        GROUP_RUN,     /* of a run in the list */
        GROUP_STRANGE, /* of a run that is not in the list: another user's, or begun or gone since */
        GROUP_PART,    /* below a run's: the run's own doing, or the leaf of one that has nested runs */
        GROUP_FOREIGN, /* in the tree, and no group of ours */
        GROUP_KIND_MAX,
} GroupKind;

typedef struct GroupNode {
        char *name; /* owned; of the tree its path */
        unsigned depth;
        GroupKind kind;
        const json_t *run; /* borrowed; the row of GROUP_RUN, else NULL */
        bool is_frozen;
        uint64_t memory_limit_bytes, pids_limit; /* memory.max, pids.max; USAGE_UNKNOWN: none, or not counted here */
        Usage usage;
        PidList processes; /* of this group itself, not of those below */
} GroupNode;

typedef struct Groups {
        GroupNode *nodes; /* owned; each before those below it, in the order of their names */
        size_t n, n_allocated;
        bool is_cut; /* there are more: GROUPS_MOST or GROUPS_DEPTH_MOST */
} Groups;

/* "run", … */
const char *group_kind_to_string(GroupKind kind);

/* Of the tree at path; runs: rows of `list`, which must outlive it. 0, -errno of the tree itself, -ENOMEM. */
int groups_read(const char *path, const json_t *runs, Groups *ret);
void groups_deinit(Groups *groups);

/* anon + shmem, of the kernel or, where it counts none, of the run's row. False when neither is known. */
bool group_private_bytes(const GroupNode *node, uint64_t *ret);
/* memory.max, else what the run was given. False: no limit. */
bool group_limit_bytes(const GroupNode *node, uint64_t *ret);
