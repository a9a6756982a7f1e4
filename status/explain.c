/*
 * Why a run ended: story, evidence, timeline, advice and the processes, put together.
 *
 * Called by `why`.  The hard thing is which event belongs to the verdict: a run can have an event for what killed it
 * and one for its leftovers, and events of another reason than the run's verdict are leftovers' or earlier ones'.
 */
#include "status/explain.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <string.h>

#define PROCESSES_SHOWN 5
#define COMMAND_SHOWN   60

bool case_is_registered(const Case *c) {
        return json_is_true(json_object_get(c->run, "registered"));
}

bool case_u64(const Case *c, const char *key, uint64_t *ret) {
        return field_u64(c->event, key, ret) || field_u64(c->run, key, ret);
}

bool case_usec(const Case *c, const char *key, uint64_t *ret_usec) {
        return field_usec(c->event, key, ret_usec) || field_usec(c->run, key, ret_usec);
}

bool case_is_sampled(const Case *c) {
        const char *enforcement = field_text(c->event ? c->event : c->run, "enforcement");

        return enforcement && strcmp(enforcement, "sampled") == 0;
}

bool case_ignored_term(const Case *c) {
        return field_text(c->event, "term_at") && field_text(c->event, "kill_at");
}

/* CPU and time from the middle of the timeline to its end. */
static bool second_half(const json_t *timeline, double *ret_cpu, double *ret_span) {
        const json_t *cpu = json_object_get(timeline, "cpu_sec"), *t = json_object_get(timeline, "t_sec");
        size_t n = MIN_OF(json_array_size(cpu), json_array_size(t)), middle = n / 2;

        if (n < 4)
                return false;
        *ret_cpu = json_number_value(json_array_get(cpu, n - 1)) - json_number_value(json_array_get(cpu, middle));
        *ret_span = json_number_value(json_array_get(t, n - 1)) - json_number_value(json_array_get(t, middle));
        return *ret_cpu >= 0;
}

bool case_was_idle(const Case *c, uint64_t *ret_cpu_usec, uint64_t *ret_span_usec) {
        double cpu, span;

        if (!second_half(c->timeline, &cpu, &span) &&
                (!field_real(c->run, "cpu_sec", &cpu) || !field_real(c->run, "duration_sec", &span)))
                return false;
        if (!(cpu >= 0 && cpu <= 1e12 && span >= 0 && span <= 1e12)) /* seconds; more would not fit an integer */
                return false;
        *ret_cpu_usec = (uint64_t)(cpu * 1e6);
        *ret_span_usec = (uint64_t)(span * 1e6);
        return span >= 1 && cpu < span / 20;
}

bool case_is_shmem(const Case *c) {
        uint64_t shmem, limit;

        return case_u64(c, "shmem_bytes", &shmem) && case_u64(c, "memory_limit_bytes", &limit) && shmem > limit / 2;
}

bool case_cache_bytes(const Case *c, uint64_t *ret) {
        uint64_t file, shmem;

        if (!case_u64(c, "file_bytes", &file))
                return false;
        *ret = file - (case_u64(c, "shmem_bytes", &shmem) ? MIN_OF(shmem, file) : 0);
        return true;
}

static bool event_is_leftovers(const json_t *event) {
        const char *reason = field_text(event, "reason");

        return reason && strcmp(reason, "orphan") == 0;
}

/* The newest one of the kind; seq counts up within a run. */
static const json_t *event_newest(const json_t *events, bool leftovers) {
        const json_t *event, *newest = NULL;
        uint64_t seq, newest_seq = 0;
        size_t i;

        json_array_foreach(events, i, event) {
                if (!field_u64(event, "seq", &seq))
                        seq = 0;
                if (event_is_leftovers(event) == leftovers && (!newest || seq > newest_seq)) {
                        newest = event;
                        newest_seq = seq;
                }
        }
        return newest;
}

static const json_t *timeline_of(const Case *c) {
        const json_t *const holders[] = { c->event, c->leftovers, c->run };

        for (size_t i = 0; i < ELEMENTSOF(holders); i++)
                if (json_is_object(json_object_get(holders[i], "timeline")))
                        return json_object_get(holders[i], "timeline");
        return NULL;
}

