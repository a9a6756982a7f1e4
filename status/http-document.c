/*
 * Answers that end: made by the route's handler, packed, given their headers, and kept for a moment.
 *
 * Called by http-exchange.c.  The hard thing is many who look at the same: what everybody may see is made once a second
 * at most, whoever asks, and so is its packed form.  It is the library's response that is kept, which counts its
 * references, so that a slow reader of an old one costs memory only.
 */
#include "status/http-internal.h"

#include "base/clock.h"
#include "base/file.h"
#include <string.h>
#define ZLIB_CONST /* its input is not written to */
#include <zlib.h>

#define KEPT_MAX       32
#define KEPT_BYTES_MAX (8 << 20)
#define KEPT_USEC      (1 * USEC_PER_SEC)
#define GZIP_MIN       1024 /* bytes: less fits into a packet as it is */
#define GZIP_WINDOW    (MAX_WBITS + 16)

typedef struct Kept {
        char *key;                         /* owned; NULL: free */
        struct MHD_Response *plain, *gzip; /* owned; gzip NULL: not made yet, or not worth it */
        const char *type, *body;           /* body is plain's */
        size_t size;
        unsigned status;
        uint64_t made_usec; /* 0: old */
} Kept;

struct Document {
        Kept kept[KEPT_MAX];
};

