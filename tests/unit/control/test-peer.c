/* Who may ask what: roles as a table of peers, permissions as the one table says. */
#include "control/peer.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "wire.h"
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define GROUP 700
#define ADMIN 701

static const PeerPolicy system_policy = { .owner = 0, .group = GROUP, .admin_group = ADMIN, .group_name = "scidex" };
static const PeerPolicy private_policy = { .owner = 1000, .group = PEER_GID_NONE, .admin_group = PEER_GID_NONE };

static void the_role_follows_from_uid_and_groups(void **state) {
        static const gid_t none[] = { 5, 6, 7 }, member[] = { 5, GROUP }, admin[] = { ADMIN, 5 },
                           both[] = { GROUP, ADMIN }, root[] = { 0 }, invalid[] = { PEER_GID_NONE };
        static const struct {
                const PeerPolicy *policy;
                uid_t uid;
                gid_t gid;
                const gid_t *groups;
                size_t n;
                Role role;
        } cases[] = {
                { &system_policy, 1001, 1001, none, 3, ROLE_NONE },
                { &system_policy, 1001, 1001, NULL, 0, ROLE_NONE },
                { &system_policy, 1001, 1001, member, 2, ROLE_USER },
                { &system_policy, 1001, GROUP, none, 3, ROLE_USER },
                { &system_policy, 1001, 1001, admin, 2, ROLE_ADMIN },
                { &system_policy, 1001, ADMIN, none, 3, ROLE_ADMIN },
                { &system_policy, 1001, 1001, both, 2, ROLE_ADMIN },
                { &system_policy, 0, 0, NULL, 0, ROLE_ADMIN },
                { &system_policy, 1001, 0, root, 1, ROLE_NONE },
                { &private_policy, 1000, 1000, none, 3, ROLE_ADMIN },
                { &private_policy, 0, 0, NULL, 0, ROLE_ADMIN },
                { &private_policy, 1001, 1000, both, 2, ROLE_NONE },
                { &private_policy, 1001, PEER_GID_NONE, invalid, 1, ROLE_NONE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                if (peer_role(cases[i].policy, cases[i].uid, cases[i].gid, cases[i].groups, cases[i].n) !=
                        cases[i].role)
                        fail_msg("case %zu", i);
}

static void a_policy_left_empty_lets_nobody_in_but_root(void **state) {
        PeerPolicy empty = { .owner = 0 };
        gid_t groups[] = { 0, 4 };

        assert_int_equal(peer_role(&empty, 1000, 0, groups, 2), ROLE_NONE);
        assert_int_equal(peer_role(&empty, 0, 0, groups, 2), ROLE_ADMIN);
}

static void a_user_may_what_concerns_its_own(void **state) {
        static const char *const own[] = { "status", "list", "show", "wait", "kill", "set", "register", "unregister",
                "launch", "started", "move", "exited", "cancel", "attach", "history", "events", "why", "kills",
                "storage" };

        for (size_t i = 0; i < ELEMENTSOF(own); i++) {
                assert_true(peer_knows(own[i]));
                assert_true(peer_may(own[i], ROLE_USER, PEER_OWN));
                assert_true(peer_may(own[i], ROLE_ADMIN, PEER_OWN));
                assert_false(peer_may(own[i], ROLE_NONE, PEER_OWN));
        }
}

static void what_is_anothers_is_for_admins_only(void **state) {
        static const char *const others[] = { "list", "show", "wait", "kill", "set", "register", "unregister", "drain",
                "once", "history", "events", "why", "kills" };

        for (size_t i = 0; i < ELEMENTSOF(others); i++) {
                assert_false(peer_may(others[i], ROLE_USER, PEER_OTHERS));
                assert_true(peer_may(others[i], ROLE_ADMIN, PEER_OTHERS));
        }
        assert_false(peer_may("drain", ROLE_USER, PEER_OWN));
        assert_false(peer_may("once", ROLE_USER, PEER_OWN));
        assert_false(peer_may("dead", ROLE_USER, PEER_OWN));
        assert_false(peer_may("retry", ROLE_USER, PEER_OWN));
        assert_true(peer_may("retry", ROLE_ADMIN, PEER_OWN));
}

static void nobody_speaks_for_anothers_launcher(void **state) {
        static const char *const launchers[] = { "launch", "started", "move", "exited", "cancel", "attach" };

        for (size_t i = 0; i < ELEMENTSOF(launchers); i++)
                assert_false(peer_may(launchers[i], ROLE_ADMIN, PEER_OTHERS));
}

static void from_inside_a_run_nothing_changes_a_run(void **state) {
        static const char *const changes[] = { "kill", "set", "register", "unregister", "drain", "once" };
        static const char *const looks[] = { "status", "list", "show", "wait", "launch", "exited", "why" };

        for (size_t i = 0; i < ELEMENTSOF(changes); i++)
                assert_false(peer_may_inside(changes[i]));
        for (size_t i = 0; i < ELEMENTSOF(looks); i++)
                assert_true(peer_may_inside(looks[i]));
}

static void what_is_in_no_table_is_allowed_to_nobody(void **state) {
        assert_false(peer_knows("reboot"));
        assert_false(peer_knows(""));
        assert_false(peer_may("reboot", ROLE_ADMIN, PEER_OWN));
        assert_false(peer_may_inside("reboot"));
}

static const char *error_text(const json_t *reply, const char *key) {
        const char *text = "";

        (void)json_get_text(json_object_get(reply, "error"), key, &text);
        return text;
}

static void the_refusal_names_the_group_and_what_to_ask(void **state) {
        _cleanup_(json_decrefp) json_t *reply = peer_refusal("launch", &system_policy, 1234);

        assert_string_equal(error_text(reply, "code"), "denied");
        assert_string_equal(error_text(reply, "message"), "uid 1234 is not a member of group scidex");
        assert_non_null(strstr(error_text(reply, "hint"), "Ask the admin: usermod -aG scidex USER"));
}

static void a_private_server_sends_others_to_one_of_their_own(void **state) {
        _cleanup_(json_decrefp) json_t *reply = peer_refusal("launch", &private_policy, 1234);

        assert_string_equal(error_text(reply, "code"), "denied");
        assert_string_equal(error_text(reply, "message"), "this supervisor serves uid 1000 only");
}

static void a_connected_peer_is_read_from_the_kernel(void **state) {
        Pair *p = *state;
        PeerPolicy own = PEER_POLICY_PRIVATE(geteuid());
        Peer peer;

        assert_int_equal(peer_read(p->a, &own, &peer), 0);
        assert_int_equal(peer.uid, geteuid());
        assert_int_equal(peer.gid, getegid());
        assert_int_equal(peer.role, ROLE_ADMIN);
        assert_int_equal(peer_read(-1, &own, &peer), -EBADF);
}

/* In a child: becomes an ordinary user with so many groups, the last of them GROUP if member; its exit status is the
 * role that the other end of its socketpair sees. */
static Role role_of_user_with(size_t n_groups, bool member) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                _cleanup_(freep) gid_t *groups = calloc(n_groups + 1, sizeof(gid_t));
                int fds[2];
                Peer peer;

                for (size_t i = 0; groups && i < n_groups; i++)
                        groups[i] = (gid_t)(10000 + i);
                if (groups && member && n_groups > 0)
                        groups[n_groups - 1] = GROUP;
                if (!groups || setgroups(n_groups, groups) < 0 || setresgid(1001, 1001, 1001) < 0 ||
                        setresuid(1001, 1001, 1001) < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) < 0 ||
                        peer_read(fds[0], &system_policy, &peer) < 0)
                        _exit(98);
                free(TAKE_PTR(groups)); /* _exit() runs no cleanup, and valgrind looks at it */
                _exit((int)peer.role);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return (Role)WEXITSTATUS(status);
}

