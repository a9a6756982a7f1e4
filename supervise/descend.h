/*
 * The processes of a run where no group can be made: descendants of the launcher (a child subreaper), and strays that
 * carry its SCIDEX_RUN_ID in their environment.
 */
#pragma once

#include "cgroup/group.h"
#include <sys/types.h>

/* Calls func for each; a non-zero return ends the walk and is returned. Zombies are left out. 0, -errno. */
int descend_each(pid_t launcher, const char *run_id, GroupProcessFunc func, void *userdata);
