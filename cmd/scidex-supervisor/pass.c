/*
 * One pass over all runs.
 *
 * Called by main.  The hard thing is to know whether there is a supervisor: a socket says nothing, since systemd
 * listens at it also while the supervisor is stopped, and to connect would start it.  The flock on the tree says it:
 * who gets it is the supervisor for the length of this pass, who does not asks the one that has it.
 */
#include "cmd/scidex-supervisor/pass.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "control/client.h"
#include "control/message.h"

#define ONCE_WAIT_USEC (60 * USEC_PER_SEC)
#define DRAIN_WAIT_USEC \
        (600 * USEC_PER_SEC) /* of the longest grace that is likely; systemd's own time-out may be shorter */

static int print_json(json_t *object) {
        _cleanup_(json_decrefp) json_t *owned = object;
        _cleanup_(freep) char *text = owned ? json_to_text(owned) : NULL;

        if (!text) {
                log_line(LOG_LEVEL_ERROR, "out of memory");
                return EXIT_FAILURE;
        }
        if (puts(text) < 0 || fflush(stdout) != 0) {
                log_line(LOG_LEVEL_ERROR, "can't write to stdout: %s", strerror(errno));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}

static int refused(const json_t *reply) {
        const json_t *error = json_object_get(reply, "error");
        const char *message = "no reason given", *hint = NULL;

        (void)json_get_text(error, "message", &message);
        (void)json_get_text(error, "hint", &hint);
        log_line(LOG_LEVEL_ERROR, "the supervisor refuses: %s%s%s", message, hint ? ". " : "", hint ? hint : "");
        return EXIT_FAILURE;
}

/* Asks the supervisor that holds the tree. */
static int ask(const Options *o) {
        bool drain = o->supervisor.mode == SUPERVISOR_DRAIN;
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;
        _cleanup_(json_decrefp) json_t *request = message_request(drain ? "drain" : "once");
        _cleanup_(close_fdp) int fd = -EBADF;
        int r = client_connect(o->socket_path, &fd);

        if (r == 0)
                r = request ? client_ask(fd, request, drain ? DRAIN_WAIT_USEC : ONCE_WAIT_USEC, &reply) : -ENOMEM;
        if (r != 0) {
                log_line(LOG_LEVEL_ERROR, "a supervisor holds the tree, but can't be asked at %s: %s", o->socket_path,
                        r < 0 ? strerror(-r) : "it does not answer there; name its socket with --socket");
                return EXIT_FAILURE;
        }
        if (!json_is_true(json_object_get(reply.body, "ok")))
                return refused(reply.body);
        (void)json_object_del(reply.body, "v");
        (void)json_object_del(reply.body, "re");
        (void)json_object_del(reply.body, "ok");
        return print_json(json_incref(reply.body));
}

int pass_run(Options *o) {
        _cleanup_(supervisor_freep) Supervisor *supervisor = NULL;
        _cleanup_(freep) char *error = NULL;
        int r;

        o->supervisor.config = TAKE_PTR(o->config);
        r = supervisor_new(&o->supervisor, &supervisor, &error);
        if (r == -EBUSY)
                return ask(o);
        if (r == 0)
                r = supervisor_run(supervisor);
        if (r < 0) {
                log_line(LOG_LEVEL_ERROR, "%s", error ? error : strerror(-r));
                return EXIT_FAILURE;
        }
        return print_json(supervisor_account(supervisor));
}
