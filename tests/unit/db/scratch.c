/*
 * Scratch directories, and mounts on them.
 *
 * Used by the tests of db/.  Root writes through any mode bits, so "read-only" and "full" need a file system that is: a
 * small tmpfs in a mount namespace of the test's own, which is gone with the process whatever happens to it.
 */
#include "tests/unit/db/scratch.h"

#include <ftw.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

void scratch_init(Scratch *scratch) {
        *scratch = (Scratch){ .top = "/tmp/scidex-test-db-XXXXXX" };
        assert_non_null(mkdtemp(scratch->top));
        scratch->directory = text_printf("%s/state", scratch->top);
        scratch->path = text_printf("%s/state/" DATABASE_NAME, scratch->top);
        assert_non_null(scratch->directory);
        assert_non_null(scratch->path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
        return remove(path);
}

void scratch_deinit(Scratch *scratch) {
        (void)umount2(scratch->directory, MNT_DETACH);
        (void)umount2(scratch->top, MNT_DETACH);
        (void)nftw(scratch->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(scratch->path);
        free(scratch->directory);
}

SpoolOptions scratch_options(const Scratch *scratch) {
        return (SpoolOptions){ .directory = scratch->directory,
                .host = "here",
                .boot_id = "boot-2",
                .history_usec = UINT64_MAX,
                .history_bytes = UINT64_MAX };
}

Spool *scratch_open(const Scratch *scratch) {
        SpoolOptions options = scratch_options(scratch);
        Spool *spool = NULL;

        assert_int_equal(spool_new(&options, &spool), 0);
        return spool;
}

/* A mount namespace of our own. In a chroot `/` is no mount point that could be made private: then the directory is
 * one. */
static int own_mounts(const Scratch *scratch) {
        if (unshare(CLONE_NEWNS) < 0)
                return -errno;
        if (mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0)
                return 0;
        if (mount(scratch->top, scratch->top, "none", MS_BIND, "") < 0 ||
                mount("none", scratch->top, "none", MS_PRIVATE, "") < 0)
                return -errno;
        return 0;
}

void scratch_mount(const Scratch *scratch, const char *size) {
        _cleanup_(freep) char *options = NULL;
        int r = own_mounts(scratch);

        if (r < 0) {
                print_message("no mount namespace here (%s): full and read-only disks not tried\n", strerror(-r));
                skip();
        }
        options = text_printf("size=%s,mode=0700", size);
        assert_int_equal(directory_make(scratch->directory, 0700), 0);
        assert_int_equal(mount("scratch", scratch->directory, "tmpfs", 0, options), 0);
}

void scratch_remount(const Scratch *scratch, bool read_only) {
        assert_int_equal(
                mount("none", scratch->directory, "none", MS_REMOUNT | (read_only ? (unsigned long)MS_RDONLY : 0), ""),
                0);
}

json_t *make_run(const char *run_id, const char *analysis_id, int uid, const char *at) {
        return json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s}", "run_id", run_id, "analysis_id", analysis_id,
                "uid", uid, "launched_at", at, "ended_at", at, "verdict", "completed", "host", "here", "boot_id",
                "boot-2");
}

json_t *make_event(const char *event_id, const char *run_id, int seq, const char *at) {
        return json_pack("{s:s, s:s, s:i, s:s, s:s, s:i}", "event_id", event_id, "run_id", run_id, "seq", seq, "reason",
                "memory", "decided_at", at, "uid", 1000);
}

int store_one(Spool *spool, SpoolKind kind, json_t *object) {
        SpoolRow row = { .kind = kind, .object = object };
        int r = spool_store(spool, &row, 1);

        json_decref(object);
        return r != 0 ? r : row.result;
}

static sqlite3 *open_beside(const Scratch *scratch) {
        sqlite3 *db = NULL;

        assert_int_equal(sqlite3_open_v2(scratch->path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        return db;
}

int64_t count_rows(const Scratch *scratch, const char *sql) {
        sqlite3 *db = open_beside(scratch);
        sqlite3_stmt *statement = NULL;
        int64_t n;

        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        n = sqlite3_column_int64(statement, 0);
        (void)sqlite3_finalize(statement);
        (void)sqlite3_close(db);
        return n;
}

void run_sql(const Scratch *scratch, const char *sql) {
        sqlite3 *db = open_beside(scratch);

        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        (void)sqlite3_close(db);
}
