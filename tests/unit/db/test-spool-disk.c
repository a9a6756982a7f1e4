/* The spool on disks and in files that are not as they should be, and in processes that die. */
#include "tests/unit/db/scratch.h"

#include "db/queries.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define AT "2026-11-21T07:00:00.000000Z"

static void write_garbage(const char *path, off_t offset, size_t size) {
        _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        _cleanup_(freep) char *garbage = malloc(size);

        assert_non_null(garbage);
        memset(garbage, 0xa5, size);
        assert_int_equal(pwrite(fd, garbage, size, offset), (ssize_t)size);
}

static size_t set_aside(Spool *spool) {
        _cleanup_(json_decrefp) json_t *storage = spool_storage(spool);
        json_t *list = json_object_get(storage, "set_aside");

        for (size_t i = 0; i < json_array_size(list); i++)
                assert_int_equal(access(json_string_value(json_array_get(list, i)), F_OK), 0);
        return json_array_size(list);
}

static void a_file_that_is_no_database_is_set_aside(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        assert_int_equal(directory_make(scratch.directory, 0700), 0);
        write_garbage(scratch.path, 0, 5000);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_int_equal(set_aside(spool), 1);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
}

/* Every page but the first, so that only quick_check, or the row itself, shows it. */
static void break_pages(const Scratch *scratch) {
        struct stat st;

        assert_int_equal(stat(scratch->path, &st), 0);
        write_garbage(scratch->path, 4096, (size_t)st.st_size - 4096);
}

static void broken_pages_are_found_at_the_start(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        spool_free(TAKE_PTR(spool));
        break_pages(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_int_equal(set_aside(spool), 1);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 0);
}

static void a_database_that_breaks_while_open_is_set_aside_and_the_row_kept(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL, *other = NULL;
        uint64_t changes;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        run_sql(&scratch, "PRAGMA wal_checkpoint(TRUNCATE)");
        break_pages(&scratch);
        /* What this connection has in its cache is still good; another one's change makes it read again. */
        run_sql(&scratch, "PRAGMA user_version=1; PRAGMA application_id=7");
        changes = spool_changes(spool);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_int_equal(set_aside(spool), 1);
        assert_true(spool_changes(spool) > changes);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events WHERE event_id='e2'"), 1);
}

/* A disk on which reads at an offset of the database fail, as often as it is told to: each, or each second. */
static sqlite3_vfs failing_disk;
static sqlite3_io_methods failing_methods;
static const sqlite3_io_methods *real_methods;
static sqlite3_int64 failing_offset;
static bool each_second, failed_before;
static int failures_left, failed_errno;

static int failing_read(sqlite3_file *file, void *buffer, int size, sqlite3_int64 offset) {
        if (failures_left > 0 && offset == failing_offset) {
                failed_before = !(each_second && failed_before);
                if (failed_before) {
                        failures_left--;
                        failed_errno = EIO;
                        return SQLITE_IOERR_CORRUPTFS; /* as of a real one; a statement then says CORRUPT */
                }
        }
        return real_methods->xRead(file, buffer, size, offset);
}

static int failing_control(sqlite3_file *file, int op, void *argument) {
        if (op != SQLITE_FCNTL_LAST_ERRNO)
                return real_methods->xFileControl(file, op, argument);
        *(int *)argument = failed_errno;
        return SQLITE_OK;
}

static int failing_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags) {
        sqlite3_vfs *real = sqlite3_vfs_find("unix");
        int rc = real->xOpen(real, name, file, flags, ret_flags);

        if (rc == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB)) {
                real_methods = file->pMethods;
                failing_methods = *real_methods;
                failing_methods.xRead = failing_read;
                failing_methods.xFileControl = failing_control;
                file->pMethods = &failing_methods;
                failed_errno = 0;
        }
        return rc;
}

static void use_failing_disk(void) {
        failing_disk = *sqlite3_vfs_find("unix");
        failing_disk.zName = "failing";
        failing_disk.xOpen = failing_open;
        assert_int_equal(sqlite3_vfs_register(&failing_disk, 1), SQLITE_OK);
}

