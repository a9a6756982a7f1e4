/*
 * scidex-keeper: the one process that always stands in the cgroup of the keeper's unit.
 *
 * Started by systemd (units/system/scidex-keeper.service, and the user's own manager), never by hand. Runs come and go
 * in that cgroup and the supervisor's unit is another one; without a process in it systemd would end the unit and
 * remove the cgroup. The hard thing is to be out of the way: a cgroup that has processes of its own can't hand
 * controllers down, so the keeper moves to a leaf before it says that it is ready. The rest of its life it waits to be
 * ended.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "cgroup/group.h"
#include "cgroup/mountinfo.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>

#define LEAF          "keeper"
#define MOUNTINFO_MAX (16U << 20)

static int open_own_cgroup(void) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts = {};
        _cleanup_(freep) char *text = NULL, *cgroup = NULL, *path = NULL;
        int r = file_read_at(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &text, NULL);

        if (r == 0)
                r = cgroup_mounts_parse(text, &mounts);
        if (r == 0)
                r = process_cgroup(getpid(), &cgroup);
        if (r < 0)
                return r;
        if (!mounts.v2_mount)
                return -ENODEV;
        path = text_printf("%s%s", mounts.v2_mount, cgroup);
        if (!path)
                return -ENOMEM;
        r = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return r < 0 ? -errno : r;
}

/* After a crash the leaf is there already. */
static int move_to_leaf(void) {
        _cleanup_(close_fdp) int fd = open_own_cgroup();
        _cleanup_(group_deinit) Group leaf = GROUP_NONE;
        int r;

        if (fd < 0)
                return fd;
        r = group_create(fd, LEAF, &leaf);
        if (r == -EEXIST)
                r = group_open(fd, LEAF, &leaf);
        if (r == 0)
                r = group_attach(&leaf, 0);
        return r > 0 ? -ENOENT : r;
}

int main(int argc, char **argv) {
        sigset_t signals;
        int r;

        log_open("scidex-keeper", LOG_LEVEL_INFO);
        if (argc > 1) {
                log_line(LOG_LEVEL_ERROR,
                        "unexpected argument \"%s\": systemd starts this program, without any; see systemctl cat "
                        "scidex-keeper, scidex-supervisor(8)",
                        argv[1]);
                return EX_USAGE;
        }
        (void)sigemptyset(&signals);
        (void)sigaddset(&signals, SIGTERM);
        (void)sigaddset(&signals, SIGINT);
        (void)sigprocmask(SIG_BLOCK, &signals, NULL);
        r = move_to_leaf();
        if (r < 0) {
                log_line(LOG_LEVEL_ERROR,
                        "can't move to a leaf of the own cgroup: %s; it must be started by a unit with Delegate=yes",
                        strerror(-r));
                return EXIT_FAILURE;
        }
        (void)sd_notify(0, "READY=1");
        while (sigwaitinfo(&signals, NULL) < 0)
                continue;
        return EXIT_SUCCESS;
}
