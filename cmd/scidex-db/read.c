/*
 * Lists of all hosts: what runs, what ran, what was killed, and the hosts themselves.
 *
 * Called by serve.c for `scidexctl --all-hosts` and `top`.  Rows get the form that the record of one host gives them
 * (docs/protocol.md), so that whoever reads the one can read the other.  Only the conditions that are asked for are
 * in a statement: one that is always true would hide the index from the planner.  Who may see what is the server's to
 * say: these are the rights of the role that connects.
 */
#include "cmd/scidex-db/operations.h"

#include "base/file.h"
#include "cmd/scidex-db/select.h"
#include "control/message.h"
#include <string.h>

#define LIMIT_DEFAULT "100"
#define NO_PRIVILEGE  "42501"

static const char live_sql[] = "SELECT to_jsonb(r) - 'timeline' FROM watchdog_live r WHERE true";
static const char runs_sql[] = "SELECT to_jsonb(r) - 'timeline' FROM watchdog_runs r WHERE true";
static const char events_sql[] = "SELECT to_jsonb(r) FROM watchdog_events r WHERE true";
static const char events_brief_sql[] =
        "SELECT to_jsonb(r) - 'timeline' - 'processes' FROM watchdog_events r WHERE true";
static const char hosts_sql[] = "SELECT to_jsonb(r) || jsonb_build_object('silent', " HOST_IS_SILENT ", 'runs', (SELECT"
                                " count(*) FROM watchdog_processes p WHERE p.host = r.host AND p.supervisor ="
                                " r.supervisor)) FROM watchdog_hosts r WHERE true";

