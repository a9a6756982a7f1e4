/*
 * `scidexctl kill RUN...`: asks the supervisor to end runs.
 *
 * Called by main.  The answer comes when the kill has begun, not when all are dead: a grace may be long, and `why`
 * tells the rest.  A run that is not found is answered with those that live, since a mistyped id is the usual reason.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/ask.h"
#include "control/message.h"
#include "status/field.h"
#include <string.h>

#define CANDIDATES_MAX 5

/* Adds the runs that live to an error, so that the right id can be copied. */
static void candidates_add(const Options *options, json_t *answer) {
        _cleanup_(json_decrefp) json_t *request = message_request("list");
        _cleanup_(json_decrefp) json_t *list = request ? ask(options, WHERE_LIVE, request) : NULL;
        json_t *error = json_object_get(answer, "error"), *candidates = json_array();
        const json_t *run;
        size_t i;

        json_array_foreach(json_object_get(list, "rows"), i, run) {
                const char *id = field_text(run, "run_id"), *analysis = field_text(run, "analysis_id");
                _cleanup_(freep) char *text = NULL;

                if (i == CANDIDATES_MAX || !id ||
                        asprintf(&text, "%s%s%s", id, analysis ? "  " : "", analysis ? analysis : "") < 0)
                        break;
                (void)json_array_append_new(candidates, json_from_text(text));
        }
        if (json_array_size(candidates) > 0)
                (void)json_object_set(error, "candidates", candidates);
        json_decref(candidates);
}

static void killed_print(const Options *options, const char *id) {
        _cleanup_(json_decrefp) json_t *request = request_run("show", id);
        _cleanup_(json_decrefp) json_t *answer = request ? ask(options, WHERE_LIVE, request) : NULL;
        const json_t *run = json_object_get(answer, "run");
        const char *analysis = field_text(run, "analysis_id"), *signal = field_text(run, "term_signal");
        _cleanup_(freep) char *safe = text_escape(analysis ? analysis : "Run");
        char grace[FORMAT_MAX];
        size_t length = strlen(id);
        const char *short_id = length > 8 ? id + length - 8 : id;

        (void)printf("%s %s%s%s: the kill has begun: %s now, KILL to the whole group after %s if needed.\n"
                     "How it ends: scidexctl why %s\n",
                safe ? safe : "Run", analysis ? "(run " : "", short_id, analysis ? ")" : "", signal ? signal : "TERM",
                field_duration(grace, run, "grace_sec", "the grace"), short_id);
}

static int kill_one(const Options *options, const char *run, json_t *killed, json_t **ret_failure) {
        _cleanup_(json_decrefp) json_t *request = request_run("kill", run);
        json_t *answer = request ? ask(options, WHERE_LIVE, request) : NULL;
        const char *code = field_text(json_object_get(answer, "error"), "code");
        const json_t *id;
        size_t i;

        if (answer_status(answer) != CTL_OK) {
                if (code && strcmp(code, "not-found") == 0)
                        candidates_add(options, answer);
                *ret_failure = answer;
                return answer_status(answer);
        }
        json_array_foreach(json_object_get(answer, "runs"), i, id) {
                (void)json_array_append(killed, (json_t *)id);
                if (!options->json && json_is_string(id))
                        killed_print(options, json_string_value(id));
        }
        json_decref(answer);
        return CTL_OK;
}

int verb_kill(const Options *options, const Terminal *terminal) {
        (void)terminal;
        return answer_each(options, "runs", kill_one);
}
