/* `scidexctl suggest ANALYSIS`: limits for the next run, from what the last ones took. Called by main. */
#include "base/cleanup.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/suggestion.h"

static int suggestion_say(const Options *options, const Terminal *terminal, const Suggestion *suggestion) {
        _cleanup_(json_decrefp) json_t *result = NULL;

        if (!options->json)
                return suggestion_print(stdout, terminal, suggestion) == 0 ? CTL_OK : CTL_NO_ANSWER;
        result = json_pack("{s:b, s:o}", "ok", true, "suggestion", suggestion_to_json(suggestion));
        return result && json_print(result) == 0 ? CTL_OK : CTL_NO_ANSWER;
}

static json_t *answer_of_none(const char *analysis) {
        return answer_failed("not-found", "scidexctl history lists the runs that have ended, with their analysis ids",
                "no run of '%s' has ended yet, so nothing is known of what it takes", analysis);
}

int verb_suggest(const Options *options, const Terminal *terminal) {
        _cleanup_(suggestion_deinit) Suggestion suggestion = { 0 };
        _cleanup_(json_decrefp) json_t *answer = NULL, *request = NULL, *none = NULL;
        Options asked = *options;

        asked.analysis = options->arguments[0];
        asked.limit = SUGGEST_RUNS;
        request = request_filtered("history", &asked, &answer);
        if (request)
                answer = ask_anywhere(&asked, WHERE_RECORD, request);
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (suggestion_make(asked.analysis, json_object_get(answer, "rows"), &suggestion) < 0)
                return answer_report_failure(options, NULL);
        if (suggestion.runs > 0)
                return suggestion_say(options, terminal, &suggestion);
        none = answer_of_none(asked.analysis);
        return answer_report_failure(options, none);
}
