/* What doctor found out, and what it makes of it. The second is pure, so that tests can hold it against machines we
 * don't have. */
#pragma once

#include "base/json.h"
#include "cgroup/host.h"
#include <sys/types.h>

typedef enum Known { KNOWN_NO, KNOWN_YES, KNOWN_NOT } Known; /* KNOWN_NOT: could not be found out */

typedef enum DirectoryState {
        DIRECTORY_OK,
        DIRECTORY_ABSENT,     /* can be made */
        DIRECTORY_IMPOSSIBLE, /* absent, and the one above is not writable */
        DIRECTORY_FOREIGN,    /* of another user, or others may write to it, or no directory */
        DIRECTORY_READ_ONLY,
} DirectoryState;

typedef struct DoctorFacts {
        HostFacts host;                /* owned */
        const char *container;         /* static; kind of container we are in, NULL: none seen */
        const char *tree_given;        /* $SCIDEX_TREE */
        const char *runtime_directory; /* $XDG_RUNTIME_DIR */
        char *tree_controllers; /* owned; cgroup.controllers of the given tree, or of the user's manager; NULL: not
                                   there */
        char *socket_directory; /* owned */
        char *state_directory;  /* owned */
        json_t *status;         /* owned; answer of `status` */
        json_t *storage;        /* owned; answer of `storage` */
        json_t *database;       /* owned; answer of scidex-db's `status`, NULL: no database is configured */
        uint64_t now_usec;      /* realtime */
        uint64_t swap_bytes;
        uint64_t state_free_bytes; /* UINT64_MAX: not known */
        uid_t uid;
        Known swap_accounting;
        DirectoryState socket_directory_state, state_directory_state;
        bool mount_read_only; /* of cgroup2 */
        bool database_unused; /* one is configured, and the supervisor that runs has none */
        bool tree_writable;   /* the given one */
        bool bus;             /* root: the system manager, others: the user's manager takes a connection */
        bool state_on_network;
        bool has_run, has_supervisor, has_recorder, has_full_recorder; /* the programs are found */
} DoctorFacts;

/* A list of {"name","status":"ok"|"warning"|"not ok","why","remedy"}; remedy is null when ok. NULL on OOM. */
json_t *checkup(const DoctorFacts *d);
/* No finding is "not ok". */
bool checkup_is_ok(const json_t *findings);
