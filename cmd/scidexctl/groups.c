/*
 * Walks the tree.
 *
 * Called by `tree` and `top`.  The hard thing is that it changes while it is read: a group that is gone by the time it
 * is opened is left out, and what is not in the list may have begun since, so only a directory without our attributes
 * is called foreign.  Depth and number are a run's to choose (it may make groups in its own), so both are bounded.
 */
#include "cmd/scidexctl/groups.h"

#include "base/file.h"
#include "cgroup/group.h"
#include "cgroup/tree.h"
#include "cgroup/walk.h"
#include "status/field.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define LEAF_MAIN "main"            /* supervise/serve.h: where the processes of a run with nested ones are */
#define XATTR_RUN "user.scidex.run" /* supervise/adopt.h: whose group it is */

static const char *const kind_names[] = {
        [GROUP_TREE] = "tree",
        [GROUP_OWN] = "own",
        [GROUP_RUN] = "run",
        [GROUP_STRANGE] = "run-not-listed",
        [GROUP_PART] = "part",
        [GROUP_FOREIGN] = "foreign",
};
_Static_assert(ELEMENTSOF(kind_names) == GROUP_KIND_MAX, "a name per kind");

const char *group_kind_to_string(GroupKind kind) {
        return kind_names[kind];
}

typedef struct Reading {
        Groups *groups;
        const json_t *by_path; /* path → row */
} Reading;

static void node_deinit(GroupNode *node) {
        free(node->name);
        pid_list_deinit(&node->processes);
}

void groups_deinit(Groups *groups) {
        for (size_t i = 0; i < groups->n; i++)
                node_deinit(&groups->nodes[i]);
        free(groups->nodes);
        *groups = (Groups){ 0 };
}

static uint64_t limit_read(int fd, const char *file) {
        uint64_t value;

        return file_read_u64_at(fd, file, &value) == 0 ? value : USAGE_UNKNOWN;
}

static void node_read(GroupNode *node, int fd) {
        uint64_t frozen = 0;

        node->usage = USAGE_NONE;
        (void)usage_read(fd, &node->usage); /* what can't be read stays unknown */
        node->memory_limit_bytes = limit_read(fd, "memory.max");
        node->pids_limit = limit_read(fd, "pids.max");
        (void)file_read_u64_at(fd, "cgroup.freeze", &frozen);
        node->is_frozen = frozen == 1;
        if (procs_read(fd, &node->processes) != 0)
                node->processes = (PidList){ 0 };
}

/* above: of what it lies in. */
static GroupKind kind_of(const char *path, const char *name, GroupKind above, const json_t *run) {
        if (run)
                return GROUP_RUN;
        if (above == GROUP_OWN || (above == GROUP_TREE && tree_is_leaf(name)))
                return GROUP_OWN;
        if (lgetxattr(path, XATTR_RUN, NULL, 0) >= 0 || errno == EACCES) /* others are not told */
                return GROUP_STRANGE;
        return above == GROUP_TREE || above == GROUP_FOREIGN ? GROUP_FOREIGN : GROUP_PART;
}

static int node_add(Groups *g, GroupNode node) {
        if (g->n == g->n_allocated) {
                size_t n = g->n_allocated ? g->n_allocated * 2 : 64;
                GroupNode *nodes = reallocarray(g->nodes, n, sizeof(GroupNode));

                if (!nodes)
                        return -ENOMEM;
                g->nodes = nodes;
                g->n_allocated = n;
        }
        g->nodes[g->n++] = node;
        return 0;
}

static int read_below(Reading *reading, int fd, const char *path, unsigned depth, GroupKind above);

/* The system's groups are 0711: who may not list one may read its files all the same. */
static int directory_open(int parent_fd, const char *name) {
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        return fd < 0 && errno == EACCES ? openat(parent_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW) : fd;
}