int documents_new(Document **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

static void kept_deinit(Kept *kept) {
        if (kept->plain)
                MHD_destroy_response(kept->plain);
        if (kept->gzip)
                MHD_destroy_response(kept->gzip);
        free(kept->key);
        *kept = (Kept){ .key = NULL };
}

void documents_free(Document *documents) {
        for (size_t i = 0; i < KEPT_MAX; i++)
                kept_deinit(&documents->kept[i]);
        free(documents);
}

void documents_forget(Document *documents) {
        for (size_t i = 0; i < KEPT_MAX; i++)
                documents->kept[i].made_usec = 0;
}

void document_add_headers(struct MHD_Response *response, const char *content_type, HttpCaching caching) {
        static const char *const headers[][2] = {
                { "Content-Security-Policy",
                        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
                        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'" },
                { "X-Content-Type-Options", "nosniff" },
                { "Referrer-Policy", "no-referrer" },
                { "Cross-Origin-Resource-Policy", "same-origin" },
        };

        for (size_t i = 0; i < ELEMENTSOF(headers); i++)
                (void)MHD_add_response_header(response, headers[i][0], headers[i][1]);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL,
                caching == HTTP_IMMUTABLE ? "public, max-age=31536000, immutable" : "no-store");
}

static void add_variant_headers(struct MHD_Response *response, const HttpRoute *route, bool is_gzip) {
        (void)MHD_add_response_header(
                response, MHD_HTTP_HEADER_VARY, route->choose ? "Accept, Accept-Encoding" : "Accept-Encoding");
        if (is_gzip)
                (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
}

/* NULL: no memory, or not smaller. The caller frees. */
static char *pack(const char *bytes, size_t size, size_t *ret_size) {
        z_stream z = { .next_in = (const Bytef *)bytes, .avail_in = (uInt)size };
        _cleanup_(freep) char *out = NULL;
        int r;

        if (size > UINT32_MAX || deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
                return NULL;
        out = malloc(size);
        z.next_out = (Bytef *)out;
        z.avail_out = out ? (uInt)size : 0;
        r = out ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
        *ret_size = z.total_out;
        (void)deflateEnd(&z);
        return r == Z_STREAM_END ? TAKE_PTR(out) : NULL;
}

/* The bytes of a response, which the library frees when the last of those that read them is gone. */
typedef struct Body {
        Http *http;
        char *bytes; /* owned */
        size_t size;
} Body;

static void body_free(void *userdata) {
        Body *body = userdata;

        body->http->body_bytes -= body->size;
        free(body->bytes);
        free(body);
}

/* Takes the bytes over, also when it fails. */
static struct MHD_Response *response_of(Http *http, char *bytes, size_t size) {
        struct MHD_Response *response = NULL;
        Body *body = malloc(sizeof(*body));

        if (body) {
                *body = (Body){ .http = http, .bytes = bytes, .size = size };
                response = MHD_create_response_from_buffer_with_free_callback_cls(size, bytes, body_free, body);
        }
        if (!response) {
                free(body);
                free(bytes);
                return NULL;
        }
        http->body_bytes += size;
        return response;
}

static struct MHD_Response *response_of_constant(const void *bytes, size_t size) {
        return MHD_create_response_from_buffer(size, (void *)bytes, MHD_RESPMEM_PERSISTENT);
}

struct MHD_Response *document_problem(Http *http, unsigned status, const char *detail, const char *hint) {
        HttpReply reply = { .status = status };
        struct MHD_Response *response = NULL;

        if (http_reply_problem(&reply, status, detail ? detail : "out of memory", hint) == 0)
                response = response_of(http, TAKE_PTR(reply.body), reply.size);
        if (response)
                document_add_headers(response, reply.content_type, HTTP_FRESH);
        http_reply_deinit(&reply);
        return response;
}

/* What is asked for, where it is the same for everybody. NULL: it is not kept (or no memory, which is no harm). */
static char *make_key(const DocumentRequest *document, const char *type) {
        const HttpRequest *request = &document->request;
        char *key = NULL;
        size_t size = 0;
        FILE *f;

        if (document->route->caching != HTTP_SHARED || request->viewer.is_known)
                return NULL;
        f = open_memstream(&key, &size);
        if (!f)
                return NULL;
        (void)fprintf(f, "%s\n%s", request->path, type);
        for (size_t i = 0; i < request->n_members; i++)
                (void)fprintf(f, "\n%s=%s", request->members[i].name, request->members[i].value);
        if (fclose(f) == 0)
                return key;
        free(key);
        return NULL;
}

static Kept *find_kept(Document *documents, const char *key) {
        uint64_t now = clock_boottime_usec();

        for (size_t i = 0; key && i < KEPT_MAX; i++) {
                Kept *kept = &documents->kept[i];

                if (kept->key && strcmp(kept->key, key) == 0)
                        return kept->made_usec > 0 && usec_sub(now, kept->made_usec) < KEPT_USEC ? kept : NULL;
        }
        return NULL;
}

bool document_is_kept(Http *http, const DocumentRequest *document) {
        const HttpRoute *route = document->route;
        _cleanup_(freep) char *key = make_key(document, route->choose ? route->choose(document->request.accept) : "");

        return find_kept(http->documents, key) != NULL;
}

/* The place of this key, else the oldest; what is above the bound goes. */
static Kept *make_room(Document *documents, const char *key, size_t size) {
        for (;;) {
                Kept *oldest = &documents->kept[0];
                size_t bytes = size;

                for (size_t i = 0; i < KEPT_MAX; i++) {
                        Kept *kept = &documents->kept[i];

                        if (kept->key && strcmp(kept->key, key) == 0)
                                kept_deinit(kept);
                        bytes += kept->size;
                        if (!kept->key || (oldest->key && kept->made_usec < oldest->made_usec))
                                oldest = kept;
                }
                if (bytes <= KEPT_BYTES_MAX || !oldest->key) {
                        kept_deinit(oldest);
                        return oldest;
                }
                kept_deinit(oldest);
        }
}

/* The plain form, or the packed one, made the first time that somebody takes it. */
static struct MHD_Response *kept_variant(Http *http, Kept *kept, const HttpRoute *route, bool gzip) {
        size_t size = 0;
        char *packed;

        if (gzip && !kept->gzip && kept->size >= GZIP_MIN && (packed = pack(kept->body, kept->size, &size))) {
                kept->gzip = response_of(http, packed, size);
                if (kept->gzip) {
                        document_add_headers(kept->gzip, kept->type, route->caching);
                        add_variant_headers(kept->gzip, route, true);
                }
        }
        return gzip && kept->gzip ? kept->gzip : kept->plain;
}

static struct MHD_Response *constant_answer(const HttpReply *reply, const HttpRoute *route, bool gzip) {
        bool is_gzip = gzip && reply->constant_gzip;
        struct MHD_Response *response = is_gzip ? response_of_constant(reply->constant_gzip, reply->constant_gzip_size)
                                                : response_of_constant(reply->constant, reply->size);

        if (response) {
                document_add_headers(response, reply->content_type, reply->status == 200 ? route->caching : HTTP_FRESH);
                add_variant_headers(response, route, is_gzip);
        }
        return response;
}

/* Readers that do not read hold what they were given: there is an end of that. */
static bool is_crowded(const Http *http, const DocumentRequest *document) {
        size_t most = HTTP_BODIES_MAX + (document->request.viewer.is_known ? HTTP_BODIES_LOCAL : 0);

        return document->route->caching == HTTP_SHARED && http->body_bytes >= most;
}

static int make_reply(Http *http, const DocumentRequest *document, HttpReply *reply) {
        const HttpRoute *route = document->route;
        int r;

        if (is_crowded(http, document))
                r = -EXFULL;
        else if (!reply->work && route->is_long && http->n_works >= HTTP_WORKS_MAX)
                return -EBUSY;
        else
                do
                        r = route->handle(http->options.board, &document->request, reply);
                while (r == -EINPROGRESS && !http_is_over(http));
        if (r == 0 || r == -EINPROGRESS)
                return r;
        http_reply_deinit(reply);
        return r == -EXFULL    ? http_reply_problem(reply, 503, "too much waits to be read", "Try again later.")
                : r == -EAGAIN ? http_reply_problem(reply, 503, "the record can't be read now", "Try again later.")
                               : http_reply_problem(reply, 500, strerror(-r), NULL);
}

/* Takes the reply's body. It is kept under key (taken over), where there is one. */
static Answer answer_with(Http *http, const DocumentRequest *document, HttpReply *reply, char *key) {
        const HttpRoute *route = document->route;
        Answer answer = { .status = reply->status };
        Kept *kept;

        answer.response = response_of(http, reply->body, reply->size);
        if (answer.response) {
                document_add_headers(answer.response, reply->content_type, HTTP_FRESH);
                add_variant_headers(answer.response, route, false);
        }
        if (answer.response && key && reply->status < 500) {
                kept = make_room(http->documents, key, reply->size);
                *kept = (Kept){ .key = TAKE_PTR(key),
                        .plain = answer.response,
                        .type = reply->content_type,
                        .body = reply->body,
                        .size = reply->size,
                        .status = reply->status,
                        .made_usec = clock_boottime_usec() };
                answer.response = kept_variant(http, kept, route, document->gzip);
                answer.is_kept = true;
        }
        reply->body = NULL;
        free(key);
        return answer;
}

int document_answer(Http *http, const DocumentRequest *document, HttpReply *reply, Answer *ret) {
        const HttpRoute *route = document->route;
        const char *type = route->choose ? route->choose(document->request.accept) : "";
        _cleanup_(freep) char *key = make_key(document, type);
        Kept *kept = reply->work ? NULL : find_kept(http->documents, key);
        int r;

        if (kept) {
                *ret = (Answer){ .response = kept_variant(http, kept, route, document->gzip),
                        .status = kept->status,
                        .is_kept = true };
                return 0;
        }
        r = make_reply(http, document, reply);
        if (r < 0)
                return r;
        if (reply->constant)
                *ret = (Answer){ .response = constant_answer(reply, route, document->gzip), .status = reply->status };
        else
                *ret = answer_with(http, document, reply, TAKE_PTR(key));
        return 0;
}
