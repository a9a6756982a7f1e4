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
#include "status/listing.h"
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

typedef struct Selected {
        const char *state, *analysis_id; /* NULL: all */
        uint64_t limit, offset;
} Selected;

static bool is_selected(const Selected *s, const LiveRun *run) {
        return (!s->state || strcmp(live_state_to_string(run->state), s->state) == 0) &&
                (!s->analysis_id || (run->analysis_id && strcmp(run->analysis_id, s->analysis_id) == 0));
}

/* Those of the live runs that are selected, in the order of their need. */
typedef struct LiveSelection {
        LiveRun **runs; /* owned list */
        size_t n_runs;
        uint64_t count; /* of all that match */
} LiveSelection;

static int select_live(const Board *board, const Selected *s, LiveSelection *ret) {
        bool all = !s->state && !s->analysis_id;
        size_t n = live_count(board->live), most = all ? MIN_OF(n, (size_t)(s->offset + s->limit)) : n, kept = 0;
        _cleanup_(freep) LiveRun **runs = calloc(most + 1, sizeof(LiveRun *));
        uint64_t count = 0;

        if (!runs)
                return -ENOMEM;
        most = live_top(board->live, runs, most);
        for (size_t i = 0; i < most; i++)
                if (is_selected(s, runs[i]) && count++ >= s->offset && count <= s->offset + s->limit)
                        runs[kept++] = runs[i];
        *ret = (LiveSelection){ .runs = TAKE_PTR(runs), .n_runs = kept, .count = all ? n : count };
        return 0;
}

/* A document but for its rows. count: taken over, NULL for none. NULL on OOM. */
static json_t *head_of(json_t *count, const Selected *s) {
        _cleanup_(json_decrefp) json_t *document = api_document();

        if (!document || (count && set(document, "count", count)) || set(document, "limit", json_from_u64(s->limit)) ||
                set(document, "offset", json_from_u64(s->offset)))
                return NULL;
        return TAKE_PTR(document);
}

json_t *api_top(const Board *board, size_t most) {
        Selected all = { .limit = most };
        _cleanup_(json_decrefp) json_t *document = NULL, *list = json_array();
        LiveSelection selection;
        int r = select_live(board, &all, &selection);

        if (r < 0)
                return NULL;
        for (size_t i = 0; r == 0 && i < selection.n_runs; i++)
                r = json_array_append_new(
                        list, public_live(selection.runs[i], clock_realtime_usec(), board->hides_analysis_ids, true));
        free(selection.runs);
        document = head_of(json_from_u64(selection.count), &all);
        if (r < 0 || !document || json_object_set(document, "runs", list) < 0)
                return NULL;
        return TAKE_PTR(document);
}

static void free_work(void *work) {
        listing_free(work);
}

/* Some more of the list that the reply works at. */
static int go_on(HttpReply *reply) {
        int r = listing_step(reply->work);

        return r == 0 ? http_reply_json_text(reply, listing_take(reply->work)) : r;
}

static int start(HttpReply *reply, Listing *listing) {
        reply->work = listing;
        reply->free_work = free_work;
        return go_on(reply);
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
        Listing *listing;
        int r;

        if (s->limit > ROWS_MAX || s->offset > 0)
                return http_reply_problem(
                        reply, 400, "of ended runs the newest 100 are shown", "scidexctl history shows all.");
        r = listing_new_recorded(board, &request->viewer, head_of(json_null(), s), &filter, &listing);
        return r < 0 ? r : start(reply, listing);
}

static int reply_live(const Board *board, const HttpRequest *request, const Selected *s, HttpReply *reply) {
        LiveSelection selection;
        Listing *listing;
        int r = select_live(board, s, &selection);

        if (r < 0)
                return r;
        r = listing_new_live(board, &request->viewer, head_of(json_from_u64(selection.count), s), selection.runs,
                selection.n_runs, &listing);
        free(selection.runs);
        return r < 0 ? r : start(reply, listing);
}

int api_handle_runs(const Board *board, const HttpRequest *request, HttpReply *reply) {
        Selected s = { .state = http_query(request, "state"), .analysis_id = http_query(request, "analysis_id") };

        if (reply->work)
                return go_on(reply);
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
        return reply_live(board, request, &s, reply);
}

int api_handle_events(const Board *board, const HttpRequest *request, HttpReply *reply) {
        Filter filter = { .kind = RECORD_EVENT,
                .viewer = looks_at(board, request),
                .analysis_id = http_query(request, "analysis_id"),
                .why = http_query(request, "reason"),
                .since_at = http_query(request, "since") };
        json_t *head;
        Listing *listing;
        int r;

        if (reply->work)
                return go_on(reply);
        if (api_number(request, "limit", EVENTS_DEFAULT, EVENTS_MAX, reply, &filter.limit) < 0 ||
                is_hidden(board, request, reply))
                return 0;
        head = api_document();
        if (!head || set(head, "limit", json_from_u64(filter.limit)) < 0) {
                json_decref(head);
                return -ENOMEM;
        }
        r = listing_new_recorded(board, &request->viewer, head, &filter, &listing);
        if (r == -EINVAL)
                return http_reply_problem(
                        reply, 400, "since is no time", "Write RFC 3339 in UTC: 2026-11-21T07:19:42Z.");
        return r < 0 ? r : start(reply, listing);
}
