/*
 * `scidexctl doctor`: finds out what this machine can do.
 *
 * Called by main.  Here the facts are gathered, without changing anything: nothing is created, no tree is opened, no
 * supervisor started.  What they mean stands in checkup.c.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/ask.h"
#include "cmd/scidexctl/checkup.h"
#include "cmd/sibling.h"
#include "control/client.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/vfs.h>

#define SMALL_FILE 65536
#define CIFS_MAGIC 0xFF534D42
#define SMB2_MAGIC 0xFE534D42

static void facts_deinit(DoctorFacts *d) {
        host_facts_deinit(&d->host);
        free(d->tree_controllers);
        free(d->socket_directory);
        free(d->state_directory);
        json_decref(d->status);
        json_decref(d->storage);
        json_decref(d->database);
}

static bool unix_socket_answers(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(close_fdp) int fd = -EBADF;

        if (!path || strlen(path) >= sizeof(address.sun_path))
                return false;
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static void gather_bus(DoctorFacts *d) {
        _cleanup_(freep) char *private = NULL, *bus = NULL;

        d->runtime_directory = getenv("XDG_RUNTIME_DIR");
        if (d->uid == 0) {
                d->bus = unix_socket_answers("/run/systemd/private") ||
                        unix_socket_answers("/run/dbus/system_bus_socket");
        } else if (d->runtime_directory) {
                private = text_printf("%s/systemd/private", d->runtime_directory);
                bus = text_printf("%s/bus", d->runtime_directory);
                d->bus = unix_socket_answers(private) || unix_socket_answers(bus);
        }
}

static const char *container_kind(void) {
        const char *named = getenv("container");

        if (access("/.dockerenv", F_OK) == 0)
                return "docker container";
        if (access("/run/.containerenv", F_OK) == 0)
                return "podman container";
        return named && *named ? "container" : NULL;
}

static void gather_tree(DoctorFacts *d) {
        _cleanup_(freep) char *path = NULL;
        struct statvfs mount;

        d->container = container_kind();
        d->tree_given = getenv("SCIDEX_TREE");
        if (d->tree_given && !*d->tree_given)
                d->tree_given = NULL;
        d->mount_read_only = d->host.mount && statvfs(d->host.mount, &mount) == 0 && (mount.f_flag & ST_RDONLY);
        if (d->tree_given)
                path = text_printf("%s/cgroup.controllers", d->tree_given);
        else if (d->host.mount)
                path = text_printf("%s/user.slice/user-%u.slice/user@%u.service/cgroup.controllers", d->host.mount,
                        (unsigned)d->uid, (unsigned)d->uid);
        if (path)
                (void)file_read_at(AT_FDCWD, path, SMALL_FILE, &d->tree_controllers, NULL);
        d->tree_writable = d->tree_given && d->tree_controllers && access(d->tree_given, W_OK) == 0;
}

static void gather_swap(DoctorFacts *d) {
        _cleanup_(freep) char *meminfo = NULL, *path = NULL;
        uint64_t kib = 0;

        if (file_read_at(AT_FDCWD, "/proc/meminfo", SMALL_FILE, &meminfo, NULL) == 0) {
                const char *line = strstr(meminfo, "SwapTotal:");

                if (line)
                        kib = strtoull(line + strlen("SwapTotal:"), NULL, 10);
        }
        d->swap_bytes = kib * 1024;
        d->swap_accounting = KNOWN_NOT;
        if (!d->host.mount || !d->host.own_cgroup || strcmp(d->host.own_cgroup, "/") == 0)
                return;
        path = text_printf("%s%s/memory.max", d->host.mount, d->host.own_cgroup);
        if (!path || access(path, F_OK) < 0)
                return;
        free(path);
        path = text_printf("%s%s/memory.swap.max", d->host.mount, d->host.own_cgroup);
        if (path)
                d->swap_accounting = access(path, F_OK) == 0 ? KNOWN_YES : KNOWN_NO;
}

/* The directory itself or the nearest one above it that exists. Caller frees; NULL on OOM. */
static char *existing_above(const char *path) {
        char *above = strdup(path);

        while (above && access(above, F_OK) < 0) {
                char *slash = strrchr(above, '/');

                if (!slash || slash == above) {
                        free(above);
                        return strdup(slash ? "/" : ".");
                }
                *slash = '\0';
        }
        return above;
}

static DirectoryState directory_state(const char *path, bool only_ours) {
        _cleanup_(freep) char *above = NULL;
        struct stat info;

        if (lstat(path, &info) < 0) {
                above = existing_above(path);
                return above && access(above, W_OK) == 0 ? DIRECTORY_ABSENT : DIRECTORY_IMPOSSIBLE;
        }
        if (only_ours && (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & 022)))
                return DIRECTORY_FOREIGN;
        return access(path, W_OK) == 0 ? DIRECTORY_OK : DIRECTORY_READ_ONLY;
}

