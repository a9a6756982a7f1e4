/*
 * From SQLite's columns to PostgreSQL's arrays, with nothing in between.
 *
 * Called by the batches for each row.  The hard thing is a value that does not fit: with arrays one bad timestamp would
 * refuse hundreds of rows.  So what the server would not take as this type never reaches it: it goes to `extra`, as
 * what does not fit a column of the spool does; only a row without a usable key can't be sent at all.
 */
#include "db/ship-rows.h"

#include "base/file.h"
#include "base/uuid.h"
#include "db/statement.h"
#include <assert.h>
#include <string.h>

typedef enum ShipType {
        SHIP_UUID,
        SHIP_TIME,
        SHIP_TEXT,
        SHIP_INTEGER,
        SHIP_REAL,
        SHIP_JSON,
        _SHIP_TYPE_MAX,
} ShipType;

/* pg_type.dat; these never change. */
static const struct {
        const char *name;
        uint32_t element, array;
} types[] = {
        [SHIP_UUID] = { "uuid", 2950, 2951 },
        [SHIP_TIME] = { "timestamptz", 1184, 1185 },
        [SHIP_TEXT] = { "text", 25, 1009 },
        [SHIP_INTEGER] = { "int8", 20, 1016 },
        [SHIP_REAL] = { "float8", 701, 1022 },
        [SHIP_JSON] = { "jsonb", 3802, 3807 },
};
static_assert(ELEMENTSOF(types) == _SHIP_TYPE_MAX, "each type has its oids");

typedef struct ShipColumn {
        const char *name; /* static; the member */
        ShipType type;
        bool required;
        ShipArray array;
} ShipColumn;

/* extra and stored_at stand behind the members, in this order. */
struct ShipRows {
        OutboxKind kind;
        int n_columns;
        ShipColumn columns[SHIP_COLUMNS_MAX];
        size_t n_rows;
};

static ShipType type_of(const Column *column) {
        static const char *const ids[] = { "event_id", "run_id", "outer_run_id" };
        size_t length = strlen(column->name);

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                if (strcmp(column->name, ids[i]) == 0)
                        return SHIP_UUID;
        if (column->type == COLUMN_INTEGER)
                return SHIP_INTEGER;
        if (column->type == COLUMN_REAL)
                return SHIP_REAL;
        if (column->type == COLUMN_JSON)
                return SHIP_JSON;
        return length > 3 && strcmp(column->name + length - 3, "_at") == 0 ? SHIP_TIME : SHIP_TEXT;
}

static void add_column(ShipRows *rows, const char *name, ShipType type, bool required) {
        ShipColumn *column = &rows->columns[rows->n_columns++];

        assert(rows->n_columns <= SHIP_COLUMNS_MAX);
        *column = (ShipColumn){ .name = name, .type = type, .required = required };
        ship_array_init(&column->array, types[type].element, types[type].array);
}

static void add_columns(ShipRows *rows) {
        RecordKind record = outbox_kind_record(rows->kind);

        for (const Column *c = NULL; (c = column_next(record, c));) {
                ShipType type = type_of(c);

                add_column(rows, c->name, type, type == SHIP_UUID && strcmp(c->name, "outer_run_id") != 0);
        }
        add_column(rows, "extra", SHIP_JSON, false);
        add_column(rows, "stored_at", SHIP_TIME, false);
}

int ship_rows_new(OutboxKind kind, ShipRows **ret) {
        _cleanup_(ship_rows_freep) ShipRows *rows = calloc(1, sizeof(*rows));

        if (!rows)
                return -ENOMEM;
        rows->kind = kind;
        add_columns(rows);
        *ret = TAKE_PTR(rows);
        return 0;
}

void ship_rows_free(ShipRows *rows) {
        for (int i = 0; i < rows->n_columns; i++)
                ship_array_deinit(&rows->columns[i].array);
        free(rows);
}

void ship_rows_reset(ShipRows *rows) {
        rows->n_rows = 0;
}

size_t ship_rows_count(const ShipRows *rows) {
        return rows->n_rows;
}

