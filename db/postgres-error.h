/*
 * What a PostgreSQL server's refusals mean: for the row, for the connection, and for the people who run it.
 *
 * Pure, and without libpq. The codes are those of PostgreSQL's documentation, Appendix A.
 */
#pragma once

#include <stdbool.h>

/* The states of `storage.postgres` in docs/protocol.md. */
typedef enum PostgresState {
        POSTGRES_CONNECTING,
        POSTGRES_OK,
        POSTGRES_AWAY,      /* unreachable, no such name, timed out, starting or shutting down */
        POSTGRES_DENIED,    /* password, permission, encryption */
        POSTGRES_SCHEMA,    /* no tables, older or newer ones, no such database */
        POSTGRES_READ_ONLY, /* a standby, or set so */
        POSTGRES_FULL,
        POSTGRES_FAILED, /* what is none of these */
        _POSTGRES_STATE_MAX,
} PostgresState;

/* "connecting", "ok", "away", "denied", "schema", "read-only", "full", "failed". Static. */
const char *postgres_state_to_string(PostgresState state);
/* What to do about it; NULL for connecting and ok. Static. */
const char *postgres_state_hint(PostgresState state);

/* Whose fault an error is, and so what becomes of the rows that it came for. */
typedef enum PostgresError {
        POSTGRES_ERROR_TRANSIENT, /* nobody's: again on a new connection */
        POSTGRES_ERROR_READ_ONLY,
        POSTGRES_ERROR_FULL,
        POSTGRES_ERROR_DENIED,
        POSTGRES_ERROR_SCHEMA,
        POSTGRES_ERROR_SERVER,    /* its disk, its indexes: no row may suffer for it */
        POSTGRES_ERROR_REFERENCE, /* 23503: what it refers to has gone in between; again */
        POSTGRES_ERROR_ROW,       /* this row is refused, today and tomorrow */
        POSTGRES_ERROR_UNKNOWN,   /* a row's or the server's: tried a few times more */
        _POSTGRES_ERROR_MAX,
} PostgresError;

/* Of an SQLSTATE, five characters. NULL or "" (the server did not speak): transient. */
PostgresError postgres_error_of(const char *sqlstate);
/* The state that such an error puts the connection in. Row, reference and unknown: failed. */
PostgresState postgres_error_state(PostgresError error);
/* What to do about it: of this very code where that is known, else of its state. Static. */
const char *postgres_error_hint(const char *sqlstate);
/* Whether the error is about the rows sent, so that other rows may go. */
bool postgres_error_is_of_rows(PostgresError error);

#define SQLSTATE_SIZE 6

/*
 * What libpq says of a failed connection, made fit for one line: the last server message with an SQLSTATE, without that
 * and without its source line; else all lines. *ret_sqlstate is "" if the server did not speak. NULL on OOM; caller
 * frees.
 */
char *postgres_message_read(const char *text, char ret_sqlstate[static SQLSTATE_SIZE]);
/* Of a message without an SQLSTATE (libpq's own, untranslated): denied where it is about encryption, else away. */
PostgresState postgres_message_state(const char *text);
