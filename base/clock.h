/* Times in microseconds. BOOTTIME counts through suspend and cannot be set: deadlines use it. */
#pragma once

#include <stdint.h>

#define USEC_PER_SEC  UINT64_C(1000000)
#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_INFINITY UINT64_MAX

/* Microseconds since boot, suspend included; clock_gettime(2) CLOCK_BOOTTIME. Cannot fail. */
uint64_t clock_boottime_usec(void);
/* CPU time that this process has used (CLOCK_PROCESS_CPUTIME_ID). */
uint64_t clock_process_cpu_usec(void);

/* Microseconds since the epoch; for people and databases, never for a deadline. */
uint64_t clock_realtime_usec(void);

/* a + b, USEC_INFINITY if either is infinite or the sum overflows. */
uint64_t usec_add(uint64_t a, uint64_t b);

/* a - b, 0 if b > a; USEC_INFINITY stays. */
uint64_t usec_sub(uint64_t a, uint64_t b);

/* "2026-11-21T07:19:42.123456Z" (RFC 3339, UTC) of a realtime. Buffer of CLOCK_RFC3339_MAX bytes. */
#define CLOCK_RFC3339_MAX 32
char *clock_format_rfc3339(char buffer[static CLOCK_RFC3339_MAX], uint64_t realtime_usec);

/* The inverse. 0, or -EINVAL. Accepts what clock_format_rfc3339() makes, fraction optional. */
int clock_parse_rfc3339(const char *text, uint64_t *ret_realtime_usec);

/* The kernel's id of this boot, /proc/sys/kernel/random/boot_id, 36 characters + NUL. 0 or -errno. */
int clock_boot_id(char ret_id[static 37]);
