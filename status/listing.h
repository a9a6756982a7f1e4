/*
 * A document that is a list, made some rows at a time: a thousand rows at once would take what the supervisor needs.
 */
#pragma once

#include "base/cleanup.h"
#include "status/router.h"

#define LISTING_STEP 24 /* rows, some 0.4 ms */

typedef struct Listing Listing;

/* Live runs: head is a document (taken over) that gets the member `runs`. The ids are copied. 0 or -ENOMEM. */
int listing_new_live(
        const Board *board, const HttpViewer *viewer, json_t *head, LiveRun *const *runs, size_t n_runs, Listing **ret);
/*
 * Rows of the record: head (taken over) gets the member `runs` or `events`, and `count` if it has none. 0, -EINVAL (a
 * time that is none), -ENOMEM.
 */
int listing_new_recorded(
        const Board *board, const HttpViewer *viewer, json_t *head, const Filter *filter, Listing **ret);
/* Some more rows. 0: it is done; -EINPROGRESS, -EAGAIN: the record can't be read; -ENOMEM. */
int listing_step(Listing *listing);
/* The text, once it is done. Caller frees. */
char *listing_take(Listing *listing);
void listing_free(Listing *listing);
DEFINE_CLEANUP(Listing *, listing_free);
