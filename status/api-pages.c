/*
 * The pages and what is embedded for them, as documents.
 *
 * Called through the table of router.c.  A page is made of the documents that the API gives, so it shows to everybody
 * what they would be told there, and nothing else.  What goes wrong with a page is said as a page: people read it.
 */
#include "status/api.h"

#include "base/cleanup.h"
#include "status/asset.h"
#include "status/page.h"

#define HTML_TYPE  "text/html; charset=utf-8"
#define RUNS_SHOWN 100 /* as many as the stream tells of */

int api_handle_dashboard(const Board *board, const HttpRequest *request, HttpReply *reply) {
        _cleanup_(json_decrefp) json_t *status = api_status(board), *runs = api_top(board, RUNS_SHOWN);

        (void)request;
        if (!status || !runs)
                return -ENOMEM;
        return http_reply_text(reply, HTML_TYPE, page_dashboard(status, runs));
}

int api_handle_run_page(const Board *board, const HttpRequest *request, HttpReply *reply) {
        _cleanup_(json_decrefp) json_t *answer = NULL, *problem = NULL;
        int r = api_run(board, request, reply, &answer);

        if (r < 0)
                return r;
        if (answer)
                return http_reply_text(reply, HTML_TYPE, page_run(answer));
        r = json_parse(reply->body, reply->size, &problem);
        return r < 0 ? r : http_reply_text(reply, HTML_TYPE, page_problem(problem));
}

int api_handle_asset(const Board *board, const HttpRequest *request, HttpReply *reply) {
        const Asset *asset = asset_find(request->path);

        (void)board;
        if (!asset)
                return http_reply_problem(reply, 404, "there is no such file", "/ is the dashboard.");
        reply->content_type = asset->type;
        reply->constant = asset->bytes;
        reply->size = asset->size;
        reply->constant_gzip = asset->gzip;
        reply->constant_gzip_size = asset->gzip_size;
        return 0;
}
