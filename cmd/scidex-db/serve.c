/*
 * Packets in, answers out, in the protocol of docs/protocol.md.
 *
 * Called by main.  There is one client, the program that started us, and it waits for each answer; so this is a loop
 * and no event loop.
 */
#include "cmd/scidex-db/serve.h"

#include "cmd/scidex-db/operations.h"
#include "control/message.h"
#include <string.h>

static const struct {
        const char *name;
        SessionOperation operation;
} operations[] = {
        { "forget", operation_forget },
        { "migrate", operation_migrate },
        { "retain", operation_retain },
        { "status", operation_status },
        { "list", operation_list },
        { "hosts", operation_hosts },
        { "history", operation_history },
        { "events", operation_events },
        { "listen", operation_listen },
};

static int answer(Session *session, const json_t *request) {
        const char *op = json_string_value(json_object_get(request, "op"));
        int r;

        for (size_t i = 0; op && i < ELEMENTSOF(operations); i++)
                if (strcmp(operations[i].name, op) == 0) {
                        r = session_connect(session, op);
                        if (r != 0)
                                return r < 0 ? r : 0;
                        return operations[i].operation(session, request);
                }
        return session_error(session, op ? op : "?", op ? "unsupported" : "bad-request",
                op ? "the database has no such operation" : "the packet has no op", op,
                "Are scidexctl and scidex-db of the same version?");
}

int serve(Session *session) {
        for (;;) {
                _cleanup_(message_deinit) Message message = MESSAGE_NONE;
                int r = message_receive_without_fds(session->fd, &message);

                if (r == MESSAGE_E_CLOSED)
                        return 0;
                if (r == MESSAGE_E_BAD)
                        return -EBADMSG;
                if (r == 0)
                        r = answer(session, message.body);
                if (r == -EPIPE)
                        return 0;
                if (r < 0)
                        return r;
        }
}
