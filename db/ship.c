/*
 * Shipping.
 *
 * Called by the recorder's loop.  A connection is made aside, set up, and then carries batches, a few at a time; each
 * is a transaction whose commit takes a range off the outbox.  The hard thing is what a failure means.  A connection
 * that ends may have committed or not: the rows go again, and their keys make that harmless.  A server that can't take
 * anything (full, read-only, another schema) is waited for.  A batch refused for a row's sake leaves the transaction
 * broken on purpose, so that those behind it, already sent, fail too and no row overtakes another of its run; then it
 * is halved until the row is alone, and that one row is put aside.  Only a commit, or an empty outbox, counts as
 * success: a server that lets in and then refuses must not look well every second.  In a backlog only every eighth
 * commit waits for the server's disk, and confirms those before it.
 */
#include "db/ship.h"

#include "base/file.h"
#include "db/attempt.h"
#include "db/batch.h"
#include "db/migrate.h"
#include "db/pace.h"
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>

#define PRIORITY           (SD_EVENT_PRIORITY_NORMAL + 10) /* storing comes first */
#define UNCONFIRMED_MAX    8                               /* batches whose commits one durable commit confirms */
#define FLIGHTS_MAX        4                               /* batches sent and not yet answered */
#define BACKOFF_MIN_USEC   (1 * USEC_PER_SEC)
#define BACKOFF_MAX_USEC   (30 * USEC_PER_SEC)
#define SPOOL_PAUSE_USEC   (2 * USEC_PER_SEC)
#define HEARTBEAT_USEC     (30 * USEC_PER_SEC)
#define AHEAD_USEC         (UINT64_C(7) * 24 * 3600 * USEC_PER_SEC) /* the next month's partition is made so early */
#define TRIES_MAX          5       /* of a row that fails for a reason not known to be its own */
#define REFERENCE_TRIES    3       /* of a batch whose analysis was deleted while it was on its way */
#define DEAD_LETTERS_MAX   10000   /* beyond, it is no row's fault: everything would end up there */
#define MONTHS_MAX         32      /* whose partitions are known to be there */
#define SQLSTATE_CANCELLED "57014" /* by the statement's timeout */
#define STATEMENT_TIMEOUT  "50s"   /* shorter than the pipeline's own */

#define SESSION_SQL                                                                                               \
        "SELECT set_config('statement_timeout','" STATEMENT_TIMEOUT                                               \
        "',false),set_config('lock_timeout','20s',false),set_config('idle_in_transaction_session_timeout','60s'," \
        "false),set_config('jit','off',false),CASE WHEN current_setting('synchronous_commit')='off' THEN"         \
        " set_config('synchronous_commit','local',false) END"
#define VERSION_SQL   "SELECT coalesce(max(version),0) FROM scidex_schema"
#define PARTITION_SQL "SELECT scidex_make_partition($1::timestamptz)"
#define RECONCILE_SQL "SELECT scidex_reconcile($1,$2,$3,$4)"
#define HEARTBEAT_SQL                                                                                           \
        "INSERT INTO watchdog_hosts (host,supervisor,boot_id,version,heartbeat_at,heartbeat_sec,connected_at,"  \
        "waiting,oldest_waiting_at,dead_letters,shipped) VALUES ($1,$2,$3,$4,now(),$5::float8,$6::timestamptz," \
        "$7::int8,nullif($8,'')::timestamptz,$9::int8,$10::int8) ON CONFLICT (host,supervisor) DO UPDATE SET"   \
        " boot_id=excluded.boot_id,version=excluded.version,heartbeat_at=excluded.heartbeat_at,heartbeat_sec="  \
        "excluded.heartbeat_sec,connected_at=excluded.connected_at,waiting=excluded.waiting,oldest_waiting_at=" \
        "excluded.oldest_waiting_at,dead_letters=excluded.dead_letters,shipped=excluded.shipped"

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

        Flight flights[FLIGHTS_MAX]; /* oldest first */
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

        int months[MONTHS_MAX];
        size_t n_months;
};

static void connect_now(Ship *ship);
static void ship_fail(Ship *ship, const PostgresTrouble *trouble);

