/* Packets: what goes in comes out, and what is no packet leaves neither memory nor an fd behind. */
#include "control/message.h"

#include "base/cleanup.h"
#include "wire.h"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

static void a_packet_comes_as_it_was_sent(void **state) {
        Pair *p = *state;
        _cleanup_(message_deinit) Message m = MESSAGE_NONE;
        _cleanup_(json_decrefp) json_t *request = padded_request("list", 1000);

        assert_int_equal(message_send(p->a, request, NULL, 0), 0);
        assert_int_equal(message_receive(p->b, &m), 0);
        assert_true(json_equal(m.body, request));
        assert_int_equal(m.n_fds, 0);
        assert_int_equal(m.pid, 0); /* SO_PASSCRED is off */
}

static void the_sender_is_who_the_kernel_says(void **state) {
        Pair *p = *state;
        _cleanup_(message_deinit) Message m = MESSAGE_NONE;
        _cleanup_(json_decrefp) json_t *request = message_request("list");
        int on = 1;

        assert_int_equal(setsockopt(p->b, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        assert_int_equal(message_send(p->a, request, NULL, 0), 0);
        assert_int_equal(message_receive(p->b, &m), 0);
        assert_int_equal(m.pid, getpid());
        assert_int_equal(m.uid, getuid());
}

static void fds_are_passed_close_on_exec_and_closed_with_the_message(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_MAX_FDS] = { STDERR_FILENO, STDERR_FILENO, STDERR_FILENO, STDERR_FILENO };
        _cleanup_(json_decrefp) json_t *request = message_request("list");

        for (int credentials = 0; credentials <= 1; credentials++) {
                Message m = MESSAGE_NONE;

                assert_int_equal(setsockopt(p->b, SOL_SOCKET, SO_PASSCRED, &credentials, sizeof(credentials)), 0);
                assert_int_equal(message_send(p->a, request, fds, MESSAGE_MAX_FDS), 0);
                assert_int_equal(message_receive(p->b, &m), 0);
                assert_int_equal(m.n_fds, MESSAGE_MAX_FDS);
                for (size_t i = 0; i < m.n_fds; i++)
                        assert_int_equal(fcntl(m.fds[i], F_GETFD), FD_CLOEXEC);
                message_deinit(&m);
                assert_int_equal(fd_count(), p->n_fds + 2);
                assert_int_equal(m.n_fds, 0);
                message_deinit(&m); /* twice is once */
        }
}

static void an_fd_taken_out_stays_open(void **state) {
        Pair *p = *state;
        Message m = MESSAGE_NONE;
        int fds[] = { STDERR_FILENO, STDERR_FILENO };
        _cleanup_(json_decrefp) json_t *request = message_request("started");
        _cleanup_(close_fdp) int taken = -EBADF;

        assert_int_equal(message_send(p->a, request, fds, 2), 0);
        assert_int_equal(message_receive(p->b, &m), 0);
        taken = message_take_fd(&m, 1);
        assert_true(taken >= 0);
        assert_int_equal(message_take_fd(&m, 1), -EBADF);
        assert_int_equal(message_take_fd(&m, 2), -EBADF);
        message_deinit(&m);
        assert_true(fcntl(taken, F_GETFD) >= 0);
        close_fd(TAKE_FD(taken));
        assert_int_equal(fd_count(), p->n_fds + 2);
}

static void check_bad(const Pair *p, const void *bytes, size_t size) {
        for (size_t n_fds = 0; n_fds <= MESSAGE_MAX_FDS; n_fds += 2) {
                Message m = MESSAGE_NONE;

                send_raw(p->a, bytes, size, n_fds);
                if (message_receive(p->b, &m) != MESSAGE_E_BAD)
                        fail_msg("taken: %.60s", (const char *)bytes);
                assert_null(m.body);
                assert_int_equal(fd_count(), p->n_fds + 2);
        }
}

static void what_is_no_json_object_is_bad_and_its_fds_are_closed(void **state) {
        static const char *const texts[] = { "garbage", "{", "[]", "[{\"v\":1}]", "7", "null", "\"text\"", "{} {}",
                "{\"v\":1,\"v\":2}", "{\"a\":\"\\u0000\"}", "{\"a\":\"\xff\"}", "{\"a\":1e999}",
                "{\"a\":99999999999999999999}", " ", "{\"a\":\"b\n\"}", "\xef\xbb\xbf{}" };
        Pair *p = *state;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                check_bad(p, texts[i], strlen(texts[i]));
        check_bad(p, "{\"v\":1}\0", 9); /* a NUL after it */
}

static void nesting_without_end_is_bad(void **state) {
        char deep[20000];

        memset(deep, '[', sizeof(deep));
        (void)stpcpy(deep, "{\"a\":");
        deep[strlen(deep)] = '[';
        check_bad(*state, deep, sizeof(deep));
}

static void a_packet_may_have_64_kib_and_not_a_byte_more(void **state) {
        Pair *p = *state;
        _cleanup_(message_deinit) Message m = MESSAGE_NONE;
        size_t envelope = strlen("{\"v\":1,\"op\":\"x\",\"padding\":\"\"}");
        _cleanup_(json_decrefp) json_t *full = padded_request("x", MESSAGE_MAX_BYTES - envelope);
        _cleanup_(json_decrefp) json_t *over = padded_request("x", MESSAGE_MAX_BYTES - envelope + 1);
        _cleanup_(freep) char *text = json_dumps(over, JSON_COMPACT);

        assert_int_equal(message_send(p->a, full, NULL, 0), 0);
        assert_int_equal(message_receive(p->b, &m), 0);
        assert_true(json_equal(m.body, full));
        assert_int_equal(message_send(p->a, over, NULL, 0), -EMSGSIZE);
        assert_int_equal(strlen(text), MESSAGE_MAX_BYTES + 1);
        check_bad(p, text, strlen(text)); /* whoever sends it all the same */
        memset(text, ' ', strlen(text));
        text[0] = '{';
        text[1] = '}';
        check_bad(p, text, strlen(text)); /* also where what is cut off is blank */
}

static void more_fds_than_allowed_are_closed(void **state) {
        Pair *p = *state;
        int fds[MESSAGE_MAX_FDS + 1] = { 2, 2, 2, 2, 2 };
        _cleanup_(json_decrefp) json_t *request = message_request("x");

        assert_int_equal(message_send(p->a, request, fds, MESSAGE_MAX_FDS + 1), -EMSGSIZE);
        for (int credentials = 0; credentials <= 1; credentials++) {
                assert_int_equal(setsockopt(p->b, SOL_SOCKET, SO_PASSCRED, &credentials, sizeof(credentials)), 0);
                for (size_t n = MESSAGE_MAX_FDS + 1; n <= 32; n += 3) {
                        Message m = MESSAGE_NONE;

                        send_raw(p->a, "{}", 2, n);
                        if (message_receive(p->b, &m) == 0)
                                assert_true(m.n_fds <= MESSAGE_MAX_FDS);
                        message_deinit(&m);
                        assert_int_equal(fd_count(), p->n_fds + 2);
                }
        }
}

static void a_peer_that_has_gone_is_told(void **state) {
        Pair *p = *state;
        Message m = MESSAGE_NONE;
        _cleanup_(json_decrefp) json_t *request = message_request("x");

        p->a = close_fd(p->a);
        assert_int_equal(message_receive(p->b, &m), MESSAGE_E_CLOSED);
        assert_int_equal(message_send(p->b, request, NULL, 0), -EPIPE); /* and no SIGPIPE */
}

static void what_was_sent_before_the_hang_up_still_comes(void **state) {
        Pair *p = *state;
        Message m = MESSAGE_NONE;
        _cleanup_(json_decrefp) json_t *request = message_request("x");

        assert_int_equal(message_send(p->a, request, NULL, 0), 0);
        p->a = close_fd(p->a);
        assert_int_equal(message_receive(p->b, &m), 0);
        message_deinit(&m);
        assert_int_equal(message_receive(p->b, &m), MESSAGE_E_CLOSED);
}

static void a_socket_that_would_block_says_so(void **state) {
        Pair *p = *state;
        Message m = MESSAGE_NONE;
        _cleanup_(json_decrefp) json_t *request = padded_request("x", 60000);
        int fds[] = { STDERR_FILENO }, r = 0;

        assert_int_equal(fcntl(p->a, F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(fcntl(p->b, F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(message_receive(p->b, &m), -EAGAIN);
        for (int i = 0; i < 1000 && r == 0; i++)
                r = message_send(p->a, request, fds, 1);
        assert_int_equal(r, -EAGAIN);
        assert_int_equal(fd_count(), p->n_fds + 2);
}

static void replies_and_errors_have_the_form_of_the_protocol(void **state) {
        _cleanup_(json_decrefp) json_t *request = message_request("kill"), *reply = message_reply("kill"),
                                       *error = message_error("kill", "denied", "no", NULL, "ask root"),
                                       *whole = message_error("kill", "failed", "no", "open(2)", "try");
        const struct {
                json_t *made;
                const char *text;
        } forms[] = {
                { request, "{\"v\":1,\"op\":\"kill\"}" },
                { reply, "{\"v\":1,\"re\":\"kill\",\"ok\":true}" },
                { error,
                        "{\"v\":1,\"re\":\"kill\",\"ok\":false,\"error\":{\"code\":\"denied\",\"message\":\"no\","
                        "\"hint\":\"ask root\"}}" },
                { whole,
                        "{\"v\":1,\"re\":\"kill\",\"ok\":false,\"error\":{\"code\":\"failed\",\"message\":\"no\","
                        "\"detail\":\"open(2)\",\"hint\":\"try\"}}" },
        };

        for (size_t i = 0; i < ELEMENTSOF(forms); i++) {
                _cleanup_(json_decrefp) json_t *wanted = json_loads(forms[i].text, 0, NULL);

                assert_true(json_equal(forms[i].made, wanted));
        }
}

static void a_long_row_loses_its_longest_members_and_says_which(void **state) {
        _cleanup_(json_decrefp) json_t *row = padded_request("x", 10);
        _cleanup_(json_decrefp) json_t *timeline = padded_request("x", 5000), *labels = padded_request("x", 300);

        assert_int_equal(json_object_set(row, "timeline", timeline), 0);
        assert_int_equal(json_object_set(row, "labels", labels), 0);
        assert_int_equal(message_fit(row, 10000), 0);
        assert_null(json_object_get(row, "left_out")); /* it fits as it is */
        assert_int_equal(message_fit(row, 1000), 0);
        assert_true(json_is_null(json_object_get(row, "timeline")));
        assert_true(json_is_object(json_object_get(row, "labels")));
        assert_string_equal(json_string_value(json_array_get(json_object_get(row, "left_out"), 0)), "timeline");
        assert_true(json_dumpb(row, NULL, 0, JSON_COMPACT) <= 1000);
        assert_int_equal(message_fit(row, 20), -EMSGSIZE);
}

int main(void) {
#define WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, pair_setup, pair_teardown)
        const struct CMUnitTest tests[] = {
                WITH_PAIR(a_packet_comes_as_it_was_sent),
                WITH_PAIR(the_sender_is_who_the_kernel_says),
                WITH_PAIR(fds_are_passed_close_on_exec_and_closed_with_the_message),
                WITH_PAIR(an_fd_taken_out_stays_open),
                WITH_PAIR(what_is_no_json_object_is_bad_and_its_fds_are_closed),
                WITH_PAIR(nesting_without_end_is_bad),
                WITH_PAIR(a_packet_may_have_64_kib_and_not_a_byte_more),
                WITH_PAIR(more_fds_than_allowed_are_closed),
                WITH_PAIR(a_peer_that_has_gone_is_told),
                WITH_PAIR(what_was_sent_before_the_hang_up_still_comes),
                WITH_PAIR(a_socket_that_would_block_says_so),
                cmocka_unit_test(replies_and_errors_have_the_form_of_the_protocol),
                cmocka_unit_test(a_long_row_loses_its_longest_members_and_says_which),
        };

        return cmocka_run_group_tests_name("control-message", tests, NULL, NULL);
}