size_t ship_rows_bytes(const ShipRows *rows) {
        size_t bytes = 0;

        for (int i = 0; rows->n_rows > 0 && i < rows->n_columns; i++)
                bytes += rows->columns[i].array.size;
        return bytes;
}

/* 0, -EINVAL: it does not fit, -ENOMEM. */
static int add_value(ShipColumn *column, sqlite3_stmt *statement, int i) {
        int kind = sqlite3_column_type(statement, i);
        bool is_text = kind == SQLITE_TEXT;

        if (kind == SQLITE_NULL)
                return ship_array_add(&column->array, NULL, -1);
        switch (column->type) {
        case SHIP_INTEGER:
                return kind == SQLITE_INTEGER
                        ? ship_array_add_integer(&column->array, sqlite3_column_int64(statement, i))
                        : -EINVAL;
        case SHIP_REAL:
                return is_text ? -EINVAL : ship_array_add_real(&column->array, sqlite3_column_double(statement, i));
        case SHIP_UUID:
                return is_text ? ship_array_add_uuid(&column->array, column_text(statement, i)) : -EINVAL;
        case SHIP_TIME:
                return is_text ? ship_array_add_time(&column->array, column_text(statement, i)) : -EINVAL;
        case SHIP_JSON:
                return is_text ? ship_array_add_json(&column->array, column_text(statement, i),
                                         (size_t)sqlite3_column_bytes(statement, i))
                               : -EINVAL;
        default:
                return ship_array_add_text(
                        &column->array, column_text(statement, i), (size_t)sqlite3_column_bytes(statement, i));
        }
}

static int note_unfit(json_t **unfit, const char *name, sqlite3_stmt *statement, int i) {
        if (!*unfit)
                *unfit = json_object();
        return json_object_set_new(*unfit, name, json_from_text(column_text(statement, i)));
}

/* extra, with what did not fit laid over it. */
static int add_extra(ShipColumn *column, sqlite3_stmt *statement, int i, const json_t *unfit) {
        _cleanup_(json_decrefp) json_t *extra = NULL, *clean = NULL;
        _cleanup_(freep) char *text = NULL;

        if (!unfit)
                return add_value(column, statement, i);
        if (column_text(statement, i))
                extra = json_loads(column_text(statement, i), JSON_ALLOW_NUL, NULL);
        if (!json_is_object(extra)) {
                json_decref(extra);
                extra = json_object();
        }
        if (json_object_update(extra, (json_t *)unfit) < 0)
                return -ENOMEM;
        clean = json_clean_copy(extra);
        text = clean ? json_to_text(clean) : NULL;
        return text ? ship_array_add_json(&column->array, text, strlen(text)) : -ENOMEM;
}

static bool is_fit(const ShipRows *rows, sqlite3_stmt *statement) {
        for (int i = 0; i < rows->n_columns; i++)
                if (rows->columns[i].required) {
                        const char *text = column_text(statement, i);

                        if (!text || !uuid_valid(text))
                                return false;
                }
        return true;
}

static int begin(ShipRows *rows) {
        for (int i = 0; rows->n_rows == 0 && i < rows->n_columns; i++)
                if (ship_array_reset(&rows->columns[i].array) < 0)
                        return -ENOMEM;
        return 0;
}

int ship_rows_add(ShipRows *rows, sqlite3_stmt *statement) {
        _cleanup_(json_decrefp) json_t *unfit = NULL;
        int extra = rows->n_columns - 2, r = begin(rows);

        if (r == 0 && !is_fit(rows, statement))
                return SHIP_ROWS_E_UNFIT;
        for (int i = 0; r == 0 && i < rows->n_columns; i++) {
                ShipColumn *column = &rows->columns[i];

                if (i == extra)
                        r = add_extra(column, statement, i, unfit);
                else
                        r = add_value(column, statement, i);
                if (r != -EINVAL)
                        continue;
                r = ship_array_add(&column->array, NULL, -1);
                if (r == 0 && i < extra && note_unfit(&unfit, column->name, statement, i) < 0)
                        r = -ENOMEM;
        }
        if (r == 0)
                rows->n_rows++;
        return r;
}

