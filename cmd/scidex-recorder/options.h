/* What scidex-recorder was started with. */
#pragma once

#include "base/cleanup.h"
#include "control/peer.h"
#include <stdint.h>

#define OPTIONS_ID_NONE      UINT32_MAX
#define OPTIONS_HTTP_FDS_MAX 16 /* sockets that one configuration can name: HTTP_SOCKETS_MAX */
#define OPTIONS_HOSTS_MAX    32 /* HTTP_HOSTS_MAX */

typedef struct Options {
        const char *directory, *history;         /* history NULL: as the environment says */
        int supervisor_fd, listen_fd, client_fd; /* -EBADF: not given */
        int http_fds[OPTIONS_HTTP_FDS_MAX];      /* listening stream sockets of the face */
        size_t n_http_fds;
        const char *hosts[OPTIONS_HOSTS_MAX]; /* further names that a Host header may have */
        size_t n_hosts;
        bool hides_analysis_ids;
        uint32_t uid, gid; /* OPTIONS_ID_NONE: stay who we are */
        PeerPolicy policy; /* who may read; without a group, ourselves and root */
        bool read, done;
} Options;

/* 0; EX_USAGE, which the log says why of. `done`: help or version is printed. Texts are borrowed from argv. */
int options_parse(int argc, char *argv[], Options *ret);
