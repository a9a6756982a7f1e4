/*
 * /metrics.
 *
 * Called for each scrape.  The document of /api/quests/status is made for it, so that a scraper and a page can't tell
 * different things; what that costs is bounded by the cache, which has one page of each format for a second.
 */
#include "status/api.h"

#include "base/cleanup.h"
#include "status/http-parse.h"
#include "status/metrics.h"

/* OpenMetrics where it is asked for by name and before the other; who takes anything gets what all can read. */
static MetricsFormat format_of(const char *accept) {
        return http_accept_quality(accept, "application/openmetrics-text") > http_accept_quality(accept, "text/plain")
                ? METRICS_OPENMETRICS
                : METRICS_TEXT;
}

const char *api_choose_metrics(const char *accept) {
        return metrics_content_type(format_of(accept));
}

int api_handle_metrics(const Board *board, const HttpRequest *request, HttpReply *reply) {
        MetricsFormat format = format_of(request->accept);
        _cleanup_(json_decrefp) json_t *status = api_status(board);

        if (!status || !board->tally)
                return -ENOMEM;
        return http_reply_text(reply, metrics_content_type(format), metrics_render(status, board->tally, format));
}
