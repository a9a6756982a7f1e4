/*
 * Finds or makes the directory that holds all groups; the supervisor calls it once at start-up.
 *
 * Which way depends on who gives out cgroups here: the caller of this program ($SCIDEX_TREE), systemd (tree-scope.c),
 * or, as root without systemd, nobody. The rule of cgroup2 behind most of it: a group with processes cannot hand
 * controllers to its children, so whoever stands in the tree's directory moves to the leaf `supervisor` first. Only the
 * own process, or what lives in our own scope, is ever moved; foreign processes in a container's root are reported with
 * the remedy.
 *
 * A host where no tree can be had is no error: runs are then known by descent, and the record and stderr say why.
 */
#include "cgroup/tree.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/group-internal.h"
#include "cgroup/tree-internal.h"
#include "cgroup/walk.h"
#include <assert.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Where root without systemd puts it. */
#define TREE_MOUNT_NAME      "scidex"
#define CONTROLLERS_TEXT_MAX 4096
/* Another supervisor that ends can remove the directory between our open and our flock; it does so once. */
#define LOCK_TRIES 5

int tree_error_set(TreeError *error, int r, const char *hint, const char *detail, ...) {
        va_list arguments;

        tree_error_deinit(error);
        error->hint = hint ? strdup(hint) : NULL;
        va_start(arguments, detail);
        if (vasprintf(&error->detail, detail, arguments) < 0)
                error->detail = NULL;
        va_end(arguments);
        return r;
}

void tree_error_deinit(TreeError *error) {
        free(error->detail);
        free(error->hint);
        *error = (TreeError){};
}

int tree_set_path(Tree *tree, const HostFacts *host, const char *below) {
        bool all = !host->mount_root || strcmp(host->mount_root, "/") == 0;

        tree->path = text_printf("%s%s", host->mount, below);
        tree->cgroup = text_printf("%s%s", all ? "" : host->mount_root, below);
        return tree->path && tree->cgroup ? 0 : -ENOMEM;
}

