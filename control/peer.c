/*
 * Roles and permissions.
 *
 * Called by the server for each connection and by the handlers for each request.  The hard thing is to trust nothing
 * that a name service or the peer itself could say: the groups are those that the kernel noted when the peer
 * connected (a shell that was open before `usermod -aG` is not a member yet, exactly as for files).  So that nobody
 * has to look for a check, all of them are this one table.
 */
#include "control/peer.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "control/message.h"
#include <fcntl.h>
#include <linux/nsfs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define NAMESPACES_MAX 33    /* the kernel nests them 32 deep */
#define GROUPS_USUAL   64    /* more are asked for again with room for them */
#define GROUPS_MAX     65536 /* NGROUPS_MAX of the kernel */

static const struct {
        const char *op;
        Role own, others;
        bool inside;
} permissions[] = {
        /* people */
        { "status", ROLE_USER, ROLE_USER, true }, /* counts only: there is nothing of anybody's in it */
        { "list", ROLE_USER, ROLE_ADMIN, true },
        { "show", ROLE_USER, ROLE_ADMIN, true },
        { "wait", ROLE_USER, ROLE_ADMIN, true },
        { "kill", ROLE_USER, ROLE_ADMIN, false },
        { "set", ROLE_USER, ROLE_ADMIN, false },
        { "register", ROLE_USER, ROLE_ADMIN, false },
        { "unregister", ROLE_USER, ROLE_ADMIN, false },
        { "drain", ROLE_ADMIN, ROLE_ADMIN, false },
        { "once", ROLE_ADMIN, ROLE_ADMIN, false },
        /* launchers: of their own run, whoever they are */
        { "launch", ROLE_USER, ROLE_MAX, true },
        { "started", ROLE_USER, ROLE_MAX, true },
        { "move", ROLE_USER, ROLE_MAX, true },
        { "exited", ROLE_USER, ROLE_MAX, true },
        { "cancel", ROLE_USER, ROLE_MAX, true },
        { "attach", ROLE_USER, ROLE_MAX, true },
        /* the record */
        { "history", ROLE_USER, ROLE_ADMIN, true },
        { "events", ROLE_USER, ROLE_ADMIN, true },
        { "why", ROLE_USER, ROLE_ADMIN, true },
        { "kills", ROLE_USER, ROLE_ADMIN, true },
        { "storage", ROLE_USER, ROLE_USER, true },
        { "dead", ROLE_ADMIN, ROLE_ADMIN, true },
        { "retry", ROLE_ADMIN, ROLE_ADMIN, true },
};

static size_t find(const char *op) {
        size_t i = 0;

        while (i < ELEMENTSOF(permissions) && strcmp(permissions[i].op, op) != 0)
                i++;
        return i;
}

bool peer_knows(const char *op) {
        return find(op) < ELEMENTSOF(permissions);
}

bool peer_may(const char *op, Role role, Whose whose) {
        size_t i = find(op);

        if (i == ELEMENTSOF(permissions))
                return false;
        return role >= (whose == PEER_OWN ? permissions[i].own : permissions[i].others);
}

bool peer_may_inside(const char *op) {
        size_t i = find(op);

        return i < ELEMENTSOF(permissions) && permissions[i].inside;
}

static bool is_member(gid_t wanted, gid_t gid, const gid_t *groups, size_t n_groups) {
        if (wanted == PEER_GID_NONE || wanted == 0)
                return false;
        if (gid == wanted)
                return true;
        for (size_t i = 0; i < n_groups; i++)
                if (groups[i] == wanted)
                        return true;
        return false;
}

Role peer_role(const PeerPolicy *policy, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups) {
        if (uid == 0 || uid == policy->owner || is_member(policy->admin_group, gid, groups, n_groups))
                return ROLE_ADMIN;
        return is_member(policy->group, gid, groups, n_groups) ? ROLE_USER : ROLE_NONE;
}

/* 0 and the role; a socketpair has groups too. */
static int read_role(int fd, const PeerPolicy *policy, Peer *peer) {
        gid_t usual[GROUPS_USUAL];
        _cleanup_(freep) gid_t *many = NULL;
        gid_t *groups = usual;
        socklen_t size = sizeof(usual);
        int r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, usual, &size) < 0 ? -errno : 0;

        if (r == -ERANGE && size <= GROUPS_MAX * sizeof(gid_t)) {
                many = malloc(size);
                if (!many)
                        return -ENOMEM;
                groups = many;
                r = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &size) < 0 ? -errno : 0;
        }
        if (r < 0)
                size = 0; /* none noted (ENODATA), or none that we can read: who is not known to be a member is not */
        peer->role = peer_role(policy, peer->uid, peer->gid, groups, size / sizeof(gid_t));
        return 0;
}

static bool is_same_file(int a, int b) {
        struct stat first, second;

        return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
                first.st_ino == second.st_ino;
}

/* Whether the process lives in our user namespace, or in one that, up to ours, its own uid has made. */
static bool is_itself(const Peer *peer) {
        _cleanup_(close_fdp) int ours = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC), theirs = -EBADF;
        _cleanup_(freep) char *path = text_printf("/proc/%d/ns/user", (int)peer->pid);

        theirs = path ? open(path, O_RDONLY | O_CLOEXEC) : -EBADF;
        for (unsigned depth = 0; ours >= 0 && theirs >= 0 && depth < NAMESPACES_MAX; depth++) {
                uid_t owner;
                int parent;

                if (is_same_file(ours, theirs))
                        return true;
                if (ioctl(theirs, NS_GET_OWNER_UID, &owner) < 0 || owner != peer->uid)
                        return false;
                parent = ioctl(theirs, NS_GET_PARENT);
                (void)close_fd(theirs);
                theirs = parent;
        }
        return false;
}

int peer_read(int fd, const PeerPolicy *policy, Peer *ret) {
        struct ucred who;
        socklen_t size = sizeof(who);
        Peer peer;
        int r;

        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
                return -errno;
        peer = (Peer){ .pid = who.pid, .uid = who.uid, .gid = who.gid, .pidfd = -EBADF };
        r = read_role(fd, policy, &peer);
        if (r < 0)
                return r;
        if (policy->namespaces_count && peer.role != ROLE_NONE && peer.uid != 0 && peer.uid != policy->owner &&
                !is_itself(&peer))
                peer.role = ROLE_NONE;
        *ret = peer;
        return 0;
}

json_t *peer_refusal(const char *op, const PeerPolicy *policy, uid_t uid) {
        _cleanup_(freep) char *message = NULL, *hint = NULL;

        if (policy->group_name) {
                message = text_printf("uid %u is not a member of group %s", (unsigned)uid, policy->group_name);
                hint = text_printf(
                        "Ask the admin: usermod -aG %s USER. It holds from the next login on.", policy->group_name);
        } else {
                message = text_printf("this supervisor serves uid %u only", (unsigned)policy->owner);
                hint = text_printf("Start your own: scidex-run --private.");
        }
        return message && hint ? message_error(op, "denied", message, NULL, hint) : NULL;
}
