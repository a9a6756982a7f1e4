/*
 * Whom to ask, in which order.
 *
 * Called by the verbs.  The hard thing is that runs of one user may stand under two supervisors, the system's and a
 * private one, and in records that outlive both.  The system's is asked first; one that does not know the run is no
 * reason to give up, so `not-found` goes on to the next.  If none knows, the answer that says most is kept: that a run
 * is unknown says more than that a socket was missing.
 */
#include "cmd/scidexctl/ask.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "control/client.h"
#include <poll.h>
#include <string.h>

#define BEHIND_LOOKS     15
#define BEHIND_LOOK_MSEC 100

static json_t *answer_of_connect(int r, const char *path) {
        if (r == CLIENT_E_NO_SOCKET || r == CLIENT_E_REFUSED || r == -ENOENT)
                return NULL;
        if (r == CLIENT_E_DENIED)
                return answer_failed("denied", "ask as its owner or as root, or name another with --socket",
                        "no permission to connect to %s", path);
        if (r == CLIENT_E_FOREIGN)
                return answer_failed("denied", "it was not asked; remove it or name another with --socket",
                        "the socket %s is served by another user, who is neither root nor you", path);
        return answer_failed("failed", "name another with --socket", "connecting to %s failed: %s", path, strerror(-r));
}

static bool answer_is_final(const json_t *answer) {
        const char *code = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));

        return json_is_true(json_object_get(answer, "ok")) ||
                (code && (strcmp(code, "ambiguous") == 0 || strcmp(code, "bad-request") == 0));
}

/* Keeps the answer that says more: a reply of somebody above a failure to reach anybody. */
static void answer_keep(json_t **best, json_t *answer) {
        if (answer && (!*best || (answer_status(*best) != CTL_ABSENT && answer_status(answer) != CTL_NO_ANSWER))) {
                json_decref(*best);
                *best = answer;
                return;
        }
        json_decref(answer);
}

static json_t *ask_socket(const char *path, Where where, const json_t *request, RowSink *sink) {
        _cleanup_(source_deinit) Source source = SOURCE_NONE;
        _cleanup_(freep) char *record = NULL;
        int r;

        if (where == WHERE_RECORD) {
                r = client_record_path(path, &record);
                if (r < 0)
                        return answer_failed("failed", NULL, "%s: %s", path, strerror(-r));
                path = record;
        }
        r = source_connect(path, &source);
        source.sink = sink;
        return r == 0 ? source_ask(&source, request) : answer_of_connect(r, path);
}

static json_t *ask_disk(const json_t *request, RowSink *sink) {
        _cleanup_(source_deinit) Source source = SOURCE_NONE;
        _cleanup_(freep) char *directory = NULL;
        int r;

        r = ask_state_directory(&directory);
        if (r == 0)
                r = source_read_directory(directory, &source);
        source.sink = sink;
        return r == 0 ? source_ask(&source, request) : answer_of_connect(r, directory ? directory : "the record");
}

static json_t *answer_of_nobody(const Options *options, Where where) {
        _cleanup_(freep) char *directory = NULL;

        if (where == WHERE_LIVE && options->socket)
                return answer_failed("no-supervisor", "without --socket the usual places are tried",
                        "no supervisor listens at %s", options->socket);
        if (where == WHERE_LIVE)
                return answer_failed("no-supervisor",
                        "scidex-run -- COMMAND starts one with the run; scidexctl history shows the runs that have "
                        "ended",
                        "no supervisor is running");
        (void)ask_state_directory(&directory);
        return answer_failed("no-record", "a first run makes one: scidex-run --analysis-id first -- true",
                "no supervisor is running and there is no record in %s", directory ? directory : "the state directory");
}

/* The file itself where nobody has answered for it; that somebody should have is kept in the answer. */
static json_t *ask_disk_instead(json_t *failed, const json_t *request, RowSink *sink) {
        json_t *error = json_incref(json_object_get(failed, "error")), *answer = failed;

        answer_keep(&answer, ask_disk(request, sink));
        if (error && answer != failed && json_object_set(answer, "instead_of", error) < 0) {
                json_decref(answer);
                answer = NULL;
        }
        json_decref(error);
        return answer;
}

/* Rows that were told can't be taken back: then the answer stands, also if it is a failure. */
static bool sink_has_rows(const RowSink *sink) {
        return sink && sink->taken > 0;
}

static json_t *ask_to(const Options *options, Where where, const json_t *request, RowSink *sink) {
        _cleanup_(client_paths_freep) char **paths = NULL;
        _cleanup_(json_decrefp) json_t *best = NULL;
        const char *only[] = { options->socket, NULL };
        int r = 0;

        if (!options->socket)
                r = client_socket_paths(false, &paths);
        if (r < 0)
                return answer_failed("failed", NULL, "finding the sockets: %s", strerror(-r));
        for (const char *const *path = options->socket ? only : (const char *const *)paths; *path; path++) {
                answer_keep(&best, ask_socket(*path, where, request, sink));
                if (best && (answer_is_final(best) || sink_has_rows(sink)))
                        return TAKE_PTR(best);
        }
        if (where == WHERE_RECORD)
                best = ask_disk_instead(TAKE_PTR(best), request, sink);
        return best ? TAKE_PTR(best) : answer_of_nobody(options, where);
}

