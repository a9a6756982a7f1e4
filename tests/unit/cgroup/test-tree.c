/* cgroup/tree.c: which tree is taken, who holds it, and what is said where there is none. Scopes are tested in
 * tests/vm. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/tree.h"
#include "scratch.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NAMES_MAX 256

/* Below the scratch group, so that its teardown removes it. */
static char *given_path(const Scratch *scratch, const char *name) {
        char *path = text_printf("%s/%s/%s", scratch->host.mount, scratch->group.name, name);

        assert_non_null(path);
        assert_int_equal(setenv("SCIDEX_TREE", path, 1), 0);
        return path;
}

static int tree_teardown(void **state) {
        (void)unsetenv("SCIDEX_TREE");
        return scratch_teardown(state);
}

static void a_given_tree_is_made_below_its_parent(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(freep) char *path = given_path(scratch, "tree");
        _cleanup_(tree_error_deinit) TreeError error = {};
        _cleanup_(tree_deinit) Tree tree = {};
        struct stat st;

        assert_int_equal(tree_open(&scratch->host, "scidex-test.scope", &tree, &error), 0);
        assert_int_equal(tree.kind, TREE_GIVEN);
        assert_string_equal(tree.path, path);
        assert_int_equal(tree.cgroup[0], '/');
        assert_true(tree.made);
        assert_int_equal(stat(path, &st), 0);
        assert_true(fcntl(tree.fd, F_GETFD) & FD_CLOEXEC);
        tree_remove_if_empty(&tree);
        assert_int_equal(stat(path, &st), -1);
}

static void a_tree_that_was_there_is_not_removed(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(freep) char *path = given_path(scratch, "tree");
        _cleanup_(tree_error_deinit) TreeError error = {};
        _cleanup_(tree_deinit) Tree tree = {};
        struct stat st;

        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(tree_open(&scratch->host, "scidex-test.scope", &tree, &error), 0);
        assert_false(tree.made);
        tree_remove_if_empty(&tree);
        assert_int_equal(stat(path, &st), 0);
}

static void a_second_supervisor_is_refused_and_told_why(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(freep) char *path = given_path(scratch, "tree");
        _cleanup_(tree_error_deinit) TreeError error = {}, second_error = {};
        _cleanup_(tree_deinit) Tree tree = {}, second = {};

        assert_int_equal(tree_open(&scratch->host, "scidex-test.scope", &tree, &error), 0);
        assert_int_equal(tree_open(&scratch->host, "scidex-test.scope", &second, &second_error), -EBUSY);
        assert_int_equal(second.kind, TREE_NONE);
        assert_non_null(strstr(second_error.detail, "another supervisor"));
        assert_non_null(second_error.hint);
        tree_deinit(&tree);
        assert_int_equal(tree_open(&scratch->host, "scidex-test.scope", &second, &error), 0);
}

static void a_given_path_that_is_no_tree_is_refused(void **state) {
        Scratch *scratch = scratch_need(state);
        static const char *const formats[] = { "%.0s/tmp", "relative%.0s", "%s", "%s/", "%s/../x", "%sx/y" };

        for (size_t i = 0; i < ELEMENTSOF(formats); i++) {
                _cleanup_(tree_error_deinit) TreeError error = {};
                _cleanup_(tree_deinit) Tree tree = {};
                _cleanup_(freep) char *path = NULL;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                path = text_printf(formats[i], scratch->host.mount);
#pragma GCC diagnostic pop
                assert_int_equal(setenv("SCIDEX_TREE", path, 1), 0);
                assert_int_equal(tree_open(&scratch->host, "scidex-test.scope", &tree, &error), -EINVAL);
                assert_non_null(error.detail);
        }
}

static void a_given_tree_without_its_parent_is_an_error(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(freep) char *path = given_path(scratch, "none/tree");
        _cleanup_(tree_error_deinit) TreeError error = {};
        _cleanup_(tree_deinit) Tree tree = {};

        assert_int_equal(tree_open(&scratch->host, "scidex-test.scope", &tree, &error), -ENOENT);
        assert_non_null(strstr(error.detail, path));
}

