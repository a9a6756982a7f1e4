/*
 * One connection to PostgreSQL for a program that may wait: scidex-db. The recorder, which may not, has db/postgres.h.
 *
 * Every query gives JSON, one value a row, made by the server (to_jsonb() and the like), so that no caller knows of
 * libpq or of column types.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"

typedef struct Remote Remote;

enum {
        _REMOTE_E_SUCCESS,
        REMOTE_E_FAILED = 1, /* *ret_error says what */
        REMOTE_E_STOPPED,    /* the caller's function did not want more */
};

/* What went wrong, in the server's words or libpq's; one line each, without a password. */
typedef struct RemoteError {
        char sqlstate[6];    /* "" if it came from no server */
        const char *state;   /* static; as of storage.postgres in docs/protocol.md: "away", "denied", … */
        char *message;       /* owned */
        char *detail, *hint; /* owned, may be NULL */
} RemoteError;

void remote_error_deinit(RemoteError *error);
/* Replaces what *error held by words of our own. */
void remote_error_set(RemoteError *error, const char *state, const char *message, const char *detail, const char *hint);

/*
 * Waits at most 10 s for each address, unless conninfo (or PGCONNECT_TIMEOUT) says another time. Encoding UTF8, times
 * in UTC; no statement waits longer than 5 s for a lock. 0, REMOTE_E_FAILED, -ENOMEM.
 */
int remote_connect(const char *conninfo, Remote **ret, RemoteError *ret_error);
void remote_free(Remote *remote);
DEFINE_CLEANUP(Remote *, remote_free);

/* One or more statements without parameters; rows are dropped. 0, REMOTE_E_FAILED, -ENOMEM. */
int remote_execute(Remote *remote, const char *sql, RemoteError *ret_error);
/*
 * One statement whose rows have one column, a JSON value; parameters are texts, NULL is null. The function owns each
 * row; what it returns other than 0 ends the query and is returned. 0, REMOTE_E_FAILED, -ENOMEM.
 */
typedef int (*RemoteRowFunc)(json_t *row, void *userdata);
int remote_query(Remote *remote, const char *sql, size_t n, const char *const *parameters, RemoteRowFunc func,
        void *userdata, RemoteError *ret_error);
/* The value of the first row, NULL if there is none. Caller owns it. */
int remote_value(
        Remote *remote, const char *sql, size_t n, const char *const *parameters, json_t **ret, RemoteError *ret_error);
/* A time as the server writes it ("2026-11-21T07:19:42.5+00:00") to one of docs/protocol.md; what is none stays. 0,
 * -ENOMEM. */
int remote_fix_time(json_t *object, const char *key);
/* The same of all members ending in _at, however deep. 0, -ENOMEM. */
int remote_fix_times(json_t *value);
/* A word as an identifier ("…"). NULL on OOM. Caller frees. */
char *remote_identifier(Remote *remote, const char *word);

/* The connection's socket, to wait on for notifications; do not read it. */
int remote_fd(const Remote *remote);
/* The payload of the next notification that has come (LISTEN); NULL in *ret when none has. Caller frees. Never waits.
 */
int remote_notification(Remote *remote, char **ret, RemoteError *ret_error);
