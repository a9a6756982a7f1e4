/*
 * The supervisor's link to its recorder: what is to be written, kept until it is acknowledged.
 *
 * The recorder is a child process on a socketpair; it may hang, fail or be killed, and nothing here ever waits for it.
 * What was not acknowledged is sent again to the next one; every row has a key, so twice is once.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "control/peer.h"
#include "supervise/http-words.h"
#include <stdbool.h>
#include <systemd/sd-event.h>

#define RECORDER_WAITING_MAX_BYTES (UINT64_C(64) << 20) /* a quarter of the supervisor's MemoryMax */

typedef struct Recorder Recorder;

#define RECORDER_USER "scidex" /* who keeps the record of the system's supervisor */

/* What it shows over HTTP. Without fds nothing. */
typedef struct RecorderHttp {
        int fds[HTTP_SOCKETS_MAX]; /* borrowed, until others are set; listening, at least HTTP_SOCKETS_LOW */
        size_t n_fds;
        unsigned generation; /* another one where a number stands for another socket than before */
        const char *hosts;   /* as [http] hosts has them; NULL: none */
        bool hides_analysis_ids;
} RecorderHttp;

typedef struct RecorderOptions {
        const char *program;   /* path of scidex-recorder */
        const char *directory; /* where the spool lies */
        const char *history;   /* how much is kept, as scidex-recorder's --history takes it; NULL: as it likes */
        const char *postgres;  /* connection string of the database that the record is sent to; NULL: none */
        bool becomes_user;     /* as whom it runs; else as we do */
        uid_t uid;
        gid_t gid;
        PeerPolicy policy; /* whose groups may read the record */
        int listen_fd;     /* of the record socket, owned from here on; -EBADF: none */
        RecorderHttp http;
        /* An `event` or `run` row is committed. id: event_id or run_id. */
        void (*recorded)(const char *op, const char *id, void *userdata);
        /* The recorder died, could not be started, or is there again; storage trouble too. For one line in the log. */
        void (*state_changed)(const char *what, bool bad, void *userdata);
        /* There is a new one, which knows nothing yet but the record: what it is to be told with recorder_tell(). */
        void (*linked)(void *userdata);
        /* It asks for something (`watch`, `look`); packet is borrowed. */
        void (*asked)(const char *op, const json_t *packet, void *userdata);
        void *userdata;
} RecorderOptions;

/* A user of this name in a file like /etc/passwd: no name service is asked. 0, -ENOENT, -errno. */
int recorder_find_user(const char *passwd, const char *name, uid_t *ret_uid, gid_t *ret_gid);

/* Starts the child. A child that can't be started is tried again, not an error. 0 or -errno. */
int recorder_new(sd_event *event, const RecorderOptions *options, Recorder **ret);
/* Closes the link: the child flushes and exits by itself. */
void recorder_free(Recorder *recorder);
DEFINE_CLEANUP(Recorder *, recorder_free);

/* The groups have changed: the child is ended, and the next one goes by the new ones. */
void recorder_set_policy(Recorder *recorder, const PeerPolicy *policy);
/* The same for another database; NULL: none. 0, -ENOMEM (the one from before holds). */
int recorder_set_postgres(Recorder *recorder, const char *postgres);

/* The same for what it shows; the fds from before are no longer used when this returns. 0, -ENOMEM (nothing is shown).
 */
int recorder_set_http(Recorder *recorder, const RecorderHttp *http);

/*
 * Tells it something that need not arrive (for its live mirror): not kept, not acknowledged, left out while it is
 * behind in reading. The packet's reference is taken over, NULL does nothing. 0, -ENOTCONN, -ENOBUFS (left out),
 * -errno.
 */
int recorder_tell(Recorder *recorder, json_t *packet);

/* Queues {"op":op, member: object}, or the members of object themselves where member is NULL; object's reference is
 * taken over. id as for recorded(). 0, -ENOBUFS (dropped, counted), -ENOMEM. */
int recorder_send(Recorder *recorder, const char *op, const char *member, json_t *object, const char *id);

/* Rows not yet acknowledged; and those dropped since the start because the bound was reached. */
size_t recorder_waiting(const Recorder *recorder);
uint64_t recorder_dropped(const Recorder *recorder);
/* Its last `storage` report, borrowed; {"state":"away"} when there is none. */
json_t *recorder_storage(const Recorder *recorder);
pid_t recorder_pid(const Recorder *recorder);
/* How many have been started. */
uint64_t recorder_starts(const Recorder *recorder);
