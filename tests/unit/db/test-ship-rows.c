/* Rows become arrays that PostgreSQL reads as it would have read them one by one; batches end where they should. */
#include "tests/unit/db/scratch.h"

#include "db/batch.h"
#include "db/migrations.h"
#include "db/ship-rows.h"
#include <endian.h>
#include <string.h>

#define AT    "2026-11-21T07:00:00.250000Z"
#define RUN   "01a1fe9e-3b95-77d8-b7e7-82b4f6d3c5c9"
#define EVENT "01a1fe9e-3b95-77d8-b7e7-82b4f6d3c500" /* of 2027-09 */

typedef struct World {
        Scratch scratch;
        Spool *spool;
        ShipRows *rows;
        const char *values[SHIP_COLUMNS_MAX];
        int lengths[SHIP_COLUMNS_MAX];
        int n;
} World;

static void world_init(World *world, OutboxKind kind) {
        SpoolOptions options;

        *world = (World){ .n = 0 };
        scratch_init(&world->scratch);
        options = scratch_options(&world->scratch);
        options.outbox = true;
        assert_int_equal(spool_new(&options, &world->spool), 0);
        assert_int_equal(ship_rows_new(kind, &world->rows), 0);
}

static void world_deinit(World *world) {
        ship_rows_free(world->rows);
        spool_free(world->spool);
        scratch_deinit(&world->scratch);
}

static int add(const OutboxRow *row, void *userdata) {
        World *world = userdata;

        return ship_rows_add(world->rows, row->statement);
}

static int ship(World *world) {
        int r = outbox_read(world->spool, 0, add, world);

        if (ship_rows_count(world->rows) > 0)
                world->n = ship_rows_values(world->rows, world->values, world->lengths);
        return r;
}

static uint32_t word(const char *from) {
        uint32_t value;

        memcpy(&value, from, sizeof(value));
        return be32toh(value);
}

static int column_index(const char *name, RecordKind kind) {
        int i = 0;

        for (const Column *c = NULL; (c = column_next(kind, c)); i++)
                if (strcmp(c->name, name) == 0)
                        return i;
        return strcmp(name, "extra") == 0 ? i : i + 1;
}

/* The element of a column's array; NULL and *ret_size -1 if it is null. */
static const char *element(World *world, const char *name, RecordKind kind, uint32_t index, int *ret_size) {
        int column = column_index(name, kind);
        const char *p = world->values[column], *end = p + world->lengths[column];

        assert_int_equal(word(p), 1);
        assert_true(index < word(p + 12));
        assert_int_equal(word(p + 16), 1);
        p += 20;
        for (;; index--) {
                int size = (int)word(p);

                assert_true(p + 4 <= end);
                *ret_size = size;
                if (index == 0)
                        return size < 0 ? NULL : p + 4;
                p += 4 + (size < 0 ? 0 : size);
        }
}

static void assert_text(World *world, const char *name, uint32_t index, const char *text) {
        int size;
        const char *found = element(world, name, RECORD_EVENT, index, &size);

        assert_int_equal(size, strlen(text));
        assert_memory_equal(found, text, strlen(text));
}

static void values_are_what_the_server_reads(void **state) {
        World world;
        json_t *event = make_event(EVENT, RUN, 7, AT);
        static const unsigned char id[] = { 0x01, 0xa1, 0xfe, 0x9e, 0x3b, 0x95, 0x77, 0xd8, 0xb7, 0xe7, 0x82, 0xb4,
                0xf6, 0xd3, 0xc5, 0x00 };
        const char *found;
        uint64_t wide;
        double real;
        int size;

        world_init(&world, OUTBOX_EVENT);
        assert_int_equal(json_object_set_new(event, "duration_sec", json_real(1.5)), 0);
        assert_int_equal(json_object_set_new(event, "labels", json_pack("{s:s}", "k", "v")), 0);
        assert_int_equal(store_one(world.spool, SPOOL_EVENT, event), 0);
        assert_int_equal(ship(&world), 0);
        found = element(&world, "event_id", RECORD_EVENT, 0, &size);
        assert_int_equal(size, 16);
        assert_memory_equal(found, id, 16);
        found = element(&world, "seq", RECORD_EVENT, 0, &size);
        memcpy(&wide, found, 8);
        assert_int_equal(be64toh(wide), 7);
        found = element(&world, "decided_at", RECORD_EVENT, 0, &size);
        memcpy(&wide, found, 8);
        assert_int_equal(be64toh(wide), INT64_C(848559600250000)); /* since 2000 */
        found = element(&world, "duration_sec", RECORD_EVENT, 0, &size);
        memcpy(&wide, found, 8);
        wide = be64toh(wide);
        memcpy(&real, &wide, 8);
        assert_true(real > 1.49 && real < 1.51);
        assert_text(&world, "labels", 0, "\x01{\"k\":\"v\"}");
        assert_text(&world, "reason", 0, "memory");
        assert_null(element(&world, "term_at", RECORD_EVENT, 0, &size));
        assert_int_equal(size, -1);
        world_deinit(&world);
}

