/* Finds a supervisor to talk to, or starts a private one. */
#pragma once

#include <stdbool.h>

typedef struct Connection {
        int fd;          /* owned */
        char *path;      /* owned; of the control socket */
        bool is_private; /* a private one, which the launcher may start again */
} Connection;

#define CONNECTION_NONE ((Connection){ .fd = -1 })

/* 0; -errno, said on stderr. */
int connection_open(bool private_only, Connection *ret);
/*
 * One try to reach the supervisor again, without waiting: connects; where nobody listens and it is a private one,
 * starts it (at most every 2 s). 0: connected; -EAGAIN: try again.
 */
int connection_reopen(Connection *connection);
void connection_deinit(Connection *connection);
