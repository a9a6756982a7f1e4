/*
 * What SQLSTATEs mean, in one table.
 *
 * Called wherever the server refuses something.  The hard thing is the line between a row that will never be taken and
 * a server that can't take any: the first must not hold up the rows behind it, and for the second no row may be put
 * aside.  So only what PostgreSQL says of data (classes 21, 22, 23, 54, 0A) is a row's fault, what it says of itself
 * never is, and what this table does not know is tried a few times before it is believed.  A longer prefix wins.
 */
#include "db/postgres-error.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define DETAIL_MAX     512                          /* bytes: a line of a log */
#define LIBPQ_QUESTION "\n\tIs the server running " /* …on that host and accepting …?: our hint says the same */

static const struct {
        const char *name, *hint;
} states[] = {
        [POSTGRES_CONNECTING] = { "connecting", NULL },
        [POSTGRES_OK] = { "ok", NULL },
        [POSTGRES_AWAY] = { "away",
                "See that the server runs and can be reached from here under that name and port; records wait in the "
                "local history and are shipped when it is back." },
        [POSTGRES_DENIED] = { "denied",
                "See the user, its password and sslmode, and the server's pg_hba.conf; records wait in the local "
                "history." },
        [POSTGRES_SCHEMA] = { "schema",
                "Bring database and programs to the same version: scidexctl db migrate, or a newer scidex here; "
                "records wait in the local history." },
        [POSTGRES_READ_ONLY] = { "read-only",
                "Name the primary server, or make this one writable; records wait in the local history." },
        [POSTGRES_FULL] = { "full", "Free some space on the server; records wait in the local history." },
        [POSTGRES_FAILED] = { "failed", "See the server's log; records wait in the local history." },
};
static_assert(ELEMENTSOF(states) == _POSTGRES_STATE_MAX, "each state has its name");

const char *postgres_state_to_string(PostgresState state) {
        return states[state].name;
}

const char *postgres_state_hint(PostgresState state) {
        return states[state].hint;
}

static const struct {
        const char *prefix;
        PostgresError error;
} errors[] = {
        { "08", POSTGRES_ERROR_TRANSIENT },    /* connection */
        { "40", POSTGRES_ERROR_TRANSIENT },    /* rolled back: serialization, deadlock */
        { "25", POSTGRES_ERROR_TRANSIENT },    /* state of the transaction */
        { "25006", POSTGRES_ERROR_READ_ONLY }, /* */
        { "53", POSTGRES_ERROR_TRANSIENT },    /* resources: memory, connections */
        { "53100", POSTGRES_ERROR_FULL },      /* disk */
        { "55", POSTGRES_ERROR_TRANSIENT },    /* state of an object: locked, in use */
        { "57", POSTGRES_ERROR_TRANSIENT },    /* operator: shutdown, starting, cancelled */
        { "58", POSTGRES_ERROR_SERVER },       /* input, output */
        { "XX", POSTGRES_ERROR_SERVER },       /* internal, corrupted */
        { "F0", POSTGRES_ERROR_SERVER },       /* its configuration file */
        { "26", POSTGRES_ERROR_SERVER },       /* statement name: a pooler has changed the session under us */
        { "28", POSTGRES_ERROR_DENIED },       /* authorization */
        { "42501", POSTGRES_ERROR_DENIED },    /* privilege */
        { "42", POSTGRES_ERROR_SCHEMA },       /* tables, columns, functions, types */
        { "3D", POSTGRES_ERROR_SCHEMA },       /* no such database */
        { "3F", POSTGRES_ERROR_SCHEMA },       /* no such schema */
        { "0A", POSTGRES_ERROR_ROW },          /* not supported */
        { "21", POSTGRES_ERROR_ROW },          /* cardinality: the same key twice */
        { "22", POSTGRES_ERROR_ROW },          /* data */
        { "23", POSTGRES_ERROR_ROW },          /* constraint */
        { "23503", POSTGRES_ERROR_REFERENCE }, /* foreign key */
        { "54", POSTGRES_ERROR_ROW },          /* too large */
};

PostgresError postgres_error_of(const char *sqlstate) {
        PostgresError found = POSTGRES_ERROR_UNKNOWN;
        size_t longest = 0;

        if (!sqlstate || !*sqlstate)
                return POSTGRES_ERROR_TRANSIENT;
        for (size_t i = 0; i < ELEMENTSOF(errors); i++) {
                size_t length = strlen(errors[i].prefix);

                if (length > longest && strncmp(sqlstate, errors[i].prefix, length) == 0) {
                        found = errors[i].error;
                        longest = length;
                }
        }
        return found;
}