static void a_page_that_can_not_be_read_does_not_set_the_record_aside(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        struct stat st;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        spool_free(TAKE_PTR(spool));
        assert_int_equal(stat(scratch.path, &st), 0);
        use_failing_disk();
        for (failing_offset = 4096; failing_offset < st.st_size; failing_offset += 4096)
                for (int n = 1; n <= 3; n++) { /* by chance, twice the same, and in each of two looks */
                        failures_left = MIN_OF(n, 2);
                        each_second = n == 3;
                        failed_before = false;
                        spool = scratch_open(&scratch);
                        failures_left = 0;
                        assert_int_equal(set_aside(spool), 0);
                        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
                        assert_int_equal(spool_state(spool), STORAGE_OK);
                        spool_free(TAKE_PTR(spool));
                }
        (void)sqlite3_vfs_unregister(&failing_disk);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 2);
}

/* Pages that are known are not read again, unless another has written. */
static void write_beside(const Scratch *scratch) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open_v2(scratch->path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, "CREATE TABLE beside (i); DROP TABLE beside", NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_page_that_can_not_be_read_any_more_does_not_either(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        unsigned failed = 0;
        struct stat st;

        scratch_init(&scratch);
        use_failing_disk();
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        spool_free(TAKE_PTR(spool));
        assert_int_equal(stat(scratch.path, &st), 0);
        for (failing_offset = 4096; failing_offset < st.st_size; failing_offset += 4096) {
                spool = scratch_open(&scratch);
                write_beside(&scratch);
                failures_left = 1;
                failed_before = false;
                (void)store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT));
                failed += failures_left == 0;
                failures_left = 0;
                assert_int_equal(set_aside(spool), 0);
                assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
                assert_int_equal(spool_state(spool), STORAGE_OK);
                spool_free(TAKE_PTR(spool));
        }
        (void)sqlite3_vfs_unregister(&failing_disk);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 2);
        assert_true(failed > 0);
}

static void two_corrupt_files_within_a_second_are_both_kept(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;

        scratch_init(&scratch);
        assert_int_equal(directory_make(scratch.directory, 0700), 0);
        for (size_t i = 1; i <= 3; i++) {
                _cleanup_(spool_freep) Spool *spool = NULL;

                write_garbage(scratch.path, 0, 5000);
                spool = scratch_open(&scratch);
                assert_int_equal(set_aside(spool), i);
        }
}

static void a_database_that_somebody_moved_away_is_begun_anew(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(unlink(scratch.path), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events WHERE event_id='e2'"), 1);
}

static void a_newer_schema_is_left_alone(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        spool_free(scratch_open(&scratch));
        run_sql(&scratch, "PRAGMA user_version=4711");
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_FAILED);
        assert_non_null(strstr(spool_detail(spool), "newer scidex"));
        assert_non_null(spool_hint(spool));
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), SPOOL_E_AWAY);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 0);
        run_sql(&scratch, "PRAGMA user_version=2");
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(spool_state(spool), STORAGE_OK);
}

static void a_database_of_somebody_else_is_left_alone(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        assert_int_equal(directory_make(scratch.directory, 0700), 0);
        write_garbage(scratch.path, 0, 1);
        assert_int_equal(truncate(scratch.path, 0), 0);
        run_sql(&scratch, "CREATE TABLE theirs (a)");
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_FAILED);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM sqlite_schema"), 1);
        assert_int_equal(set_aside(spool), 0);
}

static void a_network_file_system_gets_no_write_ahead_log(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(json_decrefp) json_t *storage = NULL;
        SpoolOptions options;

        scratch_init(&scratch);
        /* It was local before: what is in the log must not be lost on the way. */
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        spool_free(TAKE_PTR(spool));
        options = scratch_options(&scratch);
        options.file_system = FILE_SYSTEM_NETWORK;
        assert_int_equal(spool_new(&options, &spool), 0);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_non_null(strstr(spool_detail(spool), "network file system"));
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
        assert_non_null(strstr(spool_detail(spool), "network file system"));
        storage = spool_storage(spool);
        assert_string_equal(json_string_value(json_object_get(storage, "journal_mode")), "delete");
        assert_int_equal(json_integer_value(json_object_get(storage, "events")), 2);
}

