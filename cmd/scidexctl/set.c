/*
 * `scidexctl set RUN`: other limits for a run that lives.
 *
 * Called by main.  The answer tells what each limit is and was, since the caller may have been mistaken about either.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/limits.h"
#include "status/field.h"
#include <string.h>

/* "memory limit 4.0 GiB (was 2.0 GiB)"; NULL when that limit was not asked for. Caller frees. */
static char *change_text(const json_t *answer, const json_t *request, const char *key, const char *name, bool is_size) {
        char now[FORMAT_MAX], before[FORMAT_MAX];
        const json_t *is = json_object_get(answer, "request"), *was = json_object_get(answer, "was");
        uint64_t value = UINT64_MAX, old = UINT64_MAX;
        char *text = NULL;

        if (!json_object_get(request, key))
                return NULL;
        (void)json_get_u64(is, key, &value);
        (void)json_get_u64(was, key, &old);
        if (is_size) {
                (void)format_bytes(now, value);
                (void)format_bytes(before, old);
        } else {
                (void)format_duration(now, value);
                (void)format_duration(before, old);
        }
        if (asprintf(&text, "%s %s (%s%s)", name, now, value == old ? "as before" : "was ",
                    value == old ? "" : before) < 0)
                return NULL;
        return text;
}

static void change_print(const json_t *answer, const json_t *request) {
        _cleanup_(freep) char *time = change_text(answer, request, "timeout_usec", "time limit", false);
        _cleanup_(freep) char *memory = change_text(answer, request, "memory_bytes", "memory limit", true);
        _cleanup_(freep) char *grace = change_text(answer, request, "grace_usec", "grace", false);
        const char *analysis = field_text(answer, "analysis_id");
        _cleanup_(freep) char *safe = text_escape(analysis ? analysis : "Run");
        char clock[FORMAT_MAX];

        (void)printf("%s %s%s%s: %s%s%s%s%s.\n", safe ? safe : "Run", analysis ? "(run " : "", run_short_id(answer),
                analysis ? ")" : "", time ? time : "", time && memory ? ", " : "", memory ? memory : "",
                (time || memory) && grace ? ", " : "", grace ? grace : "");
        if (json_is_true(json_object_get(answer, "ends_now")))
                (void)printf("That time is over already: the run is being ended now. How it ends: scidexctl why %s\n",
                        run_short_id(answer));
        else if (time && field_text(answer, "deadline_at"))
                (void)printf("It may run until %s.\n", field_when(clock, answer, "deadline_at", "?"));
        if (json_is_true(json_object_get(answer, "reclaiming")))
                (void)puts("It holds more than that: the kernel takes back what it can, and ends it if that is not "
                           "enough.");
}

int verb_set(const Options *options, const Terminal *terminal) {
        _cleanup_(json_decrefp) json_t *request = request_run("set", options->arguments[0]);
        _cleanup_(json_decrefp) json_t *answer = NULL, *error = NULL;

        (void)terminal;
        if (!request)
                return answer_report_failure(options, NULL);
        if (limits_put(options, request, &error) < 0)
                return answer_report_failure(options, error);
        if (json_object_size(request) <= 3) { /* v, op, run */
                error = answer_failed("usage", "for example scidexctl set RUN --timeout 2h --memory 4G",
                        "'set' needs a limit: --timeout, --memory or --grace");
                return answer_report_failure(options, error);
        }
        answer = ask(options, WHERE_LIVE, request);
        if (answer_status(answer) != CTL_OK)
                return answer_report_failure(options, answer);
        if (options->json)
                return json_print(answer) == 0 ? CTL_OK : CTL_NO_ANSWER;
        change_print(answer, request);
        return CTL_OK;
}
