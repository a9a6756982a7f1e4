/*
 * One request, from its first line to the end of its answer.
 *
 * Called by the library.  The hard thing is that it calls again and again: when the headers are there, when a body has
 * come, and after each suspension from the beginning.  So the answer is made in one place, exchange_answer(), and what
 * has to be waited for before (the processor, the supervisor's word about a run) suspends and comes back there.  What
 * could be read in two ways, and whatever has a body, is refused at once and ends the connection with it.
 */
#include "status/http-internal.h"

#include "base/clock.h"
#include <string.h>

#define READS_ONLY   "Only GET and HEAD: nothing can be changed here."
#define READS_HINT   "Use scidexctl to change anything."
#define HOSTS_HINT   "Use the address that is listened on, or add the name to [http] hosts of supervisor.conf."
#define TARGETS_HINT "Write percent-encoded UTF-8, each name at most once: /api/runs?state=grace&limit=10."
#define BODIES_HINT  "Send GET without Content-Length and Transfer-Encoding."
#define HEADER_CLOSE "close"
#define ALLOWED      "GET, HEAD"

void *exchange_begin(void *userdata, const char *target, struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        Exchange *exchange = info && info->socket_context ? calloc(1, sizeof(*exchange)) : NULL;

        if (!exchange)
                return NULL;
        exchange->http = userdata;
        exchange->mhd = mhd;
        exchange->connection = info->socket_context;
        exchange->reply.status = 200;
        exchange->is_too_long = strlen(target) > HTTP_TARGET_MAX;
        exchange->text = exchange->is_too_long ? NULL : strdup(target);
        connection_enter(exchange->connection, PHASE_REQUEST);
        return exchange;
}

void exchange_suspend(Exchange *exchange, struct ExchangeQueue *queue) {
        exchange->queue = queue;
        TAILQ_INSERT_TAIL(queue, exchange, link);
        MHD_suspend_connection(exchange->mhd);
}

/* It stays suspended, and waits for something else. */
static void exchange_move(Exchange *exchange, struct ExchangeQueue *queue) {
        TAILQ_REMOVE(exchange->queue, exchange, link);
        exchange->queue = queue;
        TAILQ_INSERT_TAIL(queue, exchange, link);
}

void exchange_resume(Exchange *exchange) {
        TAILQ_REMOVE(exchange->queue, exchange, link);
        exchange->queue = NULL;
        MHD_resume_connection(exchange->mhd);
}

uint64_t exchanges_expire(Http *http, uint64_t now_usec) {
        Exchange *first;

        while ((first = TAILQ_FIRST(&http->looking))) {
                if (first->look_until_usec > now_usec)
                        return first->look_until_usec;
                live_look_cancel(http->options.board->live, first);
                exchange_move(first, &http->parked);
        }
        return USEC_INFINITY;
}

static const char *header(Exchange *exchange, const char *name) {
        return MHD_lookup_connection_value(exchange->mhd, MHD_HEADER_KIND, name);
}

typedef struct Count {
        const char *name;
        unsigned n, n_odd; /* n_odd: whose name is no token, so that somebody else may read another one */
} Count;

static enum MHD_Result count_header(void *userdata, enum MHD_ValueKind kind, const char *key, const char *value) {
        Count *count = userdata;

        if (strcasecmp(key, count->name) == 0)
                count->n++;
        if (!http_is_token(key))
                count->n_odd++;
        return MHD_YES;
}

static unsigned count_headers(Exchange *exchange, const char *name) {
        Count count = { .name = name };

        (void)MHD_get_connection_values(exchange->mhd, MHD_HEADER_KIND, count_header, &count);
        return count.n;
}

/* "Transfer-Encoding : chunked" is one to some on the way, and none to others. */
static bool has_odd_header(Exchange *exchange) {
        Count count = { .name = "" };

        (void)MHD_get_connection_values(exchange->mhd, MHD_HEADER_KIND, count_header, &count);
        return count.n_odd > 0;
}

static Answer answer_problem(Http *http, unsigned status, const char *detail, const char *hint, bool is_last) {
        return (Answer){
                .response = document_problem(http, status, detail, hint),
                .status = status,
                .is_last = is_last,
        };
}

/* Whether a body comes, or somebody on the way could think so. */
static bool has_body(Exchange *exchange) {
        const char *length = header(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH);

        return count_headers(exchange, MHD_HTTP_HEADER_TRANSFER_ENCODING) > 0 ||
                count_headers(exchange, MHD_HTTP_HEADER_CONTENT_LENGTH) > 1 || (length && strcmp(length, "0") != 0);
}

static bool is_our_host(Exchange *exchange, const char *version) {
        const HttpOptions *options = &exchange->http->options;
        const Connection *connection = exchange->connection;
        const char *host = header(exchange, MHD_HTTP_HEADER_HOST);

        if (connection->is_local)
                return true;
        /* HTTP/1.0 knows no Host, and no browser speaks it. */
        if (!host)
                return strcmp(version, MHD_HTTP_VERSION_1_0) == 0;
        return count_headers(exchange, MHD_HTTP_HEADER_HOST) == 1 &&
                http_host_is_ours(
                        host, (const struct sockaddr *)&connection->address, options->hosts, options->n_hosts);
}

