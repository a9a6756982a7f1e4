/* `scidexctl history`: one line per run that has ended. Called by main. */
#include "base/cleanup.h"
#include "cmd/scidexctl/ask.h"
#include "status/field.h"
#include <string.h>

/* The first is left out where all are of one host. */
static const Column columns[] = {
        { "HOST" },
        { "ENDED", .rank = 3 },
        { "RUN" },
        { "ANALYSIS" },
        { "VERDICT" },
        { "TIME", .right = true },
        { "PEAK / LIMIT", .right = true, .rank = 1 },
        { "DETAIL", .rank = 2, .shrink = 20 },
};

static Tone verdict_tone(const char *verdict) {
        if (!verdict)
                return TONE_PLAIN;
        if (strcmp(verdict, "completed") == 0)
                return TONE_GOOD;
        return strcmp(verdict, "failed") == 0 || strcmp(verdict, "cancelled") == 0 || strcmp(verdict, "lost") == 0
                ? TONE_WARN
                : TONE_BAD;
}

/* What a line has room for beside the verdict: its detail, else what the command itself ended with. */
static void detail_cell(Table *table, const json_t *run) {
        const char *detail = field_text(run, "detail"), *signal = field_text(run, "exit_signal");
        const char *verdict = field_text(run, "verdict");
        uint64_t status;

        if (detail)
                table_text(table, TONE_PLAIN, detail);
        else if (signal && verdict && strcmp(verdict, "crashed") == 0)
                table_cell(table, TONE_PLAIN, "signal %s", signal);
        else if (field_u64(run, "exit_status", &status) && status != 0)
                table_cell(table, TONE_PLAIN, "status %ju", (uintmax_t)status);
        else
                table_text(table, TONE_PLAIN, NULL);
}

static void run_row(Table *table, const json_t *run, bool hosts) {
        char when[FORMAT_MAX], time[FORMAT_MAX], peak[FORMAT_MAX], limit[FORMAT_MAX];
        const char *verdict = field_text(run, "verdict");

        if (hosts)
                table_text(table, TONE_PLAIN, field_text(run, "host"));
        table_text(table, TONE_PLAIN, field_when(when, run, "ended_at", field_when(when, run, "launched_at", NULL)));
        table_text(table, TONE_STRONG, run_short_id(run));
        table_text(table, TONE_PLAIN, field_text(run, "analysis_id"));
        table_text(table, verdict_tone(verdict), verdict);
        table_text(table, TONE_PLAIN, field_duration(time, run, "duration_sec", NULL));
        table_cell(table, TONE_PLAIN, "%s / %s", field_bytes(peak, run, "memory_peak_bytes", "?"),
                field_bytes(limit, run, "memory_limit_bytes", "infinity"));
        detail_cell(table, run);
}

static int history_print(const Options *options, const Terminal *terminal, const json_t *rows) {
        bool hosts = options->all_hosts;
        _cleanup_(table_deinit)
                Table table = { .columns = columns + !hosts, .n_columns = ELEMENTSOF(columns) - !hosts };
        const json_t *run;
        size_t i;

        if (json_array_size(rows) == 0) {
                (void)puts(hosts ? "No such run in the database. A run stands in it when it has ended."
                                : options->analysis || options->verdict || options->since
                                ? "No such run in the record. All runs: scidexctl history"
                                : "No run has ended yet. To run something:\n\n"
                                  "  scidex-run --analysis-id my-analysis -- COMMAND\n");
                return 0;
        }
        json_array_foreach(rows, i, run) {
                run_row(&table, run, hosts);
        }
        return table_print(stdout, terminal, &table);
}

int verb_history(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *answer = NULL;
        _cleanup_(json_decrefp) json_t *request = request_filtered("history", options, &answer);

        if (request)
                answer = ask_anywhere(options, WHERE_RECORD, request);
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return rows_print_json("runs", answer);
        return history_print(options, terminal, json_object_get(answer, "rows")) == 0 ? CTL_OK : CTL_NO_ANSWER;
}