json_t *ask(const Options *options, Where where, const json_t *request) {
        return ask_to(options, where, request, NULL);
}

json_t *ask_rows(const Options *options, Where where, const json_t *request, RowSink *sink) {
        return options->all_hosts ? ask_database(options, request, sink) : ask_to(options, where, request, sink);
}

json_t *request_run(const char *op, const char *run) {
        json_t *request = message_request(op);

        if (!request || json_object_set_new(request, "run", json_from_text(run)) < 0) {
                json_decref(request);
                return NULL;
        }
        return request;
}

static bool run_has_ended(const json_t *answer) {
        return json_is_string(json_object_get(json_object_get(answer, "run"), "verdict"));
}

/*
 * The record says that the run is alive. Either it is, then the supervisor knows it better; or it has just ended and
 * its row is on the way (rows are written behind, at most 1 s). Nothing can be waited for but time, so it is asked
 * again a few times.
 */
static json_t *record_refresh(const Options *options, json_t *record, const json_t *live, const json_t *past) {
        _cleanup_(json_decrefp) json_t *answer = record;

        for (unsigned i = 0; i < BEHIND_LOOKS && answer_status(answer) == CTL_OK && !run_has_ended(answer); i++) {
                _cleanup_(json_decrefp) json_t *now = ask(options, WHERE_LIVE, live);
                const json_t *run = json_object_get(now, "run");

                if (answer_status(now) == CTL_OK && run)
                        return json_object_set(answer, "run", (json_t *)run) == 0 ? TAKE_PTR(answer) : NULL;
                (void)poll(NULL, 0, BEHIND_LOOK_MSEC);
                json_decref(answer);
                answer = ask(options, WHERE_RECORD, past);
        }
        return TAKE_PTR(answer);
}

/* Of two failures the one that helps more: candidates, else the one of somebody who answered. */
static bool failure_helps_more(const json_t *first, const json_t *second) {
        return json_object_get(json_object_get(first, "error"), "candidates") ||
                (answer_status(first) != CTL_NO_ANSWER && answer_status(second) == CTL_NO_ANSWER);
}

json_t *ask_run(const Options *options, const char *run, bool live_first) {
        _cleanup_(json_decrefp) json_t *live = request_run("show", run), *past = request_run("why", run);
        _cleanup_(json_decrefp) json_t *first = NULL, *second = NULL;

        if (!live || !past)
                return NULL;
        if (live_first) {
                first = ask(options, WHERE_LIVE, live);
                if (answer_status(first) == CTL_OK || answer_status(first) == CTL_USAGE)
                        return TAKE_PTR(first);
        }
        second = record_refresh(options, ask(options, WHERE_RECORD, past), live, past);
        if (!live_first && answer_status(second) != CTL_OK)
                first = ask(options, WHERE_LIVE, live);
        if (!first || answer_status(second) == CTL_OK)
                return TAKE_PTR(second);
        if (answer_status(first) == CTL_OK)
                return TAKE_PTR(first);
        return failure_helps_more(first, second) ? TAKE_PTR(first) : TAKE_PTR(second);
}

/* "2h" ago or an RFC 3339 time, as the protocol's since_at. NULL and *ret_error. */
static json_t *since_to_json(const char *text, json_t **ret_error) {
        char buffer[CLOCK_RFC3339_MAX];
        uint64_t value;

        if (clock_parse_rfc3339(text, &value) == 0)
                return json_string(clock_format_rfc3339(buffer, value));
        if (parse_time(text, &value, NULL) == 0)
                return json_string(clock_format_rfc3339(buffer, usec_sub(clock_realtime_usec(), value)));
        *ret_error = answer_failed("usage", "for example --since 2h (ago), 1d, or --since 2026-11-21T07:19:42Z",
                "--since '%s': not a time", text);
        return NULL;
}

json_t *request_filtered(const char *op, const Options *options, json_t **ret_error) {
        _cleanup_(json_decrefp) json_t *request = message_request(op);
        const char *reason = strcmp(op, "events") == 0 ? "reason" : "verdict";
        json_t *since = NULL;

        if (options->since) {
                since = since_to_json(options->since, ret_error);
                if (!since)
                        return NULL;
        }
        if ((since && json_object_set_new(request, "since_at", since) < 0) ||
                (options->limit && json_object_set_new(request, "limit", json_from_u64(options->limit)) < 0) ||
                (options->analysis &&
                        json_object_set_new(request, "analysis_id", json_from_text(options->analysis)) < 0) ||
                (options->verdict && json_object_set_new(request, reason, json_from_text(options->verdict)) < 0) ||
                (options->host && json_object_set_new(request, "host", json_from_text(options->host)) < 0) ||
                (options->run && json_object_set_new(request, "run", json_from_text(options->run)) < 0))
                return NULL;
        return TAKE_PTR(request);
}
