/*
 * Waiting until the database tells of new events.
 *
 * Called by serve.c for `events --follow` and `top`, which ask again after each answer.  The client's socket is waited
 * for as well: it hangs up when it has seen enough.
 */
#include "cmd/scidex-db/operations.h"

#include "base/clock.h"
#include "control/message.h"
#include <poll.h>
#include <string.h>

#define WAIT_MAX_USEC (60 * USEC_PER_SEC)

/* Takes all notifications that are there. 0 and whether there was one, REMOTE_E_FAILED, -ENOMEM. */
static int take_notifications(Session *session, bool *ret_any, RemoteError *error) {
        *ret_any = false;
        for (;;) {
                _cleanup_(freep) char *payload = NULL;
                int r = remote_notification(session->remote, &payload, error);

                if (r != 0 || !payload)
                        return r;
                *ret_any = true;
        }
}

/* 0, 1: the client has gone (or asks without waiting, which ends this wait too), -errno. */
static int wait_for_either(Session *session, uint64_t until) {
        uint64_t left = usec_sub(until, clock_boottime_usec());
        struct pollfd ready[] = { { .fd = session->fd, .events = POLLIN },
                { .fd = remote_fd(session->remote), .events = POLLIN } };
        int n = poll(ready, ELEMENTSOF(ready), (int)(left / USEC_PER_MSEC) + (left > 0));

        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        return ready[0].revents ? 1 : 0;
}

static int reply_notified(Session *session, bool any) {
        json_t *reply = message_reply("listen");

        if (reply && json_object_set_new(reply, "notified", json_boolean(any)) < 0) {
                json_decref(reply);
                reply = NULL;
        }
        return session_reply(session, reply);
}

int operation_listen(Session *session, const json_t *request) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        uint64_t timeout = 0, until;
        bool any = false;
        int r;

        (void)json_get_u64(request, "timeout_usec", &timeout);
        until = usec_add(clock_boottime_usec(), MIN_OF(timeout, WAIT_MAX_USEC));
        r = remote_execute(session->remote, "LISTEN scidex_events", &error);
        if (r == REMOTE_E_FAILED && error.state && strcmp(error.state, "read-only") == 0)
                r = 0; /* a standby takes none: then only the time tells */
        while (r == 0) {
                r = take_notifications(session, &any, &error);
                if (r != 0 || any || clock_boottime_usec() >= until)
                        break;
                r = wait_for_either(session, until);
        }
        if (r == REMOTE_E_FAILED && error.message)
                return session_error_of(session, "listen", &error);
        return r < 0 ? r : reply_notified(session, any);
}
