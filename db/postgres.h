/*
 * A connection to the platform's PostgreSQL database. libpq understands the connection string; what is added here is
 * that it always ends in time, and that a failure is told in words and as one of the states of docs/protocol.md.
 */
#pragma once

#include "base/cleanup.h"
#include "db/postgres-error.h"
#include <libpq-fe.h>

#define POSTGRES_CREDENTIAL "postgres.password" /* below $CREDENTIALS_DIRECTORY, systemd.exec(5) LoadCredential= */

typedef struct PostgresTrouble {
        PostgresState state;
        char sqlstate[SQLSTATE_SIZE]; /* "" if the server did not speak */
        char *detail;                 /* owned; one line without a password; NULL if there is nothing to say */
        const char *hint;             /* static; may be NULL */
} PostgresTrouble;

void postgres_trouble_deinit(PostgresTrouble *trouble);

enum {
        _POSTGRES_E_SUCCESS,
        POSTGRES_E_TROUBLE = 1, /* *ret_trouble says what */
};

typedef struct PostgresOptions {
        const char *conninfo;    /* as for PQconnectdb(3): key=value, a URI, or service=NAME */
        const char *password;    /* used where the string names none; may be NULL */
        const char *application; /* application_name, unless the string names one */
} PostgresOptions;

/*
 * Connects. Blocks: for name resolution as long as the resolver takes, then connect_timeout (10 s unless the string
 * says otherwise). Text is UTF-8 on this connection whatever the environment says; notices are dropped. 0 (caller
 * PQfinish()es), POSTGRES_E_TROUBLE, -ENOMEM. Safe in a thread.
 */
int postgres_connect(const PostgresOptions *options, PGconn **ret, PostgresTrouble *ret_trouble);

/* The password that the service manager passes on: the first line of $CREDENTIALS_DIRECTORY/postgres.password. 0,
 * -ENOENT if there is none, -errno. Caller frees. */
int postgres_read_credential(char **ret);

/* "host:port/database" or "/directory:port/database", for people. NULL on OOM. Caller frees. */
char *postgres_server(const PGconn *connection);
/* The same of a connection string, before there is a connection; "" where it says nothing. NULL on OOM. Caller frees.
 */
char *postgres_server_of(const char *conninfo);

/* What a failed result says (result may be NULL: then the connection's words). Replaces what *trouble held. 0, -ENOMEM.
 */
int postgres_trouble_of(const PGconn *connection, const PGresult *result, PostgresTrouble *trouble);
/* Own words; detail is copied. hint NULL: that of the state. Replaces what *trouble held. 0, -ENOMEM. */
int postgres_trouble_set(PostgresTrouble *trouble, PostgresState state, const char *detail, const char *hint);

static inline void postgres_finishp(PGconn **connection) {
        PQfinish(*connection);
}