static void arm(sd_event_source *source, uint64_t in_usec) {
        (void)sd_event_source_set_time(source, usec_add(clock_boottime_usec(), in_usec));
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void disarm(sd_event_source *source) {
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static void arm_pump(Ship *ship) {
        (void)sd_event_source_set_enabled(ship->pump, SD_EVENT_ONESHOT);
}

static void set_state(Ship *ship, PostgresState state, const char *sqlstate, const char *detail, const char *hint) {
        const char *before = ship_detail(ship);
        bool same = ship->trouble.state == state && strcmp(before, detail ? detail : "") == 0;

        if (same)
                return;
        (void)postgres_trouble_set(&ship->trouble, state, detail, hint);
        (void)snprintf(ship->trouble.sqlstate, sizeof(ship->trouble.sqlstate), "%s", sqlstate);
        ship->changed(ship->userdata);
}

static void finish(Ship *ship) {
        void (*func)(void *) = ship->finished;

        ship->finished = NULL;
        if (func)
                func(ship->finished_userdata);
}

/* A success of the whole way: the only thing that ends the back-off. */
static void ship_works(Ship *ship) {
        ship->backoff_usec = BACKOFF_MIN_USEC;
        set_state(ship, POSTGRES_OK, "", NULL, NULL);
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

/* What waits changes with every row and is told in passing only. */
static void tell_figures(Ship *ship) {
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
        arm(ship->retry, jittered(ship->backoff_usec));
        ship->backoff_usec = MIN_OF(ship->backoff_usec * 2, BACKOFF_MAX_USEC);
}

static void ship_fail(Ship *ship, const PostgresTrouble *trouble) {
        /* Fewer rows next time: a server that slow would never get through with as many. */
        if (strcmp(trouble->sqlstate, SQLSTATE_CANCELLED) == 0)
                ship->rows_limit = MAX_OF(ship->rows_limit / 2, (size_t)1);
        /* A pipeline whose trouble this is calls us, and outlives the call. */
        forget_connection(ship);
        set_state(ship, trouble->state, trouble->sqlstate, trouble->detail, trouble->hint);
        retry_later(ship);
        tell_figures(ship);
        finish(ship);
}

static void ship_fail_words(Ship *ship, PostgresState state, const char *detail) {
        ship_fail(ship,
                &(PostgresTrouble){ .state = state, .detail = (char *)detail, .hint = postgres_state_hint(state) });
}

/* A send that failed: libpq knows why. */
static void ship_lost(Ship *ship, int r) {
        PostgresTrouble trouble = { .state = POSTGRES_OK };

        if (r == -ENOMEM || !ship->pipeline ||
                postgres_trouble_of(pipeline_connection(ship->pipeline), NULL, &trouble) < 0)
                ship_fail_words(ship, POSTGRES_FAILED, "out of memory");
        else
                ship_fail(ship, &trouble);
        postgres_trouble_deinit(&trouble);
}

static void on_lost(const PostgresTrouble *trouble, void *userdata) {
        ship_fail(userdata, trouble);
}

/* A month's partition, and the heartbeat: an error that is not about the connection changes nothing. */
static void on_aside(const PipelineReply *reply, void *userdata) {
        Ship *ship = userdata;

        if (!reply->trouble || ship->broken)
                return;
        if (strncmp(reply->trouble->sqlstate, "25P", 3) == 0 ||
                postgres_error_is_of_rows(postgres_error_of(reply->trouble->sqlstate)))
                return;
        ship_fail(ship, reply->trouble);
}

static int send_heartbeat(Ship *ship) {
        char connected_at[CLOCK_RFC3339_MAX], waiting[24], dead[24], shipped[24], every[24];
        OutboxFigures figures;
        const char *values[] = { ship->host, ship->supervisor, ship->boot_id, SCIDEX_VERSION, every, connected_at,
                waiting, figures.oldest_at, dead, shipped };

        (void)outbox_figures(ship->spool, &figures);
        (void)clock_format_rfc3339(connected_at, ship->connected_usec);
        (void)snprintf(waiting, sizeof(waiting), "%llu", (unsigned long long)figures.waiting);
        (void)snprintf(dead, sizeof(dead), "%llu", (unsigned long long)figures.dead_letters);
        (void)snprintf(shipped, sizeof(shipped), "%llu", (unsigned long long)ship->shipped);
        (void)snprintf(every, sizeof(every), "%llu", (unsigned long long)(HEARTBEAT_USEC / USEC_PER_SEC));
        return pipeline_query(
                ship->pipeline, HEARTBEAT_SQL, &(PipelineParameters){ .n = ELEMENTSOF(values), .values = values });
}

static bool knows_month(const Ship *ship, int number) {
        for (size_t i = 0; i < ship->n_months; i++)
                if (ship->months[i] == number)
                        return true;
        return false;
}

/* Once in a connection for each month, whatever comes of it: without its partition rows go to the default one. */
static int send_partition(Ship *ship, const BatchMonth *month) {
        char at[CLOCK_RFC3339_MAX];
        const char *value = clock_format_rfc3339(at, month->at_usec);
        int r;

        if (knows_month(ship, month->number))
                return 0;
        if (ship->n_months == MONTHS_MAX)
                ship->n_months = 0;
        ship->months[ship->n_months++] = month->number;
        r = pipeline_query(ship->pipeline, PARTITION_SQL, &(PipelineParameters){ .n = 1, .values = &value });
        return r < 0 ? r : pipeline_sync(ship->pipeline, on_aside, ship);
}

static int send_partitions_ahead(Ship *ship) {
        uint64_t now = clock_realtime_usec();
        BatchMonth month = batch_month_of_time(now), next = batch_month_of_time(now + AHEAD_USEC);
        int r = send_partition(ship, &month);

        return r < 0 ? r : send_partition(ship, &next);
}

static int on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata) {
        Ship *ship = userdata;
        int r;

        if (ship->phase != PHASE_SHIPPING)
                return 0;
        arm(ship->heartbeat, HEARTBEAT_USEC);
        tell_figures(ship);
        if (ship->broken) /* the next one is soon enough */
                return 0;
        r = send_heartbeat(ship);
        if (r == 0)
                r = pipeline_sync(ship->pipeline, on_aside, ship);
        if (r == 0)
                r = send_partitions_ahead(ship);
        if (r < 0)
                ship_lost(ship, r);
        else
                arm_pump(ship);
        return 0;
}

static void on_reconciled(const PipelineReply *reply, void *userdata) {
        on_aside(reply, userdata);
}

/* Rows of this host and supervisor that the spool does not know go. Only with an empty outbox: what waits in it tells
 * better than `lost` how those runs ended. 0, -ENOTCONN, -ENOMEM. */
static int send_reconcile(Ship *ship) {
        _cleanup_(json_decrefp) json_t *run_ids = NULL;
        _cleanup_(ship_array_deinit) ShipArray ids;
        static const Oid text = 25;
        const json_t *id;
        size_t i;
        int r = outbox_run_ids(ship->spool, &run_ids);

        ship_array_init_uuid(&ids);
        if (r > 0)
                return 0;
        if (r == 0)
                r = ship_array_reset(&ids);
        json_array_foreach(run_ids, i, id) if (r == 0 && ship_array_add_uuid(&ids, json_string_value(id)) == -ENOMEM)
                r = -ENOMEM;
        if (r < 0)
                return r;
        ship_array_finish(&ids);
        const char *values[] = { ship->host, ship->supervisor, ship->boot_id, ids.data };
        const int lengths[] = { (int)strlen(values[0]), (int)strlen(values[1]), (int)strlen(values[2]), (int)ids.size };
        const Oid types[] = { text, text, text, ids.array_type };

        ship->reconciled = true;
        r = pipeline_query(ship->pipeline, RECONCILE_SQL,
                &(PipelineParameters){ .n = ELEMENTSOF(values),
                        .types = types,
                        .values = values,
                        .lengths = lengths,
                        .binary = true });
        return r < 0 ? r : pipeline_sync(ship->pipeline, on_reconciled, ship);
}

static void begin_shipping(Ship *ship) {
        ship->phase = PHASE_SHIPPING;
        ship->rows_max = ship->rows_limit;
        ship->halving_until = 0;
        /* A server that was restored from a dump has forgotten what runs. */
        (void)outbox_requeue_processes(ship->spool);
        arm(ship->heartbeat, HEARTBEAT_USEC);
        arm_pump(ship);
}

static void on_prepared(const PipelineReply *reply, void *userdata) {
        if (reply->trouble)
                ship_fail(userdata, reply->trouble);
        else
                begin_shipping(userdata);
}

static void on_version(const PipelineReply *reply, void *userdata) {
        _cleanup_(freep) char *detail = NULL;
        Ship *ship = userdata;
        int r;

        if (reply->trouble) {
                ship_fail(ship, reply->trouble);
                return;
        }
        ship->schema_version = PQntuples(reply->rows) > 0 ? strtoll(PQgetvalue(reply->rows, 0, 0), NULL, 10) : 0;
        if (ship->schema_version != migrate_latest()) {
                detail = text_printf("the database has version %lld of the tables, this program writes version %d",
                        (long long)ship->schema_version, migrate_latest());
                ship_fail_words(ship, POSTGRES_SCHEMA, detail);
                return;
        }
        r = filler_prepare(ship->filler, ship->pipeline);
        if (r == 0)
                r = send_heartbeat(ship);
        if (r == 0)
                r = pipeline_sync(ship->pipeline, on_prepared, ship);
        if (r == 0)
                r = send_partitions_ahead(ship);
        if (r < 0)
                ship_lost(ship, r);
}

static void set_up(Ship *ship, PGconn *connection) {
        int r;

        ship->phase = PHASE_SETUP;
        ship->connected_usec = clock_realtime_usec();
        free(ship->server);
        ship->server = postgres_server(connection);
        r = pipeline_new(ship->event, connection, PRIORITY, on_lost, ship, &ship->pipeline);
        if (r == 0)
                r = pipeline_query(ship->pipeline, SESSION_SQL, NULL);
        if (r == 0)
                r = pipeline_query(ship->pipeline, VERSION_SQL, NULL);
        if (r == 0)
                r = pipeline_sync(ship->pipeline, on_version, ship);
        if (r < 0)
                ship_lost(ship, r);
}

static void on_attempt(int r, PGconn *connection, const PostgresTrouble *trouble, void *userdata) {
        Ship *ship = userdata;

        if (r == 0)
                set_up(ship, connection);
        else if (r > 0)
                ship_fail(ship, trouble);
        else
                ship_fail_words(ship, POSTGRES_FAILED, strerror(-r));
        if (ship->attempt)
                attempt_free(TAKE_PTR(ship->attempt));
}

/* Two recorders of one directory, the old one still ending: a row that both ship could be the older state last. */
static bool take_lock(Ship *ship) {
        if (ship->lock_fd >= 0)
                return true;
        ship->lock_fd = open(ship->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (ship->lock_fd < 0 || flock(ship->lock_fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
                return true; /* a file system without locks: as without this */
        ship->lock_fd = close_fd(ship->lock_fd);
        return false;
}

static void connect_now(Ship *ship) {
        PostgresOptions options = {
                .conninfo = ship->conninfo, .password = ship->password, .application = "scidex-recorder"
        };
        int r;

        if (!take_lock(ship)) {
                set_state(ship, POSTGRES_CONNECTING, "", "another recorder of this directory is shipping", NULL);
                arm(ship->retry, BACKOFF_MIN_USEC);
                return;
        }
        ship->phase = PHASE_CONNECTING;
        r = attempt_new(ship->event, &options, on_attempt, ship, &ship->attempt);
        if (r < 0)
                ship_fail_words(ship, POSTGRES_FAILED, strerror(-r));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        connect_now(userdata);
        return 0;
}

/* The spool said no: what is in flight comes back, then everything begins at the front. */
static void spool_failed(Ship *ship, int r) {
        ship->rewind = true;
        arm(ship->resume, r == OUTBOX_E_STALE ? 0 : SPOOL_PAUSE_USEC);
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
                set_state(ship, POSTGRES_FAILED, sqlstate, ship->failure.detail, ship->failure.hint);
                arm(ship->resume, BACKOFF_MIN_USEC << (ship->tries - 1));
                return;
        }
        if (error == POSTGRES_ERROR_UNKNOWN)
                (void)snprintf(ship->believed, sizeof(ship->believed), "%s", sqlstate);
        if (put_aside(ship, &ship->failed, sqlstate, ship->failure.detail))
                arm_pump(ship);
}

/* Everything behind the refused batch has come back: end its transaction, and send less. */
static void recover(Ship *ship) {
        const Batch *failed = &ship->failed;
        bool again = postgres_error_of(ship->failure.sqlstate) == POSTGRES_ERROR_REFERENCE;
        int r = pipeline_query(ship->pipeline, "ROLLBACK", NULL);

        if (r == 0)
                r = pipeline_sync(ship->pipeline, on_aside, ship);
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
        arm_pump(ship);
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
                arm_pump(ship);
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
                r = send_partition(ship, &months[i]);
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
                arm_pump(ship);
}

/* A commit that writes something, and so waits for the server's disk. 0, -ENOTCONN, -ENOMEM. */
static int send_confirmation(Ship *ship) {
        int r = ship->confirming ? 0 : send_heartbeat(ship);

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
                finish(ship);
                return 0;
        }
        return ship->reconciled ? 0 : send_reconcile(ship);
}

static void pump_once(Ship *ship) {
        Batch batch;
        int r = filler_fill(ship->filler, ship->spool, ship->cursor, ship->rows_max, &batch);

        if (r == 0) {
                r = send_batch(ship, &batch);
                if (r == 0)
                        arm_pump(ship);
        } else if (r == BATCH_E_AWAY) {
                spool_failed(ship, OUTBOX_E_AWAY);
                r = 0;
        } else if (r == BATCH_E_UNFIT && ship->n_flights == 0) {
                if (put_aside(ship, &batch, "22P02", "the id is no UUID"))
                        arm_pump(ship);
                r = 0;
        } else if (r > 0)
                r = ship->n_flights == 0 ? drained(ship) : 0;
        if (r < 0)
                ship_lost(ship, r);
}

static int on_pump(sd_event_source *source, void *userdata) {
        Ship *ship = userdata;
        size_t flights_max = ship->halving_until > 0 ? 1 : FLIGHTS_MAX;
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
                arm(ship->resume, wait - now);
                return 0;
        }
        pace_begin(&ship->pace);
        pump_once(ship);
        pace_end(&ship->pace, clock_boottime_usec());
        return 0;
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata) {
        arm_pump(userdata);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        finish(userdata);
        return 0;
}

static int add_timer(Ship *ship, uint64_t accuracy, sd_event_time_handler_t handler, sd_event_source **ret) {
        int r = sd_event_add_time(ship->event, ret, CLOCK_BOOTTIME, 0, accuracy, handler, ship);

        if (r >= 0)
                r = sd_event_source_set_priority(*ret, PRIORITY);
        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_sources(Ship *ship) {
        int r;

        if ((r = add_timer(ship, 100 * USEC_PER_MSEC, on_retry, &ship->retry)) < 0 ||
                (r = add_timer(ship, 1, on_resume, &ship->resume)) < 0 ||
                (r = add_timer(ship, USEC_PER_SEC, on_heartbeat, &ship->heartbeat)) < 0 ||
                (r = add_timer(ship, 10 * USEC_PER_MSEC, on_deadline, &ship->deadline)) < 0 ||
                (r = sd_event_add_defer(ship->event, &ship->pump, on_pump, ship)) < 0 ||
                (r = sd_event_source_set_priority(ship->pump, PRIORITY + 1)) < 0)
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
                .backoff_usec = BACKOFF_MIN_USEC,
                .rows_limit = BATCH_ROWS_MAX,
                .trouble = { .state = POSTGRES_CONNECTING } };
        if (!ship->conninfo || !ship->directory || !ship->host || !ship->boot_id || !ship->supervisor ||
                !ship->server || (options->password && !ship->password))
                return -ENOMEM;
        pace_init(&ship->pace);
        r = filler_new(&ship->filler);
        if (r == 0)
                r = add_sources(ship);
        if (r < 0)
                return r;
        arm(ship->retry, 0);
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
                arm_pump(ship);
}

void ship_finish(Ship *ship, uint64_t limit_usec, void (*func)(void *userdata), void *userdata) {
        bool hopeless = ship->phase == PHASE_WAITING && ship->trouble.state != POSTGRES_CONNECTING;

        ship->finished = func;
        ship->finished_userdata = userdata;
        arm(ship->deadline, limit_usec);
        if (hopeless)
                finish(ship);
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
