/*
 * What the recorder shows over HTTP: scidex-recorder-full does (face-http.c), scidex-recorder is the same program
 * without libmicrohttpd and can't (face-none.c). main knows the difference by this alone.
 */
#pragma once

#include "base/cleanup.h"
#include "cmd/scidex-recorder/intake.h"
#include "cmd/scidex-recorder/shipping.h"
#include "control/peer.h"
#include "db/spool.h"
#include "status/live.h"
#include <systemd/sd-event.h>

typedef struct Face Face;

/* All borrowed, for the life of the face. */
typedef struct FaceOptions {
        const int *fds; /* listening stream sockets (TCP or Unix), non-blocking; the supervisor has bound them */
        size_t n_fds;
        const char *const *hosts; /* further names that a Host header may have: of a reverse proxy */
        size_t n_hosts;
        bool hides_analysis_ids;  /* over TCP */
        const PeerPolicy *policy; /* whose rows a peer of a Unix socket sees */
        Spool *spool;
        Shipping *shipping; /* may be NULL */
        Intake *intake;     /* may be NULL; intake_settle() before an answer from the record */
        Live *live;
} FaceOptions;

/* Whether this program can show anything; else no live mirror is worth its memory. */
bool face_is_possible(void);
/* Serves from the loop until it is freed. Without sockets 0 and NULL. 0 or -errno. */
int face_new(sd_event *event, const FaceOptions *options, Face **ret);
void face_free(Face *face);
DEFINE_CLEANUP(Face *, face_free);
