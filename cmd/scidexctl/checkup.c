/*
 * From facts about a machine to findings: name, status, why, remedy.
 *
 * Called by doctor.  Pure: tests hold it against a pure v2 host, a hybrid one, containers.  The hard thing is what
 * matters: a limit that can only be sampled is "not ok", because that is what people take scidex for; what makes a
 * record coarser or a launch slower is a warning.  Every finding that is not ok has a remedy that can be done.
 */
#include "cmd/scidexctl/checkup-findings.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include <stdarg.h>
#include <string.h>

#define SPACE_WARNING (UINT64_C(256) << 20)
#define SPACE_LEAST   (UINT64_C(16) << 20)

static const char ok[] = FINDING_OK, warning[] = FINDING_WARNING, not_ok[] = FINDING_NOT_OK;

void finding_add(Findings *f, const char *name, const char *status, const char *remedy, const char *format, ...) {
        _cleanup_(freep) char *why = NULL;
        va_list arguments;
        json_t *finding;
        int n;

        va_start(arguments, format);
        n = vasprintf(&why, format, arguments);
        va_end(arguments);
        if (n < 0)
                why = NULL;
        finding = json_pack("{s:s, s:s, s:o, s:o}", "name", name, "status", status, "why", json_from_text(why),
                "remedy", json_from_text(remedy));
        if (!finding || json_array_append_new(f->list, finding) < 0)
                f->failed = true;
}

static bool has_word(const char *text, const char *word) {
        size_t length = strlen(word);

        for (const char *at = text; at && (at = strstr(at, word)); at += length)
                if ((at == text || at[-1] == ' ') && strchr(" \n", at[length]))
                        return true;
        return false;
}

/* Where groups would come from, in the order in which the supervisor looks. */
typedef enum Origin { ORIGIN_NONE, ORIGIN_GIVEN, ORIGIN_MANAGER, ORIGIN_MOUNT } Origin;

static Origin origin_of(const DoctorFacts *d) {
        if (d->tree_given)
                return d->tree_writable ? ORIGIN_GIVEN : ORIGIN_NONE;
        if (d->host.systemd)
                return d->bus ? ORIGIN_MANAGER : ORIGIN_NONE;
        return d->uid == 0 && d->host.mount && d->host.mount_writable && !d->mount_read_only ? ORIGIN_MOUNT
                                                                                             : ORIGIN_NONE;
}

static bool controller_is_there(const DoctorFacts *d, const char *name, bool on_host) {
        if (d->tree_given || (d->host.systemd && d->uid != 0))
                return has_word(d->tree_controllers, name);
        return on_host;
}

static void check_kernel(Findings *f, const DoctorFacts *d) {
        const HostFacts *h = &d->host;
        const char *kernel = h->kernel ? h->kernel : "unknown version";

        if (!h->cgroup_kill)
                finding_add(f, "kernel", not_ok, "Install a kernel of at least 5.14, better 5.19.",
                        "%s: cgroup.kill is missing (needs 5.14), so a group cannot be killed as a whole", kernel);
        else if (!h->memory_peak)
                finding_add(f, "kernel", warning, "Install a kernel of at least 5.19 for exact peaks.",
                        "%s: memory.peak is missing (needs 5.19), so peaks are the highest sample", kernel);
        else
                finding_add(f, "kernel", ok, NULL, "%s: clone3 into a cgroup, cgroup.kill and memory.peak are there",
                        kernel);
}

