/*
 * What goes beside the rows: that this host reports, where its events will lie, and which of its runs are gone.
 *
 * Called by the other files of the shipping.  None of it is worth a connection: what is refused here is tried again
 * with the next heartbeat or the next connection, and only an error about the connection itself ends that.
 */
#include "db/ship-state.h"

#include <string.h>

#define AHEAD_USEC    (UINT64_C(7) * 24 * 3600 * USEC_PER_SEC) /* the next month's partition is made so early */
#define PARTITION_SQL "SELECT scidex_make_partition($1::timestamptz)"
#define RECONCILE_SQL "SELECT scidex_reconcile($1,$2,$3,$4)"
#define HEARTBEAT_SQL                                                                                           \
        "INSERT INTO watchdog_hosts (host,supervisor,boot_id,version,heartbeat_at,heartbeat_sec,connected_at,"  \
        "waiting,oldest_waiting_at,dead_letters,shipped) VALUES ($1,$2,$3,$4,now(),$5::float8,$6::timestamptz," \
        "$7::int8,nullif($8,'')::timestamptz,$9::int8,$10::int8) ON CONFLICT (host,supervisor) DO UPDATE SET"   \
        " boot_id=excluded.boot_id,version=excluded.version,heartbeat_at=excluded.heartbeat_at,heartbeat_sec="  \
        "excluded.heartbeat_sec,connected_at=excluded.connected_at,waiting=excluded.waiting,oldest_waiting_at=" \
        "excluded.oldest_waiting_at,dead_letters=excluded.dead_letters,shipped=excluded.shipped"

/* Locked, in a broken transaction, refused: nothing that another connection would do better. */
static bool is_harmless(const char *sqlstate) {
        return strncmp(sqlstate, "25P", 3) == 0 || strncmp(sqlstate, "55", 2) == 0 || strncmp(sqlstate, "40", 2) == 0 ||
                postgres_error_is_of_rows(postgres_error_of(sqlstate));
}

void ship_on_aside(const PipelineReply *reply, void *userdata) {
        Ship *ship = userdata;

        if (reply->trouble && !ship->broken && !is_harmless(reply->trouble->sqlstate))
                ship_fail(ship, reply->trouble);
}

int ship_send_heartbeat(Ship *ship) {
        char connected_at[CLOCK_RFC3339_MAX], waiting[24], dead[24], shipped[24], every[24];
        OutboxFigures figures;
        const char *values[] = { ship->host, ship->supervisor, ship->boot_id, SCIDEX_VERSION, every, connected_at,
                waiting, figures.oldest_at, dead, shipped };

        (void)outbox_figures(ship->spool, &figures);
        (void)clock_format_rfc3339(connected_at, ship->connected_usec);
        (void)snprintf(waiting, sizeof(waiting), "%llu", (unsigned long long)figures.waiting);
        (void)snprintf(dead, sizeof(dead), "%llu", (unsigned long long)figures.dead_letters);
        (void)snprintf(shipped, sizeof(shipped), "%llu", (unsigned long long)ship->shipped);
        (void)snprintf(every, sizeof(every), "%llu", (unsigned long long)(SHIP_HEARTBEAT_USEC / USEC_PER_SEC));
        return pipeline_query(
                ship->pipeline, HEARTBEAT_SQL, &(PipelineParameters){ .n = ELEMENTSOF(values), .values = values });
}

static bool knows_month(const Ship *ship, int number) {
        for (size_t i = 0; i < ship->n_months; i++)
                if (ship->months[i] == number)
                        return true;
        return false;
}

/*
 * Without its partition rows go to the default one: whatever keeps the function from making it (a default partition so
 * full that looking through it takes longer than a statement may, an owner who may not create) is no reason to ship
 * nothing. Only of the end of the connection it may tell.
 */
static void on_partition(const PipelineReply *reply, void *userdata) {
        const char *sqlstate = reply->trouble ? reply->trouble->sqlstate : NULL;

        if (sqlstate && (!*sqlstate || strncmp(sqlstate, "08", 2) == 0 || strncmp(sqlstate, "57P", 3) == 0))
                ship_on_aside(reply, userdata);
}

int ship_send_partition(Ship *ship, const BatchMonth *month) {
        char at[CLOCK_RFC3339_MAX];
        const char *value = clock_format_rfc3339(at, month->at_usec);
        int r;

        if (knows_month(ship, month->number))
                return 0;
        if (ship->n_months == SHIP_MONTHS_MAX)
                ship->n_months = 0;
        ship->months[ship->n_months++] = month->number;
        r = pipeline_query(ship->pipeline, PARTITION_SQL, &(PipelineParameters){ .n = 1, .values = &value });
        return r < 0 ? r : pipeline_sync(ship->pipeline, on_partition, ship);
}

int ship_send_partitions_ahead(Ship *ship) {
        uint64_t now = clock_realtime_usec();
        BatchMonth month = batch_month_of_time(now), next = batch_month_of_time(now + AHEAD_USEC);
        int r = ship_send_partition(ship, &month);

        return r < 0 ? r : ship_send_partition(ship, &next);
}

int ship_on_heartbeat(sd_event_source *source, uint64_t usec, void *userdata) {
        Ship *ship = userdata;
        int r;

        if (ship->phase != PHASE_SHIPPING)
                return 0;
        ship_arm(ship->heartbeat, SHIP_HEARTBEAT_USEC);
        ship_tell_figures(ship);
        if (ship->broken) /* the next one is soon enough */
                return 0;
        r = ship_send_heartbeat(ship);
        if (r == 0)
                r = pipeline_sync(ship->pipeline, ship_on_aside, ship);
        if (r == 0)
                r = ship_send_partitions_ahead(ship);
        if (r < 0)
                ship_lost(ship, r);
        else
                ship_arm_pump(ship);
        return 0;
}

static void on_reconciled(const PipelineReply *reply, void *userdata) {
        Ship *ship = userdata;

        if (reply->trouble) /* with the next heartbeat */
                ship->reconciled = false;
        ship_on_aside(reply, userdata);
}

int ship_send_reconcile(Ship *ship) {
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
