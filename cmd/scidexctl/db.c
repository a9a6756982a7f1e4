/*
 * `scidexctl db …`: the database of all hosts, as its administrator sees it.
 *
 * Called by main.  What concerns the database is asked of scidex-db, which connects as whoever calls: the server's
 * roles say who may.  `dead` and `retry` are about rows of this host that the server has refused; those lie in this
 * host's record, and the recorder answers for them.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/scidexctl/rows.h"
#include "control/message.h"
#include "status/field.h"
#include <string.h>

static json_t *ask_for(const Options *options, const json_t *request) {
        _cleanup_(source_deinit) Source source = SOURCE_NONE;
        json_t *answer = ask_open_database(options, &source);

        source.answer_msec = -1; /* a table may be large, a lock be held: it ends with the answer, or by Ctrl-C */
        return answer ? answer : source_ask(&source, request);
}

static int line(const Terminal *terminal, const char *title, char *text) {
        unsigned width = (unsigned)printf("%-11s", title);

        if (!text)
                return CTL_NO_ANSWER;
        paragraph_print(stdout, terminal, width, width, text);
        free(text);
        return CTL_OK;
}

/* A state that says all by itself stands alone. */
static void state_lines(const Terminal *terminal, const char *title, const json_t *object, const char *state) {
        const char *detail = field_text(object, "detail"), *hint = field_text(object, "hint");

        (void)line(terminal, title, text_printf("%s%s%s", state, detail ? ": " : "", detail ? detail : ""));
        if (hint)
                (void)line(terminal, "", text_printf("Remedy: %s", hint));
}

static void link_line(const Terminal *terminal, const json_t *link) {
        const char *state = field_text(link, "state"), *table = field_text(link, "table");

        if (!state)
                return;
        if (strcmp(state, "linked") == 0)
                (void)line(terminal, "Analyses", text_printf("analysis_id refers to %s", table ? table : "?"));
        else if (strcmp(state, "absent") == 0)
                (void)line(terminal, "Analyses",
                        strdup("there is no table analyses; once there is, scidexctl db migrate refers to it"));
        else
                state_lines(terminal, "Analyses", link, "not linked");
}

/* What keeps a recorder from working as it could, though it works. */
static void warning_lines(const Terminal *terminal, const json_t *database) {
        static const struct {
                const char *member;
                bool bad;
                const char *text;
        } warnings[] = {
                { "fsync", false, "fsync is off: a power cut may lose or damage what was acknowledged" },
                { "full_page_writes", false, "full_page_writes is off: a power cut may damage pages" },
                { "everyone_may_create", true,
                        "everyone may make tables and functions in this schema; REVOKE CREATE ON SCHEMA … FROM "
                        "PUBLIC" },
                { "standby", true, "this server is a standby: nothing can be written here" },
        };
        const char *encoding = field_text(database, "encoding");

        for (size_t i = 0; i < ELEMENTSOF(warnings); i++) {
                const json_t *value = json_object_get(database, warnings[i].member);

                if (json_is_boolean(value) && json_is_true(value) == warnings[i].bad)
                        (void)line(terminal, "Warning", strdup(warnings[i].text));
        }
        if (encoding && strcmp(encoding, "UTF8") != 0)
                (void)line(terminal, "Warning",
                        text_printf("the encoding is %s: rows with letters that it lacks are refused", encoding));
}

static void partitions_line(const Terminal *terminal, const json_t *partitions) {
        char from[FORMAT_MAX], until[FORMAT_MAX], size[FORMAT_MAX];
        uint64_t count = 0;

        if (!field_u64(partitions, "count", &count))
                return;
        (void)line(terminal, "Events",
                text_printf("%ju months, %.10s to %.10s, %s", (uintmax_t)count,
                        field_when(from, partitions, "from_at", "?"), field_when(until, partitions, "until_at", "?"),
                        field_bytes(size, partitions, "bytes", "?")));
}

