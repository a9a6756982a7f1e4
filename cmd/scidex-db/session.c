/*
 * What the operations of scidex-db share: connecting, and the forms of a reply.
 *
 * Called by serve.c and the operations.  A failure of the database is an answer, not an end: scidexctl shows it, and
 * doctor asks on.
 */
#include "cmd/scidex-db/session.h"

#include "control/message.h"
#include <string.h>

void session_deinit(Session *session) {
        if (session->remote)
                remote_free(session->remote);
        session->remote = NULL;
}

int session_connect(Session *session, const char *op) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        int r;

        if (session->remote)
                return 0;
        if (!session->conninfo || !*session->conninfo) {
                r = session_error(session, op, "no-database", "no PostgreSQL is configured", NULL,
                        "set postgres = CONNINFO in [storage] of supervisor.conf, or SCIDEX_STORAGE_POSTGRES");
                return r < 0 ? r : 1;
        }
        r = remote_connect(session->conninfo, &session->remote, &error);
        if (r != REMOTE_E_FAILED)
                return r;
        r = session_error_of(session, op, &error);
        return r < 0 ? r : 1;
}

int session_reply(Session *session, json_t *reply) {
        int r = reply ? message_send(session->fd, reply, NULL, 0) : -ENOMEM;

        json_decref(reply);
        return r;
}

int session_row(Session *session, const char *op, json_t *row) {
        json_t *packet = NULL;

        if (message_fit(row, MESSAGE_MAX_BYTES - MESSAGE_ENVELOPE_BYTES) == 0)
                packet = json_pack("{s:i, s:s, s:O}", "v", MESSAGE_VERSION, "re", op, "row", row);
        json_decref(row);
        return session_reply(session, packet);
}

int session_error(
        Session *session, const char *op, const char *code, const char *message, const char *detail, const char *hint) {
        return session_reply(session, message_error(op, code, message, detail, hint));
}

int session_error_of(Session *session, const char *op, const RemoteError *error) {
        bool denied = error->state && strcmp(error->state, "denied") == 0;
        /* A lock that others hold, or a deadlock with them: nothing is wrong, and nothing was done. */
        bool held = strcmp(error->sqlstate, "55P03") == 0 || strcmp(error->sqlstate, "40P01") == 0;
        _cleanup_(json_decrefp) json_t *reply = message_error(op,
                denied         ? "denied"
                        : held ? "busy"
                               : "failed",
                error->message ? error->message : "out of memory", error->detail,
                held ? "others hold the tables; try again" : error->hint);
        json_t *member = json_object_get(reply, "error");

        if (!member || json_object_set_new(member, "state", json_from_text(error->state)) < 0 ||
                (*error->sqlstate && json_object_set_new(member, "sqlstate", json_string(error->sqlstate)) < 0))
                return -ENOMEM;
        return session_reply(session, TAKE_PTR(reply));
}
