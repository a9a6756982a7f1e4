/*
 * One SQLite file, opened for the recorder or looked at by a reader.
 *
 * Called by the spool.  Two hard things.  A WAL needs memory shared between its users: on a network file system there
 * is none, and SQLite would not notice, so statfs(2) decides before the first byte is written.  And a reader must leave
 * no trace: a plain read-only connection to a WAL database makes -wal and -shm files where it can, and fails where it
 * can't. So a reader uses what is there (readonly_shm=1: SQLite then builds the index of the WAL in its own memory),
 * and a database without a WAL is read as immutable.
 */
#include "db/database.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "db/schema.h"
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define BUSY_TIMEOUT_MSEC 1000                /* another recorder of the same directory, or a person with sqlite3 */
#define QUICK_CHECK_MAX   (INT64_C(64) << 20) /* bytes; larger files are checked as they are read */
#define CACHE_KIB         "-8192"             /* what is shipped was stored a moment ago */
#define WAL_KEEP_BYTES    "4194304"           /* the -wal is cut back to this after a checkpoint */

static const int64_t network_types[] = {
        NFS_SUPER_MAGIC,
        SMB_SUPER_MAGIC,
        CIFS_SUPER_MAGIC,
        SMB2_SUPER_MAGIC,
        FUSE_SUPER_MAGIC,
        V9FS_MAGIC,
        AFS_SUPER_MAGIC,
        AFS_FS_MAGIC,
        CODA_SUPER_MAGIC,
        CEPH_SUPER_MAGIC,
        OCFS2_SUPER_MAGIC,
        0x0bd00bd0 /* Lustre */,
        0x47504653 /* GPFS */,
        0x19830326 /* BeeGFS */,
        0x01161970 /* GFS2 */,
        0x013111a8 /* IBRIX */,
        0xaad7aaea /* PanFS */,
};

bool file_system_is_network(int64_t type) {
        for (size_t i = 0; i < ELEMENTSOF(network_types); i++)
                if ((uint32_t)type == (uint32_t)network_types[i])
                        return true;
        return false;
}

static bool is_network(const char *directory, FileSystem file_system) {
        struct statfs fs;

        if (file_system != FILE_SYSTEM_DETECT)
                return file_system == FILE_SYSTEM_NETWORK;
        return statfs(directory, &fs) == 0 && file_system_is_network(fs.f_type);
}

static void sqlite_closep(sqlite3 **db) {
        (void)sqlite3_close_v2(*db);
}

static int trouble_of_errno(int error, const char *path, Trouble *ret_trouble) {
        trouble_deinit(ret_trouble);
        trouble_of_database(NULL, SQLITE_CANTOPEN, path, ret_trouble);
        ret_trouble->state = storage_state_of(SQLITE_CANTOPEN, error);
        free(ret_trouble->detail);
        ret_trouble->detail = text_printf("%s: %s", path, strerror(error));
        return DATABASE_E_TROUBLE;
}

/* SQLite would make it with the umask's mode; -wal and -shm take their mode from it. */
static int make_file(const char *directory, const char *path) {
        _cleanup_(close_fdp) int fd = -EBADF, dir = -EBADF;
        int r = directory_make(directory, 0700);

        if (r < 0)
                return r;
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return errno == EEXIST ? 0 : -errno;
        dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        /* Some file systems can't sync a directory; the row is no less safe than SQLite itself makes it. */
        if (dir >= 0)
                (void)fsync(dir);
        return 0;
}

static int read_text(sqlite3 *db, const char *sql, char **ret) {
        sqlite3_stmt *statement = NULL;
        const char *text = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
                text = (const char *)sqlite3_column_text(statement, 0);
        *ret = text ? strdup(text) : NULL;
        (void)sqlite3_finalize(statement);
        if (rc == SQLITE_ROW)
                return *ret ? SQLITE_OK : SQLITE_NOMEM;
        return rc == SQLITE_OK || rc == SQLITE_DONE ? SQLITE_ERROR : rc;
}

/*
 * A commit must be on the disk when it returns: FULL does that with a WAL; with a rollback journal only EXTRA does,
 * which also syncs the directory after the journal is unlinked.
 */
