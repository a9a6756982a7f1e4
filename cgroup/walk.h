/*
 * A walk over a group and all groups below it, of any depth, with two fds at a time.
 *
 * Groups of v2 cannot be renamed, so ".." of a directory is always the one we came from; the way back needs no open fd.
 */
#pragma once

#include <sys/types.h>

typedef struct WalkVisitor {
        /* Called with each directory before what lies below it, the top first; may be NULL. */
        int (*enter)(int fd, void *userdata);
        /* Called after all below it, not for the top itself; may be NULL. parent_fd and name are lent for the call. */
        int (*leave)(int parent_fd, const char *name, void *userdata);
        void *userdata;
} WalkVisitor;

/* Directories that one walk visits at most: a run that makes more than this is ended by its caller first, then walked
 * again. */
#define WALK_GROUPS_MAX (1U << 20)

/*
 * Goes through the group top_fd and all below it. What vanishes on the way is passed over; directories that refuse an
 * owner (mode 000) are opened after a chmod. A non-zero return of a function ends the walk and is returned unchanged.
 * 0, GROUP_E_GONE when the top was gone before, -EOVERFLOW above WALK_GROUPS_MAX, -errno.
 */
int group_walk(int top_fd, const WalkVisitor *visitor);

/* The names of the directories directly below dir_fd, one malloc each, freed with walk_names_free(). 0 or -errno. */
int walk_read_names(int dir_fd, char ***ret_names, size_t *ret_count);
void walk_names_free(char **names, size_t count);

/*
 * openat(2) of a directory or file of a group, O_CLOEXEC added; on EACCES the owner's rights, which a run can have
 * taken away from itself and so from us, are put back and it is tried again. fd or -errno.
 */
int walk_open(int dir_fd, const char *name, int flags);
