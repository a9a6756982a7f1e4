/* What an exec needs, made before the child exists: the child may not allocate. Only for spawn.c. */
#pragma once

typedef struct SpawnPlan {
        char *const *argv;  /* borrowed */
        char **candidates;  /* owned, with its strings; the paths to try, NULL-terminated */
        char **environment; /* owned; strings borrowed */
        char **script_argv; /* owned; strings borrowed; "/bin/sh", a place for the path, the arguments */
} SpawnPlan;

/* For argv, and the extra "K=V" (may be NULL) that replace those of environ. Both must outlive the plan. 0 or -ENOMEM.
 */
int spawn_plan_init(SpawnPlan *plan, char *const *argv, char *const *extra_environment);
void spawn_plan_deinit(SpawnPlan *plan);
/* In the child, async-signal-safe: execvpe(3). Returns only on failure, with a positive errno. */
int spawn_plan_exec(SpawnPlan *plan);
