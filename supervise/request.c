/*
 * RunRequest: defaults, checks, JSON both ways.
 *
 * Called by the launcher (from options), the supervisor (from a packet) and adoption (from a group's xattr).  The hard
 * thing is that none of the three may trust the one before it: the checks run in all of them, and one table of the
 * numeric members drives both directions of the JSON, so that a member can't be written and not read.
 */
#include "supervise/request.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include <assert.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

#define REQUEST_CMDLINE_ESCAPED_MAX (4 * REQUEST_CMDLINE_MAX) /* bytes that are not UTF-8 travel as \xNN */

#define MEMORY_MIN_BYTES 4096    /* the kernel counts in pages; less is 0 */
#define PIDS_MAX         4194304 /* PID_MAX_LIMIT: more than that is no limit, and pids.max answers EINVAL */
#define CPU_CENTI_MAX    1000000 /* 10,000 CPUs (the kernel's NR_CPUS ends at 8,192): cpu.max answers EINVAL far above */

static const struct {
        const char *key;
        size_t offset;
} numbers[] = {
        { "memory_bytes", offsetof(RunRequest, memory_bytes) },
        { "memory_high_bytes", offsetof(RunRequest, memory_high_bytes) },
        { "swap_bytes", offsetof(RunRequest, swap_bytes) },
        { "timeout_usec", offsetof(RunRequest, timeout_usec) },
        { "cpu_time_usec", offsetof(RunRequest, cpu_time_usec) },
        { "grace_usec", offsetof(RunRequest, grace_usec) },
        { "thrash_usec", offsetof(RunRequest, thrash_usec) },
        { "warn_before_usec", offsetof(RunRequest, warn_before_usec) },
        { "pids", offsetof(RunRequest, pids) },
        { "cpu_centi", offsetof(RunRequest, cpu_centi) },
};

static const struct {
        const char *key;
        size_t offset;
} signals[] = {
        { "term_signal", offsetof(RunRequest, term_signal) },
        { "warn_signal", offsetof(RunRequest, warn_signal) },
};

static_assert(1U << ELEMENTSOF(numbers) == REQUEST_TERM_SIGNAL, "the bits of `given` are in the order of the tables");
static_assert((1U << (ELEMENTSOF(numbers) + ELEMENTSOF(signals))) - 1 == REQUEST_ALL, "every member has a bit");

static uint64_t *number_of(RunRequest *request, size_t i) {
        return (uint64_t *)(void *)((char *)request + numbers[i].offset);
}

static int *signal_of(RunRequest *request, size_t i) {
        return (int *)(void *)((char *)request + signals[i].offset);
}

static bool all_given(const RunRequest *r, unsigned members) {
        return (r->given & members) == members;
}

void request_init(RunRequest *request) {
        *request = (RunRequest){
                .memory_bytes = UINT64_C(2) << 30,
                .memory_high_bytes = SIZE_INFINITY,
                .timeout_usec = 30 * 60 * USEC_PER_SEC,
                .cpu_time_usec = USEC_INFINITY,
                .grace_usec = 10 * USEC_PER_SEC,
                .thrash_usec = 60 * USEC_PER_SEC,
                .pids = 4096,
                .cpu_centi = UINT64_MAX,
                .term_signal = SIGTERM,
                .warn_signal = SIGUSR1,
        };
}

void request_deinit(RunRequest *request) {
        free(request->analysis_id);
        free(request->cmdline);
        json_decref(request->labels);
        *request = (RunRequest){ 0 };
}

void request_error_deinit(RequestError *error) {
        free(error->message);
        free(error->hint);
        *error = (RequestError){ 0 };
}

int request_set_command(RunRequest *request, char *const *argv) {
        _cleanup_(freep) char *joined = NULL;
        size_t length = 0, at = 0;

        for (char *const *a = argv; *a; a++)
                length += strlen(*a) + 1;
        joined = malloc(length + 1);
        if (!joined)
                return -ENOMEM;
        for (char *const *a = argv; *a; a++) {
                memcpy(joined + at, *a, strlen(*a));
                at += strlen(*a);
                joined[at++] = ' ';
        }
        joined[at ? at - 1 : 0] = '\0';
        request->cmdline_length = strlen(joined);
        if (request->cmdline_length > REQUEST_CMDLINE_MAX) {
                at = REQUEST_CMDLINE_MAX; /* not in the middle of a UTF-8 character, of at most 4 bytes */
                for (int i = 0; i < 3 && at < length && ((unsigned char)joined[at] & 0xc0) == 0x80; i++)
                        at--;
                joined[at] = '\0';
        }
        free(request->cmdline);
        request->cmdline = TAKE_PTR(joined);
        return 0;
}

static int refuse(RequestError *error, const char *option, const char *hint, char *message) {
        *error = (RequestError){ .option = option, .message = message, .hint = strdup(hint) };
        return message ? -EINVAL : -ENOMEM;
}

