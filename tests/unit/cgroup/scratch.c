/*
 * The scratch group of the cgroup tests. Each test has its own, on the mount that host_facts_read() finds, so that a
 * test which fails leaves at most one directory behind and hits no process but its own children.
 */
#include "scratch.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cgroup/group-internal.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WAIT_USEC (10 * USEC_PER_SEC)

bool wait_fd(int fd, short events) {
        struct pollfd poll_fd = { .fd = fd, .events = events };

        return poll(&poll_fd, 1, (int)(WAIT_USEC / USEC_PER_MSEC)) > 0;
}

int scratch_setup(void **state) {
        static unsigned counter;
        Scratch *scratch = calloc(1, sizeof(*scratch));
        _cleanup_(freep) char *name = text_printf("scidex-test-%d-%u", (int)getpid(), counter++);

        if (!scratch || !name || host_facts_read(&scratch->host) < 0)
                return -1;
        scratch->group = GROUP_NONE;
        scratch->mount_fd = -EBADF;
        if (scratch->host.mount)
                scratch->mount_fd = open(scratch->host.mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        scratch->usable = scratch->mount_fd >= 0 && group_create(scratch->mount_fd, name, &scratch->group) == 0;
        *state = scratch;
        return 0;
}

int scratch_teardown(void **state) {
        Scratch *scratch = *state;
        int r = 0;

        if (scratch->usable) {
                (void)group_kill(&scratch->group);
                while (waitpid(-1, NULL, 0) > 0)
                        ;
                for (unsigned i = 0; i < 100 && (r = group_remove(&scratch->group)) == GROUP_E_BUSY; i++)
                        (void)poll(NULL, 0, 10); /* rmdir is EBUSY for a moment after the last exit; no fd tells */
        }
        group_deinit(&scratch->group);
        close_fd(scratch->mount_fd);
        host_facts_deinit(&scratch->host);
        free(scratch);
        return r;
}

Scratch *scratch_need(void **state) {
        Scratch *scratch = *state;

        if (!scratch->usable) {
                print_message("skipped: no group can be made here (cgroup2 mount: %s)\n",
                        scratch->host.mount ? scratch->host.mount : "none");
                skip();
        }
        return scratch;
}

Scratch *scratch_need_memory(void **state) {
        Scratch *scratch = scratch_need(state);

        if (!scratch->host.memory) {
                print_message("skipped: this host's cgroup2 has no memory controller (%s)\n",
                        host_kind_to_string(scratch->host.kind));
                skip();
        }
        assert_int_equal(group_enable_controllers(scratch->mount_fd), 0);
        assert_int_equal(group_enable_controllers(scratch->group.fd), 0);
        return scratch;
}

void need_clone3(void) {
        if (syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS) {
                print_message("skipped: no clone3 here (valgrind?)\n");
                skip();
        }
}

void need_pidfd_open(void) {
        _cleanup_(close_fdp) int fd = pidfd_open(getpid(), 0);

        if (fd < 0) {
                print_message("skipped: no pidfd_open here (valgrind?)\n");
                skip();
        }
}

void body_pause(int out) {
        for (;;)
                (void)pause();
}

static _Noreturn void child_run(const Group *group, int out, void (*body)(int out)) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (group && group_attach(group, 0) != 0)
                _exit(99);
        if (write(out, "+", 1) != 1)
                _exit(98);
        body(out);
        _exit(0);
}

Child child_start(const Group *group, void (*body)(int out)) {
        Child child;
        int fds[2];

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        child.pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_PIDFD | SIGCHLD), NULL, &child.pidfd, NULL, NULL);
        assert_true(child.pid >= 0);
        if (child.pid == 0)
                child_run(group, fds[1], body);
        close_fd(fds[1]);
        child.out = fds[0];
        assert_int_equal(child_byte(&child), '+');
        return child;
}

char child_byte(const Child *child) {
        char byte = 0;

        assert_true(wait_fd(child->out, POLLIN));
        assert_int_equal(read(child->out, &byte, 1), 1);
        return byte;
}

int child_end(Child *child) {
        int status;

        assert_true(wait_fd(child->pidfd, POLLIN));
        assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
        child->pidfd = close_fd(child->pidfd);
        child->out = close_fd(child->out);
        return status;
}

void child_destroy(Child *child) {
        (void)kill(child->pid, SIGKILL); /* ours, not yet waited for */
        (void)child_end(child);
}

static void wait_event(const Group *group, bool wanted, int (*ask)(const Group *, bool *)) {
        uint64_t deadline = clock_boottime_usec() + WAIT_USEC;
        _cleanup_(close_fdp) int fd = openat(group->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        char buffer[512];
        bool value;

        assert_true(fd >= 0);
        for (;;) {
                struct pollfd poll_fd = { .fd = fd, .events = POLLPRI };

                assert_true(pread(fd, buffer, sizeof(buffer), 0) > 0);
                assert_int_equal(ask(group, &value), 0);
                if (value == wanted)
                        return;
                assert_true(clock_boottime_usec() < deadline);
                assert_true(poll(&poll_fd, 1, 1000) >= 0);
        }
}

void wait_populated(const Group *group, bool populated) {
        wait_event(group, populated, group_is_populated);
}

void wait_frozen_state(const Group *group, bool frozen) {
        wait_event(group, frozen, group_is_frozen);
}

FakeGroup fake_make(void) {
        FakeGroup fake = { .path = "/tmp/scidex-test-XXXXXX" };

        assert_non_null(mkdtemp(fake.path));
        fake.fd = open(fake.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(fake.fd >= 0);
        fake_put(&fake, "cgroup.procs", "");
        return fake;
}

void fake_put(const FakeGroup *fake, const char *file, const char *text) {
        _cleanup_(close_fdp) int fd = openat(fake->fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

void fake_remove(FakeGroup *fake) {
        _cleanup_(closedirp) DIR *directory = fdopendir(dup(fake->fd));
        struct dirent *entry;

        while (directory && (entry = readdir(directory)))
                if (entry->d_name[0] != '.')
                        (void)unlinkat(fake->fd, entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);
        (void)rmdir(fake->path);
        fake->fd = close_fd(fake->fd);
}
