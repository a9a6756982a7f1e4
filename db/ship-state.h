/*
 * The inside of a Ship, for the four files that are one module: ship.c (its life), ship-connect.c (getting there),
 * ship-flow.c (rows) and ship-aside.c (what goes beside them). Nobody else includes this.
 */
#pragma once

#include "base/pace.h"
#include "db/attempt.h"
#include "db/batch.h"
#include "db/ship.h"

#define SHIP_PRIORITY         (SD_EVENT_PRIORITY_NORMAL + 10) /* storing comes first */
#define SHIP_FLIGHTS_MAX      4                               /* batches sent and not yet answered */
#define SHIP_MONTHS_MAX       32                              /* whose partitions are known to be there */
#define SHIP_BACKOFF_MIN_USEC (1 * USEC_PER_SEC)
#define SHIP_QUOTA_PERCENT    30 /* of a CPU quota; the rest is the supervisor's and the storing's */
#define SHIP_HEARTBEAT_USEC   (30 * USEC_PER_SEC)

typedef enum Phase {
        PHASE_WAITING, /* the retry timer runs */
        PHASE_CONNECTING,
        PHASE_SETUP,
        PHASE_SHIPPING,
} Phase;

typedef struct Flight {
        Batch batch;
        bool durable;
} Flight;

struct Ship {
        sd_event *event; /* owned */
        Spool *spool;
        char *conninfo, *password, *directory, *host, *boot_id, *supervisor, *server; /* owned */
        ShipChangedFunc changed;
        void *userdata;
        void (*finished)(void *userdata);
        void *finished_userdata;

        Phase phase;
        int lock_fd;                                                   /* owned */
        sd_event_source *retry, *resume, *heartbeat, *pump, *deadline; /* owned */
        Attempt *attempt;                                              /* owned */
        Pipeline *pipeline;                                            /* owned */
        Filler *filler;                                                /* owned */
        Pace pace;
        PostgresTrouble trouble; /* owned; the state, and words for it */
        uint64_t backoff_usec, connected_usec;
        int64_t schema_version; /* 0: not known */
        uint64_t shipped, refused;
        uint64_t told_waiting; /* what the last call of changed() could tell */

        Flight flights[SHIP_FLIGHTS_MAX]; /* oldest first */
        size_t n_flights;
        size_t n_relaxed;            /* sent since the last durable one */
        Batch unconfirmed;           /* n_rows > 0: committed, but not known to be on the server's disk */
        int64_t cursor;              /* outbox id behind which the next batch begins */
        bool rewind;                 /* begin at the front again, once nothing is in flight */
        bool broken;                 /* a batch was refused, and what was sent behind it comes back too */
        Batch failed;                /* that batch */
        PostgresTrouble failure;     /* owned; and why */
        size_t rows_max, rows_limit; /* of the next batch; of any on this connection */
        int64_t halving_until;       /* 0: not halving */
        int64_t tried_id;
        unsigned tries;
        char believed[SQLSTATE_SIZE]; /* unknown, but tried often enough on this connection */
        bool reconciled, confirming;

        int months[SHIP_MONTHS_MAX];
        size_t n_months;
};

/* ship.c */

void ship_arm(sd_event_source *timer, uint64_t in_usec);
void ship_arm_pump(Ship *ship);
/* Tells of it if it is another; all texts are copied. */
void ship_set_state(Ship *ship, PostgresState state, const char *sqlstate, const char *detail, const char *hint);
/* A success of the whole way: the only thing that ends the back-off. */
void ship_works(Ship *ship);
/* The connection is dropped, and tried again later. Callable from each callback of the pipeline. */
void ship_fail(Ship *ship, const PostgresTrouble *trouble);
void ship_fail_words(Ship *ship, PostgresState state, const char *detail);
/* The same after a send that returned r. */
void ship_lost(Ship *ship, int r);
/* What waits changes with every row and is told in passing only. */
void ship_tell_figures(Ship *ship);
/* Ends a ship_finish(), if there is one. */
void ship_finished(Ship *ship);

/* ship-connect.c */

int ship_on_retry(sd_event_source *source, uint64_t usec, void *userdata);

/* ship-flow.c */

int ship_on_pump(sd_event_source *source, void *userdata);
int ship_on_resume(sd_event_source *source, uint64_t usec, void *userdata);

/* ship-aside.c: each sends something. 0, -ENOTCONN, -ENOMEM. */

/* One statement, without a sync. */
int ship_send_heartbeat(Ship *ship);
/* Once in a connection for each month, whatever comes of it: without its partition rows go to the default one. */
int ship_send_partition(Ship *ship, const BatchMonth *month);
int ship_send_partitions_ahead(Ship *ship);
/*
 * Rows of this host and supervisor that the spool does not know go. Only with an empty outbox: what waits in it tells
 * better than `lost` how those runs ended.
 */
int ship_send_reconcile(Ship *ship);
/* The reply to such things: an error that is not about the connection changes nothing. */
void ship_on_aside(const PipelineReply *reply, void *userdata);
int ship_on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata);
