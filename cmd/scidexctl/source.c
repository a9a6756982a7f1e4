/*
 * A connection for one question: a socket, a recorder started to read the record on disk, or scidex-db started to ask
 * the database (so that scidexctl itself loads no libpq).
 *
 * Called by ask.c and doctor.  The hard thing is a record without a supervisor: a private one exits when its last run
 * has been gone for 10 s, and `why` is asked after that.  So the recorder program is started on a socketpair, with
 * --read, which opens nothing for writing; it ends when our end is closed, and is waited for, so that none is left
 * behind.
 */
#include "cmd/scidexctl/ask.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "cmd/sibling.h"
#include "control/client.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define RECORDER_FD       3
#define POSTGRES_VARIABLE "SCIDEX_STORAGE_POSTGRES"
#define RECORDER_MSEC     2000 /* to end after its client has gone */

int source_connect(const char *path, Source *ret) {
        *ret = SOURCE_NONE;
        return client_connect(path, &ret->fd);
}

static int program_spawn(const char *program, char *const *argv, char *const *environment, int fd, pid_t *ret_pid) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none;
        int r;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        (void)sigemptyset(&none); /* `top` blocks the signals of the terminal, which are to end this one */
        (void)posix_spawnattr_init(&attributes);
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        r = posix_spawn_file_actions_adddup2(&actions, fd, RECORDER_FD);
        if (r == 0)
                r = posix_spawn(ret_pid, program, &actions, &attributes, argv, environment);
        (void)posix_spawn_file_actions_destroy(&actions);
        (void)posix_spawnattr_destroy(&attributes);
        return -r;
}

/* Starts a program of ours that answers on its fd 3. */
static int source_start(const char *name, char *const *argv, char *const *environment, Source *ret) {
        _cleanup_(close_fdp) int ours = -EBADF, theirs = -EBADF;
        _cleanup_(freep) char *program = NULL;
        int fds[2], r;
        pid_t pid = 0;

        r = sibling_find(name, &program);
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        ours = fds[0];
        theirs = fds[1];
        r = program_spawn(program, argv, environment, theirs, &pid);
        if (r < 0)
                return r;
        *ret = SOURCE_NONE;
        ret->fd = TAKE_FD(ours);
        ret->recorder = pid;
        ret->recorder_pidfd = pidfd_open_pid(pid);
        return 0;
}

int source_read_directory(const char *directory, Source *ret) {
        char *const argv[] = { (char *)"scidex-recorder", (char *)"--read", (char *)"--directory", (char *)directory,
                (char *)"--fd", (char *)"3", NULL };
        struct stat info;

        if (stat(directory, &info) < 0)
                return -errno;
        return source_start("scidex-recorder", argv, environ, ret);
}

/* A connection string may hold a password: it goes into the environment, since argv can be read by everybody. */
int source_database(const char *conninfo, Source *ret) {
        char *const argv[] = { (char *)"scidex-db", (char *)"--fd", (char *)"3", NULL };
        _cleanup_(freep) char *variable = text_printf(POSTGRES_VARIABLE "=%s", conninfo);
        _cleanup_(freep) char **environment = NULL;
        size_t n = 0;
        int r;

        while (environ[n])
                n++;
        environment = calloc(n + 2, sizeof(char *));
        if (!variable || !environment)
                return -ENOMEM;
        environment[0] = variable;
        n = 1;
        for (char **one = environ; *one; one++)
                if (strncmp(*one, POSTGRES_VARIABLE "=", strlen(POSTGRES_VARIABLE "=")) != 0)
                        environment[n++] = *one;
        r = source_start("scidex-db", argv, environment, ret);
        if (r == 0)
                ret->answer_msec = SOURCE_DATABASE_MSEC;
        return r;
}

void source_deinit(Source *source) {
        struct pollfd ended = { .fd = source->recorder_pidfd, .events = POLLIN };

        source->fd = close_fd(source->fd);
        if (source->recorder > 0) {
                if (source->recorder_pidfd < 0 || poll(&ended, 1, RECORDER_MSEC) == 0)
                        (void)kill(source->recorder, SIGKILL);
                while (waitpid(source->recorder, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        source->recorder_pidfd = close_fd(source->recorder_pidfd);
        source->recorder = 0;
}

static json_t *answer_from_result(const Source *source, int r) {
        if (r == MESSAGE_E_CLOSED)
                return answer_failed("closed", "scidexctl doctor looks for the cause",
                        "the connection was closed without an answer");
        if (r == MESSAGE_E_BAD)
                return answer_failed("bad-answer", "are scidexctl and the supervisor of the same version?",
                        "the answer was no valid packet");
        if (r == -ETIMEDOUT)
                return answer_failed("timeout", "is its disk or the machine stuck?", "no answer within %d s",
                        source->answer_msec / 1000);
        return answer_failed("failed", NULL, "asking failed: %s", strerror(-r));
}

/* Blocks for the next packet of a list. 0, MESSAGE_E_*, -errno, -ETIMEDOUT. */
static int packet_next(const Source *source, Message *ret) {
        struct pollfd ready[] = { { .fd = source->fd, .events = POLLIN },
                { .fd = source->interrupt_fd, .events = POLLIN } };
        int r;

        do
                r = poll(ready, ELEMENTSOF(ready), source->answer_msec);
        while (r < 0 && errno == EINTR);
        if (r <= 0)
                return r < 0 ? -errno : -ETIMEDOUT;
        if (ready[1].revents)
                return -EINTR;
        return message_receive(source->fd, ret);
}

static int sink_take(RowSink *sink, const json_t *row) {
        sink->taken++;
        return sink->func(row, sink->userdata);
}

json_t *source_ask(const Source *source, const json_t *request) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(message_deinit) Message message = MESSAGE_NONE;
        json_t *row;
        int r;

        r = message_send(source->fd, request, NULL, 0);
        if (r == 0)
                r = packet_next(source, &message);
        while (r == 0 && (row = json_object_get(message.body, "row"))) {
                r = source->sink ? sink_take(source->sink, row) : json_array_append(rows, row) < 0 ? -ENOMEM : 0;
                if (r < 0)
                        break;
                message_deinit(&message);
                message = MESSAGE_NONE;
                r = packet_next(source, &message);
        }
        if (r != 0)
                return answer_from_result(source, r);
        if (json_is_true(json_object_get(message.body, "end")) && json_object_set(message.body, "rows", rows) < 0)
                return NULL;
        return TAKE_PTR(message.body);
}
