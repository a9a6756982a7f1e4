/*
 * /api/runs and /api/events: lists.
 *
 * Called for the documents and the dashboard.  The hard thing is whose they are: everybody may see that a run is there,
 * and only its user and the admins more than that, so a row is public first and completed from the record after.
 */
#include "status/api.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "status/public.h"
#include <string.h>

#define RUNS_DEFAULT   100
#define RUNS_MAX       1000
#define ROWS_MAX       100 /* of rows that are read from the record one by one, about 0.1 ms each */
#define EVENTS_DEFAULT 100
#define EVENTS_MAX     200
#define HIDDEN         "analysis ids are not shown here"
#define HIDDEN_HINT    "Ask over the Unix socket, or set [http] analysis_ids = yes."

bool api_owns(const HttpViewer *viewer, uid_t uid) {
        return viewer->is_known && (viewer->rows.all || viewer->rows.uid == uid);
}

bool api_hides(const Board *board, const HttpViewer *viewer, uid_t uid) {
        return board->hides_analysis_ids && !api_owns(viewer, uid);
}

int api_number(
        const HttpRequest *request, const char *name, uint64_t absent, uint64_t most, HttpReply *reply, uint64_t *ret) {
        _cleanup_(freep) char *detail = NULL;
        const char *text = http_query(request, name);

        *ret = absent;
        if (!text || (parse_u64(text, ret) == 0 && *ret <= most))
                return 0;
        detail = text_printf("%s is no number from 0 to %llu", name, (unsigned long long)most);
        (void)http_reply_problem(reply, 400, detail, NULL);
        return -EINVAL;
}

static int set(json_t *object, const char *key, json_t *value) {
        return json_object_set_new_nocheck(object, key, value ? value : json_null());
}

/* A live run for this viewer. NULL on OOM. */
static json_t *live_row(const Board *board, const HttpViewer *viewer, const LiveRun *run) {
        _cleanup_(json_decrefp)
                json_t *row = NULL,
                       *o = public_live(run, clock_realtime_usec(), api_hides(board, viewer, run->uid), true);

        if (!o || !api_owns(viewer, run->uid) || query_run(board->spool, &viewer->rows, run->run_id, &row) != 0)
                return TAKE_PTR(o);
        return public_complete(o, row) == 0 ? TAKE_PTR(o) : NULL;
}

static uid_t uid_of(const json_t *row) {
        return (uid_t)json_integer_value(json_object_get(row, "uid"));
}

/* The same of a row of the record. */
static json_t *recorded_row(const Board *board, const HttpViewer *viewer, const json_t *row, RecordKind kind) {
        bool hides = api_hides(board, viewer, uid_of(row));
        _cleanup_(json_decrefp) json_t *o = kind == RECORD_RUN ? public_run(row, hides) : public_event(row, hides);

        if (o && api_owns(viewer, uid_of(row)) && public_complete(o, row) < 0)
                return NULL;
        return TAKE_PTR(o);
}

typedef struct Selected {
        const char *state, *analysis_id; /* NULL: all */
        uint64_t limit, offset;
} Selected;

static bool is_selected(const Selected *s, const LiveRun *run) {
        return (!s->state || strcmp(live_state_to_string(run->state), s->state) == 0) &&
                (!s->analysis_id || (run->analysis_id && strcmp(run->analysis_id, s->analysis_id) == 0));
}

/* The runs that are selected, and how many there are. NULL on OOM. */
static json_t *list_live(const Board *board, const HttpViewer *viewer, const Selected *s, uint64_t *ret_count) {
        bool all = !s->state && !s->analysis_id;
        size_t n = live_count(board->live), most = all ? MIN_OF(n, (size_t)(s->offset + s->limit)) : n;
        _cleanup_(freep) LiveRun **runs = calloc(most + 1, sizeof(*runs));
        _cleanup_(json_decrefp) json_t *list = json_array();
        uint64_t count = 0;

        if (!runs || !list)
                return NULL;
        most = live_top(board->live, runs, most);
        for (size_t i = 0; i < most; i++)
                if (is_selected(s, runs[i]) && count++ >= s->offset && count <= s->offset + s->limit &&
                        json_array_append_new(list, live_row(board, viewer, runs[i])) < 0)
                        return NULL;
        *ret_count = all ? n : count;
        return TAKE_PTR(list);
}

static json_t *runs_document(json_t *count, const Selected *s, json_t *runs) {
        _cleanup_(json_decrefp) json_t *document = api_document(), *n = count, *list = runs;

        if (!document || !list || set(document, "count", TAKE_PTR(n)) ||
                set(document, "limit", json_from_u64(s->limit)) || set(document, "offset", json_from_u64(s->offset)) ||
                json_object_set(document, "runs", list) < 0)
                return NULL;
        return TAKE_PTR(document);
}

