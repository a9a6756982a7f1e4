/*
 * Sums of the record.
 *
 * Called by the documents and the stream, as often as they like.  The hard thing is to be exact and cheap: a count of
 * 100,000 kills takes milliseconds, which nobody has under a quota.  So each count is paid for by the time until the
 * next one, a hundred times what it took; a kill that is recorded meanwhile is added at once, and the only thing that
 * is late is one that becomes older than 24 hours.
 */
#include "status/ledger.h"

#include "base/clock.h"
#include "db/queries.h"
#include "status/public.h"
#include "status/tally.h"
#include <string.h>

#define DAY_USEC         (24 * 3600 * USEC_PER_SEC)
#define KILLS_AGE_USEC   (10 * USEC_PER_SEC)
#define STORAGE_AGE_USEC (1 * USEC_PER_SEC)
#define COST_FACTOR      100

struct Ledger {
        LedgerOptions options;
        json_t *events;  /* owned; array, newest first */
        json_t *kills;   /* owned; object */
        json_t *storage; /* owned; may be NULL */
        uint64_t n_kills;
        uint64_t kills_until_usec, storage_until_usec; /* BOOTTIME: good until then */
        bool has_events;
};

static json_t *no_kills(void) {
        _cleanup_(json_decrefp) json_t *kills = json_object();

        for (const Verdict *v = tally_reasons; *v != VERDICT_NONE; v++)
                if (json_object_set_new(kills, verdict_to_string(*v), json_integer(0)) < 0)
                        return NULL;
        return TAKE_PTR(kills);
}

/* When what has begun at begun_usec is to be done again. */
static uint64_t next_time(uint64_t begun_usec, uint64_t least_usec) {
        uint64_t now = clock_boottime_usec();

        return now + MAX_OF(least_usec, COST_FACTOR * usec_sub(now, begun_usec));
}

static void add_kills(json_t *kills, const char *reason, json_int_t n) {
        json_t *count = reason ? json_object_get(kills, reason) : NULL;

        if (count)
                (void)json_integer_set(count, json_integer_value(count) + n);
}

static void count_kills(Ledger *ledger) {
        Viewer all = { .all = true };
        char since[CLOCK_RFC3339_MAX];
        _cleanup_(json_decrefp) json_t *by_reason = NULL, *kills = NULL;
        uint64_t begun = clock_boottime_usec(), count = 0;
        const char *reason;
        json_t *n;

        clock_format_rfc3339(since, usec_sub(clock_realtime_usec(), DAY_USEC));
        if (query_kills(ledger->options.spool, &all, since, &count, &by_reason) == 0 && (kills = no_kills())) {
                json_object_foreach(by_reason, reason, n) add_kills(kills, reason, json_integer_value(n));
                json_decref(ledger->kills);
                ledger->kills = TAKE_PTR(kills);
                ledger->n_kills = count;
        }
        ledger->kills_until_usec = next_time(begun, KILLS_AGE_USEC);
}

const json_t *ledger_kills(Ledger *ledger, uint64_t *ret_count) {
        if (clock_boottime_usec() >= ledger->kills_until_usec)
                count_kills(ledger);
        *ret_count = ledger->n_kills;
        return ledger->kills;
}

static void read_events(Ledger *ledger) {
        Filter filter = { .kind = RECORD_EVENT, .viewer = { .all = true }, .limit = LEDGER_EVENTS_MAX };
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        int r = cursor_new(ledger->options.spool, &filter, &cursor);

        (void)json_array_clear(ledger->events);
        while (r == 0) {
                _cleanup_(json_decrefp) json_t *row = NULL;

                r = cursor_next(cursor, &row);
                if (r == 0)
                        (void)json_array_append_new(
                                ledger->events, public_event(row, ledger->options.hides_analysis_ids));
        }
        ledger->has_events = r == QUERY_E_END;
}

const json_t *ledger_events(Ledger *ledger) {
        if (!ledger->has_events)
                read_events(ledger);
        return ledger->events;
}

const char *ledger_newest(Ledger *ledger) {
        return json_string_value(json_object_get(json_array_get(ledger_events(ledger), 0), "event_id"));
}

const json_t *ledger_storage(Ledger *ledger) {
        uint64_t begun = clock_boottime_usec();
        json_t *storage;

        if (ledger->storage && begun < ledger->storage_until_usec)
                return ledger->storage;
        storage = ledger->options.storage(ledger->options.userdata);
        if (storage) {
                json_decref(ledger->storage);
                ledger->storage = storage;
        }
        ledger->storage_until_usec = next_time(begun, STORAGE_AGE_USEC);
        return ledger->storage;
}

/* Where it belongs by its time: a kill that was decided first may be recorded last. */
static void insert_event(json_t *events, json_t *event) {
        const char *at = json_string_value(json_object_get(event, "decided_at"));
        size_t i = 0;

        while (at && i < json_array_size(events)) {
                const char *other = json_string_value(json_object_get(json_array_get(events, i), "decided_at"));

                if (!other || strcmp(other, at) <= 0)
                        break;
                i++;
        }
        (void)json_array_insert_new(events, i, event);
        if (json_array_size(events) > LEDGER_EVENTS_MAX)
                (void)json_array_remove(events, LEDGER_EVENTS_MAX);
}

static void on_event(const json_t *row, void *userdata) {
        Ledger *ledger = userdata;
        json_t *event = public_event(row, ledger->options.hides_analysis_ids);

        ledger->n_kills++;
        add_kills(ledger->kills, json_string_value(json_object_get(row, "reason")), 1);
        if (!ledger->has_events || !event) {
                ledger->has_events = false;
                json_decref(event);
                return;
        }
        insert_event(ledger->events, event);
}

int ledger_new(const LedgerOptions *options, Ledger **ret) {
        _cleanup_(ledger_freep) Ledger *ledger = calloc(1, sizeof(*ledger));
        int r;

        if (!ledger)
                return -ENOMEM;
        ledger->options = *options;
        ledger->events = json_array();
        ledger->kills = no_kills();
        if (!ledger->events || !ledger->kills)
                return -ENOMEM;
        r = live_on_event(options->live, on_event, ledger);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(ledger);
        return 0;
}

void ledger_free(Ledger *ledger) {
        (void)live_on_event(ledger->options.live, NULL, ledger);
        json_decref(ledger->storage);
        json_decref(ledger->kills);
        json_decref(ledger->events);
        free(ledger);
}
