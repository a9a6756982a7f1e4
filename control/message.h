/*
 * Packets: one JSON object each, with fds and the sender's credentials. docs/protocol.md is their meaning.
 *
 * Used by launcher, scidexctl, supervisor and recorder alike; knows no event loop.
 */
#pragma once

#include "base/json.h"
#include <stddef.h>
#include <sys/types.h>

#define MESSAGE_VERSION        1
#define MESSAGE_MAX_BYTES      65536 /* a seqpacket socket queues only a few of these: lists are one packet a row */
#define MESSAGE_MAX_FDS        4     /* more in one packet are closed unread */
#define MESSAGE_ENVELOPE_BYTES 512   /* what is around a row in its packet */

enum {
        _MESSAGE_E_SUCCESS,
        MESSAGE_E_CLOSED = 1, /* the peer hung up */
        MESSAGE_E_BAD,        /* not one JSON object, or longer than MESSAGE_MAX_BYTES: end the connection */
};

typedef struct Message {
        json_t *body;             /* owned; an object */
        int fds[MESSAGE_MAX_FDS]; /* owned; close-on-exec */
        size_t n_fds;
        pid_t pid; /* SCM_CREDENTIALS, 0 when SO_PASSCRED is off */
        uid_t uid;
} Message;

#define MESSAGE_NONE ((Message){ .n_fds = 0 })

/* sendmsg(2), MSG_NOSIGNAL; blocks if the socket does. 0, -EAGAIN, -EPIPE, -EMSGSIZE (nothing was sent), -errno. */
int message_send(int fd, const json_t *body, const int *fds, size_t n_fds);
/* The same of a body that is text already: one JSON object, compact. */
int message_send_text(int fd, const char *text, const int *fds, size_t n_fds);
/*
 * recvmsg(2). 0, MESSAGE_E_*, -EAGAIN, -errno. Nothing to free unless 0. -ENOMEM: nothing was taken, try again;
 * -ENOBUFS: the packet was lost for want of memory.
 */
int message_receive(int fd, Message *ret);
/*
 * The same without room for fds: the kernel drops what was passed, unopened and without asking the file system behind
 * it (the close of a FUSE file would wait for that, and with it a server). Of no fd is ever heard.
 */
int message_receive_without_fds(int fd, Message *ret);
void message_deinit(Message *message);
/* Takes fd i out of the message (the caller owns it), -EBADF if there is none. */
int message_take_fd(Message *message, size_t i);

/* Drops the longest members (null, named in `left_out`) until row fits into max_bytes. 0, -EMSGSIZE, -ENOMEM. */
int message_fit(json_t *row, size_t max_bytes);

/* {"v":1,"re":op,"ok":true}; the caller adds members. NULL on OOM. */
json_t *message_reply(const char *op);
/* {"v":1,"re":op,"ok":false,"error":{…}}; detail and hint may be NULL. NULL on OOM. */
json_t *message_error(const char *op, const char *code, const char *message, const char *detail, const char *hint);
/* {"v":1,"op":op}. NULL on OOM. */
json_t *message_request(const char *op);
