/*
 * Bugs that the chaos run must find (tests/fault), each at the place where it would be made.
 *
 * Only a build with -Dplanted_bugs=true has them, and only with SCIDEX_PLANTED_BUG=N in its environment; in any other
 * PLANTED() is false and nothing of them is left.
 */
#pragma once

#include <stdbool.h>

typedef enum PlantedBug {
        PLANTED_NONE,
        PLANTED_NO_MARKER,         /* nothing is noted in the group before the kill */
        PLANTED_NEW_DEADLINE,      /* an adopted run's time limit counts from the adoption */
        PLANTED_LEFTOVERS_SPARED,  /* leftovers that ignore TERM are not killed after the grace */
        PLANTED_ROWS_NOT_RESENT,   /* what a dead recorder had not acknowledged counts as sent */
        PLANTED_LAUNCHER_UNHEEDED, /* the launcher of an adopted run is not watched until it comes back */
} PlantedBug;

#ifdef SCIDEX_PLANTED_BUGS
#include <stdlib.h>

static inline bool planted_is(PlantedBug bug) {
        const char *text = getenv("SCIDEX_PLANTED_BUG");

        return text && strtol(text, NULL, 10) == (long)bug;
}
#define PLANTED(bug) planted_is(bug)
#else
#define PLANTED(bug) false
#endif
