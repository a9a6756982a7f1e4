/*
 * The numbered steps, and what is done again each time.
 *
 * Called by scidex-db for `scidexctl db migrate`.  The hard thing is three hosts that do it at once, while recorders
 * write: each step is one transaction under one advisory lock, and looks under that lock whether it is still to be
 * done.  Roles belong to the whole server, not to the database that the lock is of: there the one who comes second is
 * told that it exists, and goes on.
 */
#include "db/migrate.h"

#include "base/file.h"
#include "db/migrations.h"
#include "db/postgres.h"
#include <string.h>

#define LOCK_KEY             "126870807143800" /* "scidex"; scidex_make_partition() takes the same */
#define SERVER_VERSION_LEAST 140000            /* functions with a body of SQL */

/* Whether the schema has our tables, or somebody's under our names. */
static const char tables_sql[] =
        "SELECT jsonb_build_object('version', to_regclass(format('%I.scidex_schema', n.nspname)) IS NOT NULL,"
        " 'tables', coalesce((SELECT jsonb_agg(c.relname ORDER BY c.relname) FROM pg_class c"
        " WHERE c.relnamespace = n.oid AND c.relname IN ('watchdog_processes', 'watchdog_events', 'watchdog_runs',"
        " 'watchdog_hosts', 'watchdog_events_default', 'watchdog_live', 'watchdog_status', 'watchdog_kills_by_hour', "
        "'watchdog_kills_24h')), '[]'))"
        " FROM pg_namespace n WHERE n.nspname = $1";

int migrate_latest(void) {
        int latest = 0;

        for (const Migration *m = migrations; m->sql; m++)
                latest = m->version;
        return latest;
}

/* The first schema of the search path that exists; NULL: none does. */
static int read_schema(Remote *remote, char **ret, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *name = NULL;
        int r = remote_value(remote, "SELECT to_jsonb(current_schema())", 0, NULL, &name, ret_error);

        *ret = NULL;
        if (r != 0 || !json_is_string(name))
                return r;
        *ret = strdup(json_string_value(name));
        return *ret ? 0 : -ENOMEM;
}

static int begin(Remote *remote, const char *schema, RemoteError *ret_error) {
        _cleanup_(freep) char *name = remote_identifier(remote, schema), *sql = NULL;

        if (name)
                sql = text_printf("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout=0;"
                                  " SET LOCAL lock_timeout='60s'; SELECT pg_advisory_xact_lock(" LOCK_KEY
                                  "); SET LOCAL lock_timeout='5s'; SET LOCAL search_path=%s, pg_temp",
                        name);
        return sql ? remote_execute(remote, sql, ret_error) : -ENOMEM;
}

/* Ends the transaction: commits if all went well, and keeps the error of what did not. */
static int finish(Remote *remote, int r, RemoteError *ret_error) {
        _cleanup_(remote_error_deinit) RemoteError ignored = { .state = NULL };

        if (r == 0)
                return remote_execute(remote, "COMMIT", ret_error);
        (void)remote_execute(remote, "ROLLBACK", &ignored);
        return r;
}

int migrate_transaction(Remote *remote, const char *schema, const char *sql, RemoteError *ret_error) {
        int r = begin(remote, schema, ret_error);

        if (r == 0)
                r = remote_execute(remote, sql, ret_error);
        return finish(remote, r, ret_error);
}

static int refuse_newer(int version, RemoteError *ret_error) {
        _cleanup_(freep) char *message =
                text_printf("the tables are of version %d, newer than this program (%d)", version, migrate_latest());

        remote_error_set(ret_error, "schema", message, NULL, "upgrade scidex on this host; nothing was changed");
        return REMOTE_E_FAILED;
}

/* Tables of another program under our names: never touched, but the words to make room are given. */
static int refuse_foreign(Remote *remote, const char *schema, const json_t *tables, RemoteError *ret_error) {
        _cleanup_(freep) char *place = remote_identifier(remote, schema), *text = NULL;
        size_t i, size = 0;
        json_t *table;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        (void)fputs("rename what is there, then migrate again:", f);
        json_array_foreach((json_t *)tables, i, table) {
                const char *name = json_string_value(table);

                (void)fprintf(f, " ALTER TABLE %s.%s RENAME TO %s_psutil;", place ? place : "", name, name);
        }
        if (fclose(f) != 0)
                return -ENOMEM;
        remote_error_set(ret_error, "schema",
                "tables of another program (the psutil watchdog?) have the names of the record",
                "nothing was changed; docs/database.md says what becomes of programs that read them", text);
        return REMOTE_E_FAILED;
}