static int case_init(Case *c, const json_t *run, const json_t *events) {
        const char *analysis = field_text(run, "analysis_id");
        const char *command = field_text(run, "cmdline");
        const char *detail = field_text(run, "detail");

        *c = (Case){
                .run = run,
                .event = event_newest(events, false),
                .leftovers = event_newest(events, true),
                .verdict = field_text(run, "verdict"),
                .detail = detail ? detail : "",
                .time = "an unknown time",
                .limit = "no limit",
        };
        (void)field_duration(c->time, run, "duration_sec", "");
        (void)field_bytes(c->limit, run, "memory_limit_bytes", "");
        if (analysis)
                c->name = text_printf("%s (run %s)", analysis, run_short_id(run));
        else if (command)
                c->name = text_printf("Run %s (%.*s%s)", run_short_id(run), COMMAND_SHOWN, command,
                        strlen(command) > COMMAND_SHOWN ? " ..." : "");
        else
                c->name = text_printf("Run %s", run_short_id(run));
        c->timeline = timeline_of(c);
        c->subject = shell_quote(analysis ? analysis : run_short_id(run));
        return c->name && c->subject ? 0 : -ENOMEM;
}

static void case_deinit(Case *c) {
        free(c->name);
        free(c->subject);
}

/* Lets write make sentences and prints them as a paragraph; nothing if there are none. */
static int paragraph_of(
        FILE *out, const Terminal *terminal, const char *title, void (*write)(FILE *p, const Case *c), const Case *c) {
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *p = open_memstream(&text, &size);

        if (!p)
                return -ENOMEM;
        write(p, c);
        if (fclose(p) != 0)
                return -ENOMEM;
        if (!*text)
                return 0;
        if (title)
                (void)fprintf(out, "\n%s\n  ", title);
        paragraph_print(out, terminal, title ? 2 : 0, title ? 2 : 0, text);
        return 0;
}

static int process_compare(const void *a, const void *b) {
        uint64_t left = 0, right = 0;

        (void)field_u64(*(const json_t *const *)a, "rss_bytes", &left);
        (void)field_u64(*(const json_t *const *)b, "rss_bytes", &right);
        return left < right ? 1 : left > right ? -1 : 0;
}

static void process_row(Table *table, const json_t *process) {
        char rss[FORMAT_MAX];
        uint64_t pid;

        if (field_u64(process, "pid", &pid))
                table_cell(table, TONE_PLAIN, "%ju", (uintmax_t)pid);
        else
                table_text(table, TONE_PLAIN, NULL);
        table_text(table, TONE_PLAIN, field_text(process, "comm"));
        table_text(table, TONE_PLAIN, field_bytes(rss, process, "rss_bytes", NULL));
}

static int processes_print(FILE *out, const Terminal *terminal, const Case *c) {
        static const Column columns[] = { { "PID", .right = true }, { "NAME" }, { "MEMORY", .right = true } };
        _cleanup_(table_deinit) Table table = TABLE_OF(columns);
        _cleanup_(freep) const json_t **sorted = NULL;
        const json_t *list = json_object_get(c->event, "processes");
        size_t n = json_array_size(list);
        uint64_t killed = n;

        if (n == 0)
                return 0;
        sorted = calloc(n, sizeof(json_t *));
        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                sorted[i] = json_array_get(list, i);
        qsort(sorted, n, sizeof(json_t *), process_compare);
        (void)field_u64(c->event, "processes_killed", &killed);
        (void)fprintf(out, "\nProcesses killed (%ju%s):\n", (uintmax_t)killed,
                n > PROCESSES_SHOWN ? ", the biggest first" : "");
        for (size_t i = 0; i < MIN_OF(n, (size_t)PROCESSES_SHOWN); i++)
                process_row(&table, sorted[i]);
        return table_print(out, terminal, &table);
}

int explain_print(FILE *out, const Terminal *terminal, const json_t *run, const json_t *events) {
        Case c __attribute__((cleanup(case_deinit)));
        uint64_t limit = UINT64_MAX;
        int r;

        r = case_init(&c, run, events);
        if (r < 0)
                return r;
        (void)case_u64(&c, "memory_limit_bytes", &limit);
        r = paragraph_of(out, terminal, NULL, story_write, &c);
        if (r == 0)
                r = paragraph_of(out, terminal, NULL, evidence_write, &c);
        timeline_print(out, terminal, c.timeline, limit);
        if (r == 0)
                r = paragraph_of(out, terminal, "What to do:", advice_write, &c);
        if (r == 0)
                r = paragraph_of(out, terminal, NULL, advice_write_command, &c);
        return r == 0 ? processes_print(out, terminal, &c) : r;
}