/* What is wrong before anything is looked for. */
static bool is_refused(Exchange *exchange, const char *method, const char *version, Answer *ret) {
        const Connection *connection = exchange->connection;

        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
                *ret = answer_problem(exchange->http, 405, READS_ONLY, READS_HINT, true);
                if (ret->response)
                        (void)MHD_add_response_header(ret->response, MHD_HTTP_HEADER_ALLOW, ALLOWED);
        } else if (has_odd_header(exchange))
                *ret = answer_problem(exchange->http, 400, "a header's name is not well-formed", NULL, true);
        else if (has_body(exchange))
                *ret = answer_problem(exchange->http, 400, "a request here has no body", BODIES_HINT, true);
        else if (exchange->is_too_long)
                *ret = answer_problem(exchange->http, 414, "the target is longer than 2,048 bytes", NULL, true);
        else if (!is_our_host(exchange, version))
                *ret = answer_problem(exchange->http, 421, "the header Host names nobody here", HOSTS_HINT, true);
        else if (connection->is_local && connection->peer.role == ROLE_NONE) {
                _cleanup_(json_decrefp) json_t *refusal =
                        peer_refusal("http", exchange->http->options.policy, connection->peer.uid);
                const json_t *error = json_object_get(refusal, "error");

                *ret = answer_problem(exchange->http, 403, json_string_value(json_object_get(error, "message")),
                        json_string_value(json_object_get(error, "hint")), true);
        } else
                return false;
        return true;
}

/* Each member must be one that the document knows: who writes `state` wrong does not get all. */
static bool find_unknown(const HttpRoute *route, const HttpTarget *target, const char **ret) {
        for (size_t i = 0; i < target->n_members; i++) {
                const char *const *known = route->known;

                while (known && *known && strcmp(*known, target->members[i].name) != 0)
                        known++;
                if (!known || !*known) {
                        *ret = target->members[i].name;
                        return true;
                }
        }
        return false;
}

static char *known_names(const HttpRoute *route) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        (void)fputs(route->known ? "It takes " : "It takes none.", f);
        for (const char *const *known = route->known; known && *known; known++)
                (void)fprintf(f, "%s%s", *known, known[1] ? ", " : ".");
        return fclose(f) == 0 ? text : NULL;
}

static Answer refuse_member(Http *http, const HttpRoute *route, const char *name) {
        _cleanup_(freep) char *detail = NULL, *hint = known_names(route);

        if (asprintf(&detail, "this document has no query member \"%s\"", name) < 0)
                detail = NULL;
        return answer_problem(http, 400, detail, hint, false);
}

static void on_looked(const json_t *run, void *userdata) {
        Exchange *exchange = userdata;
        Http *http = exchange->http;

        exchange->looked = json_incref((json_t *)run);
        exchange_move(exchange, &http->parked);
        http_again(http);
}

/* Whether the supervisor is being asked, and the answer comes later. */
static bool is_looking(Exchange *exchange, const char *rest) {
        Http *http = exchange->http;
        const LiveRun *run = NULL;

        if (exchange->has_looked)
                return false;
        exchange->has_looked = true;
        run = live_find(http->options.board->live, rest);
        if (!run || live_look(http->options.board->live, run->run_id, on_looked, exchange) < 0)
                return false;
        exchange->look_until_usec = usec_add(clock_boottime_usec(), HTTP_LOOK_USEC);
        exchange_suspend(exchange, &http->looking);
        return true;
}

static HttpViewer viewer_of(const Connection *connection) {
        const Peer *peer = &connection->peer;

        if (!connection->is_local)
                return (HttpViewer){ .rows = { .uid = (uid_t)-1 } };
        return (HttpViewer){
                .is_known = true,
                .role = peer->role,
                .rows = { .all = peer->role == ROLE_ADMIN, .uid = peer->uid },
        };
}

/* Whatever it has waited for or worked at is over: the next one may begin. It need not work, and then calls the next.
 */
static void end_work(Exchange *exchange) {
        Http *http = exchange->http;
        Exchange *next = TAILQ_FIRST(&http->queued);

        if (exchange->is_working)
                http->n_works--;
        exchange->is_working = false;
        if (next && http->n_works < HTTP_WORKS_MAX)
                exchange_move(next, &http->parked);
}

