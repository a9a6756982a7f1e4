/*
 * The server: libmicrohttpd inside an sd-event loop. Read-only; knows documents by router.h and the stream by stream.h,
 * and nothing else of runs.
 *
 * Everything that a client could use up has an end here: connections, the size and time of a request, the time to read
 * an answer, clients of the stream, and, all together, the processor (base/pace.h).
 */
#pragma once

#include "base/cleanup.h"
#include "base/pace.h"
#include "control/peer.h"
#include "status/board.h"
#include "status/stream.h"
#include <systemd/sd-event.h>

#define HTTP_CONNECTIONS_MAX 512 /* altogether: 8 MiB of buffers */
#define HTTP_LOCAL_RESERVED  64  /* of these, for Unix sockets: whoever floods TCP does not shut admins out */
#define HTTP_OF_UID_MAX      64  /* over Unix sockets, of one who is no admin: nor shuts one user the others out */
#define HTTP_HEADERS_MAX     (16 << 10)               /* bytes of a connection's buffer */
#define HTTP_REQUEST_USEC    (UINT64_C(10) * 1000000) /* from its first line, or the connection, to its last header */
#define HTTP_IDLE_USEC       (UINT64_C(30) * 1000000) /* between two requests */
#define HTTP_REPLY_USEC      (UINT64_C(60) * 1000000) /* to read a whole answer */
#define HTTP_STALL_USEC      (UINT64_C(20) * 1000000) /* that a client of the stream may take nothing of what is said */
#define HTTP_LOOK_USEC       (UINT64_C(1) * 1000000)  /* that the supervisor may take to show a run */
#define HTTP_WORKS_MAX       8                        /* lists being made at once; others wait */
#define HTTP_BODIES_MAX      (32 << 20)               /* bytes of answers that are kept or being read; then 503 */
#define HTTP_BODIES_LOCAL    (8 << 20)                /* more than these, for Unix sockets */

typedef struct Http Http;

/* All borrowed, for the life of the server. */
typedef struct HttpOptions {
        const Board *board;
        Stream *stream;
        Pace *pace;               /* of all work for people together */
        const PeerPolicy *policy; /* what a peer of a Unix socket may see */
        const char *const *hosts; /* further names that a Host header may have */
        size_t n_hosts;
} HttpOptions;

/* 0, -ENOMEM, -errno. */
int http_new(sd_event *event, const HttpOptions *options, Http **ret);
/* Serves a listening stream socket (borrowed, non-blocking) as well. 0 or -errno. */
int http_listen(Http *http, int fd);
/* Ends every connection. */
void http_free(Http *http);
DEFINE_CLEANUP(Http *, http_free);
