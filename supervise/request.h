/* What is asked for: one run, before it exists. Made by the launcher from its options, checked again by the supervisor.
 */
#pragma once

#include "base/json.h"
#include "cgroup/group.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REQUEST_ANALYSIS_ID_MAX 255  /* bytes, design of the platform's analyses table */
#define REQUEST_CMDLINE_MAX     4096 /* bytes kept of argv; its true length beside it */
#define REQUEST_LABELS_MAX      32
#define REQUEST_LABEL_MAX       255 /* bytes of a key and of a value */
#define REQUEST_GRACE_MAX_USEC  (UINT64_C(86400) * 1000000)

/* The limits and signals of a request, as bits of RunRequest.given. The numbers come first, in the order of their table
 * in request.c. */
typedef enum RequestMember {
        REQUEST_MEMORY = 1 << 0,
        REQUEST_MEMORY_HIGH = 1 << 1,
        REQUEST_SWAP = 1 << 2,
        REQUEST_TIMEOUT = 1 << 3,
        REQUEST_CPU_TIME = 1 << 4,
        REQUEST_GRACE = 1 << 5,
        REQUEST_THRASH = 1 << 6,
        REQUEST_WARN_BEFORE = 1 << 7,
        REQUEST_PIDS = 1 << 8,
        REQUEST_CPUS = 1 << 9,
        REQUEST_TERM_SIGNAL = 1 << 10,
        REQUEST_WARN_SIGNAL = 1 << 11,
        REQUEST_ALL = (1 << 12) - 1,
} RequestMember;

typedef struct RunRequest {
        char *analysis_id; /* owned; NULL: none */
        char *cmdline;     /* owned; argv joined by blanks, capped */
        size_t cmdline_length;
        uint64_t memory_bytes, memory_high_bytes, swap_bytes; /* UINT64_MAX: infinity */
        uint64_t timeout_usec, cpu_time_usec, grace_usec, thrash_usec, warn_before_usec;
        uint64_t pids, cpu_centi;
        int term_signal, warn_signal;
        json_t *labels; /* owned; object of strings, NULL: none */
        bool require_kernel;
        unsigned given; /* RequestMember bits: asked for; the others hold defaults that the supervisor may replace */
} RunRequest;

/* What is wrong with one, for people. */
typedef struct RequestError {
        const char *option; /* static; scidex-run's name of the member, NULL: none alone */
        char *message;      /* owned; names the input and the reason */
        char *hint;         /* owned; the remedy */
} RequestError;

/* The built-in defaults: 2 GiB, no swap, 30 min, 10 s grace, 4096 pids, 60 s thrash, TERM. Nothing is given. */
void request_init(RunRequest *request);
void request_deinit(RunRequest *request);
void request_error_deinit(RequestError *error);

/* Joins argv into cmdline. 0 or -ENOMEM. */
int request_set_command(RunRequest *request, char *const *argv);

/*
 * 0; -EINVAL with *ret_error filled; -ENOMEM. Of two members that must fit each other (memory-high and memory,
 * warn-before and timeout) both must be given to be compared: a default may yet be replaced.
 */
int request_validate(const RunRequest *request, RequestError *ret_error);

/* The `request` object of docs/protocol.md, whole: what is kept for a restart. NULL on OOM. */
json_t *request_to_json(const RunRequest *request);
/* The same with only the limits and signals that are given: what a launcher asks. NULL on OOM. */
json_t *request_given_to_json(const RunRequest *request);
/* Its limits and signals only, all of them: what a launcher is told it got. NULL on OOM. */
json_t *request_limits_to_json(const RunRequest *request);
/*
 * Absent members keep their defaults and are not given; a null limit is given, and none. Wrong types are -EINVAL with
 * *ret_error filled. Validates.
 */
int request_from_json(const json_t *object, RunRequest *ret, RequestError *ret_error);
/*
 * Takes over the limits and signals that object has (they are given then), leaves the others as they are, validates the
 * whole. Of the texts it looks at none. 0; -EINVAL with *ret_error filled, -ENOMEM: the request is as before.
 */
int request_update(RunRequest *request, const json_t *object, RequestError *ret_error);

Limits request_limits(const RunRequest *request);
