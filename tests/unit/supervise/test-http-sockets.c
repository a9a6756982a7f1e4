/* Places to listen at: taken, kept, given up, tried again. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "base/cleanup.h"
#include "base/file.h"
#include "control/peer.h"
#include "supervise/http-sockets.h"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

typedef struct World {
        char directory[32];
        char *path, *other; /* owned; below it */
        HttpSockets sockets;
} World;

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        *world = (World){ .directory = "/tmp/scidex-test-XXXXXX" };
        assert_non_null(mkdtemp(world->directory));
        world->path = text_printf("%s/http", world->directory);
        world->other = text_printf("%s/other", world->directory);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        http_sockets_unlink(&world->sockets);
        http_sockets_deinit(&world->sockets);
        (void)unlink(world->path);
        (void)unlink(world->other);
        assert_int_equal(rmdir(world->directory), 0);
        free(world->path);
        free(world->other);
        free(world);
        return 0;
}

/* A port that is free now, bound by somebody else. */
static int take_port(char **ret_listen) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t size = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        *ret_listen = text_printf("127.0.0.1:%u", ntohs(address.sin_port));
        return fd;
}

static bool can_connect(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        memcpy(address.sun_path, path, strlen(path));
        return connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

static void a_path_is_bound_for_its_owner_alone(void **state) {
        World *world = *state;
        int fds[HTTP_SOCKETS_MAX];
        struct stat st;

        assert_int_equal(http_sockets_set(&world->sockets, world->path, PEER_GID_NONE), 1);
        assert_int_equal(http_sockets_fds(&world->sockets, fds), 1);
        assert_true(fds[0] >= HTTP_SOCKETS_LOW);
        assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
        assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
        assert_int_equal(lstat(world->path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_true(can_connect(world->path));
        assert_false(http_sockets_lack(&world->sockets));
}

static void what_stays_is_not_let_go_of(void **state) {
        World *world = *state;
        _cleanup_(freep) char *both = text_printf(" %s\t%s ", world->other, world->path);
        int before[HTTP_SOCKETS_MAX], after[HTTP_SOCKETS_MAX];

        assert_int_equal(http_sockets_set(&world->sockets, world->path, PEER_GID_NONE), 1);
        (void)http_sockets_fds(&world->sockets, before);
        assert_int_equal(http_sockets_set(&world->sockets, world->path, PEER_GID_NONE), 0);
        assert_int_equal(http_sockets_set(&world->sockets, both, PEER_GID_NONE), 1);
        assert_int_equal(http_sockets_fds(&world->sockets, after), 2);
        assert_int_equal(after[1], before[0]);
        assert_int_equal(http_sockets_set(&world->sockets, world->path, PEER_GID_NONE), 1);
        assert_int_equal(http_sockets_fds(&world->sockets, after), 1);
        assert_int_equal(after[0], before[0]);
        assert_int_equal(access(world->other, F_OK), -1); /* its file went with it */
        assert_int_equal(http_sockets_set(&world->sockets, NULL, PEER_GID_NONE), 1);
        assert_int_equal(http_sockets_fds(&world->sockets, after), 0);
        assert_int_equal(access(world->path, F_OK), -1);
}

/* Its number may be that of the one before: who has been handed that must be told. */
static void another_place_is_another_set(void **state) {
        World *world = *state;
        unsigned first;

        assert_int_equal(http_sockets_set(&world->sockets, world->path, PEER_GID_NONE), 1);
        first = world->sockets.generation;
        assert_int_equal(http_sockets_set(&world->sockets, world->path, PEER_GID_NONE), 0);
        assert_int_equal(world->sockets.generation, first);
        assert_int_equal(http_sockets_set(&world->sockets, world->other, PEER_GID_NONE), 1);
        assert_int_not_equal(world->sockets.generation, first);
}

static void a_word_that_stands_twice_is_one_place(void **state) {
        World *world = *state;
        _cleanup_(freep) char *twice = text_printf("%s %s", world->path, world->path);

        assert_int_equal(http_sockets_set(&world->sockets, twice, PEER_GID_NONE), 1);
        assert_int_equal(world->sockets.n, 1);
}

static void a_port_that_is_taken_is_had_when_it_is_free(void **state) {
        World *world = *state;
        _cleanup_(json_decrefp) json_t *before = NULL, *after = NULL;
        _cleanup_(freep) char *port = NULL, *both = NULL;
        int taken = take_port(&port), fds[HTTP_SOCKETS_MAX];

        both = text_printf("%s %s", port, world->path);
        assert_int_equal(http_sockets_set(&world->sockets, both, PEER_GID_NONE), 1);
        assert_int_equal(http_sockets_fds(&world->sockets, fds), 1); /* the other one stands all the same */
        assert_true(http_sockets_lack(&world->sockets));
        before = http_sockets_to_json(&world->sockets);
        assert_false(json_is_true(json_object_get(json_array_get(before, 0), "ok")));
        assert_string_equal(
                json_string_value(json_object_get(json_array_get(before, 0), "detail")), strerror(EADDRINUSE));
        world->sockets.list[0].is_new = false;
        assert_int_equal(http_sockets_retry(&world->sockets, PEER_GID_NONE), 0);
        assert_false(world->sockets.list[0].is_new); /* nothing new to say */
        assert_int_equal(close(taken), 0);
        assert_int_equal(http_sockets_retry(&world->sockets, PEER_GID_NONE), 1);
        assert_true(world->sockets.list[0].is_new);
        assert_false(http_sockets_lack(&world->sockets));
        after = http_sockets_to_json(&world->sockets);
        assert_string_equal(json_string_value(json_object_get(json_array_get(after, 0), "listen")), port);
        assert_true(json_is_true(json_object_get(json_array_get(after, 0), "ok")));
        assert_true(json_is_null(json_object_get(json_array_get(after, 0), "detail")));
}

static void a_stale_file_is_replaced_and_another_ones_is_not(void **state) {
        World *world = *state;
        _cleanup_(close_fdp) int file = open(world->other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        _cleanup_(freep) char *both = text_printf("%s %s", world->path, world->other);
        HttpSockets before = { .n = 0 };

        assert_int_equal(http_sockets_set(&before, world->path, PEER_GID_NONE), 1);
        http_sockets_deinit(&before); /* as a kill -9 leaves it */
        assert_int_equal(access(world->path, F_OK), 0);
        assert_int_equal(http_sockets_set(&world->sockets, both, PEER_GID_NONE), 1);
        assert_true(can_connect(world->path));
        assert_int_equal(world->sockets.list[1].error, EADDRINUSE);
        assert_int_equal(access(world->other, F_OK), 0);
}

static void what_is_handed_over_takes_the_place_of_what_is_named(void **state) {
        World *world = *state;
        _cleanup_(json_decrefp) json_t *list = NULL;
        _cleanup_(freep) char *port = NULL;
        int handed = take_port(&port), fds[HTTP_SOCKETS_MAX];

        assert_int_equal(http_sockets_take(&world->sockets, handed), 0);
        assert_int_equal(http_sockets_set(&world->sockets, world->path, PEER_GID_NONE), 0);
        assert_int_equal(http_sockets_fds(&world->sockets, fds), 1);
        assert_true(fds[0] >= HTTP_SOCKETS_LOW);
        assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
        assert_int_equal(access(world->path, F_OK), -1);
        list = http_sockets_to_json(&world->sockets);
        assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "listen")), port);
}

static void names_of_hosts_are_told_from_others(void **state) {
        static const char *const good[] = { "a", "status.example.org", "h-1_x", "10.0.0.1" };
        static const char *const bad[] = { "", "a/b", "a:80", "a b", "<b>", "[::1]", "\xc3\xa4" };

        for (size_t i = 0; i < ELEMENTSOF(good); i++)
                assert_true(http_host_is_possible(good[i], strlen(good[i])));
        for (size_t i = 0; i < ELEMENTSOF(bad); i++)
                assert_false(http_host_is_possible(bad[i], strlen(bad[i])));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_path_is_bound_for_its_owner_alone, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_stays_is_not_let_go_of, set_up, tear_down),
                cmocka_unit_test_setup_teardown(another_place_is_another_set, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_word_that_stands_twice_is_one_place, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_port_that_is_taken_is_had_when_it_is_free, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_stale_file_is_replaced_and_another_ones_is_not, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        what_is_handed_over_takes_the_place_of_what_is_named, set_up, tear_down),
                cmocka_unit_test(names_of_hosts_are_told_from_others),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
