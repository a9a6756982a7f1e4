/*
 * `status`: what the server and its tables are like.
 *
 * Called by serve.c for `scidexctl db status` and doctor.  The hard thing is to say as much as can be said: to a server
 * without our tables, with newer ones, or to a role that may not read them, the answer is still a status, whose `state`
 * is what a recorder would come to there.
 */
#include "cmd/scidex-db/operations.h"

#include "base/file.h"
#include "control/message.h"
#include "db/migrate.h"
#include <string.h>

#define UNDEFINED_TABLE "42P01"

/* Whoever may connect may read these. */
static const char server_sql[] =
        "SELECT jsonb_build_object('server_version', current_setting('server_version'),"
        " 'database', current_database(), 'user', current_user, 'schema', current_schema(),"
        " 'encoding', current_setting('server_encoding'), 'fsync', current_setting('fsync')::boolean,"
        " 'full_page_writes', current_setting('full_page_writes')::boolean, 'standby', pg_is_in_recovery(),"
        " 'read_only', current_setting('transaction_read_only')::boolean,"
        " 'everyone_may_create', has_schema_privilege('public', current_schema(), 'CREATE'),"
        " 'size_bytes', pg_database_size(current_database()),"
        " 'has_tables', to_regclass('scidex_schema') IS NOT NULL,"
        " 'elsewhere', (SELECT min(quote_ident(n.nspname)) FROM pg_class c JOIN pg_namespace n ON n.oid = "
        "c.relnamespace"
        "   WHERE c.relname = 'scidex_schema' AND c.relkind = 'r' AND NOT pg_table_is_visible(c.oid)),"
        " 'missing', (SELECT string_agg(t, ', ') FROM unnest(ARRAY['watchdog_events', 'watchdog_events_default',"
        "   'watchdog_runs', 'watchdog_processes', 'watchdog_hosts', 'watchdog_kills_by_hour', 'watchdog_kills_24h',"
        "   'watchdog_live', 'watchdog_status']) t WHERE to_regclass(t) IS NULL),"
        " 'roles', (SELECT jsonb_object_agg(r, EXISTS (SELECT FROM pg_roles WHERE rolname = r))"
        "   FROM unnest(ARRAY['scidex_writer', 'scidex_reader']) r))";

/* The bounds of a partition are ids; the first 12 digits of a UUIDv7 are its milliseconds. */
static const char tables_sql[] =
        "SELECT jsonb_build_object("
        " 'steps', (SELECT jsonb_agg(to_jsonb(s) ORDER BY version) FROM scidex_schema s),"
        " 'version', (SELECT max(version) FROM scidex_schema),"
        " 'partitions', (SELECT jsonb_build_object('count', count(*), 'from_at', min(t.from_at),"
        "   'until_at', max(t.until_at), 'bytes', coalesce(sum(pg_total_relation_size(t.oid)), 0))"
        "   FROM (SELECT p.oid, to_timestamp(('x' || translate(p.bound[1], '-', ''))::bit(48)::bigint / 1000.0) AS"
        "     from_at, to_timestamp(('x' || translate(p.bound[2], '-', ''))::bit(48)::bigint / 1000.0) AS until_at"
        "     FROM (SELECT c.oid, regexp_match(pg_get_expr(c.relpartbound, c.oid),"
        "       'FROM [(]''([0-9a-f-]{13})[0-9a-f-]*''[)] TO [(]''([0-9a-f-]{13})') AS bound"
        "       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        "       WHERE i.inhparent = to_regclass('watchdog_events')) p WHERE p.bound IS NOT NULL) t),"
        " 'default_bytes', pg_relation_size(to_regclass('watchdog_events_default')),"
        " 'hosts', (SELECT coalesce(jsonb_agg(to_jsonb(h) || jsonb_build_object('silent',"
        "   h.heartbeat_at < now() - 3 * h.heartbeat_sec * interval '1 second',"
        "   'runs', (SELECT count(*) FROM watchdog_processes p"
        "     WHERE p.host = h.host AND p.supervisor = h.supervisor)) ORDER BY h.host, h.supervisor), '[]')"
        "   FROM watchdog_hosts h))";

static int set_state(json_t *status, const char *state, const char *detail, const char *hint) {
        if (json_object_set_new(status, "state", json_string(state)) < 0 ||
                json_object_set_new(status, "detail", json_from_text(detail)) < 0 ||
                json_object_set_new(status, "hint", json_from_text(hint)) < 0)
                return -ENOMEM;
        return 0;
}

/* Of the version that this program knows: a newer one may do without some. */
static int judge_missing(json_t *status, const char *missing) {
        _cleanup_(freep) char *text = text_printf("somebody has dropped or renamed %s", missing);

        return text ? set_state(status, "schema", text, "rename it back, or restore it from a backup") : -ENOMEM;
}

static int judge_version(json_t *status) {
        int version = (int)json_integer_value(json_object_get(status, "version")), latest = migrate_latest();
        const char *missing = json_string_value(json_object_get(status, "missing"));
        _cleanup_(freep) char *text =
                text_printf("the tables are of version %d, this program is for %d", version, latest);

        if (!text)
                return -ENOMEM;
        if (version == latest)
                return missing ? judge_missing(status, missing) : set_state(status, "ok", NULL, NULL);
        return set_state(status, "schema", text,
                version < latest ? "scidexctl db migrate, as their owner" : "upgrade scidex on this host");
}

/* What the tables say; where they don't, why. */
static int read_tables(Session *session, json_t *status) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(json_decrefp) json_t *tables = NULL;
        const char *missing = json_string_value(json_object_get(status, "missing"));
        json_t *link = NULL;
        int r = remote_value(session->remote, tables_sql, 0, NULL, &tables, &error);

        if (r == 0 && (remote_fix_times(tables) < 0 || json_object_update(status, tables) < 0))
                return -ENOMEM;
        if (r == 0)
                r = link_check(session->remote, &link, &error);
        if (r == 0 && json_object_set_new(status, "analyses", link) < 0)
                return -ENOMEM;
        if (r == REMOTE_E_FAILED && missing && strcmp(error.sqlstate, UNDEFINED_TABLE) == 0)
                return judge_missing(status, missing);
        if (r == REMOTE_E_FAILED)
                return set_state(status, error.state, error.message, error.hint);
        return r == 0 ? judge_version(status) : r;
}

/* None where this role looks. */
static int judge_none(json_t *status) {
        const char *schema = json_string_value(json_object_get(status, "elsewhere"));
        const char *user = json_string_value(json_object_get(status, "user"));
        _cleanup_(freep) char *hint = schema
                ? text_printf("there are some in schema %s: ALTER ROLE %s SET search_path = %s, public", schema,
                          user ? user : "…", schema)
                : strdup("scidexctl db migrate, as the role that is to own them, makes them");

        return hint ? set_state(status, "schema", "there are no tables of the record", hint) : -ENOMEM;
}

int operation_status(Session *session, const json_t *request) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(json_decrefp) json_t *status = NULL, *reply = message_reply("status");
        int r = remote_value(session->remote, server_sql, 0, NULL, &status, &error);

        (void)request;
        if (r == REMOTE_E_FAILED)
                return session_error_of(session, "status", &error);
        if (r == 0 && json_object_set_new(status, "latest", json_integer(migrate_latest())) < 0)
                return -ENOMEM;
        if (r == 0)
                r = json_is_true(json_object_get(status, "has_tables")) ? read_tables(session, status)
                                                                        : judge_none(status);
        if (r < 0 || json_object_set(reply, "database", status) < 0)
                return -ENOMEM;
        return session_reply(session, TAKE_PTR(reply));
}
