/*
 * Asks systemd for a scope whose cgroup is delegated to us; tree.c calls it once, and for each process that only the
 * manager may move.
 *
 * The hard thing: the reply to StartTransientUnit is only a job. The scope's cgroup exists, and we are in it, when
 * JobRemoved has come for that job, and the signal can overtake the reply, so the match is made first and what it sees
 * is kept until the job's name is known. A manager refuses the whole call for a property it doesn't know, and older
 * ones don't know OOMPolicy= of scopes (252.39 does, measured; they do not need it, as they never act on OOM kills in
 * scopes), so it is asked for again without.
 */
#include "cgroup/scope.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define DESTINATION  "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER      "org.freedesktop.systemd1.Manager"

#define SCOPE_INTERFACE   "org.freedesktop.systemd1.Scope"
#define SERVICE_INTERFACE "org.freedesktop.systemd1.Service"

/* The last job of our unit that ended. */
typedef struct JobWatch {
        const char *unit; /* borrowed */
        char *job;        /* owned; object path */
        char *result;     /* owned; "done", "failed", "timeout", … */
} JobWatch;

static void job_watch_deinit(JobWatch *watch) {
        free(watch->job);
        free(watch->result);
}

/* Bus addresses hold %-escapes (D-Bus specification, "Server Addresses"); $XDG_RUNTIME_DIR is the user's own text. */
static char *escape_address(const char *path) {
        char *address = malloc(strlen(path) * 3 + strlen("unix:path=") + 1), *out = address;

        if (!address)
                return NULL;
        out = stpcpy(out, "unix:path=");
        for (; *path; path++) {
                unsigned char c = (unsigned char)*path;
                bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        (c && strchr("-_/.*\\", c));

                if (plain)
                        *out++ = *path;
                else
                        out += snprintf(out, 4, "%%%02x", c);
        }
        *out = '\0';
        return address;
}

static int connect_socket(const char *path, bool is_daemon, sd_bus **ret) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_(freep) char *address = NULL;
        int r;

        if (access(path, F_OK) < 0)
                return -ENOENT;
        address = escape_address(path);
        if (!address)
                return -ENOMEM;
        r = sd_bus_new(&bus);
        if (r >= 0)
                r = sd_bus_set_address(bus, address);
        if (r >= 0)
                r = sd_bus_set_bus_client(bus, is_daemon);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, SCOPE_TIMEOUT_USEC);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(bus);
        return 0;
}

/* $XDG_RUNTIME_DIR is missing after su and in cron, though the manager may run (linger). */
static char *runtime_directory(void) {
        const char *given = getenv("XDG_RUNTIME_DIR");

        return given && *given == '/' ? strdup(given) : text_printf("/run/user/%u", (unsigned)geteuid());
}

static int connect_user(sd_bus **ret) {
        _cleanup_(freep) char *directory = runtime_directory(), *daemon = NULL, *direct = NULL;
        int r;

        if (!directory)
                return -ENOMEM;
        daemon = text_printf("%s/bus", directory);
        direct = text_printf("%s/systemd/private", directory);
        if (!daemon || !direct)
                return -ENOMEM;
        r = connect_socket(direct, false, ret);
        return r < 0 ? connect_socket(daemon, true, ret) : r;
}

int scope_connect_manager(bool user, sd_bus **ret) {
        int r;

        if (user)
                return connect_user(ret);
        r = connect_socket("/run/systemd/private", false, ret);
        return r < 0 ? connect_socket("/run/dbus/system_bus_socket", true, ret) : r;
}

int scope_connect(bool user, sd_bus **ret) {
        int r;

        if (user)
                return connect_user(ret);
        r = connect_socket("/run/dbus/system_bus_socket", true, ret);
        return r < 0 ? connect_socket("/run/systemd/private", false, ret) : r;
}

static int on_job_removed(sd_bus_message *message, void *userdata, sd_bus_error *ret_error) {
        JobWatch *watch = userdata;
        const char *job, *unit, *result;
        uint32_t id;
        int r = sd_bus_message_read(message, "uoss", &id, &job, &unit, &result);

        if (r < 0 || strcmp(unit, watch->unit) != 0)
                return r < 0 ? r : 0;
        free(watch->job);
        free(watch->result);
        watch->job = strdup(job);
        watch->result = strdup(result);
        return watch->job && watch->result ? 0 : -ENOMEM;
}

/* Keeps the manager's own words (those of an earlier try go), and gives the errno of the failed call. */
static int call_failed(int r, const sd_bus_error *error, char **inout_message) {
        if (inout_message && error->message) {
                free(*inout_message);
                *inout_message = strdup(error->message);
        }
        return sd_bus_error_has_name(error, "org.freedesktop.systemd1.UnitExists") ? -EEXIST : r;
}

static int append_properties(sd_bus_message *message, const ScopeRequest *request, bool with_oom_policy) {
        int r = sd_bus_message_open_container(message, 'a', "(sv)");

        if (r >= 0)
                r = sd_bus_message_append(message, "(sv)(sv)(sv)(sv)(sv)(sv)", "Description", "s", request->description,
                        "Slice", "s", request->user ? "app.slice" : "system.slice", "Delegate", "b", 1, "CollectMode",
                        "s", "inactive-or-failed", "TasksMax", "t", UINT64_MAX, "PIDs", "au", 1, (uint32_t)getpid());
        if (r >= 0 && with_oom_policy)
                r = sd_bus_message_append(message, "(sv)", "OOMPolicy", "s", "continue");
        if (r >= 0)
                r = sd_bus_message_close_container(message);
        return r;
}