static int set_journal(sqlite3 *db, const char *directory, bool network, Trouble *ret_trouble) {
        _cleanup_(freep) char *mode = NULL;
        int rc;

        if (network) {
                /* Leaving a WAL that is already there must not touch the shared memory either. */
                (void)sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
                rc = read_text(db, "PRAGMA journal_mode=DELETE", &mode);
                (void)sqlite3_exec(db, "PRAGMA locking_mode=NORMAL", NULL, NULL, NULL);
        } else
                rc = read_text(db, "PRAGMA journal_mode=WAL", &mode);
        if (rc != SQLITE_OK)
                return rc;
        if (strcmp(mode, "wal") == 0)
                return sqlite3_exec(
                        db, "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=" WAL_KEEP_BYTES, NULL, NULL, NULL);
        ret_trouble->detail = text_printf("%s: no write-ahead log on %s, journal_mode=%s", directory,
                network ? "a network file system" : "this file system", mode);
        return sqlite3_exec(db, "PRAGMA synchronous=EXTRA", NULL, NULL, NULL);
}

/*
 * The whole file if it is small; a bounded look otherwise, as this is start-up. To quick_check a read that failed is a
 * fault of the file like any other, and it gives no code. A disk that fails, or no memory, must not have the record set
 * aside: so corrupt is only what is so twice, with no read that failed. Else the next connection looks again.
 */
static int quick_check(sqlite3 *db, const char *path) {
        struct stat st;
        int rc = SQLITE_OK;
        bool good = false;

        if (stat(path, &st) < 0 || st.st_size > QUICK_CHECK_MAX) {
                _cleanup_(freep) char *count = NULL;

                return read_text(db, "SELECT count(*) FROM meta", &count);
        }
        for (unsigned i = 0; rc == SQLITE_OK && !good && i < 2; i++) {
                _cleanup_(freep) char *verdict = NULL;

                rc = read_text(db, "PRAGMA quick_check(1)", &verdict);
                good = rc == SQLITE_OK && strcmp(verdict, "ok") == 0;
                if (rc == SQLITE_OK && !good && database_last_errno(db) != 0)
                        rc = SQLITE_IOERR_READ;
        }
        return rc == SQLITE_OK && !good ? SQLITE_CORRUPT : rc;
}

static int refuse_schema(int rc, const char *path, Trouble *ret_trouble) {
        trouble_deinit(ret_trouble);
        ret_trouble->state = STORAGE_FAILED;
        if (rc == SCHEMA_E_NEWER) {
                ret_trouble->detail = text_printf("%s was made by a newer scidex (this is " SCIDEX_VERSION ")", path);
                ret_trouble->hint = "Start the newer scidex, or move the file away; this one does not touch it.";
        } else {
                ret_trouble->detail = text_printf("%s is not a record of scidex", path);
                ret_trouble->hint = "Name another directory, or move the file away; scidex does not touch it.";
        }
        return DATABASE_E_TROUBLE;
}

static int prepare_writer(sqlite3 *db, const char *directory, const char *path, bool network, Trouble *ret_trouble) {
        int version = 0, rc;

        (void)sqlite3_busy_timeout(db, BUSY_TIMEOUT_MSEC);
        if (network)
                (void)sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE", NULL, NULL, NULL);
        rc = schema_check(db, &version);
        if (rc < 0)
                return rc;
        /* Only takes effect on a file without tables. */
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(db,
                        "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA foreign_keys=OFF; PRAGMA cache_size=" CACHE_KIB, NULL,
                        NULL, NULL);
        if (rc == SQLITE_OK)
                rc = set_journal(db, directory, network, ret_trouble);
        if (rc == SQLITE_OK)
                rc = schema_migrate(db, version);
        if (rc == SQLITE_OK)
                rc = quick_check(db, path);
        return rc;
}

