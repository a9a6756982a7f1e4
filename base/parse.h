/*
 * What people type, to numbers, and back.
 *
 * Each parser returns 0 or -EINVAL / -ERANGE and, on failure, a hint that tells
 * what to write instead; the caller names the input and the option. The hint is in
 * thread-local storage until the next failure of one of them; ret_hint may be NULL.
 * *ret_value and the like are untouched on failure. Zero is a value: callers judge it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SIZE_INFINITY UINT64_MAX

/*
 * "512M", "2G", "1.5GiB", "infinity": bytes, 1024-based (K M G T, optionally iB).
 * A bare number and SI spellings ("2GB") are refused: systemd, Kubernetes and Slurm
 * disagree about them. Fractions of a byte are cut off. 16 EiB and more is -ERANGE.
 */
int parse_size(const char *text, uint64_t *ret_bytes, const char **ret_hint);

/*
 * "90s", "30min", "1h 30min", "250ms", "1.5h", "HH:MM:SS", "infinity": microseconds
 * (systemd.time(7) grammar: us ms s sec min m h hr d w and the long forms up to weeks; no months and
 * years, whose M reads as minutes). A bare number is refused. MM and SS are below 60.
 */
int parse_time(const char *text, uint64_t *ret_usec, const char **ret_hint);

/* "TERM", "SIGTERM", "15": a signal number 1..SIGRTMAX ("RTMIN+3" too), either case. */
int parse_signal(const char *text, int *ret_signal, const char **ret_hint);

/* Decimal digits only, no sign, no blanks; -ERANGE on overflow. */
int parse_u64(const char *text, uint64_t *ret_value);

/* "1.5" to 150 (hundredths of a CPU), at most two decimals. > 0. For --cpus. */
int parse_cpus(const char *text, uint64_t *ret_centi, const char **ret_hint);

/* "TERM" for 15, without SIG; "RTMIN+3"; NULL if it is none. Static or thread-local storage. */
const char *signal_to_name(int signal);

#define FORMAT_MAX 64
/* "2.0 GiB", "312 MiB", "512 KiB", "0 B", "infinity". */
char *format_bytes(char buffer[static FORMAT_MAX], uint64_t bytes);
/* "3min 12s", "1.25s", "40ms", "2h 5min", "1d 3h", "infinity". At most two units. */
char *format_duration(char buffer[static FORMAT_MAX], uint64_t usec);

/*
 * A copy fit for a terminal: control characters (C0, C1, DEL), bidirectional marks and bytes that are not
 * UTF-8 become \xNN. NULL on OOM. Caller frees.
 */
char *text_escape(const char *text);

/* Whether it is valid UTF-8 (RFC 3629: no overlong forms, no surrogates). */
bool text_is_utf8(const char *text);
