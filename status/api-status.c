/*
 * /api/quests/status and /healthz.
 *
 * Called for the document itself, for the page, the metrics and each message of the stream.  The hard thing is that it
 * answers always: without a run, without a supervisor, and while the database is away; what is not known is null.
 */
#include "status/api.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "status/ledger.h"
#include "status/public.h"
#include <string.h>

#define TEXT_TYPE "text/plain; charset=utf-8"

static int set(json_t *object, const char *key, json_t *value) {
        return json_object_set_new_nocheck(object, key, value ? value : json_null());
}

json_t *api_document(void) {
        _cleanup_(json_decrefp) json_t *document = json_object();

        if (!document || set(document, "schema", json_integer(1)) ||
                set(document, "generated_at", public_time(clock_realtime_usec())))
                return NULL;
        return TAKE_PTR(document);
}

static json_t *states_of(const LiveTotals *totals) {
        _cleanup_(json_decrefp) json_t *states = json_object();

        for (LiveState state = 0; state < LIVE_STATE_MAX_; state++)
                if (set(states, live_state_to_string(state), json_integer((json_int_t)totals->n_by_state[state])) < 0)
                        return NULL;
        return TAKE_PTR(states);
}

/* Sums of what is known. No run at all is 0, runs that nobody has measured yet are null. */
static json_t *totals_of(const LiveTotals *totals) {
        _cleanup_(json_decrefp) json_t *o = json_object();
        bool known = totals->n_measured > 0 || totals->n_runs == 0;

        if (set(o, "memory_bytes", known ? json_from_u64(totals->memory_bytes) : NULL) ||
                set(o, "anon_bytes", known ? json_from_u64(totals->anon_bytes) : NULL) ||
                set(o, "file_bytes", known ? json_from_u64(totals->file_bytes) : NULL) ||
                set(o, "limit_bytes", json_from_u64(totals->limit_bytes)) ||
                set(o, "cpus", known && totals->cpus >= 0 ? json_real(totals->cpus) : NULL))
                return NULL;
        return TAKE_PTR(o);
}

static json_t *member(const json_t *object, const char *key) {
        return json_incref(json_object_get(object, key));
}

static json_t *storage_of(const Board *board) {
        const json_t *storage = ledger_storage(board->ledger), *postgres = json_object_get(storage, "postgres");
        _cleanup_(json_decrefp) json_t *o = json_object();
        bool ships = json_is_object(postgres);

        if (set(o, "kind", storage ? member(storage, "kind") : json_string("sqlite")) ||
                set(o, "state", storage ? member(storage, "state") : json_string("failed")) ||
                set(o, "postgres_state", member(postgres, "state")) ||
                set(o, "waiting", ships ? member(postgres, "waiting") : member(storage, "outbox")) ||
                set(o, "dead_letters", ships ? member(postgres, "dead_letters") : json_integer(0)) ||
                set(o, "runs", member(storage, "runs")) || set(o, "events", member(storage, "events")) ||
                set(o, "bytes", member(storage, "bytes")))
                return NULL;
        return TAKE_PTR(o);
}

static json_t *supervisor_of(const Board *board) {
        const LiveSupervisor *s = live_supervisor(board->live);
        uint64_t uptime = s->started_usec > 0 ? usec_sub(clock_realtime_usec(), s->started_usec) : LIVE_NONE;
        _cleanup_(json_decrefp) json_t *o = json_object();

        if (set(o, "version", json_from_text(s->version)) || set(o, "mode", json_from_text(s->mode)) ||
                set(o, "started_at", public_time(s->started_usec)) || set(o, "uptime_sec", public_seconds(uptime)) ||
                set(o, "restarts", s->starts > 0 ? json_from_u64(s->starts - 1) : NULL) ||
                set(o, "enforcement", json_from_text(s->enforcement)) ||
                set(o, "connected", json_boolean(s->is_connected)))
                return NULL;
        return TAKE_PTR(o);
}

json_t *api_watchdog(const Board *board) {
        _cleanup_(json_decrefp) json_t *o = json_object();
        const json_t *by_reason;
        LiveTotals totals;
        uint64_t kills;

        live_totals(board->live, &totals);
        by_reason = ledger_kills(board->ledger, &kills);
        if (!o || set(o, "monitored_count", json_integer((json_int_t)totals.n_runs)) ||
                set(o, "grace_count", json_integer((json_int_t)totals.n_by_state[LIVE_GRACE])) ||
                set(o, "kills_last_24h", json_from_u64(kills)) ||
                set(o, "kills_by_reason", json_copy((json_t *)by_reason)) || set(o, "states", states_of(&totals)) ||
                set(o, "recent_events", json_copy((json_t *)ledger_events(board->ledger))) ||
                set(o, "totals", totals_of(&totals)) || set(o, "storage", storage_of(board)) ||
                set(o, "supervisor", supervisor_of(board)))
                return NULL;
        return TAKE_PTR(o);
}

json_t *api_status(const Board *board) {
        _cleanup_(json_decrefp) json_t *document = api_document(), *watchdog = api_watchdog(board);

        if (!document || !watchdog || json_object_set(document, "watchdog", watchdog) < 0)
                return NULL;
        return TAKE_PTR(document);
}

int api_handle_status(const Board *board, const HttpRequest *request, HttpReply *reply) {
        return http_reply_json(reply, api_status(board));
}

int api_handle_health(const Board *board, const HttpRequest *request, HttpReply *reply) {
        if (live_supervisor(board->live)->is_connected)
                return http_reply_text(reply, TEXT_TYPE, strdup("ok\n"));
        return http_reply_problem(reply, 503, "the supervisor is away",
                "Limits are enforced again once it is back: systemctl status scidex-supervisor.");
}
