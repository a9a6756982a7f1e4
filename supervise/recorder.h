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
#include <stdbool.h>
#include <systemd/sd-event.h>

#define RECORDER_WAITING_MAX_BYTES (UINT64_C(64) << 20) /* a quarter of the supervisor's MemoryMax */

typedef struct Recorder Recorder;

#define RECORDER_USER "scidex" /* who keeps the record of the system's supervisor */

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
        /* An `event` or `run` row is committed. id: event_id or run_id. */
        void (*recorded)(const char *op, const char *id, void *userdata);
        /* The recorder died, could not be started, or is there again; storage trouble too. For one line in the log. */
        void (*state_changed)(const char *what, bool bad, void *userdata);
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

/* Queues {"op":op, member: object}, or the members of object themselves where member is NULL; object's reference is
 * taken over. id as for recorded(). 0, -ENOBUFS (dropped, counted), -ENOMEM. */
int recorder_send(Recorder *recorder, const char *op, const char *member, json_t *object, const char *id);

/* Rows not yet acknowledged; and those dropped since the start because the bound was reached. */
size_t recorder_waiting(const Recorder *recorder);
uint64_t recorder_dropped(const Recorder *recorder);
/* Its last `storage` report, borrowed; {"state":"away"} when there is none. */
json_t *recorder_storage(const Recorder *recorder);
pid_t recorder_pid(const Recorder *recorder);
