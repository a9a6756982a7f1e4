/* `migrate`: makes the tables, or brings them up to date. Called by serve.c for `scidexctl db migrate`. */
#include "cmd/scidex-db/operations.h"

#include "base/file.h"
#include "control/message.h"
#include "db/migrate.h"
#include <limits.h>

/* Who has applied a step, as it is noted beside it. */
static char *applied_by(void) {
        char host[HOST_NAME_MAX + 1] = "";

        (void)gethostname(host, sizeof(host) - 1);
        return text_printf("scidex %s on %s", SCIDEX_VERSION, host);
}

int operation_migrate(Session *session, const json_t *request) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(json_decrefp) json_t *report = NULL, *reply = message_reply("migrate");
        _cleanup_(freep) char *who = applied_by();
        int r = who ? migrate_apply(session->remote, who, &report, &error) : -ENOMEM;

        (void)request;
        if (r == REMOTE_E_FAILED)
                return session_error_of(session, "migrate", &error);
        if (r < 0 || json_object_update(reply, report) < 0)
                return -ENOMEM;
        return session_reply(session, TAKE_PTR(reply));
}
