/*
 * The supervisor: owns the tree, serves the control socket, wires request → run → watch → decide → enforce → record.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct Supervisor Supervisor;

#define SUPERVISOR_IDLE_EXIT_USEC \
        (10 * UINT64_C(1000000)) /* a private one leaves when no run has been left for so long */

typedef enum SupervisorMode {
        SUPERVISOR_DAEMON,  /* stays until told to stop */
        SUPERVISOR_PRIVATE, /* exits when idle; serves one uid */
        SUPERVISOR_ONCE,    /* one pass: adopts, ends what is over its limits or orphaned, leaves */
        SUPERVISOR_DRAIN,   /* the same, and ends every run, as a shutdown does */
} SupervisorMode;

typedef struct SupervisorOptions {
        SupervisorMode mode;
        bool private_mode;       /* SUPERVISOR_PRIVATE, or one of the others of a user's own */
        const char *keeper_unit; /* the unit whose cgroup is the tree; NULL: none */
        const char *config_path; /* for a reload; NULL: the usual place */
        bool config_system;      /* for a reload: as config_load() takes it */
        struct Config *config;   /* as read at the start; supervisor_new() takes it over, also when it fails */
        const char *socket_path; /* control socket to bind */
        const char *state_directory;
        const char *recorder_program;
        const char *scope_name; /* with systemd; its stem names the tree without */
} SupervisorOptions;

/*
 * Finds the host's facts, opens the tree, binds the sockets, starts the recorder, adopts what still runs. 0; -errno
 * with *ret_error a sentence for people (owned): what was tried, why not, what to do. -EBUSY: another supervisor has
 * the tree.
 */
int supervisor_new(const SupervisorOptions *options, Supervisor **ret, char **ret_error);
void supervisor_free(Supervisor *supervisor);
DEFINE_CLEANUP(Supervisor *, supervisor_free);

/* The loop; returns the exit code when idle or told to stop (runs live on). */
int supervisor_run(Supervisor *supervisor);

/*
 * What a single pass has done: {"adopted":N,"alive":N,"ended":[run, …],"foreign_groups":N}; NULL without
 * memory. The caller owns it.
 */
json_t *supervisor_account(const Supervisor *supervisor);
