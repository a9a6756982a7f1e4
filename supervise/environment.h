/* What a run is told about itself in its environment. */
#pragma once

#include "supervise/run.h"

/*
 * A list of texts: "K=V" to set, "K" to take out what the launcher had of that name (its own run's, or its service's).
 * group_path: of the run's group, NULL without one. NULL on OOM.
 */
json_t *environment_of_run(const Run *run, const char *group_path);