json_t *api_top(const Board *board, size_t most) {
        static const HttpViewer nobody = { .rows = { .uid = (uid_t)-1 } };
        Selected all = { .limit = most };
        uint64_t count = 0;
        json_t *runs = list_live(board, &nobody, &all, &count);

        return runs_document(json_from_u64(count), &all, runs);
}

/* Rows of the record, newest first. 0, -EINVAL: a time that is none; -EAGAIN, -ENOMEM. */
static int list_recorded(const Board *board, const HttpViewer *viewer, const Filter *filter, json_t *list) {
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        int r;

        board->settle(board->userdata);
        r = cursor_new(board->spool, filter, &cursor);
        while (r == 0) {
                _cleanup_(json_decrefp) json_t *row = NULL;

                r = cursor_next(cursor, &row);
                if (r == 0 && json_array_append_new(list, recorded_row(board, viewer, row, filter->kind)) < 0)
                        return -ENOMEM;
        }
        return r == QUERY_E_END ? 0 : r == QUERY_E_AWAY ? -EAGAIN : r;
}

static bool is_hidden(const Board *board, const HttpRequest *request, HttpReply *reply) {
        if (!board->hides_analysis_ids || request->viewer.is_known || !http_query(request, "analysis_id"))
                return false;
        (void)http_reply_problem(reply, 400, HIDDEN, HIDDEN_HINT);
        return true;
}

/* Whose rows a filter may look at: everybody's are public, but for an analysis id that is hidden. */
static Viewer looks_at(const Board *board, const HttpRequest *request) {
        return board->hides_analysis_ids && http_query(request, "analysis_id") ? request->viewer.rows
                                                                               : (Viewer){ .all = true };
}

static int reply_ended(const Board *board, const HttpRequest *request, const Selected *s, HttpReply *reply) {
        Filter filter = {
                .kind = RECORD_RUN, .viewer = looks_at(board, request), .analysis_id = s->analysis_id, .limit = s->limit
        };
        _cleanup_(json_decrefp) json_t *list = json_array();
        int r;

        if (s->limit > ROWS_MAX || s->offset > 0)
                return http_reply_problem(
                        reply, 400, "of ended runs the newest 100 are shown", "scidexctl history shows all.");
        r = list_recorded(board, &request->viewer, &filter, list);
        return r < 0 ? r : http_reply_json(reply, runs_document(json_null(), s, TAKE_PTR(list)));
}

int api_handle_runs(const Board *board, const HttpRequest *request, HttpReply *reply) {
        Selected s = { .state = http_query(request, "state"), .analysis_id = http_query(request, "analysis_id") };
        uint64_t count = 0;
        json_t *runs;

        if (api_number(request, "limit", RUNS_DEFAULT, request->viewer.is_known ? ROWS_MAX : RUNS_MAX, reply,
                    &s.limit) < 0 ||
                api_number(request, "offset", 0, LIVE_RUNS_MAX, reply, &s.offset) < 0 ||
                is_hidden(board, request, reply))
                return 0;
        if (s.state && strcmp(s.state, "ended") == 0)
                return reply_ended(board, request, &s, reply);
        if (s.state && live_state_from_string(s.state) < 0)
                return http_reply_problem(reply, 400, "there is no such state",
                        "Write starting, running, grace, killing, ending or ended.");
        runs = list_live(board, &request->viewer, &s, &count);
        return http_reply_json(reply, runs_document(json_from_u64(count), &s, runs));
}

int api_handle_events(const Board *board, const HttpRequest *request, HttpReply *reply) {
        Filter filter = { .kind = RECORD_EVENT,
                .viewer = looks_at(board, request),
                .analysis_id = http_query(request, "analysis_id"),
                .why = http_query(request, "reason"),
                .since_at = http_query(request, "since") };
        _cleanup_(json_decrefp) json_t *list = json_array(), *document = api_document();
        int r;

        if (api_number(request, "limit", EVENTS_DEFAULT, EVENTS_MAX, reply, &filter.limit) < 0 ||
                is_hidden(board, request, reply))
                return 0;
        r = list_recorded(board, &request->viewer, &filter, list);
        if (r == -EINVAL)
                return http_reply_problem(
                        reply, 400, "since is no time", "Write RFC 3339 in UTC: 2026-11-21T07:19:42Z.");
        if (r < 0)
                return r;
        if (set(document, "count", json_integer((json_int_t)json_array_size(list))) ||
                set(document, "limit", json_from_u64(filter.limit)) || json_object_set(document, "events", list) < 0)
                return -ENOMEM;
        return http_reply_json(reply, TAKE_PTR(document));
}