static void network_file_systems_are_known_by_their_magic(void **state) {
        static const int64_t network[] = { NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, (int64_t)CIFS_SUPER_MAGIC,
                (int32_t)SMB2_SUPER_MAGIC, FUSE_SUPER_MAGIC, V9FS_MAGIC, 0x0bd00bd0 };
        static const int64_t local[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC,
                OVERLAYFS_SUPER_MAGIC };

        for (size_t i = 0; i < ELEMENTSOF(network); i++)
                assert_true(file_system_is_network(network[i]));
        for (size_t i = 0; i < ELEMENTSOF(local); i++)
                assert_false(file_system_is_network(local[i]));
}

static void result_codes_become_states(void **state) {
        static const struct {
                int rc, error;
                StorageState state;
        } cases[] = {
                { SQLITE_OK, 0, STORAGE_OK },
                { SQLITE_FULL, 0, STORAGE_FULL },
                { SQLITE_IOERR_WRITE, ENOSPC, STORAGE_FULL },
                { SQLITE_IOERR_SHMSIZE, ENOSPC, STORAGE_FULL },
                { SQLITE_IOERR_WRITE, EDQUOT, STORAGE_FULL },
                { SQLITE_CANTOPEN, ENOSPC, STORAGE_FULL },
                { SQLITE_READONLY_DIRECTORY, 0, STORAGE_READ_ONLY },
                { SQLITE_READONLY, 0, STORAGE_READ_ONLY },
                { SQLITE_CANTOPEN, EROFS, STORAGE_READ_ONLY },
                { SQLITE_CANTOPEN, EACCES, STORAGE_READ_ONLY },
                { SQLITE_IOERR_WRITE, EROFS, STORAGE_READ_ONLY },
                { SQLITE_IOERR_FSYNC, EIO, STORAGE_FAILED },
                { SQLITE_CANTOPEN_ISDIR, EISDIR, STORAGE_FAILED },
                { SQLITE_BUSY, 0, STORAGE_FAILED },
                { SQLITE_CORRUPT, 0, STORAGE_FAILED },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_int_equal(storage_state_of(cases[i].rc, cases[i].error), cases[i].state);
}

/* Leaves no byte free. */
static void fill(const Scratch *scratch) {
        _cleanup_(freep) char *path = text_printf("%s/filler", scratch->directory), *block = calloc(1, 4096);
        _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        while (write(fd, block, 4096) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
}

static void unfill(const Scratch *scratch) {
        _cleanup_(freep) char *path = text_printf("%s/filler", scratch->directory);

        assert_int_equal(unlink(path), 0);
}

static void a_full_disk_loses_nothing_and_gets_well_again(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        json_t *big = make_event("e2", "r1", 2, AT);
        char text[20001];

        scratch_init(&scratch);
        scratch_mount(&scratch, "2m");
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        fill(&scratch);
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(json_object_set_new(big, "cmdline", json_string(text)), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, json_incref(big)), SPOOL_E_AWAY);
        assert_int_equal(spool_state(spool), STORAGE_FULL);
        assert_non_null(spool_hint(spool));
        assert_int_equal(store_one(spool, SPOOL_EVENT, json_incref(big)), SPOOL_E_AWAY);
        unfill(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, big), 0);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_int_equal(count_rows(&scratch, "SELECT count(*) FROM watchdog_events"), 2);
}

static void a_disk_full_at_the_start_is_a_state_not_an_end(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        scratch_mount(&scratch, "1m");
        fill(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_FULL);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), SPOOL_E_AWAY);
        unfill(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(spool_state(spool), STORAGE_OK);
}

static int64_t count_events(Spool *spool) {
        Filter filter = { .kind = RECORD_EVENT, .viewer = { .all = true }, .limit = UINT64_MAX };
        _cleanup_(cursor_freep) Cursor *cursor = NULL;
        json_t *row;

        assert_int_equal(cursor_new(spool, &filter, &cursor), 0);
        while (cursor_next(cursor, &row) == 0)
                json_decref(row);
        return (int64_t)cursor_count(cursor);
}

static void a_read_only_disk_is_read_and_written_when_it_can_be(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        scratch_mount(&scratch, "4m");
        spool = scratch_open(&scratch);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        spool_free(TAKE_PTR(spool));
        scratch_remount(&scratch, true);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_READ_ONLY);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), SPOOL_E_AWAY);
        assert_int_equal(spool_state(spool), STORAGE_READ_ONLY);
        assert_int_equal(count_events(spool), 1);
        scratch_remount(&scratch, false);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e2", "r1", 2, AT)), 0);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_int_equal(count_events(spool), 2);
}

