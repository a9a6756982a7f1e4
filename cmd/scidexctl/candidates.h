/*
 * What can stand at a place of the command line: for the completions of shells. Pure: runs are an argument.
 */
#pragma once

#include "cmd/scidexctl/ctl.h"

/* What of the record and the supervisor is asked for. */
typedef enum CandidateKind {
        CANDIDATE_WORDS, /* verbs, options, known values: nothing has to be asked */
        CANDIDATE_LIVE,  /* runs that are alive */
        CANDIDATE_RUNS,  /* and those that have ended */
        CANDIDATE_ANALYSES,
        CANDIDATE_NONE, /* what only the one who types knows */
} CandidateKind;

typedef struct Completion {
        CandidateKind kind;
        const Verb *verb;          /* NULL: the verb itself is to be named */
        const OptionEntry *option; /* whose value it is, NULL */
        const char *typed;         /* borrowed; the word as it stands: each candidate begins with it */
        size_t fixed;              /* bytes of it that stand before the value: of "--verdict=" */
        bool is_option;            /* it begins with a dash */
} Completion;

/* Of the words behind the program's name; the last one, which may be "", is to be completed. */
void completion_find(const char *const *words, size_t n, Completion *ret);
/* Writes "word\tdescription" lines. runs: rows of `list`, then of `history`; NULL where none were asked for. */
void completion_print(FILE *out, const Completion *completion, const json_t *runs);