int ship_rows_types(const ShipRows *rows, uint32_t ret_types[static SHIP_COLUMNS_MAX]) {
        int n = rows->n_columns;

        for (int i = 0; i < n; i++)
                ret_types[i] = rows->columns[i].array.array_type;
        if (rows->kind == OUTBOX_PROCESS)
                ret_types[n++] = types[SHIP_TEXT].element;
        return n;
}

int ship_rows_values(
        ShipRows *rows, const char *ret_values[static SHIP_COLUMNS_MAX], int ret_lengths[static SHIP_COLUMNS_MAX]) {
        for (int i = 0; i < rows->n_columns; i++) {
                ShipArray *array = &rows->columns[i].array;

                ship_array_finish(array);
                ret_values[i] = array->data;
                ret_lengths[i] = (int)array->size;
        }
        return rows->n_columns;
}

/* "name",… with a prefix; analysis_id is called analysis_ref in the table. */
static void write_names(FILE *f, const ShipRows *rows, const char *prefix, bool of_table) {
        for (int i = 0; i < rows->n_columns; i++) {
                const char *name = rows->columns[i].name;

                if (of_table && strcmp(name, "analysis_id") == 0)
                        name = "analysis_ref";
                (void)fprintf(f, "%s%s\"%s\"", i > 0 ? "," : "", prefix, name);
        }
}

static int analysis_parameter(const ShipRows *rows) {
        int i = 0;

        while (strcmp(rows->columns[i].name, "analysis_id") != 0)
                i++;
        return i + 1;
}

/* stored_at stays: it is when the host first had the row. */
static void write_update(FILE *f, const ShipRows *rows) {
        (void)fputs(" ON CONFLICT (run_id) DO UPDATE SET analysis_id=excluded.analysis_id", f);
        if (rows->kind == OUTBOX_PROCESS)
                (void)fputs(",supervisor=excluded.supervisor", f);
        for (int i = 0; i < rows->n_columns - 1; i++) {
                const char *name = rows->columns[i].name;

                if (strcmp(name, "analysis_id") == 0)
                        name = "analysis_ref";
                if (strcmp(name, "run_id") != 0)
                        (void)fprintf(f, ",\"%s\"=excluded.\"%s\"", name, name);
        }
}

static void write_sql(FILE *f, const ShipRows *rows) {
        bool process = rows->kind == OUTBOX_PROCESS;

        (void)fprintf(f, "INSERT INTO %s (", outbox_kind_table(rows->kind));
        write_names(f, rows, "", true);
        (void)fprintf(f, ",analysis_id%s) SELECT ", process ? ",supervisor" : "");
        write_names(f, rows, "r.", false);
        (void)fputs(",k.ref", f);
        if (process)
                (void)fprintf(f, ",$%d", rows->n_columns + 1);
        (void)fputs(" FROM unnest(", f);
        for (int i = 0; i < rows->n_columns; i++)
                (void)fprintf(f, "%s$%d::%s[]", i > 0 ? "," : "", i + 1, types[rows->columns[i].type].name);
        (void)fputs(") AS r(", f);
        write_names(f, rows, "", false);
        (void)fprintf(
                f, ") LEFT JOIN scidex_known_analyses($%d) AS k(ref) ON k.ref=r.analysis_id", analysis_parameter(rows));
        if (rows->kind == OUTBOX_EVENT)
                (void)fputs(" ON CONFLICT (event_id) DO NOTHING", f);
        else
                write_update(f, rows);
}

char *ship_rows_sql(OutboxKind kind) {
        _cleanup_(ship_rows_freep) ShipRows *rows = NULL;
        char *text = NULL;
        size_t size = 0;
        FILE *f;

        if (ship_rows_new(kind, &rows) < 0)
                return NULL;
        f = open_memstream(&text, &size);
        if (!f)
                return NULL;
        write_sql(f, rows);
        return fclose(f) == 0 ? text : NULL;
}
