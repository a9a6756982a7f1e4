/*
 * A packet as the supervisor gets it: from a socket, bytes that need not be JSON, nor an object, nor text.
 *
 * What is taken for a message must be sendable again, and what does not fit must be made to fit or refused.
 */
#include "base/cleanup.h"
#include "control/message.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>
#include <sys/socket.h>

static void try_body(json_t *body) {
        _cleanup_(json_decrefp) json_t *error = NULL;
        const char *op = "";

        (void)json_get_text(body, "op", &op);
        error = message_error(op, "bad-request", "unknown operation", NULL, NULL);
        if (!error)
                fuzz_fail("no answer can be made");
        if (message_fit(body, 300) == 0) {
                _cleanup_(freep) char *text = json_to_text(body);

                if (!text || strlen(text) > 300)
                        fuzz_fail("what was made to fit does not");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(message_deinit) Message message = MESSAGE_NONE;
        static int ends[2] = { -1, -1 };
        int r;

        if (ends[0] < 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0)
                fuzz_fail("no socketpair");
        if (size == 0 || send(ends[0], bytes, size, MSG_NOSIGNAL) < 0)
                return 0;
        r = message_receive(ends[1], &message);
        if (r != 0 && r != MESSAGE_E_BAD)
                fuzz_fail("a result that the header does not name");
        if (r == 0 && !json_is_object(message.body))
                fuzz_fail("a message that is no object");
        if (r == 0)
                try_body(message.body);
        return 0;
}
