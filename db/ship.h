/*
 * Shipping: what stands in the outbox goes to PostgreSQL, exactly once, whatever fails.
 *
 * Everything is on the loop and nothing in it waits. A row leaves the outbox when the server has committed it, or has
 * refused it for good. The recorder goes on storing whatever this does.
 */
#pragma once

#include "base/json.h"
#include "db/postgres-error.h"
#include "db/spool.h"
#include <systemd/sd-event.h>

typedef struct Ship Ship;

typedef struct ShipOptions {
        const char *conninfo;
        const char *password;  /* used where conninfo names none; may be NULL */
        const char *directory; /* of the spool: one shipping at a time holds a lock on it */
        const char *host;      /* the name that rows carry */
        const char *boot_id;
        const char *supervisor; /* which one of the host: "system", "user:UID", "user:UID:DIRECTORY" */
} ShipOptions;

/* Something that ship_state(), ship_detail() or the number of dead letters tell is another; not for figures. */
typedef void (*ShipChangedFunc)(void *userdata);

/* Begins at once. Copies the options, borrows the spool. 0 or -errno. */
int ship_new(
        sd_event *event, Spool *spool, const ShipOptions *options, ShipChangedFunc changed, void *userdata, Ship **ret);
void ship_free(Ship *ship);
DEFINE_CLEANUP(Ship *, ship_free);

/* Rows have been stored. */
void ship_wake(Ship *ship);
/*
 * The last call: when the outbox is empty, or the server does not take it now, or limit_usec from now at the latest,
 * func is called, once; maybe within.
 */
void ship_finish(Ship *ship, uint64_t limit_usec, void (*func)(void *userdata), void *userdata);

PostgresState ship_state(const Ship *ship);
const char *ship_detail(const Ship *ship); /* "" if there is nothing to say */
const char *ship_hint(const Ship *ship);   /* may be NULL */
uint64_t ship_refused(const Ship *ship);   /* rows put aside since the start */
/* The `storage.postgres` object of docs/protocol.md. NULL on OOM. */
json_t *ship_storage(Ship *ship);
