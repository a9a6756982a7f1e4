/*
 * What SQLite's result codes mean for the people who own the disk.
 *
 * Called wherever a statement fails.  SQLite says CANTOPEN for six different things, so the errno that it keeps decides
 * first, and its own code only where there is none.
 */
#include "db/database.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <string.h>

static const char *const state_names[_STORAGE_STATE_MAX] = {
        [STORAGE_OK] = "ok",
        [STORAGE_FULL] = "full",
        [STORAGE_READ_ONLY] = "read-only",
        [STORAGE_FAILED] = "failed",
};

static const char *const state_hints[_STORAGE_STATE_MAX] = {
        [STORAGE_FULL] =
                "Free some space on this file system; records wait in memory and are written as soon as it works.",
        [STORAGE_READ_ONLY] = "Make the directory writable for the recorder; records wait in memory and are written as "
                              "soon as it works.",
        [STORAGE_FAILED] = "Records wait in memory and are written as soon as it works.",
};

const char *storage_state_to_string(StorageState state) {
        return state_names[state];
}

void trouble_deinit(Trouble *trouble) {
        free(trouble->detail);
        *trouble = (Trouble){ .state = STORAGE_OK };
}

StorageState storage_state_of(int rc, int system_error) {
        int primary = rc & 0xff;

        if (rc == SQLITE_OK || rc == SQLITE_ROW || rc == SQLITE_DONE)
                return STORAGE_OK;
        if (primary == SQLITE_FULL)
                return STORAGE_FULL;
        if (primary == SQLITE_READONLY || primary == SQLITE_PERM || primary == SQLITE_AUTH)
                return STORAGE_READ_ONLY;
        if (primary != SQLITE_IOERR && primary != SQLITE_CANTOPEN)
                return STORAGE_FAILED;
        switch (system_error) {
        case ENOSPC:
        case EDQUOT:
                return STORAGE_FULL;
        case EROFS:
        case EACCES:
        case EPERM:
                return STORAGE_READ_ONLY;
        default:
                return STORAGE_FAILED;
        }
}

bool storage_is_corrupt(int rc) {
        return (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_NOTADB;
}

static int last_errno(sqlite3 *db, int pointer) {
        sqlite3_file *file = NULL;
        int number = 0;

        if (sqlite3_file_control(db, "main", pointer, (void *)&file) == SQLITE_OK && file && file->pMethods)
                (void)file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &number);
        return number;
}

int database_last_errno(sqlite3 *db) {
        int number = last_errno(db, SQLITE_FCNTL_FILE_POINTER);

        return number != 0 ? number : last_errno(db, SQLITE_FCNTL_JOURNAL_POINTER);
}

void trouble_of_database(sqlite3 *db, int rc, const char *path, Trouble *trouble) {
        int primary = rc & 0xff, error = 0;

        /* SQLite keeps the errno of an older failure too: only these two codes are about a system call. */
        if (db && (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN))
                error = sqlite3_system_errno(db);
        if (db && storage_is_corrupt(rc)) /* which every statement makes of an EIO (SQLITE_IOERR_CORRUPTFS) */
                error = database_last_errno(db);
        trouble_deinit(trouble);
        trouble->state = storage_state_of(rc, error);
        trouble->corrupt = storage_is_corrupt(rc) && error == 0;
        trouble->hint = state_hints[trouble->state];
        trouble->detail = text_printf("%s: %s%s%s", path, db ? sqlite3_errmsg(db) : sqlite3_errstr(rc),
                error ? ": " : "", error ? strerror(error) : "");
}
