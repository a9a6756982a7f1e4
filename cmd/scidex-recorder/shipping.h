/*
 * Whether and how this recorder ships: scidex-recorder-full does (shipping-postgres.c), scidex-recorder is the same
 * program without libpq and can't (shipping-none.c). main, intake and answers know the difference by this alone.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "db/spool.h"
#include <systemd/sd-event.h>

typedef struct Shipping Shipping;

typedef struct ShippingOptions {
        const char *directory, *host, *boot_id;
        bool of_system; /* the system's supervisor, not a user's */
} ShippingOptions;

/*
 * First of all in main: where SCIDEX_STORAGE_POSTGRES is set, or sockets of the face are handed over, and this program
 * can neither ship nor serve them, becomes the one that can. Returns if there is nothing to do or it is not installed.
 */
void shipping_exec(char *argv[], bool has_face);
/* Before the user is given up: a credential is root's to read. */
void shipping_read_credential(void);

/* Whether SCIDEX_STORAGE_POSTGRES is set. */
bool shipping_is_wanted(void);
/* 0 and NULL where it is not wanted. The spool is borrowed. 0 or -errno. */
int shipping_new(sd_event *event, Spool *spool, const ShippingOptions *options, Shipping **ret);
void shipping_free(Shipping *shipping);
DEFINE_CLEANUP(Shipping *, shipping_free);

/* The last thing in main: the status to return, if it returns. */
int shipping_leave(int status);

/* What follows is NULL-safe. */

/* func is called when the state of the shipping changes: shipping_storage() is another. */
void shipping_on_change(Shipping *shipping, void (*func)(void *userdata), void *userdata);
/* Rows have been stored. */
void shipping_wake(Shipping *shipping);
/* The supervisor is gone: ships what it can within SHIPPING_LIMIT_USEC, then ends the loop with this status. */
#define SHIPPING_LIMIT_USEC (UINT64_C(3) * 1000000)
void shipping_finish(Shipping *shipping, sd_event *event, int status);

/* spool_storage(), with its `postgres`. NULL on OOM. */
json_t *shipping_storage(Shipping *shipping, Spool *spool);
