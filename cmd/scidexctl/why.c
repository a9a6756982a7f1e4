/*
 * `scidexctl why RUN`: why a run ended. Called by main.
 *
 * The record is asked, and where it does not know the run, the supervisor: it may be alive still.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/ask.h"
#include "status/explain.h"

int verb_why(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *answer = ask_run(options, options->arguments[0], false);

        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return json_print(answer) == 0 ? CTL_OK : CTL_NO_ANSWER;
        return explain_print(stdout, terminal, json_object_get(answer, "run"), json_object_get(answer, "events")) == 0
                ? CTL_OK
                : CTL_NO_ANSWER;
}
