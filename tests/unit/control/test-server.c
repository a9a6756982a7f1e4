/*
 * The serving side against clients that behave and clients that do not, all in this process: the loop is turned until
 * it has nothing to do.
 */
#include "control/server.h"

#include "base/file.h"
#include "wire.h"
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define TURNS_MAX 100000
#define ROW_BYTES 30000

typedef struct Bench {
        sd_event *event;
        Server *server;
        char directory[32];
        char *path;
        size_t n_fds;
        unsigned n_requests, n_closed, n_more, rows_left, n_closed_then;
        Client *last;    /* that has asked */
        int send_result; /* of the last client_send() */
        void (*on_request)(struct Bench *bench, Client *client, Message *message);
} Bench;

static void on_request(Client *client, Message *message, void *userdata) {
        Bench *b = userdata;

        b->n_requests++;
        b->last = client;
        if (b->on_request)
                b->on_request(b, client, message);
}

static void on_closed(Client *client, void *userdata) {
        Bench *b = userdata;

        b->n_closed++;
        if (b->last == client)
                b->last = NULL;
}

static void on_more(Client *client, void *userdata) {
        Bench *b = userdata;
        _cleanup_(json_decrefp) json_t *row = padded_request("row", ROW_BYTES);

        b->n_more++;
        if (b->rows_left == 0)
                return;
        b->rows_left--;
        b->send_result = client_send(client, row, NULL, 0);
        client_more(client);
}

static const ServerHandlers handlers = { .request = on_request, .closed = on_closed, .more = on_more };

static int bench_setup(void **state) {
        static Bench bench;
        int listen_fd = -EBADF;

        bench = (Bench){ .directory = "/tmp/scidex-test-XXXXXX", .n_fds = fd_count() };
        if (!mkdtemp(bench.directory) || asprintf(&bench.path, "%s/control", bench.directory) < 0 ||
                sd_event_new(&bench.event) < 0 || server_listen(bench.path, 0600, PEER_GID_NONE, &listen_fd) < 0 ||
                server_new(bench.event, listen_fd, &handlers, &bench, &bench.server) < 0)
                return -1;
        *state = &bench;
        return 0;
}

static int bench_teardown(void **state) {
        Bench *b = *state;

        server_free(b->server);
        sd_event_unref(b->event);
        (void)unlink(b->path);
        (void)rmdir(b->directory);
        free(b->path);
        return fd_count() == b->n_fds ? 0 : -1;
}

/* Turns the loop until it is quiet; the turns it took. */
static unsigned turn(Bench *b) {
        unsigned n = 0;

        while (sd_event_run(b->event, 0) > 0)
                if (++n > TURNS_MAX)
                        fail_msg("the loop does not come to rest");
        return n;
}

