/* A delegated scope of systemd's, asked for over D-Bus (org.freedesktop.systemd1(5)); tree.c uses it. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

/* Which manager, and for people: what failed. */
typedef struct ScopeRequest {
        const char *name;        /* "scidex.scope" */
        const char *description; /* as in systemctl status */
        bool user;               /* the user's manager, not the system's */
} ScopeRequest;

/*
 * The bus of the manager, or its private socket where no bus daemon runs; times out after SCOPE_TIMEOUT_USEC.
 * 0, -ENOENT when neither socket exists (no manager), -errno. unref by the caller.
 */
#define SCOPE_TIMEOUT_USEC (10 * 1000000ULL)
int scope_connect(bool user, sd_bus **ret);
/* The same for one short question: the manager's own socket first, which answers while the bus daemon hangs. */
int scope_connect_manager(bool user, sd_bus **ret);

/*
 * Starts the scope with ourselves in it and waits for the job. 0, -EEXIST when it exists already (nothing was changed),
 * -ETIMEDOUT, -errno. *inout_message, the caller's, is replaced by the manager's own words if it has any.
 */
int scope_start(sd_bus *bus, const ScopeRequest *request, char **inout_message);
/* The ControlGroup of a scope or service, "/…". 0, -ENOENT when it has none (any more), -errno. */
int scope_cgroup(sd_bus *bus, const char *name, char **ret_cgroup);
/* AttachProcessesToUnit: pid into the group below_name ("supervisor") of the scope. 0, -errno. */
int scope_attach(sd_bus *bus, const char *name, const char *below_name, pid_t pid, char **inout_message);
