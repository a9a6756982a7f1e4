/*
 * What comes in a request, taken apart: target, Host, Accept-Encoding, Accept. Pure: strings in, answers out.
 *
 * Everything here was written by whoever can reach the port, a page of somebody else's in an admin's browser included.
 */
#pragma once

#include "base/cleanup.h"
#include "status/router.h"
#include <sys/socket.h>

#define HTTP_TARGET_MAX 2048 /* bytes; an analysis id of 255, each byte escaped, and all other members fit */

enum {
        _HTTP_PARSE_E_SUCCESS,
        HTTP_PARSE_E_LONG = 1, /* above HTTP_TARGET_MAX */
        HTTP_PARSE_E_PATH,     /* no path of ours, whatever is behind it: no "/" in front, dots that climb, bad bytes */
        HTTP_PARSE_E_QUERY,    /* bad bytes, a name twice, too many */
};

typedef struct HttpTarget {
        char *text; /* owned; what the others point into */
        const char *path;
        HttpMember members[HTTP_QUERY_MAX];
        size_t n_members;
} HttpTarget;

/* "/api/runs?limit=5": percent-encoding undone, UTF-8 and no control characters assured. 0, HTTP_PARSE_E_*, -ENOMEM. */
int http_target_parse(const char *text, HttpTarget *ret);
void http_target_deinit(HttpTarget *target);

/*
 * Whether the header Host is a name of ours, so that no name of somebody else's can be pointed at us (DNS rebinding):
 * the local address of the connection, localhost, or one of hosts. A port must be the connection's, but behind one of
 * hosts, which a proxy may serve on its own.
 */
bool http_host_is_ours(const char *host, const struct sockaddr *local, const char *const *hosts, size_t n_hosts);

/* Whether it is a name that a header may have (RFC 9110): no blanks, no controls, no separators; not empty. */
bool http_is_token(const char *text);
/* Whether Accept-Encoding (NULL: none) lets us send gzip. */
bool http_accepts_gzip(const char *accept_encoding);
/* The quality that a header Accept gives a type, 0 to 1000; "" and NULL accept all. Parameters but q are not looked at.
 */
unsigned http_accept_quality(const char *accept, const char *type);
