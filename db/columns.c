/*
 * JSON objects to rows and back.
 *
 * Called by the spool (bind) and the queries (read).  The hard thing is that what comes need not fit: a newer
 * supervisor may send members that this schema does not know, or a text where a number stands.  STRICT tables would
 * refuse such a row, and a refused row is a lost kill.  So everything that has no fitting column is kept, as it came,
 * in `extra`, and laid over the object again when it is read.
 */
#include "db/columns.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include <string.h>

#define BOTH (RECORD_RUN | RECORD_EVENT)

static const Column columns[] = {
        { "event_id", COLUMN_TEXT, RECORD_EVENT },
        { "seq", COLUMN_INTEGER, RECORD_EVENT },
        { "reason", COLUMN_TEXT, RECORD_EVENT },
        { "run_id", COLUMN_TEXT, BOTH },
        { "analysis_id", COLUMN_TEXT, BOTH },
        { "host", COLUMN_TEXT, BOTH },
        { "boot_id", COLUMN_TEXT, BOTH },
        { "uid", COLUMN_INTEGER, BOTH },
        { "pid", COLUMN_INTEGER, BOTH },
        { "comm", COLUMN_TEXT, BOTH },
        { "cmdline", COLUMN_TEXT, BOTH },
        { "cmdline_length", COLUMN_INTEGER, BOTH },
        { "launcher_pid", COLUMN_INTEGER, BOTH },
        { "state", COLUMN_TEXT, RECORD_RUN },
        { "verdict", COLUMN_TEXT, RECORD_RUN },
        { "detail", COLUMN_TEXT, BOTH },
        { "signals", COLUMN_JSON, RECORD_EVENT },
        { "decided_at", COLUMN_TEXT, RECORD_EVENT },
        { "term_at", COLUMN_TEXT, RECORD_EVENT },
        { "kill_at", COLUMN_TEXT, RECORD_EVENT },
        { "empty_at", COLUMN_TEXT, RECORD_EVENT },
        { "processes_killed", COLUMN_INTEGER, RECORD_EVENT },
        { "processes", COLUMN_JSON, RECORD_EVENT },
        { "overshoot_bytes", COLUMN_INTEGER, RECORD_EVENT },
        { "evidence", COLUMN_JSON, RECORD_EVENT },
        { "launched_at", COLUMN_TEXT, BOTH },
        { "deadline_at", COLUMN_TEXT, BOTH },
        { "ended_at", COLUMN_TEXT, BOTH },
        { "duration_sec", COLUMN_REAL, BOTH },
        { "exit_status", COLUMN_INTEGER, BOTH },
        { "exit_signal", COLUMN_TEXT, BOTH },
        { "timeout_sec", COLUMN_REAL, BOTH },
        { "cpu_limit_sec", COLUMN_REAL, BOTH },
        { "grace_sec", COLUMN_REAL, BOTH },
        { "thrash_sec", COLUMN_REAL, BOTH },
        { "memory_limit_bytes", COLUMN_INTEGER, BOTH },
        { "memory_high_bytes", COLUMN_INTEGER, BOTH },
        { "swap_limit_bytes", COLUMN_INTEGER, BOTH },
        { "pids_limit", COLUMN_INTEGER, BOTH },
        { "cpus", COLUMN_REAL, BOTH },
        { "term_signal", COLUMN_TEXT, BOTH },
        { "memory_bytes", COLUMN_INTEGER, BOTH },
        { "memory_peak_bytes", COLUMN_INTEGER, BOTH },
        { "anon_bytes", COLUMN_INTEGER, BOTH },
        { "file_bytes", COLUMN_INTEGER, BOTH },
        { "shmem_bytes", COLUMN_INTEGER, BOTH },
        { "private_peak_bytes", COLUMN_INTEGER, BOTH },
        { "swap_bytes", COLUMN_INTEGER, BOTH },
        { "oom_events", COLUMN_INTEGER, BOTH },
        { "oom_kill_events", COLUMN_INTEGER, BOTH },
        { "max_events", COLUMN_INTEGER, BOTH },
        { "pids", COLUMN_INTEGER, BOTH },
        { "pids_peak", COLUMN_INTEGER, BOTH },
        { "pids_max_events", COLUMN_INTEGER, BOTH },
        { "cpu_sec", COLUMN_REAL, BOTH },
        { "cpu_user_sec", COLUMN_REAL, BOTH },
        { "cpu_system_sec", COLUMN_REAL, BOTH },
        { "cpu_throttled_sec", COLUMN_REAL, BOTH },
        { "psi_memory_some_sec", COLUMN_REAL, BOTH },
        { "psi_memory_full_sec", COLUMN_REAL, BOTH },
        { "psi_cpu_some_sec", COLUMN_REAL, BOTH },
        { "psi_io_some_sec", COLUMN_REAL, BOTH },
        { "psi_io_full_sec", COLUMN_REAL, BOTH },
        { "io_read_bytes", COLUMN_INTEGER, BOTH },
        { "io_write_bytes", COLUMN_INTEGER, BOTH },
        { "enforcement", COLUMN_TEXT, BOTH },
        { "containment", COLUMN_TEXT, BOTH },
        { "not_enforced", COLUMN_JSON, BOTH },
        { "outer_run_id", COLUMN_TEXT, BOTH },
        { "labels", COLUMN_JSON, BOTH },
        { "group", COLUMN_TEXT, RECORD_RUN },
        { "events", COLUMN_INTEGER, RECORD_RUN },
        { "timeline", COLUMN_JSON, BOTH },
};

