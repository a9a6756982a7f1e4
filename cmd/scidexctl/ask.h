/* One question to whoever can answer it: the supervisors that run, their records, the record on disk. */
#pragma once

#include "cmd/scidexctl/ctl.h"
#include <sys/types.h>

typedef enum Where {
        WHERE_LIVE,   /* the control sockets */
        WHERE_RECORD, /* the record sockets, then a recorder of our own that only reads */
} Where;

/*
 * Puts request to each candidate in turn until one knows: a `not-found` goes on to the next. The answer is the reply,
 * with the rows of a list gathered in `rows`, or a failed answer made here; NULL on OOM. Caller frees. Read from the
 * disk because the recorder that has the record did not answer, it has that error in `instead_of`.
 */
json_t *ask(const Options *options, Where where, const json_t *request);

/* Takes one row of a list, borrowed. Not 0, -errno: no more are wanted. */
typedef int (*RowFunc)(const json_t *row, void *userdata);
/* Where rows go one by one, instead of being gathered in the answer. */
typedef struct RowSink {
        RowFunc func;
        void *userdata;
        size_t taken; /* so many it was given; after the first nobody else is asked */
} RowSink;
/* As ask(), with --all-hosts of the database; the rows go to the sink, *inout. */
json_t *ask_rows(const Options *options, Where where, const json_t *request, RowSink *sink);

/* A connection for questions, and the recorder started for it, if one was. */
typedef struct Source {
        int fd;         /* owned */
        pid_t recorder; /* owned; 0: none was started. Or scidex-db */
        int recorder_pidfd;
        int answer_msec;  /* how long each packet may take; -1: as long as it likes */
        RowSink *sink;    /* borrowed; NULL: rows are gathered */
        int interrupt_fd; /* borrowed; readable: nobody waits any more (-EINTR). -EBADF: there is none */
} Source;

#define SOURCE_NONE \
        ((Source){ .fd = -EBADF, .recorder_pidfd = -EBADF, .interrupt_fd = -EBADF, .answer_msec = SOURCE_ANSWER_MSEC })
#define SOURCE_ANSWER_MSEC   15000 /* a supervisor answers in ms; a record may lie on a slow disk */
#define SOURCE_DATABASE_MSEC 60000 /* dead names and hosts take libpq its time; and a large table */

/* Connects to a socket. 0 or a CLIENT_E_*, -errno. */
int source_connect(const char *path, Source *ret);
/* Starts `scidex-recorder --read` on the record in directory. 0, -ENOENT (no program or no directory), -errno. */
int source_read_directory(const char *directory, Source *ret);
/* Starts `scidex-db` on the database that conninfo names. 0, -ENOENT (not installed), -errno. */
int source_database(const char *conninfo, Source *ret);
void source_deinit(Source *source);
/* Asks and gathers rows. Always an answer; NULL on OOM. */
json_t *source_ask(const Source *source, const json_t *request);

/* One run, of the supervisors (`show`) and of the record (`why`, with its `events`), in either order. NULL on OOM. */
json_t *ask_run(const Options *options, const char *run, bool live_first);

/* {"op":op} with the limit and the filters of the command line. NULL and *ret_error, which stays NULL on OOM. */
json_t *request_filtered(const char *op, const Options *options, json_t **ret_error);
/* {"op":op,"run":run}. NULL on OOM. */
json_t *request_run(const char *op, const char *run);

/*
 * The database: --postgres, else the variable or the configuration (one's own, then the system's where that can be
 * read). 0 and a connection string (owned), -ENOENT: none is configured, -ENOMEM.
 */
int ask_conninfo(const Options *options, char **ret);
/* Connects to it. NULL, or a failed answer that says why not. */
json_t *ask_open_database(const Options *options, Source *ret);
/* One question to it. sink may be NULL. */
json_t *ask_database(const Options *options, const json_t *request, RowSink *sink);
/* As ask(): of the database with --all-hosts. */
json_t *ask_anywhere(const Options *options, Where where, const json_t *request);

/* Where the record lies, as the configuration says. 0, -errno; caller frees. */
int ask_state_directory(char **ret);
