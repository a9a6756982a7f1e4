/*
 * Why a run ended: from the answer of `why` to text. Pure: no socket, no clock; the local time zone is all it takes
 * from outside.
 *
 * explain.c puts it together; story.c says what happened, evidence.c what proves it, advice.c what to do.
 */
#pragma once

#include "status/field.h"
#include "status/table.h"

/* events: of this run, in any order; may be NULL. 0 or -ENOMEM. */
int explain_print(FILE *out, const Terminal *terminal, const json_t *run, const json_t *events);

/* A run to be explained. Everything points into the answer but name. */
typedef struct Case {
        const json_t *run;
        const json_t *event;     /* the newest one that is not about leftovers, NULL: nothing was killed */
        const json_t *leftovers; /* the newest one with reason orphan, NULL */
        const json_t *timeline;  /* of the event, else of the run; NULL */
        const char *verdict;     /* NULL while it lives */
        const char *detail;      /* "" when there is none */
        char *name;              /* owned; "SDA-42 (run 7c1e90ab)" */
        char *subject;           /* owned; the analysis as a shell reads it, else the short id */
        char time[FORMAT_MAX];   /* how long it ran */
        char limit[FORMAT_MAX];  /* of memory, "no limit" */
} Case;

/* It ran before it came under supervision. */
bool case_is_registered(const Case *c);
/* A figure at the moment of the kill, else of the run at its end. */
bool case_u64(const Case *c, const char *key, uint64_t *ret);
bool case_usec(const Case *c, const char *key, uint64_t *ret_usec);
bool case_is_sampled(const Case *c);
/* Whether the whole group had to be killed after TERM: something ignored it or was too slow. */
bool case_ignored_term(const Case *c);
/*
 * Whether it waited instead of computing: CPU time below 5 % of the time, in the second half of the timeline, or,
 * without one, of the whole run. False when unknown.
 */
bool case_was_idle(const Case *c, uint64_t *ret_cpu_usec, uint64_t *ret_span_usec);
/* shmem above half of the limit. */
bool case_is_shmem(const Case *c);
/* file cache without shared memory: the kernel counts tmpfs as file. */
bool case_cache_bytes(const Case *c, uint64_t *ret);

/* Each writes sentences, divided by blanks, to p. */
void story_write(FILE *p, const Case *c);
void evidence_write(FILE *p, const Case *c);
void advice_write(FILE *p, const Case *c);
/* A command to copy, which needs a line of its own. */
void advice_write_command(FILE *p, const Case *c);

/* The timeline as marks, scaled to the limit (UINT64_MAX: to its own highest). Nothing for fewer than two samples. */
void timeline_print(FILE *out, const Terminal *terminal, const json_t *timeline, uint64_t limit_bytes);
