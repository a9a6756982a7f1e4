/* base/file.h on a scratch directory and on files of this kernel. */
#include "base/cleanup.h"
#include "base/file.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

typedef struct Scratch {
        char path[64];
        int dir; /* owned */
} Scratch;

static int setup(void **state) {
        static Scratch scratch;

        (void)snprintf(scratch.path, sizeof(scratch.path), "/tmp/scidex-test-file.XXXXXX");
        if (!mkdtemp(scratch.path))
                return -1;
        scratch.dir = open(scratch.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *state = &scratch;
        return scratch.dir < 0 ? -1 : 0;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where) {
        return remove(path);
}

static int teardown(void **state) {
        Scratch *scratch = *state;

        scratch->dir = close_fd(scratch->dir);
        return nftw(scratch->path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(int dir, const char *name, const void *data, size_t size) {
        _cleanup_(close_fdp) int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, data, size), size);
}

static void put_text(int dir, const char *name, const char *text) {
        put(dir, name, text, strlen(text));
}

static void assert_content(int dir, const char *name, const char *expected) {
        _cleanup_(freep) char *text = NULL;

        assert_int_equal(file_read_at(dir, name, 4096, &text, NULL), 0);
        assert_string_equal(text, expected);
}

static int count_entries(const char *path) {
        _cleanup_(closedirp) DIR *d = opendir(path);
        int n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        return n - 2;
}

static void a_file_is_read_whole_whatever_its_size(void **state) {
        static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, 8191, 8192, 8193, 100000 };
        Scratch *scratch = *state;

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(freep) char *data = calloc(1, sizes[i] + 1), *text = NULL;
                size_t size = 42;

                memset(data, 'x', sizes[i]);
                put(scratch->dir, "f", data, sizes[i]);
                assert_int_equal(file_read_at(scratch->dir, "f", 100000, &text, &size), 0);
                assert_int_equal(size, sizes[i]);
                assert_string_equal(text, data);
        }
}

static void a_file_of_exactly_the_maximum_is_read_and_one_byte_more_is_not(void **state) {
        Scratch *scratch = *state;
        _cleanup_(freep) char *text = NULL, *untouched = NULL;
        size_t size = 42;

        put_text(scratch->dir, "f", "12345");
        assert_int_equal(file_read_at(scratch->dir, "f", 5, &text, &size), 0);
        assert_int_equal(size, 5);
        size = 42;
        assert_int_equal(file_read_at(scratch->dir, "f", 4, &untouched, &size), -EFBIG);
        assert_int_equal(file_read_at(scratch->dir, "f", 0, &untouched, &size), -EFBIG);
        assert_null(untouched);
        assert_int_equal(size, 42);
}

static void nul_bytes_are_kept(void **state) {
        Scratch *scratch = *state;
        _cleanup_(freep) char *text = NULL;
        size_t size;

        put(scratch->dir, "f", "a\0b", 3);
        assert_int_equal(file_read_at(scratch->dir, "f", 100, &text, &size), 0);
        assert_int_equal(size, 3);
        assert_memory_equal(text, "a\0b", 4);
}

static void kernel_files_that_say_they_are_empty_are_read(void **state) {
        _cleanup_(freep) char *text = NULL, *all = NULL;
        struct stat st;
        size_t size;

        assert_int_equal(stat("/proc/self/status", &st), 0);
        assert_int_equal(st.st_size, 0);
        assert_int_equal(file_read_at(AT_FDCWD, "/proc/self/status", 65536, &text, &size), 0);
        assert_non_null(strstr(text, "\nUid:\t"));
        assert_int_equal(strlen(text), size);

        /* More than one page, so the buffer has to grow under a kernel file too. */
        assert_int_equal(file_read_at(AT_FDCWD, "/proc/kallsyms", 1 << 28, &all, &size), 0);
        assert_true(size > 4096);
        assert_int_equal(all[size - 1], '\n');
}

static void errors_of_the_kernel_come_through(void **state) {
        Scratch *scratch = *state;
        _cleanup_(freep) char *text = NULL;
        uint64_t value;

        assert_int_equal(file_read_at(scratch->dir, "nowhere", 10, &text, NULL), -ENOENT);
        assert_int_equal(file_read_at(scratch->dir, ".", 10, &text, NULL), -EISDIR);
        assert_int_equal(file_read_u64_at(scratch->dir, "nowhere", &value), -ENOENT);
        assert_int_equal(file_read_u64_at(scratch->dir, ".", &value), -EISDIR);
        assert_int_equal(file_write_at(scratch->dir, "nowhere", "1"), -ENOENT);
        assert_int_equal(file_write_at(AT_FDCWD, "/dev/full", "1"), -ENOSPC);
        assert_int_equal(file_read_at(-EBADF, "f", 10, &text, NULL), -EBADF);
}

