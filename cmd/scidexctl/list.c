/*
 * `scidexctl list`: the runs that are alive, here or (from the database) on all hosts.
 *
 * Called by main; `top` shows the same table.  Memory is shown without the file cache: the kernel takes that back
 * before it kills, and a full cache would read as a run about to die.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/rows.h"
#include "control/message.h"
#include "status/field.h"
#include <string.h>

/* The first is left out where all are of one host. */
static const Column columns[] = {
        { "HOST" },
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

static void state_cell(Table *table, const json_t *run) {
        const char *state = field_text(run, "state");

        if (json_is_true(json_object_get(run, "host_silent")))
                table_cell(table, TONE_WARN, "%s, silent", state ? state : "?");
        else
                table_text(table, state_tone(state), state);
}

static void run_row(Table *table, const json_t *run, bool hosts, uint64_t now) {
        _cleanup_(freep) char *user = run_user(run);

        if (hosts)
                table_text(table, TONE_PLAIN, field_text(run, "host"));
        table_text(table, TONE_STRONG, run_short_id(run));
        table_text(table, TONE_PLAIN, field_text(run, "analysis_id"));
        state_cell(table, run);
        age_cell(table, run, now);
        memory_cells(table, run);
        number_cell(table, run, "pids");
        number_cell(table, run, "pid");
        if (hosts) /* another host's users may have other numbers */
                number_cell(table, run, "uid");
        else
                table_text(table, TONE_PLAIN, user);
}

int runs_print(FILE *out, const Terminal *terminal, const json_t *runs, bool hosts, size_t most) {
        _cleanup_(table_deinit)
                Table table = { .columns = columns + !hosts, .n_columns = ELEMENTSOF(columns) - !hosts };
        uint64_t now = clock_realtime_usec();

        for (size_t i = 0; i < json_array_size(runs) && i < most; i++)
                run_row(&table, json_array_get(runs, i), hosts, now);
        return table_print(out, terminal, &table);
}

static int list_print(const Terminal *terminal, const json_t *runs) {
        if (json_array_size(runs) > 0)
                return runs_print(stdout, terminal, runs, false, SIZE_MAX);
        (void)puts("Nothing is running. To run something:\n\n"
                   "  scidex-run --analysis-id my-analysis --memory 2G --timeout 30min -- COMMAND\n");
        return 0;
}

static int hosts_list_print(const Options *options, const Terminal *terminal, const json_t *runs, const json_t *hosts) {
        int r = 0;

        if (json_array_size(runs) == 0 && json_array_size(hosts) == 0 && options->host)
                (void)printf(
                        "Host %s has not sent anything to this database; scidexctl db status names those that have.\n",
                        options->host);
        else if (json_array_size(runs) == 0)
                (void)printf("Nothing is running%s.\n",
                        json_array_size(hosts) == 0 ? ": no host has sent anything to this database yet" : "");
        else
                r = runs_print(stdout, terminal, runs, true, SIZE_MAX);
        silent_hosts_print(stdout, terminal, hosts);
        return r;
}

/* Of all hosts: what is said to run, and which of the hosts have not been heard of. */
static int list_of_hosts(const Options *options, const Terminal *terminal) {
        _cleanup_(source_deinit) Source source = SOURCE_NONE;
        _cleanup_(json_decrefp) json_t *failure = ask_open_database(options, &source), *runs = NULL, *hosts = NULL;
        _cleanup_(json_decrefp) json_t *result = NULL;

        if (failure)
                return answer_report_failure(options, failure);
        runs = rows_ask(&source, options, "list");
        if (answer_status(runs) != CTL_OK)
                return answer_report_failure(options, runs);
        hosts = rows_ask(&source, options, "hosts");
        if (answer_status(hosts) != CTL_OK)
                return answer_report_failure(options, hosts);
        if (!options->json)
                return hosts_list_print(
                               options, terminal, json_object_get(runs, "rows"), json_object_get(hosts, "rows")) == 0
                        ? CTL_OK
                        : CTL_NO_ANSWER;
        result = json_pack("{s:b, s:O, s:O}", "ok", true, "runs", json_object_get(runs, "rows"), "hosts",
                json_object_get(hosts, "rows"));
        return result && json_print(result) == 0 ? CTL_OK : CTL_NO_ANSWER;
}

int verb_list(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = message_request("list");
        _cleanup_(json_decrefp) json_t *answer = NULL;

        if (options->all_hosts)
                return list_of_hosts(options, terminal);
        answer = request ? ask(options, WHERE_LIVE, request) : NULL;
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return rows_print_json("runs", answer);
        return list_print(terminal, json_object_get(answer, "rows")) == 0 ? CTL_OK : CTL_NO_ANSWER;
}
