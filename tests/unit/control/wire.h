/* What the tests of the wire share: a pair of connected packet sockets, and the count of this process's open fds. */
#pragma once

#include "base/json.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct Pair {
        int a, b;     /* SOCK_SEQPACKET, close-on-exec, blocking */
        size_t n_fds; /* open before */
} Pair;

/* cmocka's setup and teardown; the teardown fails the test that has left an fd open. */
int pair_setup(void **state);
int pair_teardown(void **state);

size_t fd_count(void);
/* Sends size raw bytes with n_fds copies of one fd, past message_send(). */
void send_raw(int fd, const void *bytes, size_t size, size_t n_fds);
/* An object of this op with a text of so many bytes in it. */
json_t *padded_request(const char *op, size_t bytes);