static void check_cgroup2(Findings *f, const DoctorFacts *d) {
        const HostFacts *h = &d->host;

        if (h->kind == HOST_NO_CGROUP2)
                finding_add(f, "cgroup2", not_ok,
                        "mount -t cgroup2 none /sys/fs/cgroup, or boot with systemd.unified_cgroup_hierarchy=1",
                        "cgroup2 is not mounted: no group can be made");
        else if (h->kind == HOST_HYBRID)
                finding_add(f, "cgroup2", h->memory ? ok : warning,
                        h->memory
                                ? NULL
                                : "Boot with systemd.unified_cgroup_hierarchy=1, or cgroup_no_v1=all without systemd.",
                        "cgroup2 is mounted at %s beside version 1 hierarchies (hybrid)", h->mount);
        else
                finding_add(f, "cgroup2", ok, NULL, "cgroup2 is mounted at %s and is the only hierarchy", h->mount);
}

static void check_container(Findings *f, const DoctorFacts *d) {
        if (!d->container && !d->mount_read_only)
                return;
        if (d->mount_read_only && !d->status)
                finding_add(f, "container", not_ok,
                        "Start the container with a cgroup file system of its own that is writable: podman run "
                        "--systemd=always, "
                        "or docker run --privileged --cgroupns=private; or run a system supervisor on the host and "
                        "pass "
                        "/run/scidex into the container.",
                        "%s: the cgroup file system is mounted read-only", d->container ? d->container : "mount");
        else
                finding_add(f, "container", d->host.mount_is_namespaced ? ok : warning,
                        d->host.mount_is_namespaced ? NULL : "Start it with --cgroupns=private.",
                        "%s: the cgroup file system is %s, %s", d->container ? d->container : "mount",
                        d->mount_read_only ? "read-only" : "writable",
                        d->host.mount_is_namespaced ? "in a cgroup namespace of its own" : "shared with the host");
}

static const char *controller_remedy(const DoctorFacts *d) {
        if (d->host.kind == HOST_HYBRID)
                return "Boot with systemd.unified_cgroup_hierarchy=1 (or cgroup_no_v1=all): now version 1 holds the "
                       "controllers.";
        if (d->tree_given)
                return "Write +memory +pids +cpu to cgroup.subtree_control of the directory above SCIDEX_TREE.";
        if (d->host.systemd && d->uid != 0)
                return "systemctl edit user@.service: [Service] Delegate=memory pids cpu; then log in again.";
        return "Boot with cgroup_enable=memory, or have whoever made this container hand the controllers down.";
}

static void check_controllers(Findings *f, const DoctorFacts *d) {
        if (d->host.kind == HOST_NO_CGROUP2)
                return;
        if (controller_is_there(d, "memory", d->host.memory))
                finding_add(f, "memory controller", ok, NULL, "memory limits are kept by the kernel");
        else
                finding_add(f, "memory controller", not_ok, controller_remedy(d),
                        "no memory controller in %s: memory limits can only be sampled",
                        d->tree_given                            ? "the given tree"
                                : d->host.systemd && d->uid != 0 ? "what the user's manager may use"
                                                                 : "cgroup2");
        if (controller_is_there(d, "pids", d->host.pids) && controller_is_there(d, "cpu", d->host.cpu))
                finding_add(f, "pids and cpu controllers", ok, NULL, "--pids and --cpus are kept by the kernel");
        else
                finding_add(f, "pids and cpu controllers", warning, controller_remedy(d),
                        "%s missing: --pids or --cpus is not kept",
                        controller_is_there(d, "pids", d->host.pids)         ? "the cpu controller is"
                                : controller_is_there(d, "cpu", d->host.cpu) ? "the pids controller is"
                                                                             : "both controllers are");
}

static void check_swap(Findings *f, const DoctorFacts *d) {
        char swap[FORMAT_MAX];

        if (d->swap_bytes == 0)
                finding_add(f, "swap accounting", ok, NULL, "there is no swap: a run cannot swap its limit away");
        else if (d->swap_accounting == KNOWN_NO)
                finding_add(f, "swap accounting", not_ok, "Boot with swapaccount=1, or switch swap off (swapoff -a).",
                        "%s of swap, but the kernel does not count it per group: a run could swap past its memory "
                        "limit",
                        format_bytes(swap, d->swap_bytes));
        else
                finding_add(f, "swap accounting", ok, NULL, "%s of swap, %s", format_bytes(swap, d->swap_bytes),
                        d->swap_accounting == KNOWN_YES ? "counted per group"
                                                        : "counted per group as far as can be seen from here");
}

