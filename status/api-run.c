/*
 * /api/runs/ID: one run with its kills, its timeline, and in words what happened.
 *
 * Called for the document and for the page of a run.  The hard thing is a run that lives: its row in the record is as
 * old as its last change, so its figures are the mirror's, and its timeline the supervisor's (request->looked), if that
 * has answered in time.
 */
#include "status/api.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "status/public.h"
#include "status/words.h"
#include <string.h>

#define EVENTS_MAX 20 /* of one run; it has one, and one more for its leftovers */
#define CANDIDATES "Give more characters of the run id; /api/runs lists those that run."

static const Viewer everybody = { .all = true };

static bool is_run_id(const char *text) {
        return strspn(text, "0123456789abcdefABCDEF-") == strlen(text) && strlen(text) >= SELECTOR_MIN;
}

/*
 * As query_select(). Where analysis ids are hidden somebody else's run can't be asked for by one, also by one that
 * looks like a run id: that would be a way to try them.
 */
static int select_run(const Board *board, const HttpRequest *request, Selection *ret) {
        int r = QUERY_E_NOT_FOUND;

        if (!board->hides_analysis_ids)
                return query_select(board->spool, &everybody, request->rest, ret);
        if (request->viewer.is_known)
                r = query_select(board->spool, &request->viewer.rows, request->rest, ret);
        if (r != QUERY_E_NOT_FOUND || !is_run_id(request->rest))
                return r;
        r = query_select(board->spool, &everybody, request->rest, ret);
        return r == 0 && ret->analysis_id ? QUERY_E_NOT_FOUND : r;
}

/* The run_id that is meant. 0; a problem in reply and 1; -EAGAIN, -ENOMEM. */
static int find_run(const Board *board, const HttpRequest *request, HttpReply *reply, char **ret_run_id) {
        _cleanup_(selection_deinit) Selection selection = { .run_id = NULL };
        const char *name = request->rest;
        int r;

        if (live_find(board->live, name)) {
                *ret_run_id = strdup(name);
                return *ret_run_id ? 0 : -ENOMEM;
        }
        board->settle(board->userdata);
        r = select_run(board, request, &selection);
        if (r == QUERY_E_AWAY)
                return -EAGAIN;
        if (r < 0)
                return r;
        if (r > 0) {
                r = r == QUERY_E_NOT_FOUND
                        ? http_reply_problem(reply, 404, "there is no such run", "/api/runs lists those that run.")
                        : http_reply_problem(reply, 409, "several runs match", CANDIDATES);
                return r < 0 ? r : 1;
        }
        *ret_run_id = TAKE_PTR(selection.run_id);
        return 0;
}

/* The whole row: as the supervisor has told it, else as it is recorded. 0, -ENOENT, -EAGAIN, -ENOMEM. */
static int read_row(const Board *board, const HttpRequest *request, const char *run_id, json_t **ret) {
        int r;

        if (request->looked) {
                *ret = json_incref((json_t *)request->looked);
                return 0;
        }
        board->settle(board->userdata);
        r = query_run(board->spool, &everybody, run_id, ret);
        return r == QUERY_E_NOT_FOUND ? -ENOENT : r == QUERY_E_AWAY ? -EAGAIN : r;
}

/* Its kills as they are recorded, newest first. 0, -EAGAIN, -ENOMEM. */
static int read_events(const Board *board, const char *run_id, json_t *list) {
        Filter filter = { .kind = RECORD_EVENT, .viewer = everybody, .run_id = run_id, .limit = EVENTS_MAX };
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        int r = cursor_new(board->spool, &filter, &cursor);

        while (r == 0) {
                _cleanup_(json_decrefp) json_t *row = NULL;

                r = cursor_next(cursor, &row);
                if (r == 0 && json_array_append(list, row) < 0)
                        return -ENOMEM;
        }
        return r == QUERY_E_END ? 0 : r == QUERY_E_AWAY ? -EAGAIN : r;
}

/* What this viewer may see of it. */
typedef struct Sight {
        bool owns, hides;
} Sight;

