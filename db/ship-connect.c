/*
 * From nothing to a connection that takes rows.
 *
 * Called by the retry timer.  Connecting is a thread's (attempt.c); then the session is set up in two groups, because
 * statements can only be prepared on tables of the version that this program knows.  The hard thing is a second
 * recorder of the same directory, the old one still ending: a row that both ship could be the older state last.  So who
 * ships holds a lock, on a file that nobody else can open: the directory is open to the group, and a lock on that could
 * be taken by anyone in it, for good.
 */
#include "db/ship-state.h"

#include "base/file.h"
#include "db/database.h"
#include "db/migrate.h"
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#define STATEMENT_TIMEOUT "50s" /* shorter than the pipeline's own */

#define SESSION_SQL                                                                                               \
        "SELECT set_config('statement_timeout','" STATEMENT_TIMEOUT                                               \
        "',false),set_config('lock_timeout','20s',false),set_config('idle_in_transaction_session_timeout','60s'," \
        "false),set_config('jit','off',false),CASE WHEN current_setting('synchronous_commit')='off' THEN"         \
        " set_config('synchronous_commit','local',false) END"
#define LOCK_NAME   DATABASE_NAME ".shipping"
#define VERSION_SQL "SELECT coalesce(max(version),0) FROM scidex_schema"

static void on_lost(const PostgresTrouble *trouble, void *userdata) {
        ship_fail(userdata, trouble);
}

static void begin_shipping(Ship *ship) {
        ship->phase = PHASE_SHIPPING;
        ship->rows_max = ship->rows_limit;
        ship->halving_until = 0;
        /* A server that was restored from a dump has forgotten what runs. */
        (void)outbox_requeue_processes(ship->spool);
        ship_arm(ship->heartbeat, SHIP_HEARTBEAT_USEC);
        ship_arm_pump(ship);
}

static void on_prepared(const PipelineReply *reply, void *userdata) {
        if (reply->trouble)
                ship_fail(userdata, reply->trouble);
        else
                begin_shipping(userdata);
}

static void on_version(const PipelineReply *reply, void *userdata) {
        _cleanup_(freep) char *detail = NULL;
        const char *version = "0";
        Ship *ship = userdata;
        int r;

        if (reply->trouble) {
                ship_fail(ship, reply->trouble);
                return;
        }
        /* PQgetvalue() gives NULL for a column that is not there. */
        if (PQntuples(reply->rows) > 0 && PQnfields(reply->rows) > 0)
                version = PQgetvalue(reply->rows, 0, 0);
        ship->schema_version = strtoll(version, NULL, 10);
        if (ship->schema_version != migrate_latest()) {
                detail = text_printf("the database has version %lld of the tables, this program writes version %d",
                        (long long)ship->schema_version, migrate_latest());
                ship_fail_words(ship, POSTGRES_SCHEMA, detail);
                return;
        }
        r = filler_prepare(ship->filler, ship->pipeline);
        if (r == 0)
                r = ship_send_heartbeat(ship);
        if (r == 0)
                r = pipeline_sync(ship->pipeline, on_prepared, ship);
        if (r == 0)
                r = ship_send_partitions_ahead(ship);
        if (r < 0)
                ship_lost(ship, r);
}

static void set_up(Ship *ship, PGconn *connection) {
        int r;

        ship->phase = PHASE_SETUP;
        ship->connected_usec = clock_realtime_usec();
        free(ship->server);
        ship->server = postgres_server(connection);
        r = pipeline_new(ship->event, connection, SHIP_PRIORITY, on_lost, ship, &ship->pipeline);
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
        _cleanup_(freep) char *path = NULL;

        if (ship->lock_fd >= 0)
                return true;
        path = text_printf("%s/" LOCK_NAME, ship->directory);
        if (path)
                ship->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
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
                ship_set_state(ship, POSTGRES_CONNECTING, "", "another recorder of this directory is shipping", NULL);
                ship_arm(ship->retry, SHIP_BACKOFF_MIN_USEC);
                return;
        }
        ship->phase = PHASE_CONNECTING;
        r = attempt_new(ship->event, &options, on_attempt, ship, &ship->attempt);
        if (r < 0)
                ship_fail_words(ship, POSTGRES_FAILED, strerror(-r));
}

int ship_on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        connect_now(userdata);
        return 0;
}
