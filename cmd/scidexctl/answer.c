/*
 * Answers: what every verb gets, and how a failure is said.
 *
 * Called by all verbs.  A failure has one form wherever it comes from (the command line, the socket, the supervisor,
 * the recorder): the protocol's error object.  So --json stays JSON on failure, and the exit status follows from `code`
 * in one table.
 */
#include "base/cleanup.h"
#include "base/parse.h"
#include "cmd/scidexctl/ctl.h"
#include <stdarg.h>
#include <string.h>

/* A code that is not here is a failure of the other side: CTL_NO_ANSWER. */
static const struct {
        const char *code;
        CtlStatus status;
} statuses[] = {
        { "usage", CTL_USAGE },
        { "bad-request", CTL_USAGE },
        { "not-found", CTL_ABSENT },
        { "ambiguous", CTL_ABSENT },
        { "gone", CTL_ABSENT },
        { "denied", CTL_DENIED },
        { "busy", CTL_DENIED },
        { "unsupported", CTL_DENIED },
};

json_t *answer_failed(const char *code, const char *hint, const char *format, ...) {
        _cleanup_(json_decrefp) json_t *answer = json_object();
        _cleanup_(freep) char *message = NULL;
        json_t *error = json_object();
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&message, format, arguments);
        va_end(arguments);
        if (n < 0)
                message = NULL;
        if (json_object_set_new(answer, "ok", json_false()) < 0 || json_object_set_new(answer, "error", error) < 0 ||
                json_object_set_new(error, "code", json_string(code)) < 0 ||
                json_object_set_new(error, "message", json_from_text(message)) < 0)
                return NULL;
        if (hint && json_object_set_new(error, "hint", json_from_text(hint)) < 0)
                return NULL;
        return TAKE_PTR(answer);
}

int answer_status(const json_t *answer) {
        const char *code = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));

        if (json_is_true(json_object_get(answer, "ok")))
                return CTL_OK;
        for (size_t i = 0; code && i < ELEMENTSOF(statuses); i++)
                if (strcmp(statuses[i].code, code) == 0)
                        return statuses[i].status;
        return CTL_NO_ANSWER;
}

int json_print(const json_t *value) {
        if (json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15)) < 0)
                return -EIO;
        (void)fputc('\n', stdout);
        return 0;
}

int rows_print_json(const char *name, const json_t *answer) {
        _cleanup_(json_decrefp) json_t *result = json_object();

        if (json_object_set_new(result, "ok", json_true()) < 0 ||
                json_object_set(result, name, json_object_get(answer, "rows")) < 0 || json_print(result) < 0)
                return CTL_NO_ANSWER;
        return CTL_OK;
}

static void error_line(const json_t *error, const char *key, const char *before, const char *after) {
        const char *text = json_string_value(json_object_get(error, key));
        _cleanup_(freep) char *safe = text ? text_escape(text) : NULL;

        if (safe)
                (void)fprintf(stderr, "%s%s%s", before, safe, after);
}

static void candidates_print(const json_t *error) {
        const json_t *candidate;
        size_t i;

        json_array_foreach(json_object_get(error, "candidates"), i, candidate) {
                const char *text = json_string_value(candidate);
                _cleanup_(freep) char *safe = text ? text_escape(text) : NULL;

                if (safe)
                        (void)fprintf(stderr, "%s  %s\n", i == 0 ? "Candidates:\n" : "", safe);
        }
}

static void error_print(const json_t *error) {
        error_line(error, "message", "scidexctl: ", "");
        error_line(error, "detail", " (", ")");
        (void)fputc('\n', stderr);
        error_line(error, "hint", "Hint: ", "\n");
        candidates_print(error);
}

int answer_report_failure(const Options *options, const json_t *answer) {
        const json_t *error = json_object_get(answer, "error");

        if (options->json)
                (void)json_print(answer);
        else if (error)
                error_print(error);
        else
                (void)fprintf(stderr, "scidexctl: out of memory\n");
        return answer_status(answer);
}

int answer_each(const Options *options, const char *name, AnswerOneFunc one) {
        _cleanup_(json_decrefp) json_t *answers = json_array(), *result = json_object(), *first = NULL;
        int status = CTL_OK;

        for (size_t i = 0; i < options->n_arguments; i++) {
                _cleanup_(json_decrefp) json_t *failure = NULL;
                int r = one(options, options->arguments[i], answers, &failure);

                status = MAX_OF(status, r);
                if (r != CTL_OK && !options->json)
                        (void)answer_report_failure(options, failure);
                else if (r != CTL_OK && !first)
                        first = TAKE_PTR(failure);
        }
        if (!options->json)
                return status;
        if (json_object_set_new(result, "ok", json_boolean(status == CTL_OK)) < 0 ||
                json_object_set(result, name, answers) < 0 ||
                (status != CTL_OK && json_object_set(result, "error", json_object_get(first, "error")) < 0))
                return answer_report_failure(options, NULL);
        return json_print(result) == 0 ? status : CTL_NO_ANSWER;
}
