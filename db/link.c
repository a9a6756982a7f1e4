/*
 * analysis_id and the platform's table.
 *
 * Called by migrate_apply(), and by scidex-db to say how things stand.  The hard thing is a key on a table that others
 * write: adding one checks every row under a lock that stops all writers of both tables.  So it is added NOT VALID,
 * table by table and, as the partitioned one can't have such a key, partition by partition; then what the platform does
 * not know is set to NULL and the key validated, which locks out nobody; and last the partitioned table takes over the
 * keys that its partitions have.  watchdog_runs comes first: scidex_known_analyses() goes by its key, so from then on
 * no recorder sends an id that the others could refuse.
 */
#include "db/migrate.h"

#include "base/file.h"
#include <string.h>

#define RUNS_KEY   "watchdog_runs_analysis_id_fkey"
#define EVENTS_KEY "watchdog_events_analysis_id_fkey"

/* What the key needs to know, and what could stand in its way. No row: there is no such table. */
static const char target_sql[] =
        "SELECT jsonb_build_object("
        " 'table', format('%I.%I', n.nspname, c.relname),"
        " 'linked', (SELECT count(*) = 2 FROM pg_constraint k WHERE k.contype = 'f' AND k.convalidated AND"
        "   ((k.conrelid = to_regclass('watchdog_runs') AND k.conname = '" RUNS_KEY "') OR"
        "    (k.conrelid = to_regclass('watchdog_events') AND k.conname = '" EVENTS_KEY "'))),"
        " 'is_table', c.relkind IN ('r', 'p'),"
        " 'column', quote_ident(a.attname),"
        " 'type', format_type(a.atttypid, a.atttypmod),"
        " 'is_text', (WITH RECURSIVE base AS (SELECT a.atttypid AS type UNION ALL"
        "   SELECT y.typbasetype FROM base JOIN pg_type y ON y.oid = base.type WHERE y.typtype = 'd')"
        "   SELECT bool_or(type IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype)) FROM base),"
        " 'is_key', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate"
        "   AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum),"
        " 'may', has_table_privilege(o.oid, c.oid, 'SELECT') AND has_table_privilege(o.oid, c.oid, 'REFERENCES'),"
        " 'owner', quote_ident(o.rolname),"
        " 'match', CASE WHEN l.oid IS NOT NULL THEN"
        "   format('%s COLLATE %I.%I', (WITH RECURSIVE base AS (SELECT a.atttypid AS type UNION ALL"
        "   SELECT y.typbasetype FROM base JOIN pg_type y ON y.oid = base.type WHERE y.typtype = 'd')"
        "   SELECT format_type(y.oid, -1) FROM base JOIN pg_type y ON y.oid = base.type WHERE y.typtype <> 'd'),"
        "   s.nspname, l.collname) END)"
        " FROM (SELECT coalesce((SELECT confrelid FROM pg_constraint WHERE conrelid = to_regclass('watchdog_runs')"
        "   AND contype = 'f' AND conname = '" RUNS_KEY "'), to_regclass('analyses')) AS oid) t"
        " JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname ="
        "   coalesce((SELECT f.attname FROM pg_constraint k JOIN pg_attribute f ON f.attrelid = k.confrelid"
        "     AND f.attnum = k.confkey[1] WHERE k.conrelid = to_regclass('watchdog_runs') AND k.contype = 'f'"
        "     AND k.conname = '" RUNS_KEY "'), 'id')"
        /* Whoever asks: it is the owner of the tables whose key and whose functions read the platform's. */
        " JOIN pg_class own ON own.oid = to_regclass('watchdog_runs') JOIN pg_roles o ON o.oid = own.relowner"
        " LEFT JOIN pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_namespace s ON s.oid = l.collnamespace";

