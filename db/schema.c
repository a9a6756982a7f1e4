/*
 * What the record's database looks like, and how an older one becomes it.
 *
 * Called when the spool opens.  The text is frozen and written out, not made from the column table of db/columns.c: a
 * column added there needs a step here, and a test holds the two together.  run_id's last 4 characters have an index
 * because that is the shortest suffix a selector may be, and the first ones of a UUIDv7 are the time and say little.
 */
#include "db/schema.h"

#include "base/cleanup.h"
#include "base/file.h"

#define SHARED_COLUMNS                                                                                             \
        "run_id TEXT NOT NULL, analysis_id TEXT, host TEXT, boot_id TEXT, uid INTEGER, pid INTEGER, comm TEXT,"    \
        " cmdline TEXT, cmdline_length INTEGER, launcher_pid INTEGER, detail TEXT, launched_at TEXT,"              \
        " deadline_at TEXT, ended_at TEXT, duration_sec REAL, exit_status INTEGER, exit_signal TEXT,"              \
        " timeout_sec REAL, cpu_limit_sec REAL, grace_sec REAL, thrash_sec REAL, memory_limit_bytes INTEGER,"      \
        " memory_high_bytes INTEGER, swap_limit_bytes INTEGER, pids_limit INTEGER, cpus REAL, term_signal TEXT,"   \
        " memory_bytes INTEGER, memory_peak_bytes INTEGER, anon_bytes INTEGER, file_bytes INTEGER,"                \
        " shmem_bytes INTEGER, private_peak_bytes INTEGER, swap_bytes INTEGER, oom_events INTEGER,"                \
        " oom_kill_events INTEGER, max_events INTEGER, pids INTEGER, pids_peak INTEGER, pids_max_events INTEGER,"  \
        " cpu_sec REAL, cpu_user_sec REAL, cpu_system_sec REAL, cpu_throttled_sec REAL, psi_memory_some_sec REAL," \
        " psi_memory_full_sec REAL, psi_cpu_some_sec REAL, psi_io_some_sec REAL, psi_io_full_sec REAL,"            \
        " io_read_bytes INTEGER, io_write_bytes INTEGER, enforcement TEXT, containment TEXT, not_enforced TEXT,"   \
        " outer_run_id TEXT, labels TEXT, timeline TEXT, extra TEXT, stored_at TEXT NOT NULL,"

#define RUN_COLUMNS SHARED_COLUMNS " state TEXT, verdict TEXT, \"group\" TEXT, events INTEGER,"

#define EVENT_COLUMNS                                                                                                  \
        "event_id TEXT NOT NULL, seq INTEGER, reason TEXT, signals TEXT, decided_at TEXT, term_at TEXT, kill_at TEXT," \
        " empty_at TEXT, processes_killed INTEGER, processes TEXT, overshoot_bytes INTEGER, evidence TEXT,"            \
        " " SHARED_COLUMNS

static const char *const steps[SCHEMA_VERSION] = {
        "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT) STRICT;"
        "CREATE TABLE watchdog_runs (" RUN_COLUMNS " PRIMARY KEY (run_id)) STRICT;"
        "CREATE INDEX runs_suffix ON watchdog_runs (substr(run_id,-4));"
        "CREATE INDEX runs_at ON watchdog_runs (" RUN_AT ");"
        "CREATE INDEX runs_analysis ON watchdog_runs (analysis_id," RUN_AT ");"
        "CREATE INDEX runs_verdict ON watchdog_runs (verdict," RUN_AT ");"
        "CREATE INDEX runs_uid ON watchdog_runs (uid," RUN_AT ");"
        "CREATE TABLE watchdog_processes (" RUN_COLUMNS " PRIMARY KEY (run_id)) STRICT;"
        "CREATE TABLE watchdog_events (" EVENT_COLUMNS " PRIMARY KEY (event_id), UNIQUE (run_id,seq)) STRICT;"
        "CREATE INDEX events_at ON watchdog_events (" EVENT_AT ");"
        "CREATE INDEX events_run ON watchdog_events (run_id," EVENT_AT ");"
        "CREATE INDEX events_analysis ON watchdog_events (analysis_id," EVENT_AT ");"
        "CREATE INDEX events_reason ON watchdog_events (reason," EVENT_AT ");"
        "CREATE INDEX events_uid ON watchdog_events (uid," EVENT_AT ");"
        /* A row that changes gets a new id, so that what is being shipped is not taken for what has come since. */
        "CREATE TABLE outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,"
        " created_at TEXT NOT NULL, UNIQUE (kind,key)) STRICT;"
        "INSERT INTO meta VALUES ('made_by','scidex " SCIDEX_VERSION "');",
        /* The row is kept whole: the history may forget it before somebody has mended what it was refused for. */
        "CREATE TABLE dead_letters (id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL,"
        " created_at TEXT NOT NULL, failed_at TEXT NOT NULL, sqlstate TEXT, message TEXT, row TEXT,"
        " UNIQUE (kind,key)) STRICT;",
};

static int read_int(sqlite3 *db, const char *sql, int *ret) {
        sqlite3_stmt *statement = NULL;
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW)
                *ret = sqlite3_column_int(statement, 0);
        (void)sqlite3_finalize(statement);
        return rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int schema_check(sqlite3 *db, int *ret_version) {
        int version = 0, tables = 0, rc;

        rc = read_int(db, "PRAGMA user_version", &version);
        if (rc == SQLITE_OK)
                rc = read_int(db, "SELECT count(*) FROM sqlite_schema", &tables);
        if (rc != SQLITE_OK)
                return rc;
        if (version > SCHEMA_VERSION)
                return SCHEMA_E_NEWER;
        if (version < 0 || (version == 0 && tables > 0))
                return SCHEMA_E_FOREIGN;
        *ret_version = version;
        return SQLITE_OK;
}

static int schema_step(sqlite3 *db, int version) {
        _cleanup_(freep) char *sql =
                text_printf("BEGIN IMMEDIATE; %s PRAGMA user_version=%d; COMMIT;", steps[version], version + 1);
        int rc = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;

        if (rc != SQLITE_OK)
                (void)sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
        return rc;
}

int schema_migrate(sqlite3 *db, int version) {
        while (version < SCHEMA_VERSION) {
                int rc = schema_step(db, version), reached = version;

                /* Another recorder of the same directory may have been quicker: then the step is done, not failed. */
                if (rc != SQLITE_OK && (schema_check(db, &reached) != SQLITE_OK || reached <= version))
                        return rc;
                version = rc == SQLITE_OK ? version + 1 : reached;
        }
        return SQLITE_OK;
}
