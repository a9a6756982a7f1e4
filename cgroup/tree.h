/*
 * The delegated subtree that holds all groups: where it lies, who gave it, what it can limit.
 *
 * Candidates in order: $SCIDEX_TREE; with systemd a delegated scope asked of the system manager (root) or the user's
 * (others); without systemd and as root `scidex` below the mount. None: no groups at all ("descendants").
 */
#pragma once

#include "cgroup/group.h"
#include "cgroup/host.h"
#include <stdbool.h>
#include <sys/types.h>

#define TREE_KEEPER_LEAF "keeper" /* where the keeper of a TREE_KEEPER sits */

typedef enum TreeKind {
        TREE_NONE,   /* no group can be made here; runs are known by descent only */
        TREE_GIVEN,  /* $SCIDEX_TREE */
        TREE_MOUNT,  /* <mount>/scidex, root without systemd */
        TREE_SCOPE,  /* a systemd scope with Delegate=yes */
        TREE_KEEPER, /* a service of systemd's that another process holds: scidex-keeper.service */
        TREE_KIND_MAX,
        TREE_KIND_INVALID = -22,
} TreeKind;

typedef struct Tree {
        TreeKind kind;
        char *path;             /* owned; absolute directory path, NULL with TREE_NONE */
        char *cgroup;           /* owned; the same as seen in /proc/PID/cgroup, "/…" */
        int fd;                 /* owned; holds the flock */
        char *unit;             /* owned; the scope's name, else NULL */
        void *bus;              /* owned; sd_bus* of the manager that owns the scope, NULL when none is kept open */
        bool made;              /* the directory is ours to remove */
        bool memory, pids, cpu; /* controllers the groups have */
} Tree;

/* An errno and, where a number can't say it, the sentence for people: what was tried, why not, what to do. */
typedef struct TreeError {
        char *detail; /* owned */
        char *hint;   /* owned */
} TreeError;

/*
 * Finds or makes the tree, moves the calling process into the leaf `supervisor` where it would stand in the way,
 * enables the controllers once, takes the flock. scope_name, e.g. "scidex.scope", is used with systemd; a scope of that
 * name that already exists is adopted. 0; -EBUSY another supervisor holds the flock; -EINVAL a $SCIDEX_TREE that is
 * none; -errno. TREE_NONE is success, with *ret_error saying why; so is a tree without all controllers, then *ret_error
 * says what refused (if something did). *ret_error is set in every case, to be freed by the caller.
 */
int tree_open(const HostFacts *host, const char *scope_name, Tree *ret, TreeError *ret_error);
/*
 * The tree in the cgroup of the running unit keeper_unit ("scidex-keeper.service") of the system's manager (root) or
 * the user's. Asks the manager once, blocks for at most SCOPE_TIMEOUT_USEC. 0 (controllers that could not be enabled
 * stand in *ret_error); -ENOENT it is not running, -EBUSY another supervisor holds it, -errno, all with *ret_error set.
 */
int tree_open_keeper(const HostFacts *host, const char *keeper_unit, Tree *ret, TreeError *ret_error);
void tree_deinit(Tree *tree);
void tree_error_deinit(TreeError *error);
/* Removes the tree's directory if we made it and it holds nothing any more (not a scope's: systemd does). */
void tree_remove_if_empty(Tree *tree);

/*
 * Has the manager move pid into the group `name` directly below its unit (AttachProcessesToUnit), for callers whose own
 * cgroup is not below the tree. Blocks for one bus call. 0; -EOPNOTSUPP when the tree is no unit's; -errno.
 */
int tree_attach(Tree *tree, const char *name, pid_t pid);

/* Whether a name directly below the tree is no group's: a leaf of ours, the keeper's, systemd's own. */
bool tree_is_leaf(const char *name);

typedef int (*TreeGroupFunc)(int parent_fd, const char *name, void *userdata);
/*
 * Calls func for each group directory directly below the directory parent_fd (leaves, TREE_LEAF and those of systemd
 * and the keeper, are left out). Names can be gone when func opens them. A non-zero return of func ends it and is
 * returned.
 */
int tree_each_group(int parent_fd, TreeGroupFunc func, void *userdata);
