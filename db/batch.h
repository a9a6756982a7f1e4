/* One transaction's worth of the outbox, and the statements that it becomes. */
#pragma once

#include "db/pipeline.h"
#include "db/ship-rows.h"

#define BATCH_ROWS_MAX   256 /* some ms of the loop, and what the buffer of a socket takes */
#define BATCH_BYTES_MAX  (1 << 20)
#define BATCH_MONTHS_MAX 4 /* of event ids in one batch: a fifth begins the next */

typedef struct Batch {
        int64_t first, last; /* ids of the outbox */
        size_t n_rows, n_events;
        uint64_t generation; /* of the spool, when they were read */
        bool is_full;        /* there was no room for more: some may wait behind it */
} Batch;

/* A month in which events of a batch happened. */
typedef struct BatchMonth {
        int number;       /* since year 0; for comparing */
        uint64_t at_usec; /* a time in it */
} BatchMonth;

/* Of a UUIDv7, UTC. text must be a UUID. */
BatchMonth batch_month_of_id(const char *event_id);
BatchMonth batch_month_of_time(uint64_t realtime_usec);

/* The memory that one batch after the other is made in. */
typedef struct Filler Filler;

enum {
        _BATCH_E_SUCCESS,
        BATCH_E_EMPTY = 1, /* nothing waits */
        BATCH_E_AWAY,      /* the spool can't be read */
        BATCH_E_UNFIT,     /* ret->first is a row that no server will ever take: its key is no UUID */
};

int filler_new(Filler **ret);
void filler_free(Filler *filler);
DEFINE_CLEANUP(Filler *, filler_free);

/* The rows behind after_id, at most max_rows. 0 and at least one, BATCH_E_*, -ENOMEM. */
int filler_fill(Filler *filler, Spool *spool, int64_t after_id, size_t max_rows, Batch *ret);
/* The months of the events that were filled in. Borrowed until the next. */
const BatchMonth *filler_months(const Filler *filler, size_t *ret_n);

/* Prepares the statements of this connection. 0, -ENOTCONN, -ENOMEM. */
int filler_prepare(const Filler *filler, Pipeline *pipeline);
/*
 * What was filled in, from BEGIN to COMMIT, without the sync. Not durable: the server answers the COMMIT before it is
 * on its disk; it is there when a durable one that was sent later on the same connection has been answered. 0,
 * -ENOTCONN, -ENOMEM.
 */
int filler_send(
        Filler *filler, Pipeline *pipeline, const Batch *batch, bool durable, const char *host, const char *supervisor);
