/* What the tests of groups share: a scratch group on the host's real cgroup2 mount, children in it, plain directories.
 */
#pragma once

#include "cgroup/group.h"
#include "cgroup/host.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct Scratch {
        HostFacts host;
        int mount_fd;
        Group group; /* "scidex-test-PID-N" directly below the mount */
        bool usable;
} Scratch;

/* cmocka's setup and teardown; the teardown kills what is left and removes the group. */
int scratch_setup(void **state);
int scratch_teardown(void **state);
/* Skips the test where no group can be made. */
Scratch *scratch_need(void **state);
/* Skip where a system call is missing: valgrind 3.19 knows neither. Before anything is allocated: skip() jumps over
 * cleanups. */
void need_clone3(void);
void need_pidfd_open(void);
/* Skips without the memory controller; enables what the host has for the scratch group's children. */
Scratch *scratch_need_memory(void **state);

typedef struct Child {
        pid_t pid;
        int pidfd;
        int out; /* reads what the child writes to its fd `out` */
} Child;

/* Forks a child that stands in the group (NULL: stays where we are) and runs body(out) when this returns; SIGKILLed at
 * our end. */
Child child_start(const Group *group, void (*body)(int out));
/* A body: waits for ever. */
void body_pause(int out);
/* Waits at most 10 s for the end; the status of waitpid(2). Fails the test after it. */
int child_end(Child *child);
/* One byte of what the child writes, waited for at most 10 s; fails the test after it. */
char child_byte(const Child *child);
/* SIGKILL, wait, close. */
void child_destroy(Child *child);

/* poll(2) for events with a deadline of 10 s; whether they came. */
bool wait_fd(int fd, short events);
/* Until the group is (not) populated, or frozen; fails the test after 10 s. */
void wait_populated(const Group *group, bool populated);
void wait_frozen_state(const Group *group, bool frozen);

/* A fresh plain directory with an (empty) cgroup.procs, so that it passes for a group that exists; fd. Removed by
 * fake_remove(). */
typedef struct FakeGroup {
        char path[64];
        int fd;
} FakeGroup;
FakeGroup fake_make(void);
void fake_put(const FakeGroup *fake, const char *file, const char *text);
void fake_remove(FakeGroup *fake);
