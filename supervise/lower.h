/* Limits that may take the kernel long to set: aside, so that nobody waits. */
#pragma once

#include "supervise/supervisor-internal.h"

/*
 * Writes the run's limits as its request now has them. Where memory.max comes to lie below what is charged, the write
 * reclaims (and may kill) for as long as it takes before it returns: a child does it then, and *ret_aside is true: the
 * limit holds from its first instant, the reclaim goes on. 0; -errno, and the kernel has the old ones, as far as they
 * were not refused one by one.
 */
int lower_limits(Supervisor *s, Run *run, bool *ret_aside);
/* The kernel has them: noted with the run, so that the next supervisor does not write them once more. */
void lower_done(Supervisor *s, Run *run);
