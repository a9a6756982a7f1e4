/*
 * libpq's pipeline mode behind an sd-event source.
 *
 * Called by the shipping.  Two hard things.  PQgetResult() gives NULL after each statement as well as when there is
 * nothing left, and blocks when asked too early: so groups are counted, it is asked only while one is out, and never
 * while PQisBusy().  And a reply may make its receiver drop the whole connection: so freeing within a callback only
 * marks, and the frame that made the call frees.  The server is not believed: of its rows one is kept at a time,
 * however many come, and a COPY, which PQgetResult() would tell of for ever, ends the connection.
 */
#include "db/pipeline.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define PARAMETERS_MAX    128
#define SEND_BUFFER_BYTES (2 << 20)

typedef struct Group {
        STAILQ_ENTRY(Group) link;
        PipelineReplyFunc func;
        void *userdata;
} Group;

struct Pipeline {
        PGconn *connection; /* owned */
        sd_event_source *io, *timer;
        PipelineLostFunc lost;
        void *userdata;
        STAILQ_HEAD(, Group) groups;
        PostgresTrouble trouble; /* of the group that is being replied to */
        PGresult *rows;          /* owned */
        bool failed, committed;
        bool has_row;         /* of the statement that is being replied to */
        bool busy, condemned; /* see the opening */
};

static void group_end(Pipeline *pipeline) {
        postgres_trouble_deinit(&pipeline->trouble);
        PQclear(TAKE_PTR(pipeline->rows));
        pipeline->failed = pipeline->committed = pipeline->has_row = false;
}

static Group *take_group(Pipeline *pipeline) {
        Group *group = STAILQ_FIRST(&pipeline->groups);

        if (group)
                STAILQ_REMOVE_HEAD(&pipeline->groups, link);
        return group;
}

void pipeline_free(Pipeline *pipeline) {
        Group *group;

        pipeline->condemned = true;
        if (pipeline->busy)
                return;
        while ((group = take_group(pipeline)))
                free(group);
        group_end(pipeline);
        sd_event_source_disable_unref(pipeline->timer);
        sd_event_source_disable_unref(pipeline->io);
        PQfinish(pipeline->connection);
        free(pipeline);
}

const PGconn *pipeline_connection(const Pipeline *pipeline) {
        return pipeline->connection;
}