static void status_print(const Terminal *terminal, const json_t *database) {
        const char *user = field_text(database, "user"), *name = field_text(database, "database");
        const char *server = field_text(database, "server_version"), *schema = field_text(database, "schema");
        const char *state = field_text(database, "state");
        json_t *hosts = json_object_get(database, "hosts");
        char size[FORMAT_MAX];
        uint64_t version = 0;

        (void)line(terminal, "Database",
                text_printf("%s, schema %s, as %s; PostgreSQL %s; %s", name ? name : "?", schema ? schema : "none",
                        user ? user : "?", server ? server : "?", field_bytes(size, database, "size_bytes", "?")));
        state_lines(terminal, "State", database, state ? state : "?");
        if (field_u64(database, "version", &version))
                (void)line(terminal, "Version", text_printf("%ju", (uintmax_t)version));
        partitions_line(terminal, json_object_get(database, "partitions"));
        link_line(terminal, json_object_get(database, "analyses"));
        warning_lines(terminal, database);
        if (json_array_size(hosts) > 0) {
                (void)putchar('\n');
                (void)hosts_print(stdout, terminal, hosts, SIZE_MAX);
        } else if (hosts)
                (void)line(terminal, "Hosts", strdup("none has reported yet"));
}

static int db_status(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = message_request("status");
        _cleanup_(json_decrefp) json_t *answer = request ? ask_for(options, request) : NULL;
        const json_t *database = json_object_get(answer, "database");
        const char *state = field_text(database, "state");

        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (!options->json)
                status_print(terminal, database);
        else if (json_print(answer) < 0)
                return CTL_NO_ANSWER;
        return state && strcmp(state, "ok") == 0 ? CTL_OK : CTL_ABSENT;
}

static void migrate_print(const Terminal *terminal, const json_t *answer) {
        const json_t *applied = json_object_get(answer, "applied"), *step, *role;
        const char *schema = field_text(answer, "schema"), *name;
        uint64_t version = 0;
        size_t i;

        (void)field_u64(answer, "version", &version);
        json_array_foreach((json_t *)applied, i, step)(void)
                line(terminal, "Applied", text_printf("%s", json_string_value(step)));
        (void)line(terminal, "Version",
                text_printf("%ju, schema %s%s", (uintmax_t)version, schema ? schema : "?",
                        json_array_size(applied) == 0 ? "; nothing was to be done" : ""));
        json_object_foreach(json_object_get(answer, "roles"), name, role) {
                const char *state = json_string_value(role);

                if (state && strcmp(state, "ok") != 0)
                        (void)line(terminal, "Role", text_printf("%s: %s", name, state));
        }
        link_line(terminal, json_object_get(answer, "analyses"));
}

static int db_migrate(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = message_request("migrate");
        _cleanup_(json_decrefp) json_t *answer = request ? ask_for(options, request) : NULL;

        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return json_print(answer) == 0 ? CTL_OK : CTL_NO_ANSWER;
        migrate_print(terminal, answer);
        return CTL_OK;
}

static int db_forget(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = message_request("forget"), *answer = NULL;
        const char *host = options->arguments[1];
        uint64_t closed = 0;

        if (!request || json_object_set_new(request, "host", json_from_text(host)) < 0)
                return answer_report_failure(options, NULL);
        answer = ask_for(options, request);
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return json_print(answer) == 0 ? CTL_OK : CTL_NO_ANSWER;
        (void)field_u64(answer, "closed", &closed);
        return line(terminal, "Forgotten",
                text_printf("%s; %ju of its runs closed as lost. If it reports again, it is known again.", host,
                        (uintmax_t)closed));
}

static int db_retain(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = message_request("retain"), *answer = NULL;
        uint64_t keep = 0, partitions = 0, runs = 0;
        const char *hint = NULL;

        if (parse_time(options->arguments[1], &keep, &hint) < 0 || keep < 1000000 || keep == UINT64_MAX) {
                answer = answer_failed("usage", "for example scidexctl db retain 400d", "'%s' is no time that is kept",
                        options->arguments[1]);
                return answer_report_failure(options, answer);
        }
        if (!request || json_object_set_new(request, "keep_sec", json_from_u64(keep / 1000000)) < 0)
                return answer_report_failure(options, NULL);
        answer = ask_for(options, request);
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return json_print(answer) == 0 ? CTL_OK : CTL_NO_ANSWER;
        (void)field_u64(answer, "partitions", &partitions);
        (void)field_u64(answer, "runs", &runs);
        return line(terminal, "Deleted",
                text_printf("%ju months of events, %ju runs", (uintmax_t)partitions, (uintmax_t)runs));
}

