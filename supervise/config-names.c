/*
 * Users and groups of the configuration, as numbers.
 *
 * Called by config-load.c when all is read.  The hard thing is the name service: it may ask a network that is not
 * there, and the supervisor must not wait for it, or no limit is kept meanwhile.  So numbers and what stands in
 * /etc/passwd and /etc/group need no service, and the others are asked for by a child that is given a short time for
 * all of them.
 */
#include "supervise/config-internal.h"

#include "base/clock.h"
#include "base/file.h"
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

static int note_late(ConfigFindings *findings, const ConfigName *name, const ConfigPlace *place) {
        return config_find(findings, true, place,
                text_printf("the name service does not say who the %s \"%s\" is", name->is_group ? "group" : "user",
                        name->name),
                "reload when it answers, or write the number instead of the name");
}

/* Of a group that is not there nobody is a member. */
static int note_group(
        ConfigFindings *findings, const ConfigName *name, const char *where, const char *key, const char *means) {
        ConfigPlace place = { .file = where ? where : "built in", .section = "users", .key = key };

        if (name->state == NAME_FOUND)
                return 0;
        if (name->state == NAME_LATE)
                return note_late(findings, name, &place);
        return config_find(findings, false, &place, text_printf("there is no group \"%s\", so %s", name->name, means),
                "make it (groupadd --system), or name another one");
}

static int note_user(ConfigFindings *findings, const ConfigName *name, const char *where) {
        ConfigPlace place = { .file = where };

        if (name->state == NAME_FOUND)
                return 0;
        if (name->state == NAME_LATE)
                return note_late(findings, name, &place);
        return config_find(findings, false, &place, text_printf("there is no user \"%s\"", name->name),
                "mend the name, or remove the section");
}

static void cap_copy(UserCaps *to, const UserCaps *from, Cap cap) {
        switch (cap) {
        case CAP_RUNS:
                to->runs_max = from->runs_max;
                break;
        case CAP_MEMORY_TOTAL:
                to->memory_total_max_bytes = from->memory_total_max_bytes;
                break;
        case CAP_MEMORY:
                to->memory_max_bytes = from->memory_max_bytes;
                break;
        case CAP_TIMEOUT:
                to->timeout_max_usec = from->timeout_max_usec;
                break;
        case CAP_MAX_:
                return;
        }
        to->set_in[cap] = from->set_in[cap];
}

/* A user by name in one section and by number in another is the same: each cap as the later one says. */
static void merge_user(Config *c, size_t n_kept, ConfigUser *user) {
        for (size_t i = 0; i < n_kept; i++) {
                ConfigUser *same = &c->users[i];

                if (same->uid != user->uid)
                        continue;
                for (Cap cap = 0; cap < CAP_MAX_; cap++)
                        if (user->has[cap]) {
                                cap_copy(&same->caps, &user->caps, cap);
                                same->has[cap] = true;
                        }
                free(user->name);
                *user = (ConfigUser){ 0 };
                return;
        }
}

/* Users that there are, each once. */
static void keep_users(Config *c, const ConfigName *names) {
        size_t kept = 0;

        for (size_t i = 0; i < c->n_users; i++) {
                ConfigUser user = c->users[i];

                if (names[i].state != NAME_FOUND) {
                        free(user.name);
                        continue;
                }
                user.uid = names[i].id;
                merge_user(c, kept, &user);
                if (user.name)
                        c->users[kept++] = user;
        }
        c->n_users = kept;
}

/* What a user's section leaves open is as for everybody. */
static void complete_users(Config *c) {
        for (size_t i = 0; i < c->n_users; i++) {
                UserCaps *caps = &c->users[i].caps, own = *caps;

                *caps = c->caps;
                for (Cap cap = 0; cap < CAP_MAX_; cap++)
                        if (c->users[i].has[cap])
                                cap_copy(caps, &own, cap);
        }
}

static int find_names(Config *c, ConfigFindings *findings) {
        size_t n = 2 + c->n_users;
        _cleanup_(freep) ConfigName *names = calloc(n, sizeof(*names));
        int error;

        if (!names)
                return -ENOMEM;
        names[0] = (ConfigName){ .name = c->group_name, .is_group = true };
        names[1] = (ConfigName){ .name = c->admin_group_name, .is_group = true };
        for (size_t i = 0; i < c->n_users; i++)
                names[2 + i].name = c->users[i].name;
        config_resolve(names, n);
        c->group = names[0].state == NAME_FOUND ? names[0].id : CONFIG_NO_GROUP;
        c->admin_group = names[1].state == NAME_FOUND ? names[1].id : CONFIG_NO_GROUP;
        error = note_group(findings, &names[0], c->group_set_in, "group", "only root and admins may launch runs");
        if (error == 0)
                error = note_group(findings, &names[1], c->admin_group_set_in, "admin_group", "only root is an admin");
        for (size_t i = 0; i < c->n_users && error == 0; i++)
                error = note_user(findings, &names[2 + i], c->users[i].set_in);
        keep_users(c, names + 2);
        return error;
}

int config_find_names(Config *c, ConfigFindings *findings) {
        int r = c->system ? find_names(c, findings) : 0; /* a user's own supervisor knows one user */

        complete_users(c);
        return r;
}