static void a_directory_that_is_a_file_is_a_state_not_an_end(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;

        scratch_init(&scratch);
        write_garbage(scratch.directory, 0, 1);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_FAILED);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), SPOOL_E_AWAY);
        assert_int_equal(unlink(scratch.directory), 0);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
}

static int wait_for_death(pid_t pid) {
        int status = 0;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFSIGNALED(status) ? WTERMSIG(status) : -1;
}

static void a_writer_killed_between_commit_and_acknowledgement_neither_loses_nor_doubles(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        pid_t child;

        scratch_init(&scratch);
        child = fork();
        if (child == 0) {
                if (store_one(scratch_open(&scratch), SPOOL_EVENT, make_event("e1", "r1", 1, AT)) == 0)
                        (void)raise(SIGKILL);
                _exit(1);
        }
        assert_int_equal(wait_for_death(child), SIGKILL);
        spool = scratch_open(&scratch);
        assert_int_equal(count_events(spool), 1);
        assert_int_equal(store_one(spool, SPOOL_EVENT, make_event("e1", "r1", 1, AT)), 0);
        assert_int_equal(count_events(spool), 1);
}

_Noreturn static void store_for_ever(const Scratch *scratch, int acknowledge_fd) {
        Spool *spool = scratch_open(scratch);

        for (int i = 1;; i++) {
                _cleanup_(freep) char *event_id = text_printf("e%d", i);

                if (store_one(spool, SPOOL_EVENT, make_event(event_id, "r1", i, AT)) != 0 ||
                        write(acknowledge_fd, &i, sizeof(i)) != sizeof(i))
                        _exit(1);
        }
}

static void whatever_was_acknowledged_before_kill_9_is_there(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(close_fdp) int reader = -EBADF;
        int fds[2], last = 0, value;
        pid_t child;

        scratch_init(&scratch);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        reader = fds[0];
        child = fork();
        if (child == 0)
                store_for_ever(&scratch, fds[1]);
        assert_int_equal(close(fds[1]), 0);
        while (last < 40 && read(reader, &value, sizeof(value)) == sizeof(value))
                last = value;
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(wait_for_death(child), SIGKILL);
        while (read(reader, &value, sizeof(value)) == sizeof(value))
                last = value;
        assert_true(last >= 40);
        spool = scratch_open(&scratch);
        assert_int_equal(spool_state(spool), STORAGE_OK);
        assert_in_range(count_events(spool), last, last + 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_file_that_is_no_database_is_set_aside),
                cmocka_unit_test(broken_pages_are_found_at_the_start),
                cmocka_unit_test(a_database_that_breaks_while_open_is_set_aside_and_the_row_kept),
                cmocka_unit_test(a_page_that_can_not_be_read_does_not_set_the_record_aside),
                cmocka_unit_test(a_page_that_can_not_be_read_any_more_does_not_either),
                cmocka_unit_test(two_corrupt_files_within_a_second_are_both_kept),
                cmocka_unit_test(a_database_that_somebody_moved_away_is_begun_anew),
                cmocka_unit_test(a_newer_schema_is_left_alone),
                cmocka_unit_test(a_database_of_somebody_else_is_left_alone),
                cmocka_unit_test(a_network_file_system_gets_no_write_ahead_log),
                cmocka_unit_test(network_file_systems_are_known_by_their_magic),
                cmocka_unit_test(result_codes_become_states),
                cmocka_unit_test(a_full_disk_loses_nothing_and_gets_well_again),
                cmocka_unit_test(a_disk_full_at_the_start_is_a_state_not_an_end),
                cmocka_unit_test(a_read_only_disk_is_read_and_written_when_it_can_be),
                cmocka_unit_test(a_directory_that_is_a_file_is_a_state_not_an_end),
                cmocka_unit_test(a_writer_killed_between_commit_and_acknowledgement_neither_loses_nor_doubles),
                cmocka_unit_test(whatever_was_acknowledged_before_kill_9_is_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
