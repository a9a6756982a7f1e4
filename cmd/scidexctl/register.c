/*
 * `scidexctl register PID...` and `scidexctl unregister RUN`.
 *
 * Called by main.  The supervisor believes nothing of what is said about a process but its number; the command line is
 * read here, with the caller's rights, since reading another's memory may take as long as that other likes.
 */
#include "base/cleanup.h"
#include "base/parse.h"
#include "base/process.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/limits.h"
#include "control/message.h"
#include "status/field.h"

#define CMDLINE_MAX 4096 /* as the record keeps it */

/* Which process is meant: also by its start time, so that no later one of that number is taken. */
static int put_process(json_t *request, json_t *wanted, const char *word, json_t **ret_error) {
        _cleanup_(freep) char *cmdline = NULL;
        ProcessIdentity process;
        uint64_t pid;
        size_t length;

        if (parse_u64(word, &pid) < 0 || pid == 0 || pid > INT32_MAX) {
                *ret_error = answer_failed("usage", "for example scidexctl register 4711 --memory 4G --timeout 2h",
                        "'%s' is no process id", word);
                return -EINVAL;
        }
        if (json_object_set_new(request, "pid", json_from_u64(pid)) < 0)
                return -ENOMEM;
        if (process_identity((pid_t)pid, &process) < 0)
                return 0; /* the supervisor says what that means */
        if (process_cmdline((pid_t)pid, CMDLINE_MAX, &cmdline, &length) == 0 && *cmdline &&
                (json_object_set_new(wanted, "cmdline", json_from_text(cmdline)) < 0 ||
                        json_object_set_new(wanted, "cmdline_length", json_from_u64(length)) < 0))
                return -ENOMEM;
        return json_object_set_new(request, "start_ticks", json_from_u64(process.start_ticks));
}

/* NULL and *ret_error, which stays NULL on OOM. */
static json_t *register_request(const Options *options, const char *word, json_t **ret_error) {
        _cleanup_(json_decrefp) json_t *request = message_request("register"), *wanted = json_object();

        if (!request || !wanted || limits_put(options, wanted, ret_error) < 0 ||
                put_process(request, wanted, word, ret_error) < 0)
                return NULL;
        if ((options->analysis_id &&
                    json_object_set_new(wanted, "analysis_id", json_from_text(options->analysis_id)) < 0) ||
                (options->labels && json_object_set(wanted, "labels", options->labels) < 0) ||
                json_object_set(request, "request", wanted) < 0)
                return NULL;
        return TAKE_PTR(request);
}

static void registered_print(const json_t *answer) {
        const char *analysis = field_text(answer, "analysis_id");
        const json_t *limits = json_object_get(answer, "request"), *warning;
        _cleanup_(freep) char *safe = text_escape(analysis ? analysis : "Run");
        uint64_t n = 1, usec = UINT64_MAX, bytes = UINT64_MAX;
        char time[FORMAT_MAX], memory[FORMAT_MAX], when[FORMAT_MAX];
        size_t i;

        (void)field_u64(answer, "processes", &n);
        (void)json_get_u64(limits, "timeout_usec", &usec);
        (void)json_get_u64(limits, "memory_bytes", &bytes);
        (void)printf("%s %s%s%s: %ju %s under supervision from now on: memory limit %s (sampled), time limit %s%s%s.\n"
                     "Let go again: scidexctl unregister %s\n",
                safe ? safe : "Run", analysis ? "(run " : "", run_short_id(answer), analysis ? ")" : "", (uintmax_t)n,
                n == 1 ? "process" : "processes", format_bytes(memory, bytes), format_duration(time, usec),
                field_text(answer, "deadline_at") ? ", until " : "", field_when(when, answer, "deadline_at", ""),
                run_short_id(answer));
        json_array_foreach(json_object_get(answer, "warnings"), i, warning)(void)
                fprintf(stderr, "scidexctl: warning: %s\n", json_string_value(warning));
}

/* Its status; the answer, good or bad, is added to answers. */
static int register_one(const Options *options, const char *word, json_t *answers, json_t **ret_failure) {
        json_t *error = NULL, *answer = NULL;
        _cleanup_(json_decrefp) json_t *request = register_request(options, word, &error);

        answer = request ? ask(options, WHERE_LIVE, request) : error;
        if (answer_status(answer) != CTL_OK) {
                *ret_failure = answer;
                return answer_status(answer);
        }
        if (!options->json)
                registered_print(answer);
        (void)json_object_del(answer, "v");
        (void)json_object_del(answer, "re");
        return json_array_append_new(answers, answer) < 0 ? CTL_NO_ANSWER : CTL_OK;
}

int verb_register(const Options *options, const Terminal *terminal) {
        (void)terminal;
        return answer_each(options, "registered", register_one);
}

int verb_unregister(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = request_run("unregister", options->arguments[0]);
        _cleanup_(json_decrefp) json_t *answer = request ? ask(options, WHERE_LIVE, request) : NULL;
        const char *analysis = field_text(answer, "analysis_id");
        _cleanup_(freep) char *safe = text_escape(analysis ? analysis : "Run");

        (void)terminal;
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return json_print(answer) == 0 ? CTL_OK : CTL_NO_ANSWER;
        (void)printf("%s %s%s%s: let go; its processes run on, without limits of ours.\n", safe ? safe : "Run",
                analysis ? "(run " : "", run_short_id(answer), analysis ? ")" : "");
        if (json_is_true(json_object_get(answer, "in_place")))
                (void)puts("They may not be moved back to the cgroup they came from and stay in the one they have.");
        return CTL_OK;
}
