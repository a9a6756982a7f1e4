/*
 * The tree in a scope of systemd's: of the system manager for root, of the user's own manager for others.
 *
 * The scope outlives the supervisor as long as a run is in it, so a restarted one meets its own scope again and adopts
 * it. The flock on the directory, taken before anything in it is changed, tells that case from a supervisor that is
 * alive. Then what stands in the scope's own directory, which is us and whoever lost the race, moves to the leaf, so
 * that controllers can be handed down. systemd removes the scope when its last process is gone.
 */
#include "base/cleanup.h"
#include "cgroup/scope.h"
#include "cgroup/tree-internal.h"
#include <string.h>

/* A scope that has just died keeps its name until the manager has collected it: a few tries, each waits for the bus. */
#define DYING_TRIES     20
#define DYING_WAIT_USEC 100000

static int give_up(Tree *tree, TreeError *error, int r, const char *what, const char *message) {
        const char *hint = geteuid() == 0
                ? "See `journalctl -u init.scope`, or set SCIDEX_TREE to a delegated cgroup."
                : "See `systemctl --user status`, or ask the admin for the system supervisor.";

        tree_deinit(tree);
        if (r == -ENOMEM)
                return r;
        return tree_error_set(error, 0, hint, "%s: %s", what, message ? message : strerrordesc_np(-r));
}

static int no_manager(TreeError *error, int r) {
        if (geteuid() == 0)
                return tree_error_set(error, 0, "Start dbus, or set SCIDEX_TREE to a delegated cgroup.",
                        "the system manager cannot be reached: %s", strerrordesc_np(-r));
        return tree_error_set(error, 0,
                "Log in through PAM, or `loginctl enable-linger USER`, or ask the admin for the system supervisor.",
                "no systemd user manager for uid %u: %s", (unsigned)geteuid(), strerrordesc_np(-r));
}

/* Starts the scope or finds it. *ret_adopted: it was there. */
static int start_or_find(
        sd_bus *bus, const ScopeRequest *request, char **ret_cgroup, bool *ret_adopted, char **inout_message) {
        int r = -ENOENT;

        for (unsigned i = 0; i < DYING_TRIES; i++) {
                r = scope_start(bus, request, inout_message);
                *ret_adopted = r == -EEXIST;
                if (r < 0 && r != -EEXIST)
                        return r;
                r = scope_cgroup(bus, request->name, ret_cgroup);
                if (r == 0 || !*ret_adopted)
                        return r;
                (void)sd_bus_wait(bus, DYING_WAIT_USEC);
        }
        return r;
}

static int fill_leaf(const Tree *tree) {
        const Group top = { .fd = tree->fd };
        _cleanup_(group_deinit) Group leaf = GROUP_NONE;
        int r = group_create(tree->fd, TREE_LEAF, &leaf);

        if (r == -EEXIST)
                r = group_open(tree->fd, TREE_LEAF, &leaf);
        if (r == 0)
                r = group_move_all(&top, &leaf);
        return r > 0 ? -ENOENT : r;
}

/* Takes the flock, then the scope into use. */
static int settle(sd_bus *bus, Tree *tree, bool adopted, TreeError *error, char **inout_message) {
        int r = tree_lock(tree, error);

        if (r == 0 && adopted)
                r = scope_attach(bus, tree->unit, TREE_LEAF, getpid(), inout_message);
        if (r == 0)
                r = fill_leaf(tree);
        if (r == 0)
                tree_enable(tree, error);
        return r;
}

/* A direct connection gets every signal of the manager unasked, and nobody would read them. */
static void keep_bus(Tree *tree, sd_bus **bus) {
        if (sd_bus_is_bus_client(*bus) > 0)
                tree->bus = TAKE_PTR(*bus);
}

int tree_open_scope(const HostFacts *host, const char *scope_name, Tree *tree, TreeError *error) {
        const ScopeRequest request = { scope_name, "scidex: the tree of all runs", geteuid() != 0 };
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(freep) char *cgroup = NULL, *message = NULL;
        bool adopted;
        int r = scope_connect(request.user, &bus);

        if (r < 0)
                return no_manager(error, r);
        r = start_or_find(bus, &request, &cgroup, &adopted, &message);
        if (r < 0)
                return give_up(tree, error, r, "systemd gave no scope", message);
        tree->kind = TREE_SCOPE;
        tree->unit = strdup(scope_name);
        r = tree->unit ? tree_set_path(tree, host, cgroup) : -ENOMEM;
        if (r == 0)
                r = settle(bus, tree, adopted, error, &message);
        if (r == -EBUSY && error->detail)
                return r;
        if (r < 0)
                return give_up(tree, error, r, "the scope cannot be used", message);
        keep_bus(tree, &bus);
        return 0;
}

void tree_scope_disconnect(Tree *tree) {
        tree->bus = sd_bus_flush_close_unref(tree->bus);
}

static bool is_broken(int r) {
        return r == -ENOTCONN || r == -ECONNRESET || r == -EPIPE || r == -ESTALE;
}

int tree_attach(Tree *tree, const char *name, pid_t pid) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r;

        if (tree->kind != TREE_SCOPE && tree->kind != TREE_KEEPER)
                return -EOPNOTSUPP;
        if (tree->bus) {
                r = scope_attach(tree->bus, tree->unit, name, pid, NULL);
                if (!is_broken(r))
                        return r;
                tree_scope_disconnect(tree); /* the manager was restarted */
        }
        r = scope_connect(geteuid() != 0, &bus);
        if (r == 0)
                r = scope_attach(bus, tree->unit, name, pid, NULL);
        if (r == 0)
                keep_bus(tree, &bus);
        return r;
}
