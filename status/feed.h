/*
 * What the stream says: kills at once, and every two seconds what has changed, while somebody reads.
 */
#pragma once

#include "base/cleanup.h"
#include "base/pace.h"
#include "status/board.h"
#include "status/stream.h"
#include <systemd/sd-event.h>

#define FEED_RUNS_MAX    100 /* of live_top() */
#define FEED_PERIOD_USEC (UINT64_C(2) * 1000000)
#define FEED_ALIVE_USEC  (UINT64_C(5) * 1000000) /* at least, so that a page knows that what it shows is true */

typedef struct Feed Feed;

/* board and pace are borrowed; an update each period_usec, at most FEED_ALIVE_USEC: FEED_PERIOD_USEC. 0 or -errno. */
int feed_new(sd_event *event, const Board *board, Pace *pace, uint64_t period_usec, Feed **ret);
/* No reader of its stream may be left. NULL is not allowed. */
void feed_free(Feed *feed);
DEFINE_CLEANUP(Feed *, feed_free);
/* The stream that it feeds; the feed's. */
Stream *feed_stream(Feed *feed);
