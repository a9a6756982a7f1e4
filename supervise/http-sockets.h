/*
 * The sockets of the status over HTTP: bound here, served by the recorder.
 *
 * They are the supervisor's, so that clients wait in the backlog while a recorder is replaced. A place that can't be
 * had (a port that is taken) is no reason not to supervise: it is tried again, and said.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "supervise/http-words.h"
#include <sys/types.h>

typedef struct HttpSocket {
        char *listen;  /* owned; "127.0.0.1:8787", "[::1]:8787" or an absolute path, as it was written */
        int fd;        /* owned; -EBADF: it could not be had */
        int error;     /* why not, as errno; 0: it stands */
        bool is_new;   /* the error is another one than before, or it stands since the last look */
        bool is_bound; /* by us, not by the service manager: a file is to be unlinked at the end */
} HttpSocket;

typedef struct HttpSockets {
        HttpSocket list[HTTP_SOCKETS_MAX];
        size_t n;
        unsigned generation; /* another one with each change of what stands: a number may come again for another socket
                              */
        bool is_handed;      /* the service manager has bound them: what the configuration names does not count */
} HttpSockets;

/* One that the service manager has bound; owned from here on. 0, -ENOSPC, -errno. */
int http_sockets_take(HttpSockets *sockets, int fd);
/*
 * Those of listen (blanks between them; NULL: none): what stood there stays as it is, what is no longer named is
 * closed, what is new is bound. group: of those of the file system. 1: another set stands than before; 0; -ENOMEM.
 */
int http_sockets_set(HttpSockets *sockets, const char *listen, gid_t group);
/* Tries those again that could not be had. 1: another set stands than before; 0. */
int http_sockets_retry(HttpSockets *sockets, gid_t group);
/* Whether some of them could not be had. */
bool http_sockets_lack(const HttpSockets *sockets);
/* The fds that stand, borrowed; list has HTTP_SOCKETS_MAX. Their number. */
size_t http_sockets_fds(const HttpSockets *sockets, int *list);
/* The list `http` of docs/protocol.md. NULL on OOM. */
json_t *http_sockets_to_json(const HttpSockets *sockets);
/* Unlinks the files that are ours: before they are closed for good. */
void http_sockets_unlink(const HttpSockets *sockets);
void http_sockets_deinit(HttpSockets *sockets);
