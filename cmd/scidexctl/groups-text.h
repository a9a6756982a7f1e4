/* A tree of groups as people and programs read it. What processes are called is read from /proc. */
#pragma once

#include "cmd/scidexctl/groups.h"
#include "status/table.h"

#define GROUP_PROCESSES_SHOWN 8    /* a line each, of one group */
#define GROUP_PROCESSES_TOLD  1024 /* in JSON */

/* 0, -ENOMEM. */
int groups_print(FILE *out, const Terminal *terminal, const Groups *groups);
/* A list, each before those below it; NULL on OOM. */
json_t *groups_to_json(const Groups *groups);