static void a_second_batch_begins_empty(void **state) {
        World world;

        world_init(&world, OUTBOX_EVENT);
        assert_int_equal(store_one(world.spool, SPOOL_EVENT, make_event(EVENT, RUN, 1, AT)), 0);
        assert_int_equal(ship(&world), 0);
        ship_rows_reset(world.rows);
        assert_int_equal(ship_rows_count(world.rows), 0);
        assert_int_equal(ship_rows_bytes(world.rows), 0);
        assert_int_equal(ship(&world), 0);
        assert_int_equal(word(world.values[0] + 12), 1);
        world_deinit(&world);
}

static void a_value_that_does_not_fit_goes_to_extra(void **state) {
        World world;
        json_t *event = make_event(EVENT, RUN, 1, "the day before yesterday");
        int size;

        world_init(&world, OUTBOX_EVENT);
        assert_int_equal(json_object_set_new(event, "unknown", json_integer(1)), 0);
        assert_int_equal(json_object_set_new(event, "outer_run_id", json_string("none")), 0);
        assert_int_equal(store_one(world.spool, SPOOL_EVENT, event), 0);
        assert_int_equal(ship(&world), 0);
        assert_null(element(&world, "decided_at", RECORD_EVENT, 0, &size));
        assert_null(element(&world, "outer_run_id", RECORD_EVENT, 0, &size));
        assert_text(&world, "extra", 0,
                "\x01{\"unknown\":1,\"decided_at\":\"the day before yesterday\",\"outer_run_id\":\"none\"}");
        world_deinit(&world);
}

static void a_row_whose_key_is_no_uuid_is_told_apart(void **state) {
        World world;

        world_init(&world, OUTBOX_EVENT);
        assert_int_equal(store_one(world.spool, SPOOL_EVENT, make_event("e1", RUN, 1, AT)), 0);
        assert_int_equal(ship(&world), 0);
        assert_int_equal(ship_rows_count(world.rows), 0);
        world_deinit(&world);
}

static void bytes_that_are_no_text_are_escaped(void **state) {
        World world;

        world_init(&world, OUTBOX_EVENT);
        assert_int_equal(store_one(world.spool, SPOOL_EVENT, make_event(EVENT, RUN, 1, AT)), 0);
        run_sql(&world.scratch,
                "UPDATE watchdog_events SET comm=CAST(x'6100ff62' AS TEXT),"
                "labels='{\"a\":\"x\\u0000y\"}',processes=CAST(x'7bff' AS TEXT)");
        assert_int_equal(ship(&world), 0);
        assert_text(&world, "comm", 0, "a\\x00\\xffb");
        assert_text(&world, "labels", 0, "\x01{\"a\":\"x\\\\x00y\"}");
        assert_text(&world, "extra", 0, "\x01{\"processes\":\"{\\\\xff\"}");
        world_deinit(&world);
}

/* The table as the first migration makes it. */
static void assert_in_migration(const char *table, const char *sql) {
        _cleanup_(freep) char *head = text_printf("CREATE TABLE %s (", table);
        const char *begin = strstr(migrations[0].sql, head), *end;
        _cleanup_(freep) char *definition = NULL, *list = NULL;

        assert_non_null(begin);
        end = strstr(begin, "PRIMARY KEY");
        definition = strndup(begin + strlen(head), (size_t)(end - begin) - strlen(head));
        list = strndup(strchr(sql, '(') + 1, strcspn(strchr(sql, '(') + 1, ")"));
        for (char *rest = list, *name; (name = strsep(&rest, ","));) {
                _cleanup_(freep) char *bare = strndup(name + (*name == '"'), strcspn(name + (*name == '"'), "\""));
                _cleanup_(freep) char *plain = text_printf(" %s ", bare), *quoted = text_printf("\"%s\" ", bare);

                if (!strstr(definition, plain) && !strstr(definition, quoted))
                        fail_msg("%s has no column %s", table, bare);
        }
}

static void every_column_that_is_sent_is_in_the_tables(void **state) {
        for (OutboxKind kind = 0; kind < _OUTBOX_KIND_MAX; kind++) {
                _cleanup_(freep) char *sql = ship_rows_sql(kind);

                assert_in_migration(outbox_kind_table(kind), sql);
        }
}

static void events_are_never_changed_and_runs_are(void **state) {
        _cleanup_(freep) char *event = ship_rows_sql(OUTBOX_EVENT), *run = ship_rows_sql(OUTBOX_RUN);

        assert_non_null(strstr(event, "ON CONFLICT (event_id) DO NOTHING"));
        assert_non_null(strstr(run, "ON CONFLICT (run_id) DO UPDATE SET"));
        assert_null(strstr(run, "\"stored_at\"=excluded"));
        assert_non_null(strstr(run, "\"group\"=excluded.\"group\""));
}

