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
#include "status/listing.h"
#include "status/public.h"
#include <string.h>

#define PRIORITY_FEED (PRIORITY_CLIENTS + 10)

struct Feed {
        sd_event *event; /* owned */
        const Board *board;
        Pace *pace;
        Stream *stream;           /* owned */
        sd_event_source *timer;   /* owned; runs while there are readers */
        json_t *shown;            /* owned; object: run_id of each run that readers may have → whether all have it */
        uint64_t told_generation; /* of the mirror, when the last update was made */
        uint64_t said_usec;       /* BOOTTIME of the last message */
        uint64_t period_usec;     /* between two updates */
        uint64_t next_usec;       /* BOOTTIME at which the next update is begun */
        Listing *update;          /* owned; being made, NULL: none */
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

/* A snapshot shows it: some have it now, and the next update tells the others, and those that were told it was gone. */
static int show(Feed *feed, const char *run_id) {
        if (json_object_get(feed->shown, run_id))
                return 0;
        return json_object_set_new(feed->shown, run_id, json_false());
}

/* Those of the first runs that not all readers have, or that have changed, to the front of the list; how many. */
static size_t changed_runs(Feed *feed, LiveRun **runs, json_t *now_shown) {
        size_t n = live_top(feed->board->live, runs, FEED_RUNS_MAX), changed = 0;

        for (size_t i = 0; i < n; i++) {
                bool has = json_is_true(json_object_get(feed->shown, runs[i]->run_id));

                (void)json_object_set_new(now_shown, runs[i]->run_id, json_true());
                if (!has || runs[i]->generation > feed->told_generation)
                        runs[changed++] = runs[i];
        }
        return changed;
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

/* Begins an update: what it says of runs is written piece by piece. 0 or -ENOMEM. */
static int update_begin(Feed *feed) {
        _cleanup_(json_decrefp) json_t *head = api_document(), *now_shown = json_object();
        LiveRun *runs[FEED_RUNS_MAX];
        size_t n = changed_runs(feed, runs, now_shown);

        if (!head || !now_shown || json_object_set_new(head, "watchdog", api_watchdog(feed->board)) < 0 ||
                json_object_set_new(head, "gone", gone_runs(feed, now_shown)) < 0)
                return -ENOMEM;
        json_decref(feed->shown);
        feed->shown = TAKE_PTR(now_shown);
        return listing_new_live(feed->board, NULL, TAKE_PTR(head), runs, n, &feed->update);
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

/* Some more of the update. Whether there is more to come; a gap for everybody where there is no memory. */
static bool update_go_on(Feed *feed) {
        int r = listing_step(feed->update);

        if (r == -EINPROGRESS)
                return true;
        feed->said_usec = clock_boottime_usec();
        stream_say(feed->stream, "update", NULL, r == 0 ? listing_take(feed->update) : NULL);
        listing_free(TAKE_PTR(feed->update));
        return false;
}

/* Says what there is to be said. Whether there is more to come. */
static bool tell(Feed *feed) {
        uint64_t generation = live_generation(feed->board->live);

        if (feed->update)
                return update_go_on(feed);
        live_watch(feed->board->live);
        if (generation != feed->told_generation || feed->has_event) {
                int r = update_begin(feed); /* of what has changed since told_generation */

                feed->told_generation = generation;
                feed->has_event = false;
                if (r == 0)
                        return true;
                stream_say(feed->stream, "update", NULL, NULL);
        } else if (usec_sub(clock_boottime_usec(), feed->said_usec) >= FEED_ALIVE_USEC - feed->period_usec)
                say(feed, "update", NULL, alive_document());
        return false;
}

static void arm(Feed *feed, uint64_t at_usec) {
        (void)sd_event_source_set_time(feed->timer, at_usec);
        (void)sd_event_source_set_enabled(feed->timer, SD_EVENT_ONESHOT);
}

/* Nobody reads any more. Who comes next is to have a snapshot made, which wakes the feed again. */
static void rest(Feed *feed) {
        (void)json_object_clear(feed->shown);
        stream_stale(feed->stream);
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        Feed *feed = userdata;
        uint64_t now = clock_boottime_usec(), wait = pace_wait(feed->pace, now);
        bool more;

        if (stream_readers(feed->stream) == 0 && !feed->update) {
                rest(feed);
                return 0;
        }
        if (wait > 0) {
                arm(feed, wait);
                return 0;
        }
        pace_begin(feed->pace);
        more = tell(feed);
        pace_end(feed->pace, clock_boottime_usec());
        if (!more)
                feed->next_usec = MAX_OF(feed->next_usec + feed->period_usec, now);
        arm(feed, more ? now : feed->next_usec);
        return 0;
}

/* A first reader. */
static void wake(Feed *feed) {
        if (sd_event_source_get_enabled(feed->timer, NULL) > 0)
                return;
        feed->next_usec = clock_boottime_usec() + feed->period_usec;
        arm(feed, feed->next_usec);
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

int feed_new(sd_event *event, const Board *board, Pace *pace, uint64_t period_usec, Feed **ret) {
        _cleanup_(feed_freep) Feed *feed = calloc(1, sizeof(*feed));
        int r;

        if (!feed)
                return -ENOMEM;
        *feed = (Feed){ .event = sd_event_ref(event),
                .board = board,
                .pace = pace,
                .period_usec = period_usec,
                .shown = json_object() };
        r = feed->shown ? feed_start(feed) : -ENOMEM;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(feed);
        return 0;
}

void feed_free(Feed *feed) {
        (void)live_on_event(feed->board->live, NULL, feed);
        sd_event_source_disable_unref(feed->timer);
        if (feed->update)
                listing_free(feed->update);
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
