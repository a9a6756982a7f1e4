/*
 * Process 1 of the guest, or what comes before it. Compiled static by tests/vm/image, started by the kernel as
 * rdinit=/vm-init; what it is to be stands in SCIDEX_VM_INIT, which the kernel passes on from its command line.
 *
 * systemd: starts the second processor and becomes systemd. bare: does the same, mounts what a program may expect,
 * starts one child, reaps. The child, run-command, is the one that systemd starts from a unit; it reports to the host
 * itself and the host then ends the machine.
 *
 * Why the second processor comes so late (maxcpus=1): the kernel patches its own code while it initialises, and
 * qemu before 8.1 may then run a stale copy on another processor, an int3 oops in one boot of fifteen on 6.12.
 *
 * The hard thing of the bare init is to be a faithful process 1: tests of orphans hand it processes of every kind, and
 * a zombie that nobody collects would look like a leak of scidex. So there is one loop and it waits for anything.
 */

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_COMMAND      "/scidex/tests/vm/guest/run-command"
#define SYSTEMD          "/lib/systemd/systemd"
#define SECOND_PROCESSOR "/sys/devices/system/cpu/cpu1/online"

static const struct {
        const char *source, *target, *type, *options;
        unsigned long flags;
} mounts[] = {
        { "proc", "/proc", "proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
        { "sysfs", "/sys", "sysfs", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC },
        { "devtmpfs", "/dev", "devtmpfs", "mode=0755", MS_NOSUID },
        { "devpts", "/dev/pts", "devpts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC },
        { "tmpfs", "/dev/shm", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV },
        { "tmpfs", "/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV },
        { "tmpfs", "/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV },
        /* The options that systemd uses, so that both guests have the same delegation rules. */
        { "cgroup2", "/sys/fs/cgroup", "cgroup2", "nsdelegate,memory_recursiveprot", MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

static void mount_all(void) {
        for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
                (void)mkdir(mounts[i].target, 0755);
                if (mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].options) < 0 &&
                        errno != EBUSY)
                        fprintf(stderr, "vm-init: mount %s: %s\n", mounts[i].target, strerror(errno));
        }
}

static void start_second_processor(void) {
        int fd = open(SECOND_PROCESSOR, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "1", 1) < 0)
                perror("vm-init: " SECOND_PROCESSOR);
        if (fd >= 0)
                close(fd);
}

/* systemd mounts everything itself, and better: it finds only what it expects to find. */
static void become_systemd(void) {
        if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0)
                perror("vm-init: /sys");
        start_second_processor();
        (void)umount("/sys");
        execl(SYSTEMD, SYSTEMD, (char *)NULL);
        perror("vm-init: " SYSTEMD);
        _exit(127);
}

/* The HTTP server of scidex listens on 127.0.0.1, which does not exist before the interface is up. */
static void loopback_up(void) {
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                perror("vm-init: lo");
        if (fd >= 0)
                close(fd);
}

static pid_t start_command(void) {
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        setsid();
        execl(RUN_COMMAND, RUN_COMMAND, (char *)NULL);
        perror("vm-init: " RUN_COMMAND);
        _exit(127);
}

int main(void) {
        const char *kind = getenv("SCIDEX_VM_INIT");
        pid_t command;

        if (kind && strcmp(kind, "systemd") == 0)
                become_systemd();

        mount_all();
        start_second_processor();
        loopback_up();
        if (sethostname("scidex-vm", strlen("scidex-vm")) < 0)
                perror("vm-init: hostname");
        setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
        setenv("HOME", "/root", 1);
        setenv("LANG", "C.UTF-8", 1);
        command = start_command();

        for (;;) {
                pid_t pid = wait(NULL);

                if (pid == command || (pid < 0 && errno == ECHILD)) {
                        sync();
                        reboot(RB_AUTOBOOT);
                }
        }
}
