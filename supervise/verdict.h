/* Why a run ended: the strings that go into JSON, SQL, metrics and the journal. */
#pragma once

#include <errno.h>

typedef enum Verdict {
        VERDICT_NONE, /* not ended, nothing decided */
        VERDICT_COMPLETED,
        VERDICT_FAILED,
        VERDICT_CRASHED,
        VERDICT_TIMEOUT,
        VERDICT_CPU_TIME,
        VERDICT_MEMORY,
        VERDICT_HOST_OOM,
        VERDICT_ORPHANED,
        VERDICT_CANCELLED,
        VERDICT_LOST,
        VERDICT_ORPHAN, /* the reason of an event only: leftovers of a run that ended by itself */
        VERDICT_MAX,
        VERDICT_INVALID = -EINVAL,
} Verdict;

/* "timeout"; NULL for VERDICT_NONE and what is no verdict. */
const char *verdict_to_string(Verdict verdict);
/* VERDICT_INVALID if text is none. */
Verdict verdict_from_string(const char *text);

/*
 * The exit status of scidex-run for a run that ended so: the command's own for completed and failed (wait_status),
 * 128+N for crashed, else the verdict's (124, 137, 143).
 */
int verdict_exit_status(Verdict verdict, int wait_status);
