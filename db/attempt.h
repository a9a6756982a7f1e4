/* One attempt to connect, in a thread of its own: name resolution and authentication can't be asked not to block. */
#pragma once

#include "db/postgres.h"
#include <stdbool.h>
#include <systemd/sd-event.h>

typedef struct Attempt Attempt;

/*
 * r is that of postgres_connect(); connection (owned by the callee) is NULL unless it is 0. trouble is borrowed. The
 * attempt may be freed within.
 */
typedef void (*AttemptFunc)(int r, PGconn *connection, const PostgresTrouble *trouble, void *userdata);

/* Copies the options. 0 or -errno. */
int attempt_new(sd_event *event, const PostgresOptions *options, AttemptFunc func, void *userdata, Attempt **ret);
/* Returns at once; a thread that still waits for a resolver cleans up after itself. */
void attempt_free(Attempt *attempt);
DEFINE_CLEANUP(Attempt *, attempt_free);
/* Whether such a thread is still at work: then a process must not run its exit handlers (TLS's) under it. */
bool attempt_is_running(void);
