/*
 * --timeout, --memory, --grace to members of a request.
 *
 * Called by `set` and `register`. Bad values are refused here, with the hint of the parser; whether they may be had
 * says the supervisor.
 */
#include "cmd/scidexctl/limits.h"

#include "base/cleanup.h"
#include "base/parse.h"

typedef int (*ParseFunc)(const char *text, uint64_t *ret_value, const char **ret_hint);

static int put_one(
        json_t *object, const char *option, const char *text, const char *key, ParseFunc parse, json_t **ret_error) {
        const char *hint = NULL;
        uint64_t value;

        if (!text)
                return 0;
        if (parse(text, &value, &hint) < 0) {
                *ret_error = answer_failed("usage", hint, "%s '%s' can't be read", option, text);
                return -EINVAL;
        }
        return json_object_set_new(object, key, json_from_u64(value)) < 0 ? -ENOMEM : 0;
}

int limits_put(const Options *options, json_t *object, json_t **ret_error) {
        int r = put_one(object, "--timeout", options->timeout, "timeout_usec", parse_time, ret_error);

        if (r == 0)
                r = put_one(object, "--memory", options->memory, "memory_bytes", parse_size, ret_error);
        if (r == 0)
                r = put_one(object, "--grace", options->grace, "grace_usec", parse_time, ret_error);
        return r;
}
