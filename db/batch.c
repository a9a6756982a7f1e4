/*
 * Batches.
 *
 * Called by the shipping.  A batch is what stands in the outbox in one piece, so that one range of ids is taken off it
 * afterwards; within it the rows go to their tables in whatever order, since all of it is one transaction.  The hard
 * thing is its size: 256 rows are some hundred KiB or, with full timelines, 15 MiB, and the loop stands still while it
 * is made.  So it also ends after 1 MiB.
 */
#include "db/batch.h"

#include "base/uuid.h"
#include <string.h>
#include <time.h>

#define NOTIFY_SQL "SELECT pg_notify('scidex_events',json_build_object('host',$1::text,'count',$2::int8)::text)"
#define DELETE_SQL "DELETE FROM watchdog_processes WHERE run_id=ANY($1)"
#define FOUND_SQL  "SELECT scidex_found($1)"

struct Filler {
        ShipRows *rows[_OUTBOX_KIND_MAX]; /* owned */
        ShipArray ended, found;           /* run ids: processes that are no more, `lost` runs that live after all */
        BatchMonth months[BATCH_MONTHS_MAX];
        size_t n_months;
        size_t max_rows;
        Batch batch;
        bool unfit;
};

/* In the order in which they are sent. */
static const char *const statement_names[_OUTBOX_KIND_MAX] = {
        [OUTBOX_PROCESS] = "ship_process",
        [OUTBOX_RUN] = "ship_run",
        [OUTBOX_EVENT] = "ship_event",
};

int filler_new(Filler **ret) {
        _cleanup_(filler_freep) Filler *filler = calloc(1, sizeof(*filler));

        if (!filler)
                return -ENOMEM;
        ship_array_init_uuid(&filler->ended);
        ship_array_init_uuid(&filler->found);
        for (OutboxKind kind = 0; kind < _OUTBOX_KIND_MAX; kind++)
                if (ship_rows_new(kind, &filler->rows[kind]) < 0)
                        return -ENOMEM;
        *ret = TAKE_PTR(filler);
        return 0;
}

void filler_free(Filler *filler) {
        for (OutboxKind kind = 0; kind < _OUTBOX_KIND_MAX; kind++)
                if (filler->rows[kind])
                        ship_rows_free(filler->rows[kind]);
        ship_array_deinit(&filler->found);
        ship_array_deinit(&filler->ended);
        free(filler);
}

BatchMonth batch_month_of_time(uint64_t realtime_usec) {
        time_t seconds = (time_t)(realtime_usec / USEC_PER_SEC);
        struct tm broken_down = { 0 };

        (void)gmtime_r(&seconds, &broken_down);
        return (BatchMonth){ .number = (broken_down.tm_year + 1900) * 12 + broken_down.tm_mon,
                .at_usec = realtime_usec };
}

BatchMonth batch_month_of_id(const char *event_id) {
        char digits[13];

        /* The first 48 bits: 12 digits, with a hyphen behind the eighth. */
        (void)snprintf(digits, sizeof(digits), "%.8s%.4s", event_id, event_id + 9);
        return batch_month_of_time(strtoull(digits, NULL, 16) * USEC_PER_MSEC);
}

static int add_month(Filler *filler, const char *event_id) {
        BatchMonth month = batch_month_of_id(event_id);

        for (size_t i = 0; i < filler->n_months; i++)
                if (filler->months[i].number == month.number)
                        return 0;
        if (filler->n_months == BATCH_MONTHS_MAX)
                return -ENOSPC;
        filler->months[filler->n_months++] = month;
        return 0;
}

static size_t filled_bytes(const Filler *filler) {
        size_t bytes = filler->ended.size + filler->found.size;

        for (OutboxKind kind = 0; kind < _OUTBOX_KIND_MAX; kind++)
                bytes += ship_rows_bytes(filler->rows[kind]);
        return bytes;
}

/* 0, SHIP_ROWS_E_UNFIT, -ENOMEM, -ENOSPC: of a month that has no place in this batch. */
static int add_row(Filler *filler, const OutboxRow *row) {
        if (row->statement) {
                if (row->kind == OUTBOX_EVENT && uuid_valid(row->key) && add_month(filler, row->key) < 0)
                        return -ENOSPC;
                return ship_rows_add(filler->rows[row->kind], row->statement);
        }
        if (!uuid_valid(row->key))
                return SHIP_ROWS_E_UNFIT;
        if (row->kind == OUTBOX_EVENT) /* taken out of the history by hand: there is nothing to ship */
                return 0;
        return ship_array_add_uuid(row->kind == OUTBOX_PROCESS ? &filler->ended : &filler->found, row->key);
}

