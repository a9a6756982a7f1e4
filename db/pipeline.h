/*
 * A connection in libpq's pipeline mode, on the loop. Never waits: what the socket does not take stays in libpq's
 * buffer, what does not come within PIPELINE_TIMEOUT_USEC ends the connection.
 *
 * Statements are sent in groups; a group ends with a sync and has one reply. When a statement fails the rest of its
 * group is skipped by the server.
 */
#pragma once

#include "base/clock.h"
#include "db/postgres.h"
#include <systemd/sd-event.h>

#define PIPELINE_TIMEOUT_USEC (60 * USEC_PER_SEC)

typedef struct Pipeline Pipeline;

typedef struct PipelineReply {
        const PostgresTrouble *trouble; /* the first failure of the group; NULL if there was none */
        const PGresult *rows;           /* of the last statement that gave rows; may be NULL */
        bool committed;                 /* COMMIT was one of them, and did */
} PipelineReply;

/* Everything borrowed. The pipeline may be freed within. */
typedef void (*PipelineReplyFunc)(const PipelineReply *reply, void *userdata);
/* The connection has ended; no reply will come. To be freed, also within. */
typedef void (*PipelineLostFunc)(const PostgresTrouble *trouble, void *userdata);

/* Takes the connection over, also on failure. 0 or -errno. */
int pipeline_new(
        sd_event *event, PGconn *connection, int64_t priority, PipelineLostFunc lost, void *userdata, Pipeline **ret);
void pipeline_free(Pipeline *pipeline);
DEFINE_CLEANUP(Pipeline *, pipeline_free);

/* Parameters of a statement; formats are all binary or all text. */
typedef struct PipelineParameters {
        int n;
        const Oid *types; /* NULL: the server infers */
        const char *const *values;
        const int *lengths; /* of binary values */
        bool binary;
} PipelineParameters;

/* Each is the next statement of the group. 0, or -ENOTCONN: lost, and the caller is to free it. */
int pipeline_prepare(Pipeline *pipeline, const char *name, const char *sql, int n, const Oid *types);
int pipeline_execute(Pipeline *pipeline, const char *name, const PipelineParameters *parameters);
/* parameters may be NULL. */
int pipeline_query(Pipeline *pipeline, const char *sql, const PipelineParameters *parameters);
/* Ends the group. 0, -ENOTCONN, -ENOMEM. */
int pipeline_sync(Pipeline *pipeline, PipelineReplyFunc func, void *userdata);

const PGconn *pipeline_connection(const Pipeline *pipeline);
