/*
 * The spool: one connection, its state, and transactions over it.
 *
 * Called by the recorder, which owns the queue and the timers.  The hard thing is that the disk may be full, read-only
 * or broken, at the start or between two rows, and that it may get well again: so nothing here is fatal.  A failure
 * becomes the state, the rows stay with the caller, and the next attempt opens the file anew where the old connection
 * can't be trusted.  While it can't be written it is still read, as far as that works, because people ask most just
 * then.
 */
#include "db/spool.h"

#include "base/clock.h"
#include "base/file.h"
#include "db/aside.h"
#include "db/retention.h"
#include "db/rows.h"
#include <string.h>
#include <sys/stat.h>

/* https://www.sqlite.org/fileformat.html, "File format version numbers" */
#define HEADER_READ_VERSION 19
#define HEADER_IS_WAL       2
/* https://www.sqlite.org/pragma.html#pragma_synchronous */
#define SYNCHRONOUS_FULL 2

struct Spool {
        char *directory, *path, *host, *boot_id; /* owned */
        bool read_only, outbox;
        FileSystem file_system;
        RetentionLimits limits;

        sqlite3 *db;    /* owned; NULL when it can't even be read */
        bool writable;  /* db is a writer that has not failed */
        bool shrinking; /* see retention_step() */
        bool oversize;
        bool stuck;      /* above its size, but everything waits in the outbox */
        Trouble trouble; /* owned; state and words for it */
        uint64_t changes, generation;
};

static void spool_set_trouble(Spool *spool, Trouble trouble) {
        const char *before = spool->trouble.detail ? spool->trouble.detail : "";
        const char *after = trouble.detail ? trouble.detail : "";

        if (spool->trouble.state != trouble.state || strcmp(before, after) != 0)
                spool->changes++;
        trouble_deinit(&spool->trouble);
        spool->trouble = trouble;
}

static void spool_close(Spool *spool) {
        (void)sqlite3_close_v2(spool->db);
        spool->db = NULL;
        spool->writable = false;
}

/* Reading goes on where writing can't; what writing said stays the state. */
static void spool_open_reader(Spool *spool) {
        Trouble trouble = { .state = STORAGE_OK };
        int r = database_open_reader(spool->directory, &spool->db, &trouble);

        if (spool->read_only && r >= 0)
                spool_set_trouble(spool, trouble);
        else
                trouble_deinit(&trouble);
}

