/* `tree` on directories made to look like a tree: what is whose, and how it is drawn. */
#include "cmd/scidexctl/groups-text.h"

#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

static char *top; /* owned; the tree of the test */

static int make_top(void **state) {
        char name[] = "/tmp/scidex-groups-XXXXXX";

        (void)state;
        top = mkdtemp(name) ? strdup(name) : NULL;
        return top ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *place) {
        (void)st;
        (void)flag;
        (void)place;
        return remove(path);
}

static int remove_top(void **state) {
        (void)state;
        (void)nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(top);
        return 0;
}

static void make(const char *name) {
        _cleanup_(freep) char *path = text_printf("%s/%s", top, name);

        assert_int_equal(mkdir(path, 0755), 0);
}

static void put(const char *name, const char *text) {
        _cleanup_(freep) char *path = text_printf("%s/%s", top, name);
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        (void)fputs(text, file);
        assert_int_equal(fclose(file), 0);
}

/* A row of `list`. */
static json_t *row(const char *analysis, const char *group) {
        _cleanup_(freep) char *path = text_printf("%s/%s", top, group);

        return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "run_id", "0198c0de-0000-7000-8000-000000000000",
                "analysis_id", analysis, "state", "running", "group", path, "memory_bytes", (json_int_t)4096,
                "memory_limit_bytes", (json_int_t)8192);
}

static Groups read_tree(const json_t *runs) {
        Groups groups;

        assert_int_equal(groups_read(top, runs, &groups), 0);
        return groups;
}

static const GroupNode *find(const Groups *groups, const char *name) {
        for (size_t i = 0; i < groups->n; i++)
                if (strcmp(groups->nodes[i].name, name) == 0)
                        return &groups->nodes[i];
        fail_msg("no group %s", name);
        return NULL;
}

static char *drawn(const Groups *groups, bool utf8) {
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_int_equal(groups_print(out, &(Terminal){ .utf8 = utf8 }, groups), 0);
        (void)fclose(out);
        return text;
}

static void each_directory_is_told_by_whose_it_is(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_pack("[o, o]", row("a", "a-1"), row("b", "a-1/b-2"));
        _cleanup_(groups_deinit) Groups groups = { 0 };
        static const struct {
                const char *name;
                GroupKind kind;
                unsigned depth;
        } expected[] = { { "a-1", GROUP_RUN, 1 }, { "b-2", GROUP_RUN, 2 }, { "main", GROUP_PART, 2 },
                { "own-of-b", GROUP_PART, 3 }, { "keeper", GROUP_OWN, 1 }, { "stray", GROUP_FOREIGN, 1 },
                { "below-stray", GROUP_FOREIGN, 2 }, { "supervisor", GROUP_OWN, 1 } };

        make("stray");
        make("stray/below-stray");
        make("supervisor");
        make("keeper");
        make("a-1");
        make("a-1/main");
        make("a-1/b-2");
        make("a-1/b-2/own-of-b");
        groups = read_tree(runs);
        assert_int_equal(groups.n, ELEMENTSOF(expected) + 1);
        assert_int_equal(groups.nodes[0].kind, GROUP_TREE);
        for (size_t i = 0; i < ELEMENTSOF(expected); i++) {
                const GroupNode *node = find(&groups, expected[i].name);

                assert_int_equal(node->kind, expected[i].kind);
                assert_int_equal(node->depth, expected[i].depth);
        }
}

static void a_run_that_is_not_in_the_list_is_not_called_foreign(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_array();
        _cleanup_(groups_deinit) Groups groups = { 0 };
        _cleanup_(freep) char *path = text_printf("%s/other-1", top);

        make("other-1");
        if (setxattr(path, "user.scidex.run", "{}", 2, 0) < 0) {
                print_message("no attributes of users on /tmp: %s\n", strerror(errno));
                skip();
        }
        groups = read_tree(runs);
        assert_int_equal(find(&groups, "other-1")->kind, GROUP_STRANGE);
}

