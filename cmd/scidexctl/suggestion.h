/*
 * Limits for the next run, out of what earlier ones took. Pure: rows of `history` in, figures and sentences out.
 *
 * Each figure is the 95th percentile by nearest rank (the smallest value that at least 95 % of the runs did not
 * exceed: the one with rank ceil(0.95 n)), and 20 % more.
 */
#pragma once

#include "status/field.h"
#include "status/table.h"

#define SUGGEST_RUNS    50 /* looked at: older ones were made of other code and other data */
#define SUGGEST_THIN    10 /* of fewer the 95th percentile is just the largest */
#define SUGGEST_PERCENT 95
#define SUGGEST_MARGIN  20 /* percent more */

/* What a run used, at least. */
typedef struct SuggestValue {
        uint64_t value;
        bool is_bound; /* it was cut off: it would have used more */
} SuggestValue;

/* All 0 without a run whose value is known. */
typedef struct SuggestFigure {
        SuggestValue values[SUGGEST_RUNS]; /* in rising order */
        size_t runs;                       /* it rests on */
        uint64_t median, p95, most;
        uint64_t suggested;
        size_t censored; /* of these were cut off; */
        bool is_low;     /* so many of them at or below p95 that it can only be too low */
        size_t above;    /* used more than is suggested */
        size_t coarse;   /* whose value is more than was used: page cache, where nothing else was counted */
} SuggestFigure;

typedef struct Suggestion {
        const char *analysis_id; /* borrowed */
        size_t runs;
        size_t by_memory, by_time, otherwise;           /* cut off: killed for memory, for time, by anything else */
        size_t registered;                              /* ran before they came under supervision */
        json_t *verdicts;                               /* owned; their counts */
        char first_at[FORMAT_MAX], last_at[FORMAT_MAX]; /* of their ends, as people read them; "" unknown */
        SuggestFigure memory;                           /* bytes of anon+shmem */
        SuggestFigure duration;                         /* usec */
} Suggestion;

/* Of the rows of ended runs, newest first; those after SUGGEST_RUNS are not looked at. 0, -ENOMEM. */
int suggestion_make(const char *analysis_id, const json_t *rows, Suggestion *ret);
void suggestion_deinit(Suggestion *suggestion);

/* "--memory 1200M --timeout 36min": what could be told; NULL on OOM. Caller frees. */
char *suggestion_options(const Suggestion *suggestion);
/* NULL on OOM. */
json_t *suggestion_to_json(const Suggestion *suggestion);
/* 0, -ENOMEM. */
int suggestion_print(FILE *out, const Terminal *terminal, const Suggestion *suggestion);