/* The version that the tables have; 0: none are there, and none of another program. Changes nothing. */
static int version_read(Remote *remote, const char *schema, int *ret, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *found = NULL, *version = NULL;
        int r = remote_value(remote, tables_sql, 1, &schema, &found, ret_error);

        *ret = 0;
        if (r != 0)
                return r;
        if (json_is_true(json_object_get(found, "version"))) {
                _cleanup_(freep) char *name = remote_identifier(remote, schema), *sql = NULL;

                if (name)
                        sql = text_printf("SELECT to_jsonb(coalesce(max(version), 0)) FROM %s.scidex_schema", name);
                r = sql ? remote_value(remote, sql, 0, NULL, &version, ret_error) : -ENOMEM;
                *ret = (int)json_integer_value(version);
                return r != 0 || *ret <= migrate_latest() ? r : refuse_newer(*ret, ret_error);
        }
        if (json_array_size(json_object_get(found, "tables")) > 0)
                return refuse_foreign(remote, schema, json_object_get(found, "tables"), ret_error);
        return 0;
}

static int step_note(Remote *remote, const Migration *step, const char *applied_by, RemoteError *ret_error) {
        _cleanup_(freep) char *version = text_printf("%d", step->version);
        const char *parameters[] = { version, step->name, applied_by };
        _cleanup_(json_decrefp) json_t *row = NULL;

        return version ? remote_value(remote,
                                 "INSERT INTO scidex_schema (version, name, applied_by) VALUES ($1::integer, $2, $3)"
                                 " RETURNING to_jsonb(version)",
                                 3, parameters, &row, ret_error)
                       : -ENOMEM;
}

/* One step, unless somebody else has done it since. */
static int step_apply(Remote *remote, const char *schema, const Migration *step, const char *applied_by,
        json_t *applied, RemoteError *ret_error) {
        int version = 0, r = begin(remote, schema, ret_error);

        if (r == 0)
                r = version_read(remote, schema, &version, ret_error);
        if (r != 0 || version >= step->version)
                return finish(remote, r, ret_error);
        r = remote_execute(remote, step->sql, ret_error);
        if (r == 0)
                r = step_note(remote, step, applied_by, ret_error);
        r = finish(remote, r, ret_error);
        return r == 0 && json_array_append_new(applied, json_string(step->name)) < 0 ? -ENOMEM : r;
}

static int roles_read(Remote *remote, json_t **ret, RemoteError *ret_error) {
        return remote_value(remote,
                "SELECT jsonb_object_agg(r, EXISTS (SELECT FROM pg_roles WHERE rolname = r))"
                " FROM unnest(ARRAY['scidex_writer', 'scidex_reader']) r",
                0, NULL, ret, ret_error);
}

/* "ok", or what somebody who may has to do. A missing role keeps nobody from migrating. */
static int role_apply(Remote *remote, const char *schema, const char *role, bool exists, const char *grants,
        json_t *roles, RemoteError *ret_error) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(freep) char *create = text_printf("CREATE ROLE %s NOLOGIN", role), *sql = NULL, *remedy = NULL;
        _cleanup_(freep) char *name = remote_identifier(remote, schema);
        int r = 0;

        if (!create || !name)
                return -ENOMEM;
        /* Another host, or another database of this server, may be quicker: then it exists, which is what is wanted. */
        if (!exists)
                r = remote_execute(remote, create, &error);
        if (r == REMOTE_E_FAILED && strcmp(error.sqlstate, "42710") != 0 && strcmp(error.sqlstate, "23505") != 0) {
                remedy =
                        text_printf("missing (%s): as an administrator: %s; then migrate again", error.message, create);
                return remedy && json_object_set_new(roles, role, json_from_text(remedy)) == 0 ? 0 : -ENOMEM;
        }
        sql = text_printf("GRANT USAGE ON SCHEMA %s TO %s;\n%s", name, role, grants);
        r = sql ? migrate_transaction(remote, schema, sql, ret_error) : -ENOMEM;
        return r == 0 && json_object_set_new(roles, role, json_string("ok")) < 0 ? -ENOMEM : r;
}

