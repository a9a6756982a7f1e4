/*
 * The face of scidex-recorder-full: what status/ makes, on the sockets that the supervisor has bound.
 *
 * Called as face.h says.  Here things are only put together.  The one hard thing is their order: who listens to the
 * live mirror hears of an event in the order of having asked, and a document or message must find the ledger up to
 * date.
 */
#include "cmd/scidex-recorder/face.h"

#include "base/log.h"
#include "status/feed.h"
#include "status/http.h"
#include "status/ledger.h"
#include "status/sampler.h"
#include "status/tally.h"
#include <string.h>

/* With what the sampler takes it is 30 % of a CPU quota, the rest is the supervisor's and the storing's; 25 % of one
 * processor where there is none. */
#define QUOTA_PERCENT (30 - SAMPLER_QUOTA_PERCENT)
#define CPU_PERCENT   (25 - SAMPLER_CPU_PERCENT)

struct Face {
        FaceOptions options;
        Pace pace;
        Ledger *ledger; /* owned */
        Tally tally;
        Board board;
        Feed *feed; /* owned */
        Http *http; /* owned */
};

bool face_is_possible(void) {
        return true;
}

static json_t *storage(void *userdata) {
        const Face *face = userdata;

        return shipping_storage(face->options.shipping, face->options.spool);
}

static void settle(void *userdata) {
        const Face *face = userdata;

        intake_settle(face->options.intake);
}

static void on_event(const json_t *row, void *userdata) {
        Face *face = userdata;

        tally_event(&face->tally, row);
}

static void on_run(const json_t *row, void *userdata) {
        Face *face = userdata;

        tally_run(&face->tally, row);
}

static int start_board(Face *face) {
        LedgerOptions ledger = { .live = face->options.live,
                .spool = face->options.spool,
                .hides_analysis_ids = face->options.hides_analysis_ids,
                .storage = storage,
                .userdata = face };
        int r = ledger_new(&ledger, &face->ledger);

        tally_init(&face->tally);
        if (r >= 0)
                r = live_on_event(face->options.live, on_event, face);
        if (r >= 0)
                r = live_on_run(face->options.live, on_run, face);
        face->board = (Board){ .live = face->options.live,
                .ledger = face->ledger,
                .tally = &face->tally,
                .spool = face->options.spool,
                .hides_analysis_ids = face->options.hides_analysis_ids,
                .storage = storage,
                .settle = settle,
                .userdata = face };
        return r;
}

static int start_server(sd_event *event, Face *face) {
        HttpOptions options = { .board = &face->board,
                .stream = feed_stream(face->feed),
                .pace = &face->pace,
                .policy = face->options.policy,
                .hosts = face->options.hosts,
                .n_hosts = face->options.n_hosts };
        int r = http_new(event, &options, &face->http);

        for (size_t i = 0; r >= 0 && i < face->options.n_fds; i++)
                r = http_listen(face->http, face->options.fds[i]);
        return r;
}

int face_new(sd_event *event, const FaceOptions *options, Face **ret) {
        _cleanup_(face_freep) Face *face = NULL;
        int r;

        *ret = NULL;
        if (options->n_fds == 0)
                return 0;
        face = calloc(1, sizeof(*face));
        if (!face)
                return -ENOMEM;
        face->options = *options;
        pace_init(&face->pace, QUOTA_PERCENT, CPU_PERCENT);
        r = start_board(face);
        if (r >= 0)
                r = feed_new(event, &face->board, &face->pace, FEED_PERIOD_USEC, &face->feed);
        if (r >= 0)
                r = start_server(event, face);
        if (r < 0) {
                /* The record is what this program is for. */
                log_line(LOG_LEVEL_ERROR, "can't serve HTTP: %s; going on without", strerror(-r));
                return 0;
        }
        *ret = TAKE_PTR(face);
        return 0;
}

void face_free(Face *face) {
        if (face->http)
                http_free(face->http);
        if (face->feed)
                feed_free(face->feed);
        (void)live_on_event(face->options.live, NULL, face);
        (void)live_on_run(face->options.live, NULL, face);
        if (face->ledger)
                ledger_free(face->ledger);
        free(face);
}
