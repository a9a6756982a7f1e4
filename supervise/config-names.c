/*
 * Users and groups of the configuration, as numbers.
 *
 * Called at the start and on reload.  The hard thing is the name service: it may ask a network that is not there, and
 * the supervisor must not wait for it, or no limit is kept meanwhile.  So numbers and what stands in /etc/passwd and
 * /etc/group need no service, and the others are asked for by a child that is given a short time for all of them.
 */
#include "supervise/config-internal.h"

#include "base/clock.h"
#include "base/parse.h"
#include "base/process.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SERVICE_WAIT_USEC (2 * USEC_PER_SEC)
#define END_WAIT_MSEC     100 /* of a child that was killed; one that hangs in the kernel is left to it */

/* From the child; below PIPE_BUF, so it comes whole. */
typedef struct Answer {
        uint32_t index, id;
        uint32_t found;
} Answer;

static void take_number(ConfigName *name) {
        uint64_t number;

        if (parse_u64(name->name, &number) == 0 && number < UINT32_MAX) {
                name->id = (uint32_t)number;
                name->state = NAME_FOUND;
        }
}

static void take_passwd(ConfigName *names, size_t n) {
        _cleanup_(fclosep) FILE *file = fopen("/etc/passwd", "re");
        struct passwd *entry;

        while (file && (entry = fgetpwent(file)))
                for (size_t i = 0; i < n; i++)
                        if (!names[i].is_group && names[i].state == NAME_OPEN &&
                                strcmp(names[i].name, entry->pw_name) == 0) {
                                names[i].id = entry->pw_uid;
                                names[i].state = NAME_FOUND;
                        }
}

static void take_group(ConfigName *names, size_t n) {
        _cleanup_(fclosep) FILE *file = fopen("/etc/group", "re");
        struct group *entry;

        while (file && (entry = fgetgrent(file)))
                for (size_t i = 0; i < n; i++)
                        if (names[i].is_group && names[i].state == NAME_OPEN &&
                                strcmp(names[i].name, entry->gr_name) == 0) {
                                names[i].id = entry->gr_gid;
                                names[i].state = NAME_FOUND;
                        }
}

/* In the child, which has nothing of ours but the pipe: no lock of the tree, no socket that would stay open. */
_Noreturn static void answer_all(const ConfigName *names, size_t n, int fd) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)dup2(fd, 3);
        (void)close_range(4, ~0U, 0);
        for (size_t i = 0; i < n; i++) {
                Answer answer = { .index = (uint32_t)i };
                const struct passwd *user = NULL;
                const struct group *group = NULL;

                if (names[i].state != NAME_OPEN)
                        continue;
                if (names[i].is_group)
                        group = getgrnam(names[i].name);
                else
                        user = getpwnam(names[i].name);
                answer.found = user || group;
                answer.id = user ? user->pw_uid : group ? group->gr_gid : 0;
                if (write(3, &answer, sizeof(answer)) != sizeof(answer))
                        break;
        }
        _exit(EXIT_SUCCESS);
}

/* Until the pipe is closed or the time is over. */
static void read_answers(ConfigName *names, size_t n, int fd) {
        uint64_t end = usec_add(clock_boottime_usec(), SERVICE_WAIT_USEC);
        Answer answer;

        for (;;) {
                struct pollfd waiting = { .fd = fd, .events = POLLIN };
                uint64_t left = usec_sub(end, clock_boottime_usec());

                if (left == 0 || (poll(&waiting, 1, (int)(left / USEC_PER_MSEC) + 1) < 0 && errno != EINTR))
                        return;
                if (waiting.revents == 0)
                        continue;
                if (read(fd, &answer, sizeof(answer)) != sizeof(answer) || answer.index >= n)
                        return;
                names[answer.index].id = answer.id;
                names[answer.index].state = answer.found ? NAME_FOUND : NAME_UNKNOWN;
        }
}

static void end_child(pid_t pid) {
        _cleanup_(close_fdp) int pidfd = pidfd_open_pid(pid);
        struct pollfd waiting = { .fd = pidfd, .events = POLLIN };

        (void)kill(pid, SIGKILL); /* our child, not yet waited for: the pid is its own */
        if (pidfd < 0 || poll(&waiting, 1, END_WAIT_MSEC) == 1)
                (void)waitpid(pid, NULL, pidfd < 0 ? 0 : WNOHANG);
}

static int ask_service(ConfigName *names, size_t n) {
        int ends[2];
        pid_t pid;

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        pid = fork();
        if (pid == 0)
                answer_all(names, n, ends[1]);
        (void)close(ends[1]);
        if (pid > 0) {
                read_answers(names, n, ends[0]);
                end_child(pid);
        }
        (void)close(ends[0]);
        return pid < 0 ? -errno : 0;
}

void config_resolve(ConfigName *names, size_t n) {
        bool open = false;

        for (size_t i = 0; i < n; i++)
                take_number(&names[i]);
        take_passwd(names, n);
        take_group(names, n);
        for (size_t i = 0; i < n; i++)
                open |= names[i].state == NAME_OPEN;
        if (open)
                (void)ask_service(names, n); /* what can't be asked has no answer */
        for (size_t i = 0; i < n; i++)
                if (names[i].state == NAME_OPEN)
                        names[i].state = NAME_LATE;
}