static void gather_directories(DoctorFacts *d) {
        _cleanup_(freep) char *socket_path = NULL, *above = NULL;
        struct statvfs space;
        struct statfs kind;
        char *slash;

        d->state_free_bytes = UINT64_MAX;
        if (client_private_path(&socket_path) == 0 && (slash = strrchr(socket_path, '/'))) {
                *slash = '\0';
                d->socket_directory = strdup(*socket_path ? socket_path : "/");
        }
        if (d->socket_directory)
                d->socket_directory_state = directory_state(d->socket_directory, true);
        if (ask_state_directory(&d->state_directory) < 0)
                return;
        d->state_directory_state = directory_state(d->state_directory, false);
        above = existing_above(d->state_directory);
        if (!above || statfs(above, &kind) < 0 || statvfs(above, &space) < 0)
                return;
        d->state_on_network = kind.f_type == NFS_SUPER_MAGIC || (unsigned)kind.f_type == CIFS_MAGIC ||
                (unsigned)kind.f_type == SMB2_MAGIC;
        d->state_free_bytes = (uint64_t)space.f_bavail * space.f_frsize;
}

static bool program_is_found(const char *name) {
        _cleanup_(freep) char *path = NULL;

        return sibling_find(name, &path) == 0;
}

static void gather_answers(DoctorFacts *d, const Options *options) {
        _cleanup_(json_decrefp) json_t *status = message_request("status"), *storage = message_request("storage");

        d->has_run = program_is_found("scidex-run");
        d->has_supervisor = program_is_found("scidex-supervisor");
        d->has_recorder = program_is_found("scidex-recorder");
        d->has_full_recorder = program_is_found("scidex-recorder-full");
        if (status)
                d->status = ask(options, WHERE_LIVE, status);
        if (storage)
                d->storage = ask(options, WHERE_RECORD, storage);
}

/* A supervisor runs, and has no database. */
static bool sends_nothing(const DoctorFacts *d) {
        const char *kind = json_string_value(json_object_get(json_object_get(d->storage, "storage"), "kind"));

        return json_object_get(d->status, "status") && !json_object_get(d->storage, "instead_of") && kind &&
                strcmp(kind, "sqlite") == 0;
}

/* Of itself, too: what the recorder can't tell, and all there is to know where no supervisor runs. */
static void gather_database(DoctorFacts *d, const Options *options) {
        _cleanup_(json_decrefp) json_t *request = message_request("status");
        _cleanup_(source_deinit) Source source = SOURCE_NONE;
        _cleanup_(freep) char *conninfo = NULL;

        d->now_usec = clock_realtime_usec();
        if (!request || ask_conninfo(options, &conninfo) < 0)
                return;
        /* The system's configuration, which others may be able to read, is not that of their own supervisor. */
        if (!options->postgres && sends_nothing(d)) {
                d->database_unused = d->uid == 0;
                return;
        }
        d->database = ask_open_database(options, &source);
        if (!d->database)
                d->database = source_ask(&source, request);
}

static void findings_print(const Terminal *terminal, const json_t *findings) {
        const json_t *finding;
        size_t i;

        json_array_foreach(findings, i, finding) {
                const char *status = json_string_value(json_object_get(finding, "status"));
                const char *remedy = json_string_value(json_object_get(finding, "remedy"));
                bool bad = strcmp(status, "not ok") == 0;
                _cleanup_(freep) char *line = text_printf("%s: %s", json_string_value(json_object_get(finding, "name")),
                        json_string_value(json_object_get(finding, "why")));

                tone_print(stdout, terminal, bad ? TONE_BAD : *status == 'w' ? TONE_WARN : TONE_GOOD, status);
                (void)printf("%*s", (int)(9 - strlen(status)), "");
                paragraph_print(stdout, terminal, 9, 9, line ? line : "");
                if (remedy) {
                        (void)fputs("         Remedy: ", stdout);
                        paragraph_print(stdout, terminal, 17, 9, remedy);
                }
        }
}

int verb_doctor(const Options *options, const Terminal *terminal) {
        _cleanup_(facts_deinit) DoctorFacts facts = { .uid = geteuid() };
        _cleanup_(json_decrefp) json_t *findings = NULL, *result = NULL;
        bool fine;
        int r;

        r = host_facts_read(&facts.host);
        if (r < 0) {
                result = answer_failed("failed", "is /proc mounted?", "reading /proc failed: %s", strerror(-r));
                return answer_report_failure(options, result);
        }
        gather_bus(&facts);
        gather_tree(&facts);
        gather_swap(&facts);
        gather_directories(&facts);
        gather_answers(&facts, options);
        gather_database(&facts, options);
        findings = checkup(&facts);
        if (!findings)
                return answer_report_failure(options, NULL);
        fine = checkup_is_ok(findings);
        if (options->json) {
                result = json_pack("{s:b, s:O}", "ok", fine, "checks", findings);
                if (result && !fine &&
                        json_object_set_new(result, "error",
                                json_pack("{s:s, s:s}", "code", "not-ok", "message", "a check is not ok")) < 0)
                        return CTL_NO_ANSWER;
                return result && json_print(result) == 0 ? (fine ? CTL_OK : CTL_ABSENT) : CTL_NO_ANSWER;
        }
        findings_print(terminal, findings);
        (void)puts(fine ? "\nRuns can be launched, and the kernel enforces their limits."
                        : "\nSomething is not ok. Where it is only the memory limit or the database, runs can be "
                          "launched all the same: the one is sampled then, the other catches up.");
        return fine ? CTL_OK : CTL_ABSENT;
}
