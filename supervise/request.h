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
} RunRequest;

/* What is wrong with one, for people. */
typedef struct RequestError {
        const char *option; /* static; scidex-run's name of the member, NULL: none alone */
        char *message;      /* owned; names the input and the reason */
        char *hint;         /* owned; the remedy */
} RequestError;

/* The defaults of design: 2 GiB, no swap, 30 min, 10 s grace, 4096 pids, 60 s thrash, TERM. */
void request_init(RunRequest *request);
void request_deinit(RunRequest *request);
void request_error_deinit(RequestError *error);

/* Joins argv into cmdline. 0 or -ENOMEM. */
int request_set_command(RunRequest *request, char *const *argv);

/* 0; -EINVAL with *ret_error filled; -ENOMEM. */
int request_validate(const RunRequest *request, RequestError *ret_error);

/* The `request` object of docs/protocol.md. NULL on OOM. */
json_t *request_to_json(const RunRequest *request);
/* Absent members keep their defaults, wrong types are -EINVAL with *ret_error filled. Validates. */
int request_from_json(const json_t *object, RunRequest *ret, RequestError *ret_error);

Limits request_limits(const RunRequest *request);
