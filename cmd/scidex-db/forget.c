/*
 * `forget` and `retain`: what only the owner of the tables decides.
 *
 * Called by serve.c.  Both are functions of the database, so that an administrator without scidexctl has them too.
 * `forget` is one transaction; `retain` is many: a month of runs takes a minute, and recorders ship meanwhile.
 */
#include "cmd/scidex-db/operations.h"

#include "base/file.h"
#include "control/message.h"
#include <string.h>

#define NO_PRIVILEGE "42501"
/* In one transaction: seconds. Each step looks for the oldest anew, past what the last ones left. */
#define RETAIN_RUNS 100000

static const char known_sql[] = "SELECT to_jsonb(EXISTS (SELECT FROM watchdog_hosts WHERE host = $1) OR"
                                " EXISTS (SELECT FROM watchdog_processes WHERE host = $1))";

static int refuse(Session *session, const char *op, RemoteError *error) {
        if (strcmp(error->sqlstate, NO_PRIVILEGE) == 0) {
                free(error->hint); /* that of the recorder, which writes */
                error->hint = strdup("connect as the owner of the tables: --postgres '… user=OWNER'");
        }
        return session_error_of(session, op, error);
}

static int forget_known(Session *session, const char *host) {
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(json_decrefp) json_t *closed = NULL, *reply = message_reply("forget");
        int r = remote_value(session->remote, "SELECT to_jsonb(scidex_forget($1))", 1, &host, &closed, &error);

        if (r == REMOTE_E_FAILED && strcmp(error.sqlstate, "55006") == 0)
                return session_error(session, "forget", "busy", error.message, NULL, error.hint);
        if (r == REMOTE_E_FAILED)
                return refuse(session, "forget", &error);
        if (r < 0 || json_object_set_new(reply, "host", json_from_text(host)) < 0 ||
                json_object_set(reply, "closed", closed) < 0)
                return -ENOMEM;
        return session_reply(session, TAKE_PTR(reply));
}

int operation_forget(Session *session, const json_t *request) {
        const char *host = json_string_value(json_object_get(request, "host"));
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(json_decrefp) json_t *known = NULL;
        int r;

        if (!host || !*host)
                return session_error(
                        session, "forget", "bad-request", "no host is named", NULL, "Give host: its name.");
        r = remote_value(session->remote, known_sql, 1, &host, &known, &error);
        if (r == REMOTE_E_FAILED)
                return refuse(session, "forget", &error);
        if (r < 0)
                return r;
        if (!json_is_true(known))
                return session_error(session, "forget", "not-found", "the database knows no such host", host,
                        "scidexctl db status names those it knows");
        return forget_known(session, host);
}

/* All runs that are older, in steps; the last one drops the months. REMOTE_E_FAILED: what went before it is done. */
static int retain_all(Session *session, const char *keep, json_t *reply, RemoteError *error) {
        _cleanup_(freep) char *most = text_printf("%d", RETAIN_RUNS);
        json_int_t partitions = 0, runs = 0, step;
        int r;

        if (!most)
                return -ENOMEM;
        do {
                _cleanup_(json_decrefp) json_t *done = NULL;

                r = remote_value(session->remote,
                        "SELECT to_jsonb(r) FROM scidex_retain($1::double precision * interval '1 second', $2::bigint) "
                        "r",
                        2, (const char *const[]){ keep, most }, &done, error);
                if (r != 0)
                        return r;
                step = json_integer_value(json_object_get(done, "runs"));
                runs += step;
                partitions += json_integer_value(json_object_get(done, "partitions"));
        } while (step >= RETAIN_RUNS);
        if (json_object_set_new(reply, "partitions", json_integer(partitions)) < 0 ||
                json_object_set_new(reply, "runs", json_integer(runs)) < 0)
                return -ENOMEM;
        return 0;
}

int operation_retain(Session *session, const json_t *request) {
        json_int_t keep = json_integer_value(json_object_get(request, "keep_sec"));
        _cleanup_(remote_error_deinit) RemoteError error = { .state = NULL };
        _cleanup_(json_decrefp) json_t *reply = message_reply("retain");
        _cleanup_(freep) char *text = text_printf("%jd", (intmax_t)keep);
        int r;

        if (!text)
                return -ENOMEM;
        if (keep <= 0)
                return session_error(session, "retain", "bad-request", "no time is given", NULL,
                        "Give keep_sec: what is older goes.");
        r = retain_all(session, text, reply, &error);
        if (r == REMOTE_E_FAILED && strcmp(error.sqlstate, "22023") == 0)
                return session_error(session, "retain", "bad-request", error.message, NULL, error.hint);
        if (r == REMOTE_E_FAILED)
                return refuse(session, "retain", &error);
        if (r < 0)
                return r;
        return session_reply(session, TAKE_PTR(reply));
}