static void the_groups_are_those_of_the_kernel_however_many(void **state) {
        static const size_t counts[] = { 1, 63, 64, 65, 5000 };

        if (geteuid() != 0) {
                print_message("only root can try other groups\n");
                skip();
        }
        assert_int_equal(role_of_user_with(0, false), ROLE_NONE);
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                assert_int_equal(role_of_user_with(counts[i], false), ROLE_NONE);
                assert_int_equal(role_of_user_with(counts[i], true), ROLE_USER);
        }
}

static void write_map(pid_t pid, const char *name, const char *text) {
        _cleanup_(freep) char *path = text_printf("/proc/%d/%s", (int)pid, name);

        assert_int_equal(file_write_at(AT_FDCWD, path, text), 0);
}

/* The role of a member of GROUP, uid 1001, who connects from a user namespace of its own as this uid of it; -1: none
 * can be made here. There 0 is 1001 itself, 1 the subordinate 100001. */
static int role_from_namespace(uid_t inside) {
        const PeerPolicy policy = { .owner = 0, .group = GROUP, .admin_group = ADMIN, .namespaces_count = true };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(close_fdp) int listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), fd = -EBADF;
        int ready[2], go[2];
        char byte = 0;
        Peer peer;
        pid_t pid;

        (void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "scidex-test-%d", (int)getpid());
        assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(listening, 1), 0);
        assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
        assert_int_equal(pipe2(go, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

                (void)close(go[1]);
                if (setgroups(0, NULL) < 0 || setresgid(GROUP, GROUP, GROUP) < 0 || setresuid(1001, 1001, 1001) < 0)
                        _exit(1);
                byte = unshare(CLONE_NEWUSER) == 0;
                if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1 ||
                        setresuid(inside, inside, inside) < 0 ||
                        connect(client, (struct sockaddr *)&address, sizeof(address)) < 0)
                        _exit(1);
                (void)read(go[0], &byte, 1);
                _exit(0);
        }
        (void)close(go[0]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        if (byte) {
                write_map(pid, "uid_map", "0 1001 1\n1 100001 1\n");
                assert_int_equal(write(go[1], "", 1), 1);
                fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
                assert_true(fd >= 0);
                assert_int_equal(peer_read(fd, &policy, &peer), 0);
                assert_int_equal(peer.uid, inside == 0 ? 1001 : 100001);
                assert_int_equal(peer.gid, GROUP);
        }
        (void)close(go[1]);
        (void)close(ready[0]);
        (void)close(ready[1]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        return byte ? (int)peer.role : -1;
}

static void a_subordinate_uid_is_nobody(void **state) {
        if (geteuid() != 0) {
                print_message("only root can look into namespaces\n");
                skip();
        }
        if (role_from_namespace(1) == -1) {
                print_message("no user namespace can be made here\n");
                skip();
        }
        assert_int_equal(role_from_namespace(1), ROLE_NONE);
        assert_int_equal(role_from_namespace(0), ROLE_USER);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_role_follows_from_uid_and_groups),
                cmocka_unit_test(a_policy_left_empty_lets_nobody_in_but_root),
                cmocka_unit_test(a_user_may_what_concerns_its_own),
                cmocka_unit_test(what_is_anothers_is_for_admins_only),
                cmocka_unit_test(nobody_speaks_for_anothers_launcher),
                cmocka_unit_test(from_inside_a_run_nothing_changes_a_run),
                cmocka_unit_test(what_is_in_no_table_is_allowed_to_nobody),
                cmocka_unit_test(the_refusal_names_the_group_and_what_to_ask),
                cmocka_unit_test(a_private_server_sends_others_to_one_of_their_own),
                cmocka_unit_test_setup_teardown(a_connected_peer_is_read_from_the_kernel, pair_setup, pair_teardown),
                cmocka_unit_test(the_groups_are_those_of_the_kernel_however_many),
                cmocka_unit_test(a_subordinate_uid_is_nobody),
        };

        return cmocka_run_group_tests_name("control-peer", tests, NULL, NULL);
}