PostgresState postgres_error_state(PostgresError error) {
        static const PostgresState of[] = {
                [POSTGRES_ERROR_TRANSIENT] = POSTGRES_AWAY,
                [POSTGRES_ERROR_READ_ONLY] = POSTGRES_READ_ONLY,
                [POSTGRES_ERROR_FULL] = POSTGRES_FULL,
                [POSTGRES_ERROR_DENIED] = POSTGRES_DENIED,
                [POSTGRES_ERROR_SCHEMA] = POSTGRES_SCHEMA,
                [POSTGRES_ERROR_SERVER] = POSTGRES_FAILED,
                [POSTGRES_ERROR_REFERENCE] = POSTGRES_FAILED,
                [POSTGRES_ERROR_ROW] = POSTGRES_FAILED,
                [POSTGRES_ERROR_UNKNOWN] = POSTGRES_FAILED,
        };
        static_assert(ELEMENTSOF(of) == _POSTGRES_ERROR_MAX, "each error has its state");

        return of[error];
}

bool postgres_error_is_of_rows(PostgresError error) {
        return error == POSTGRES_ERROR_ROW || error == POSTGRES_ERROR_REFERENCE || error == POSTGRES_ERROR_UNKNOWN;
}

static const struct {
        const char *sqlstate, *hint;
} hints[] = {
        { "42501",
                "As the owner of the tables: GRANT scidex_writer TO the role that connects; records wait in the local "
                "history." },
        { "42P01",
                "Where there are no tables yet: scidexctl db migrate; else scidexctl db status says what is missing, "
                "or where "
                "it is. Records wait in the local history." },
        { "3D000",
                "Name one that exists (dbname=…), or make it: docs/database.md, \"Setting up\"; records wait in the "
                "local history." },
        { "53300",
                "Raise max_connections of the server, or the role's CONNECTION LIMIT; records wait in the local "
                "history." },
};

const char *postgres_error_hint(const char *sqlstate) {
        for (size_t i = 0; sqlstate && i < ELEMENTSOF(hints); i++)
                if (strcmp(hints[i].sqlstate, sqlstate) == 0)
                        return hints[i].hint;
        return postgres_state_hint(postgres_error_state(postgres_error_of(sqlstate)));
}

/* "…FATAL:  28P01: words": where the words begin, or NULL. The severity is translated, the rest is not. */
static const char *find_sqlstate(const char *line, size_t length, char ret_sqlstate[static SQLSTATE_SIZE]) {
        for (const char *p = line; p + 10 <= line + length; p++) {
                size_t n = 0;

                if (strncmp(p, ":  ", 3) != 0)
                        continue;
                while (n < SQLSTATE_SIZE - 1 && (isdigit((unsigned char)p[3 + n]) || isupper((unsigned char)p[3 + n])))
                        n++;
                if (n < SQLSTATE_SIZE - 1 || strncmp(p + 3 + n, ": ", 2) != 0)
                        continue;
                memcpy(ret_sqlstate, p + 3, SQLSTATE_SIZE - 1);
                ret_sqlstate[SQLSTATE_SIZE - 1] = '\0';
                return p + 3 + n + 2;
        }
        return NULL;
}

/* All lines as one, blanks squeezed; a line that continues none is set off by a semicolon. */
static char *join_lines(const char *text) {
        _cleanup_(freep) char *joined = malloc(2 * strlen(text) + 1);
        char *to = joined;

        if (!joined)
                return NULL;
        for (const char *from = text; *from; from++)
                if (strncmp(from, LIBPQ_QUESTION, strlen(LIBPQ_QUESTION)) == 0)
                        from += strcspn(from + 1, "\n");
                else if (!isspace((unsigned char)*from))
                        *to++ = *from;
                else if (to > joined && to[-1] != ' ') {
                        if (*from == '\n' && from[1] && !isspace((unsigned char)from[1]))
                                *to++ = ';';
                        *to++ = ' ';
                }
        while (to > joined && to[-1] == ' ')
                to--;
        *to = '\0';
        if (to - joined > DETAIL_MAX)
                joined[DETAIL_MAX] = '\0';
        return TAKE_PTR(joined);
}

char *postgres_message_read(const char *text, char ret_sqlstate[static SQLSTATE_SIZE]) {
        _cleanup_(freep) char *found = NULL;

        ret_sqlstate[0] = '\0';
        for (const char *line = text; *line;) {
                size_t length = strcspn(line, "\n");
                const char *words = find_sqlstate(line, length, ret_sqlstate);

                if (words) {
                        free(found);
                        found = text_printf("%.*s", (int)(line + length - words), words);
                        if (!found)
                                return NULL;
                }
                line += length + (line[length] == '\n');
        }
        return join_lines(found ? found : text);
}

PostgresState postgres_message_state(const char *text) {
        return strstr(text, "SSL") || strstr(text, "certificate") || strstr(text, "GSSAPI") || strstr(text, "password")
                ? POSTGRES_DENIED
                : POSTGRES_AWAY;
}
