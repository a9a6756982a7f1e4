/*
 * `scidexctl events`: one line per kill; with --follow the ones to come as well.
 *
 * Called by main.  The hard thing is to follow without losing one: an event comes into the database when its host
 * could send it, which may be long after the kill, and transactions become visible in another order than they began.
 * So what is new goes by the time of arrival, a minute of it is read again each time, and what was shown is left out.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/rows.h"
#include "control/message.h"
#include "status/field.h"
#include <poll.h>
#include <string.h>

#define FOLLOW_FIRST        10 /* rows shown before those that come */
#define FOLLOW_OVERLAP_USEC (60 * USEC_PER_SEC)
#define FOLLOW_BEFORE_USEC  (2 * USEC_PER_SEC) /* of the beginning, what was older then is not new */
#define FOLLOW_AGAIN_MSEC   5000
#define FOLLOW_WAIT_USEC    (5 * USEC_PER_SEC) /* a notification may be lost with its connection */

/* The first is left out where all are of one host. */
static const Column columns[] = {
        { "HOST" },
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

static void event_row(Table *table, const json_t *event, bool hosts) {
        char when[FORMAT_MAX], after[FORMAT_MAX];
        const char *reason = field_text(event, "reason");
        uint64_t killed;

        if (hosts)
                table_text(table, TONE_PLAIN, field_text(event, "host"));
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

int events_print(FILE *out, const Terminal *terminal, const json_t *events, bool hosts, size_t most) {
        _cleanup_(table_deinit)
                Table table = { .columns = columns + !hosts, .n_columns = ELEMENTSOF(columns) - !hosts };

        for (size_t i = 0; i < json_array_size(events) && i < most; i++)
                event_row(&table, json_array_get(events, i), hosts);
        return table_print(out, terminal, &table);
}

/* One that has come: a line of its own, since the width of those to come is not known. */
static void event_line(const Terminal *terminal, const json_t *event) {
        char when[FORMAT_MAX], after[FORMAT_MAX];
        const char *host = field_text(event, "host"), *analysis = field_text(event, "analysis_id");
        const char *reason = field_text(event, "reason"), *detail = field_text(event, "detail");
        _cleanup_(freep) char *line = text_printf("%s  %s  %s  %s  ", field_when(when, event, "decided_at", "?"),
                host ? host : "?", run_short_id(event), analysis ? analysis : "-");
        _cleanup_(freep) char *rest = text_printf("  after %s%s%s", field_duration(after, event, "duration_sec", "?"),
                detail ? "  " : "", detail ? detail : "");
        _cleanup_(freep) char *safe_line = line ? text_escape(line) : NULL,
                              *safe_rest = rest ? text_escape(rest) : NULL;
        _cleanup_(freep) char *safe_reason = text_escape(reason ? reason : "?");

        (void)fputs(safe_line ? safe_line : "", stdout);
        tone_print(stdout, terminal, reason_tone(reason), safe_reason ? safe_reason : "");
        (void)puts(safe_rest ? safe_rest : "");
}

/* A reader of the lines reads each by itself: one object a line. */
static void event_show(const Options *options, const Terminal *terminal, const json_t *event) {
        if (!options->json)
                event_line(terminal, event);
        else if (json_dumpf(event, stdout, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15)) == 0)
                (void)putchar('\n');
}

/* Shows the rows that were not there the last time, the oldest first; what was there is then those. */
static void show_new(const Options *options, const Terminal *terminal, const json_t *rows, json_t **seen) {
        json_t *now = json_object();

        for (size_t i = json_array_size(rows); i-- > 0;) {
                const json_t *event = json_array_get(rows, i);
                const char *id = field_text(event, "event_id");

                if (!id)
                        continue;
                (void)json_object_set_new(now, id, json_true());
                if (!json_object_get(*seen, id))
                        event_show(options, terminal, event);
        }
        json_decref(*seen);
        *seen = now;
        (void)fflush(stdout);
}

/* What has come since this time; with none the last few. */
static json_t *ask_arrived(const Source *source, const Options *options, uint64_t since_usec) {
        _cleanup_(json_decrefp) json_t *failure = NULL;
        _cleanup_(json_decrefp) json_t *request = request_filtered("events", options, &failure);
        char since[CLOCK_RFC3339_MAX];

        if (!request)
                return TAKE_PTR(failure);
        if (since_usec > 0) {
                (void)json_object_set_new(request, "limit", json_null());
                (void)json_object_set_new(
                        request, "arrived_since_at", json_string(clock_format_rfc3339(since, since_usec)));
        } else if (!options->limit)
                (void)json_object_set_new(request, "limit", json_integer(FOLLOW_FIRST));
        return json_object_set_new(request, "brief", json_true()) == 0 ? source_ask(source, request) : NULL;
}

typedef struct Following {
        Source source;
        bool is_open;
        json_t *seen;          /* owned; ids of the rows of the last answer */
        uint64_t begun, since; /* by the server's clock; 0 before the first answer */
} Following;

static void following_deinit(Following *f) {
        if (f->is_open)
                source_deinit(&f->source);
        json_decref(f->seen);
}

/* Listening begins before the first look, so that nothing falls between the two. NULL, or a failed answer. */
static json_t *follow_open(const Options *options, Following *f) {
        json_t *answer;

        if (f->is_open)
                return NULL;
        answer = ask_open_database(options, &f->source);
        if (answer)
                return answer;
        f->is_open = true;
        answer = rows_listen(&f->source, 0);
        if (answer_status(answer) != CTL_OK)
                return answer ? answer : answer_failed("failed", NULL, "out of memory");
        json_decref(answer);
        return NULL;
}

/* Shows what is new and waits for more. NULL, or a failed answer. */
static json_t *follow_once(const Options *options, const Terminal *terminal, Following *f) {
        json_t *answer = follow_open(options, f);
        uint64_t now = 0;

        if (answer)
                return answer;
        answer = ask_arrived(&f->source, options, f->since);
        if (answer_status(answer) != CTL_OK || !field_time(answer, "at", &now))
                return answer ? answer : answer_failed("failed", NULL, "out of memory");
        show_new(options, terminal, json_object_get(answer, "rows"), &f->seen);
        json_decref(answer);
        if (f->begun == 0)
                f->begun = now;
        f->since = MAX_OF(usec_sub(now, FOLLOW_OVERLAP_USEC), usec_sub(f->begun, FOLLOW_BEFORE_USEC));
        answer = rows_listen(&f->source, FOLLOW_WAIT_USEC);
        if (answer_status(answer) != CTL_OK)
                return answer ? answer : answer_failed("failed", NULL, "out of memory");
        json_decref(answer);
        return NULL;
}

/* Until it is ended. A database that has answered once and goes away is asked again: that is when kills are looked for.
 */
static int follow(const Options *options, const Terminal *terminal) {
        _cleanup_(following_deinit) Following f = { .source = SOURCE_NONE, .seen = json_object() };
        bool away = false;

        for (;;) {
                _cleanup_(json_decrefp) json_t *failure = follow_once(options, terminal, &f);

                if (ferror(stdout))
                        return CTL_NO_ANSWER;
                if (failure && (f.begun == 0 || answer_status(failure) != CTL_NO_ANSWER))
                        return answer_report_failure(options, failure);
                if (failure) {
                        if (!away)
                                (void)fprintf(stderr, "scidexctl: the database does not answer; asking again\n");
                        if (f.is_open)
                                source_deinit(&f.source);
                        f.is_open = false;
                        (void)poll(NULL, 0, FOLLOW_AGAIN_MSEC);
                }
                away = failure != NULL;
        }
}

int verb_events(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *answer = NULL;
        _cleanup_(json_decrefp) json_t *request = request_filtered("events", options, &answer);
        const json_t *rows;

        if (request && options->follow)
                return follow(options, terminal);
        if (request)
                answer = ask_anywhere(options, WHERE_RECORD, request);
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return rows_print_json("events", answer);
        rows = json_object_get(answer, "rows");
        if (json_array_size(rows) == 0) {
                (void)puts(options->all_hosts
                                ? "No such kill in the database."
                                : "No kill is recorded. Runs that ended by themselves: scidexctl history");
                return CTL_OK;
        }
        return events_print(stdout, terminal, rows, options->all_hosts, SIZE_MAX) == 0 ? CTL_OK : CTL_NO_ANSWER;
}
