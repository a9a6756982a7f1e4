/* Rows that wait for their commit, as files beside a socket's path in a scratch directory. */
#include "supervise/rows.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ID    "01a1fdb6-66a9-7a24-8815-3ab85d435d90"
#define OTHER "01a1fdb6-66a9-7a24-8815-3ab85d435d91"

typedef struct Scratch {
        char directory[32];
        char *socket;
        Rows rows;
} Scratch;

static int setup(void **state) {
        static Scratch scratch;

        memcpy(scratch.directory, "/tmp/rows-XXXXXX", sizeof("/tmp/rows-XXXXXX"));
        assert_non_null(mkdtemp(scratch.directory));
        scratch.socket = text_printf("%s/control", scratch.directory);
        assert_int_equal(rows_open(scratch.socket, &scratch.rows), 0);
        *state = &scratch;
        return 0;
}

static int teardown(void **state) {
        Scratch *scratch = *state;

        rows_deinit(&scratch->rows);
        free(scratch->socket);
        return rmdir(scratch->directory); /* nothing may be left in it */
}

typedef struct Found {
        unsigned n;
        char id[64];
        json_t *row;
} Found;

static void find(const char *run_id, json_t *row, void *userdata) {
        Found *found = userdata;

        found->n++;
        (void)snprintf(found->id, sizeof(found->id), "%s", run_id);
        json_decref(found->row);
        found->row = json_incref(row);
}

static void a_noted_row_is_found_by_the_next_one_and_gone_once_committed(void **state) {
        Scratch *scratch = *state;
        _cleanup_(json_decrefp) json_t *row = json_pack("{s:s, s:i}", "run_id", ID, "events", 1);
        Rows next = ROWS_NONE;
        Found found = { 0 };

        rows_note(&scratch->rows, ID, row);
        assert_int_equal(rows_open(scratch->socket, &next), 0);
        rows_each(&next, find, &found);
        assert_int_equal(found.n, 1);
        assert_string_equal(found.id, ID);
        assert_true(json_equal(found.row, row));
        rows_forget(&next, ID);
        rows_each(&next, find, &found);
        assert_int_equal(found.n, 1);
        rows_deinit(&next);
        json_decref(found.row);
}

static void what_is_no_row_is_passed_over(void **state) {
        Scratch *scratch = *state;
        Found found = { 0 };
        static const char *const names[] = { ID ".json", "notes.json", OTHER ".json" };
        static const char *const texts[] = { "{ ", "{}", "{ half" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(file_replace_at(scratch->rows.fd, names[i], texts[i], strlen(texts[i]), 0600), 0);
        assert_int_equal(symlinkat("/etc/passwd", scratch->rows.fd, "01a1fdb6-66a9-7a24-8815-3ab85d435d92.json"), 0);
        rows_each(&scratch->rows, find, &found);
        assert_int_equal(found.n, 0);
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                assert_int_equal(unlinkat(scratch->rows.fd, names[i], 0), 0);
        assert_int_equal(unlinkat(scratch->rows.fd, "01a1fdb6-66a9-7a24-8815-3ab85d435d92.json", 0), 0);
}

static void a_directory_that_others_can_write_to_is_not_used(void **state) {
        Scratch *scratch = *state;
        Rows open = ROWS_NONE;

        assert_int_equal(fchmod(scratch->rows.fd, 0777), 0);
        assert_int_equal(rows_open(scratch->socket, &open), -EPERM);
        assert_int_equal(open.fd, -EBADF);
        assert_int_equal(fchmod(scratch->rows.fd, 0700), 0);
}

static void without_a_directory_nothing_is_noted_and_nothing_breaks(void **state) {
        _cleanup_(json_decrefp) json_t *row = json_object();
        Rows none = ROWS_NONE;
        Found found = { 0 };

        rows_note(&none, ID, row);
        rows_forget(&none, ID);
        rows_each(&none, find, &found);
        assert_int_equal(found.n, 0);
        rows_deinit(&none);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        a_noted_row_is_found_by_the_next_one_and_gone_once_committed, setup, teardown),
                cmocka_unit_test_setup_teardown(what_is_no_row_is_passed_over, setup, teardown),
                cmocka_unit_test_setup_teardown(a_directory_that_others_can_write_to_is_not_used, setup, teardown),
                cmocka_unit_test(without_a_directory_nothing_is_noted_and_nothing_breaks),
        };

        return cmocka_run_group_tests_name("supervise-rows", tests, NULL, NULL);
}
