/*
 * The stream as an answer without an end.
 *
 * Called by the library whenever the socket takes more.  The hard thing: a reader that has nothing to give must suspend
 * its connection, or the library asks again at once, for ever.  It is resumed when something was said (http.c), and so
 * at least every few seconds: then the library also notices who has gone, and a phase is over who takes nothing.
 */
#include "status/http-internal.h"

#include "base/clock.h"

#define BLOCK_BYTES 4096 /* of HTTP/1.0; chunks are as large as the connection's buffer leaves room */

static ssize_t on_room(void *userdata, uint64_t position, char *buffer, size_t max) {
        Exchange *exchange = userdata;
        int r;

        connection_enter(exchange->connection, PHASE_STREAM);
        /* Others wait; it comes again in its turn. */
        if (http_is_over(exchange->http)) {
                exchange_suspend(exchange, &exchange->http->due);
                return 0;
        }
        r = stream_reader_read(exchange->reader, clock_boottime_usec(), buffer, max);
        if (r == 0)
                exchange_suspend(exchange, &exchange->http->asleep);
        return r < 0 ? MHD_CONTENT_READER_END_WITH_ERROR : r;
}

struct MHD_Response *stream_answer(Exchange *exchange, const char *last_event_id) {
        struct MHD_Response *response;

        if (stream_reader_new(exchange->http->options.stream, last_event_id, &exchange->reader) < 0)
                return NULL;
        response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, on_room, exchange, NULL);
        if (!response)
                return NULL;
        document_add_headers(response, "text/event-stream; charset=utf-8", HTTP_FRESH);
        return response;
}
