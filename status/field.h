/* Members of runs and events: present or not, and as people read them. Text points into the object. */
#pragma once

#include "base/json.h"
#include "base/parse.h"

/* NULL when absent or null. */
const char *field_text(const json_t *object, const char *key);
/* False when absent, null or no number. Seconds and their like become microseconds. */
bool field_u64(const json_t *object, const char *key, uint64_t *ret);
bool field_usec(const json_t *object, const char *key, uint64_t *ret_usec);
bool field_real(const json_t *object, const char *key, double *ret);
/* An RFC 3339 member as realtime. */
bool field_time(const json_t *object, const char *key, uint64_t *ret_realtime_usec);

/* "2.0 GiB", "3min 12s", "2026-11-21 07:19:42" in local time; or otherwise when absent. */
const char *field_bytes(char buffer[static FORMAT_MAX], const json_t *object, const char *key, const char *otherwise);
const char *field_duration(
        char buffer[static FORMAT_MAX], const json_t *object, const char *key, const char *otherwise);
const char *field_when(char buffer[static FORMAT_MAX], const json_t *object, const char *key, const char *otherwise);
const char *format_when(char buffer[static FORMAT_MAX], uint64_t realtime_usec);
/* "07:19:42" */
const char *field_clock(char buffer[static FORMAT_MAX], const json_t *object, const char *key, const char *otherwise);

/* Last 8 digits of run_id; "?" without one. */
const char *run_short_id(const json_t *object);
/* anon + shmem: what the kernel can't take back; the whole charge where the split is unknown. False when neither is
 * known. */
bool run_private_bytes(const json_t *object, uint64_t *ret);
/* How long it has run, or ran: duration_sec, else from launched_at to now. */
bool run_age(const json_t *object, uint64_t now_realtime_usec, uint64_t *ret_usec);
/* The user's name, else the number, else "-". Caller frees; NULL on OOM. */
char *run_user(const json_t *object);

/* A word as a shell reads it back. Caller frees; NULL on OOM. */
char *shell_quote(const char *text);
