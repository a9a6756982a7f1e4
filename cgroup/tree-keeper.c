/*
 * The tree in a unit of systemd's that is kept by somebody else (units/scidex-keeper.service.in).
 *
 * Called by a supervisor that is itself a service. Its runs can't lie in its own unit: systemd could not start it again
 * while one of them lives. So another unit, whose only process sleeps in the leaf `keeper`, has the delegated cgroup,
 * and this asks the manager where that is. Nothing is moved here, and nothing is made.
 */
#include "base/cleanup.h"
#include "cgroup/scope.h"
#include "cgroup/tree-internal.h"
#include <string.h>

static int keeper_missing(TreeError *error, int r, const char *unit, const char *why) {
        const char *hint = geteuid() == 0
                ? "Start it: systemctl start scidex-keeper.service; `systemctl status` says why it is not up."
                : "Start it: systemctl --user start scidex-keeper.service; `systemctl --user status` says why not.";

        return tree_error_set(error, r, hint, "the keeper unit %s has no cgroup: %s", unit, why);
}

int tree_open_keeper(const HostFacts *host, const char *unit, Tree *ret, TreeError *ret_error) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(tree_deinit) Tree tree = TREE_EMPTY;
        _cleanup_(freep) char *cgroup = NULL;
        int r;

        *ret_error = (TreeError){};
        *ret = TREE_EMPTY;
        if (host->kind == HOST_NO_CGROUP2)
                return tree_error_set(
                        ret_error, -ENOENT, "Boot with systemd.unified_cgroup_hierarchy=1.", "cgroup2 is not mounted");
        r = scope_connect_manager(geteuid() != 0, &bus);
        if (r < 0)
                return keeper_missing(ret_error, r, unit, "its manager can't be reached");
        r = scope_cgroup(bus, unit, &cgroup);
        if (r < 0)
                return keeper_missing(ret_error, r, unit, r == -ENOENT ? "it is not running" : strerrordesc_np(-r));
        tree.kind = TREE_KEEPER;
        tree.unit = strdup(unit);
        r = tree.unit ? tree_set_path(&tree, host, cgroup) : -ENOMEM;
        if (r == 0)
                r = tree_lock(&tree, ret_error);
        if (r < 0)
                return ret_error->detail ? r : keeper_missing(ret_error, r, unit, strerrordesc_np(-r));
        tree_enable(&tree, ret_error);
        *ret = tree;
        tree = TREE_EMPTY;
        return 0;
}