const Column *column_next(RecordKind kind, const Column *previous) {
        for (const Column *c = previous ? previous + 1 : columns; c < columns + ELEMENTSOF(columns); c++)
                if (c->kinds & kind)
                        return c;
        return NULL;
}

static const Column *column_find(RecordKind kind, const char *name) {
        for (const Column *c = NULL; (c = column_next(kind, c));)
                if (strcmp(c->name, name) == 0)
                        return c;
        return NULL;
}

char *columns_select_list(RecordKind kind) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        for (const Column *c = NULL; (c = column_next(kind, c));)
                (void)fprintf(f, "\"%s\",", c->name);
        (void)fputs("extra", f);
        return fclose(f) == 0 ? text : NULL;
}

char *columns_insert_sql(RecordKind kind, const char *table, const char *key, bool update) {
        _cleanup_(freep) char *list = columns_select_list(kind);
        char *text = NULL;
        size_t size = 0;
        FILE *f;

        if (!list)
                return NULL;
        f = open_memstream(&text, &size);
        if (!f)
                return NULL;
        (void)fprintf(f, "INSERT INTO %s (%s,stored_at) VALUES (?,?", table, list);
        for (const Column *c = NULL; (c = column_next(kind, c));)
                (void)fputs(",?", f);
        (void)fprintf(f, ") ON CONFLICT (%s) DO ", key);
        if (!update)
                (void)fputs("NOTHING", f);
        else {
                /* stored_at stays: it is when the row first came, and ages it if it has no time of its own. */
                (void)fputs("UPDATE SET extra=excluded.extra", f);
                for (const Column *c = NULL; (c = column_next(kind, c));)
                        (void)fprintf(f, ",\"%s\"=excluded.\"%s\"", c->name, c->name);
        }
        return fclose(f) == 0 ? text : NULL;
}

static bool column_takes(const Column *column, const json_t *value) {
        switch (column->type) {
        case COLUMN_TEXT:
                return json_is_string(value);
        case COLUMN_INTEGER:
                return json_is_integer(value);
        case COLUMN_REAL:
                return json_is_number(value);
        case COLUMN_JSON:
                return json_is_array(value) || json_is_object(value);
        case _COLUMN_TYPE_MAX:
                break;
        }
        return false;
}

static int bind_json(sqlite3_stmt *statement, int i, const json_t *value) {
        char *text = json_to_text(value);

        return text ? sqlite3_bind_text(statement, i, text, -1, free) : SQLITE_NOMEM;
}

static int column_bind(sqlite3_stmt *statement, int i, const Column *column, const json_t *value) {
        if (!value || !column_takes(column, value))
                return sqlite3_bind_null(statement, i);
        switch (column->type) {
        case COLUMN_TEXT:
                return sqlite3_bind_text(
                        statement, i, json_string_value(value), (int)json_string_length(value), SQLITE_TRANSIENT);
        case COLUMN_INTEGER:
                return sqlite3_bind_int64(statement, i, json_integer_value(value));
        case COLUMN_REAL:
                return sqlite3_bind_double(statement, i, json_number_value(value));
        default:
                return bind_json(statement, i, value);
        }
}

/* What has no fitting column; NULL in *ret when there is nothing. */
static int collect_extra(RecordKind kind, const json_t *object, json_t **ret) {
        _cleanup_(json_decrefp) json_t *extra = NULL;
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)object, key, value) {
                const Column *column = column_find(kind, key);

                if (json_is_null(value) || (column && column_takes(column, value)))
                        continue;
                if (!extra)
                        extra = json_object();
                if (!extra || json_object_set(extra, key, value) < 0)
                        return SQLITE_NOMEM;
        }
        *ret = TAKE_PTR(extra);
        return SQLITE_OK;
}

