/*
 * Many users at one server, each over another bound: who is over it waits or is turned away, and nobody else notices.
 *
 * All in this process: a connection is another user's because the effective uid was that when it connected, which is
 * what the kernel notes. So all of these need root.
 */
#include "base/clock.h"
#include "base/file.h"
#include "control/priority.h"
#include "control/server.h"
#include "wire.h"
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define ALICE 1001
#define BOB   1002
#define GROUP 700

#define TURNS_MAX     100000
#define DEADLINE_USEC (10 * USEC_PER_SEC)
#define ROW_BYTES     30000
#define NEVER_USEC    (3600 * USEC_PER_SEC) /* a token that does not come back while the test runs */

typedef struct Bench {
        sd_event *event;
        Server *server;
        char directory[32];
        char *path;
        size_t n_fds;
        unsigned n_requests, n_closed, n_timers;
        unsigned of[2]; /* requests of Alice and of Bob */
        size_t answer_bytes;
        int send_result;
        Role role; /* of who asked last */
        size_t request_fds;
        uid_t request_uid;
} Bench;

static void on_request(Client *client, Message *message, void *userdata) {
        Bench *b = userdata;
        _cleanup_(json_decrefp) json_t *answer = padded_request("x", b->answer_bytes);

        b->n_requests++;
        if (client_peer(client)->uid >= ALICE && client_peer(client)->uid <= BOB)
                b->of[client_peer(client)->uid - ALICE]++;
        b->role = client_peer(client)->role;
        b->request_fds = message->n_fds;
        b->request_uid = message->uid;
        b->send_result = client_send(client, answer, NULL, 0);
}

static void on_closed(Client *client, void *userdata) {
        ((Bench *)userdata)->n_closed++;
}

static const ServerHandlers handlers = { .request = on_request, .closed = on_closed };
static const PeerPolicy policy = { .owner = 0, .group = GROUP, .admin_group = PEER_GID_NONE, .group_name = "scidex" };