/* The tables that get a key, and whether they have it; the partitioned one last. */
static const char tables_sql[] =
        "SELECT jsonb_agg(jsonb_build_object('table', name, 'key', key, 'partitioned', partitioned, 'valid', valid)"
        " ORDER BY rank, name) FROM ("
        "  SELECT rank, c.relkind = 'p' AS partitioned, format('%I.%I', n.nspname, c.relname) AS name,"
        "   quote_ident(coalesce(k.conname, c.relname || '_analysis_id_fkey')) AS key, k.convalidated AS valid"
        "  FROM (SELECT 1 AS rank, to_regclass('watchdog_runs') AS oid UNION ALL"
        "    SELECT 2, to_regclass('watchdog_processes') UNION ALL"
        "    SELECT 3, inhrelid FROM pg_inherits WHERE inhparent = to_regclass('watchdog_events') UNION ALL"
        "    SELECT 4, to_regclass('watchdog_events')) t"
        "  JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace"
        "  LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f' AND k.conkey = ARRAY["
        "    (SELECT attnum FROM pg_attribute WHERE attrelid = c.oid AND attname = 'analysis_id')]) x";

static const char *member(const json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));

        return text ? text : "";
}

static bool is(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}

/* The state as others read it; detail and hint are freed. */
static json_t *state_new(const char *state, const json_t *target, char *detail, char *hint) {
        _cleanup_(freep) char *owned_detail = detail, *owned_hint = hint;
        _cleanup_(json_decrefp) json_t *object = json_object();
        json_t *table = json_object_get(target, "table");

        if (json_object_set_new(object, "state", json_string(state)) < 0 ||
                (table && json_object_set(object, "table", table) < 0) ||
                (detail && json_object_set_new(object, "detail", json_from_text(detail)) < 0) ||
                (hint && json_object_set_new(object, "hint", json_from_text(hint)) < 0))
                return NULL;
        return TAKE_PTR(object);
}

/* Judges what target_sql has found, NULL if nothing. */
static json_t *state_of(const json_t *target) {
        const char *table = member(target, "table"), *type = member(target, "type");

        if (!target)
                return state_new("absent", NULL, NULL, NULL);
        if (is(target, "linked"))
                return state_new("linked", target, NULL, NULL);
        if (!is(target, "is_table"))
                return state_new("key", target, text_printf("%s is no table", table), NULL);
        if (!*type)
                return state_new("key", target, text_printf("%s has no column id", table), NULL);
        if (!is(target, "is_text"))
                return state_new("type", target, text_printf("%s.id is of type %s, analysis ids are text", table, type),
                        strdup("nothing is lost: join on analysis_ref = id::text instead of analysis_id"));
        if (!is(target, "is_key"))
                return state_new("key", target, text_printf("%s.id has no primary key or unique constraint", table),
                        text_printf("ALTER TABLE %s ADD PRIMARY KEY (id); then scidexctl db migrate", table));
        if (!is(target, "may"))
                return state_new("denied", target,
                        text_printf("%s may not refer to %s", member(target, "owner"), table),
                        text_printf("as its owner: GRANT SELECT, REFERENCES ON %s TO %s; then scidexctl db migrate",
                                table, member(target, "owner")));
        return state_new("unlinked", target, text_printf("no key leads from analysis_id to %s yet", table),
                strdup("scidexctl db migrate adds it"));
}

static int target_read(Remote *remote, json_t **ret_target, json_t **ret_state, RemoteError *ret_error) {
        int r = remote_value(remote, target_sql, 0, NULL, ret_target, ret_error);

        if (r != 0)
                return r;
        *ret_state = state_of(*ret_target);
        return *ret_state ? 0 : -ENOMEM;
}

int link_check(Remote *remote, json_t **ret_state, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *target = NULL;

        return target_read(remote, &target, ret_state, ret_error);
}

static char *add_sql(const json_t *target, const json_t *table) {
        return text_printf("ALTER TABLE %s ADD CONSTRAINT %s FOREIGN KEY (analysis_id) REFERENCES %s (%s)"
                           " ON UPDATE CASCADE ON DELETE SET NULL%s",
                member(table, "table"), member(table, "key"), member(target, "table"), member(target, "column"),
                is(table, "partitioned") ? "" : " NOT VALID");
}

