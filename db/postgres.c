/*
 * Connecting to PostgreSQL, and what a failure to is called.
 *
 * Called by the shipping's thread and by scidex-db; blocking on purpose.  Two hard things.  libpq keeps the SQLSTATE of
 * a refused connection to itself and the server's words are in the server's language: so the connection is made by
 * PQconnectPoll() with verbose errors set before the server speaks, and the code is read out of the text.  That way one
 * dead address of several would eat the whole time, so where there may be several a timeout is followed by libpq's own
 * loop, which gives each its share.  Defaults are given only where a service file could not have named something else.
 */
#include "db/postgres.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#define CONNECT_TIMEOUT_SEC     10
#define CONNECT_TIMEOUT_MIN_SEC 2   /* libpq's own floor */
#define CONNECT_TIMEOUT_MAX_SEC 600 /* "infinite" is not: the next attempt is free to try again */
#define PASSWORD_MAX_BYTES      4096
#define PARAMETERS_MAX          64 /* libpq 15 knows 40 */
#define BAD_STRING_HINT \
        "See PostgreSQL's documentation, \"Connection Strings\": host=… dbname=… user=…, or postgresql://…"

void postgres_trouble_deinit(PostgresTrouble *trouble) {
        free(trouble->detail);
        *trouble = (PostgresTrouble){ .state = POSTGRES_OK };
}

int postgres_trouble_set(PostgresTrouble *trouble, PostgresState state, const char *detail, const char *hint) {
        char *copy = detail ? strdup(detail) : NULL;

        if (detail && !copy)
                return -ENOMEM;
        free(trouble->detail);
        *trouble =
                (PostgresTrouble){ .state = state, .detail = copy, .hint = hint ? hint : postgres_state_hint(state) };
        return 0;
}

static int trouble_of_text(const PGconn *connection, const char *text, PostgresTrouble *trouble) {
        char sqlstate[SQLSTATE_SIZE];
        _cleanup_(freep) char *detail = postgres_message_read(text, sqlstate);
        PostgresState state;

        if (!detail)
                return -ENOMEM;
        if (*sqlstate)
                state = postgres_error_state(postgres_error_of(sqlstate));
        else
                state = PQconnectionNeedsPassword(connection) ? POSTGRES_DENIED : postgres_message_state(text);
        if (postgres_trouble_set(trouble, state, *detail ? detail : "the connection was lost",
                    *sqlstate ? postgres_error_hint(sqlstate) : NULL) < 0)
                return -ENOMEM;
        memcpy(trouble->sqlstate, sqlstate, sizeof(sqlstate));
        return 0;
}

int postgres_trouble_of(const PGconn *connection, const PGresult *result, PostgresTrouble *trouble) {
        const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
        char unused[SQLSTATE_SIZE];
        _cleanup_(freep) char *detail = NULL;

        if (!sqlstate)
                return trouble_of_text(connection,
                        result && *PQresultErrorMessage(result) ? PQresultErrorMessage(result)
                                                                : PQerrorMessage(connection),
                        trouble);
        detail = postgres_message_read(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), unused);
        if (!detail ||
                postgres_trouble_set(trouble, postgres_error_state(postgres_error_of(sqlstate)), detail,
                        postgres_error_hint(sqlstate)) < 0)
                return -ENOMEM;
        (void)snprintf(trouble->sqlstate, sizeof(trouble->sqlstate), "%s", sqlstate);
        return 0;
}

typedef struct Parameters {
        const char *keys[PARAMETERS_MAX + 1], *values[PARAMETERS_MAX + 1];
        size_t n;
        PQconninfoOption *parsed; /* owned; keys and values point into it */
        unsigned timeout_sec;
        char timeout[16]; /* the same as a value */
        bool several;     /* there may be more than one address */
} Parameters;

static void parameters_deinit(Parameters *parameters) {
        PQconninfoFree(parameters->parsed);
}

static const char *parameter(const Parameters *parameters, const char *key) {
        for (size_t i = 0; i < parameters->n; i++)
                if (strcmp(parameters->keys[i], key) == 0)
                        return parameters->values[i];
        return NULL;
}