static int take_row(const OutboxRow *row, void *userdata) {
        Filler *filler = userdata;
        Batch *batch = &filler->batch;
        int r;

        if (batch->n_rows >= filler->max_rows || (batch->n_rows > 0 && filled_bytes(filler) >= BATCH_BYTES_MAX)) {
                batch->is_full = true;
                return BATCH_E_EMPTY;
        }
        r = add_row(filler, row);
        if (r == -ENOMEM)
                return r;
        if (r != 0 && batch->n_rows > 0)
                return BATCH_E_EMPTY;
        filler->unfit = r != 0;
        if (batch->n_rows == 0)
                batch->first = row->id;
        batch->last = row->id;
        batch->n_rows++;
        batch->n_events += row->kind == OUTBOX_EVENT && row->statement;
        return r == 0 ? 0 : BATCH_E_UNFIT;
}

int filler_fill(Filler *filler, Spool *spool, int64_t after_id, size_t max_rows, Batch *ret) {
        int r;

        for (OutboxKind kind = 0; kind < _OUTBOX_KIND_MAX; kind++)
                ship_rows_reset(filler->rows[kind]);
        if (ship_array_reset(&filler->ended) < 0 || ship_array_reset(&filler->found) < 0)
                return -ENOMEM;
        filler->n_months = 0;
        filler->max_rows = max_rows;
        filler->unfit = false;
        filler->batch = (Batch){ .generation = spool_generation(spool) };
        r = outbox_read(spool, after_id, take_row, filler);
        *ret = filler->batch;
        if (r != 0)
                return r < 0 ? r : BATCH_E_AWAY;
        if (ret->n_rows == 0)
                return BATCH_E_EMPTY;
        return filler->unfit ? BATCH_E_UNFIT : 0;
}

const BatchMonth *filler_months(const Filler *filler, size_t *ret_n) {
        *ret_n = filler->n_months;
        return filler->months;
}

int filler_prepare(const Filler *filler, Pipeline *pipeline) {
        for (OutboxKind kind = 0; kind < _OUTBOX_KIND_MAX; kind++) {
                _cleanup_(freep) char *sql = ship_rows_sql(kind);
                Oid types[SHIP_COLUMNS_MAX];
                int n = ship_rows_types(filler->rows[kind], types), r;

                if (!sql)
                        return -ENOMEM;
                r = pipeline_prepare(pipeline, statement_names[kind], sql, n, types);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int send_rows(Filler *filler, Pipeline *pipeline, OutboxKind kind, const char *supervisor) {
        const char *values[SHIP_COLUMNS_MAX];
        int lengths[SHIP_COLUMNS_MAX];
        PipelineParameters parameters = { .values = values, .lengths = lengths, .binary = true };

        if (ship_rows_count(filler->rows[kind]) == 0)
                return 0;
        parameters.n = ship_rows_values(filler->rows[kind], values, lengths);
        if (kind == OUTBOX_PROCESS) {
                values[parameters.n] = supervisor;
                lengths[parameters.n++] = (int)strlen(supervisor);
        }
        return pipeline_execute(pipeline, statement_names[kind], &parameters);
}

static int send_ids(ShipArray *ids, Pipeline *pipeline, const char *sql) {
        const char *value = ids->data;
        int length = (int)ids->size;
        PipelineParameters parameters = {
                .n = 1, .types = &ids->array_type, .values = &value, .lengths = &length, .binary = true
        };

        if (ids->n == 0)
                return 0;
        ship_array_finish(ids);
        return pipeline_query(pipeline, sql, &parameters);
}

static int send_notification(Pipeline *pipeline, const Batch *batch, const char *host) {
        char count[24];
        const char *values[] = { host, count };

        if (batch->n_events == 0)
                return 0;
        (void)snprintf(count, sizeof(count), "%zu", batch->n_events);
        return pipeline_query(pipeline, NOTIFY_SQL, &(PipelineParameters){ .n = 2, .values = values });
}

int filler_send(Filler *filler, Pipeline *pipeline, const Batch *batch, bool durable, const char *host,
        const char *supervisor) {
        int r = pipeline_query(pipeline, "BEGIN", NULL);

        if (r == 0 && !durable)
                r = pipeline_query(pipeline, "SET LOCAL synchronous_commit=off", NULL);
        if (r == 0)
                r = send_ids(&filler->ended, pipeline, DELETE_SQL);
        if (r == 0)
                r = send_ids(&filler->found, pipeline, FOUND_SQL);
        for (OutboxKind kind = 0; r == 0 && kind < _OUTBOX_KIND_MAX; kind++)
                r = send_rows(filler, pipeline, kind, supervisor);
        if (r == 0)
                r = send_notification(pipeline, batch, host);
        return r == 0 ? pipeline_query(pipeline, "COMMIT", NULL) : r;
}
