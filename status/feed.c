/*
 * The feed of the stream.
 *
 * Called by the loop every two seconds while there are readers, by the live mirror for each kill, and by the stream for
 * a snapshot.  The hard thing is that all readers get the same messages, whenever they have joined: so what an update
 * leaves out is told from the update before it (or the beginning), never from what a single reader has seen, and a run
 * that any snapshot has shown is told to be gone when it is.
 */
#include "status/feed.h"

#include "base/clock.h"
#include "control/priority.h"
#include "db/queries.h"
#include "status/api.h"
#include "status/ledger.h"
#include "status/public.h"
#include <string.h>

#define PRIORITY_FEED (PRIORITY_CLIENTS + 10)

struct Feed {
        sd_event *event; /* owned */
        const Board *board;
        Pace *pace;
        Stream *stream;           /* owned */
        sd_event_source *timer;   /* owned; runs while there are readers */
        json_t *shown;            /* owned; object: run_id of each run that readers may have → true */
        uint64_t told_generation; /* of the mirror, when the last update was made */
        uint64_t said_usec;       /* BOOTTIME of the last message */
        char *newest;             /* owned; event_id, NULL: none */
        bool has_newest, has_event;
};

static char *text_of(json_t *document) {
        char *text = document ? json_to_text(document) : NULL;

        json_decref(document);
        return text;
}

static void say(Feed *feed, const char *event, const char *id, json_t *document) {
        feed->said_usec = clock_boottime_usec();
        stream_say(feed->stream, event, id, text_of(document));
}

static int show(Feed *feed, const char *run_id) {
        return json_object_set_new(feed->shown, run_id, json_true());
}