static void parameter_default(Parameters *parameters, const char *key, const char *value) {
        if (!value || parameter(parameters, key) || parameters->n == PARAMETERS_MAX)
                return;
        parameters->keys[parameters->n] = key;
        parameters->values[parameters->n++] = value;
}

static void parameter_replace(Parameters *parameters, const char *key, const char *value) {
        for (size_t i = 0; i < parameters->n; i++)
                if (strcmp(parameters->keys[i], key) == 0)
                        parameters->values[i] = value;
        parameter_default(parameters, key, value);
}

static void read_timeout(Parameters *parameters) {
        const char *text = parameter(parameters, "connect_timeout");
        uint64_t value = CONNECT_TIMEOUT_SEC;

        if (!text)
                text = getenv("PGCONNECT_TIMEOUT");
        if (text && (parse_u64(text, &value) < 0 || value == 0))
                value = CONNECT_TIMEOUT_MAX_SEC;
        value = MAX_OF(value, (uint64_t)CONNECT_TIMEOUT_MIN_SEC);
        parameters->timeout_sec = (unsigned)MIN_OF(value, (uint64_t)CONNECT_TIMEOUT_MAX_SEC);
}

/* A name may have several addresses; a socket directory or a number has one. */
static bool may_be_several(const Parameters *parameters) {
        const char *host = parameter(parameters, "hostaddr");

        if (!host)
                host = parameter(parameters, "host");
        if (!host)
                return parameter(parameters, "service") || getenv("PGHOST") || getenv("PGSERVICE");
        return strchr(host, ',') || (*host != '/' && strspn(host, "0123456789.") != strlen(host));
}

/* 0, -EINVAL, -ENOMEM. */
static int read_parameters(const PostgresOptions *options, Parameters *ret) {
        char *error = NULL;
        bool service;

        ret->parsed = PQconninfoParse(options->conninfo, &error);
        if (!ret->parsed) {
                PQfreemem(error);
                return error ? -EINVAL : -ENOMEM;
        }
        for (const PQconninfoOption *o = ret->parsed; o->keyword; o++)
                if (strcmp(o->keyword, "client_encoding") != 0)
                        parameter_default(ret, o->keyword, o->val);
        service = parameter(ret, "service") || getenv("PGSERVICE");
        read_timeout(ret);
        ret->several = may_be_several(ret);
        parameter_default(ret, "client_encoding", "UTF8");
        parameter_default(ret, "fallback_application_name", options->application);
        parameter_default(ret, "password", options->password);
        if (service)
                return 0;
        /* A server whose machine has gone says nothing: half a minute, not the two hours of the kernel. */
        if (!getenv("PGCONNECT_TIMEOUT"))
                parameter_default(ret, "connect_timeout", "10");
        parameter_default(ret, "keepalives_idle", "20");
        parameter_default(ret, "keepalives_interval", "5");
        parameter_default(ret, "keepalives_count", "4");
        parameter_default(ret, "tcp_user_timeout", "40000");
        return 0;
}

static void drop_notice(void *userdata, const PGresult *result) {
}

/* 0 when libpq has come to an end, good or bad; -ETIMEDOUT. */
static int poll_connection(PGconn *connection, unsigned timeout_sec) {
        uint64_t deadline = usec_add(clock_boottime_usec(), timeout_sec * USEC_PER_SEC);
        PostgresPollingStatusType next = PGRES_POLLING_WRITING;

        while (next == PGRES_POLLING_READING || next == PGRES_POLLING_WRITING) {
                struct pollfd fd = { .fd = PQsocket(connection),
                        .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT };
                uint64_t left = usec_sub(deadline, clock_boottime_usec());

                if (left == 0)
                        return -ETIMEDOUT;
                if (poll(&fd, 1, (int)(left / USEC_PER_MSEC) + 1) > 0)
                        next = PQconnectPoll(connection);
        }
        return 0;
}

/* 0 and a connection in whatever state, -ETIMEDOUT, -ENOMEM. */
static int begin_connection(const Parameters *parameters, PGconn **ret) {
        _cleanup_(postgres_finishp) PGconn *connection = PQconnectStartParams(parameters->keys, parameters->values, 0);
        int r = 0;

        if (!connection)
                return -ENOMEM;
        (void)PQsetNoticeReceiver(connection, drop_notice, NULL);
        (void)PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
        if (PQstatus(connection) != CONNECTION_BAD)
                r = poll_connection(connection, parameters->timeout_sec);
        *ret = TAKE_PTR(connection);
        return r;
}

