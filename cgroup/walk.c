/*
 * Walks a group and what lies below it: used to list, signal, thaw and remove.
 *
 * The hard thing is depth: whoever owns a group may nest thousands of levels in it. One fd per level would end in
 * EMFILE, one path ends at PATH_MAX, recursion ends with the stack. So only the names are kept (on the heap) and the
 * way back up is openat(".."), which is safe here: cgroup2 knows no rename (kernel/cgroup/cgroup.c has no .rename
 * outside v1), so the parent of a directory never changes, not even after its rmdir.
 *
 * A directory's link count is 2 + its sub-directories (fs/kernfs/inode.c), which spares the leaf, the usual case, the
 * reading of its fifty files' names.
 */
#include "cgroup/walk.h"
#include "base/cleanup.h"
#include "cgroup/group-internal.h"
#include "cgroup/group.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct Level {
        char **names; /* owned */
        size_t count;
        size_t next; /* the first not yet visited */
} Level;

typedef struct Walk {
        const WalkVisitor *visitor;
        int top_fd;    /* borrowed */
        int below_fd;  /* owned; the directory we stand in, -EBADF at the top */
        Level *levels; /* owned; levels[depth] are the children of where we stand */
        size_t depth, allocated;
        unsigned visited;
} Walk;

int walk_open(int dir_fd, const char *name, int flags) {
        int fd = openat(dir_fd, name, flags | O_CLOEXEC);

        if (fd >= 0)
                return fd;
        if (errno != EACCES)
                return -errno;
        (void)fchmod(dir_fd, 0755);
        (void)fchmodat(dir_fd, name, (flags & O_DIRECTORY) ? 0755 : 0644, 0);
        fd = openat(dir_fd, name, flags | O_CLOEXEC);
        return fd >= 0 ? fd : -errno;
}

void walk_names_free(char **names, size_t count) {
        for (size_t i = 0; i < count; i++)
                free(names[i]);
        free(names);
}

static bool has_no_children(int dir_fd) {
        struct stat st;

        return fstat(dir_fd, &st) >= 0 && st.st_nlink == 2;
}

static int names_append(char ***names, size_t *count, const char *name) {
        if ((*count & (*count - 1)) == 0) { /* full at each power of two */
                char **grown = reallocarray(*names, (*count ? *count * 2 : 1), sizeof(char *));

                if (!grown)
                        return -ENOMEM;
                *names = grown;
        }
        (*names)[*count] = strdup(name);
        if (!(*names)[*count])
                return -ENOMEM;
        (*count)++;
        return 0;
}

static bool is_child(const struct dirent *entry) {
        return entry->d_type == DT_DIR && strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int names_collect(DIR *directory, char ***names, size_t *count) {
        for (;;) {
                struct dirent *entry;
                int r;

                errno = 0;
                entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe): one thread, own stream */
                if (!entry)
                        return -errno;
                if (!is_child(entry))
                        continue;
                r = names_append(names, count, entry->d_name);
                if (r < 0)
                        return r;
        }
}

/* A stream of its own: dir_fd keeps its position. */
static int open_stream(int dir_fd, DIR **ret) {
        _cleanup_(close_fdp) int fd = walk_open(dir_fd, ".", O_RDONLY | O_DIRECTORY);

        if (fd < 0)
                return fd;
        *ret = fdopendir(fd);
        if (!*ret)
                return -errno;
        (void)TAKE_FD(fd);
        return 0;
}

int walk_read_names(int dir_fd, char ***ret_names, size_t *ret_count) {
        _cleanup_(closedirp) DIR *directory = NULL;
        char **names = NULL;
        size_t count = 0;
        int r = 0;

        if (!has_no_children(dir_fd)) {
                r = open_stream(dir_fd, &directory);
                if (r < 0)
                        return r;
                r = names_collect(directory, &names, &count);
        }
        if (r < 0) {
                walk_names_free(names, count);
                return r;
        }
        *ret_names = names;
        *ret_count = count;
        return 0;
}