void exchange_end(
        void *userdata, struct MHD_Connection *mhd, void **request_context, enum MHD_RequestTerminationCode code) {
        Exchange *exchange = *request_context;

        *request_context = NULL;
        if (!exchange)
                return;
        live_look_cancel(exchange->http->options.board->live, exchange);
        if (exchange->queue)
                TAILQ_REMOVE(exchange->queue, exchange, link);
        end_work(exchange);
        http_reply_deinit(&exchange->reply);
        if (exchange->reader)
                stream_reader_free(exchange->reader);
        if (exchange->connection->phase != PHASE_ENDED || code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
                connection_enter(exchange->connection, PHASE_WAITING);
        json_decref(exchange->looked);
        free(exchange->text);
        free(exchange);
}

/* Where it is waited for, or for the processor, it is suspended. */
static int await(Exchange *exchange, int r) {
        Http *http = exchange->http;

        if (r == -EINPROGRESS && !exchange->is_working) {
                exchange->is_working = true;
                http->n_works++;
        }
        exchange_suspend(exchange, r == -EBUSY ? &http->queued : &http->parked);
        return -EINPROGRESS;
}

/* 0; -EINPROGRESS: suspended. */
static int answer_document(
        Exchange *exchange, const HttpRoute *route, const HttpTarget *target, const char *rest, Answer *ret) {
        const char *accept = header(exchange, MHD_HTTP_HEADER_ACCEPT);
        DocumentRequest document = {
                .route = route,
                .request = { .path = target->path,
                        .rest = rest,
                        .accept = accept ? accept : "",
                        .n_members = target->n_members,
                        .viewer = viewer_of(exchange->connection),
                        .looked = exchange->looked },
                .gzip = http_accepts_gzip(header(exchange, MHD_HTTP_HEADER_ACCEPT_ENCODING)),
        };
        int r;

        memcpy(document.request.members, target->members, sizeof(target->members));
        if (route->is_live)
                live_watch(exchange->http->options.board->live);
        if (route->looks && !document_is_kept(exchange->http, &document) && is_looking(exchange, rest))
                return -EINPROGRESS;
        r = document_answer(exchange->http, &document, &exchange->reply, ret);
        if (r == -EINPROGRESS || r == -EBUSY)
                return await(exchange, r);
        end_work(exchange);
        http_reply_deinit(&exchange->reply);
        return r;
}

static Answer answer_stream(Exchange *exchange) {
        struct MHD_Response *response = stream_answer(exchange, header(exchange, "Last-Event-ID"));

        if (!response)
                return answer_problem(
                        exchange->http, 503, "too many clients follow the stream", "Try again later.", true);
        connection_enter(exchange->connection, PHASE_STREAM);
        return (Answer){ .response = response, .status = MHD_HTTP_OK };
}

/* 0 and the answer; -EINPROGRESS: suspended, comes back here. */
static int exchange_answer(Exchange *exchange, Answer *ret) {
        _cleanup_(http_target_deinit) HttpTarget target = { .text = NULL };
        const char *rest = "", *unknown;
        const HttpRoute *route;
        int r = exchange->text ? http_target_parse(exchange->text, &target) : -ENOMEM;

        if (r < 0)
                return r;
        route = r == 0 ? router_find(target.path, &rest) : NULL;
        if (r != 0)
                *ret = answer_problem(exchange->http, 400, "the target is not well-formed", TARGETS_HINT, true);
        else if (!route)
                *ret = answer_problem(exchange->http, 404, "there is no such document",
                        "/api/quests/status, /api/runs and / are some.", false);
        else if (find_unknown(route, &target, &unknown))
                *ret = refuse_member(exchange->http, route, unknown);
        else if (route->is_stream)
                *ret = answer_stream(exchange);
        else
                return answer_document(exchange, route, &target, rest, ret);
        return 0;
}

static enum MHD_Result send_answer(Exchange *exchange, Answer *answer) {
        enum MHD_Result r;

        if (!answer->response)
                return MHD_NO;
        if (!exchange->reader)
                connection_enter(exchange->connection, PHASE_REPLY);
        if (answer->is_last)
                (void)MHD_add_response_header(answer->response, MHD_HTTP_HEADER_CONNECTION, HEADER_CLOSE);
        r = MHD_queue_response(exchange->mhd, answer->status, answer->response);
        if (!answer->is_kept)
                MHD_destroy_response(answer->response);
        return r;
}

enum MHD_Result exchange_handle(void *userdata, struct MHD_Connection *mhd, const char *url, const char *method,
        const char *version, const char *upload, size_t *upload_size, void **request_context) {
        Exchange *exchange = *request_context;
        Answer answer = { .response = NULL };
        int r;

        if (!exchange || *upload_size > 0)
                return MHD_NO;
        if (!exchange->is_begun) {
                exchange->is_begun = true;
                /* It is whole: what it waits for from here on is our business. */
                connection_enter(exchange->connection, PHASE_REPLY);
                return is_refused(exchange, method, version, &answer) ? send_answer(exchange, &answer) : MHD_YES;
        }
        if (http_is_over(exchange->http)) {
                exchange_suspend(exchange, &exchange->http->parked);
                return MHD_YES;
        }
        r = exchange_answer(exchange, &answer);
        if (r == -EINPROGRESS)
                return MHD_YES;
        return r < 0 ? MHD_NO : send_answer(exchange, &answer);
}