static bool is_cgroup2(int fd) {
        struct statfs fs;

        return fstatfs(fd, &fs) >= 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

int tree_lock(Tree *tree, TreeError *error) {
        _cleanup_(close_fdp) int fd = open(tree->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        if (!is_cgroup2(fd))
                return tree_error_set(error, -EINVAL, "Name a directory below the cgroup2 mount.",
                        "%s is no cgroup2 directory", tree->path);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK
                        ? tree_error_set(error, -EBUSY, "Talk to it with scidexctl, or stop it first.",
                                  "another supervisor holds %s", tree->path)
                        : -errno;
        if (faccessat(fd, "cgroup.procs", F_OK, 0) < 0)
                return -ENOENT;
        tree->fd = TAKE_FD(fd);
        return 0;
}

static void note_controllers(Tree *tree) {
        _cleanup_(freep) char *text = NULL;

        if (file_read_at(tree->fd, "cgroup.subtree_control", CONTROLLERS_TEXT_MAX, &text, NULL) < 0)
                return;
        tree->memory = text_has_word(text, "memory");
        tree->pids = text_has_word(text, "pids");
        tree->cpu = text_has_word(text, "cpu");
}

static void enable_at(int fd, const char *path, TreeError *error) {
        int r = group_enable_controllers(fd);

        if (r == -EBUSY)
                tree_error_set(error, r,
                        "Move them to a group of their own first (in a container: mkdir a directory beside, write "
                        "their pids "
                        "to its cgroup.procs), then start again.",
                        "%s/cgroup.subtree_control refuses: processes stand in that group itself", path);
        else if (r < 0)
                tree_error_set(error, r, "Have that directory delegated: chown it and its cgroup.subtree_control.",
                        "%s/cgroup.subtree_control refuses: %s", path, strerrordesc_np(-r));
}

void tree_enable(Tree *tree, TreeError *error) {
        enable_at(tree->fd, tree->path, error);
        note_controllers(tree);
}

/* Hands what is missing from the directory above to the tree. */
static void enable_above(const char *path, TreeError *error) {
        _cleanup_(close_fdp) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd >= 0)
                enable_at(fd, path, error);
}

/* When we stand in the tree's directory ourselves; others there are not ours to move. */
static int step_aside(const Tree *tree, const HostFacts *host, TreeError *error) {
        _cleanup_(group_deinit) Group leaf = GROUP_NONE;
        int r;

        if (!host->own_cgroup || strcmp(tree->path + strlen(host->mount), host->own_cgroup) != 0)
                return 0;
        r = group_create(tree->fd, TREE_LEAF, &leaf);
        if (r == -EEXIST)
                r = group_open(tree->fd, TREE_LEAF, &leaf);
        if (r == 0)
                r = group_attach(&leaf, 0);
        if (r == 0)
                return 0;
        r = r > 0 ? -ENOENT : r;
        return tree_error_set(error, r, "Start the supervisor outside of it, or have it delegated whole.",
                "cannot move out of %s into %s/" TREE_LEAF ": %s", tree->path, tree->path, strerrordesc_np(-r));
}

static int make_once(Tree *tree, TreeError *error) {
        if (mkdir(tree->path, 0755) >= 0)
                tree->made = true;
        else if (errno != EEXIST)
                return -errno;
        return tree_lock(tree, error);
}

/* Makes the directory if need be, and locks it. */
static int make_and_lock(Tree *tree, TreeError *error) {
        int r = -ENOENT;

        for (unsigned i = 0; i < LOCK_TRIES && r == -ENOENT; i++)
                r = make_once(tree, error);
        if (r < 0 && !error->detail)
                tree_error_set(error, r, "Have the directory made and delegated to this user (chown).", "%s: %s",
                        tree->path, strerrordesc_np(-r));
        return r;
}

/* The text below the mount point, or NULL with the reason set. */
static const char *given_below(const HostFacts *host, const char *given, TreeError *error) {
        size_t length = host->mount ? strlen(host->mount) : 0;

        if (!host->mount)
                tree_error_set(error, 0, "Mount it: mount -t cgroup2 none /sys/fs/cgroup.",
                        "$SCIDEX_TREE is set, but cgroup2 is not mounted");
        else if (strncmp(given, host->mount, length) != 0 || given[length] != '/' || !given[length + 1] ||
                strstr(given, "/.."))
                tree_error_set(error, 0, "Name an absolute directory below the mount, without \"..\".",
                        "$SCIDEX_TREE (%s) is not below the cgroup2 mount %s", given, host->mount);
        else
                return given + length;
        return NULL;
}

static int open_given(const HostFacts *host, const char *given, Tree *tree, TreeError *error) {
        const char *below = given_below(host, given, error);
        int r;

        if (!below)
                return -EINVAL;
        tree->kind = TREE_GIVEN;
        r = tree_set_path(tree, host, below);
        if (r == 0)
                r = make_and_lock(tree, error);
        if (r == 0)
                r = step_aside(tree, host, error);
        if (r == 0)
                tree_enable(tree, error);
        return r;
}

static int open_mount(const HostFacts *host, Tree *tree, TreeError *error) {
        int r;

        if (!host->mount_writable)
                return tree_error_set(error, 0,
                        "Give the container a writable cgroup namespace (private cgroupns, rw mount), or set "
                        "SCIDEX_TREE.",
                        "%s is mounted read-only", host->mount);
        tree->kind = TREE_MOUNT;
        r = tree_set_path(tree, host, "/" TREE_MOUNT_NAME);
        if (r < 0)
                return r;
        enable_above(host->mount, error);
        r = make_and_lock(tree, error);
        if (r == 0)
                r = step_aside(tree, host, error);
        if (r == 0)
                tree_enable(tree, error);
        return r;
}

static int open_somehow(const HostFacts *host, const char *scope_name, Tree *tree, TreeError *error) {
        const char *given = getenv("SCIDEX_TREE");

        if (given && *given)
                return open_given(host, given, tree, error);
        if (host->kind == HOST_NO_CGROUP2)
                return tree_error_set(
                        error, 0, "Mount it: mount -t cgroup2 none /sys/fs/cgroup.", "cgroup2 is not mounted");
        if (host->systemd)
                return tree_open_scope(host, scope_name, tree, error);
        if (geteuid() == 0)
                return open_mount(host, tree, error);
        return tree_error_set(error, 0, "Set SCIDEX_TREE to a cgroup2 directory that this user owns.",
                "no systemd here to delegate a cgroup, and not root");
}

int tree_open(const HostFacts *host, const char *scope_name, Tree *ret, TreeError *ret_error) {
        _cleanup_(tree_deinit) Tree tree = TREE_EMPTY;
        int r;

        *ret_error = (TreeError){};
        *ret = TREE_EMPTY;
        r = open_somehow(host, scope_name, &tree, ret_error);
        if (r < 0)
                return r;
        *ret = tree;
        tree = TREE_EMPTY;
        return 0;
}

void tree_deinit(Tree *tree) {
        tree_scope_disconnect(tree);
        free(tree->path);
        free(tree->cgroup);
        free(tree->unit);
        close_fd(tree->fd);
        *tree = TREE_EMPTY;
}

/* One that was there before us belongs to whoever gave it. */
void tree_remove_if_empty(Tree *tree) {
        if (tree->made || tree->kind == TREE_MOUNT)
                (void)rmdir(tree->path);
}

/* systemd's own sub-cgroups of a delegated unit begin with a dot (".control"). */
bool tree_is_leaf(const char *name) {
        return name[0] == '.' || strcmp(name, TREE_LEAF) == 0 || strcmp(name, TREE_KEEPER_LEAF) == 0;
}

int tree_each_group(int parent_fd, TreeGroupFunc func, void *userdata) {
        char **names = NULL;
        size_t count = 0;
        int r = walk_read_names(parent_fd, &names, &count);

        for (size_t i = 0; r == 0 && i < count; i++)
                if (!tree_is_leaf(names[i]))
                        r = func(parent_fd, names[i], userdata);
        walk_names_free(names, count);
        return r;
}
