/*
 * Packets on a SOCK_SEQPACKET socket.
 *
 * Called by everything that talks.  The hard thing is what a hostile peer may send: a packet longer than
 * announced, more fds than asked for, fds with a packet that is no JSON.  So the buffer has the full size, the
 * control buffer has room for exactly MESSAGE_MAX_FDS, truncation of either is an error, and every fd that came
 * is closed on each way out that does not hand it over.
 */
#include "control/message.h"

#include "base/cleanup.h"
#include <string.h>
#include <sys/socket.h>

#define CONTROL_CREDENTIALS CMSG_SPACE(sizeof(struct ucred))

static int set_member(json_t *object, const char *key, const char *text) {
        return text ? json_object_set_new(object, key, json_from_text(text)) : 0;
}

static json_t *message_head(const char *key, const char *op) {
        return json_pack("{s:i, s:s}", "v", MESSAGE_VERSION, key, op);
}

json_t *message_request(const char *op) {
        return message_head("op", op);
}

json_t *message_reply(const char *op) {
        _cleanup_(json_decrefp) json_t *reply = message_head("re", op);

        if (!reply || json_object_set_new(reply, "ok", json_true()) < 0)
                return NULL;
        return TAKE_PTR(reply);
}

json_t *message_error(const char *op, const char *code, const char *message, const char *detail, const char *hint) {
        _cleanup_(json_decrefp) json_t *reply = message_head("re", op);
        _cleanup_(json_decrefp) json_t *error = json_object();

        if (!reply || !error)
                return NULL;
        if (set_member(error, "code", code) < 0 || set_member(error, "message", message) < 0 ||
                set_member(error, "detail", detail) < 0 || set_member(error, "hint", hint) < 0 ||
                json_object_set_new(reply, "ok", json_false()) < 0 || json_object_set(reply, "error", error) < 0)
                return NULL;
        return TAKE_PTR(reply);
}

static void control_add_fds(struct msghdr *header, const int *fds, size_t n_fds) {
        struct cmsghdr *c = CMSG_FIRSTHDR(header);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
}

int message_send(int fd, const json_t *body, const int *fds, size_t n_fds) {
        _cleanup_(freep) char *text = json_to_text(body);

        return text ? message_send_text(fd, text, fds, n_fds) : -ENOMEM;
}

int message_send_text(int fd, const char *text, const int *fds, size_t n_fds) {
        union {
                char bytes[CMSG_SPACE(MESSAGE_MAX_FDS * sizeof(int))];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec part = { .iov_base = (void *)text, .iov_len = strlen(text) };
        struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

        if (part.iov_len > MESSAGE_MAX_BYTES || n_fds > MESSAGE_MAX_FDS)
                return -EMSGSIZE;
        if (n_fds > 0) {
                header.msg_control = control.bytes;
                header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                control_add_fds(&header, fds, n_fds);
        }

        for (;;) {
                if (sendmsg(fd, &header, MSG_NOSIGNAL) >= 0)
                        return 0;
                if (errno != EINTR)
                        return errno == ECONNRESET ? -EPIPE : -errno;
        }
}

void message_deinit(Message *message) {
        json_decref(message->body);
        for (size_t i = 0; i < message->n_fds; i++)
                (void)close_fd(message->fds[i]);
        *message = MESSAGE_NONE;
}

int message_take_fd(Message *message, size_t i) {
        int fd;

        if (i >= message->n_fds)
                return -EBADF;
        fd = message->fds[i];
        message->fds[i] = -EBADF;
        return fd;
}

static void message_take_control(Message *message, struct msghdr *header) {
        for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
                if (c->cmsg_level != SOL_SOCKET)
                        continue;
                if (c->cmsg_type == SCM_RIGHTS) {
                        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                        const int *fds = (const int *)(const void *)CMSG_DATA(c);

                        for (size_t i = 0; i < n; i++)
                                if (message->n_fds < MESSAGE_MAX_FDS)
                                        message->fds[message->n_fds++] = fds[i];
                                else
                                        (void)close_fd(fds[i]);
                } else if (c->cmsg_type == SCM_CREDENTIALS) {
                        struct ucred who;

                        memcpy(&who, CMSG_DATA(c), sizeof(who));
                        message->pid = who.pid;
                        message->uid = who.uid;
                }
        }
}

/* 0 and the packet's text (in buffer) and control data (in message), MESSAGE_E_*, -errno. */
static int receive(int fd, void *control, size_t control_size, char *buffer, Message *message, size_t *ret_size) {
        struct iovec part = { .iov_base = buffer, .iov_len = MESSAGE_MAX_BYTES };
        struct msghdr header = {
                .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = control_size
        };
        ssize_t n;

        /* A peer that closed with packets of ours unread resets: told once, before what it sent us last, which still
         * comes. */
        do {
                n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
        } while (n < 0 && (errno == EINTR || errno == ECONNRESET));
        if (n < 0)
                return -errno;
        message_take_control(message, &header);
        if (n == 0)
                return MESSAGE_E_CLOSED;
        if (header.msg_flags & MSG_TRUNC)
                return MESSAGE_E_BAD;
        if ((header.msg_flags & MSG_CTRUNC) && control_size > CONTROL_CREDENTIALS)
                return MESSAGE_E_BAD;
        *ret_size = (size_t)n;
        return 0;
}

static int receive_object(int fd, void *control, size_t control_size, Message *ret) {
        _cleanup_(freep) char *buffer = malloc(MESSAGE_MAX_BYTES);
        _cleanup_(message_deinit) Message message = MESSAGE_NONE;
        size_t size = 0;
        int r;

        if (!buffer)
                return -ENOMEM;
        r = receive(fd, control, control_size, buffer, &message, &size);
        if (r != 0)
                return r;
        r = json_parse(buffer, size, &message.body);
        if (r < 0)
                return r == -ENOMEM ? -ENOBUFS : MESSAGE_E_BAD;
        if (!json_is_object(message.body))
                return MESSAGE_E_BAD;
        *ret = message;
        message = MESSAGE_NONE;
        return 0;
}

int message_receive(int fd, Message *ret) {
        union {
                char bytes[CONTROL_CREDENTIALS + CMSG_SPACE(MESSAGE_MAX_FDS * sizeof(int))];
                struct cmsghdr align;
        } control;

        return receive_object(fd, control.bytes, sizeof(control.bytes), ret);
}

int message_receive_without_fds(int fd, Message *ret) {
        union {
                char bytes[CONTROL_CREDENTIALS];
                struct cmsghdr align;
        } control;
        int r = receive_object(fd, control.bytes, sizeof(control.bytes), ret);

        /* Without SO_PASSCRED an fd would fit where the credentials are not. */
        while (r == 0 && ret->n_fds > 0)
                (void)close_fd(ret->fds[--ret->n_fds]);
        return r;
}

static size_t size_of(const json_t *value) {
        return json_dumpb(value, NULL, 0, JSON_COMPACT);
}

int message_fit(json_t *row, size_t max_bytes) {
        static const char *const longest[] = { "timeline", "processes", "evidence", "labels", "signals", "cmdline" };
        json_t *left_out = NULL;

        for (size_t i = 0; size_of(row) > max_bytes && i < ELEMENTSOF(longest); i++) {
                if (!left_out) {
                        left_out = json_array();
                        if (json_object_set_new(row, "left_out", left_out) < 0)
                                return -ENOMEM;
                }
                if (json_object_set_new(row, longest[i], json_null()) < 0 ||
                        json_array_append_new(left_out, json_string(longest[i])) < 0)
                        return -ENOMEM;
        }
        return size_of(row) > max_bytes ? -EMSGSIZE : 0;
}
