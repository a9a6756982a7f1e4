/*
 * `scidexctl show RUN`: all that is known of a run, grouped.
 *
 * Called by main.  One const table says which member stands where and how it is read; a member that is null (not known
 * on this machine) is left out, so that nothing reads as 0 that was never counted.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/ask.h"
#include "status/explain.h"
#include "status/field.h"
#include <string.h>

typedef enum Form {
        FORM_HEADING,
        FORM_TEXT,
        FORM_NUMBER,
        FORM_REAL,
        FORM_BYTES,
        FORM_TIME,
        FORM_WHEN,
        FORM_LIST,
        FORM_YES
} Form;

static const struct {
        const char *title;
        const char *key;
        Form form;
} facts[] = {
        { "Run", NULL, FORM_HEADING },
        { "Run id", "run_id", FORM_TEXT },
        { "Analysis", "analysis_id", FORM_TEXT },
        { "State", "state", FORM_TEXT },
        { "Verdict", "verdict", FORM_TEXT },
        { "Detail", "detail", FORM_TEXT },
        { "Exit status", "exit_status", FORM_NUMBER },
        { "Signal", "exit_signal", FORM_TEXT },
        { "Command", "cmdline", FORM_TEXT },
        { "Pid", "pid", FORM_NUMBER },
        { "Launcher's pid", "launcher_pid", FORM_NUMBER },
        { "Outer run", "outer_run_id", FORM_TEXT },
        { "Host", "host", FORM_TEXT },
        { "Boot", "boot_id", FORM_TEXT },
        { "Time", NULL, FORM_HEADING },
        { "Launched", "launched_at", FORM_WHEN },
        { "Deadline", "deadline_at", FORM_WHEN },
        { "Ended", "ended_at", FORM_WHEN },
        { "Duration", "duration_sec", FORM_TIME },
        { "Time limit", "timeout_sec", FORM_TIME },
        { "Grace", "grace_sec", FORM_TIME },
        { "First signal", "term_signal", FORM_TEXT },
        { "Memory", NULL, FORM_HEADING },
        { "Limit", "memory_limit_bytes", FORM_BYTES },
        { "Soft limit", "memory_high_bytes", FORM_BYTES },
        { "Swap limit", "swap_limit_bytes", FORM_BYTES },
        { "Charged", "memory_bytes", FORM_BYTES },
        { "Peak", "memory_peak_bytes", FORM_BYTES },
        { "Peak without cache", "private_peak_bytes", FORM_BYTES },
        { "Anonymous", "anon_bytes", FORM_BYTES },
        { "File, with shared", "file_bytes", FORM_BYTES },
        { "Shared", "shmem_bytes", FORM_BYTES },
        { "Swap", "swap_bytes", FORM_BYTES },
        { "Own oom events", "oom_events", FORM_NUMBER },
        { "oom_kill events", "oom_kill_events", FORM_NUMBER },
        { "max events", "max_events", FORM_NUMBER },
        { "CPU", NULL, FORM_HEADING },
        { "Used", "cpu_sec", FORM_TIME },
        { "In user mode", "cpu_user_sec", FORM_TIME },
        { "In the kernel", "cpu_system_sec", FORM_TIME },
        { "Throttled", "cpu_throttled_sec", FORM_TIME },
        { "CPU-time limit", "cpu_limit_sec", FORM_TIME },
        { "CPUs at most", "cpus", FORM_REAL },
        { "Processes", NULL, FORM_HEADING },
        { "Now", "pids", FORM_NUMBER },
        { "Peak", "pids_peak", FORM_NUMBER },
        { "Limit", "pids_limit", FORM_NUMBER },
        { "Limit hit", "pids_max_events", FORM_NUMBER },
        { "Stalls and I/O", NULL, FORM_HEADING },
        { "Memory, some", "psi_memory_some_sec", FORM_TIME },
        { "Memory, all", "psi_memory_full_sec", FORM_TIME },
        { "CPU, some", "psi_cpu_some_sec", FORM_TIME },
        { "I/O, some", "psi_io_some_sec", FORM_TIME },
        { "I/O, all", "psi_io_full_sec", FORM_TIME },
        { "Read", "io_read_bytes", FORM_BYTES },
        { "Written", "io_write_bytes", FORM_BYTES },
        { "How it is held", NULL, FORM_HEADING },
        { "Enforcement", "enforcement", FORM_TEXT },
        { "Containment", "containment", FORM_TEXT },
        { "Registered", "registered", FORM_YES },
        { "Not enforced", "not_enforced", FORM_LIST },
        { "Group", "group", FORM_TEXT },
        { "Kills recorded", "events", FORM_NUMBER },
};

/* "swap, pids"; NULL for an empty one. Caller frees. */
static char *list_text(const json_t *list) {
        const json_t *item;
        char *text = NULL;
        size_t size, i;
        FILE *stream;

        if (json_array_size(list) == 0)
                return NULL;
        stream = open_memstream(&text, &size);
        if (!stream)
                return NULL;
        json_array_foreach(list, i, item) {
                (void)fprintf(stream, "%s%s", i ? ", " : "", json_is_string(item) ? json_string_value(item) : "?");
        }
        (void)fclose(stream);
        return text;
}

