/*
 * A connection for one question: a socket, or a recorder started to read the record on disk.
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

#define ANSWER_USEC   (UINT64_C(15) * USEC_PER_SEC) /* a supervisor answers in ms; a record may lie on a slow disk */
#define RECORDER_FD   3
#define RECORDER_MSEC 2000 /* to end after its client has gone */

int source_connect(const char *path, Source *ret) {
        *ret = SOURCE_NONE;
        return client_connect(path, &ret->fd);
}

static int recorder_spawn(const char *program, const char *directory, int fd, pid_t *ret_pid) {
        char *const argv[] = { (char *)"scidex-recorder", (char *)"--read", (char *)"--directory", (char *)directory,
                (char *)"--fd", (char *)"3", NULL };
        posix_spawn_file_actions_t actions;
        int r;

        r = posix_spawn_file_actions_init(&actions);
        if (r != 0)
                return -r;
        r = posix_spawn_file_actions_adddup2(&actions, fd, RECORDER_FD);
        if (r == 0)
                r = posix_spawn(ret_pid, program, &actions, NULL, argv, environ);
        (void)posix_spawn_file_actions_destroy(&actions);
        return -r;
}

int source_read_directory(const char *directory, Source *ret) {
        _cleanup_(close_fdp) int ours = -EBADF, theirs = -EBADF;
        _cleanup_(freep) char *program = NULL;
        struct stat info;
        int fds[2], r;
        pid_t pid = 0;

        if (stat(directory, &info) < 0)
                return -errno;
        r = sibling_find("scidex-recorder", &program);
        if (r < 0)
                return r;
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        ours = fds[0];
        theirs = fds[1];
        r = recorder_spawn(program, directory, theirs, &pid);
        if (r < 0)
                return r;
        *ret = (Source){ .fd = TAKE_FD(ours), .recorder = pid, .recorder_pidfd = pidfd_open_pid(pid) };
        return 0;
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

static json_t *answer_from_result(int r) {
        if (r == MESSAGE_E_CLOSED)
                return answer_failed("closed", "scidexctl doctor looks for the cause",
                        "the connection was closed without an answer");
        if (r == MESSAGE_E_BAD)
                return answer_failed("bad-answer", "are scidexctl and the supervisor of the same version?",
                        "the answer was no valid packet");
        if (r == -ETIMEDOUT)
                return answer_failed("timeout", "is its disk or the machine stuck?", "no answer within %d s",
                        (int)(ANSWER_USEC / USEC_PER_SEC));
        return answer_failed("failed", NULL, "asking failed: %s", strerror(-r));
}

/* Blocks for the next packet of a list. 0, MESSAGE_E_*, -errno, -ETIMEDOUT. */
static int packet_next(int fd, Message *ret) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        int r;

        do
                r = poll(&ready, 1, (int)(ANSWER_USEC / USEC_PER_MSEC));
        while (r < 0 && errno == EINTR);
        if (r <= 0)
                return r < 0 ? -errno : -ETIMEDOUT;
        return message_receive(fd, ret);
}

json_t *source_ask(const Source *source, const json_t *request) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        _cleanup_(message_deinit) Message message = MESSAGE_NONE;
        json_t *row;
        int r;

        r = client_ask(source->fd, request, ANSWER_USEC, &message);
        while (r == 0 && (row = json_object_get(message.body, "row"))) {
                if (json_array_append(rows, row) < 0)
                        return NULL;
                message_deinit(&message);
                message = MESSAGE_NONE;
                r = packet_next(source->fd, &message);
        }
        if (r != 0)
                return answer_from_result(r);
        if (json_is_true(json_object_get(message.body, "end")) && json_object_set(message.body, "rows", rows) < 0)
                return NULL;
        return TAKE_PTR(message.body);
}
