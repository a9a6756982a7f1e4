/* The figures of the groups of runs, read by `top` itself: nobody else has to work for whoever looks. */
#pragma once

#include "cmd/scidexctl/top-rows.h"

/* Whole looks of one pass: a dozen files each, some 0.2 ms together. Of more runs each is looked at every few passes.
 */
#define FIGURES_MOST_LOOKS 200

typedef struct Figures Figures;

Figures *figures_new(void);
void figures_free(Figures *figures);
DEFINE_CLEANUP(Figures *, figures_free);

/* Forgets those of runs that are not in the list, and knows the others from now on. 0, -ENOMEM. */
int figures_keep(Figures *figures, const json_t *runs);
/* Reads at most FIGURES_MOST_LOOKS groups, those first that were not looked at for longest. Whether one of them is
 * gone. */
bool figures_look(Figures *figures, uint64_t now_boottime_usec);
/* FigureFunc */
const Figure *figures_find(const char *run_id, void *figures);
