/*
 * Rows on their way.
 *
 * Called by the loop when there is nothing else to do, and for each reply.  A batch is a transaction whose commit takes
 * a range off the outbox.  The hard thing is what a failure means.  A connection that ends may have committed or not:
 * the rows go again, and their keys make that harmless.  A server that can't take anything (full, read-only, another
 * schema) is waited for.  A batch refused for a row's sake leaves the transaction broken on purpose, so that those
 * behind it, already sent, fail too and no row overtakes another of its run; then it is halved until the row is alone,
 * and that one row is put aside.  In a backlog only every eighth commit waits for the server's disk, and confirms those
 * before it.
 */
#include "db/ship-state.h"

#include "base/file.h"
#include <string.h>

#define UNCONFIRMED_MAX  8 /* batches whose commits one durable commit confirms */
#define SPOOL_PAUSE_USEC (2 * USEC_PER_SEC)
#define TRIES_MAX        5     /* of a row that fails for a reason not known to be its own */
#define REFERENCE_TRIES  3     /* of a batch whose analysis was deleted while it was on its way */
#define DEAD_LETTERS_MAX 10000 /* beyond, it is no row's fault: everything would end up there */

/* The spool said no: what is in flight comes back, then everything begins at the front. */
static void spool_failed(Ship *ship, int r) {
        ship->rewind = true;
        ship_arm(ship->resume, r == OUTBOX_E_STALE ? 0 : SPOOL_PAUSE_USEC);
}

/* What was committed up to here is on the server's disk, and leaves the outbox. false: the spool said no. */
static bool confirm(Ship *ship) {
        Batch batch = ship->unconfirmed;
        int r;

        ship->unconfirmed.n_rows = 0;
        if (batch.n_rows == 0)
                return true;
        r = outbox_shipped(ship->spool, batch.generation, batch.first, batch.last);
        if (r != 0)
                spool_failed(ship, r);
        else
                ship->shipped += batch.n_rows;
        return r == 0;
}

/* Batches come in order and without a gap, but for a rewind: then the range is taken off anew. */
static void add_unconfirmed(Ship *ship, const Batch *batch) {
        Batch *sum = &ship->unconfirmed;

        if (sum->n_rows == 0 || sum->generation != batch->generation || batch->first < sum->first) {
                *sum = *batch;
                return;
        }
        sum->last = batch->last;
        sum->n_rows += batch->n_rows;
}

static void accept_batch(Ship *ship, const Batch *batch, bool durable) {
        add_unconfirmed(ship, batch);
        ship_works(ship);
        if (durable && !confirm(ship))
                return;
        ship->rows_limit = MIN_OF(ship->rows_limit + batch->n_rows, (size_t)BATCH_ROWS_MAX);
        if (batch->last >= ship->halving_until)
                ship->halving_until = 0;
        ship->rows_max = ship->halving_until > 0 ? MIN_OF(ship->rows_max * 2, ship->rows_limit) : ship->rows_limit;
}

/* One row, put aside. false: the shipping has been stopped over it. */
static bool put_aside(Ship *ship, const Batch *batch, const char *sqlstate, const char *message) {
        OutboxRefusal refusal = { .sqlstate = sqlstate, .message = message };
        OutboxFigures figures;
        int r;

        (void)outbox_figures(ship->spool, &figures);
        if (figures.dead_letters >= DEAD_LETTERS_MAX) {
                _cleanup_(freep) char *detail = text_printf("%llu rows have been refused, the next one too: %s",
                        (unsigned long long)figures.dead_letters, message ? message : "?");

                ship_fail(ship,
                        &(PostgresTrouble){ .state = POSTGRES_FAILED,
                                .detail = detail,
                                .hint = "Mend what they are refused for, then: scidexctl db retry." });
                return false;
        }
        r = outbox_refuse(ship->spool, batch->generation, batch->first, &refusal);
        if (r != 0) {
                spool_failed(ship, r == -ENOMEM ? OUTBOX_E_AWAY : r);
                return true;
        }
        ship->refused++;
        ship->changed(ship->userdata);
        return true;
}

static unsigned count_try(Ship *ship, int64_t id) {
        ship->tries = ship->tried_id == id ? ship->tries + 1 : 1;
        ship->tried_id = id;
        return ship->tries;
}

/* A row that is alone and was refused. */
static void judge_row(Ship *ship) {
        const char *sqlstate = ship->failure.sqlstate;
        PostgresError error = postgres_error_of(sqlstate);

        if (error != POSTGRES_ERROR_ROW && strcmp(sqlstate, ship->believed) != 0 &&
                count_try(ship, ship->failed.first) < TRIES_MAX) {
                ship_set_state(ship, POSTGRES_FAILED, sqlstate, ship->failure.detail, ship->failure.hint);
                ship_arm(ship->resume, SHIP_BACKOFF_MIN_USEC << (ship->tries - 1));
                return;
        }
        if (error == POSTGRES_ERROR_UNKNOWN)
                (void)snprintf(ship->believed, sizeof(ship->believed), "%s", sqlstate);
        if (put_aside(ship, &ship->failed, sqlstate, ship->failure.detail))
                ship_arm_pump(ship);
}

/* Everything behind the refused batch has come back: end its transaction, and send less. */
static void recover(Ship *ship) {
        const Batch *failed = &ship->failed;
        bool again = postgres_error_of(ship->failure.sqlstate) == POSTGRES_ERROR_REFERENCE;
        int r = pipeline_query(ship->pipeline, "ROLLBACK", NULL);

        if (r == 0)
                r = pipeline_sync(ship->pipeline, ship_on_aside, ship);
        if (r < 0) {
                ship_lost(ship, r);
                return;
        }
        ship->broken = false;
        ship->cursor = failed->first - 1;
        ship->halving_until = MAX_OF(ship->halving_until, failed->last);
        if (failed->n_rows == 1) {
                ship->rows_max = 1;
                judge_row(ship);
                return;
        }
        /* The function that knows the analyses says NULL now. */
        if (!again || count_try(ship, failed->first) >= REFERENCE_TRIES)
                ship->rows_max = failed->n_rows / 2;
        ship_arm_pump(ship);
}

