/*
 * A connection that may block, with rows as JSON.
 *
 * Called by scidex-db for one client at a time.  The hard thing is a long list: rows are taken one by one as they come
 * (single-row mode), so that a million events need the memory of one, and a client that goes away ends the query at the
 * server too.
 */
#include "db/remote.h"

#include "base/clock.h"
#include "base/file.h"
#include "db/postgres.h"
#include <string.h>

#define SESSION_SQL "SET lock_timeout='5s'; SET TimeZone='UTC'"

struct Remote {
        PGconn *connection; /* owned */
};

void remote_error_deinit(RemoteError *error) {
        free(error->message);
        free(error->detail);
        free(error->hint);
        *error = (RemoteError){ .state = NULL };
}

/* The first line, without what stands around it; NULL for nothing. */
static char *line_of(const char *text) {
        size_t length;

        if (!text)
                return NULL;
        text += strspn(text, " \n");
        length = strcspn(text, "\n");
        return length > 0 ? strndup(text, length) : NULL;
}

void remote_error_set(
        RemoteError *error, const char *state, const char *message, const char *detail, const char *hint) {
        remote_error_deinit(error);
        *error = (RemoteError){
                .state = state, .message = line_of(message), .detail = line_of(detail), .hint = line_of(hint)
        };
}

/* The server's hint is about the statement, that of the state about the server: the first says more. */
static void error_of_result(Remote *remote, const PGresult *result, RemoteError *error) {
        const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
        PostgresState state = postgres_error_state(postgres_error_of(sqlstate));

        if (!sqlstate) {
                state = PQstatus(remote->connection) == CONNECTION_OK ? POSTGRES_FAILED : POSTGRES_AWAY;
                remote_error_set(error, postgres_state_to_string(state), PQerrorMessage(remote->connection), NULL,
                        postgres_state_hint(state));
                return;
        }
        remote_error_set(error, postgres_state_to_string(state), PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY),
                PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL), hint ? hint : postgres_error_hint(sqlstate));
        (void)snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", sqlstate);
}

static int error_of_trouble(const PostgresTrouble *trouble, RemoteError *error) {
        remote_error_set(error, postgres_state_to_string(trouble->state),
                trouble->detail ? trouble->detail : "connecting failed", NULL, trouble->hint);
        (void)snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", trouble->sqlstate);
        return REMOTE_E_FAILED;
}

int remote_connect(const char *conninfo, Remote **ret, RemoteError *ret_error) {
        PostgresOptions options = { .conninfo = conninfo, .application = "scidexctl" };
        _cleanup_(postgres_trouble_deinit) PostgresTrouble trouble = { .detail = NULL };
        _cleanup_(remote_freep) Remote *remote = calloc(1, sizeof(*remote));
        int r;

        if (!remote)
                return -ENOMEM;
        r = postgres_connect(&options, &remote->connection, &trouble);
        if (r != 0)
                return r == POSTGRES_E_TROUBLE ? error_of_trouble(&trouble, ret_error) : r;
        if (remote_execute(remote, SESSION_SQL, ret_error) != 0)
                return REMOTE_E_FAILED;
        *ret = TAKE_PTR(remote);
        return 0;
}

void remote_free(Remote *remote) {
        PQfinish(remote->connection);
        free(remote);
}

int remote_execute(Remote *remote, const char *sql, RemoteError *ret_error) {
        PGresult *result = PQexec(remote->connection, sql);
        ExecStatusType status = PQresultStatus(result);
        int r = 0;

        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
                error_of_result(remote, result, ret_error);
                r = REMOTE_E_FAILED;
        }
        PQclear(result);
        return r;
}

