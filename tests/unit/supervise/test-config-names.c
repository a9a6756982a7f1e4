/* Names of users and groups where the name service is slow, dead, or gives something else than was asked for. */
#include "supervise/config-internal.h"

#include "base/clock.h"
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

/* In place of libc's: the child of config_resolve() calls these. */
struct passwd *getpwnam(const char *name) {
        static struct passwd entry;

        if (strcmp(name, "scidex-hangs") == 0)
                for (;;)
                        (void)pause();
        if (strcmp(name, "scidex-dies") == 0)
                _exit(EXIT_FAILURE);
        if (strcmp(name, "scidex-remote") != 0)
                return NULL;
        entry.pw_uid = 70001;
        return &entry;
}

struct group *getgrnam(const char *name) {
        static struct group entry;

        /* Whoever holds this fd holds the supervisor's locks. */
        if (strcmp(name, "scidex-fds") == 0) {
                entry.gr_gid = fcntl(100, F_GETFD) < 0 ? 1 : 2;
                return &entry;
        }
        if (strcmp(name, "scidex-remote") != 0)
                return NULL;
        entry.gr_gid = 70002;
        return &entry;
}

static void assert_no_child_is_left(void) {
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
}

static void what_is_not_local_is_asked_of_the_name_service(void **state) {
        ConfigName names[] = { { .name = "scidex-remote" }, { .name = "scidex-remote", .is_group = true },
                { .name = "scidex-nobody" }, { .name = "root" } };

        config_resolve(names, ELEMENTSOF(names));
        assert_int_equal(names[0].state, NAME_FOUND);
        assert_int_equal(names[0].id, 70001);
        assert_int_equal(names[1].state, NAME_FOUND);
        assert_int_equal(names[1].id, 70002);
        assert_int_equal(names[2].state, NAME_UNKNOWN);
        assert_int_equal(names[3].id, 0);
        assert_no_child_is_left();
}

static void the_one_who_asks_holds_nothing_of_ours(void **state) {
        ConfigName name = { .name = "scidex-fds", .is_group = true };

        assert_int_equal(dup2(STDERR_FILENO, 100), 100);
        config_resolve(&name, 1);
        assert_int_equal(name.id, 1);
        assert_int_equal(close(100), 0);
}

static void a_service_that_hangs_is_not_waited_for(void **state) {
        ConfigName names[] = { { .name = "scidex-remote" }, { .name = "scidex-hangs" }, { .name = "scidex-nobody" },
                { .name = "4711" }, { .name = "root", .is_group = true } };
        uint64_t begin = clock_boottime_usec(), took;

        config_resolve(names, ELEMENTSOF(names));
        took = clock_boottime_usec() - begin;
        assert_true(took >= 1900 * USEC_PER_MSEC);
        assert_true(took < 20 * USEC_PER_SEC);
        assert_int_equal(names[0].state, NAME_FOUND); /* what was answered before */
        assert_int_equal(names[1].state, NAME_LATE);
        assert_int_equal(names[2].state, NAME_LATE);
        assert_int_equal(names[3].state, NAME_FOUND); /* these need no service */
        assert_int_equal(names[4].state, NAME_FOUND);
        assert_no_child_is_left();
}

static void a_service_that_dies_has_given_no_answer(void **state) {
        ConfigName names[] = { { .name = "scidex-dies" }, { .name = "scidex-remote" } };

        config_resolve(names, ELEMENTSOF(names));
        assert_int_equal(names[0].state, NAME_LATE);
        assert_int_equal(names[1].state, NAME_LATE);
        assert_no_child_is_left();
}

/* Whose caps these are is not known: nobody may be let in by mistake. */
static void a_silent_name_service_is_a_mistake_that_keeps_users_out(void **state) {
        _cleanup_(config_freep) Config *config = NULL;
        _cleanup_(config_findings_deinit) ConfigFindings findings = { 0 };
        ConfigUser *user;

        assert_int_equal(config_new(true, &config), 0);
        free(config->group_name);
        config->group_name = strdup("scidex-remote");
        free(config->admin_group_name);
        config->admin_group_name = strdup("root");
        config->users = user = calloc(1, sizeof(ConfigUser));
        assert_non_null(user);
        config->n_users = 1;
        *user = (ConfigUser){ .name = strdup("scidex-dies"), .set_in = "/etc/s.conf:3", .caps = USER_CAPS_NONE };
        assert_int_equal(config_find_names(config, &findings), 0);
        assert_int_equal(findings.n, 1);
        assert_int_equal(findings.n_errors, 1);
        assert_true(config_place_binds(findings.list[0].section));
        assert_int_equal(config->group, 70002); /* was answered before */
        assert_int_equal(config->admin_group, 0);
        assert_int_equal(config->n_users, 0);
        {
                _cleanup_(freep) char *text = config_finding_text(&findings.list[0]);

                assert_string_equal(text,
                        "/etc/s.conf:3: the name service does not say who the user \"scidex-dies\" is; reload when it "
                        "answers, or write the number instead of the name");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_not_local_is_asked_of_the_name_service),
                cmocka_unit_test(the_one_who_asks_holds_nothing_of_ours),
                cmocka_unit_test(a_service_that_hangs_is_not_waited_for),
                cmocka_unit_test(a_service_that_dies_has_given_no_answer),
                cmocka_unit_test(a_silent_name_service_is_a_mistake_that_keeps_users_out),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