static int read_one(
        Reading *reading, int parent_fd, const char *parent, const char *name, unsigned depth, GroupKind above) {
        _cleanup_(freep) char *path = text_printf("%s/%s", parent, name);
        _cleanup_(close_fdp) int fd = directory_open(parent_fd, name);
        GroupNode node = { .name = strdup(name), .depth = depth };
        int r = 0;

        if (!path || !node.name)
                r = -ENOMEM;
        else if (fd >= 0) { /* else it has just gone, or is a run's that shut others out */
                node.run = json_object_get(reading->by_path, path);
                node.kind = kind_of(path, name, above, node.run);
                node_read(&node, fd);
                r = node_add(reading->groups, node);
                if (r == 0)
                        return read_below(reading, fd, path, depth + 1, node.kind);
        }
        node_deinit(&node);
        return r;
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Of a directory that can't be listed: the groups of runs in it, as the list has them. */
static int names_from_list(const json_t *by_path, const char *path, char ***ret_names, size_t *ret_count) {
        size_t length = strlen(path), n = 0;
        char **names = calloc(json_object_size(by_path) + 2, sizeof(char *));
        const char *one;
        json_t *row;

        if (!names)
                return -ENOMEM;
        json_object_foreach((json_t *)by_path, one, row) {
                if (strncmp(one, path, length) != 0 || one[length] != '/' || strchr(one + length + 1, '/'))
                        continue;
                names[n] = strdup(one + length + 1);
                n += names[n] != NULL;
        }
        names[n] = strdup(LEAF_MAIN); /* there or not */
        n += names[n] != NULL;
        *ret_names = names;
        *ret_count = n;
        return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): bounded by GROUPS_DEPTH_MOST */
static int read_below(Reading *reading, int fd, const char *path, unsigned depth, GroupKind above) {
        char **names = NULL;
        size_t count = 0;
        int r = walk_read_names(fd, &names, &count);

        if (r < 0 && r != -ENOMEM)
                r = names_from_list(reading->by_path, path, &names, &count);
        if (r < 0)
                return r;
        if (count > 0)
                qsort(names, count, sizeof(names[0]), compare);
        for (size_t i = 0; r == 0 && i < count; i++)
                if (depth > GROUPS_DEPTH_MOST || reading->groups->n >= GROUPS_MOST) {
                        reading->groups->is_cut = true;
                        break;
                } else
                        r = read_one(reading, fd, path, names[i], depth, above);
        walk_names_free(names, count);
        return r;
}

static json_t *rows_by_path(const json_t *runs) {
        json_t *by_path = json_object();
        json_t *run;
        size_t i;

        json_array_foreach(runs, i, run) {
                const char *path = field_text(run, "group");

                if (path)
                        (void)json_object_set(by_path, path, run);
        }
        return by_path;
}

int groups_read(const char *path, const json_t *runs, Groups *ret) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(json_decrefp) json_t *by_path = rows_by_path(runs);
        Reading reading = { .groups = ret, .by_path = by_path };
        GroupNode top = { .kind = GROUP_TREE };
        int r;

        *ret = (Groups){ 0 };
        if (fd < 0)
                return -errno;
        top.name = strdup(path);
        if (!top.name || !by_path)
                r = -ENOMEM;
        else {
                node_read(&top, fd);
                r = node_add(ret, top);
        }
        if (r < 0) {
                node_deinit(&top);
                return r;
        }
        r = read_below(&reading, fd, path, 1, GROUP_TREE);
        if (r < 0)
                groups_deinit(ret);
        return r;
}

bool group_private_bytes(const GroupNode *node, uint64_t *ret) {
        const Usage *u = &node->usage;

        if (u->anon_bytes != USAGE_UNKNOWN)
                *ret = u->anon_bytes + (u->shmem_bytes == USAGE_UNKNOWN ? 0 : u->shmem_bytes);
        else if (u->memory_bytes != USAGE_UNKNOWN)
                *ret = u->memory_bytes;
        else
                return node->run && run_private_bytes(node->run, ret);
        return true;
}

bool group_limit_bytes(const GroupNode *node, uint64_t *ret) {
        if (node->memory_limit_bytes == USAGE_UNKNOWN)
                return node->run && field_u64(node->run, "memory_limit_bytes", ret);
        *ret = node->memory_limit_bytes;
        return true;
}