static void spool_put_aside(Spool *spool) {
        Trouble trouble = { .state = STORAGE_FAILED, .hint = "Move the broken file away by hand." };
        int r;

        if (spool->db)
                (void)sqlite3_db_config(spool->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        r = database_set_aside(spool->directory, spool->db, clock_realtime_usec());
        spool_close(spool);
        spool->changes++;
        if (r == 0)
                return;
        trouble.detail = text_printf("%s is corrupt and can't be set aside: %s", spool->path, strerror(-r));
        spool_set_trouble(spool, trouble);
}

static int spool_open_writer(Spool *spool) {
        for (unsigned attempt = 0; attempt < 2; attempt++) {
                Trouble trouble = { .state = STORAGE_OK };
                int r = database_open_writer(spool->directory, spool->file_system, &spool->db, &trouble);
                bool corrupt = r == DATABASE_E_TROUBLE && trouble.corrupt;

                if (r < 0)
                        return r;
                spool->writable = r == 0;
                spool->generation++;
                spool_set_trouble(spool, trouble);
                if (!corrupt)
                        break;
                spool_put_aside(spool);
        }
        if (!spool->writable)
                spool_open_reader(spool);
        return spool->writable ? 0 : SPOOL_E_AWAY;
}

int spool_new(const SpoolOptions *options, Spool **ret) {
        _cleanup_(spool_freep) Spool *spool = calloc(1, sizeof(*spool));
        int r = 0;

        if (!spool)
                return -ENOMEM;
        *spool = (Spool){ .directory = strdup(options->directory),
                .path = text_printf("%s/" DATABASE_NAME, options->directory),
                .host = strdup(options->host ? options->host : ""),
                .boot_id = strdup(options->boot_id ? options->boot_id : ""),
                .read_only = options->read_only,
                .outbox = options->outbox,
                .file_system = options->file_system,
                .limits = { .usec = options->history_usec, .bytes = options->history_bytes },
                .changes = 1 };
        if (!spool->directory || !spool->path || !spool->host || !spool->boot_id)
                return -ENOMEM;
        if (spool->read_only)
                spool_open_reader(spool);
        else
                r = spool_open_writer(spool);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(spool);
        return 0;
}

void spool_free(Spool *spool) {
        spool_close(spool);
        trouble_deinit(&spool->trouble);
        free(spool->boot_id);
        free(spool->host);
        free(spool->path);
        free(spool->directory);
        free(spool);
}

static int spool_ready(Spool *spool) {
        if (spool->read_only)
                return SPOOL_E_AWAY;
        if (spool->writable && !database_has_moved(spool->db))
                return 0;
        spool_close(spool);
        return spool_open_writer(spool);
}

/* Notes why, and whether the connection can be used again. */
static void spool_failed(Spool *spool, int rc) {
        Trouble trouble = { .state = STORAGE_OK };
        int primary = rc & 0xff;
        bool corrupt;

        trouble_of_database(spool->db, rc, spool->path, &trouble);
        corrupt = trouble.corrupt;
        spool_set_trouble(spool, trouble);
        if (!sqlite3_get_autocommit(spool->db))
                (void)sqlite3_exec(spool->db, "ROLLBACK", NULL, NULL, NULL);
        if (corrupt)
                spool_put_aside(spool);
        else if (primary != SQLITE_FULL && primary != SQLITE_BUSY && primary != SQLITE_NOMEM)
                spool->writable = false;
}

static void spool_worked(Spool *spool) {
        uint64_t bytes = 0, used = 0;

        if (retention_measure(spool->db, &bytes, &used) == SQLITE_OK) {
                spool->oversize = used > spool->limits.bytes;
                spool->stuck = spool->stuck && used <= retention_bound(&spool->limits);
        }
        if (spool->trouble.state != STORAGE_OK)
                spool_set_trouble(spool, (Trouble){ .state = STORAGE_OK });
}

static int spool_transact(Spool *spool, SpoolRow *rows, size_t n_rows) {
        char now_at[CLOCK_RFC3339_MAX];
        RowContext context = {
                .host = spool->host, .boot_id = spool->boot_id, .now_at = now_at, .outbox = spool->outbox
        };
        int rc;

        clock_format_rfc3339(now_at, clock_realtime_usec());
        rc = sqlite3_exec(spool->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
        if (rc == SQLITE_OK)
                rc = rows_store(spool->db, &context, rows, n_rows);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(spool->db, "COMMIT", NULL, NULL, NULL);
        return rc;
}

int spool_store(Spool *spool, SpoolRow *rows, size_t n_rows) {
        /* The second time after corruption was set aside, or a connection that failed once was opened anew. */
        for (unsigned attempt = 0; attempt < 2; attempt++) {
                int rc;

                if (spool_ready(spool) != 0)
                        return SPOOL_E_AWAY;
                rc = spool_transact(spool, rows, n_rows);
                if (rc == SQLITE_OK) {
                        spool_worked(spool);
                        return 0;
                }
                spool_failed(spool, rc);
                if (!storage_is_corrupt(rc))
                        break;
        }
        return SPOOL_E_AWAY;
}

static bool syncs_log(sqlite3 *db) {
        sqlite3_stmt *statement = NULL;
        bool full = sqlite3_prepare_v2(db, "PRAGMA synchronous", -1, &statement, NULL) == SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int(statement, 0) == SYNCHRONOUS_FULL;

        (void)sqlite3_finalize(statement);
        return full;
}

static int spool_transact_change(Spool *spool, int (*change)(sqlite3 *, void *), void *userdata) {
        int rc = sqlite3_exec(spool->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

        if (rc == SQLITE_OK)
                rc = change(spool->db, userdata);
        return rc == SQLITE_OK ? sqlite3_exec(spool->db, "COMMIT", NULL, NULL, NULL) : rc;
}

int spool_change(Spool *spool, int (*change)(sqlite3 *db, void *userdata), void *userdata, bool durable) {
        bool relaxed;
        int rc;

        if (spool_ready(spool) != 0)
                return SPOOL_E_AWAY;
        /* A log is only synced when it is carried over then; a rollback journal keeps its syncs, to be whole. */
        relaxed = !durable && syncs_log(spool->db);
        if (relaxed)
                (void)sqlite3_exec(spool->db, "PRAGMA synchronous=NORMAL", NULL, NULL, NULL);
        rc = spool_transact_change(spool, change, userdata);
        if (rc == SQLITE_OK)
                spool_worked(spool);
        else
                spool_failed(spool, rc);
        if (relaxed && spool->db)
                (void)sqlite3_exec(spool->db, "PRAGMA synchronous=FULL", NULL, NULL, NULL);
        return rc == SQLITE_OK ? 0 : SPOOL_E_AWAY;
}

uint64_t spool_generation(const Spool *spool) {
        return spool->generation;
}

int spool_retain(Spool *spool, uint64_t realtime_usec, bool *ret_more) {
        uint64_t bytes = 0, used = 0;
        int rc;

        *ret_more = false;
        if (spool_ready(spool) != 0)
                return SPOOL_E_AWAY;
        rc = retention_step(spool->db, &spool->limits, realtime_usec, &spool->shrinking, ret_more);
        if (rc == SQLITE_OK)
                rc = retention_measure(spool->db, &bytes, &used);
        if (rc == SQLITE_OK) {
                spool->stuck = !*ret_more && used > spool->limits.bytes;
                spool->oversize = false;
                return 0;
        }
        *ret_more = false;
        spool_failed(spool, rc);
        return SPOOL_E_AWAY;
}

bool spool_is_oversize(const Spool *spool) {
        return spool->oversize && !spool->stuck;
}

int spool_reader(Spool *spool, sqlite3 **ret) {
        /* A reader that found nothing looks again: the database may have come since. */
        if (!spool->db && spool->read_only)
                spool_open_reader(spool);
        if (!spool->db)
                return spool->trouble.state == STORAGE_OK ? SPOOL_E_EMPTY : SPOOL_E_AWAY;
        *ret = spool->db;
        return 0;
}

void spool_read_failed(Spool *spool, int rc) {
        Trouble trouble = { .state = STORAGE_OK };

        if (spool->writable && storage_is_corrupt(rc)) {
                spool_failed(spool, rc);
                (void)spool_ready(spool);
        } else if (!spool->writable) {
                trouble_of_database(spool->db, rc, spool->path, &trouble);
                spool_set_trouble(spool, trouble);
        }
}

const char *spool_host(const Spool *spool) {
        return spool->host;
}

StorageState spool_state(const Spool *spool) {
        return spool->trouble.state;
}

const char *spool_detail(const Spool *spool) {
        return spool->trouble.detail ? spool->trouble.detail : "";
}

const char *spool_hint(const Spool *spool) {
        return spool->trouble.hint;
}

uint64_t spool_changes(const Spool *spool) {
        return spool->changes;
}

static json_t *count_of(sqlite3 *db, const char *sql) {
        sqlite3_stmt *statement = NULL;
        json_t *count = NULL;

        if (db && sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK &&
                sqlite3_step(statement) == SQLITE_ROW)
                count = json_integer(sqlite3_column_int64(statement, 0));
        (void)sqlite3_finalize(statement);
        return count ? count : json_null();
}

/*
 * The mode stands in the file itself; a connection that may not use the log does not say it.  Read through SQLite's own
 * descriptor: closing another one of the same file would drop the locks of this process (fcntl(2)).
 */
static json_t *journal_mode_of(sqlite3 *db) {
        sqlite3_file *file = NULL;
        unsigned char format = 0;

        if (!db || sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file) != SQLITE_OK || !file->pMethods ||
                file->pMethods->xRead(file, &format, 1, HEADER_READ_VERSION) != SQLITE_OK)
                return json_null();
        return json_string(format == HEADER_IS_WAL ? "wal" : "delete");
}

/* What the record takes on the disk, its log included. */
static json_int_t bytes_on_disk(const Spool *spool) {
        static const char *const suffixes[] = { "", "-wal", "-journal" };
        json_int_t bytes = 0;

        for (size_t i = 0; i < ELEMENTSOF(suffixes); i++) {
                _cleanup_(freep) char *name = text_printf("%s%s", spool->path, suffixes[i]);
                struct stat st;

                if (name && stat(name, &st) == 0)
                        bytes += st.st_size;
        }
        return bytes;
}

json_t *spool_storage(Spool *spool) {
        const Trouble *trouble = &spool->trouble;

        return json_pack("{s:s, s:n, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "kind",
                spool->outbox ? "postgres" : "sqlite", "postgres", "state", storage_state_to_string(trouble->state),
                "detail", json_from_text(trouble->detail), "hint", json_from_text(trouble->hint), "path",
                json_from_text(spool->path), "runs", count_of(spool->db, "SELECT count(*) FROM watchdog_runs"),
                "events", count_of(spool->db, "SELECT count(*) FROM watchdog_events"), "outbox",
                count_of(spool->db, "SELECT count(*) FROM outbox"), "bytes", bytes_on_disk(spool), "set_aside",
                database_list_aside(spool->directory), "journal_mode", journal_mode_of(spool->db));
}