static const Column dead_columns[] = {
        { "ID", .right = true },
        { "SINCE" },
        { "KIND" },
        { "KEY" },
        { "SQLSTATE", .rank = 1 },
        { "WHAT THE SERVER SAID", .shrink = 30 },
};

static int dead_print(const Terminal *terminal, const json_t *rows) {
        _cleanup_(table_deinit) Table table = TABLE_OF(dead_columns);
        const json_t *row;
        size_t i;

        if (json_array_size(rows) == 0) {
                (void)puts("The server has refused no row of this host.");
                return 0;
        }
        json_array_foreach((json_t *)rows, i, row) {
                char when[FORMAT_MAX];
                uint64_t id = 0;

                (void)field_u64(row, "id", &id);
                table_cell(&table, TONE_PLAIN, "%ju", (uintmax_t)id);
                table_text(&table, TONE_PLAIN, field_when(when, row, "failed_at", NULL));
                table_text(&table, TONE_PLAIN, field_text(row, "kind"));
                table_text(&table, TONE_STRONG, field_text(row, "key"));
                table_text(&table, TONE_PLAIN, field_text(row, "sqlstate"));
                table_text(&table, TONE_BAD, field_text(row, "message"));
        }
        return table_print(stdout, terminal, &table);
}

static int db_dead(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = message_request("dead");
        _cleanup_(json_decrefp) json_t *answer = request ? ask(options, WHERE_RECORD, request) : NULL;

        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return rows_print_json("dead_letters", answer);
        return dead_print(terminal, json_object_get(answer, "rows")) == 0 ? CTL_OK : CTL_NO_ANSWER;
}

/* All of them, or the one that is named. */
static int db_retry(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = message_request("retry"), *answer = NULL;
        uint64_t id = 0, count = 0;

        if (options->n_arguments > 1 && parse_u64(options->arguments[1], &id) < 0) {
                answer = answer_failed(
                        "usage", "scidexctl db dead lists the ids", "'%s' is no id of a row", options->arguments[1]);
                return answer_report_failure(options, answer);
        }
        if (options->n_arguments > 1 && json_object_set_new(request, "id", json_from_u64(id)) < 0)
                return answer_report_failure(options, NULL);
        answer = request ? ask(options, WHERE_RECORD, request) : NULL;
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return json_print(answer) == 0 ? CTL_OK : CTL_NO_ANSWER;
        (void)field_u64(answer, "count", &count);
        return line(terminal, "Retrying",
                text_printf("%ju row%s on the way again; what is refused once more: scidexctl db dead",
                        (uintmax_t)count, count == 1 ? " is" : "s are"));
}

static const struct {
        const char *name;
        size_t least, most; /* arguments beside the name */
        int (*run)(const Options *options, const Terminal *terminal);
} parts[] = {
        { "migrate", 0, 0, db_migrate },
        { "status", 0, 0, db_status },
        { "forget", 1, 1, db_forget },
        { "retain", 1, 1, db_retain },
        { "dead", 0, 0, db_dead },
        { "retry", 0, 1, db_retry },
};

int verb_db(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *error = NULL;
        const char *word = options->n_arguments > 0 ? options->arguments[0] : NULL;

        for (size_t i = 0; word && i < ELEMENTSOF(parts); i++)
                if (strcmp(parts[i].name, word) == 0 && options->n_arguments > parts[i].least &&
                        options->n_arguments <= parts[i].most + 1)
                        return parts[i].run(options, terminal);
        error = answer_failed("usage", "scidexctl db migrate, status, forget HOST, retain TIME, dead or retry [ID]",
                "'db%s%s%s' is none of these, or has too few or too many words", word ? " " : "", word ? word : "",
                options->n_arguments > 1 ? " …" : "");
        return answer_report_failure(options, error);
}