static void numbers_are_read_and_max_is_infinity(void **state) {
        static const struct {
                const char *text;
                uint64_t value;
        } cases[] = { { "0\n", 0 }, { "7", 7 }, { "18446744073709551615\n", UINT64_MAX }, { "max\n", UINT64_MAX } };
        Scratch *scratch = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 42;

                put_text(scratch->dir, "f", cases[i].text);
                assert_int_equal(file_read_u64_at(scratch->dir, "f", &value), 0);
                assert_int_equal(value, cases[i].value);
        }
}

static void what_is_no_number_is_refused(void **state) {
        static const char *const cases[] = { "", "\n", "-1\n", "1 2\n", "1\n\n", "1\n2\n", "max 100000\n", "maximum\n",
                "18446744073709551616\n", " 1\n", "0x10\n",
                "1111111111111111111111111111111111111111111111111111111111111111111111\n" };
        Scratch *scratch = *state;

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                uint64_t value = 42;

                put_text(scratch->dir, "f", cases[i]);
                assert_int_equal(file_read_u64_at(scratch->dir, "f", &value), -EINVAL);
                assert_int_equal(value, 42);
        }
        put(scratch->dir, "f", "1\0", 2);
        assert_int_equal(file_read_u64_at(scratch->dir, "f", &(uint64_t){ 0 }), -EINVAL);
}

static void text_is_written_to_a_file_that_exists(void **state) {
        Scratch *scratch = *state;

        put_text(scratch->dir, "f", "");
        assert_int_equal(file_write_at(scratch->dir, "f", "2147483648"), 0);
        assert_content(scratch->dir, "f", "2147483648");
        assert_int_equal(file_write_at(scratch->dir, "new", "1"), -ENOENT);
}

static void a_key_is_found_only_as_a_whole_word_at_the_start_of_a_line(void **state) {
        static const char text[] = "low 0\nhigh 12\nmax 200\noom 0\noom_kill 4\noom_group_kill 1";
        uint64_t value = 42;

        assert_int_equal(text_find_u64(text, "low", &value), 0);
        assert_int_equal(value, 0);
        assert_int_equal(text_find_u64(text, "oom", &value), 0);
        assert_int_equal(value, 0);
        assert_int_equal(text_find_u64(text, "oom_kill", &value), 0);
        assert_int_equal(value, 4);
        assert_int_equal(text_find_u64(text, "oom_group_kill", &value), 0);
        assert_int_equal(value, 1);
        assert_int_equal(text_find_u64(text, "kill", &value), -ENOENT);
        assert_int_equal(text_find_u64(text, "oom_", &value), -ENOENT);
        assert_int_equal(text_find_u64(text, "200", &value), -ENOENT);
        assert_int_equal(text_find_u64("", "low", &value), -ENOENT);
        assert_int_equal(text_find_u64("\n\nlow 5\n", "low", &value), 0);
        assert_int_equal(value, 5);
}

static void a_key_without_a_number_is_refused(void **state) {
        uint64_t value = 42;

        assert_int_equal(text_find_u64("low \n", "low", &value), -EINVAL);
        assert_int_equal(text_find_u64("low -1\n", "low", &value), -EINVAL);
        assert_int_equal(text_find_u64("low 1 2\n", "low", &value), -EINVAL);
        assert_int_equal(text_find_u64("low 18446744073709551616\n", "low", &value), -EINVAL);
        assert_int_equal(value, 42);
}

