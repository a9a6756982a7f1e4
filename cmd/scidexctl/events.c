/* `scidexctl events`: one line per kill. Called by main. */
#include "base/cleanup.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/field.h"
#include <string.h>

static const Column columns[] = {
        { "WHEN", .rank = 2 },
        { "RUN" },
        { "ANALYSIS" },
        { "REASON" },
        { "AFTER", .right = true, .rank = 3 },
        { "PROCESSES", .right = true, .rank = 4 },
        { "SIGNALS", .rank = 5 },
        { "DETAIL", .rank = 1, .shrink = 20 },
};

static Tone reason_tone(const char *reason) {
        return reason && (strcmp(reason, "orphan") == 0 || strcmp(reason, "cancelled") == 0) ? TONE_WARN : TONE_BAD;
}

/* "TERM KILL", or that it was the kernel's kill: then a KILL of ours only swept up. */
static void signals_cell(Table *table, const json_t *event) {
        const json_t *signals = json_object_get(event, "signals");
        const char *first = field_text(json_array_get(signals, 0), "signal");
        const char *second = field_text(json_array_get(signals, 1), "signal");

        if (json_is_true(json_object_get(json_object_get(event, "evidence"), "by_kernel")))
                table_text(table, TONE_PLAIN, "by the kernel");
        else if (json_array_size(signals) == 0)
                table_text(table, TONE_PLAIN, NULL);
        else
                table_cell(table, TONE_PLAIN, "%s%s%s", first ? first : "?", second ? " " : "", second ? second : "");
}

static void event_row(Table *table, const json_t *event) {
        char when[FORMAT_MAX], after[FORMAT_MAX];
        const char *reason = field_text(event, "reason");
        uint64_t killed;

        table_text(table, TONE_PLAIN, field_when(when, event, "decided_at", NULL));
        table_text(table, TONE_STRONG, run_short_id(event));
        table_text(table, TONE_PLAIN, field_text(event, "analysis_id"));
        table_text(table, reason_tone(reason), reason);
        table_text(table, TONE_PLAIN, field_duration(after, event, "duration_sec", NULL));
        if (field_u64(event, "processes_killed", &killed))
                table_cell(table, TONE_PLAIN, "%ju", (uintmax_t)killed);
        else
                table_text(table, TONE_PLAIN, "?");
        signals_cell(table, event);
        table_text(table, TONE_PLAIN, field_text(event, "detail"));
}

int verb_events(const Options *options, const Terminal *terminal) {
        _cleanup_(table_deinit) Table table = TABLE_OF(columns);
        _cleanup_(json_decrefp) json_t *answer = NULL;
        _cleanup_(json_decrefp) json_t *request = request_filtered("events", options, &answer);
        const json_t *rows, *event;
        size_t i;

        if (request)
                answer = ask(options, WHERE_RECORD, request);
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return rows_print_json("events", answer);
        rows = json_object_get(answer, "rows");
        if (json_array_size(rows) == 0) {
                (void)puts("No kill is recorded. Runs that ended by themselves: scidexctl history");
                return CTL_OK;
        }
        json_array_foreach(rows, i, event) {
                event_row(&table, event);
        }
        return table_print(stdout, terminal, &table) == 0 ? CTL_OK : CTL_NO_ANSWER;
}