static int walk_here(const Walk *walk) {
        return walk->depth == 0 ? walk->top_fd : walk->below_fd;
}

static bool is_gone(int r) {
        return r == -ENOENT || r == -ENODEV;
}

/* Calls enter for the directory we stand in and lists its children into levels[depth]. */
static int walk_look(Walk *walk) {
        Level *level = &walk->levels[walk->depth];
        int r = 0;

        *level = (Level){};
        if (walk->visited++ >= WALK_GROUPS_MAX)
                return -EOVERFLOW;
        if (walk->visitor->enter)
                r = walk->visitor->enter(walk_here(walk), walk->visitor->userdata);
        if (r != 0)
                return r;
        r = walk_read_names(walk_here(walk), &level->names, &level->count);
        return is_gone(r) ? 0 : r;
}

static int walk_reserve(Walk *walk, size_t levels) {
        Level *grown;

        if (levels <= walk->allocated)
                return 0;
        grown = reallocarray(walk->levels, levels * 2, sizeof(Level));
        if (!grown)
                return -ENOMEM;
        walk->levels = grown;
        walk->allocated = levels * 2;
        return 0;
}

static void walk_step(Walk *walk, int to_fd, size_t to_depth) {
        close_fd(walk->below_fd);
        walk->below_fd = to_fd;
        walk->depth = to_depth;
}

/* Back to the parent, whose fd at the top is the caller's own. */
static int walk_up(Walk *walk) {
        Level *left = &walk->levels[walk->depth];
        int fd = -EBADF;

        if (walk->depth > 1) {
                fd = walk_open(walk->below_fd, "..", O_RDONLY | O_DIRECTORY);
                if (fd < 0)
                        return fd;
        }
        walk_names_free(left->names, left->count);
        *left = (Level){};
        walk_step(walk, fd, walk->depth - 1);
        return 0;
}

static int walk_leave(Walk *walk) {
        const Level *level = &walk->levels[walk->depth];

        if (!walk->visitor->leave)
                return 0;
        return walk->visitor->leave(walk_here(walk), level->names[level->next - 1], walk->visitor->userdata);
}

/* Into the next child, or past it when it is gone. */
static int walk_down(Walk *walk) {
        Level *level = &walk->levels[walk->depth];
        const char *name = level->names[level->next++];
        int fd, r;

        r = walk_reserve(walk, walk->depth + 2);
        if (r < 0)
                return r;
        fd = walk_open(walk_here(walk), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (is_gone(fd))
                return 0;
        if (fd < 0)
                return fd;
        walk_step(walk, fd, walk->depth + 1);
        return walk_look(walk);
}

static int walk_run(Walk *walk) {
        int r = walk_look(walk);

        while (r == 0) {
                const Level *level = &walk->levels[walk->depth];

                if (level->next < level->count) {
                        r = walk_down(walk);
                        continue;
                }
                if (walk->depth == 0)
                        return 0;
                r = walk_up(walk);
                if (r == 0)
                        r = walk_leave(walk);
        }
        return r;
}

static void walk_deinit(Walk *walk) {
        if (walk->levels)
                for (size_t i = 0; i <= walk->depth; i++)
                        walk_names_free(walk->levels[i].names, walk->levels[i].count);
        free(walk->levels);
        close_fd(walk->below_fd);
}

int group_walk(int top_fd, const WalkVisitor *visitor) {
        _cleanup_(walk_deinit) Walk walk = { .visitor = visitor, .top_fd = top_fd, .below_fd = -EBADF };
        int r = walk_reserve(&walk, 1);

        if (r < 0)
                return r;
        walk.levels[0] = (Level){};
        if (group_result(top_fd, -ENOENT) == GROUP_E_GONE)
                return GROUP_E_GONE;
        return walk_run(&walk);
}
