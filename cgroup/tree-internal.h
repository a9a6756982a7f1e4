/* Shared by tree.c and tree-scope.c; not for others. */
#pragma once

#include "cgroup/tree.h"
#include <errno.h>

/* The leaf that holds processes which may not stand in the tree's own directory. */
#define TREE_LEAF "supervisor"

#define TREE_EMPTY ((Tree){ .kind = TREE_NONE, .fd = -EBADF })

/* Sets the two sentences (each may be NULL, the first printf-formatted) and returns r. Both NULL in *error before. */
int tree_error_set(TreeError *error, int r, const char *hint, const char *detail, ...)
        __attribute__((format(printf, 4, 5)));

/* Opens tree->path, takes the flock and sees that the directory still exists. 0, -EBUSY (error set), -ENOENT, -errno.
 */
int tree_lock(Tree *tree, TreeError *error);
/* Enables the controllers for the groups and notes which there are; a refusal stands in *error and is no failure. */
void tree_enable(Tree *tree, TreeError *error);
/* Sets path and cgroup for a directory below the mount; path is host->mount + below. 0 or -ENOMEM. */
int tree_set_path(Tree *tree, const HostFacts *host, const char *below);

/* The tree in a scope. 0 also with TREE_NONE and *error set; -EBUSY; -errno. */
int tree_open_scope(const HostFacts *host, const char *scope_name, Tree *tree, TreeError *error);
void tree_scope_disconnect(Tree *tree);
