/*
 * Rows of ended runs that no recorder has committed yet, as files beside the control socket: /run is memory, so that
 * writing there waits for no disk, and it outlives this process and its recorder.
 *
 * Between the removal of a group and the commit of its row nothing else tells of a run. Files are called <run_id>.json.
 */
#pragma once

#include "base/json.h"

typedef struct Rows {
        int fd;     /* owned; the directory, -EBADF: none could be made, and nothing is noted */
        char *path; /* owned */
} Rows;

#define ROWS_NONE ((Rows){ .fd = -EBADF })

/* Opens or makes <socket_path>.rows (0700, ours). 0 or -errno, then nothing will be noted. */
int rows_open(const char *socket_path, Rows *ret);
/* Closes; removes the directory when it is empty. */
void rows_deinit(Rows *rows);

/* Notes a row. What can't be written is not noted: the row is on its way to the recorder all the same. */
void rows_note(const Rows *rows, const char *run_id, const json_t *row);
/* The row is committed. */
void rows_forget(const Rows *rows, const char *run_id);

typedef void (*RowsFunc)(const char *run_id, json_t *row, void *userdata);
/* Calls func for each row that is noted; a file that is no row of ours is left alone. row is borrowed. */
void rows_each(const Rows *rows, RowsFunc func, void *userdata);
