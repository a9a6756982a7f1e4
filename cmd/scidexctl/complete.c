/*
 * `scidexctl complete -- WORD...`: what can stand in the place of the last word, a line each. For the completions.
 *
 * Called by shells while somebody waits for a key to do something: so it ends after a second, whatever it was asking,
 * and says nothing of what went wrong.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/candidates.h"
#include "control/message.h"
#include <unistd.h>

#define COMPLETE_SEC  1
#define COMPLETE_RUNS 200 /* of the record */

static void rows_add(json_t *runs, const json_t *answer) {
        json_t *row;
        size_t i;

        json_array_foreach(json_object_get(answer, "rows"), i, row) {
                (void)json_array_append(runs, row);
        }
}

static json_t *runs_ask(const Options *options, bool past) {
        _cleanup_(json_decrefp) json_t *live_request = message_request("list"), *live = NULL, *ended = NULL;
        _cleanup_(json_decrefp) json_t *failure = NULL, *past_request = NULL;
        json_t *runs = json_array();
        Options asked = *options;

        asked.limit = COMPLETE_RUNS;
        live = live_request ? ask(&asked, WHERE_LIVE, live_request) : NULL;
        rows_add(runs, live);
        if (past)
                past_request = request_filtered("history", &asked, &failure);
        if (past_request)
                ended = ask(&asked, WHERE_RECORD, past_request);
        rows_add(runs, ended);
        return runs;
}

int verb_complete(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *runs = NULL;
        Completion completion;

        (void)terminal;
        (void)alarm(COMPLETE_SEC);
        completion_find((const char *const *)options->arguments, options->n_arguments, &completion);
        if (completion.kind == CANDIDATE_LIVE || completion.kind == CANDIDATE_RUNS ||
                completion.kind == CANDIDATE_ANALYSES)
                runs = runs_ask(options, completion.kind != CANDIDATE_LIVE);
        completion_print(stdout, &completion, runs);
        return CTL_OK;
}