/* Those of the first runs that readers don't have, or that have changed; they are shown from now on. NULL on OOM. */
static json_t *changed_runs(Feed *feed, json_t *now_shown) {
        LiveRun *runs[FEED_RUNS_MAX];
        size_t n = live_top(feed->board->live, runs, FEED_RUNS_MAX);
        _cleanup_(json_decrefp) json_t *list = json_array();
        uint64_t now = clock_realtime_usec();

        for (size_t i = 0; i < n; i++) {
                bool has = json_object_get(feed->shown, runs[i]->run_id);

                if (json_object_set_new(now_shown, runs[i]->run_id, json_true()) < 0)
                        return NULL;
                if ((!has || runs[i]->generation > feed->told_generation) &&
                        json_array_append_new(list, public_live(runs[i], now, feed->board->hides_analysis_ids, false)) <
                                0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

static json_t *gone_runs(Feed *feed, const json_t *now_shown) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        const char *run_id;
        json_t *value;

        json_object_foreach(feed->shown, run_id, value) {
                if (!json_object_get(now_shown, run_id) && json_array_append_new(list, json_string(run_id)) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

static json_t *update_document(Feed *feed) {
        _cleanup_(json_decrefp) json_t *document = api_document(), *now_shown = json_object(),
                                       *runs = changed_runs(feed, now_shown), *gone = gone_runs(feed, now_shown);

        if (!document || !runs || !gone || json_object_set_new(document, "watchdog", api_watchdog(feed->board)) < 0 ||
                json_object_set(document, "runs", runs) < 0 || json_object_set(document, "gone", gone) < 0)
                return NULL;
        json_decref(feed->shown);
        feed->shown = TAKE_PTR(now_shown);
        return TAKE_PTR(document);
}

/* "Nothing has changed, and I am still here." */
static json_t *alive_document(void) {
        _cleanup_(json_decrefp) json_t *document = api_document();

        if (!document || json_object_set_new(document, "watchdog", json_null()) < 0 ||
                json_object_set_new(document, "runs", json_array()) < 0 ||
                json_object_set_new(document, "gone", json_array()) < 0)
                return NULL;
        return TAKE_PTR(document);
}

static void tell(Feed *feed) {
        uint64_t generation = live_generation(feed->board->live);

        live_watch(feed->board->live);
        if (generation != feed->told_generation || feed->has_event) {
                json_t *document = update_document(feed);

                feed->told_generation = generation;
                feed->has_event = false;
                say(feed, "update", NULL, document);
        } else if (usec_sub(clock_boottime_usec(), feed->said_usec) >= FEED_ALIVE_USEC - FEED_PERIOD_USEC)
                say(feed, "update", NULL, alive_document());
}

static void arm(Feed *feed, uint64_t at_usec) {
        (void)sd_event_source_set_time(feed->timer, at_usec);
        (void)sd_event_source_set_enabled(feed->timer, SD_EVENT_ONESHOT);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Feed *feed = userdata;
        uint64_t now = clock_boottime_usec(), wait = pace_wait(feed->pace, now);

        if (stream_readers(feed->stream) == 0)
                return 0;
        if (wait > 0) {
                arm(feed, wait);
                return 0;
        }
        pace_begin(feed->pace);
        tell(feed);
        pace_end(feed->pace, clock_boottime_usec());
        arm(feed, now + FEED_PERIOD_USEC);
        return 0;
}

/* A first reader. */
static void wake(Feed *feed) {
        if (sd_event_source_get_enabled(feed->timer, NULL) <= 0)
                arm(feed, clock_boottime_usec() + FEED_PERIOD_USEC);
}

static void set_newest(Feed *feed, const char *event_id) {
        free(feed->newest);
        feed->newest = event_id ? strdup(event_id) : NULL;
        feed->has_newest = true;
}

static void on_event(const json_t *row, void *userdata) {
        Feed *feed = userdata;
        const char *event_id = json_string_value(json_object_get(row, "event_id"));
        json_t *document;

        set_newest(feed, event_id);
        stream_stale(feed->stream);
        feed->has_event = true;
        if (stream_readers(feed->stream) == 0)
                return;
        document = api_document();
        if (document &&
                json_object_set_new(document, "event", public_event(row, feed->board->hides_analysis_ids)) < 0) {
                json_decref(document);
                document = NULL;
        }
        say(feed, "event", event_id, document);
}

static const char *source_newest(void *userdata) {
        Feed *feed = userdata;

        if (!feed->has_newest)
                set_newest(feed, ledger_newest(feed->board->ledger));
        return feed->newest;
}

/* Without braces: the stream puts `reset` in front. */
static char *inner_text(json_t *document) {
        char *text = text_of(document);
        size_t length = text ? strlen(text) : 0;

        if (length < 2)
                return text;
        memmove(text, text + 1, length - 2);
        text[length - 2] = '\0';
        return text;
}

static char *source_snapshot(void *userdata) {
        Feed *feed = userdata;
        _cleanup_(json_decrefp) json_t *document = api_status(feed->board), *top = api_top(feed->board, FEED_RUNS_MAX);
        json_t *run, *runs = json_object_get(top, "runs");
        size_t i;

        if (!document || !runs)
                return NULL;
        json_array_foreach(runs, i, run) {
                if (show(feed, json_string_value(json_object_get(run, "run_id"))) < 0)
                        return NULL;
        }
        if (json_object_set(document, "runs", runs) < 0)
                return NULL;
        wake(feed);
        return inner_text(TAKE_PTR(document));
}

static int source_find(const char *event_id, int64_t *ret_place, void *userdata) {
        Feed *feed = userdata;

        return query_event_place(feed->board->spool, event_id, ret_place) == 0 ? 0 : -ENOENT;
}

static int source_replay(int64_t *place, char **ret_id, char **ret_data, void *userdata) {
        Feed *feed = userdata;
        _cleanup_(json_decrefp) json_t *row = NULL, *document = api_document();
        const char *event_id;

        if (query_event_after(feed->board->spool, place, &row) != 0)
                return -ENOENT;
        event_id = json_string_value(json_object_get(row, "event_id"));
        if (!document || !event_id ||
                json_object_set_new(document, "event", public_event(row, feed->board->hides_analysis_ids)) < 0)
                return -ENOMEM;
        *ret_id = strdup(event_id);
        *ret_data = json_to_text(document);
        if (*ret_id && *ret_data)
                return 0;
        free(TAKE_PTR(*ret_id));
        free(TAKE_PTR(*ret_data));
        return -ENOMEM;
}

static int feed_start(Feed *feed) {
        StreamSource source = { .snapshot = source_snapshot,
                .newest = source_newest,
                .find = source_find,
                .replay = source_replay,
                .userdata = feed };
        int r = stream_new(&source, &feed->stream);

        if (r >= 0)
                r = sd_event_add_time(feed->event, &feed->timer, CLOCK_BOOTTIME, 0, 1, on_time, feed);
        if (r >= 0)
                r = sd_event_source_set_priority(feed->timer, PRIORITY_FEED);
        if (r >= 0)
                r = sd_event_source_set_enabled(feed->timer, SD_EVENT_OFF);
        return r < 0 ? r : live_on_event(feed->board->live, on_event, feed);
}

int feed_new(sd_event *event, const Board *board, Pace *pace, Feed **ret) {
        _cleanup_(feed_freep) Feed *feed = calloc(1, sizeof(*feed));
        int r;

        if (!feed)
                return -ENOMEM;
        *feed = (Feed){ .event = sd_event_ref(event), .board = board, .pace = pace, .shown = json_object() };
        r = feed->shown ? feed_start(feed) : -ENOMEM;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(feed);
        return 0;
}

void feed_free(Feed *feed) {
        (void)live_on_event(feed->board->live, NULL, feed);
        sd_event_source_disable_unref(feed->timer);
        if (feed->stream)
                stream_free(feed->stream);
        json_decref(feed->shown);
        free(feed->newest);
        sd_event_unref(feed->event);
        free(feed);
}

Stream *feed_stream(Feed *feed) {
        return feed->stream;
}