static void check_pressure(Findings *f, const DoctorFacts *d) {
        if (d->host.psi)
                finding_add(f, "pressure (PSI)", ok, NULL, "pressure figures are there: thrashing is noticed");
        else
                finding_add(f, "pressure (PSI)", warning, "Boot with psi=1.",
                        "no pressure figures: a run that thrashes at its limit is not noticed");
}

static void check_manager(Findings *f, const DoctorFacts *d) {
        if (d->tree_given)
                finding_add(f, "tree", d->tree_writable ? ok : not_ok,
                        d->tree_writable ? NULL : "Give SCIDEX_TREE a cgroup directory that you own, or unset it.",
                        "SCIDEX_TREE is %s, which is %s", d->tree_given,
                        d->tree_writable ? "writable" : "no writable cgroup directory");
        else if (d->host.systemd && d->bus)
                finding_add(f, "systemd", ok, NULL, "the %s can be reached",
                        d->uid == 0 ? "system manager" : "user's manager");
        else if (d->host.systemd && d->uid == 0)
                finding_add(f, "systemd", not_ok,
                        "systemctl start dbus.socket, or run scidex outside of what hides /run/systemd/private.",
                        "the system manager cannot be reached");
        else if (d->host.systemd)
                finding_add(f, "systemd", not_ok,
                        "loginctl enable-linger $USER, then export XDG_RUNTIME_DIR=/run/user/$(id -u); or ask for a "
                        "system supervisor (systemctl enable --now scidex-supervisor).",
                        "the user's manager cannot be reached%s",
                        d->runtime_directory ? "" : " (XDG_RUNTIME_DIR is not set)");
        else if (d->uid == 0)
                finding_add(f, "tree", origin_of(d) == ORIGIN_MOUNT ? ok : not_ok,
                        origin_of(d) == ORIGIN_MOUNT
                                ? NULL
                                : "Make the cgroup2 mount writable, or name a delegated directory with SCIDEX_TREE.",
                        "no systemd: groups %s made below the cgroup2 mount",
                        origin_of(d) == ORIGIN_MOUNT ? "are" : "cannot be");
        else
                finding_add(f, "tree", not_ok,
                        "Have root delegate a cgroup directory to you (chown) and name it with SCIDEX_TREE, or run a "
                        "system supervisor.",
                        "no systemd and not root: nobody gives you a place for groups");
}

/* What the supervisor says of itself wins over what we would expect of it. */
static void check_enforcement(Findings *f, const DoctorFacts *d) {
        const json_t *status = json_object_get(d->status, "status"), *tree = json_object_get(status, "tree");
        const char *enforcement = json_string_value(json_object_get(status, "enforcement"));
        const char *detail = json_string_value(json_object_get(tree, "detail"));
        const char *hint = json_string_value(json_object_get(tree, "hint"));
        bool kernel = enforcement ? strcmp(enforcement, "kernel") == 0
                                  : origin_of(d) != ORIGIN_NONE && controller_is_there(d, "memory", d->host.memory) &&
                        d->host.cgroup_kill;

        if (kernel)
                finding_add(f, "enforcement", ok, NULL, "memory limits %s enforced by the kernel",
                        enforcement ? "are" : "will be");
        else
                finding_add(f, "enforcement", not_ok,
                        hint ? hint
                             : "Do what the other findings say. Until then scidex-run says that it samples, and "
                               "refuses with --require=kernel.",
                        "memory limits %s sampled, not enforced by the kernel%s%s", enforcement ? "are" : "will be",
                        detail ? ": " : "", detail ? detail : "");
}