int database_open_writer(const char *directory, FileSystem file_system, sqlite3 **ret, Trouble *ret_trouble) {
        _cleanup_(freep) char *path = text_printf("%s/" DATABASE_NAME, directory);
        _cleanup_(sqlite_closep) sqlite3 *db = NULL;
        int r, rc;

        trouble_deinit(ret_trouble);
        if (!path)
                return -ENOMEM;
        r = make_file(directory, path);
        if (r < 0)
                return trouble_of_errno(-r, path, ret_trouble);
        rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        /* A file that may only be read opens all the same, as read-only. */
        if (rc == SQLITE_OK && sqlite3_db_readonly(db, "main") == 1)
                return trouble_of_errno(access(path, W_OK) < 0 ? errno : EACCES, path, ret_trouble);
        if (rc == SQLITE_OK)
                rc = prepare_writer(db, directory, path, is_network(directory, file_system), ret_trouble);
        if (rc < 0)
                return refuse_schema(rc, path, ret_trouble);
        if (rc != SQLITE_OK) {
                trouble_of_database(db, rc, path, ret_trouble);
                return DATABASE_E_TROUBLE;
        }
        *ret = TAKE_PTR(db);
        return 0;
}

static bool has_content(const char *path, const char *suffix) {
        _cleanup_(freep) char *name = text_printf("%s%s", path, suffix);
        struct stat st;

        return name && stat(name, &st) == 0 && st.st_size > 0;
}

/* A path as SQLite's URI: '%', '?' and '#' mean something there. NULL on OOM. */
static char *path_to_uri(const char *path, const char *parameters) {
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return NULL;
        (void)fputs("file:", f);
        for (; *path; path++)
                (void)fprintf(f, strchr("%?#", *path) ? "%%%02X" : "%c", (unsigned char)*path);
        (void)fprintf(f, "?%s", parameters);
        return fclose(f) == 0 ? text : NULL;
}

static int open_uri(const char *path, const char *parameters, sqlite3 **ret, int *ret_version) {
        _cleanup_(freep) char *uri = path_to_uri(path, parameters);
        int rc;

        if (!uri)
                return SQLITE_NOMEM;
        rc = sqlite3_open_v2(
                uri, ret, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
        if (rc != SQLITE_OK)
                return rc;
        (void)sqlite3_busy_timeout(*ret, BUSY_TIMEOUT_MSEC);
        /* SQLite opens lazily: only a read shows whether it can. */
        return schema_check(*ret, ret_version);
}

/* SQLite's result code or SCHEMA_E_*; *ret_stale when a WAL is there that could not be read. */
static int open_without_trace(const char *path, sqlite3 **ret, int *ret_version, bool *ret_stale) {
        bool wal = has_content(path, "-wal");
        int rc;

        *ret_stale = false;
        /* A rollback journal that is hot needs a writer: plain read-only says so instead of reading half a commit. */
        if (has_content(path, "-journal"))
                return open_uri(path, "mode=ro", ret, ret_version);
        if (wal || has_content(path, "-shm")) {
                rc = open_uri(path, "mode=ro&readonly_shm=1", ret, ret_version);
                if (rc <= SQLITE_OK || storage_is_corrupt(rc))
                        return rc;
                sqlite_closep(ret);
                *ret = NULL;
        }
        *ret_stale = wal;
        return open_uri(path, "immutable=1", ret, ret_version);
}

int database_open_reader(const char *directory, sqlite3 **ret, Trouble *ret_trouble) {
        _cleanup_(freep) char *path = text_printf("%s/" DATABASE_NAME, directory);
        _cleanup_(sqlite_closep) sqlite3 *db = NULL;
        bool stale = false;
        int rc, version = 0;

        trouble_deinit(ret_trouble);
        if (!path)
                return -ENOMEM;
        if (access(path, R_OK) < 0)
                return errno == ENOENT ? DATABASE_E_NONE : trouble_of_errno(errno, path, ret_trouble);
        rc = open_without_trace(path, &db, &version, &stale);
        if (rc < 0)
                return refuse_schema(rc, path, ret_trouble);
        if (rc != SQLITE_OK) {
                trouble_of_database(db, rc, path, ret_trouble);
                return DATABASE_E_TROUBLE;
        }
        if (version == 0)
                return DATABASE_E_NONE;
        if (stale)
                ret_trouble->detail = text_printf("%s-wal can't be read: the newest rows may be missing", path);
        *ret = TAKE_PTR(db);
        return 0;
}