/* What the platform does not know goes (analysis_ref keeps it); then no row is left that the key could fail on. */
static char *settle_sql(const json_t *target, const json_t *table) {
        return text_printf("UPDATE %s t SET analysis_id = NULL WHERE analysis_id IS NOT NULL AND NOT EXISTS"
                           " (SELECT FROM %s a WHERE a.%s = t.analysis_id::%s);"
                           " ALTER TABLE %s VALIDATE CONSTRAINT %s",
                member(table, "table"), member(target, "table"), member(target, "column"), member(target, "match"),
                member(table, "table"), member(table, "key"));
}

/* One table: its key, and then, in a transaction of its own that locks out nobody, its rows. */
static int table_link(
        Remote *remote, const char *schema, const json_t *target, const json_t *table, RemoteError *ret_error) {
        bool has_key = !json_is_null(json_object_get(table, "valid"));
        _cleanup_(freep) char *add = add_sql(target, table), *settle = settle_sql(target, table);
        int r = 0;

        if (!add || !settle)
                return -ENOMEM;
        if (!has_key)
                r = migrate_transaction(remote, schema, add, ret_error);
        /* Another host was quicker; its rows it may not have settled yet. */
        if (r == REMOTE_E_FAILED && strcmp(ret_error->sqlstate, "42710") == 0)
                r = 0;
        if (r == 0 && !is(table, "partitioned") && !is(table, "valid"))
                r = migrate_transaction(remote, schema, settle, ret_error);
        return r;
}

static const struct {
        const char *sqlstate, *state, *hint;
} refusals[] = {
        { "42804", "type", "nothing is lost: join on analysis_ref instead of analysis_id" },
        { "42830", "key", "the platform's id needs a primary key or unique constraint" },
        { "42501", "denied", "as the owner of the platform's table: GRANT SELECT, REFERENCES; then migrate again" },
        { "55P03", "busy", "others hold the table; scidexctl db migrate tries again" },
        { "40P01", "busy", "others hold the table; scidexctl db migrate tries again" },
};

/* A refusal of the key is how things stand, not a failure: the record does without it. */
static int state_of_refusal(const json_t *target, const RemoteError *error, json_t **ret_state) {
        for (size_t i = 0; i < ELEMENTSOF(refusals); i++)
                if (strcmp(error->sqlstate, refusals[i].sqlstate) == 0) {
                        json_decref(*ret_state);
                        *ret_state = state_new(refusals[i].state, target,
                                error->message ? strdup(error->message) : NULL, strdup(refusals[i].hint));
                        return *ret_state ? 0 : -ENOMEM;
                }
        return REMOTE_E_FAILED;
}

static int tables_link(Remote *remote, const char *schema, const json_t *target, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *tables = NULL;
        const json_t *table;
        size_t i;
        int r = remote_value(remote, tables_sql, 0, NULL, &tables, ret_error);

        json_array_foreach(tables, i, table) {
                if (r == 0)
                        r = table_link(remote, schema, target, table, ret_error);
        }
        return r;
}

int link_apply(Remote *remote, const char *schema, json_t **ret_state, RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *target = NULL, *state = NULL;
        const char *word;
        int r = target_read(remote, &target, &state, ret_error);

        if (r != 0)
                return r;
        word = member(state, "state");
        if (strcmp(word, "unlinked") == 0 || strcmp(word, "linked") == 0) {
                r = tables_link(remote, schema, target, ret_error);
                if (r == REMOTE_E_FAILED)
                        r = state_of_refusal(target, ret_error, &state);
                else if (r == 0) {
                        json_decref(state);
                        state = state_new("linked", target, NULL, NULL);
                }
        }
        if (r == 0)
                *ret_state = TAKE_PTR(state);
        return r;
}