static void reject_batch(Ship *ship, const Batch *batch, const PostgresTrouble *trouble) {
        if (!postgres_error_is_of_rows(postgres_error_of(trouble->sqlstate))) {
                ship_fail(ship, trouble);
                return;
        }
        ship->broken = true;
        ship->failed = *batch;
        (void)postgres_trouble_set(&ship->failure, trouble->state, trouble->detail, trouble->hint);
        memcpy(ship->failure.sqlstate, trouble->sqlstate, sizeof(ship->failure.sqlstate));
        if (ship->n_flights == 0)
                recover(ship);
}

static void on_batch(const PipelineReply *reply, void *userdata) {
        Ship *ship = userdata;
        Flight flight = ship->flights[0];

        ship->n_flights--;
        memmove(ship->flights, ship->flights + 1, ship->n_flights * sizeof(Flight));
        pace_begin(&ship->pace);
        if (ship->broken) {
                if (ship->n_flights == 0)
                        recover(ship);
        } else if (reply->trouble)
                reject_batch(ship, &flight.batch, reply->trouble);
        else if (!reply->committed)
                ship_fail_words(ship, POSTGRES_FAILED, "the server answered a COMMIT with something else");
        else {
                accept_batch(ship, &flight.batch, flight.durable);
                ship_arm_pump(ship);
        }
        pace_end(&ship->pace, clock_boottime_usec());
}

/* 0, -ENOTCONN, -ENOMEM. */
static int send_batch(Ship *ship, const Batch *batch) {
        size_t n;
        const BatchMonth *months = filler_months(ship->filler, &n);
        bool durable = !batch->is_full || ship->halving_until > 0 || ship->n_relaxed + 1 >= UNCONFIRMED_MAX;
        int r = 0;

        for (size_t i = 0; r == 0 && i < n; i++)
                r = ship_send_partition(ship, &months[i]);
        if (r == 0)
                r = filler_send(ship->filler, ship->pipeline, batch, durable, ship->host, ship->supervisor);
        if (r < 0)
                return r;
        ship->n_relaxed = durable ? 0 : ship->n_relaxed + 1;
        ship->flights[ship->n_flights++] = (Flight){ .batch = *batch, .durable = durable };
        ship->cursor = batch->last;
        return pipeline_sync(ship->pipeline, on_batch, ship);
}

static void on_confirmed(const PipelineReply *reply, void *userdata) {
        Ship *ship = userdata;

        ship->confirming = false;
        if (reply->trouble)
                ship_fail(ship, reply->trouble);
        else if (confirm(ship))
                ship_arm_pump(ship);
}

/* A commit that writes something, and so waits for the server's disk. 0, -ENOTCONN, -ENOMEM. */
static int send_confirmation(Ship *ship) {
        int r = ship->confirming ? 0 : ship_send_heartbeat(ship);

        if (r < 0 || ship->confirming)
                return r;
        ship->confirming = true;
        return pipeline_sync(ship->pipeline, on_confirmed, ship);
}

/* Nothing waits, and nothing is on its way. */
static int drained(Ship *ship) {
        if (ship->unconfirmed.n_rows > 0)
                return send_confirmation(ship);
        ship_works(ship);
        ship->halving_until = 0;
        if (ship->finished) {
                ship_finished(ship);
                return 0;
        }
        return ship->reconciled ? 0 : ship_send_reconcile(ship);
}

static void pump_once(Ship *ship) {
        Batch batch;
        int r = filler_fill(ship->filler, ship->spool, ship->cursor, ship->rows_max, &batch);

        if (r == 0) {
                r = send_batch(ship, &batch);
                if (r == 0)
                        ship_arm_pump(ship);
        } else if (r == BATCH_E_AWAY) {
                spool_failed(ship, OUTBOX_E_AWAY);
                r = 0;
        } else if (r == BATCH_E_UNFIT && ship->n_flights == 0) {
                if (put_aside(ship, &batch, "22P02", "the id is no UUID"))
                        ship_arm_pump(ship);
                r = 0;
        } else if (r > 0)
                r = ship->n_flights == 0 ? drained(ship) : 0;
        if (r < 0)
                ship_lost(ship, r);
}

int ship_on_pump(sd_event_source *source, void *userdata) {
        Ship *ship = userdata;
        size_t flights_max = ship->halving_until > 0 ? 1 : SHIP_FLIGHTS_MAX;
        uint64_t now = clock_boottime_usec(), wait = pace_wait(&ship->pace, now);

        if (ship->phase != PHASE_SHIPPING || ship->broken || ship->n_flights >= flights_max ||
                sd_event_source_get_enabled(ship->resume, NULL) > 0)
                return 0;
        if (ship->rewind) {
                if (ship->n_flights > 0)
                        return 0;
                ship->rewind = false;
                ship->cursor = 0;
        }
        if (wait > 0) {
                ship_arm(ship->resume, wait - now);
                return 0;
        }
        pace_begin(&ship->pace);
        pump_once(ship);
        pace_end(&ship->pace, clock_boottime_usec());
        return 0;
}

int ship_on_resume(sd_event_source *source, uint64_t usec, void *userdata) {
        ship_arm_pump(userdata);
        return 0;
}
