/*
 * Documents, and the one form of every error.
 *
 * Called by the handlers of the routes and by http-exchange.c.  The hard thing is small: an error tells what to do, and
 * may repeat what the asker has sent, so it is JSON and never a page.
 */
#include "base/cleanup.h"
#include "status/router.h"
#include <string.h>

#define JSON_TYPE    "application/json"
#define PROBLEM_TYPE "application/problem+json"

static const struct {
        unsigned status;
        const char *title;
} titles[] = {
        { 400, "Bad Request" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 409, "Ambiguous" },
        { 414, "URI Too Long" },
        { 421, "Misdirected Request" },
        { 500, "Internal Server Error" },
        { 503, "Service Unavailable" },
};

const char *http_query(const HttpRequest *request, const char *name) {
        for (size_t i = 0; i < request->n_members; i++)
                if (strcmp(request->members[i].name, name) == 0)
                        return request->members[i].value;
        return NULL;
}

void http_reply_deinit(HttpReply *reply) {
        if (reply->work)
                reply->free_work(reply->work);
        free(reply->body);
        *reply = (HttpReply){ .status = 200 };
}

int http_reply_text(HttpReply *reply, const char *content_type, char *text) {
        if (!text)
                return -ENOMEM;
        free(reply->body);
        reply->content_type = content_type;
        reply->body = text;
        reply->size = strlen(text);
        return 0;
}

int http_reply_json_text(HttpReply *reply, char *text) {
        return http_reply_text(reply, JSON_TYPE, text);
}

int http_reply_json(HttpReply *reply, json_t *value) {
        char *text = value ? json_to_text(value) : NULL;

        json_decref(value);
        return http_reply_json_text(reply, text);
}

int http_reply_problem(HttpReply *reply, unsigned status, const char *detail, const char *hint) {
        const char *title = "Error";
        int r;

        for (size_t i = 0; i < ELEMENTSOF(titles); i++)
                if (titles[i].status == status)
                        title = titles[i].title;
        r = http_reply_json(reply,
                json_pack("{s:s, s:s, s:i, s:o, s:o}", "type", "about:blank", "title", title, "status", (int)status,
                        "detail", json_from_text(detail), "hint", json_from_text(hint)));
        reply->status = status;
        reply->content_type = PROBLEM_TYPE;
        return r;
}