static void check_sockets(Findings *f, const DoctorFacts *d) {
        const char *path = d->socket_directory ? d->socket_directory : "?";

        switch (d->socket_directory_state) {
        case DIRECTORY_OK:
                finding_add(f, "socket directory", ok, NULL, "%s is yours alone", path);
                break;
        case DIRECTORY_ABSENT:
                finding_add(f, "socket directory", ok, NULL, "%s does not exist yet and can be made", path);
                break;
        case DIRECTORY_IMPOSSIBLE:
                finding_add(f, "socket directory", not_ok,
                        "Set XDG_RUNTIME_DIR to a directory of yours, or SCIDEX_SOCKET to a path in one.",
                        "%s does not exist and cannot be made", path);
                break;
        default:
                finding_add(f, "socket directory", not_ok,
                        "Remove it, or chown it to you and chmod 700; or set SCIDEX_SOCKET to a path elsewhere.",
                        "%s is not a directory that only you can write to", path);
        }
}

static void check_supervisor(Findings *f, const DoctorFacts *d) {
        const json_t *status = json_object_get(d->status, "status"), *error = json_object_get(d->status, "error");
        const char *version = json_string_value(json_object_get(status, "version"));
        const char *mode = json_string_value(json_object_get(status, "mode"));
        const char *code = json_string_value(json_object_get(error, "code"));
        const char *message = json_string_value(json_object_get(error, "message"));

        if (status && (!version || strcmp(version, SCIDEX_VERSION) != 0))
                finding_add(f, "supervisor", warning, "Restart it; runs that are alive stay and are adopted.",
                        "it answers, but is of version %s and scidexctl of %s", version ? version : "?",
                        SCIDEX_VERSION);
        else if (status)
                finding_add(f, "supervisor", ok, NULL, "the %s supervisor answers, version %s", mode ? mode : "running",
                        version);
        else if (!code || strcmp(code, "no-supervisor") == 0)
                finding_add(f, "supervisor", ok, NULL, "none is running; scidex-run starts a private one");
        else
                finding_add(f, "supervisor", not_ok,
                        strcmp(code, "denied") == 0
                                ? "Ask its owner for access, or use scidex-run --private."
                                : "Look at its log (journalctl -u scidex-supervisor) and restart it.",
                        "%s", message ? message : code);
}

static void check_programs(Findings *f, const DoctorFacts *d) {
        if (d->has_run && d->has_supervisor && d->has_recorder)
                finding_add(f, "programs", ok, NULL, "scidex-run, scidex-supervisor and scidex-recorder are found");
        else
                finding_add(f, "programs", not_ok,
                        "Install all of scidex together (meson install), or run it from one build directory.",
                        "not found:%s%s%s", d->has_run ? "" : " scidex-run",
                        d->has_supervisor ? "" : " scidex-supervisor", d->has_recorder ? "" : " scidex-recorder");
}