static int start_transient(
        sd_bus *bus, const ScopeRequest *request, bool with_oom_policy, sd_bus_error *ret_error, char **ret_job) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *message = NULL, *reply = NULL;
        const char *job;
        int r;

        r = sd_bus_message_new_method_call(bus, &message, DESTINATION, MANAGER_PATH, MANAGER, "StartTransientUnit");
        if (r >= 0)
                r = sd_bus_message_append(message, "ss", request->name, "fail");
        if (r >= 0)
                r = append_properties(message, request, with_oom_policy);
        if (r >= 0)
                r = sd_bus_message_append(message, "a(sa(sv))", 0);
        if (r >= 0)
                r = sd_bus_call(bus, message, 0, ret_error, &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &job);
        if (r < 0)
                return r;
        *ret_job = strdup(job);
        return *ret_job ? 0 : -ENOMEM;
}

static bool is_unknown_property(const sd_bus_error *error) {
        return sd_bus_error_has_name(error, SD_BUS_ERROR_PROPERTY_READ_ONLY) ||
                sd_bus_error_has_name(error, SD_BUS_ERROR_UNKNOWN_PROPERTY);
}

static int request_job(sd_bus *bus, const ScopeRequest *request, char **ret_job, char **inout_message) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r = start_transient(bus, request, true, &error, ret_job);

        if (r < 0 && is_unknown_property(&error)) {
                sd_bus_error_free(&error);
                r = start_transient(bus, request, false, &error, ret_job);
        }
        return r < 0 ? call_failed(r, &error, inout_message) : 0;
}

static int wait_job(sd_bus *bus, const char *job, const JobWatch *watch) {
        uint64_t deadline = usec_add(clock_boottime_usec(), SCOPE_TIMEOUT_USEC);

        while (!watch->job || strcmp(watch->job, job) != 0) {
                uint64_t left = usec_sub(deadline, clock_boottime_usec());
                int r = sd_bus_process(bus, NULL);

                if (r < 0)
                        return r;
                if (r > 0)
                        continue;
                if (left == 0)
                        return -ETIMEDOUT;
                r = sd_bus_wait(bus, left);
                if (r < 0 && r != -EINTR)
                        return r;
        }
        return 0;
}

/* JobRemoved is only sent to those who subscribed, on a direct connection to all. */
static int subscribe(sd_bus *bus, JobWatch *watch, sd_bus_slot **ret_slot) {
        int r, is_daemon = sd_bus_is_bus_client(bus);

        r = sd_bus_match_signal(bus, ret_slot, is_daemon > 0 ? DESTINATION : NULL, MANAGER_PATH, MANAGER, "JobRemoved",
                on_job_removed, watch);
        if (r < 0)
                return r;
        return sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "Subscribe", NULL, NULL, NULL);
}

int scope_start(sd_bus *bus, const ScopeRequest *request, char **inout_message) {
        _cleanup_(job_watch_deinit) JobWatch watch = { .unit = request->name };
        _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;
        _cleanup_(freep) char *job = NULL;
        int r = subscribe(bus, &watch, &slot);

        if (r < 0)
                return r;
        r = request_job(bus, request, &job, inout_message);
        if (r == 0)
                r = wait_job(bus, job, &watch);
        if (r < 0)
                return r;
        if (strcmp(watch.result, "done") == 0)
                return 0;
        free(*inout_message);
        *inout_message = text_printf("its job ended with \"%s\"", watch.result);
        return -EIO;
}

static const char *interface_of(const char *unit) {
        const char *suffix = strrchr(unit, '.');

        return suffix && strcmp(suffix, ".service") == 0 ? SERVICE_INTERFACE : SCOPE_INTERFACE;
}

int scope_cgroup(sd_bus *bus, const char *name, char **ret_cgroup) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(freep) char *cgroup = NULL;
        const char *unit;
        int r;

        r = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "GetUnit", NULL, &reply, "s", name);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "o", &unit);
        if (r >= 0)
                r = sd_bus_get_property_string(
                        bus, DESTINATION, unit, interface_of(name), "ControlGroup", NULL, &cgroup);
        if (r < 0)
                return r;
        if (!*cgroup)
                return -ENOENT;
        *ret_cgroup = TAKE_PTR(cgroup);
        return 0;
}

int scope_attach(sd_bus *bus, const char *name, const char *below_name, pid_t pid, char **inout_message) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        _cleanup_(freep) char *below = text_printf("/%s", below_name);
        int r;

        if (!below)
                return -ENOMEM;
        r = sd_bus_call_method(bus, DESTINATION, MANAGER_PATH, MANAGER, "AttachProcessesToUnit", &error, NULL, "ssau",
                name, below, 1, (uint32_t)pid);
        return r < 0 ? call_failed(r, &error, inout_message) : 0;
}
