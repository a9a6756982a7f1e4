/*
 * `scidexctl list`: the runs that are alive.
 *
 * Called by main.  Memory is shown without the file cache: the kernel takes that back before it kills, and a full cache
 * would read as a run about to die.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/field.h"
#include "control/message.h"
#include <string.h>

static const Column columns[] = {
        { "RUN" },
        { "ANALYSIS" },
        { "STATE" },
        { "AGE / LIMIT", .right = true },
        { "MEMORY / LIMIT", .right = true },
        { "USED", .right = true },
        { "CACHE", .right = true, .rank = 4 },
        { "PROCESSES", .right = true, .rank = 2 },
        { "PID", .right = true, .rank = 3 },
        { "USER", .rank = 1 },
};

static Tone state_tone(const char *state) {
        return !state ? TONE_PLAIN : strcmp(state, "running") == 0 ? TONE_GOOD : TONE_WARN;
}

static void age_cell(Table *table, const json_t *run, uint64_t now) {
        char age[FORMAT_MAX], limit[FORMAT_MAX];
        uint64_t value;

        if (run_age(run, now, &value))
                table_cell(table, TONE_PLAIN, "%s / %s", format_duration(age, value - value % USEC_PER_SEC),
                        field_duration(limit, run, "timeout_sec", "infinity"));
        else
                table_text(table, TONE_PLAIN, NULL);
}

static void memory_cells(Table *table, const json_t *run) {
        char used[FORMAT_MAX], text[FORMAT_MAX];
        uint64_t private, limit, file, shmem = 0;

        if (!run_private_bytes(run, &private)) {
                table_text(table, TONE_PLAIN, NULL);
                table_text(table, TONE_PLAIN, NULL);
        } else {
                table_cell(table, TONE_PLAIN, "%s / %s", format_bytes(used, private),
                        field_bytes(text, run, "memory_limit_bytes", "infinity"));
                if (field_u64(run, "memory_limit_bytes", &limit) && limit > 0)
                        table_cell(table, private > limit / 10 * 9 ? TONE_WARN : TONE_PLAIN, "%.0f %%",
                                100.0 * (double)private / (double)limit);
                else
                        table_text(table, TONE_PLAIN, NULL);
        }
        (void)field_u64(run, "shmem_bytes", &shmem);
        if (field_u64(run, "file_bytes", &file))
                table_text(table, TONE_PLAIN, format_bytes(text, file > shmem ? file - shmem : 0));
        else
                table_text(table, TONE_PLAIN, NULL);
}

static void number_cell(Table *table, const json_t *run, const char *key) {
        uint64_t value;

        if (field_u64(run, key, &value))
                table_cell(table, TONE_PLAIN, "%ju", (uintmax_t)value);
        else
                table_text(table, TONE_PLAIN, NULL);
}

static void run_row(Table *table, const json_t *run, uint64_t now) {
        _cleanup_(freep) char *user = run_user(run);
        const char *state = field_text(run, "state");

        table_text(table, TONE_STRONG, run_short_id(run));
        table_text(table, TONE_PLAIN, field_text(run, "analysis_id"));
        table_text(table, state_tone(state), state);
        age_cell(table, run, now);
        memory_cells(table, run);
        number_cell(table, run, "pids");
        number_cell(table, run, "pid");
        table_text(table, TONE_PLAIN, user);
}

static int list_print(const Terminal *terminal, const json_t *rows) {
        _cleanup_(table_deinit) Table table = TABLE_OF(columns);
        uint64_t now = clock_realtime_usec();
        const json_t *run;
        size_t i;

        if (json_array_size(rows) == 0) {
                (void)puts("Nothing is running. To run something:\n\n"
                           "  scidex-run --analysis-id my-analysis --memory 2G --timeout 30min -- COMMAND\n");
                return 0;
        }
        json_array_foreach(rows, i, run) {
                run_row(&table, run, now);
        }
        return table_print(stdout, terminal, &table);
}

int verb_list(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = message_request("list");
        _cleanup_(json_decrefp) json_t *answer = NULL;

        answer = request ? ask(options, WHERE_LIVE, request) : NULL;
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return rows_print_json("runs", answer);
        return list_print(terminal, json_object_get(answer, "rows")) == 0 ? CTL_OK : CTL_NO_ANSWER;
}