static void restart_timer(Pipeline *pipeline) {
        bool waits = !STAILQ_EMPTY(&pipeline->groups);

        if (waits)
                (void)sd_event_source_set_time(pipeline->timer, usec_add(clock_boottime_usec(), PIPELINE_TIMEOUT_USEC));
        (void)sd_event_source_set_enabled(pipeline->timer, waits ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

/* 0, or -ENOTCONN. */
static int flush(Pipeline *pipeline) {
        int r = PQflush(pipeline->connection);

        if (r < 0)
                return -ENOTCONN;
        (void)sd_event_source_set_io_events(pipeline->io, (uint32_t)EPOLLIN | (r > 0 ? (uint32_t)EPOLLOUT : 0));
        return 0;
}

static void note_failure(Pipeline *pipeline, const PGresult *result) {
        if (pipeline->failed)
                return;
        pipeline->failed = true;
        (void)postgres_trouble_of(pipeline->connection, result, &pipeline->trouble);
}

static void reply(Pipeline *pipeline) {
        Group *group = take_group(pipeline);
        PipelineReply said = { .trouble = pipeline->failed ? &pipeline->trouble : NULL,
                .rows = pipeline->rows,
                .committed = pipeline->committed };

        if (group && group->func)
                group->func(&said, group->userdata);
        free(group);
        group_end(pipeline);
        restart_timer(pipeline);
}

/* The first row of each statement; of one without rows what says so. */
static void keep_row(Pipeline *pipeline, PGresult *result) {
        bool is_row = PQresultStatus(result) == PGRES_SINGLE_TUPLE;

        if (pipeline->has_row)
                PQclear(result);
        else {
                PQclear(pipeline->rows);
                pipeline->rows = result;
        }
        pipeline->has_row = is_row;
}

static void note_nonsense(Pipeline *pipeline) {
        pipeline->failed = true;
        (void)postgres_trouble_set(
                &pipeline->trouble, POSTGRES_FAILED, "the server answers what it was not asked for", NULL);
}

/* 0, or -ENOTCONN: what it says makes no sense. */
static int take_result(Pipeline *pipeline, PGresult *result) {
        switch (PQresultStatus(result)) {
        case PGRES_PIPELINE_SYNC:
                PQclear(result);
                reply(pipeline);
                return 0;
        case PGRES_SINGLE_TUPLE:
        case PGRES_TUPLES_OK:
                keep_row(pipeline, result);
                return 0;
        case PGRES_COPY_IN:
        case PGRES_COPY_OUT:
        case PGRES_COPY_BOTH:
                PQclear(result);
                note_nonsense(pipeline);
                return -ENOTCONN;
        case PGRES_COMMAND_OK:
                if (strcmp(PQcmdStatus(result), "COMMIT") == 0)
                        pipeline->committed = true;
                break;
        case PGRES_PIPELINE_ABORTED:
        case PGRES_EMPTY_QUERY:
                break;
        default:
                note_failure(pipeline, result);
        }
        PQclear(result);
        return 0;
}

/* 0, or -ENOTCONN. */
static int take_results(Pipeline *pipeline) {
        unsigned nothing = 0;

        while (!pipeline->condemned && !STAILQ_EMPTY(&pipeline->groups)) {
                PGresult *result;

                /* For each statement anew, before anything of its reply is looked at. */
                (void)PQsetSingleRowMode(pipeline->connection);
                if (PQisBusy(pipeline->connection))
                        break;
                result = PQgetResult(pipeline->connection);
                if (result) {
                        nothing = 0;
                        if (take_result(pipeline, result) < 0)
                                return -ENOTCONN;
                } else if (++nothing > 2 || PQstatus(pipeline->connection) == CONNECTION_BAD)
                        return -ENOTCONN;
        }
        return PQstatus(pipeline->connection) == CONNECTION_BAD ? -ENOTCONN : 0;
}

static void drop_notifications(Pipeline *pipeline) {
        PGnotify *notification;

        while ((notification = PQnotifies(pipeline->connection)))
                PQfreemem(notification);
}

/* What the server said before it hung up tells more than that it did. */
static void say_lost(Pipeline *pipeline) {
        PostgresTrouble trouble = { .state = POSTGRES_OK };

        (void)sd_event_source_set_enabled(pipeline->io, SD_EVENT_OFF);
        if (pipeline->failed)
                pipeline->lost(&pipeline->trouble, pipeline->userdata);
        else if (postgres_trouble_of(pipeline->connection, NULL, &trouble) == 0)
                pipeline->lost(&trouble, pipeline->userdata);
        else
                pipeline->lost(&(PostgresTrouble){ .state = POSTGRES_AWAY }, pipeline->userdata);
        postgres_trouble_deinit(&trouble);
}

static void leave(Pipeline *pipeline) {
        pipeline->busy = false;
        if (pipeline->condemned)
                pipeline_free(pipeline);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Pipeline *pipeline = userdata;
        bool lost;

        pipeline->busy = true;
        restart_timer(pipeline);
        lost = PQconsumeInput(pipeline->connection) == 0;
        if (take_results(pipeline) < 0)
                lost = true;
        drop_notifications(pipeline);
        if (!pipeline->condemned && !lost && flush(pipeline) < 0)
                lost = true;
        if (!pipeline->condemned && lost)
                say_lost(pipeline);
        leave(pipeline);
        return 0;
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        Pipeline *pipeline = userdata;
        PostgresTrouble trouble = { .state = POSTGRES_AWAY,
                .detail = (char *)"the server did not answer within 60 s",
                .hint = postgres_state_hint(POSTGRES_AWAY) };

        pipeline->busy = true;
        pipeline->lost(&trouble, pipeline->userdata);
        leave(pipeline);
        return 0;
}

/*
 * On a Unix socket the server stops reading when the buffer is empty, and we are some milliseconds away on a busy host:
 * a batch should fit. The kernel caps it (wmem_max); TCP sizes its own.
 */
static void widen_socket(int fd) {
        int domain = 0, bytes = SEND_BUFFER_BYTES;
        socklen_t size = sizeof(domain);

        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX)
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static int add_sources(sd_event *event, int64_t priority, Pipeline *pipeline) {
        int r = sd_event_add_io(event, &pipeline->io, PQsocket(pipeline->connection), EPOLLIN, on_io, pipeline);

        if (r >= 0)
                r = sd_event_source_set_priority(pipeline->io, priority);
        if (r >= 0)
                r = sd_event_add_time(event, &pipeline->timer, CLOCK_BOOTTIME, 0, USEC_PER_SEC, on_timeout, pipeline);
        return r >= 0 ? sd_event_source_set_enabled(pipeline->timer, SD_EVENT_OFF) : r;
}

int pipeline_new(
        sd_event *event, PGconn *connection, int64_t priority, PipelineLostFunc lost, void *userdata, Pipeline **ret) {
        _cleanup_(pipeline_freep) Pipeline *pipeline = calloc(1, sizeof(*pipeline));
        int r;

        if (!pipeline) {
                PQfinish(connection);
                return -ENOMEM;
        }
        *pipeline = (Pipeline){ .connection = connection, .lost = lost, .userdata = userdata };
        STAILQ_INIT(&pipeline->groups);
        if (PQsetnonblocking(connection, 1) < 0 || PQenterPipelineMode(connection) == 0)
                return -ENOTCONN;
        widen_socket(PQsocket(connection));
        r = add_sources(event, priority, pipeline);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(pipeline);
        return 0;
}

int pipeline_prepare(Pipeline *pipeline, const char *name, const char *sql, int n, const Oid *types) {
        return PQsendPrepare(pipeline->connection, name, sql, n, types) ? 0 : -ENOTCONN;
}

static const int *formats(const PipelineParameters *parameters) {
        static int binary[PARAMETERS_MAX];

        if (!parameters->binary)
                return NULL;
        if (binary[0] == 0)
                for (size_t i = 0; i < PARAMETERS_MAX; i++)
                        binary[i] = 1;
        return parameters->n <= PARAMETERS_MAX ? binary : NULL;
}

int pipeline_execute(Pipeline *pipeline, const char *name, const PipelineParameters *parameters) {
        return PQsendQueryPrepared(pipeline->connection, name, parameters->n, parameters->values, parameters->lengths,
                       formats(parameters), 0)
                ? 0
                : -ENOTCONN;
}

int pipeline_query(Pipeline *pipeline, const char *sql, const PipelineParameters *parameters) {
        static const PipelineParameters none = { .n = 0 };

        if (!parameters)
                parameters = &none;
        return PQsendQueryParams(pipeline->connection, sql, parameters->n, parameters->types, parameters->values,
                       parameters->lengths, formats(parameters), 0)
                ? 0
                : -ENOTCONN;
}

int pipeline_sync(Pipeline *pipeline, PipelineReplyFunc func, void *userdata) {
        bool first = STAILQ_EMPTY(&pipeline->groups);
        Group *group = calloc(1, sizeof(*group));

        if (!group)
                return -ENOMEM;
        *group = (Group){ .func = func, .userdata = userdata };
        STAILQ_INSERT_TAIL(&pipeline->groups, group, link);
        if (PQpipelineSync(pipeline->connection) == 0)
                return -ENOTCONN;
        if (first) /* what is sent behind a group that hangs must not put its end off */
                restart_timer(pipeline);
        return flush(pipeline);
}
