/* cgroup/group-remove.c and the walk: depth, few fds, and an owner who has shut himself out. */
#include "base/cleanup.h"
#include "cgroup/walk.h"
#include "scratch.h"
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOBODY 65534

static void removing_twice_is_success(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group group = GROUP_NONE;

        assert_int_equal(group_create(scratch->group.fd, "run", &group), 0);
        assert_int_equal(group_remove(&group), 0);
        assert_int_equal(group_remove(&group), 0);
        assert_int_equal(faccessat(scratch->group.fd, "run", F_OK, 0), -1);
}

static void a_group_with_a_process_is_busy_and_stays(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group group = GROUP_NONE, below = GROUP_NONE, empty = GROUP_NONE;
        Child child;

        assert_int_equal(group_create(scratch->group.fd, "run", &group), 0);
        assert_int_equal(group_create(group.fd, "below", &below), 0);
        assert_int_equal(group_create(group.fd, "empty", &empty), 0);
        child = child_start(&below, body_pause);
        assert_int_equal(group_remove(&group), GROUP_E_BUSY);
        assert_int_equal(faccessat(group.fd, "below", F_OK, 0), 0);
        assert_int_equal(faccessat(group.fd, "empty", F_OK, 0), -1);
        child_destroy(&child);
}

/* Makes levels directories named "d", one in the other. */
static void make_deep(int fd, unsigned levels) {
        int at = fcntl(fd, F_DUPFD_CLOEXEC, 0);

        for (unsigned i = 0; i < levels; i++) {
                int next;

                assert_int_equal(mkdirat(at, "d", 0755), 0);
                next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                assert_true(next >= 0);
                close_fd(at);
                at = next;
        }
        close_fd(at);
}

/* The soft limit of fds, so low that one per level cannot be had; the old one. */
static struct rlimit limit_fds(rlim_t fds) {
        struct rlimit old, low;

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
        low = old;
        low.rlim_cur = fds;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
        return old;
}

static void a_thousand_levels_go_with_a_handful_of_fds(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(group_deinit) Group group = GROUP_NONE;
        struct rlimit old;
        int r;

        assert_int_equal(group_create(scratch->group.fd, "run", &group), 0);
        make_deep(group.fd, 1000);
        old = limit_fds(16);
        r = group_remove(&group);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
        assert_int_equal(r, 0);
        assert_int_equal(faccessat(scratch->group.fd, "run", F_OK, 0), -1);
}

typedef struct Visits {
        unsigned entered, left;
} Visits;

static int count_enter(int fd, void *userdata) {
        ((Visits *)userdata)->entered++;
        return 0;
}

static int count_leave(int parent_fd, const char *name, void *userdata) {
        ((Visits *)userdata)->left++;
        return 0;
}

static void a_walk_enters_each_directory_once_and_leaves_all_but_the_top(void **state) {
        Scratch *scratch = scratch_need(state);
        static const char *const names[] = { "a", "a/x", "a/y", "b", "b/z", "b/z/deep", "c" };
        Visits visits = {};

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(mkdirat(scratch->group.fd, names[i], 0755), 0);
        assert_int_equal(group_walk(scratch->group.fd,
                                 &(WalkVisitor){ .enter = count_enter, .leave = count_leave, .userdata = &visits }),
                0);
        assert_int_equal(visits.entered, ELEMENTSOF(names) + 1);
        assert_int_equal(visits.left, ELEMENTSOF(names));
}

/* In a child that is nobody: 0 if the group could be removed. */
static int remove_as_nobody(const Group *group) {
        pid_t pid = fork();
        int status;

        if (pid == 0) {
                if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
                        setresuid(NOBODY, NOBODY, NOBODY) < 0)
                        _exit(100);
                _exit(group_remove(group) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

static void directories_of_mode_000_go_for_their_unprivileged_owner(void **state) {
        Scratch *scratch = scratch_need(state);
        static const char *const names[] = { "run", "run/a", "run/a/b", "run/c" };
        static const mode_t modes[] = { 0, 0500, 0400, 0300, 0600 };
        _cleanup_(group_deinit) Group group = GROUP_NONE;

        if (geteuid() != 0) {
                print_message("skipped: it takes root to become somebody else\n");
                skip();
        }
        assert_int_equal(fchown(scratch->group.fd, NOBODY, NOBODY), 0);
        for (size_t m = 0; m < ELEMENTSOF(modes); m++) {
                for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                        assert_int_equal(mkdirat(scratch->group.fd, names[i], 0755), 0);
                        assert_int_equal(fchownat(scratch->group.fd, names[i], NOBODY, NOBODY, 0), 0);
                }
                for (size_t i = ELEMENTSOF(names); i-- > 0;)
                        assert_int_equal(fchmodat(scratch->group.fd, names[i], modes[m], 0), 0);
                group_deinit(&group);
                assert_int_equal(group_open(scratch->group.fd, "run", &group), 0);
                assert_int_equal(remove_as_nobody(&group), 0);
                assert_int_equal(faccessat(scratch->group.fd, "run", F_OK, 0), -1);
        }
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                T(removing_twice_is_success),
                T(a_group_with_a_process_is_busy_and_stays),
                T(a_thousand_levels_go_with_a_handful_of_fds),
                T(a_walk_enters_each_directory_once_and_leaves_all_but_the_top),
                T(directories_of_mode_000_go_for_their_unprivileged_owner),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
