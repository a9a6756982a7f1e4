/*
 * Connections: who is at the other end, and how long it may take.
 *
 * Called by the library when one begins and ends, by the exchanges as it goes on, and each turn for those whose time
 * is over.  The hard thing is a client that sends one byte now and then: the library's time-out begins anew with each.
 * So a connection has a phase, each phase its time, and the phases are queues in the order of their beginning.  A
 * connection is ended by shutting it down; the library notices, and frees what is its.
 */
#include "status/http-internal.h"

#include "base/clock.h"

#define EVICT_USEC (1 * USEC_PER_SEC) /* an honest client has asked by then */

static const uint64_t times_usec[PHASE_MAX_] = {
        [PHASE_WAITING] = HTTP_IDLE_USEC,
        [PHASE_FIRST] = HTTP_REQUEST_USEC,
        [PHASE_REQUEST] = HTTP_REQUEST_USEC,
        [PHASE_REPLY] = HTTP_REPLY_USEC,
        [PHASE_STREAM] = HTTP_STALL_USEC,
        [PHASE_ENDED] = USEC_INFINITY,
};

void connection_enter(Connection *connection, Phase phase) {
        Http *http = connection->http;

        TAILQ_REMOVE(&http->phases[connection->phase], connection, link);
        connection->phase = phase;
        connection->since_usec = clock_boottime_usec();
        TAILQ_INSERT_TAIL(&http->phases[phase], connection, link);
}

static void connection_stop(Connection *connection) {
        (void)shutdown(connection->fd, SHUT_RDWR);
        connection_enter(connection, PHASE_ENDED);
}

uint64_t connections_expire(Http *http, uint64_t now_usec) {
        uint64_t next = USEC_INFINITY;

        for (Phase phase = 0; phase < PHASE_ENDED; phase++) {
                Connection *first;

                while ((first = TAILQ_FIRST(&http->phases[phase]))) {
                        uint64_t at = usec_add(first->since_usec, times_usec[phase]);

                        if (at > now_usec) {
                                next = MIN_OF(next, at);
                                break;
                        }
                        connection_stop(first);
                }
        }
        return next;
}

/* Of those over TCP: the queue is in the order of time, and those of Unix sockets are few. */
static Connection *first_remote(struct ConnectionQueue *queue) {
        Connection *connection;

        TAILQ_FOREACH(connection, queue, link)
        if (!connection->is_local)
                return connection;
        return NULL;
}

bool connections_evict(Http *http, uint64_t now_usec) {
        static const Phase idle[] = { PHASE_WAITING, PHASE_FIRST, PHASE_REQUEST };
        Connection *oldest = NULL;

        for (size_t i = 0; i < ELEMENTSOF(idle); i++) {
                Connection *connection = first_remote(&http->phases[idle[i]]);

                if (connection && (!oldest || connection->since_usec < oldest->since_usec))
                        oldest = connection;
        }
        if (!oldest || usec_sub(now_usec, oldest->since_usec) < EVICT_USEC)
                return false;
        connection_stop(oldest);
        return true;
}

/* One user's are few: this is looked at once for each. */
static bool has_too_many(const Http *http, const Connection *connection) {
        const Connection *other;
        size_t n = 0;

        if (!connection->is_local || connection->peer.role == ROLE_ADMIN)
                return false;
        for (Phase phase = 0; phase < PHASE_MAX_; phase++)
                TAILQ_FOREACH(other, &http->phases[phase], link)
        n += other->is_local && other->peer.uid == connection->peer.uid;
        return n > HTTP_OF_UID_MAX;
}

static void connection_start(Http *http, struct MHD_Connection *mhd, void **socket_context) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        Connection *connection = calloc(1, sizeof(*connection));
        socklen_t size = sizeof(connection->address);

        *socket_context = connection;
        if (!connection || !info) {
                free(connection);
                *socket_context = NULL;
                return;
        }
        *connection = (Connection){
                .http = http, .fd = info->connect_fd, .phase = PHASE_FIRST, .since_usec = clock_boottime_usec()
        };
        if (getsockname(connection->fd, (struct sockaddr *)&connection->address, &size) < 0)
                connection->address.ss_family = AF_UNSPEC;
        connection->is_local = connection->address.ss_family == AF_UNIX;
        if (connection->is_local && peer_read(connection->fd, http->options.policy, &connection->peer) < 0)
                connection->peer = (Peer){ .pidfd = -EBADF, .role = ROLE_NONE };
        TAILQ_INSERT_TAIL(&http->phases[PHASE_FIRST], connection, link);
        *(connection->is_local ? &http->n_local : &http->n_remote) += 1;
        if (has_too_many(http, connection))
                connection_stop(connection);
}

void connection_notify(
        void *userdata, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode code) {
        Http *http = userdata;
        Connection *connection = *socket_context;

        if (code == MHD_CONNECTION_NOTIFY_STARTED) {
                connection_start(http, mhd, socket_context);
                return;
        }
        if (!connection)
                return;
        TAILQ_REMOVE(&http->phases[connection->phase], connection, link);
        *(connection->is_local ? &http->n_local : &http->n_remote) -= 1;
        http->full_until_usec[0] = http->full_until_usec[1] = 0;
        *socket_context = NULL;
        free(connection);
}