/* The value as people read it; NULL when it is not known. Caller frees. */
static char *fact_text(const json_t *run, size_t i) {
        char buffer[FORMAT_MAX];
        const char *text = NULL, *key = facts[i].key;
        const json_t *value = json_object_get(run, key);
        char *made = NULL;

        switch (facts[i].form) {
        case FORM_TEXT:
                text = field_text(run, key);
                break;
        case FORM_BYTES:
                text = field_bytes(buffer, run, key, NULL);
                break;
        case FORM_TIME:
                text = field_duration(buffer, run, key, NULL);
                break;
        case FORM_WHEN:
                text = field_when(buffer, run, key, NULL);
                break;
        case FORM_NUMBER:
                return json_is_integer(value) &&
                                asprintf(&made, "%" JSON_INTEGER_FORMAT, json_integer_value(value)) >= 0
                        ? made
                        : NULL;
        case FORM_REAL:
                return json_is_number(value) && asprintf(&made, "%.2f", json_number_value(value)) >= 0 ? made : NULL;
        case FORM_LIST:
                return list_text(value);
        case FORM_YES:
                text = json_is_true(value) ? "yes" : NULL;
                break;
        case FORM_HEADING:
                break;
        }
        return text ? strdup(text) : NULL;
}

static void line_print(const Terminal *terminal, const char *title, const char *value) {
        (void)printf("  %-19s ", title);
        /* Values run over instead of being wrapped: they are there to be copied. */
        paragraph_print(stdout, &(Terminal){ .utf8 = terminal->utf8 }, 0, 0, value);
}

static void labels_print(const Terminal *terminal, const json_t *run) {
        json_t *labels = json_object_get(run, "labels"), *value;
        const char *key;

        json_object_foreach(labels, key, value) {
                _cleanup_(freep) char *text = NULL;

                if (asprintf(&text, "%s=%s", key, json_is_string(value) ? json_string_value(value) : "") < 0)
                        text = NULL;
                if (text)
                        line_print(terminal, "Label", text);
        }
}

static void user_print(const Terminal *terminal, const json_t *run) {
        _cleanup_(freep) char *user = run_user(run);

        if (user)
                line_print(terminal, "User", user);
}

static void show_print(const Terminal *terminal, const json_t *run) {
        const char *heading = NULL;

        for (size_t i = 0; i < ELEMENTSOF(facts); i++) {
                _cleanup_(freep) char *text = facts[i].key ? fact_text(run, i) : NULL;

                if (!facts[i].key)
                        heading = facts[i].title;
                if (text && heading) {
                        if (i > 1)
                                (void)putchar('\n');
                        tone_print(stdout, terminal, TONE_STRONG, heading);
                        (void)putchar('\n');
                        heading = NULL;
                }
                if (text)
                        line_print(terminal, facts[i].title, text);
                if (text && strcmp(facts[i].key, "analysis_id") == 0)
                        user_print(terminal, run);
        }
        labels_print(terminal, run);
}

int verb_show(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *answer = ask_run(options, options->arguments[0], true);
        const json_t *run = json_object_get(answer, "run");
        uint64_t limit = UINT64_MAX;

        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return json_print(answer) == 0 ? CTL_OK : CTL_NO_ANSWER;
        show_print(terminal, run);
        (void)field_u64(run, "memory_limit_bytes", &limit);
        timeline_print(stdout, terminal, json_object_get(run, "timeline"), limit);
        if (field_text(run, "verdict"))
                (void)printf("\nWhy it ended: scidexctl why %s\n", run_short_id(run));
        return CTL_OK;
}