static void figures_are_the_kernel_s_and_else_the_row_s(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_pack("[o, o]", row("a", "a-1"), row("b", "b-2"));
        _cleanup_(groups_deinit) Groups groups = { 0 };
        uint64_t value;

        make("a-1");
        put("a-1/cgroup.procs", "");
        put("a-1/memory.stat", "anon 1000\nfile 700\nshmem 200\n");
        put("a-1/memory.max", "5000\n");
        put("a-1/cgroup.freeze", "1\n");
        make("b-2");
        groups = read_tree(runs);
        assert_true(group_private_bytes(find(&groups, "a-1"), &value));
        assert_int_equal(value, 1200);
        assert_true(group_limit_bytes(find(&groups, "a-1"), &value));
        assert_int_equal(value, 5000);
        assert_true(find(&groups, "a-1")->is_frozen);
        assert_true(group_private_bytes(find(&groups, "b-2"), &value));
        assert_int_equal(value, 4096);
        assert_true(group_limit_bytes(find(&groups, "b-2"), &value));
        assert_int_equal(value, 8192);
}

static void branches_join_what_belongs_together(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_pack("[o, o]", row("a", "a-1"), row("b", "a-1/b-2"));
        _cleanup_(groups_deinit) Groups groups = { 0 };
        _cleanup_(freep) char *ascii = NULL, *utf8 = NULL, *pid = text_printf("%d\n", getpid());
        _cleanup_(freep) char *line = text_printf("|  |  %d ", getpid()),
                              *utf8_line = text_printf("│  │  %d ", getpid());

        make("a-1");
        make("a-1/b-2");
        make("z");
        put("a-1/cgroup.procs", pid);
        groups = read_tree(runs);
        ascii = drawn(&groups, false);
        utf8 = drawn(&groups, true);
        assert_non_null(strstr(ascii, "\n|- a-1 "));
        assert_non_null(strstr(ascii, line));
        assert_non_null(strstr(ascii, "\n|  `- b-2 "));
        assert_non_null(strstr(ascii, "\n`- z "));
        assert_non_null(strstr(utf8, utf8_line));
        assert_non_null(strstr(utf8, "\n│  └─ b-2 "));
        assert_non_null(strstr(ascii, "1 group in the tree is not of scidex's making (FOREIGN)"));
}

static void a_hostile_name_drives_no_terminal(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_array();
        _cleanup_(groups_deinit) Groups groups = { 0 };
        _cleanup_(freep) char *text = NULL;

        /* NOLINTNEXTLINE(misc-misleading-bidirectional): as hostile as it can be */
        make("a\x1b]0;b\x07\xe2\x80\xae");
        groups = read_tree(runs);
        text = drawn(&groups, true);
        assert_non_null(strstr(text, "a\\x1b]0;b\\x07\\xe2\\x80\\xae"));
        assert_null(strchr(text, '\x1b'));
}

/* A run may nest as deeply as it likes. */
static void depth_is_bounded(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_array();
        _cleanup_(groups_deinit) Groups groups = { 0 };
        char name[2 * (GROUPS_DEPTH_MOST + 9)] = "d", *end = name + 1;

        for (size_t i = 0; i < GROUPS_DEPTH_MOST + 8; i++) {
                make(name);
                end = stpcpy(end, "/d");
        }
        groups = read_tree(runs);
        assert_true(groups.is_cut);
        assert_int_equal(groups.n, GROUPS_DEPTH_MOST + 1);
}

static void a_tree_that_is_gone_is_an_error(void **state) {
        Groups groups;

        assert_int_equal(groups_read("/nowhere/at/all", NULL, &groups), -ENOENT);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, make_top, remove_top)

int main(void) {
        (void)setlocale(LC_ALL, "C.UTF-8");
        const struct CMUnitTest tests[] = {
                WITH_TREE(each_directory_is_told_by_whose_it_is),
                WITH_TREE(a_run_that_is_not_in_the_list_is_not_called_foreign),
                WITH_TREE(figures_are_the_kernel_s_and_else_the_row_s),
                WITH_TREE(branches_join_what_belongs_together),
                WITH_TREE(a_hostile_name_drives_no_terminal),
                WITH_TREE(depth_is_bounded),
                cmocka_unit_test(a_tree_that_is_gone_is_an_error),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