/* What a service file says of the time is known now; where it says nothing libpq would wait for ever. */
static void bound_timeout(Parameters *parameters, PGconn *connection) {
        PQconninfoOption *options = PQconninfo(connection);
        uint64_t value = 0;

        for (const PQconninfoOption *o = options; o && o->keyword; o++)
                if (strcmp(o->keyword, "connect_timeout") == 0 && o->val && parse_u64(o->val, &value) < 0)
                        value = 0;
        PQconninfoFree(options);
        if (value > 0)
                return;
        (void)snprintf(parameters->timeout, sizeof(parameters->timeout), "%u", parameters->timeout_sec);
        parameter_replace(parameters, "connect_timeout", parameters->timeout);
}

static int timed_out(const Parameters *parameters, PostgresTrouble *ret_trouble) {
        _cleanup_(freep) char *detail = text_printf("the server does not answer within %u s", parameters->timeout_sec);

        if (!detail || postgres_trouble_set(ret_trouble, POSTGRES_AWAY, detail, NULL) < 0)
                return -ENOMEM;
        return POSTGRES_E_TROUBLE;
}

int postgres_connect(const PostgresOptions *options, PGconn **ret, PostgresTrouble *ret_trouble) {
        _cleanup_(parameters_deinit) Parameters parameters = { .n = 0 };
        _cleanup_(postgres_finishp) PGconn *connection = NULL;
        int r = read_parameters(options, &parameters);

        if (r == -EINVAL) /* libpq's words could hold a piece of the password */
                r = postgres_trouble_set(
                        ret_trouble, POSTGRES_FAILED, "the connection string is not understood", BAD_STRING_HINT);
        else if (r == 0)
                r = begin_connection(&parameters, &connection);
        if (r == -ETIMEDOUT && parameters.several) {
                bound_timeout(&parameters, connection);
                PQfinish(connection);
                connection = PQconnectdbParams(parameters.keys, parameters.values, 0);
                r = connection ? 0 : -ENOMEM;
        }
        if (r == -ETIMEDOUT)
                return timed_out(&parameters, ret_trouble);
        if (r < 0)
                return r;
        if (!connection)
                return POSTGRES_E_TROUBLE;
        if (PQstatus(connection) != CONNECTION_OK) {
                r = trouble_of_text(connection, PQerrorMessage(connection), ret_trouble);
                return r < 0 ? r : POSTGRES_E_TROUBLE;
        }
        (void)PQsetNoticeReceiver(connection, drop_notice, NULL);
        (void)PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
        *ret = TAKE_PTR(connection);
        return 0;
}

int postgres_read_credential(char **ret) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        _cleanup_(close_fdp) int fd = -EBADF;
        int r;

        if (!directory || !*directory)
                return -ENOENT;
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = file_read_at(fd, POSTGRES_CREDENTIAL, PASSWORD_MAX_BYTES, ret, NULL);
        if (r == 0)
                (*ret)[strcspn(*ret, "\r\n")] = '\0';
        return r;
}

static char *server_text(const char *host, const char *port, const char *database) {
        return text_printf("%s%s%s%s%s", host ? host : "", port && *port ? ":" : "", port ? port : "",
                database && *database ? "/" : "", database ? database : "");
}

char *postgres_server(const PGconn *connection) {
        return server_text(PQhost(connection), PQport(connection), PQdb(connection));
}

char *postgres_server_of(const char *conninfo) {
        _cleanup_(parameters_deinit) Parameters parameters = { .n = 0 };
        PostgresOptions options = { .conninfo = conninfo };
        const char *host;

        if (read_parameters(&options, &parameters) < 0)
                return strdup("");
        host = parameter(&parameters, "host");
        if (!host)
                host = parameter(&parameters, "hostaddr");
        if (!host && parameter(&parameters, "service"))
                return text_printf("service %s", parameter(&parameters, "service"));
        return server_text(host, parameter(&parameters, "port"), parameter(&parameters, "dbname"));
}
