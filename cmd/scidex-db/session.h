/* One client, one connection to PostgreSQL, one question at a time. May wait: nothing else is done by this program. */
#pragma once

#include "db/remote.h"

typedef struct Session {
        int fd;               /* borrowed; the client */
        const char *conninfo; /* borrowed; NULL: none is configured */
        Remote *remote;       /* owned; NULL before the first question */
} Session;

void session_deinit(Session *session);

/*
 * An operation answers its request by one reply, or by rows and an end; its failures are replies too. remote is
 * connected. What it returns other than 0 ends the session: -errno of the socket, -ENOMEM.
 */
typedef int (*SessionOperation)(Session *session, const json_t *request);

/* Connects if that has not been done. 0; 1: it failed, and the reply says so; -errno. */
int session_connect(Session *session, const char *op);

/* Sends and drops the reply; NULL: -ENOMEM. 0, -errno. */
int session_reply(Session *session, json_t *reply);
/* One row of a list, dropped; what does not fit into a packet is left out and named in `left_out`. 0, -errno. */
int session_row(Session *session, const char *op, json_t *row);
/* An error of our own; detail and hint may be NULL. 0, -errno. */
int session_error(
        Session *session, const char *op, const char *code, const char *message, const char *detail, const char *hint);
/*
 * What the server said: `code` is `denied` where a privilege or a password is missing, `busy` where a lock is held,
 * else `failed`; beside the usual members `sqlstate` and `state` (as of storage.postgres in docs/protocol.md). 0,
 * -errno.
 */
int session_error_of(Session *session, const char *op, const RemoteError *error);
