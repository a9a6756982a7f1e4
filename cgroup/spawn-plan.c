/*
 * What execvpe(3) does, in two halves: the part that allocates before the clone, the part that runs in the child after
 * it.
 *
 * spawn.c uses it. execvp(3) itself may call malloc for a script without #!, and takes the PATH of the parent; here the
 * PATH is the one the program itself will see, and the child only walks tables.
 */
#include "cgroup/spawn-plan.h"
#include "base/cleanup.h"
#include "base/file.h"
#include <paths.h>
#include <stdbool.h>
#include <string.h>

static size_t count_strings(char *const *strings) {
        size_t n = 0;

        while (strings && strings[n])
                n++;
        return n;
}

static size_t key_length(const char *assignment) {
        return (size_t)(strchrnul(assignment, '=') - assignment);
}

static const char *find_variable(char *const *environment, const char *key, size_t length) {
        for (char *const *at = environment; at && *at; at++)
                if (strncmp(*at, key, length) == 0 && (*at)[length] == '=')
                        return *at;
        return NULL;
}

static bool has_key(char *const *strings, const char *assignment) {
        size_t length = key_length(assignment);

        for (char *const *at = strings; at && *at; at++)
                if (key_length(*at) == length && strncmp(*at, assignment, length) == 0)
                        return true;
        return false;
}

/* Ours first, then what is inherited and neither replaced nor taken out. */
static int plan_environment(SpawnPlan *plan, char *const *extra) {
        size_t n = 0;

        plan->environment = calloc(count_strings(extra) + count_strings(environ) + 1, sizeof(char *));
        if (!plan->environment)
                return -ENOMEM;
        for (char *const *at = extra; at && *at; at++)
                if (strchr(*at, '='))
                        plan->environment[n++] = *at;
        for (char **at = environ; at && *at; at++)
                if (!has_key(extra, *at))
                        plan->environment[n++] = *at;
        return 0;
}

static int plan_path(SpawnPlan *plan, const char *path, const char *name) {
        size_t n = 1;

        for (const char *at = path; *at; at++)
                n += *at == ':';
        plan->candidates = calloc(n + 1, sizeof(char *));
        if (!plan->candidates)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *end = strchrnul(path, ':');

                /* An empty element of PATH is the current directory, as execvp(3) has it. */
                plan->candidates[i] = text_printf("%.*s%s%s", (int)(end - path), path, end > path ? "/" : "", name);
                if (!plan->candidates[i])
                        return -ENOMEM;
                path = *end ? end + 1 : end;
        }
        return 0;
}

/* A name with a slash is taken as it is, any other is searched in the PATH the program itself will see. */
static int plan_candidates(SpawnPlan *plan) {
        const char *name = plan->argv[0], *path = find_variable(plan->environment, "PATH", 4);

        if (!*name || strchr(name, '/')) { /* an empty name gives ENOENT by itself */
                plan->candidates = calloc(2, sizeof(char *));
                return plan->candidates && (plan->candidates[0] = strdup(name)) ? 0 : -ENOMEM;
        }
        return plan_path(plan, path ? path + 5 : "/bin:/usr/bin", name);
}

static int plan_script(SpawnPlan *plan) {
        size_t n = count_strings(plan->argv);

        plan->script_argv = calloc(n + 2, sizeof(char *));
        if (!plan->script_argv)
                return -ENOMEM;
        plan->script_argv[0] = (char *)_PATH_BSHELL;
        for (size_t i = 1; i < n; i++)
                plan->script_argv[i + 1] = plan->argv[i];
        return 0;
}

int spawn_plan_init(SpawnPlan *plan, char *const *argv, char *const *extra_environment) {
        int r;

        *plan = (SpawnPlan){ .argv = argv };
        r = plan_environment(plan, extra_environment);
        if (r == 0)
                r = plan_candidates(plan);
        if (r == 0)
                r = plan_script(plan);
        if (r < 0)
                spawn_plan_deinit(plan);
        return r;
}

void spawn_plan_deinit(SpawnPlan *plan) {
        for (char **candidate = plan->candidates; candidate && *candidate; candidate++)
                free(*candidate);
        free(plan->candidates);
        free(plan->environment);
        free(plan->script_argv);
        *plan = (SpawnPlan){};
}

/* execvpe(3), with its choice of error: EACCES of any candidate wins over the ENOENT of the last. Returns an errno. */
int spawn_plan_exec(SpawnPlan *plan) {
        bool denied = false;
        int error = ENOENT;

        for (char **candidate = plan->candidates; *candidate; candidate++) {
                execve(*candidate, plan->argv, plan->environment);
                if (errno == ENOEXEC) {
                        plan->script_argv[1] = *candidate;
                        execve(plan->script_argv[0], plan->script_argv, plan->environment);
                }
                error = errno;
                denied = denied || error == EACCES;
                if (error != EACCES && error != ENOENT && error != ESTALE && error != ENOTDIR && error != ENODEV &&
                        error != ETIMEDOUT)
                        return error;
        }
        return denied ? EACCES : error;
}