static void check_storage(Findings *f, const DoctorFacts *d) {
        const json_t *storage = json_object_get(d->storage, "storage");
        const char *state = json_string_value(json_object_get(storage, "state"));
        const char *path = json_string_value(json_object_get(storage, "path"));
        const char *detail = json_string_value(json_object_get(storage, "detail"));
        const char *journal = json_string_value(json_object_get(storage, "journal_mode"));
        size_t aside = json_array_size(json_object_get(storage, "set_aside"));
        const char *silent = json_string_value(json_object_get(json_object_get(d->storage, "instead_of"), "message"));
        json_int_t unrecorded = json_integer_value(json_object_get(json_object_get(d->status, "status"), "unrecorded"));

        if (!state)
                return;
        if (silent && d->status && json_object_get(d->status, "status")) {
                finding_add(f, "record", not_ok,
                        "See whether its disk hangs (dmesg, a network file system); nothing is to be restarted.",
                        "the recorder does not answer (%s); limits are enforced, %" JSON_INTEGER_FORMAT
                        " rows wait in memory",
                        silent, unrecorded);
                return;
        }
        if (strcmp(state, "ok") != 0 && strcmp(state, "read-only") != 0)
                finding_add(f, "record", not_ok,
                        "Free space on its disk, or look at the file named; runs go on, their rows wait in memory.",
                        "the record's state is %s%s%s", state, detail ? ": " : "", detail ? detail : "");
        else if (aside > 0)
                finding_add(f, "record", warning, "Look at the files (sqlite3 FILE .recover) and delete them.",
                        "%zu corrupt file%s set aside beside %s", aside, aside == 1 ? " was" : "s were",
                        path ? path : "it");
        else if (journal && strcmp(journal, "wal") != 0)
                finding_add(f, "record", warning,
                        "Put it on a local disk: SCIDEX_STORAGE_SQLITE=/path/on/a/local/disk/spool.sqlite",
                        "%s has the journal mode %s instead of wal: slower, and readers wait", path ? path : "it",
                        journal);
        else
                finding_add(f, "record", ok, NULL,
                        "%s, %" JSON_INTEGER_FORMAT " runs and %" JSON_INTEGER_FORMAT " events",
                        path ? path : "it answers", json_integer_value(json_object_get(storage, "runs")),
                        json_integer_value(json_object_get(storage, "events")));
}

static void check_state_directory(Findings *f, const DoctorFacts *d) {
        const char *path = d->state_directory ? d->state_directory : "?";
        char space[FORMAT_MAX];

        if (d->state_directory_state == DIRECTORY_IMPOSSIBLE || d->state_directory_state == DIRECTORY_READ_ONLY)
                finding_add(f, "state directory", not_ok,
                        "Make it writable for you, or set XDG_STATE_HOME or SCIDEX_STORAGE_SQLITE to another place.",
                        "%s %s", path,
                        d->state_directory_state == DIRECTORY_READ_ONLY ? "is not writable"
                                                                        : "does not exist and cannot be made");
        else if (d->state_on_network)
                finding_add(f, "state directory", not_ok,
                        "Set SCIDEX_STORAGE_SQLITE=/path/on/a/local/disk/spool.sqlite",
                        "%s lies on a network file system, where SQLite's write-ahead log does not work", path);
        else
                finding_add(f, "state directory", ok, NULL, "%s %s", path,
                        d->state_directory_state == DIRECTORY_ABSENT ? "does not exist yet and can be made"
                                                                     : "is writable");
        if (d->state_free_bytes < SPACE_WARNING)
                finding_add(f, "disk space", d->state_free_bytes < SPACE_LEAST ? not_ok : warning,
                        "Free some, or set SCIDEX_STORAGE_SQLITE to another disk.", "only %s free for the record",
                        format_bytes(space, d->state_free_bytes));
        else if (d->state_free_bytes != UINT64_MAX)
                finding_add(
                        f, "disk space", ok, NULL, "%s free for the record", format_bytes(space, d->state_free_bytes));
}

json_t *checkup(const DoctorFacts *d) {
        static void (*const checks[])(Findings * f, const DoctorFacts *d) = { check_kernel, check_cgroup2,
                check_container, check_controllers, check_swap, check_pressure, check_manager, check_enforcement,
                check_sockets, check_supervisor, check_programs, check_storage, check_state_directory, check_database,
                check_http };
        Findings f = { .list = json_array() };

        for (size_t i = 0; f.list && i < ELEMENTSOF(checks); i++)
                checks[i](&f, d);
        if (f.failed) {
                json_decref(f.list);
                return NULL;
        }
        return f.list;
}

bool checkup_is_ok(const json_t *findings) {
        const json_t *finding;
        size_t i;

        json_array_foreach(findings, i, finding) {
                const char *status = json_string_value(json_object_get(finding, "status"));

                if (!status || strcmp(status, not_ok) == 0)
                        return false;
        }
        return true;
}
