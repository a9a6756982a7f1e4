/*
 * Conditions, and what a selector selects.
 *
 * Called by read.c.  A prefix or suffix of a run id is looked for in all runs, which takes a while where there are
 * millions: it is what people copy from a screen, and the whole id is at hand for programs.
 */
#include "cmd/scidex-db/select.h"

#include "base/clock.h"
#include "base/file.h"
#include <string.h>

#define CANDIDATES_MAX 16
#define SELECTOR_MIN   4
#define UUID_LENGTH    36

void statement_deinit(Statement *s) {
        if (s->file)
                (void)fclose(s->file);
        free(s->text);
        json_decref(s->kept);
        *s = (Statement){ .text = NULL };
}

int statement_begin(Statement *s, const char *sql) {
        *s = (Statement){ .text = NULL };
        s->file = open_memstream(&s->text, &s->size);
        if (!s->file)
                return -ENOMEM;
        statement_add(s, sql);
        return 0;
}

void statement_add(Statement *s, const char *sql) {
        (void)fputs(sql, s->file);
}

static int add_condition(Statement *s, const char *condition, const char *value, const char *type) {
        if (s->n == STATEMENT_PARAMETERS_MAX)
                return -EINVAL;
        s->parameters[s->n++] = value;
        (void)fprintf(s->file, " AND %s $%zu%s", condition, s->n, type);
        return 0;
}

static int filter(Statement *s, const json_t *request, const char *key, const char *condition, const char *type) {
        const json_t *value = json_object_get(request, key);

        if (!value || json_is_null(value))
                return 0;
        return json_is_string(value) ? add_condition(s, condition, json_string_value(value), type) : -EINVAL;
}

int statement_filter(Statement *s, const json_t *request, const char *key, const char *condition) {
        return filter(s, request, key, condition, "");
}

int statement_filter_time(Statement *s, const json_t *request, const char *key, const char *condition) {
        const char *text = json_string_value(json_object_get(request, key));
        uint64_t usec;

        if (text && clock_parse_rfc3339(text, &usec) < 0)
                return -EINVAL;
        return filter(s, request, key, condition, "::timestamptz");
}

int statement_limit(Statement *s, const json_t *request, const char *usual) {
        const json_t *limit = json_object_get(request, "limit");

        if (!limit)
                (void)fprintf(s->file, " LIMIT %s", usual);
        else if (json_is_integer(limit) && json_integer_value(limit) >= 0)
                (void)fprintf(s->file, " LIMIT %" JSON_INTEGER_FORMAT, json_integer_value(limit));
        else if (!json_is_null(limit))
                return -EINVAL;
        return 0;
}

const char *statement_text(Statement *s) {
        FILE *file = TAKE_PTR(s->file);

        return file && fclose(file) == 0 ? s->text : NULL;
}

int statement_select(Statement *s, json_t *selection) {
        const char *run = json_string_value(json_object_get(selection, "run_id"));
        const char *analysis = json_string_value(json_object_get(selection, "analysis_id"));

        s->kept = json_incref(selection);
        return run ? add_condition(s, "r.run_id =", run, "::uuid") : add_condition(s, "r.analysis_ref =", analysis, "");
}

static bool looks_like_id(const char *text) {
        return strlen(text) >= SELECTOR_MIN && strspn(text, "0123456789abcdefABCDEF-") == strlen(text);
}

/* As people write them: four dashes at their places. */
static bool is_uuid(const char *text) {
        static const size_t dashes[] = { 8, 13, 18, 23 };
        size_t n = 0;

        if (strlen(text) != UUID_LENGTH || !looks_like_id(text))
                return false;
        for (size_t i = 0; i < ELEMENTSOF(dashes); i++)
                if (text[dashes[i]] != '-')
                        return false;
        for (const char *c = text; *c; c++)
                n += *c == '-';
        return n == ELEMENTSOF(dashes);
}

static int add_candidate(json_t *row, void *userdata) {
        return json_array_append_new(userdata, row) < 0 ? -ENOMEM : 0;
}

static int select_part(Remote *remote, const char *part, json_t **ret, RemoteError *ret_error) {
        static const char sql[] =
                "SELECT to_jsonb(run_id) FROM (SELECT run_id FROM watchdog_runs UNION SELECT run_id FROM"
                " watchdog_processes) all_runs WHERE run_id::text LIKE lower($1) || '%' OR run_id::text LIKE '%' ||"
                " lower($1) ORDER BY run_id DESC LIMIT $2";
        _cleanup_(json_decrefp) json_t *found = json_array();
        _cleanup_(freep) char *most = text_printf("%d", CANDIDATES_MAX);
        const char *const parameters[] = { part, most };
        int r = most && found ? remote_query(remote, sql, 2, parameters, add_candidate, found, ret_error) : -ENOMEM;

        if (r != 0)
                return r;
        if (json_array_size(found) > 1) {
                *ret = TAKE_PTR(found);
                return SELECT_E_AMBIGUOUS;
        }
        if (json_array_size(found) == 0)
                return SELECT_E_NOT_FOUND;
        *ret = json_pack("{s:O}", "run_id", json_array_get(found, 0));
        return *ret ? 0 : -ENOMEM;
}

int select_run(Remote *remote, const char *selector, json_t **ret, RemoteError *ret_error) {
        const char *const parameters[] = { selector };
        _cleanup_(json_decrefp) json_t *known = NULL;
        int r;

        if (is_uuid(selector)) {
                *ret = json_pack("{s:s}", "run_id", selector);
                return *ret ? 0 : -ENOMEM;
        }
        r = remote_value(remote,
                "SELECT to_jsonb(true) WHERE EXISTS (SELECT FROM watchdog_events WHERE analysis_ref = $1) OR EXISTS"
                " (SELECT FROM watchdog_runs WHERE analysis_ref = $1)",
                1, parameters, &known, ret_error);
        if (r != 0)
                return r;
        if (known) {
                *ret = json_pack("{s:s}", "analysis_id", selector);
                return *ret ? 0 : -ENOMEM;
        }
        return looks_like_id(selector) ? select_part(remote, selector, ret, ret_error) : SELECT_E_NOT_FOUND;
}
