/*
 * A recorder that ships.
 *
 * Called as shipping.h says; wires db/ship to the recorder, and says each change of its state, once, in the log.  The
 * hard thing is the end: a thread may still wait for a name server then, in libraries whose exit handlers must not run
 * under it.
 */
#include "cmd/scidex-recorder/shipping.h"

#include "base/file.h"
#include "base/log.h"
#include "db/attempt.h"
#include "db/postgres.h"
#include "db/ship.h"
#include <string.h>
#include <sys/resource.h>

#define VARIABLE         "SCIDEX_STORAGE_POSTGRES"
#define MEMORY_MAX_BYTES (256 << 20) /* ten times what it ever takes */

struct Shipping {
        Ship *ship; /* owned */
        void (*changed)(void *userdata);
        void *userdata;
        sd_event *event; /* owned; set by shipping_finish() */
        int status;
        PostgresState said;
        uint64_t said_refused;
};

/* Read as root, used as somebody else; lives as long as the process. */
static char *credential;

bool shipping_is_wanted(void) {
        const char *conninfo = getenv(VARIABLE);

        return conninfo && *conninfo;
}

void shipping_exec(char *argv[], bool has_face) {
}

void shipping_read_credential(void) {
        int r = shipping_is_wanted() ? postgres_read_credential(&credential) : -ENOENT;

        if (r < 0 && r != -ENOENT)
                log_line(LOG_LEVEL_WARNING, "the credential " POSTGRES_CREDENTIAL " can't be read, ignoring it: %s",
                        strerror(-r));
}

static void say_refused(Shipping *shipping) {
        uint64_t refused = ship_refused(shipping->ship);

        if (refused == shipping->said_refused)
                return;
        if (shipping->said_refused == 0)
                log_line(LOG_LEVEL_WARNING,
                        "the database has refused a row for good; it is kept: scidexctl db dead shows it and why");
        shipping->said_refused = refused;
}

static void say_state(Shipping *shipping) {
        PostgresState state = ship_state(shipping->ship);
        const char *detail = ship_detail(shipping->ship), *hint = ship_hint(shipping->ship);
        bool bad = state != POSTGRES_OK && state != POSTGRES_CONNECTING;

        if (state == shipping->said)
                return;
        shipping->said = state;
        log_line(bad ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, "the database is %s%s%s%s%s",
                postgres_state_to_string(state), *detail ? ": " : "", detail, hint ? ". " : "", hint ? hint : "");
}

static void on_change(void *userdata) {
        Shipping *shipping = userdata;

        say_state(shipping);
        say_refused(shipping);
        if (shipping->changed)
                shipping->changed(shipping->userdata);
}

/*
 * "user:UID", and the directory where it is not the usual one: each record is somebody of its own, or two supervisors
 * of one user would close each other's rows.
 */
static char *user_supervisor(const char *directory) {
        const char *home = getenv("HOME");
        _cleanup_(freep) char *usual =
                geteuid() == 0 ? strdup("/var/lib/scidex") : text_printf("%s/.local/state/scidex", home ? home : "");

        if (!usual)
                return NULL;
        if (strcmp(directory, usual) == 0)
                return text_printf("user:%u", (unsigned)geteuid());
        return text_printf("user:%u:%s", (unsigned)geteuid(), directory);
}

/*
 * libpq takes a message into memory whole, and a server may say that one has 1 GB: without an end here that would be
 * the end of the unit, supervisor and all. So there is none to be had, and libpq drops the connection. Of a sanitized
 * program the sanitizer alone has more.
 */
static void bound_memory(void) {
#ifndef __SANITIZE_ADDRESS__
        struct rlimit limit;

        if (getrlimit(RLIMIT_DATA, &limit) < 0)
                return;
        limit.rlim_cur = MIN_OF(limit.rlim_cur, (rlim_t)MEMORY_MAX_BYTES);
        (void)setrlimit(RLIMIT_DATA, &limit);
#endif
}

int shipping_new(sd_event *event, Spool *spool, const ShippingOptions *options, Shipping **ret) {
        _cleanup_(shipping_freep) Shipping *shipping = NULL;
        _cleanup_(freep) char *user = user_supervisor(options->directory);
        ShipOptions ship = { .conninfo = getenv(VARIABLE),
                .password = credential,
                .directory = options->directory,
                .host = options->host,
                .boot_id = options->boot_id,
                .supervisor = options->of_system ? "system" : user };
        int r;

        *ret = NULL;
        if (!shipping_is_wanted())
                return 0;
        shipping = calloc(1, sizeof(*shipping));
        if (!shipping || !user)
                return -ENOMEM;
        bound_memory();
        shipping->said = POSTGRES_CONNECTING;
        r = ship_new(event, spool, &ship, on_change, shipping, &shipping->ship);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(shipping);
        return 0;
}

void shipping_free(Shipping *shipping) {
        if (shipping->ship)
                ship_free(shipping->ship);
        sd_event_unref(shipping->event);
        free(shipping);
}

int shipping_leave(int status) {
        if (attempt_is_running())
                _exit(status);
        return status;
}

void shipping_on_change(Shipping *shipping, void (*func)(void *userdata), void *userdata) {
        if (!shipping)
                return;
        shipping->changed = func;
        shipping->userdata = userdata;
}

void shipping_wake(Shipping *shipping) {
        if (shipping)
                ship_wake(shipping->ship);
}

static void on_finished(void *userdata) {
        Shipping *shipping = userdata;

        (void)sd_event_exit(shipping->event, shipping->status);
}

void shipping_finish(Shipping *shipping, sd_event *event, int status) {
        if (!shipping) {
                (void)sd_event_exit(event, status);
                return;
        }
        shipping->event = sd_event_ref(event);
        shipping->status = status;
        ship_finish(shipping->ship, SHIPPING_LIMIT_USEC, on_finished, shipping);
}

json_t *shipping_storage(Shipping *shipping, Spool *spool) {
        json_t *storage = spool_storage(spool);

        if (shipping && storage && json_object_set_new(storage, "postgres", ship_storage(shipping->ship)) < 0) {
                json_decref(storage);
                return NULL;
        }
        return storage;
}