static int validate_labels(const json_t *labels, RequestError *error) {
        const char *key;
        json_t *value;

        if (labels && json_object_size(labels) > REQUEST_LABELS_MAX)
                return refuse(error, "label", "Give fewer.", text_printf("more than %d labels", REQUEST_LABELS_MAX));
        json_object_foreach((json_t *)labels, key, value) {
                if (*key == '\0' || strlen(key) > REQUEST_LABEL_MAX)
                        return refuse(error, "label", "Write --label KEY=VALUE with a KEY of 1 to 255 bytes.",
                                text_printf("label key \"%.40s\" is empty or too long", key));
                if (!json_is_string(value) || json_string_length(value) > REQUEST_LABEL_MAX)
                        return refuse(error, "label", "A label's value is a text of at most 255 bytes.",
                                text_printf("value of label \"%s\" is too long or no text", key));
        }
        return 0;
}

static int validate_times(const RunRequest *r, RequestError *error) {
        if (r->timeout_usec == 0)
                return refuse(error, "timeout", "Write e.g. --timeout 30min, or --timeout infinity for none.",
                        text_printf("timeout 0 would end the run before it starts"));
        if (r->cpu_time_usec == 0)
                return refuse(error, "cpu-time", "Write e.g. --cpu-time 2h, or leave it out for none.",
                        text_printf("CPU-time limit 0 would end the run before it starts"));
        if (r->grace_usec > REQUEST_GRACE_MAX_USEC)
                return refuse(error, "grace", "Write e.g. --grace 10s.",
                        text_printf("grace is above 24h: a run that ignores TERM would live on for that long"));
        if (r->thrash_usec < 2 * USEC_PER_SEC)
                return refuse(error, "thrash", "Write e.g. --thrash 60s, or --thrash infinity to switch it off.",
                        text_printf("thrash time is below 2s, the shortest window that the kernel measures"));
        if (all_given(r, REQUEST_WARN_BEFORE | REQUEST_TIMEOUT) && r->warn_before_usec != 0 &&
                r->warn_before_usec >= r->timeout_usec)
                return refuse(error, "warn-before", "Make --warn-before shorter than --timeout.",
                        text_printf("the warning would come before the start"));
        return 0;
}

int request_validate(const RunRequest *r, RequestError *error) {
        int result;

        if (r->analysis_id && (*r->analysis_id == '\0' || strlen(r->analysis_id) > REQUEST_ANALYSIS_ID_MAX))
                return refuse(error, "analysis-id", "Give 1 to 255 bytes, or leave --analysis-id out.",
                        text_printf("analysis id of %zu bytes", strlen(r->analysis_id)));
        if (r->memory_bytes < MEMORY_MIN_BYTES)
                return refuse(error, "memory", "Write e.g. --memory 2G, or --memory infinity for none.",
                        text_printf("memory limit is below one page (4096 bytes)"));
        if (all_given(r, REQUEST_MEMORY_HIGH | REQUEST_MEMORY) && r->memory_high_bytes != SIZE_INFINITY &&
                r->memory_high_bytes > r->memory_bytes)
                return refuse(error, "memory-high", "Make --memory-high smaller than --memory.",
                        text_printf("memory-high is above the memory limit and would never act"));
        if (r->pids == 0)
                return refuse(error, "pids", "Write e.g. --pids 4096.",
                        text_printf("a limit of 0 processes allows no command"));
        if (r->cpu_centi == 0)
                return refuse(error, "cpus", "Write e.g. --cpus 1.5.", text_printf("0 CPUs allow no command to run"));
        if (r->term_signal < 1 || r->term_signal > SIGRTMAX || r->term_signal == SIGSTOP || r->term_signal == SIGTSTP ||
                r->term_signal == SIGCONT)
                return refuse(error, "term-signal", "Write a signal that ends programs, e.g. --term-signal INT.",
                        text_printf("signal %d can't be used to end a run", r->term_signal));
        if (r->warn_signal < 1 || r->warn_signal > SIGRTMAX)
                return refuse(error, "warn-signal", "Write e.g. --warn-signal USR1.",
                        text_printf("%d is no signal", r->warn_signal));
        result = validate_times(r, error);
        return result < 0 ? result : validate_labels(r->labels, error);
}

static int limits_to_json(const RunRequest *r, unsigned members, json_t *object) {
        for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
                if ((members & 1U << i) &&
                        json_object_set_new(object, numbers[i].key, json_from_u64(*number_of((RunRequest *)r, i))) < 0)
                        return -ENOMEM;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                if ((members & 1U << (ELEMENTSOF(numbers) + i)) &&
                        json_object_set_new(object, signals[i].key, json_integer(*signal_of((RunRequest *)r, i))) < 0)
                        return -ENOMEM;
        return 0;
}

static json_t *to_json(const RunRequest *r, unsigned members) {
        _cleanup_(json_decrefp) json_t *object = json_object();

        if (!object || limits_to_json(r, members, object) < 0)
                return NULL;
        if (r->analysis_id && json_object_set_new(object, "analysis_id", json_from_text(r->analysis_id)) < 0)
                return NULL;
        if (r->labels && json_object_set(object, "labels", r->labels) < 0)
                return NULL;
        if (json_object_set_new(object, "cmdline", json_from_text(r->cmdline)) < 0 ||
                json_object_set_new(object, "cmdline_length", json_integer((json_int_t)r->cmdline_length)) < 0 ||
                json_object_set_new(object, "require_kernel", json_boolean(r->require_kernel)) < 0)
                return NULL;
        return TAKE_PTR(object);
}

