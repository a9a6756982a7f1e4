/*
 * Which document answers to which path.
 *
 * A page, a list, the metrics: each is one handler that makes a whole document, and one line in the table of router.c.
 * Handlers know nothing of sockets. What comes in is checked by then: the path is decoded and has no dots that climb,
 * the query has known names only, each once. Methods, HEAD, Host, headers, gzip and caches are http.c's.
 */
#pragma once

#include "control/peer.h"
#include "status/board.h"
#include "status/live.h"
#include <stdbool.h>
#include <stddef.h>

#define HTTP_QUERY_MAX 8 /* members of a query: more than any document knows */

typedef struct HttpMember {
        const char *name, *value; /* decoded, UTF-8, without control characters */
} HttpMember;

/* Who looks. Over TCP nobody is known, and all see what is public. */
typedef struct HttpViewer {
        bool is_known; /* came over the Unix socket; is at least a user */
        Role role;
        Viewer rows; /* whose rows are shown in full, as db/queries.h takes it; of one that is not known: nobody's */
} HttpViewer;

typedef struct HttpRequest {
        const char *path;   /* "/api/runs/019a…", decoded */
        const char *rest;   /* what follows the path of a route that ends in "/"; else "" */
        const char *accept; /* header Accept, "" without one */
        HttpMember members[HTTP_QUERY_MAX];
        size_t n_members;
        HttpViewer viewer;
        const json_t *looked; /* of a route that looks: the live run as `show` tells it, with its timeline; NULL */
} HttpRequest;

/* The value of a member of the query, NULL without it. */
const char *http_query(const HttpRequest *request, const char *name);

/* A document. Zeroed, with status 200, when a handler gets it. */
typedef struct HttpReply {
        unsigned status;
        const char *content_type; /* static, with its charset */
        char *body;               /* owned (malloc); or */
        const void *constant;     /* borrowed for ever: what is embedded */
        size_t size;
        void *work; /* owned; of a handler that has not done yet, which goes on with it when called again */
        void (*free_work)(void *work);
        const void *constant_gzip; /* the same packed, if it is embedded too */
        size_t constant_gzip_size;
} HttpReply;

void http_reply_deinit(HttpReply *reply);
/* Takes a text (malloc, may be NULL: then -ENOMEM) as the body. 0 or -ENOMEM. */
int http_reply_text(HttpReply *reply, const char *content_type, char *text);
/* The same of a JSON value, whose reference is taken over; content type application/json. */
int http_reply_json(HttpReply *reply, json_t *value);
/* The same of text that is JSON already (malloc, taken over). */
int http_reply_json_text(HttpReply *reply, char *text);
/* An error as problem+json (RFC 9457). Every text may hold what a client has sent. 0 or -ENOMEM. */
int http_reply_problem(HttpReply *reply, unsigned status, const char *detail, const char *hint);

typedef enum HttpCaching {
        HTTP_FRESH,     /* made for each request */
        HTTP_SHARED,    /* one for all over TCP who ask for this path, query and type; at most one a second is made */
        HTTP_IMMUTABLE, /* its name changes with its content: browsers may keep it */
} HttpCaching;

typedef struct HttpRoute {
        const char *path;         /* whole; one that ends in "/" (but "/" itself) takes everything below it */
        const char *const *known; /* names that a query may have, NULL-terminated; NULL: none */
        HttpCaching caching;
        bool is_live;   /* shows live figures: whoever asks for it keeps them coming (live_watch()) */
        bool is_long;   /* may be -EINPROGRESS: only HTTP_WORKS_MAX of these at once */
        bool is_stream; /* server-sent events: there is no handler */
        bool looks;     /* the rest of the path is a run: if it lives, the supervisor is asked for it (live_look()) */
        /* Which content type is meant: static, part of the cache's key. NULL: there is one only. */
        const char *(*choose)(const char *accept);
        /*
         * Makes the document. 0, also for what is the asker's fault: that is a problem. -EAGAIN: told as 503; another
         * -errno as 500. What takes long is done in pieces of some 0.5 ms: the handler leaves what it has in
         * reply->work, returns -EINPROGRESS, and is called again (is_long).
         */
        int (*handle)(const Board *board, const HttpRequest *request, HttpReply *reply);
} HttpRoute;

/* The route of a decoded path, NULL: 404. *ret_rest points into path. */
const HttpRoute *router_find(const char *path, const char **ret_rest);
