/*
 * Lists, piece by piece.
 *
 * Called by the handlers of lists, again and again as the pace of the server allows.  The hard thing is that the world
 * goes on between two pieces: a run may have ended, so it is known by its id only and left out then; and of the record
 * a place is kept and no statement, which is what a cursor is.
 */
#include "status/listing.h"

#include "base/clock.h"
#include "status/api.h"
#include "status/public.h"
#include <string.h>

struct Listing {
        const Board *board;
        HttpViewer viewer;
        char **run_ids; /* owned; of live runs */
        size_t n_ids, next;
        Cursor *cursor; /* owned; NULL: live runs */
        RecordKind kind;
        FILE *out;  /* owned */
        char *text; /* owned; out's */
        size_t size;
        size_t n_rows;
        bool counts, is_update;
};

void listing_free(Listing *listing) {
        if (listing->out)
                (void)fclose(listing->out);
        if (listing->cursor)
                cursor_free(listing->cursor);
        for (size_t i = 0; i < listing->n_ids; i++)
                free(listing->run_ids[i]);
        free(listing->run_ids);
        free(listing->text);
        free(listing);
}

char *listing_take(Listing *listing) {
        return TAKE_PTR(listing->text);
}

/* The document as far as the first row. */
static int begin(const Board *board, const HttpViewer *viewer, json_t *head, const char *name, Listing **ret) {
        _cleanup_(listing_freep) Listing *listing = calloc(1, sizeof(*listing));
        _cleanup_(freep) char *text = head ? json_to_text(head) : NULL;
        size_t length = text ? strlen(text) : 0;

        if (!listing || length < 2)
                return -ENOMEM;
        listing->board = board;
        listing->viewer = *viewer;
        listing->counts = !json_object_get(head, "count");
        listing->out = open_memstream(&listing->text, &listing->size);
        if (!listing->out)
                return -ENOMEM;
        (void)fprintf(listing->out, "%.*s,\"%s\":[", (int)(length - 1), text, name);
        *ret = TAKE_PTR(listing);
        return 0;
}

int listing_new_live(const Board *board, const HttpViewer *viewer, json_t *head, LiveRun *const *runs, size_t n_runs,
        Listing **ret) {
        _cleanup_(json_decrefp) json_t *document = head;
        _cleanup_(listing_freep) Listing *listing = NULL;
        static const HttpViewer nobody = { .rows = { .uid = (uid_t)-1 } };
        int r = begin(board, viewer ? viewer : &nobody, document, "runs", &listing);

        if (r < 0)
                return r;
        listing->is_update = !viewer;
        listing->counts = false;
        listing->run_ids = calloc(n_runs + 1, sizeof(char *));
        if (!listing->run_ids)
                return -ENOMEM;
        for (; listing->n_ids < n_runs; listing->n_ids++) {
                char *run_id = strdup(runs[listing->n_ids]->run_id);

                if (!run_id)
                        return -ENOMEM;
                listing->run_ids[listing->n_ids] = run_id;
        }
        *ret = TAKE_PTR(listing);
        return 0;
}

int listing_new_recorded(
        const Board *board, const HttpViewer *viewer, json_t *head, const Filter *filter, Listing **ret) {
        _cleanup_(json_decrefp) json_t *document = head;
        _cleanup_(listing_freep) Listing *listing = NULL;
        int r = begin(board, viewer, document, filter->kind == RECORD_RUN ? "runs" : "events", &listing);

        if (r < 0)
                return r;
        listing->kind = filter->kind;
        board->settle(board->userdata);
        r = cursor_new(board->spool, filter, &listing->cursor);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(listing);
        return 0;
}

/* A live run for this viewer. NULL on OOM. */
static json_t *live_row(const Listing *listing, const LiveRun *run) {
        const Board *board = listing->board;
        const HttpViewer *viewer = &listing->viewer;
        _cleanup_(json_decrefp) json_t *row = NULL, *o = NULL;

        o = public_live(run, clock_realtime_usec(), api_hides(board, viewer, run->uid), !listing->is_update);
        if (!o || !api_owns(viewer, run->uid) || query_run(board->spool, &viewer->rows, run->run_id, &row) != 0)
                return TAKE_PTR(o);
        return public_complete(o, row) == 0 ? TAKE_PTR(o) : NULL;
}

/* The same of a row of the record. */
static json_t *recorded_row(const Listing *listing, const json_t *row) {
        const HttpViewer *viewer = &listing->viewer;
        uid_t uid = (uid_t)json_integer_value(json_object_get(row, "uid"));
        bool hides = api_hides(listing->board, viewer, uid);
        _cleanup_(json_decrefp) json_t *o =
                listing->kind == RECORD_RUN ? public_run(row, hides) : public_event(row, hides);

        if (o && api_owns(viewer, uid) && public_complete(o, row) < 0)
                return NULL;
        return TAKE_PTR(o);
}

/* The next object. 0, QUERY_E_END, QUERY_E_AWAY, -ENOMEM. */
static int next_object(Listing *listing, json_t **ret) {
        _cleanup_(json_decrefp) json_t *row = NULL;
        const LiveRun *run = NULL;
        int r;

        if (listing->cursor) {
                r = cursor_next(listing->cursor, &row);
                if (r != 0)
                        return r;
                *ret = recorded_row(listing, row);
                return *ret ? 0 : -ENOMEM;
        }
        while (!run && listing->next < listing->n_ids)
                run = live_find(listing->board->live, listing->run_ids[listing->next++]);
        if (!run)
                return QUERY_E_END;
        *ret = live_row(listing, run);
        return *ret ? 0 : -ENOMEM;
}

static int finish(Listing *listing) {
        int r;

        if (listing->counts)
                (void)fprintf(listing->out, "],\"count\":%zu}", listing->n_rows);
        else
                (void)fputs("]}", listing->out);
        r = fclose(listing->out);
        listing->out = NULL;
        return r == 0 ? 0 : -ENOMEM;
}

int listing_step(Listing *listing) {
        for (unsigned i = 0; i < LISTING_STEP; i++) {
                _cleanup_(json_decrefp) json_t *object = NULL;
                _cleanup_(freep) char *text = NULL;
                int r = next_object(listing, &object);

                if (r == QUERY_E_END)
                        return finish(listing);
                if (r != 0)
                        return r == QUERY_E_AWAY ? -EAGAIN : r;
                text = json_to_text(object);
                if (!text)
                        return -ENOMEM;
                (void)fprintf(listing->out, "%s%s", listing->n_rows++ > 0 ? "," : "", text);
        }
        return -EINPROGRESS;
}
