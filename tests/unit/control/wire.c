/* Pairs, fd counts and raw packets for the tests of the wire. */
#include "wire.h"

#include "base/cleanup.h"
#include "control/message.h"
#include <string.h>
#include <sys/socket.h>

#define RAW_FDS_MAX 250 /* of the 253 that the kernel passes at most */

size_t fd_count(void) {
        _cleanup_(closedirp) DIR *directory = opendir("/proc/self/fd");
        size_t n = 0;

        assert_non_null(directory);
        while (readdir(directory))
                n++;
        return n;
}

int pair_setup(void **state) {
        static Pair pair;
        int fds[2];

        pair.n_fds = fd_count();
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
                return -1;
        pair.a = fds[0];
        pair.b = fds[1];
        *state = &pair;
        return 0;
}

int pair_teardown(void **state) {
        Pair *pair = *state;

        pair->a = close_fd(pair->a);
        pair->b = close_fd(pair->b);
        return fd_count() == pair->n_fds ? 0 : -1;
}

void send_raw(int fd, const void *bytes, size_t size, size_t n_fds) {
        union {
                char bytes[CMSG_SPACE(RAW_FDS_MAX * sizeof(int))];
                struct cmsghdr align;
        } control = { { 0 } };
        struct iovec part = { .iov_base = (void *)bytes, .iov_len = size };
        struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

        assert_true(n_fds <= RAW_FDS_MAX);
        if (n_fds > 0) {
                struct cmsghdr *c = &control.align;
                int copies[RAW_FDS_MAX];

                for (size_t i = 0; i < n_fds; i++)
                        copies[i] = STDERR_FILENO;
                header.msg_control = control.bytes;
                header.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                c->cmsg_level = SOL_SOCKET;
                c->cmsg_type = SCM_RIGHTS;
                c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                memcpy(CMSG_DATA(c), copies, n_fds * sizeof(int));
        }
        assert_int_equal(sendmsg(fd, &header, MSG_NOSIGNAL), size);
}

json_t *padded_request(const char *op, size_t bytes) {
        _cleanup_(freep) char *text = malloc(bytes + 1);
        json_t *request = message_request(op);

        assert_non_null(text);
        memset(text, 'x', bytes);
        text[bytes] = '\0';
        assert_int_equal(json_object_set_new(request, "padding", json_string(text)), 0);
        return request;
}