static int bench_setup(void **state) {
        static Bench bench;
        int listen_fd = -EBADF;

        bench = (Bench){ .directory = "/tmp/scidex-test-XXXXXX", .n_fds = fd_count() };
        if (!mkdtemp(bench.directory) || asprintf(&bench.path, "%s/control", bench.directory) < 0 ||
                chmod(bench.directory, 0755) < 0 || sd_event_new(&bench.event) < 0 ||
                server_listen(bench.path, 0666, PEER_GID_NONE, &listen_fd) < 0 ||
                server_new(bench.event, listen_fd, &handlers, &bench, &bench.server) < 0)
                return -1;
        server_set_policy(bench.server, &policy);
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

static void need_root(void) {
        if (geteuid() == 0)
                return;
        print_message("only root can connect as somebody else\n");
        skip();
}

/* Turns the loop until it is quiet. */
static unsigned turn(Bench *b) {
        unsigned n = 0;

        while (sd_event_run(b->event, 0) > 0)
                if (++n > TURNS_MAX)
                        fail_msg("the loop does not come to rest");
        return n;
}

static void turn_until(Bench *b, const unsigned *count, unsigned wanted) {
        uint64_t until = clock_boottime_usec() + DEADLINE_USEC;

        while (*count < wanted) {
                assert_true(clock_boottime_usec() < until);
                (void)sd_event_run(b->event, DEADLINE_USEC);
        }
}

static int connect_as(Bench *b, uid_t uid, gid_t gid) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_true(fd >= 0);
        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", b->path);
        assert_int_equal(setegid(gid), 0);
        assert_int_equal(seteuid(uid), 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(setegid(0), 0);
        return fd;
}

static int alice(Bench *b) {
        return connect_as(b, ALICE, GROUP);
}

static int bob(Bench *b) {
        return connect_as(b, BOB, GROUP);
}

static unsigned ask(int fd, unsigned n) {
        _cleanup_(json_decrefp) json_t *request = message_request("x");
        unsigned sent = 0;

        while (sent < n && message_send(fd, request, NULL, 0) == 0)
                sent++;
        return sent;
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

static void bound(Bench *b, unsigned clients, size_t bytes, uint64_t per_request_usec, unsigned burst) {
        AccountBounds bounds = ACCOUNT_BOUNDS_DEFAULT;

        bounds.clients = clients;
        bounds.bytes = bytes;
        bounds.per_request_usec = per_request_usec;
        bounds.burst = burst;
        server_set_bounds(b->server, &bounds);
}

static void a_flood_waits_for_its_tokens_and_others_do_not(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int flooding = -EBADF, other = -EBADF, patient = -EBADF;

        need_root();
        bound(b, 10, 1 << 20, NEVER_USEC, 20);
        flooding = alice(b);
        other = alice(b);
        patient = bob(b);
        assert_int_equal(ask(flooding, 50), 50);
        turn(b);
        assert_int_equal(b->of[0], 18); /* two for the connections */
        assert_int_equal(ask(other, 1), 1);
        assert_int_equal(ask(patient, 10), 10);
        turn(b);
        assert_int_equal(b->of[0], 18);
        assert_int_equal(b->of[1], 10);
        assert_int_equal(receive_all(patient), 10);
        assert_int_equal(b->n_closed, 0);
}

static void with_its_tokens_everything_is_answered_in_the_end(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int one = -EBADF, two = -EBADF;

        need_root();
        bound(b, 10, 1 << 20, 1000, 10);
        one = alice(b);
        two = alice(b);
        assert_int_equal(ask(one, 40), 40);
        assert_int_equal(ask(two, 40), 40);
        turn_until(b, &b->of[0], 80);
        assert_int_equal(receive_all(one), 40);
        assert_int_equal(receive_all(two), 40);
}

static void connections_cost_tokens_too(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int last = -EBADF;

        need_root();
        bound(b, 10, 1 << 20, NEVER_USEC, 20);
        for (unsigned i = 0; i < 30; i++)
                (void)close_fd(alice(b));
        turn(b);
        last = alice(b);
        assert_int_equal(ask(last, 1), 1);
        turn(b);
        assert_int_equal(b->of[0], 0);
}

static void the_hang_up_of_who_waits_wakes_nobody_and_is_told_later(void **state) {
        const uint64_t token_usec = 20 * USEC_PER_MSEC;
        uint64_t begin_usec = clock_boottime_usec();
        Bench *b = *state;
        int fd;

        need_root();
        bound(b, 10, 1 << 20, token_usec, 5);
        fd = alice(b);
        assert_int_equal(ask(fd, 9), 9);
        turn(b);
        /* One went for the connection; some may have come back meanwhile. */
        assert_in_range(b->of[0], 4, 4 + (clock_boottime_usec() - begin_usec) / token_usec);
        close_fd(fd);
        turn(b); /* comes to rest */
        turn_until(b, &b->n_closed, 1);
        assert_int_equal(server_client_count(b->server), 0);
}

static void root_waits_for_no_token(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = -EBADF;

        need_root();
        bound(b, 10, 1 << 20, NEVER_USEC, 5);
        fd = connect_as(b, 0, 0);
        assert_int_equal(ask(fd, 50), 50);
        turn(b);
        assert_int_equal(b->n_requests, 50);
}

static void connections_of_a_uid_are_bounded_and_those_of_root_are_not(void **state) {
        Bench *b = *state;
        int mine[8], roots[8];
        _cleanup_(close_fdp) int theirs = -EBADF;

        need_root();
        bound(b, 5, 1 << 20, 1, 1000);
        for (size_t i = 0; i < ELEMENTSOF(mine); i++)
                mine[i] = alice(b);
        for (size_t i = 0; i < ELEMENTSOF(roots); i++)
                roots[i] = connect_as(b, 0, 0);
        theirs = bob(b);
        turn(b);
        assert_int_equal(server_client_count(b->server), 5 + 8 + 1);
        for (size_t i = 0; i < ELEMENTSOF(mine); i++)
                assert_int_equal(is_hung_up(mine[i]), i >= 5);
        close_fd(mine[0]); /* half-open ones can be replaced */
        turn(b);
        mine[0] = alice(b);
        assert_int_equal(ask(mine[0], 1), 1);
        assert_int_equal(ask(theirs, 1), 1);
        turn(b);
        assert_int_equal(b->of[0], 1);
        assert_int_equal(b->of[1], 1);
        for (size_t i = 0; i < ELEMENTSOF(mine); i++)
                close_fd(mine[i]), close_fd(roots[i]);
}

static void who_may_ask_nothing_has_few_connections(void **state) {
        Bench *b = *state;
        int fds[40];

        need_root();
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = connect_as(b, ALICE, ALICE);
        turn(b);
        assert_int_equal(server_client_count(b->server), 16);
        assert_int_equal(ask(fds[0], 1), 1);
        turn(b);
        assert_int_equal(b->role, ROLE_NONE);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close_fd(fds[i]);
}

static void the_last_places_are_roots(void **state) {
        Bench *b = *state;
        Server *small = NULL;
        int fds[120], root;
        struct rlimit limit, few;

        need_root();
        assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
        few = (struct rlimit){ .rlim_cur = 300, .rlim_max = limit.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        server_free(b->server);
        assert_int_equal(server_listen(b->path, 0666, PEER_GID_NONE, &root), 0);
        assert_int_equal(server_new(b->event, root, &handlers, b, &small), 0);
        b->server = small;
        server_set_policy(b->server, &policy);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = i % 2 ? alice(b) : bob(b);
        turn(b);
        assert_int_equal(server_client_count(b->server), 300 / 2 - 64);
        root = connect_as(b, 0, 0);
        assert_int_equal(ask(root, 1), 1);
        turn(b);
        assert_int_equal(receive_all(root), 1);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close_fd(fds[i]);
        close_fd(root);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void who_does_not_read_is_not_read_from(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = -EBADF;
        unsigned n = 0;

        need_root();
        b->answer_bytes = ROW_BYTES;
        fd = alice(b);
        assert_int_equal(ask(fd, 100), 100);
        turn(b);
        assert_in_range(b->n_requests, 2, 30); /* what the socket takes, and four */
        while (n < 100) {
                unsigned more = receive_all(fd);

                assert_true(more > 0);
                n += more;
                turn(b);
        }
        assert_int_equal(b->n_requests, 100);
        assert_int_equal(b->n_closed, 0);
}

static void what_a_uid_does_not_read_is_bounded_over_all_its_connections(void **state) {
        Bench *b = *state;
        int fds[40];
        _cleanup_(close_fdp) int patient = -EBADF;

        need_root();
        bound(b, 100, 1 << 20, 1, 10000);
        b->answer_bytes = ROW_BYTES;
        patient = bob(b);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) { /* 40 times 4 rows: 4.8 MB */
                fds[i] = alice(b);
                assert_int_equal(ask(fds[i], 4), 4);
        }
        turn(b);
        assert_true(b->n_closed >= 20);
        assert_true(server_client_count(b->server) > 5);
        assert_int_equal(ask(patient, 1), 1);
        turn(b);
        assert_int_equal(receive_all(patient), 1);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close_fd(fds[i]);
}

static void who_reads_in_time_is_not_held_to_what_it_had(void **state) {
        Bench *b = *state;
        int fds[10];

        need_root();
        bound(b, 100, 1 << 20, 1, 10000);
        b->answer_bytes = ROW_BYTES;
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                fds[i] = alice(b);
        for (unsigned round = 0; round < 20; round++) /* 20 times 10 times 2 rows: 12 MB */
                for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                        assert_int_equal(ask(fds[i], 2), 2);
                        turn(b);
                        assert_int_equal(receive_all(fds[i]), 2);
                }
        assert_int_equal(b->n_closed, 0);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close_fd(fds[i]);
}

static void over_all_uids_the_one_that_reads_least_gives_way(void **state) {
        Bench *b = *state;
        AccountBounds bounds = ACCOUNT_BOUNDS_DEFAULT;
        int fds[10];
        _cleanup_(close_fdp) int patient = -EBADF;

        need_root();
        bounds.all_bytes = 512 << 10;
        server_set_bounds(b->server, &bounds);
        b->answer_bytes = ROW_BYTES;
        patient = bob(b);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++) {
                fds[i] = alice(b);
                assert_int_equal(ask(fds[i], 4), 4);
        }
        turn(b);
        assert_int_equal(ask(patient, 4), 4);
        turn(b);
        assert_true(b->n_closed >= 1);
        assert_int_equal(receive_all(patient), 4);
        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                close_fd(fds[i]);
}

static void fds_of_clients_are_not_taken_and_the_packet_is(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = connect_as(b, geteuid(), getegid());
        size_t n_fds;

        turn(b);
        n_fds = fd_count();
        send_raw(fd, "{\"v\":1}", 7, 1);
        send_raw(fd, "{\"v\":1}", 7, MESSAGE_MAX_FDS);
        send_raw(fd, "{\"v\":1}", 7, 200);
        turn(b);
        assert_int_equal(b->n_requests, 3);
        assert_int_equal(b->request_fds, 0);
        assert_int_equal(fd_count(), n_fds);
        assert_int_equal(receive_all(fd), 3);
}

static void a_sender_who_did_not_connect_is_refused(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = -EBADF;
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;
        const char *code = "";

        need_root();
        fd = alice(b);
        assert_int_equal(setresuid(BOB, BOB, 0), 0);
        assert_int_equal(ask(fd, 1), 1);
        assert_int_equal(setresuid(0, 0, 0), 0);
        turn(b);
        assert_int_equal(b->n_requests, 0);
        assert_int_equal(message_receive(fd, &reply), 0);
        assert_int_equal(json_get_text(json_object_get(reply.body, "error"), "code", &code), 0);
        assert_string_equal(code, "denied");
        assert_true(is_hung_up(fd));
}

/* As the recorder does, once it has the end that was made for it. */
static void the_other_end_of_a_pair_may_become_another_user(void **state) {
        Bench *b = *state;
        int ends[2];

        need_root();
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
        assert_int_equal(server_add_client(b->server, ends[0], NULL), 0);
        assert_int_equal(setresuid(BOB, BOB, 0), 0);
        assert_int_equal(ask(ends[1], 1), 1);
        assert_int_equal(setresuid(0, 0, 0), 0);
        turn(b);
        assert_int_equal(b->n_requests, 1);
        assert_int_equal(b->request_uid, 0);
        close_fd(ends[1]);
}

static void root_at_anothers_connection_asks_as_that_one(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int fd = -EBADF;

        need_root();
        fd = alice(b);
        assert_int_equal(ask(fd, 1), 1);
        turn(b);
        assert_int_equal(b->n_requests, 1);
        assert_int_equal(b->request_uid, ALICE);
        assert_int_equal(b->role, ROLE_USER);
}

static void a_changed_policy_holds_for_those_connected(void **state) {
        Bench *b = *state;
        PeerPolicy changed = policy;
        _cleanup_(close_fdp) int fd = -EBADF;

        need_root();
        fd = alice(b);
        changed.group = GROUP + 1;
        turn(b);
        server_set_policy(b->server, &changed);
        assert_int_equal(ask(fd, 1), 1);
        turn(b);
        assert_int_equal(b->role, ROLE_NONE);
        changed.admin_group = GROUP;
        server_set_policy(b->server, &changed);
        assert_int_equal(ask(fd, 1), 1);
        turn(b);
        assert_int_equal(b->role, ROLE_ADMIN);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Bench *b = userdata;

        b->n_timers++;
        assert_int_equal(b->n_requests, 0);
        return 0;
}

static void a_deadline_goes_before_every_client(void **state) {
        Bench *b = *state;
        _cleanup_(close_fdp) int one = connect_as(b, geteuid(), getegid()), two = connect_as(b, geteuid(), getegid());
        sd_event_source *timer = NULL;

        turn(b);
        assert_int_equal(ask(one, 50), 50);
        assert_int_equal(ask(two, 50), 50);
        assert_int_equal(sd_event_add_time(b->event, &timer, CLOCK_BOOTTIME, clock_boottime_usec(), 1, on_timer, b), 0);
        assert_int_equal(sd_event_source_set_priority(timer, PRIORITY_DEADLINES), 0);
        turn(b);
        assert_int_equal(b->n_timers, 1);
        assert_int_equal(b->n_requests, 100);
        sd_event_source_disable_unref(timer);
}

static void the_socket_is_its_groups(void **state) {
        Bench *b = *state;
        _cleanup_(freep) char *path = text_printf("%s/other", b->directory);
        struct stat st;
        int fd = -EBADF;

        need_root();
        assert_int_equal(server_listen(path, 0660, GROUP, &fd), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_gid, GROUP);
        assert_int_equal(st.st_uid, 0);
        assert_int_equal(st.st_mode & 0777, 0660);
        close_fd(fd);
        assert_int_equal(unlink(path), 0);
}

static bool can_connect(const char *path, uid_t uid, gid_t gid) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        bool can;

        (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
        assert_int_equal(setegid(gid), 0);
        assert_int_equal(seteuid(uid), 0);
        can = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
        assert_true(can || errno == EACCES);
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(setegid(0), 0);
        return can;
}

static void users_and_admins_get_in_and_others_do_not(void **state) {
        Bench *b = *state;
        PeerPolicy both = { .owner = 0, .group = GROUP, .admin_group = GROUP + 1 };
        _cleanup_(freep) char *path = text_printf("%s/both", b->directory);
        int fd = -EBADF, r;

        need_root();
        assert_int_equal(server_listen(path, 0600, PEER_GID_NONE, &fd), 0);
        r = server_admit_groups(path, &both);
        if (r == -EOPNOTSUPP)
                print_message("no access lists on this file system\n");
        else
                assert_int_equal(r, 0);
        assert_true(can_connect(path, ALICE, GROUP));
        assert_int_equal(can_connect(path, ALICE, GROUP + 1), r == 0);
        assert_false(can_connect(path, ALICE, GROUP + 2));

        both.admin_group = PEER_GID_NONE; /* a changed configuration takes back what was given */
        assert_int_equal(server_admit_groups(path, &both), 0);
        assert_true(can_connect(path, ALICE, GROUP));
        assert_false(can_connect(path, ALICE, GROUP + 1));

        both = (PeerPolicy){ .owner = 0, .group = PEER_GID_NONE, .admin_group = GROUP + 1 };
        assert_int_equal(server_admit_groups(path, &both), r);
        assert_false(can_connect(path, ALICE, GROUP));
        assert_int_equal(can_connect(path, ALICE, GROUP + 1), r == 0);
        close_fd(fd);
        assert_int_equal(unlink(path), 0);
}

static void a_link_in_the_sockets_place_opens_nothing(void **state) {
        Bench *b = *state;
        PeerPolicy users = { .owner = 0, .group = GROUP, .admin_group = PEER_GID_NONE };
        _cleanup_(freep) char *path = text_printf("%s/link", b->directory),
                              *file = text_printf("%s/file", b->directory);
        _cleanup_(close_fdp) int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        struct stat st;

        need_root();
        assert_true(fd >= 0);
        assert_int_equal(symlink(file, path), 0);
        assert_true(server_admit_groups(path, &users) < 0);
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(st.st_gid, 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(unlink(file), 0);
}

int main(void) {
#define WITH_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_setup, bench_teardown)
        const struct CMUnitTest tests[] = {
                WITH_BENCH(a_flood_waits_for_its_tokens_and_others_do_not),
                WITH_BENCH(with_its_tokens_everything_is_answered_in_the_end),
                WITH_BENCH(connections_cost_tokens_too),
                WITH_BENCH(the_hang_up_of_who_waits_wakes_nobody_and_is_told_later),
                WITH_BENCH(root_waits_for_no_token),
                WITH_BENCH(connections_of_a_uid_are_bounded_and_those_of_root_are_not),
                WITH_BENCH(who_may_ask_nothing_has_few_connections),
                WITH_BENCH(the_last_places_are_roots),
                WITH_BENCH(who_does_not_read_is_not_read_from),
                WITH_BENCH(what_a_uid_does_not_read_is_bounded_over_all_its_connections),
                WITH_BENCH(who_reads_in_time_is_not_held_to_what_it_had),
                WITH_BENCH(over_all_uids_the_one_that_reads_least_gives_way),
                WITH_BENCH(fds_of_clients_are_not_taken_and_the_packet_is),
                WITH_BENCH(a_sender_who_did_not_connect_is_refused),
                WITH_BENCH(the_other_end_of_a_pair_may_become_another_user),
                WITH_BENCH(root_at_anothers_connection_asks_as_that_one),
                WITH_BENCH(a_changed_policy_holds_for_those_connected),
                WITH_BENCH(a_deadline_goes_before_every_client),
                WITH_BENCH(the_socket_is_its_groups),
                WITH_BENCH(users_and_admins_get_in_and_others_do_not),
                WITH_BENCH(a_link_in_the_sockets_place_opens_nothing),
        };

        return cmocka_run_group_tests_name("control-fairness", tests, NULL, NULL);
}