static json_t *see_event(const json_t *row, Sight sight) {
        _cleanup_(json_decrefp) json_t *o = public_event(row, sight.hides);

        if (o && sight.owns && public_complete(o, row) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static json_t *see_events(const json_t *rows, Sight sight) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) {
                if (json_array_append_new(list, see_event(row, sight)) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

static json_t *see_run(const Board *board, const char *run_id, const json_t *row, Sight sight) {
        const LiveRun *live = live_find(board->live, run_id);
        _cleanup_(json_decrefp) json_t *o =
                live ? public_live(live, clock_realtime_usec(), sight.hides, true) : public_run(row, sight.hides);

        if (o && sight.owns && row && public_complete(o, row) < 0)
                return NULL;
        return TAKE_PTR(o);
}

/* For the words: of somebody else's run only what is public. */
static json_t *tell(const json_t *row, Sight sight) {
        return sight.owns ? json_incref((json_t *)row) : public_told(row, sight.hides);
}

static json_t *tell_all(const json_t *rows, Sight sight) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        json_t *row;
        size_t i;

        json_array_foreach(rows, i, row) {
                if (json_array_append_new(list, tell(row, sight)) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

static json_t *words_of(const json_t *row, const json_t *events, Sight sight) {
        _cleanup_(json_decrefp) json_t *run = tell(row, sight), *kills = tell_all(events, sight);
        _cleanup_(freep) char *text = run && kills ? words_why(run, kills) : NULL;

        return text ? json_from_text(text) : NULL;
}

/* Of the run, else of the newest kill: what is kept while it lives is told with the kill. */
static json_t *timeline_of(const json_t *row, const json_t *events) {
        json_t *timeline = json_object_get(row, "timeline");

        if (!json_is_object(timeline))
                timeline = json_object_get(json_array_get(events, 0), "timeline");
        return json_is_object(timeline) ? json_incref(timeline) : json_null();
}

/* Only the supervisor's word knows it, and the record's: no list has it. */
static json_t *warned_at_of(const json_t *row) {
        json_t *at = json_object_get(row, "warned_at");

        return json_is_string(at) ? json_incref(at) : json_null();
}

static json_t *run_document(
        const Board *board, const char *run_id, const json_t *row, const json_t *events, Sight sight) {
        _cleanup_(json_decrefp) json_t *document = api_document();

        if (!document || json_object_set_new(document, "run", see_run(board, run_id, row, sight)) < 0 ||
                json_object_set_new(document, "events", see_events(events, sight)) < 0 ||
                json_object_set_new(document, "timeline", timeline_of(row, events)) < 0 ||
                json_object_set_new(document, "warned_at", warned_at_of(row)) < 0 ||
                json_object_set_new(document, "why", row ? words_of(row, events, sight) : json_null()) < 0)
                return NULL;
        return TAKE_PTR(document);
}

int api_run(const Board *board, const HttpRequest *request, HttpReply *reply, json_t **ret) {
        _cleanup_(json_decrefp) json_t *row = NULL, *events = json_array();
        _cleanup_(freep) char *run_id = NULL;
        const LiveRun *live;
        uid_t uid;
        int r = find_run(board, request, reply, &run_id);

        *ret = NULL;
        if (r != 0)
                return r < 0 ? r : 0;
        r = read_row(board, request, run_id, &row);
        live = live_find(board->live, run_id);
        if (r == -ENOENT && !live)
                return http_reply_problem(reply, 404, "there is no such run", "/api/runs lists those that run.");
        if (r == 0 || r == -ENOENT)
                r = read_events(board, run_id, events);
        if (r < 0)
                return r;
        uid = live ? live->uid : (uid_t)json_integer_value(json_object_get(row, "uid"));
        *ret = run_document(board, run_id, row, events,
                (Sight){ .owns = api_owns(&request->viewer, uid), .hides = api_hides(board, &request->viewer, uid) });
        return *ret ? 0 : -ENOMEM;
}

int api_handle_run(const Board *board, const HttpRequest *request, HttpReply *reply) {
        json_t *document = NULL;
        int r = api_run(board, request, reply, &document);

        return r < 0 || !document ? r : http_reply_json(reply, document);
}