static int roles_apply(Remote *remote, const char *schema, json_t *report, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *exist = NULL, *roles = json_object();
        int r = roles_read(remote, &exist, ret_error);

        if (r == 0)
                r = role_apply(remote, schema, "scidex_writer", json_is_true(json_object_get(exist, "scidex_writer")),
                        writer_sql, roles, ret_error);
        if (r == 0)
                r = role_apply(remote, schema, "scidex_reader", json_is_true(json_object_get(exist, "scidex_reader")),
                        reader_sql, roles, ret_error);
        return r == 0 && json_object_set(report, "roles", roles) < 0 ? -ENOMEM : r;
}

/* This month and the next two, so that for weeks nobody has to make one. A table that is held is no failure. */
static int partitions_apply(Remote *remote, json_t *report, RemoteError *ret_error) {
        json_t *names = NULL;
        int r = remote_value(remote,
                "SELECT jsonb_agg(scidex_make_partition(now() + make_interval(months => m)) ORDER BY m)"
                " FROM generate_series(0, 2) m",
                0, NULL, &names, ret_error);

        return r == 0 && json_object_set_new(report, "partitions", names) < 0 ? -ENOMEM : r;
}

static int refuse_schema(RemoteError *ret_error) {
        remote_error_set(ret_error, "schema", "the connection has no schema to put tables into",
                "no schema of its search_path exists, or none may be used",
                "make one: CREATE SCHEMA scidex; ALTER ROLE … SET search_path = scidex, public");
        return REMOTE_E_FAILED;
}

/* Of a refusal while tables are made the remedy is another than of one while rows are sent. */
static const struct {
        const char *sqlstate, *hint;
} remedies[] = {
        { "42501", "migrate as the owner of the tables; the first time, as a role that may create in the schema" },
        { "42P01", "somebody has dropped or renamed it: rename it back, or restore it from a backup" },
        { "42P07", "something of that name is there already: rename or drop it, or use another schema" },
        { "42710", "something of that name is there already: rename or drop it, or use another schema" },
        { "42723", "something of that name is there already: rename or drop it, or use another schema" },
};

static int remedy_set(int r, RemoteError *error) {
        for (size_t i = 0; r == REMOTE_E_FAILED && i < ELEMENTSOF(remedies); i++)
                if (strcmp(error->sqlstate, remedies[i].sqlstate) == 0) {
                        free(error->hint);
                        error->hint = strdup(remedies[i].hint);
                }
        return r;
}

static int server_check(Remote *remote, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *version = NULL;
        int r = remote_value(remote, "SELECT to_jsonb(current_setting('server_version_num')::integer)", 0, NULL,
                &version, ret_error);

        if (r != 0 || json_integer_value(version) >= SERVER_VERSION_LEAST)
                return r;
        remote_error_set(ret_error, "schema", "the server is too old for the tables of the record", NULL,
                "use PostgreSQL 14 or later; nothing was changed");
        return REMOTE_E_FAILED;
}

static int steps_apply(
        Remote *remote, const char *schema, const char *applied_by, json_t *report, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *applied = json_array();
        int was = 0, r = version_read(remote, schema, &was, ret_error);

        for (const Migration *step = migrations; r == 0 && step->sql; step++)
                if (step->version > was)
                        r = step_apply(remote, schema, step, applied_by, applied, ret_error);
        if (r == 0 &&
                (json_object_set_new(report, "was", json_integer(was)) < 0 ||
                        json_object_set_new(report, "version", json_integer(migrate_latest())) < 0 ||
                        json_object_set_new(report, "schema", json_from_text(schema)) < 0 ||
                        json_object_set(report, "applied", applied) < 0))
                return -ENOMEM;
        return r;
}

int migrate_apply(Remote *remote, const char *applied_by, json_t **ret_report, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *report = json_object();
        _cleanup_(freep) char *schema = NULL;
        json_t *link = NULL;
        int r = server_check(remote, ret_error);

        if (r == 0)
                r = read_schema(remote, &schema, ret_error);
        if (r == 0 && !schema)
                r = refuse_schema(ret_error);
        if (r == 0)
                r = steps_apply(remote, schema, applied_by, report, ret_error);
        if (r == 0)
                r = roles_apply(remote, schema, report, ret_error);
        if (r == 0)
                r = partitions_apply(remote, report, ret_error);
        if (r == 0)
                r = link_apply(remote, schema, &link, ret_error);
        if (r == 0 && json_object_set_new(report, "analyses", link) < 0)
                return -ENOMEM;
        if (r == 0)
                *ret_report = TAKE_PTR(report);
        return remedy_set(r, ret_error);
}
