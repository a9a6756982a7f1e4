/*
 * What people ask the record. Every value from outside is a parameter of the statement, never part of it.
 *
 * A list is walked row by row, each step a fresh seek behind the last row: no transaction stays open while a slow
 * client reads, so the write-ahead log can always be carried over.
 */
#pragma once

#include "db/columns.h"
#include "db/spool.h"
#include <sys/types.h>

enum {
        _QUERY_E_SUCCESS,
        QUERY_E_END = 1,   /* no more rows */
        QUERY_E_NOT_FOUND, /* the selector matches nothing that the viewer may see */
        QUERY_E_AMBIGUOUS, /* it matches several */
        QUERY_E_AWAY,      /* the record can't be read now: spool_detail() */
};

/* Whose rows are seen. */
typedef struct Viewer {
        bool all;
        uid_t uid;
} Viewer;

#define QUERY_CANDIDATES_MAX 16 /* of an ambiguous selector: enough to choose from */
#define SELECTOR_MIN         4  /* characters of a run id */

/* NULL or "": not asked for. All texts borrowed until cursor_new() returns. */
typedef struct Filter {
        RecordKind kind;
        Viewer viewer;
        const char *analysis_id;
        const char *why;      /* verdict of a run, reason of an event */
        const char *run_id;   /* whole */
        const char *since_at; /* RFC 3339; of the end of a run, of the decision of an event */
        uint64_t limit;       /* UINT64_MAX: all */
} Filter;

typedef struct Cursor Cursor;

/* Newest first. 0, -EINVAL when since_at is no time, -ENOMEM. The spool must outlive it. */
int cursor_new(Spool *spool, const Filter *filter, Cursor **ret);
/* The next run (without its timeline) or event. 0, QUERY_E_END, QUERY_E_AWAY, -ENOMEM. Caller owns the row. */
int cursor_next(Cursor *cursor, json_t **ret_row);
/* Rows given out so far. */
uint64_t cursor_count(const Cursor *cursor);
void cursor_free(Cursor *cursor);
DEFINE_CLEANUP(Cursor *, cursor_free);

typedef struct Selection {
        char *run_id;       /* owned; the run, or the newest one of the analysis */
        char *analysis_id;  /* owned; set if the selector was an analysis id */
        json_t *candidates; /* owned; run ids, when ambiguous */
} Selection;

void selection_deinit(Selection *selection);
/*
 * A run id, an analysis id, or a unique prefix or suffix of a run id, tried in this order (a number that is an analysis
 * is not taken for the end of somebody's run). 0, QUERY_E_NOT_FOUND, QUERY_E_AMBIGUOUS (candidates set), QUERY_E_AWAY,
 * -ENOMEM.
 */
int query_select(Spool *spool, const Viewer *viewer, const char *selector, Selection *ret);

/* The run with its timeline, from the history or, while it lives, from the live ones. 0, QUERY_E_*, -ENOMEM. */
int query_run(Spool *spool, const Viewer *viewer, const char *run_id, json_t **ret_run);
/* Each live run of this host, its timeline left out. What func returns but 0 ends it and is returned. 0, QUERY_E_AWAY,
 * -ENOMEM. */
typedef int (*QueryRowFunc)(const json_t *row, void *userdata);
int query_live(Spool *spool, QueryRowFunc func, void *userdata);
/* Number of kills since a time (NULL: ever), by reason. 0, -EINVAL, QUERY_E_AWAY, -ENOMEM. */
int query_kills(Spool *spool, const Viewer *viewer, const char *since_at, uint64_t *ret_count, json_t **ret_by_reason);

/* Where an event stands in the order of recording. 0, QUERY_E_NOT_FOUND, QUERY_E_AWAY, -ENOMEM. */
int query_event_place(Spool *spool, const char *event_id, int64_t *ret_place);
/*
 * The first event recorded behind *place (0: the first of all), without its timeline; *place is its own then. 0,
 * QUERY_E_END, QUERY_E_AWAY, -ENOMEM.
 */
int query_event_after(Spool *spool, int64_t *place, json_t **ret_row);
