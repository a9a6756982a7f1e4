/*
 * One table of verdicts, and what scidex-run exits with.
 *
 * Called by everyone who prints or stores a verdict.  Statuses follow timeout(1) and the shell: 124 for a time limit,
 * 128+N for a signal; a timeout must never look like a memory kill (137), or a retry with more memory follows.
 */
#include "supervise/verdict.h"

#include "base/cleanup.h"
#include <assert.h>
#include <string.h>
#include <sys/wait.h>

static const char *const verdict_names[] = {
        [VERDICT_COMPLETED] = "completed",
        [VERDICT_FAILED] = "failed",
        [VERDICT_CRASHED] = "crashed",
        [VERDICT_TIMEOUT] = "timeout",
        [VERDICT_CPU_TIME] = "cpu-time",
        [VERDICT_MEMORY] = "memory",
        [VERDICT_HOST_OOM] = "host-oom",
        [VERDICT_ORPHANED] = "orphaned",
        [VERDICT_CANCELLED] = "cancelled",
        [VERDICT_LOST] = "lost",
        [VERDICT_ORPHAN] = "orphan",
};
static_assert(ELEMENTSOF(verdict_names) == VERDICT_MAX, "every verdict has its string");

const char *verdict_to_string(Verdict verdict) {
        return verdict > VERDICT_NONE && verdict < VERDICT_MAX ? verdict_names[verdict] : NULL;
}

Verdict verdict_from_string(const char *text) {
        for (int v = VERDICT_NONE + 1; v < VERDICT_MAX; v++)
                if (strcmp(verdict_names[v], text) == 0)
                        return (Verdict)v;
        return VERDICT_INVALID;
}

int verdict_exit_status(Verdict verdict, int wait_status) {
        switch (verdict) {
        case VERDICT_TIMEOUT:
        case VERDICT_CPU_TIME:
                return 124;
        case VERDICT_MEMORY:
        case VERDICT_HOST_OOM:
                return 137;
        case VERDICT_CANCELLED:
        case VERDICT_ORPHANED:
                return 143;
        default:
                return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
        }
}