static int fix_members(json_t *row) {
        static const char *const own[] = { "extra", "stored_at", "analysis_ref" };
        const char *key;
        json_t *value;
        void *next;

        for (size_t i = 0; i < ELEMENTSOF(own); i++)
                (void)json_object_del(row, own[i]);
        json_object_foreach_safe(row, next, key, value) {
                size_t length = strlen(key);

                if (length > 3 && strcmp(key + length - 3, "_at") == 0 && remote_fix_time(row, key) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* As the record of one host would give it: the id that was given, and what had no column in its place. */
static int fix_row(json_t *row) {
        _cleanup_(json_decrefp) json_t *extra = json_incref(json_object_get(row, "extra"));
        json_t *given = json_object_get(row, "analysis_ref");

        if (given && json_object_set(row, "analysis_id", given) < 0)
                return -ENOMEM;
        if (fix_members(row) < 0 || (json_is_object(extra) && json_object_update(row, extra) < 0))
                return -ENOMEM;
        return 0;
}

typedef struct Listing {
        Session *session;
        const char *op;
        uint64_t count;
} Listing;

/* Waits while the client does not read. */
static int send_row(json_t *row, void *userdata) {
        Listing *listing = userdata;

        if (!json_is_object(row) || fix_row(row) < 0) {
                json_decref(row);
                return -ENOMEM;
        }
        listing->count++;
        return session_row(listing->session, listing->op, row);
}

/* `at`: the server's time before the list was read, so that what comes later can be asked for. */
static int end_list(Session *session, const char *op, json_t *at, uint64_t count) {
        _cleanup_(json_decrefp) json_t *reply = message_reply(op);

        if (!reply || json_object_set(reply, "at", at) < 0 || remote_fix_time(reply, "at") < 0 ||
                json_object_set_new(reply, "end", json_true()) < 0 ||
                json_object_set_new(reply, "count", json_from_u64(count)) < 0)
                return -ENOMEM;
        return session_reply(session, TAKE_PTR(reply));
}

static int send_list(Session *session, const char *op, Statement *statement) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(json_decrefp) json_t *at = NULL;
        Listing listing = { .session = session, .op = op };
        const char *sql = statement_text(statement);
        int r = sql ? remote_value(session->remote, "SELECT to_jsonb(clock_timestamp())", 0, NULL, &at, &error)
                    : -ENOMEM;

        if (r == 0)
                r = remote_query(session->remote, sql, statement->n, statement->parameters, send_row, &listing, &error);
        if (r == REMOTE_E_FAILED && strcmp(error.sqlstate, NO_PRIVILEGE) == 0) {
                free(error.hint); /* that of the recorder, which writes */
                error.hint = strdup("connect as a role that may read (--postgres '… user=READER'), or, as the owner of "
                                    "the tables, GRANT scidex_reader TO this one");
        }
        if (r == REMOTE_E_FAILED)
                return session_error_of(session, op, &error);
        return r < 0 ? r : end_list(session, op, at, listing.count);
}

static int refuse_type(Session *session, const char *op) {
        return session_error(session, op, "bad-request", "a member has the wrong type", NULL,
                "limit is a number, the others are texts; times are RFC 3339: 2026-11-21T07:19:42Z.");
}

int operation_list(Session *session, const json_t *request) {
        _cleanup_(statement_deinit) Statement s = { .text = NULL };

        if (statement_begin(&s, live_sql) < 0)
                return -ENOMEM;
        if (statement_filter(&s, request, "host", "r.host =") < 0)
                return refuse_type(session, "list");
        statement_add(&s, " ORDER BY r.launched_at DESC NULLS LAST, r.run_id DESC");
        return send_list(session, "list", &s);
}

int operation_hosts(Session *session, const json_t *request) {
        _cleanup_(statement_deinit) Statement s = { .text = NULL };

        if (statement_begin(&s, hosts_sql) < 0)
                return -ENOMEM;
        if (statement_filter(&s, request, "host", "r.host =") < 0)
                return refuse_type(session, "hosts");
        statement_add(&s, " ORDER BY " HOST_IS_SILENT " DESC, r.host, r.supervisor");
        return send_list(session, "hosts", &s);
}

int operation_history(Session *session, const json_t *request) {
        _cleanup_(statement_deinit) Statement s = { .text = NULL };

        if (statement_begin(&s, runs_sql) < 0)
                return -ENOMEM;
        if (statement_filter(&s, request, "host", "r.host =") < 0 ||
                statement_filter(&s, request, "analysis_id", "r.analysis_ref =") < 0 ||
                statement_filter(&s, request, "verdict", "r.verdict =") < 0 ||
                statement_filter_time(&s, request, "since_at", RUN_ENDED " >=") < 0)
                return refuse_type(session, "history");
        statement_add(&s, " ORDER BY " RUN_ENDED " DESC, r.run_id DESC");
        return statement_limit(&s, request, LIMIT_DEFAULT) < 0 ? refuse_type(session, "history")
                                                               : send_list(session, "history", &s);
}

/* What the selector means, as a condition. 0; 1: it means nothing, which is answered; -errno. */
static int filter_run(Session *session, Statement *s, const json_t *request) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        const char *run = json_string_value(json_object_get(request, "run"));
        _cleanup_(json_decrefp) json_t *selection = NULL;
        json_t *reply;
        int r;

        if (!run || !*run)
                return 0;
        r = select_run(session->remote, run, &selection, &error);
        if (r == 0)
                return statement_select(s, selection) < 0 ? -ENOMEM : 0;
        if (r == REMOTE_E_FAILED)
                r = session_error_of(session, "events", &error);
        else if (r == SELECT_E_NOT_FOUND)
                r = session_error(session, "events", "not-found", "no such run in the database", run,
                        "Name a run id, at least 4 characters of its beginning or end, or an analysis id.");
        else if (r == SELECT_E_AMBIGUOUS) {
                reply = message_error(
                        "events", "ambiguous", "several runs match", run, "Give more characters of the run id.");
                (void)json_object_set(json_object_get(reply, "error"), "candidates", selection);
                r = session_reply(session, reply);
        }
        return r < 0 ? r : 1;
}

int operation_events(Session *session, const json_t *request) {
        bool brief = json_is_true(json_object_get(request, "brief"));
        bool arrived = json_is_string(json_object_get(request, "arrived_since_at"));
        _cleanup_(statement_deinit) Statement s = { .text = NULL };
        int r;

        if (statement_begin(&s, brief ? events_brief_sql : events_sql) < 0)
                return -ENOMEM;
        if (statement_filter(&s, request, "host", "r.host =") < 0 ||
                statement_filter(&s, request, "analysis_id", "r.analysis_ref =") < 0 ||
                statement_filter(&s, request, "reason", "r.reason =") < 0 ||
                statement_filter_time(&s, request, "since_at", "r.decided_at >=") < 0 ||
                statement_filter_time(&s, request, "arrived_since_at", "r.received_at >=") < 0)
                return refuse_type(session, "events");
        r = filter_run(session, &s, request);
        if (r != 0)
                return r < 0 ? r : 0;
        if (s.kept || arrived)
                statement_add(&s, " ORDER BY r.received_at DESC, r.event_id DESC");
        else /* one without its time, if there ever is one, would stand above all others */
                statement_add(&s, " AND r.decided_at IS NOT NULL ORDER BY r.decided_at DESC, r.event_id DESC");
        return statement_limit(&s, request, LIMIT_DEFAULT) < 0 ? refuse_type(session, "events")
                                                               : send_list(session, "events", &s);
}
