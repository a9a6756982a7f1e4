/*
 * Finds out once, at start-up, what this host can do; the tree, the doctor and the record of `enforcement` rest on it.
 *
 * libcgroup says where the controllers are mounted. The hard thing is what it leaves out (2.0.2): cgroup_init() fails
 * where no controller is mounted, and a v2 mount without any is skipped; on a hybrid host it gives the v1 mount of a
 * controller, and the call that would tell the version apart is exported but not declared. So each mount it names is
 * asked with statfs(2) what it is, and /proc/self/mountinfo is the fallback. Nothing here changes anything.
 */
#include "cgroup/host.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/process.h"
#include "cgroup/group-internal.h"
#include "cgroup/mountinfo.h"
#include <assert.h>
#include <fcntl.h>
#include <libcgroup.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>

/* Containers reach thousands of mounts of a few hundred bytes each. */
#define MOUNTINFO_MAX        (16U << 20)
#define CONTROLLERS_TEXT_MAX 4096

static const char *const host_kind_names[] = {
        [HOST_PURE_V2] = "pure-v2",
        [HOST_HYBRID] = "hybrid",
        [HOST_NO_CGROUP2] = "no-cgroup2",
};
static_assert(ELEMENTSOF(host_kind_names) == HOST_KIND_MAX, "a name for each kind");

const char *host_kind_to_string(HostKind kind) {
        return kind >= 0 && kind < HOST_KIND_MAX ? host_kind_names[kind] : NULL;
}

static bool is_cgroup2(const char *path) {
        struct statfs fs;

        return statfs(path, &fs) >= 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* Looks at the mount that libcgroup names for one controller. */
static void note_controller(const char *name, CgroupMounts *inout) {
        _cleanup_(freep) char *path = NULL;

        if (cgroup_get_subsys_mount_point(name, &path) != 0)
                return; /* not mounted anywhere */
        if (!is_cgroup2(path))
                inout->v1_controllers = true;
        else if (!inout->v2_mount)
                inout->v2_mount = TAKE_PTR(path);
}

/* What libcgroup knows; nothing when it fails. */
static void ask_libcgroup(CgroupMounts *inout) {
        struct controller_data controller;
        void *handle = NULL;
        int r;

        if (cgroup_init() != 0)
                return;
        for (r = cgroup_get_all_controller_begin(&handle, &controller); r == 0;
                r = cgroup_get_all_controller_next(&handle, &controller))
                note_controller(controller.name, inout);
        (void)cgroup_get_all_controller_end(&handle);
}

static int find_mounts(CgroupMounts *ret) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts listed = {};
        _cleanup_(freep) char *text = NULL;
        int r = file_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL);

        if (r == 0)
                r = cgroup_mounts_parse(text, &listed);
        if (r < 0)
                return r;
        *ret = (CgroupMounts){ .v1_controllers = listed.v1_controllers };
        ask_libcgroup(ret);
        if (!ret->v2_mount)
                ret->v2_mount = TAKE_PTR(listed.v2_mount);
        ret->v2_root = TAKE_PTR(listed.v2_root);
        return 0;
}

static void read_controllers(int mount_fd, HostFacts *facts) {
        _cleanup_(freep) char *text = NULL;

        if (file_read_at(mount_fd, "cgroup.controllers", CONTROLLERS_TEXT_MAX, &text, NULL) < 0)
                return;
        facts->memory = text_has_word(text, "memory");
        facts->pids = text_has_word(text, "pids");
        facts->cpu = text_has_word(text, "cpu");
        facts->io = text_has_word(text, "io");
}

/* The root of the whole hierarchy is the one group without cgroup.events. */
static void read_mount(HostFacts *facts) {
        _cleanup_(close_fdp) int fd = open(facts->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct statvfs fs;

        if (fd < 0)
                return;
        facts->mount_writable = fstatvfs(fd, &fs) >= 0 && !(fs.f_flag & ST_RDONLY) && access(facts->mount, W_OK) >= 0;
        facts->mount_is_namespaced = faccessat(fd, "cgroup.events", F_OK, 0) >= 0;
        read_controllers(fd, facts);
}

/* A mount that shows a part of the hierarchy: what /proc/PID/cgroup says starts with that part. */
static char *below_root(const char *cgroup, const char *root) {
        size_t length = strlen(root);

        if (length > 1 && strncmp(cgroup, root, length) == 0 && (cgroup[length] == '/' || !cgroup[length]))
                return strdup(cgroup[length] ? cgroup + length : "/");
        return strdup(cgroup);
}

static int read_own_cgroup(HostFacts *facts) {
        _cleanup_(freep) char *path = NULL;
        int r = process_cgroup(getpid(), &path);

        if (r == -ENODATA)
                return 0;
        if (r < 0)
                return r;
        facts->own_cgroup = below_root(path, facts->mount_root ? facts->mount_root : "/");
        return facts->own_cgroup ? 0 : -ENOMEM;
}

static int read_kernel(HostFacts *facts) {
        struct utsname name;
        unsigned long major, minor;
        char *end;

        if (uname(&name) < 0)
                return -errno;
        major = strtoul(name.release, &end, 10);
        minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
        facts->clone_into_cgroup = major > 5 || (major == 5 && minor >= 7);
        facts->cgroup_kill = major > 5 || (major == 5 && minor >= 14);
        facts->memory_peak = major > 5 || (major == 5 && minor >= 19);
        facts->kernel = strdup(name.release);
        return facts->kernel ? 0 : -ENOMEM;
}

static HostKind kind_of(const CgroupMounts *mounts) {
        if (!mounts->v2_mount)
                return HOST_NO_CGROUP2;
        return mounts->v1_controllers ? HOST_HYBRID : HOST_PURE_V2;
}

int host_facts_read(HostFacts *ret) {
        _cleanup_(host_facts_deinit) HostFacts facts = { .kind = HOST_NO_CGROUP2 };
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts = {};
        int r = find_mounts(&mounts);

        if (r == 0)
                r = read_kernel(&facts);
        if (r < 0)
                return r;
        facts.kind = kind_of(&mounts);
        facts.mount = TAKE_PTR(mounts.v2_mount);
        facts.mount_root = TAKE_PTR(mounts.v2_root);
        if (facts.mount) {
                read_mount(&facts);
                r = read_own_cgroup(&facts);
                if (r < 0)
                        return r;
        }
        facts.psi = access("/proc/pressure/memory", R_OK) >= 0;
        facts.systemd = access("/run/systemd/system", F_OK) >= 0;
        *ret = facts;
        facts = (HostFacts){};
        return 0;
}

void host_facts_deinit(HostFacts *facts) {
        free(facts->mount);
        free(facts->mount_root);
        free(facts->own_cgroup);
        free(facts->kernel);
        *facts = (HostFacts){};
}
