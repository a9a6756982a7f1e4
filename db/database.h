/*
 * Opening spool.sqlite: for writing (made if missing, migrated, checked), or for reading without leaving a trace.
 *
 * What goes wrong is told as a Trouble: in words for people, and as one of the states of docs/protocol.md.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#define DATABASE_NAME "spool.sqlite"

typedef enum StorageState {
        STORAGE_OK,
        STORAGE_FULL,
        STORAGE_READ_ONLY,
        STORAGE_FAILED,
        _STORAGE_STATE_MAX,
} StorageState;

/* "ok", "full", "read-only", "failed". Static. */
const char *storage_state_to_string(StorageState state);

typedef struct Trouble {
        StorageState state;
        bool corrupt;     /* the file's content is broken, and not the disk: it is to be set aside */
        char *detail;     /* owned; what failed, NULL if there is nothing to say */
        const char *hint; /* static; what to do, may be NULL */
} Trouble;

void trouble_deinit(Trouble *trouble);
/* What an extended result code of SQLite means; system_error is errno of the call that failed, 0 if none. */
StorageState storage_state_of(int rc, int system_error);
bool storage_is_corrupt(int rc);
/* The errno that the disk has failed with since db opened its file, or the log of it; 0: it has not. */
int database_last_errno(sqlite3 *db);
/* Describes db's last error. Replaces what *trouble held. */
void trouble_of_database(sqlite3 *db, int rc, const char *path, Trouble *trouble);

typedef enum FileSystem {
        FILE_SYSTEM_DETECT,  /* ask statfs(2) */
        FILE_SYSTEM_LOCAL,   /* WAL */
        FILE_SYSTEM_NETWORK, /* no shared memory between hosts, so no WAL: journal_mode=DELETE */
} FileSystem;

/* Whether a statfs(2) f_type is one on which SQLite's WAL is not safe (NFS, SMB, FUSE, 9p, parallel file systems). */
bool file_system_is_network(int64_t type);

enum {
        _DATABASE_E_SUCCESS,
        DATABASE_E_TROUBLE = 1, /* *ret_trouble says what */
        DATABASE_E_NONE,        /* reader: there is no database yet */
};

/*
 * Directory (0700) and file (0600) are made if missing. 0 and an open connection, or DATABASE_E_TROUBLE.
 * ret_trouble->detail may be set on success too (no WAL here).
 */
int database_open_writer(const char *directory, FileSystem file_system, sqlite3 **ret, Trouble *ret_trouble);
/*
 * Creates and changes nothing, also no -wal or -shm. 0, DATABASE_E_*. ret_trouble->detail on success: the newest rows
 * may be missing, because the WAL could not be read.
 */
int database_open_reader(const char *directory, sqlite3 **ret, Trouble *ret_trouble);
