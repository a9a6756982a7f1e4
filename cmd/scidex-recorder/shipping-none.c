/*
 * A recorder that does not ship: private supervisors start it for every run, and libpq alone would load twenty
 * libraries.
 *
 * Called as shipping.h says.  Where PostgreSQL or a status over HTTP is configured it becomes the program that has
 * both; where that is not installed, rows wait in the outbox, and the state says why.
 */
#include "cmd/scidex-recorder/shipping.h"

#include "base/log.h"
#include "cmd/sibling.h"
#include "db/outbox.h"
#include "db/postgres-error.h"
#include <string.h>

#define PROGRAM  "scidex-recorder-full"
#define VARIABLE "SCIDEX_STORAGE_POSTGRES"
#define MISSING  PROGRAM " is not installed"
#define HINT     "Install " PROGRAM "; until then rows wait in the local history."

struct Shipping {
        Spool *spool;
};

bool shipping_is_wanted(void) {
        const char *conninfo = getenv(VARIABLE);

        return conninfo && *conninfo;
}

void shipping_exec(char *argv[], bool has_face) {
        _cleanup_(freep) char *path = NULL;
        int r;

        if (!shipping_is_wanted() && !has_face)
                return;
        r = sibling_find(PROGRAM, &path);
        if (r == 0) {
                (void)execv(path, argv);
                r = -errno;
        }
        log_line(LOG_LEVEL_WARNING, "%s%s%s%s",
                r == -ENOENT ? MISSING : PROGRAM " can't be started: ", r == -ENOENT ? "" : strerror(-r),
                shipping_is_wanted() ? ", ignoring " VARIABLE ": rows wait in the local history" : "",
                has_face ? ", ignoring [http] listen: no status over HTTP" : "");
}

void shipping_read_credential(void) {
}

int shipping_new(sd_event *event, Spool *spool, const ShippingOptions *options, Shipping **ret) {
        *ret = NULL;
        if (!shipping_is_wanted())
                return 0;
        *ret = calloc(1, sizeof(**ret));
        if (!*ret)
                return -ENOMEM;
        (*ret)->spool = spool;
        return 0;
}

void shipping_free(Shipping *shipping) {
        free(shipping);
}

int shipping_leave(int status) {
        return status;
}

void shipping_on_change(Shipping *shipping, void (*func)(void *userdata), void *userdata) {
}

void shipping_wake(Shipping *shipping) {
}

void shipping_finish(Shipping *shipping, sd_event *event, int status) {
        (void)sd_event_exit(event, status);
}

json_t *shipping_storage(Shipping *shipping, Spool *spool) {
        json_t *storage = spool_storage(spool);
        OutboxFigures figures;

        if (!shipping || !storage)
                return storage;
        (void)outbox_figures(spool, &figures);
        if (json_object_set_new(storage, "postgres",
                    json_pack("{s:s, s:s, s:s, s:n, s:I, s:o, s:I, s:I, s:I, s:n, s:n}", "state",
                            postgres_state_to_string(POSTGRES_FAILED), "detail", MISSING, "hint", HINT, "server",
                            "waiting", (json_int_t)figures.waiting, "oldest_waiting_at",
                            *figures.oldest_at ? json_string(figures.oldest_at) : json_null(), "dead_letters",
                            (json_int_t)figures.dead_letters, "given_up", (json_int_t)figures.given_up, "shipped",
                            (json_int_t)0, "connected_at", "schema_version")) < 0) {
                json_decref(storage);
                return NULL;
        }
        return storage;
}
