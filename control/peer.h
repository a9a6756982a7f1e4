/*
 * Who may ask what: the kernel's word about a peer (SO_PEERCRED, SO_PEERGROUPS), and the one table of permissions.
 *
 * Used by the supervisor and the recorder alike, so that a question is judged the same wherever it is asked. No name
 * service: uids, gids and the groups that the peer had when it connected are numbers from the kernel.
 */
#pragma once

#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define PEER_GID_NONE ((gid_t)-1) /* there is no such group. So is gid 0: root's group makes nobody a user */

/* Ordered: who may more is greater. */
typedef enum Role {
        ROLE_NONE,  /* is told what to ask the admin, and nothing else */
        ROLE_USER,  /* launches; sees and ends its own runs */
        ROLE_ADMIN, /* sees and ends all */
        ROLE_MAX,   /* in the table: nobody at all */
} Role;

typedef struct PeerPolicy {
        uid_t owner;            /* the server's own uid: it and root are admins */
        gid_t group;            /* whose members are users; PEER_GID_NONE: nobody is */
        gid_t admin_group;      /* whose members are admins; PEER_GID_NONE */
        const char *group_name; /* borrowed; for the refusal. NULL: a private server, that one can't be let into */
        /*
         * Whether groups count only for who is not in a user namespace that another uid has made: there one user is as
         * many uids as /etc/subuid says, each with the user's groups, and what is bounded per uid would be bounded by
         * nothing. Only root can look.
         */
        bool namespaces_count;
} PeerPolicy;

#define PEER_POLICY_PRIVATE(uid) ((PeerPolicy){ .owner = (uid), .group = PEER_GID_NONE, .admin_group = PEER_GID_NONE })

typedef struct Peer {
        pid_t pid; /* SO_PEERCRED: of the process that connected */
        uid_t uid;
        gid_t gid;
        int pidfd; /* owned by the client; opened at the first client_peer_pidfd(), -EBADF before */
        Role role;
} Peer;

/* What the kernel says about the other end of a connected Unix socket. 0, -errno. */
int peer_read(int fd, const PeerPolicy *policy, Peer *ret);
/* The same from what is known already: pure. groups are the supplementary ones. */
Role peer_role(const PeerPolicy *policy, uid_t uid, gid_t gid, const gid_t *groups, size_t n_groups);

/* Whether there is such an operation at all (of either socket). */
bool peer_knows(const char *op);
/* Whether a peer of this role may ask for op at all; with whose == PEER_OTHERS, for what is another user's. */
typedef enum Whose {
        PEER_OWN,
        PEER_OTHERS,
} Whose;
bool peer_may(const char *op, Role role, Whose whose);
/* Whether a process inside of a run may ask for it: a run doesn't set its own limits, and ends no other. */
bool peer_may_inside(const char *op);

/* The reply for a peer of ROLE_NONE (code `denied`): which group it would have to be in, and whom to ask. NULL on OOM.
 */
json_t *peer_refusal(const char *op, const PeerPolicy *policy, uid_t uid);
