/*
 * The life of a shipping: its states, its failures, its end.
 *
 * Called by the recorder's loop.  A connection is made aside (ship-connect.c), then carries batches, a few at a time
 * (ship-flow.c), and what goes beside them (ship-aside.c).  The hard thing is to tell truly how it is: only a commit,
 * or an empty outbox, counts as success and ends the back-off, as a server that lets in and then refuses must not look
 * well every second.  A failure forgets all that was on the connection; the rows are still in the outbox.
 */
#include "db/ship-state.h"

#include "base/file.h"
#include "db/migrate.h"
#include <string.h>
#include <sys/random.h>

#define BACKOFF_MAX_USEC   (30 * USEC_PER_SEC)
#define SQLSTATE_CANCELLED "57014" /* by the statement's timeout */

void ship_arm(sd_event_source *timer, uint64_t in_usec) {
        (void)sd_event_source_set_time(timer, usec_add(clock_boottime_usec(), in_usec));
        (void)sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void disarm(sd_event_source *source) {
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

void ship_arm_pump(Ship *ship) {
        (void)sd_event_source_set_enabled(ship->pump, SD_EVENT_ONESHOT);
}

void ship_set_state(Ship *ship, PostgresState state, const char *sqlstate, const char *detail, const char *hint) {
        const char *before = ship_detail(ship);
        bool same = ship->trouble.state == state && strcmp(before, detail ? detail : "") == 0;

        if (same)
                return;
        (void)postgres_trouble_set(&ship->trouble, state, detail, hint);
        (void)snprintf(ship->trouble.sqlstate, sizeof(ship->trouble.sqlstate), "%s", sqlstate);
        ship->changed(ship->userdata);
}

void ship_finished(Ship *ship) {
        void (*func)(void *) = ship->finished;

        ship->finished = NULL;
        if (func)
                func(ship->finished_userdata);
}

void ship_works(Ship *ship) {
        ship->backoff_usec = SHIP_BACKOFF_MIN_USEC;
        ship_set_state(ship, POSTGRES_OK, "", NULL, NULL);
}

/* Of what was on this connection nothing is known any more. */
static void forget_connection(Ship *ship) {
        if (ship->pipeline)
                pipeline_free(TAKE_PTR(ship->pipeline));
        ship->n_flights = ship->n_relaxed = 0;
        ship->unconfirmed.n_rows = 0;
        ship->cursor = 0;
        ship->rewind = ship->broken = ship->reconciled = ship->confirming = false;
        ship->n_months = 0;
        ship->believed[0] = '\0';
        ship->connected_usec = 0;
        disarm(ship->pump);
        disarm(ship->resume);
        disarm(ship->heartbeat);
}

void ship_tell_figures(Ship *ship) {
        OutboxFigures figures;

        if (outbox_figures(ship->spool, &figures) != 0 || figures.waiting == ship->told_waiting)
                return;
        ship->told_waiting = figures.waiting;
        ship->changed(ship->userdata);
}

/* Between three quarters of it and all: hosts that lost the same server do not come back as one. */
static uint64_t jittered(uint64_t usec) {
        uint16_t random = 0;

        (void)getrandom(&random, sizeof(random), GRND_NONBLOCK);
        return usec - usec / 4 * random / UINT16_MAX;
}

static void retry_later(Ship *ship) {
        ship->phase = PHASE_WAITING;
        ship_arm(ship->retry, jittered(ship->backoff_usec));
        ship->backoff_usec = MIN_OF(ship->backoff_usec * 2, BACKOFF_MAX_USEC);
}

void ship_fail(Ship *ship, const PostgresTrouble *trouble) {
        /* Fewer rows next time: a server that slow would never get through with as many. */
        if (strcmp(trouble->sqlstate, SQLSTATE_CANCELLED) == 0)
                ship->rows_limit = MAX_OF(ship->rows_limit / 2, (size_t)1);
        /* A pipeline whose trouble this is calls us, and outlives the call. */
        forget_connection(ship);
        ship_set_state(ship, trouble->state, trouble->sqlstate, trouble->detail, trouble->hint);
        retry_later(ship);
        ship_tell_figures(ship);
        ship_finished(ship);
}

void ship_fail_words(Ship *ship, PostgresState state, const char *detail) {
        ship_fail(ship,
                &(PostgresTrouble){ .state = state, .detail = (char *)detail, .hint = postgres_state_hint(state) });
}

/* A send that failed: libpq knows why. */
void ship_lost(Ship *ship, int r) {
        PostgresTrouble trouble = { .state = POSTGRES_OK };

        if (r == -ENOMEM || !ship->pipeline ||
                postgres_trouble_of(pipeline_connection(ship->pipeline), NULL, &trouble) < 0)
                ship_fail_words(ship, POSTGRES_FAILED, "out of memory");
        else
                ship_fail(ship, &trouble);
        postgres_trouble_deinit(&trouble);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        ship_finished(userdata);
        return 0;
}

static int add_timer(Ship *ship, uint64_t accuracy, sd_event_time_handler_t handler, sd_event_source **ret) {
        int r = sd_event_add_time(ship->event, ret, CLOCK_BOOTTIME, 0, accuracy, handler, ship);

        if (r >= 0)
                r = sd_event_source_set_priority(*ret, SHIP_PRIORITY);
        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_sources(Ship *ship) {
        int r;

        if ((r = add_timer(ship, 100 * USEC_PER_MSEC, ship_on_retry, &ship->retry)) < 0 ||
                (r = add_timer(ship, 1, ship_on_resume, &ship->resume)) < 0 ||
                (r = add_timer(ship, USEC_PER_SEC, ship_on_heartbeat, &ship->heartbeat)) < 0 ||
                (r = add_timer(ship, 10 * USEC_PER_MSEC, on_deadline, &ship->deadline)) < 0 ||
                (r = sd_event_add_defer(ship->event, &ship->pump, ship_on_pump, ship)) < 0 ||
                (r = sd_event_source_set_priority(ship->pump, SHIP_PRIORITY + 1)) < 0)
                return r;
        return sd_event_source_set_enabled(ship->pump, SD_EVENT_OFF);
}

static char *copy(const char *text) {
        return strdup(text ? text : "");
}

int ship_new(sd_event *event, Spool *spool, const ShipOptions *options, ShipChangedFunc changed, void *userdata,
        Ship **ret) {
        _cleanup_(ship_freep) Ship *ship = calloc(1, sizeof(*ship));
        int r;

        if (!ship)
                return -ENOMEM;
        *ship = (Ship){ .event = sd_event_ref(event),
                .spool = spool,
                .conninfo = copy(options->conninfo),
                .password = options->password ? strdup(options->password) : NULL,
                .directory = copy(options->directory),
                .host = copy(options->host),
                .boot_id = copy(options->boot_id),
                .supervisor = copy(options->supervisor),
                .server = postgres_server_of(options->conninfo),
                .changed = changed,
                .userdata = userdata,
                .lock_fd = -EBADF,
                .backoff_usec = SHIP_BACKOFF_MIN_USEC,
                .rows_limit = BATCH_ROWS_MAX,
                .trouble = { .state = POSTGRES_CONNECTING } };
        if (!ship->conninfo || !ship->directory || !ship->host || !ship->boot_id || !ship->supervisor ||
                !ship->server || (options->password && !ship->password))
                return -ENOMEM;
        pace_init(&ship->pace, SHIP_QUOTA_PERCENT, 0);
        r = filler_new(&ship->filler);
        if (r == 0)
                r = add_sources(ship);
        if (r < 0)
                return r;
        ship_arm(ship->retry, 0);
        *ret = TAKE_PTR(ship);
        return 0;
}

void ship_free(Ship *ship) {
        if (ship->attempt)
                attempt_free(ship->attempt);
        if (ship->pipeline)
                pipeline_free(ship->pipeline);
        if (ship->filler)
                filler_free(ship->filler);
        sd_event_source_disable_unref(ship->deadline);
        sd_event_source_disable_unref(ship->pump);
        sd_event_source_disable_unref(ship->heartbeat);
        sd_event_source_disable_unref(ship->resume);
        sd_event_source_disable_unref(ship->retry);
        (void)close_fd(ship->lock_fd);
        postgres_trouble_deinit(&ship->failure);
        postgres_trouble_deinit(&ship->trouble);
        if (ship->password)
                explicit_bzero(ship->password, strlen(ship->password));
        free(ship->server);
        free(ship->supervisor);
        free(ship->boot_id);
        free(ship->host);
        free(ship->directory);
        free(ship->password);
        free(ship->conninfo);
        sd_event_unref(ship->event);
        free(ship);
}

void ship_wake(Ship *ship) {
        if (ship->phase == PHASE_SHIPPING)
                ship_arm_pump(ship);
}

void ship_finish(Ship *ship, uint64_t limit_usec, void (*func)(void *userdata), void *userdata) {
        bool hopeless = ship->phase == PHASE_WAITING && ship->trouble.state != POSTGRES_CONNECTING;

        ship->finished = func;
        ship->finished_userdata = userdata;
        ship_arm(ship->deadline, limit_usec);
        if (hopeless)
                ship_finished(ship);
        else
                ship_wake(ship);
}

PostgresState ship_state(const Ship *ship) {
        return ship->trouble.state;
}

const char *ship_detail(const Ship *ship) {
        return ship->trouble.detail ? ship->trouble.detail : "";
}

const char *ship_hint(const Ship *ship) {
        return ship->trouble.hint;
}

uint64_t ship_refused(const Ship *ship) {
        return ship->refused;
}

json_t *ship_storage(Ship *ship) {
        char connected_at[CLOCK_RFC3339_MAX] = "";
        OutboxFigures figures;

        (void)outbox_figures(ship->spool, &figures);
        if (ship->connected_usec > 0)
                (void)clock_format_rfc3339(connected_at, ship->connected_usec);
        return json_pack("{s:s, s:o, s:o, s:o, s:I, s:o, s:I, s:I, s:I, s:o, s:o}", "state",
                postgres_state_to_string(ship->trouble.state), "detail", json_from_text(ship->trouble.detail), "hint",
                json_from_text(ship->trouble.hint), "server", json_from_text(ship->server), "waiting",
                (json_int_t)figures.waiting, "oldest_waiting_at",
                *figures.oldest_at ? json_string(figures.oldest_at) : json_null(), "dead_letters",
                (json_int_t)figures.dead_letters, "given_up", (json_int_t)figures.given_up, "shipped",
                (json_int_t)ship->shipped, "connected_at", *connected_at ? json_string(connected_at) : json_null(),
                "schema_version", ship->schema_version > 0 ? json_integer(ship->schema_version) : json_null());
}