static int try_from_inside(const HostFacts *old) {
        _cleanup_(tree_error_deinit) TreeError error = {};
        _cleanup_(host_facts_deinit) HostFacts host = {};
        _cleanup_(tree_deinit) Tree tree = {};
        _cleanup_(host_facts_deinit) HostFacts after = {};

        if (host_facts_read(&host) < 0 || tree_open(&host, "scidex-test.scope", &tree, &error) < 0)
                return 1;
        if (host_facts_read(&after) < 0 || !strstr(after.own_cgroup, "/tree/supervisor"))
                return 2;
        return 0;
}

static void who_stands_in_the_given_tree_moves_to_the_leaf(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group inside = GROUP_NONE;
        int status;
        pid_t pid;

        free(given_path(scratch, "tree")); /* what only the parent frees would look lost in the child to valgrind */
        assert_int_equal(group_create(scratch->group.fd, "tree", &inside), 0);
        pid = fork();
        if (pid == 0)
                _exit(group_attach(&inside, 0) == 0 ? try_from_inside(&scratch->host) : 3);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void no_cgroup2_is_no_tree_with_a_reason(void **state) {
        const HostFacts host = { .kind = HOST_NO_CGROUP2 };
        _cleanup_(tree_error_deinit) TreeError error = {};
        _cleanup_(tree_deinit) Tree tree = {};

        (void)unsetenv("SCIDEX_TREE");
        assert_int_equal(tree_open(&host, "scidex-test.scope", &tree, &error), 0);
        assert_int_equal(tree.kind, TREE_NONE);
        assert_true(tree.fd < 0);
        assert_null(tree.path);
        assert_string_equal(error.detail, "cgroup2 is not mounted");
        assert_non_null(error.hint);
}

static void a_read_only_mount_is_no_tree_with_a_reason(void **state) {
        const HostFacts host = { .kind = HOST_PURE_V2, .mount = (char *)"/sys/fs/cgroup" };
        _cleanup_(tree_error_deinit) TreeError error = {};
        _cleanup_(tree_deinit) Tree tree = {};

        if (geteuid() != 0) {
                print_message("skipped: only root tries the mount\n");
                skip();
        }
        assert_int_equal(tree_open(&host, "scidex-test.scope", &tree, &error), 0);
        assert_int_equal(tree.kind, TREE_NONE);
        assert_non_null(strstr(error.detail, "read-only"));
}

static int note_name(int parent_fd, const char *name, void *userdata) {
        char *names = userdata;

        size_t length = strlen(names);

        assert_true(snprintf(names + length, NAMES_MAX - length, "%s ", name) < (int)(NAMES_MAX - length));
        return strcmp(name, "stop") == 0 ? 9 : 0;
}

static void groups_are_listed_without_the_leaf(void **state) {
        Scratch *scratch = scratch_need(state);
        char names[NAMES_MAX] = "";

        assert_int_equal(tree_each_group(scratch->group.fd, note_name, names), 0);
        assert_string_equal(names, "");
        assert_int_equal(mkdirat(scratch->group.fd, "supervisor", 0755), 0);
        assert_int_equal(mkdirat(scratch->group.fd, "run", 0755), 0);
        assert_int_equal(tree_each_group(scratch->group.fd, note_name, names), 0);
        assert_string_equal(names, "run ");
}

static void what_the_function_returns_ends_the_listing(void **state) {
        Scratch *scratch = scratch_need(state);
        char names[NAMES_MAX] = "";

        assert_int_equal(mkdirat(scratch->group.fd, "stop", 0755), 0);
        assert_int_equal(tree_each_group(scratch->group.fd, note_name, names), 9);
}

static void only_a_scope_can_have_processes_attached(void **state) {
        Tree tree = { .kind = TREE_GIVEN, .fd = -EBADF };

        assert_int_equal(tree_attach(&tree, "run", getpid()), -EOPNOTSUPP);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, tree_teardown)
        const struct CMUnitTest tests[] = {
                T(a_given_tree_is_made_below_its_parent),
                T(a_tree_that_was_there_is_not_removed),
                T(a_second_supervisor_is_refused_and_told_why),
                T(a_given_path_that_is_no_tree_is_refused),
                T(a_given_tree_without_its_parent_is_an_error),
                T(who_stands_in_the_given_tree_moves_to_the_leaf),
                cmocka_unit_test(no_cgroup2_is_no_tree_with_a_reason),
                cmocka_unit_test(a_read_only_mount_is_no_tree_with_a_reason),
                T(groups_are_listed_without_the_leaf),
                T(what_the_function_returns_ends_the_listing),
                cmocka_unit_test(only_a_scope_can_have_processes_attached),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