static int connect_to(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_true(fd >= 0);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

static void ask(int fd, const char *op) {
        _cleanup_(json_decrefp) json_t *request = message_request(op);

        assert_int_equal(message_send(fd, request, NULL, 0), 0);
}

static unsigned receive_all(int fd) {
        unsigned n = 0;

        for (;;) {
                _cleanup_(message_deinit) Message m = MESSAGE_NONE;

                if (message_receive(fd, &m) != 0)
                        return n;
                n++;
        }
}

static bool is_hung_up(int fd) {
        Message m = MESSAGE_NONE;

        return message_receive(fd, &m) == MESSAGE_E_CLOSED;
}

static void reply(Bench *b, Client *client, Message *message) {
        _cleanup_(json_decrefp) json_t *answer = message_reply("x");

        b->send_result = client_send(client, answer, NULL, 0);
}

static void a_request_is_answered(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = connect_to(b->path);

        b->on_request = reply;
        ask(fd, "x");
        turn(b);
        assert_int_equal(b->n_requests, 1);
        assert_int_equal(receive_all(fd), 1);
        assert_int_equal(server_client_count(b->server), 1);
}

static void check_peer(Bench *b, Client *client, Message *message) {
        assert_int_equal(client_peer(client)->pid, getpid());
        assert_int_equal(client_peer(client)->uid, getuid());
        assert_int_equal(message->pid, getpid());
        assert_int_equal(message->uid, getuid());
}

static void the_peer_is_known_also_for_what_came_before_it_was_accepted(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = connect_to(b->path);

        b->on_request = check_peer;
        ask(fd, "early");
        turn(b);
        ask(fd, "late");
        turn(b);
        assert_int_equal(b->n_requests, 2);
        if (client_peer_pidfd(b->last) == -ENOSYS) {
                print_message("no pidfd_open here (valgrind?): the peer's pidfd is not tried\n");
                return;
        }
        assert_true(client_peer_pidfd(b->last) >= 0);
        assert_int_equal(client_peer_pidfd(b->last), client_peer_pidfd(b->last));
}

static void the_end_of_a_client_is_told_once(void **state) {
        Bench *b = *state;
        int fd = connect_to(b->path);

        ask(fd, "x");
        turn(b);
        close_fd(fd);
        turn(b);
        turn(b);
        assert_int_equal(b->n_closed, 1);
        assert_int_equal(server_client_count(b->server), 0);
}

static int note_closed(sd_event_source *source, void *userdata) {
        Bench *b = userdata;

        b->n_closed_then = b->n_closed;
        return 0;
}

#define MANY 20

/* The last to ask has all of them closed. */
static void close_all(Bench *b, Client *client, Message *message) {
        static Client *clients[MANY];

        clients[b->n_requests - 1] = client;
        for (size_t i = 0; b->n_requests == MANY && i < MANY; i++)
                client_close(clients[i]);
}

static void end_many(Bench *b, int *fds) {
        b->on_request = close_all;
        for (size_t i = 0; i < MANY; i++)
                fds[i] = connect_to(b->path);
        turn(b);
        for (size_t i = 0; i < MANY; i++)
                ask(fds[i], "x");
        while (b->n_requests < MANY)
                assert_true(sd_event_run(b->event, 0) > 0);
        assert_int_equal(server_client_count(b->server), MANY);
}

/* What is more urgent comes in between. */
static void the_ends_of_many_are_told_one_by_one(void **state) {
        Bench *b = *state;
        sd_event_source *urgent = NULL;
        int fds[MANY];

        end_many(b, fds);
        assert_true(sd_event_run(b->event, 0) > 0);
        assert_int_equal(b->n_closed, 1);
        assert_true(sd_event_add_defer(b->event, &urgent, note_closed, b) >= 0);
        turn(b);
        sd_event_source_unref(urgent);
        assert_int_equal(b->n_closed_then, 1);
        assert_int_equal(b->n_closed, MANY);
        assert_int_equal(server_client_count(b->server), 0);
        for (size_t i = 0; i < MANY; i++)
                (void)close_fd(fds[i]);
}

/* The teardown looks whether all is closed. */
static void a_server_is_freed_with_ends_untold(void **state) {
        Bench *b = *state;
        int fds[MANY];

        end_many(b, fds);
        for (size_t i = 0; i < MANY; i++)
                (void)close_fd(fds[i]);
}

static void what_is_sent_right_before_the_hang_up_is_handled(void **state) {
        Bench *b = *state;
        int fd = connect_to(b->path);

        b->on_request = reply; /* to nobody any more */
        for (unsigned i = 0; i < 7; i++)
                ask(fd, "x");
        close_fd(fd);
        turn(b);
        assert_int_equal(b->n_requests, 7);
        assert_int_equal(b->n_closed, 1);
}

static void a_bad_packet_ends_its_connection_only(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int bad = connect_to(b->path), good = connect_to(b->path);

        ask(good, "x");
        send_raw(bad, "[1]", 3, 3);
        turn(b);
        assert_true(is_hung_up(bad));
        ask(good, "x");
        turn(b);
        assert_int_equal(b->n_requests, 2);
        assert_int_equal(b->n_closed, 1);
}

static void flood(Bench *b, Client *client, Message *message) {
        _cleanup_(json_decrefp) json_t *row = padded_request("row", ROW_BYTES);

        b->send_result = 0;
        for (unsigned i = 0; i < 100 && b->send_result == 0; i++)
                b->send_result = client_send(client, row, NULL, 0);
}

static void a_client_that_does_not_read_is_closed_at_the_bound(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int slow = connect_to(b->path), other = connect_to(b->path);

        b->on_request = flood;
        ask(slow, "x");
        turn(b);
        assert_int_equal(b->send_result, -ENOBUFS);
        assert_int_equal(b->n_closed, 1);
        b->on_request = reply;
        ask(other, "x");
        turn(b);
        assert_int_equal(receive_all(other), 1);
        assert_int_equal(server_client_count(b->server), 1);
}

static void answer_small(Bench *b, Client *client, Message *message) {
        _cleanup_(json_decrefp) json_t *answer = message_reply("x");

        for (unsigned i = 0; i < 5000 && b->send_result == 0; i++)
                b->send_result = client_send(client, answer, NULL, 0);
}

static void small_packets_are_bounded_in_number(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int slow = connect_to(b->path);

        b->on_request = answer_small;
        ask(slow, "x");
        turn(b);
        assert_int_equal(b->send_result, -ENOBUFS);
        assert_int_equal(b->n_closed, 1);
}

static void a_flood_gets_its_turn_and_not_the_loop(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int flooding = connect_to(b->path), patient = connect_to(b->path);
        _cleanup_(json_decrefp) json_t *request = message_request("x");
        unsigned n_sent = 0;

        turn(b);
        while (message_send(flooding, request, NULL, 0) == 0)
                n_sent++;
        assert_true(n_sent > 100);
        b->on_request = reply;
        ask(patient, "x");
        for (unsigned i = 0; i < 4; i++) /* both are ready: two turns, and room for accept and the like */
                assert_true(sd_event_run(b->event, 0) >= 0);
        assert_int_equal(receive_all(patient), 1);
        assert_in_range(b->n_requests, 2, 4 * 16 + 1);
}

static void begin_list(Bench *b, Client *client, Message *message) {
        b->rows_left = 200;
        client_more(client);
}

static void a_list_goes_on_only_as_its_client_reads(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = connect_to(b->path);
        unsigned n = 0;

        b->on_request = begin_list;
        ask(fd, "list");
        turn(b);
        assert_in_range(b->n_more, 1, 30); /* what the socket takes, not 200 */
        while (n < 200) {
                unsigned more = receive_all(fd);

                assert_true(more > 0);
                n += more;
                turn(b);
        }
        assert_int_equal(n, 200);
        assert_int_equal(b->send_result, 0);
        assert_int_equal(b->n_closed, 0);
}

static void part(Bench *b, Client *client, Message *message) {
        reply(b, client, message);
        client_close(client);
        client_close(client); /* twice is once */
}

static void a_client_closed_by_us_gets_its_answer_first(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = connect_to(b->path);

        b->on_request = part;
        ask(fd, "x");
        ask(fd, "not asked any more");
        turn(b);
        assert_int_equal(receive_all(fd), 1);
        assert_int_equal(b->n_requests, 1);
        assert_int_equal(b->n_closed, 1);
}

static void part_with_much(Bench *b, Client *client, Message *message) {
        _cleanup_(json_decrefp) json_t *row = padded_request("row", ROW_BYTES);

        for (unsigned i = 0; i < 12; i++)
                assert_int_equal(client_send(client, row, NULL, 0), 0);
        client_close(client);
}

static void a_client_closed_by_us_gets_what_is_queued(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = connect_to(b->path);
        unsigned n;

        b->on_request = part_with_much;
        ask(fd, "x");
        turn(b);
        for (n = receive_all(fd); n < 12; n += receive_all(fd))
                assert_true(turn(b) > 0);
        assert_int_equal(n, 12);
        turn(b);
        assert_int_equal(b->n_closed, 1);
}

static void answer_with_fds(Bench *b, Client *client, Message *message) {
        int fds[] = { STDERR_FILENO, STDERR_FILENO };
        _cleanup_(json_decrefp) json_t *row = padded_request("row", ROW_BYTES);

        for (unsigned i = 0; i < 10; i++)
                assert_int_equal(client_send(client, row, fds, 2), 0);
}

static void fds_in_the_queue_are_sent_or_closed(void **state) {
        Bench *b = *state;
        int fd = connect_to(b->path);
        Message m = MESSAGE_NONE;

        b->on_request = answer_with_fds;
        ask(fd, "x");
        turn(b);
        assert_int_equal(message_receive(fd, &m), 0);
        assert_int_equal(m.n_fds, 2);
        message_deinit(&m);
        close_fd(fd); /* the rest stays in the queue */
        turn(b);
        assert_int_equal(b->n_closed, 1); /* the teardown counts the fds */
}

static void a_packet_too_long_is_refused_and_the_client_kept(void **state) {
        Bench *b = *state;
        _cleanup_(json_decrefp) json_t *row = padded_request("row", MESSAGE_MAX_BYTES);
        _cleanup_(close_fdp) int fd = connect_to(b->path);

        ask(fd, "x");
        turn(b);
        assert_int_equal(client_send(b->last, row, NULL, 0), -EMSGSIZE);
        turn(b);
        assert_int_equal(b->n_closed, 0);
}

#define FDS_MAX 64

static void without_fds_the_loop_does_not_spin(void **state) {
        Bench *b = *state;
        int waiting = connect_to(b->path), copies[FDS_MAX], n = 0;
        _cleanup_(close_fdp) int later = -EBADF;
        struct rlimit limit, few;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        few = (struct rlimit){ .rlim_cur = FDS_MAX, .rlim_max = limit.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        while (n < FDS_MAX && (copies[n] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) >= 0)
                n++;
        for (unsigned i = 0; i < 1000 && sd_event_run(b->event, 0) > 0; i++)
                assert_true(i < 100);
        while (n > 0)
                close_fd(copies[--n]);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        assert_true(is_hung_up(waiting)); /* turned away, not left without a word */
        close_fd(waiting);
        later = connect_to(b->path);
        b->on_request = reply;
        ask(later, "x");
        turn(b);
        assert_int_equal(receive_all(later), 1);
}

static void a_client_over_a_given_fd_is_served_alike(void **state) {
        Bench *b = *state;
        int fds[2];
        Client *client = NULL;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(server_add_client(b->server, fds[0], &client), 0);
        client_set_userdata(client, b);
        assert_ptr_equal(client_userdata(client), b);
        b->on_request = reply;
        ask(fds[1], "x");
        turn(b);
        assert_ptr_equal(b->last, client);
        assert_int_equal(receive_all(fds[1]), 1);
        close_fd(fds[1]);
        turn(b);
        assert_int_equal(b->n_closed, 1);
}

static void a_live_socket_is_not_taken_over(void **state) {
        Bench *b = *state;
        int fd = -EBADF;

        assert_int_equal(server_listen(b->path, 0600, PEER_GID_NONE, &fd), -EADDRINUSE);
        assert_int_equal(fd, -EBADF);
        close_fd(connect_to(b->path)); /* it is still there */
}

static void a_stale_socket_is_replaced(void **state) {
        Bench *b = *state;
        _cleanup_(freep) char *path = text_printf("%s/stale", b->directory);
        struct stat st;
        int fd = -EBADF;

        assert_int_equal(server_listen(path, 0600, PEER_GID_NONE, &fd), 0);
        close_fd(fd);
        assert_int_equal(access(path, F_OK), 0);
        assert_int_equal(server_listen(path, 0660, PEER_GID_NONE, &fd), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660);
        close_fd(connect_to(path));
        close_fd(fd);
        assert_int_equal(unlink(path), 0);
}

static void a_file_that_is_no_socket_is_left_alone(void **state) {
        Bench *b = *state;
        _cleanup_(freep) char *path = text_printf("%s/thesis.tex", b->directory);
        _cleanup_(close_fdp) int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        int fd = -EBADF;

        assert_true(file >= 0);
        assert_int_equal(server_listen(path, 0600, PEER_GID_NONE, &fd), -EADDRINUSE);
        assert_int_equal(unlink(path), 0);
}

static void a_path_too_long_for_a_socket_is_refused(void **state) {
        char path[200];
        int fd = -EBADF;

        memset(path, 'x', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(server_listen(path, 0600, PEER_GID_NONE, &fd), -ENAMETOOLONG);
}

int main(void) {
#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                WITH_BENCH(a_request_is_answered),
                WITH_BENCH(the_peer_is_known_also_for_what_came_before_it_was_accepted),
                WITH_BENCH(the_end_of_a_client_is_told_once),
                WITH_BENCH(the_ends_of_many_are_told_one_by_one),
                WITH_BENCH(a_server_is_freed_with_ends_untold),
                WITH_BENCH(what_is_sent_right_before_the_hang_up_is_handled),
                WITH_BENCH(a_bad_packet_ends_its_connection_only),
                WITH_BENCH(a_client_that_does_not_read_is_closed_at_the_bound),
                WITH_BENCH(small_packets_are_bounded_in_number),
                WITH_BENCH(a_flood_gets_its_turn_and_not_the_loop),
                WITH_BENCH(a_list_goes_on_only_as_its_client_reads),
                WITH_BENCH(a_client_closed_by_us_gets_its_answer_first),
                WITH_BENCH(a_client_closed_by_us_gets_what_is_queued),
                WITH_BENCH(fds_in_the_queue_are_sent_or_closed),
                WITH_BENCH(a_packet_too_long_is_refused_and_the_client_kept),
                WITH_BENCH(without_fds_the_loop_does_not_spin),
                WITH_BENCH(a_client_over_a_given_fd_is_served_alike),
                WITH_BENCH(a_live_socket_is_not_taken_over),
                WITH_BENCH(a_stale_socket_is_replaced),
                WITH_BENCH(a_file_that_is_no_socket_is_left_alone),
                cmocka_unit_test(a_path_too_long_for_a_socket_is_refused),
        };

        return cmocka_run_group_tests_name("control-server", tests, NULL, NULL);
}
