/*
 * Process 1 of the guest that runs without systemd: mounts what a program may expect, starts one child, reaps.
 *
 * Compiled static by tests/vm/image and started by the kernel as rdinit=/bare-init. The child, run-command, is the same
 * one that the systemd guest starts from a unit; it reports to the host itself and the host then ends the machine.
 *
 * The hard thing is only to be a faithful process 1: tests of orphans hand us processes of every kind, and a zombie
 * that nobody collects would look like a leak of scidex. So there is one loop and it waits for anything.
 */

#include <errno.h>
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

#define RUN_COMMAND "/scidex/tests/vm/guest/run-command"

static const struct {
        const char *source, *target, *type, *options;
        unsigned long flags;
} mounts[] = {
        { "proc",     "/proc",          "proc",     NULL,                              MS_NOSUID | MS_NODEV | MS_NOEXEC },
        { "sysfs",    "/sys",           "sysfs",    NULL,                              MS_NOSUID | MS_NODEV | MS_NOEXEC },
        { "devtmpfs", "/dev",           "devtmpfs", "mode=0755",                       MS_NOSUID },
        { "devpts",   "/dev/pts",       "devpts",   "mode=0620,gid=5,ptmxmode=0666",   MS_NOSUID | MS_NOEXEC },
        { "tmpfs",    "/dev/shm",       "tmpfs",    "mode=1777",                       MS_NOSUID | MS_NODEV },
        { "tmpfs",    "/run",           "tmpfs",    "mode=0755",                       MS_NOSUID | MS_NODEV },
        { "tmpfs",    "/tmp",           "tmpfs",    "mode=1777",                       MS_NOSUID | MS_NODEV },
        /* The options that systemd uses, so that both guests have the same delegation rules. */
        { "cgroup2",  "/sys/fs/cgroup", "cgroup2",  "nsdelegate,memory_recursiveprot", MS_NOSUID | MS_NODEV | MS_NOEXEC },
};

static void mount_all(void)
{
        for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
                (void) mkdir(mounts[i].target, 0755);
                if (mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags, mounts[i].options) < 0
                    && errno != EBUSY)
                        fprintf(stderr, "bare-init: mount %s: %s\n", mounts[i].target, strerror(errno));
        }
}

/* The HTTP server of scidex listens on 127.0.0.1, which does not exist before the interface is up. */
static void loopback_up(void)
{
        struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                perror("bare-init: lo");
        if (fd >= 0)
                close(fd);
}

static pid_t start_command(void)
{
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        setsid();
        execl(RUN_COMMAND, RUN_COMMAND, (char *) NULL);
        perror("bare-init: " RUN_COMMAND);
        _exit(127);
}

int main(void)
{
        pid_t command;

        mount_all();
        loopback_up();
        if (sethostname("scidex-vm", strlen("scidex-vm")) < 0)
                perror("bare-init: hostname");
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