static void a_month_is_read_out_of_an_id(void **state) {
        assert_int_equal(batch_month_of_id("019a0000-0000-7000-8000-000000000000").number,
                batch_month_of_time(UINT64_C(0x019a00000000) * 1000).number);
        assert_int_equal(batch_month_of_id("00000000-0000-7000-8000-000000000000").number, 1970 * 12);
}

static void a_batch_ends_at_its_number_of_rows_and_at_a_fifth_month(void **state) {
        _cleanup_(filler_freep) Filler *filler = NULL;
        World world;
        Batch batch;
        size_t n;

        world_init(&world, OUTBOX_EVENT);
        assert_int_equal(filler_new(&filler), 0);
        assert_int_equal(filler_fill(filler, world.spool, 0, 10, &batch), BATCH_E_EMPTY);
        for (int i = 0; i < 6; i++) {
                _cleanup_(freep) char *id = text_printf("019%x0000-0000-7000-8000-000000000000", i);

                assert_int_equal(store_one(world.spool, SPOOL_EVENT, make_event(id, RUN, i + 1, AT)), 0);
        }
        assert_int_equal(filler_fill(filler, world.spool, 0, 2, &batch), 0);
        assert_int_equal(batch.n_rows, 2);
        assert_true(batch.is_full);
        assert_int_equal(filler_fill(filler, world.spool, 0, 10, &batch), 0);
        assert_int_equal(batch.n_rows, BATCH_MONTHS_MAX);
        assert_int_equal(batch.n_events, BATCH_MONTHS_MAX);
        (void)filler_months(filler, &n);
        assert_int_equal(n, BATCH_MONTHS_MAX);
        assert_int_equal(filler_fill(filler, world.spool, batch.last, 10, &batch), 0);
        assert_int_equal(batch.n_rows, 2);
        assert_false(batch.is_full);
        world_deinit(&world);
}

static void a_batch_ends_at_its_size(void **state) {
        _cleanup_(filler_freep) Filler *filler = NULL;
        World world;
        Batch batch;

        world_init(&world, OUTBOX_EVENT);
        assert_int_equal(filler_new(&filler), 0);
        for (int i = 0; i < 4; i++) {
                _cleanup_(freep) char *id = text_printf("01900000-0000-7000-8000-00000000000%d", i);
                _cleanup_(freep) char *text = calloc(1, BATCH_BYTES_MAX / 2 + 1);
                json_t *event = make_event(id, RUN, i + 1, AT);

                memset(text, 'x', BATCH_BYTES_MAX / 2);
                assert_int_equal(json_object_set_new(event, "cmdline", json_string(text)), 0);
                assert_int_equal(store_one(world.spool, SPOOL_EVENT, event), 0);
        }
        assert_int_equal(filler_fill(filler, world.spool, 0, 10, &batch), 0);
        assert_int_equal(batch.n_rows, 2);
        assert_true(batch.is_full);
        world_deinit(&world);
}

static void a_row_that_no_server_takes_ends_a_batch_and_is_named(void **state) {
        _cleanup_(filler_freep) Filler *filler = NULL;
        World world;
        Batch batch;
        int64_t first;

        world_init(&world, OUTBOX_EVENT);
        assert_int_equal(filler_new(&filler), 0);
        assert_int_equal(store_one(world.spool, SPOOL_EVENT, make_event(EVENT, RUN, 1, AT)), 0);
        assert_int_equal(store_one(world.spool, SPOOL_EVENT, make_event("neither", RUN, 2, AT)), 0);
        assert_int_equal(filler_fill(filler, world.spool, 0, 10, &batch), 0);
        assert_int_equal(batch.n_rows, 1);
        first = batch.last;
        assert_int_equal(filler_fill(filler, world.spool, first, 10, &batch), BATCH_E_UNFIT);
        assert_true(batch.first > first && batch.first == batch.last);
        world_deinit(&world);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_are_what_the_server_reads),
                cmocka_unit_test(a_second_batch_begins_empty),
                cmocka_unit_test(a_value_that_does_not_fit_goes_to_extra),
                cmocka_unit_test(a_row_whose_key_is_no_uuid_is_told_apart),
                cmocka_unit_test(bytes_that_are_no_text_are_escaped),
                cmocka_unit_test(every_column_that_is_sent_is_in_the_tables),
                cmocka_unit_test(events_are_never_changed_and_runs_are),
                cmocka_unit_test(a_month_is_read_out_of_an_id),
                cmocka_unit_test(a_batch_ends_at_its_number_of_rows_and_at_a_fifth_month),
                cmocka_unit_test(a_batch_ends_at_its_size),
                cmocka_unit_test(a_row_that_no_server_takes_ends_a_batch_and_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