json_t *request_to_json(const RunRequest *r) {
        return to_json(r, REQUEST_ALL);
}

json_t *request_given_to_json(const RunRequest *r) {
        return to_json(r, r->given);
}

json_t *request_limits_to_json(const RunRequest *r) {
        _cleanup_(json_decrefp) json_t *object = json_object();

        return object && limits_to_json(r, REQUEST_ALL, object) == 0 ? TAKE_PTR(object) : NULL;
}

static int read_text(const json_t *object, const char *key, size_t max, char **ret, RequestError *error) {
        const char *text;
        int r = json_get_text(object, key, &text);

        if (r == -ENOENT)
                return 0;
        if (r < 0 || strlen(text) > max)
                return refuse(error, NULL, "Give a text of that length, or leave the member out.",
                        text_printf("member \"%s\" is no text of at most %zu bytes", key, max));
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int read_limits(const json_t *object, RunRequest *r, RequestError *error) {
        int result;

        for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
                result = json_get_u64(object, numbers[i].key, number_of(r, i));
                if (result < 0 && result != -ENOENT)
                        return refuse(error, NULL,
                                "Give an integer of at least 0, null for infinity, or leave the member out.",
                                text_printf("member \"%s\" is no number", numbers[i].key));
                r->given |= result == 0 ? 1U << i : 0;
        }
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                result = json_get_int(object, signals[i].key, signal_of(r, i));
                if (result < 0 && result != -ENOENT)
                        return refuse(error, NULL, "Give an integer such as 15, or leave the member out.",
                                text_printf("member \"%s\" is no signal number", signals[i].key));
                r->given |= result == 0 ? 1U << (ELEMENTSOF(numbers) + i) : 0;
        }
        return 0;
}

static int read_require_kernel(const json_t *object, bool *ret, RequestError *error) {
        int r = json_get_bool(object, "require_kernel", ret);

        if (r < 0 && r != -ENOENT)
                return refuse(error, NULL, "Give true or false, or leave the member out.",
                        text_printf("member \"require_kernel\" is no truth value"));
        return 0;
}

static int read_labels(const json_t *object, json_t **ret, RequestError *error) {
        json_t *labels = json_object_get(object, "labels");

        if (labels && !json_is_object(labels) && !json_is_null(labels))
                return refuse(error, NULL, "Give an object of texts, or leave the member out.",
                        text_printf("member \"labels\" is no object"));
        *ret = json_is_object(labels) ? json_incref(labels) : NULL;
        return 0;
}

static int read_members(const json_t *object, RunRequest *r, RequestError *error) {
        uint64_t length = UINT64_MAX;
        int result = read_limits(object, r, error);

        if (result < 0)
                return result;
        result = read_text(object, "analysis_id", REQUEST_ANALYSIS_ID_MAX, &r->analysis_id, error);
        if (result < 0)
                return result;
        result = read_text(object, "cmdline", REQUEST_CMDLINE_ESCAPED_MAX, &r->cmdline, error);
        if (result < 0)
                return result;
        result = json_get_u64(object, "cmdline_length", &length);
        if (result < 0 && result != -ENOENT)
                return refuse(error, NULL, "Give an integer of at least 0, or leave the member out.",
                        text_printf("member \"cmdline_length\" is no number"));
        r->cmdline_length = length != UINT64_MAX ? length : r->cmdline ? strlen(r->cmdline) : 0;
        result = read_require_kernel(object, &r->require_kernel, error);
        return result < 0 ? result : read_labels(object, &r->labels, error);
}

int request_from_json(const json_t *object, RunRequest *ret, RequestError *error) {
        _cleanup_(request_deinit) RunRequest request;
        int r;

        request_init(&request);
        *error = (RequestError){ 0 };
        if (!json_is_object(object))
                return refuse(error, NULL, "Give an object; docs/protocol.md names its members.",
                        text_printf("member \"request\" is no object"));
        r = read_members(object, &request, error);
        if (r < 0)
                return r;
        r = request_validate(&request, error);
        if (r < 0)
                return r;
        *ret = request;
        request = (RunRequest){ 0 };
        return 0;
}

int request_update(RunRequest *request, const json_t *object, RequestError *error) {
        RunRequest changed = *request; /* its texts stay the request's */
        int r;

        *error = (RequestError){ 0 };
        r = read_limits(object, &changed, error);
        if (r == 0)
                r = request_validate(&changed, error);
        if (r == 0)
                *request = changed;
        return r;
}

Limits request_limits(const RunRequest *r) {
        return (Limits){
                .memory_bytes = r->memory_bytes,
                .memory_high_bytes = r->memory_high_bytes,
                .swap_bytes = r->swap_bytes,
                .pids = r->pids > PIDS_MAX ? UINT64_MAX : r->pids,
                .cpu_centi = r->cpu_centi > CPU_CENTI_MAX ? UINT64_MAX : r->cpu_centi,
        };
}
