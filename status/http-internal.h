/* What the files of the server share. */
#pragma once

#include "status/http-parse.h"
#include "status/http.h"
#include <microhttpd.h>
#include <sys/queue.h>
#include <sys/socket.h>

#define HTTP_LISTENERS_MAX 16
#define HTTP_SLICE_USEC    500 /* of processor time without a look at the clock: what a kill may have to wait for */

typedef struct Listener {
        sd_event_source *source; /* owned */
        int fd;                  /* borrowed */
        bool is_local;
} Listener;

typedef enum Phase {
        PHASE_WAITING, /* for the next request */
        PHASE_FIRST,   /* for the first one */
        PHASE_REQUEST, /* its first line is there */
        PHASE_REPLY,
        PHASE_STREAM, /* since it was last asked for more */
        PHASE_ENDED,  /* and the library has not noticed yet: no time is kept */
        PHASE_MAX_,
} Phase;

typedef struct Connection {
        TAILQ_ENTRY(Connection) link;
        Http *http;
        int fd; /* libmicrohttpd's */
        Phase phase;
        uint64_t since_usec; /* when the phase began, BOOTTIME */
        bool is_local;       /* of a Unix socket: peer is known */
        Peer peer;
        struct sockaddr_storage address; /* of our end */
} Connection;

TAILQ_HEAD(ConnectionQueue, Connection);

/* One request, from its first line to the last byte of the answer. */
typedef struct Exchange {
        TAILQ_ENTRY(Exchange) link; /* in `queue`, or in none */
        struct ExchangeQueue *queue;
        Http *http;
        Connection *connection;
        struct MHD_Connection *mhd;
        char *text; /* owned; the target as it came, NULL: too long */
        bool is_too_long, is_begun, has_looked, is_working;
        json_t *looked; /* owned */
        uint64_t look_until_usec;
        HttpReply reply;      /* owned; with its work, while that goes on */
        StreamReader *reader; /* owned; NULL: it is no stream */
} Exchange;

TAILQ_HEAD(ExchangeQueue, Exchange);

typedef struct Document Document;

struct Http {
        sd_event *event; /* owned */
        HttpOptions options;
        struct MHD_Daemon *daemon;   /* owned */
        sd_event_source *io, *timer; /* owned */
        Listener listeners[HTTP_LISTENERS_MAX];
        size_t n_listeners;
        struct ConnectionQueue phases[PHASE_MAX_]; /* each in the order of their beginning */
        size_t n_local, n_remote;
        /* Suspended: those that wait for the processor, for a list to be done, for the supervisor, for news, and those
         * that there are news for. */
        struct ExchangeQueue parked, queued, looking, asleep, due;
        size_t n_works, body_bytes;
        Document *documents; /* owned; http-document.c */
        uint64_t slice_usec; /* thread's CPU time at its beginning */
        bool is_running;     /* inside of a turn */
        /* Over TCP, over Unix sockets: BOOTTIME until which nothing is accepted; there was no room. */
        uint64_t full_until_usec[2];
};

/* http.c: the turn is not over with this callback: another one as soon as the pace allows. */
void http_again(Http *http);
/* Whether the present slice is used up. */
bool http_is_over(const Http *http);

/* http-connection.c */
void connection_notify(
        void *userdata, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode code);
void connection_enter(Connection *connection, Phase phase);
/* Ends those whose time is over. The BOOTTIME at which the next one's is, USEC_INFINITY. */
uint64_t connections_expire(Http *http, uint64_t now_usec);
/* Makes room among those over TCP: ends the one that has waited longest for its request. false: all are being served.
 */
bool connections_evict(Http *http, uint64_t now_usec);

/* http-exchange.c: callbacks of libmicrohttpd. */
void *exchange_begin(void *userdata, const char *target, struct MHD_Connection *mhd);
enum MHD_Result exchange_handle(void *userdata, struct MHD_Connection *mhd, const char *url, const char *method,
        const char *version, const char *upload, size_t *upload_size, void **request_context);
void exchange_end(
        void *userdata, struct MHD_Connection *mhd, void **request_context, enum MHD_RequestTerminationCode code);
/* Stops, to be resumed from the head of the queue. */
void exchange_suspend(Exchange *exchange, struct ExchangeQueue *queue);
void exchange_resume(Exchange *exchange);
/* Ends the wait for the supervisor of those that have waited too long. The BOOTTIME of the next, USEC_INFINITY. */
uint64_t exchanges_expire(Http *http, uint64_t now_usec);

/* http-document.c */
int documents_new(Document **ret);
void documents_free(Document *documents);
/* Something was recorded: what was made before is old. */
void documents_forget(Document *documents);
typedef struct DocumentRequest {
        const HttpRoute *route;
        HttpRequest request;
        bool gzip; /* may be sent */
} DocumentRequest;
typedef struct Answer {
        struct MHD_Response *response; /* NULL: no memory */
        unsigned status;
        bool is_kept; /* response is borrowed */
        bool is_last; /* the connection ends with it */
} Answer;
/* Whether the answer is there already: nothing has to be asked for it. */
bool document_is_kept(Http *http, const DocumentRequest *document);
/*
 * Makes the answer or takes the one that is kept. reply: zeroed, or as it was left. 0; -EINPROGRESS: to be called again
 * with the same reply; -EBUSY: HTTP_WORKS_MAX are under way.
 */
int document_answer(Http *http, const DocumentRequest *document, HttpReply *reply, Answer *ret);
/* An error, that the connection may end with. */
struct MHD_Response *document_problem(Http *http, unsigned status, const char *detail, const char *hint);

/* The headers of every answer. */
void document_add_headers(struct MHD_Response *response, const char *content_type, HttpCaching caching);

/* http-stream.c: the answer that goes on. NULL: no memory, or STREAM_READERS_MAX. */
struct MHD_Response *stream_answer(Exchange *exchange, const char *last_event_id);
