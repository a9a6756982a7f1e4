/*
 * The recorder's storage: history and outbox in one SQLite file. Knows rows, not who sends them.
 *
 * A spool that can't be opened or written is not an error of the program: its state says why, rows are simply not
 * stored, and the next spool_store() tries again. Nothing here waits but for the disk itself.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "db/database.h"

typedef struct Spool Spool;

#define HISTORY_USEC_DEFAULT  (UINT64_C(30) * 24 * 3600 * 1000000)
#define HISTORY_BYTES_DEFAULT (UINT64_C(1) << 30)

typedef struct SpoolOptions {
        const char *directory;
        const char *host;    /* whose live processes `alive` is about; the name that rows carry */
        const char *boot_id; /* of this boot, where `alive` doesn't say it */
        bool read_only;      /* creates and changes nothing */
        bool outbox;         /* PostgreSQL is configured: what comes is also to be shipped */
        FileSystem file_system;
        uint64_t history_usec, history_bytes; /* UINT64_MAX: keep all */
} SpoolOptions;

enum {
        _SPOOL_E_SUCCESS,
        SPOOL_E_AWAY = 1, /* nothing was stored, keep the rows: spool_state() says why */
        SPOOL_E_REFUSED,  /* of one row: no row at all (without its key), sending it again is no use */
        SPOOL_E_EMPTY,    /* reading: there is no database */
};

/*
 * "30days", "512M", "30days,512M", "infinity": what is older, or beyond that many bytes, goes. What is not named keeps
 * its default. 0 or -EINVAL and a hint (static).
 */
int spool_parse_history(const char *text, uint64_t *ret_usec, uint64_t *ret_bytes, const char **ret_hint);

/* Opens, or tries to. 0 or -ENOMEM. */
int spool_new(const SpoolOptions *options, Spool **ret);
/* Checkpoints and closes. */
void spool_free(Spool *spool);
DEFINE_CLEANUP(Spool *, spool_free);

typedef enum SpoolKind {
        SPOOL_PROCESS,
        SPOOL_RUN,
        SPOOL_EVENT,
        SPOOL_ALIVE,
        _SPOOL_KIND_MAX,
        _SPOOL_KIND_INVALID = -EINVAL,
} SpoolKind;

/* "process", "run", "event", "alive": the operations of docs/protocol.md. */
SpoolKind spool_kind_from_string(const char *text);

typedef struct SpoolRow {
        const json_t *object; /* a run, an event, or the packet of `alive` */
        SpoolKind kind;
        int result;     /* 0 or SPOOL_E_REFUSED, set by spool_store() */
        bool was_there; /* it had been stored before: of a run and an event, set by spool_store() */
} SpoolRow;

/*
 * Stores the rows in their order in one transaction that is on the disk when this returns. 0, or SPOOL_E_AWAY and none
 * of them is stored. A row that is there already changes nothing (event) or is replaced (run, process). An event whose
 * number another event of its run has got takes the next one. Corruption is dealt with here: set aside, begun anew.
 */
int spool_store(Spool *spool, SpoolRow *rows, size_t n_rows);

/* One bounded step of forgetting. *ret_more: call again, when nothing else is to be done. 0, SPOOL_E_AWAY. */
int spool_retain(Spool *spool, uint64_t realtime_usec, bool *ret_more);
/* Whether the file is above its size, so that spool_retain() should not wait for its hour. */
bool spool_is_oversize(const Spool *spool);

/* The name that rows of this host carry. */
const char *spool_host(const Spool *spool);
StorageState spool_state(const Spool *spool);
const char *spool_detail(const Spool *spool); /* "" if there is nothing to say */
const char *spool_hint(const Spool *spool);   /* may be NULL */
/* Grows with every change of state, detail or set of files put aside. */
uint64_t spool_changes(const Spool *spool);
/* The `storage` object of docs/protocol.md; its `postgres` is null, for the recorder to replace. NULL on OOM. */
json_t *spool_storage(Spool *spool);

/*
 * For db/queries.c: the connection to read with (borrowed, until the next call of the spool). 0, SPOOL_E_EMPTY,
 * SPOOL_E_AWAY.
 */
int spool_reader(Spool *spool, sqlite3 **ret);
/*
 * For db/outbox.c: one transaction of the caller's statements, which return SQLite's result codes. Not durable: it may
 * be undone by a power failure, and costs no sync. 0, or SPOOL_E_AWAY and nothing is changed.
 */
int spool_change(Spool *spool, int (*change)(sqlite3 *db, void *userdata), void *userdata, bool durable);
/* Another number whenever the file was opened anew, and so may be another one. */
uint64_t spool_generation(const Spool *spool);
/* For db/queries.c: a read failed with this result code. Corruption is dealt with as in spool_store(). */
void spool_read_failed(Spool *spool, int rc);