static void a_replaced_file_has_the_new_content_and_mode_whatever_the_umask(void **state) {
        Scratch *scratch = *state;
        mode_t saved = umask(0077);
        struct stat st;

        assert_int_equal(file_replace_at(scratch->dir, "f", "old", 3, 0600), 0);
        assert_int_equal(file_replace_at(scratch->dir, "f", "newer", 5, 0644), 0);
        (void)umask(saved);
        assert_content(scratch->dir, "f", "newer");
        assert_int_equal(fstatat(scratch->dir, "f", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0644);
        assert_int_equal(count_entries(scratch->path), 1);
}

static void a_replacement_that_fails_leaves_no_temporary_file(void **state) {
        Scratch *scratch = *state;

        assert_int_equal(mkdirat(scratch->dir, "d", 0700), 0);
        assert_int_equal(file_replace_at(scratch->dir, "d", "x", 1, 0600), -EISDIR);
        assert_int_equal(count_entries(scratch->path), 1);
        assert_int_equal(file_replace_at(scratch->dir, "nowhere/f", "x", 1, 0600), -ENOENT);
}

static void readers_of_the_old_file_keep_it(void **state) {
        Scratch *scratch = *state;
        _cleanup_(close_fdp) int fd = -EBADF;
        char text[8] = "";

        put_text(scratch->dir, "f", "old");
        fd = openat(scratch->dir, "f", O_RDONLY | O_CLOEXEC);
        assert_int_equal(file_replace_at(scratch->dir, "f", "new", 3, 0600), 0);
        assert_int_equal(read(fd, text, sizeof(text)), 3);
        assert_string_equal(text, "old");
}

static void a_file_below_a_path_is_replaced(void **state) {
        Scratch *scratch = *state;
        _cleanup_(freep) char *path = text_printf("%s/f", scratch->path);

        assert_int_equal(file_replace_at(AT_FDCWD, path, "x", 1, 0600), 0);
        assert_content(scratch->dir, "f", "x");
}

static void directories_are_made_with_all_their_parents(void **state) {
        Scratch *scratch = *state;
        _cleanup_(freep) char *path = text_printf("%s//a/b///c/", scratch->path);
        struct stat st;

        assert_int_equal(directory_make(path, 0700), 0);
        assert_int_equal(fstatat(scratch->dir, "a/b/c", &st, 0), 0);
        assert_true(S_ISDIR(st.st_mode));
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(directory_make(path, 0755), 0);
        assert_int_equal(fstatat(scratch->dir, "a/b/c", &st, 0), 0);
        assert_int_equal(st.st_mode & 07777, 0700);
        assert_int_equal(directory_make("/", 0700), 0);
}

static void a_relative_directory_is_made_below_the_working_directory(void **state) {
        Scratch *scratch = *state;
        _cleanup_(close_fdp) int before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct stat st;

        assert_int_equal(fchdir(scratch->dir), 0);
        assert_int_equal(directory_make("x/y", 0700), 0);
        assert_int_equal(fchdir(before), 0);
        assert_int_equal(fstatat(scratch->dir, "x/y", &st, 0), 0);
}

static void a_file_in_the_way_is_enotdir(void **state) {
        Scratch *scratch = *state;
        _cleanup_(freep) char *file = text_printf("%s/f", scratch->path), *below = text_printf("%s/f/g", scratch->path);

        put_text(scratch->dir, "f", "");
        assert_int_equal(directory_make(file, 0700), -ENOTDIR);
        assert_int_equal(directory_make(below, 0700), -ENOTDIR);
        assert_int_equal(directory_make("", 0700), -ENOENT);
}

static void attributes_read_back_at_any_size(void **state) {
        static const size_t sizes[] = { 0, 1, 300, 3000 };
        Scratch *scratch = *state;
        _cleanup_(freep) char *missing = NULL;

        if (xattr_write(scratch->dir, "user.scidex.probe", "x") == -ENOTSUP) {
                print_message("no user.* extended attributes on /tmp\n");
                skip();
        }
        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(freep) char *text = calloc(1, sizes[i] + 1), *again = NULL;

                memset(text, 'x', sizes[i]);
                assert_int_equal(xattr_write(scratch->dir, "user.scidex.test", text), 0);
                assert_int_equal(xattr_read(scratch->dir, "user.scidex.test", &again), 0);
                assert_string_equal(again, text);
        }
        assert_int_equal(xattr_read(scratch->dir, "user.scidex.none", &missing), -ENODATA);
        assert_null(missing);
}

static void text_is_printed_at_any_length(void **state) {
        _cleanup_(freep) char *empty = text_printf("%s", ""), *wide = text_printf("%5000d", 7);

        assert_string_equal(empty, "");
        assert_int_equal(strlen(wide), 5000);
        assert_int_equal(wide[4999], '7');
}

#define scratch_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                scratch_test(a_file_is_read_whole_whatever_its_size),
                scratch_test(a_file_of_exactly_the_maximum_is_read_and_one_byte_more_is_not),
                scratch_test(nul_bytes_are_kept),
                cmocka_unit_test(kernel_files_that_say_they_are_empty_are_read),
                scratch_test(errors_of_the_kernel_come_through),
                scratch_test(numbers_are_read_and_max_is_infinity),
                scratch_test(what_is_no_number_is_refused),
                scratch_test(text_is_written_to_a_file_that_exists),
                cmocka_unit_test(a_key_is_found_only_as_a_whole_word_at_the_start_of_a_line),
                cmocka_unit_test(a_key_without_a_number_is_refused),
                scratch_test(a_replaced_file_has_the_new_content_and_mode_whatever_the_umask),
                scratch_test(a_replacement_that_fails_leaves_no_temporary_file),
                scratch_test(readers_of_the_old_file_keep_it),
                scratch_test(a_file_below_a_path_is_replaced),
                scratch_test(directories_are_made_with_all_their_parents),
                scratch_test(a_relative_directory_is_made_below_the_working_directory),
                scratch_test(a_file_in_the_way_is_enotdir),
                scratch_test(attributes_read_back_at_any_size),
                cmocka_unit_test(text_is_printed_at_any_length),
        };

        return cmocka_run_group_tests_name("base-file", tests, NULL, NULL);
}
