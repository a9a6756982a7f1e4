/* The asking side: find the socket, check who serves it, ask. Used by scidex-run and scidexctl; blocking. */
#pragma once

#include "base/clock.h"
#include "control/message.h"

enum {
        _CLIENT_E_SUCCESS,
        CLIENT_E_NO_SOCKET = 1, /* no such path: nobody has bound it */
        CLIENT_E_REFUSED,       /* the path is there, nobody listens (ECONNREFUSED) */
        CLIENT_E_DENIED,        /* EACCES on the path */
        CLIENT_E_FOREIGN,       /* the server's uid is neither 0 nor ours */
};

#define CLIENT_CONNECT_USEC (20 * USEC_PER_SEC)

/* Connects to one path. 0 and an fd (SEQPACKET, close-on-exec), CLIENT_E_*, -errno (-ENAMETOOLONG; -EAGAIN: the server
 * has not taken those before us, after CLIENT_CONNECT_USEC). */
int client_connect(const char *path, int *ret_fd);
/* The same for who has other things to do: -EAGAIN after a millisecond. */
int client_connect_now(const char *path, int *ret_fd);

/*
 * The candidates in order, as strings: $SCIDEX_SOCKET alone if set; else /run/scidex/control; then the user's.
 * NULL-terminated, caller frees each and the array. -ENOMEM. private_only leaves the system one out.
 */
int client_socket_paths(bool private_only, char ***ret_paths);
/* Where a private supervisor binds: $SCIDEX_SOCKET, else $XDG_RUNTIME_DIR/scidex/control, else /tmp/scidex-UID/control.
 */
int client_private_path(char **ret_path);
/* The record socket that belongs to a control socket's path. */
int client_record_path(const char *control_path, char **ret_path);
/*
 * Where the record (spool.sqlite), a private supervisor's log and handovers lie: the directory of
 * $SCIDEX_STORAGE_SQLITE if that is an absolute path, else $XDG_STATE_HOME/scidex (~/.local/state/scidex); root:
 * /var/lib/scidex.
 */
int client_state_directory(char **ret_path);

void client_paths_freep(char ***paths);

/* One request, one reply. 0 and the reply (also one with ok:false), MESSAGE_E_*, -errno, -ETIMEDOUT after timeout_usec.
 */
int client_ask(int fd, const json_t *request, uint64_t timeout_usec, Message *ret_reply);
/* The next packet, until then (BOOTTIME). As above. */
int client_await(int fd, uint64_t until_usec, Message *ret_reply);
