/*
 * `scidexctl report`: what runs asked for against what they used, per analysis or user.
 *
 * Called by main.  The rows are added up as they come: a database of all hosts has millions of them.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/account.h"
#include "cmd/scidexctl/ask.h"
#include <string.h>

#define REPORT_SINCE "30d" /* as long as the local record lasts */
#define REPORT_LINES 100   /* without --limit */

static int take_row(const json_t *row, void *userdata) {
        return account_take(userdata, row);
}

/* --limit is of the lines here, not of the rows that they are made from. */
static json_t *report_request(const Options *options, json_t **ret_error) {
        Options asked = *options;
        json_t *request;

        asked.limit = 0;
        asked.since = options->since ? options->since : REPORT_SINCE;
        request = request_filtered("history", &asked, ret_error);
        if (request && json_object_set_new(request, "limit", json_null()) < 0) {
                json_decref(request);
                return NULL;
        }
        return request;
}

static int report_say(const Options *options, const Terminal *terminal, Account *account, bool by_user, size_t runs) {
        size_t most = options->limit ? options->limit : REPORT_LINES;
        _cleanup_(json_decrefp) json_t *result = NULL;

        if (options->json) {
                result = json_pack("{s:b, s:s, s:I, s:o}", "ok", true, "since",
                        options->since ? options->since : REPORT_SINCE, "runs", (json_int_t)runs, "report",
                        account_to_json(account, by_user, most));
                return result && json_print(result) == 0 ? CTL_OK : CTL_NO_ANSWER;
        }
        if (runs == 0) {
                (void)printf("No such run in the %s since %s. All runs: scidexctl history\n",
                        options->all_hosts ? "database" : "record", options->since ? options->since : REPORT_SINCE);
                return CTL_OK;
        }
        if (account_print(stdout, terminal, account, by_user, most) < 0)
                return CTL_NO_ANSWER;
        (void)putchar('\n');
        paragraph_print(stdout, terminal, 0, 0,
                "Means of the runs; memory is the peak without page cache. UNUSED: memory that was kept for a run and "
                "not used, times how long. Limits that would do: scidexctl suggest ANALYSIS");
        return CTL_OK;
}

int verb_report(const Options *options, const Terminal *terminal) {
        bool by_user = options->by && strcmp(options->by, "user") == 0;
        _cleanup_(account_freep) Account *account = account_new(by_user ? ACCOUNT_BY_USER : ACCOUNT_BY_ANALYSIS);
        _cleanup_(json_decrefp) json_t *answer = NULL;
        _cleanup_(json_decrefp) json_t *request = report_request(options, &answer);
        RowSink sink = { .func = take_row, .userdata = account };

        if (!account)
                return answer_report_failure(options, NULL);
        if (request)
                answer = ask_rows(options, WHERE_RECORD, request, &sink);
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        return report_say(options, terminal, account, by_user, sink.taken);
}
