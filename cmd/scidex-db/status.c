/* `status`: what the server and its tables are like. Called by serve.c for `scidexctl db status` and doctor. */
#include "cmd/scidex-db/operations.h"

#include "control/message.h"

static const char status_sql[] =
        "SELECT jsonb_build_object('server_version', current_setting('server_version'), 'database', current_database(),"
        " 'user', current_user, 'schema', current_schema())";

int operation_status(Session *session, const json_t *request) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(json_decrefp) json_t *status = NULL, *reply = message_reply("status");
        int r = remote_value(session->remote, status_sql, 0, NULL, &status, &error);

        (void)request;
        if (r == REMOTE_E_FAILED)
                return session_error_of(session, "status", &error);
        if (r < 0 || json_object_set(reply, "database", status) < 0)
                return -ENOMEM;
        return session_reply(session, TAKE_PTR(reply));
}