static int row_give(const PGresult *result, RemoteRowFunc func, void *userdata) {
        json_t *row;

        if (PQntuples(result) == 0)
                return 0;
        row = PQgetisnull(result, 0, 0) ? json_null()
                                        : json_loads(PQgetvalue(result, 0, 0), JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        return row ? func(row, userdata) : -ENOMEM;
}

/* Ends the query at the server; what it had on its way is dropped by the caller's loop. */
static void query_cancel(Remote *remote) {
        char ignored[256];
        PGcancel *cancel = PQgetCancel(remote->connection);

        if (cancel)
                (void)PQcancel(cancel, ignored, sizeof(ignored));
        PQfreeCancel(cancel);
}

static bool is_copy(ExecStatusType status) {
        return status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH;
}

int remote_query(Remote *remote, const char *sql, size_t n, const char *const *parameters, RemoteRowFunc func,
        void *userdata, RemoteError *ret_error) {
        PGresult *result;
        int r = 0;

        if (!PQsendQueryParams(remote->connection, sql, (int)n, NULL, parameters, NULL, NULL, 0)) {
                remote_error_set(ret_error, "away", PQerrorMessage(remote->connection), NULL, NULL);
                return REMOTE_E_FAILED;
        }
        (void)PQsetSingleRowMode(remote->connection);
        while ((result = PQgetResult(remote->connection))) {
                ExecStatusType status = PQresultStatus(result);

                if (is_copy(status)) { /* of which libpq would tell for ever */
                        PQclear(result);
                        remote_error_set(
                                ret_error, "failed", "the server answers what it was not asked for", NULL, NULL);
                        return REMOTE_E_FAILED;
                }

                if (r == 0 && (status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK)) {
                        r = row_give(result, func, userdata);
                        if (r != 0)
                                query_cancel(remote);
                } else if (r == 0 && status != PGRES_COMMAND_OK) {
                        error_of_result(remote, result, ret_error);
                        r = REMOTE_E_FAILED;
                }
                PQclear(result);
        }
        return r;
}

static int keep_first(json_t *row, void *userdata) {
        json_t **ret = userdata;

        if (*ret)
                json_decref(row);
        else
                *ret = row;
        return 0;
}

int remote_value(Remote *remote, const char *sql, size_t n, const char *const *parameters, json_t **ret,
        RemoteError *ret_error) {
        _cleanup_(json_decrefp) json_t *value = NULL;
        int r = remote_query(remote, sql, n, parameters, keep_first, &value, ret_error);

        if (r == 0)
                *ret = TAKE_PTR(value);
        return r;
}

int remote_fix_time(json_t *object, const char *key) {
        const char *text = json_string_value(json_object_get(object, key));
        size_t length = text ? strlen(text) : 0, zone = strlen("+00:00");
        _cleanup_(freep) char *utc = NULL;
        char buffer[CLOCK_RFC3339_MAX];
        uint64_t usec;

        if (length <= zone || strcmp(text + length - zone, "+00:00") != 0)
                return 0;
        utc = text_printf("%.*sZ", (int)(length - zone), text);
        if (!utc)
                return -ENOMEM;
        if (clock_parse_rfc3339(utc, &usec) < 0)
                return 0;
        return json_object_set_new(object, key, json_string(clock_format_rfc3339(buffer, usec))) < 0 ? -ENOMEM : 0;
}

int remote_fix_times(json_t *value) {
        const char *key;
        json_t *member;
        size_t i;
        int r = 0;

        json_array_foreach(value, i, member) {
                if (r == 0)
                        r = remote_fix_times(member);
        }
        json_object_foreach(value, key, member) {
                size_t length = strlen(key);

                if (r == 0 && json_is_string(member) && length > 3 && strcmp(key + length - 3, "_at") == 0)
                        r = remote_fix_time(value, key);
                else if (r == 0)
                        r = remote_fix_times(member);
        }
        return r;
}

char *remote_identifier(Remote *remote, const char *word) {
        char *quoted = PQescapeIdentifier(remote->connection, word, strlen(word));
        char *copy = quoted ? strdup(quoted) : NULL;

        PQfreemem(quoted);
        return copy;
}

int remote_fd(const Remote *remote) {
        return PQsocket(remote->connection);
}

int remote_notification(Remote *remote, char **ret, RemoteError *ret_error) {
        PGnotify *notification;
        int r = 0;

        *ret = NULL;
        if (!PQconsumeInput(remote->connection)) {
                remote_error_set(ret_error, "away", PQerrorMessage(remote->connection), NULL, NULL);
                return REMOTE_E_FAILED;
        }
        notification = PQnotifies(remote->connection);
        if (notification) {
                *ret = strdup(notification->extra);
                r = *ret ? 0 : -ENOMEM;
        }
        PQfreemem(notification);
        return r;
}
