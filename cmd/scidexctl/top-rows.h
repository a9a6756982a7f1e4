/*
 * What `top` shows: the runs of the list with the figures of their groups; sorted, filtered, as a tree. Pure.
 */
#pragma once

#include "base/cleanup.h"
#include "cgroup/usage.h"
#include "status/field.h"

#define FIGURE_UNKNOWN UINT64_MAX

/* What was read of a run's group. All unknown: nothing was. */
typedef struct Figure {
        Usage usage;
        uint64_t looked_usec; /* BOOTTIME; 0: never */
        double cpus;          /* CPUs used since the look before; < 0: unknown */
        double stalled;       /* share of the time in which all its processes waited for memory; < 0: unknown */
} Figure;

#define FIGURE_NONE ((Figure){ .usage = USAGE_NONE, .cpus = -1, .stalled = -1 })

typedef enum TopSort {
        TOP_BY_SHARE, /* nearest to a limit, of time or memory */
        TOP_BY_MEMORY,
        TOP_BY_CPU,
        TOP_BY_LEFT, /* least time left */
        TOP_BY_AGE,
        TOP_BY_STALL,
        TOP_BY_PROCESSES,
        TOP_BY_ANALYSIS,
        TOP_BY_STATE,
        TOP_SORT_MAX,
} TopSort;

/* "share of a limit", … */
const char *top_sort_title(TopSort sort);

typedef struct TopView {
        TopSort sort;
        bool is_inverted;
        bool is_tree;       /* nested runs below the run they were started from */
        const char *filter; /* borrowed; "": all */
} TopView;

typedef struct TopRow {
        const json_t *run;    /* borrowed */
        const char *run_id;   /* borrowed */
        const char *analysis; /* borrowed; as it came: not escaped */
        const char *state;    /* borrowed */
        uint64_t private_bytes, cache_bytes,
                limit_bytes; /* anon + shmem; file without shmem; FIGURE_UNKNOWN: not known, no limit */
        uint64_t pids, pid;
        uint64_t age_usec, left_usec; /* FIGURE_UNKNOWN: not known, no limit */
        double cpus, stalled;         /* < 0: unknown */
        double share;                 /* the higher of time and memory against their limits */
        unsigned depth;               /* in the tree */
} TopRow;

typedef struct TopRows {
        TopRow *rows; /* owned */
        size_t n;
        size_t all, grace;                                /* of all runs, also those that the filter leaves out */
        bool has_cache;                                   /* of any of them it is known */
        uint64_t private_bytes, cache_bytes, limit_bytes; /* of outermost runs: a nested one's are in its outer one's */
        double cpus;
} TopRows;

/* Of run; NULL: nothing was read. Borrowed. */
typedef const Figure *(*FigureFunc)(const char *run_id, void *userdata);

/* runs: rows of `list`. 0, -ENOMEM. */
int top_rows_make(const json_t *runs, const TopView *view, FigureFunc figure_of, void *userdata,
        uint64_t now_realtime_usec, TopRows *ret);
void top_rows_deinit(TopRows *rows);

/* Where the run stands, SIZE_MAX: nowhere. */
size_t top_rows_find(const TopRows *rows, const char *run_id);
/* The next one after `after` (around the end) that text is found in; SIZE_MAX: none. */
size_t top_rows_search(const TopRows *rows, const char *text, size_t after);