int columns_bind(sqlite3_stmt *statement, RecordKind kind, const json_t *object, const char *stored_at) {
        _cleanup_(json_decrefp) json_t *clean = NULL, *extra = NULL;
        int i = 1, rc;

        if (!json_is_clean(object)) {
                clean = json_clean_copy(object);
                if (!clean)
                        return SQLITE_NOMEM;
                object = clean;
        }
        for (const Column *c = NULL; (c = column_next(kind, c)); i++) {
                rc = column_bind(statement, i, c, json_object_get(object, c->name));
                if (rc != SQLITE_OK)
                        return rc;
        }
        rc = collect_extra(kind, object, &extra);
        if (rc == SQLITE_OK)
                rc = extra ? bind_json(statement, i, extra) : sqlite3_bind_null(statement, i);
        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, i + 1, stored_at, -1, SQLITE_TRANSIENT);
        return rc;
}

static json_t *column_value(sqlite3_stmt *statement, int i, ColumnType type) {
        const char *text;
        json_t *value;

        switch (sqlite3_column_type(statement, i)) {
        case SQLITE_INTEGER:
                return json_integer(sqlite3_column_int64(statement, i));
        case SQLITE_FLOAT:
                return json_real(sqlite3_column_double(statement, i));
        case SQLITE_TEXT:
                text = (const char *)sqlite3_column_text(statement, i);
                if (!text)
                        return NULL;
                value = type == COLUMN_JSON ? json_loads(text, JSON_ALLOW_NUL, NULL) : NULL;
                return value ? value : json_from_text(text);
        default:
                return json_null();
        }
}

json_t *columns_read(sqlite3_stmt *statement, RecordKind kind, int first, const char *leave_out) {
        _cleanup_(json_decrefp) json_t *object = json_object(), *extra = NULL;
        int i = first;

        for (const Column *c = NULL; (c = column_next(kind, c)); i++) {
                if (leave_out && strcmp(c->name, leave_out) == 0)
                        continue;
                if (json_object_set_new(object, c->name, column_value(statement, i, c->type)) < 0)
                        return NULL;
        }
        extra = column_value(statement, i, COLUMN_JSON);
        if (json_is_object(extra)) {
                if (leave_out)
                        (void)json_object_del(extra, leave_out);
                if (json_object_update(object, extra) < 0)
                        return NULL;
        }
        return TAKE_PTR(object);
}

static bool text_is_clean(const char *text, size_t length) {
        return strlen(text) == length && text_is_utf8(text);
}

bool json_is_clean(const json_t *value) {
        const char *key;
        json_t *member;
        size_t i;

        if (json_is_string(value))
                return text_is_clean(json_string_value(value), json_string_length(value));
        json_array_foreach((json_t *)value, i, member) if (!json_is_clean(member)) return false;
        json_object_foreach(
                (json_t *)value, key, member) if (!text_is_utf8(key) || !json_is_clean(member)) return false;
        return true;
}

/* json_from_text() for a text with NULs in it: each becomes \x00. */
static json_t *clean_text(const char *text, size_t length) {
        _cleanup_(freep) char *clean = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&clean, &size);

        if (!f)
                return NULL;
        for (const char *end = text + length;; text += strlen(text) + 1) {
                _cleanup_(json_decrefp) json_t *part = json_from_text(text);

                (void)fputs(part ? json_string_value(part) : "", f);
                if (text + strlen(text) >= end)
                        break;
                (void)fputs("\\x00", f);
        }
        return fclose(f) == 0 ? json_stringn(clean, size) : NULL;
}

static json_t *clean_object(const json_t *object) {
        _cleanup_(json_decrefp) json_t *copy = json_object();
        const char *key;
        json_t *member;

        json_object_foreach((json_t *)object, key, member) {
                _cleanup_(json_decrefp) json_t *name = clean_text(key, strlen(key));

                if (!name || json_object_set_new(copy, json_string_value(name), json_clean_copy(member)) < 0)
                        return NULL;
        }
        return TAKE_PTR(copy);
}

json_t *json_clean_copy(const json_t *value) {
        _cleanup_(json_decrefp) json_t *copy = NULL;
        json_t *member;
        size_t i;

        if (json_is_string(value))
                return clean_text(json_string_value(value), json_string_length(value));
        if (json_is_object(value))
                return clean_object(value);
        if (!json_is_array(value))
                return json_deep_copy(value);
        copy = json_array();
        json_array_foreach(
                (json_t *)value, i, member) if (json_array_append_new(copy, json_clean_copy(member)) < 0) return NULL;
        return TAKE_PTR(copy);
}
