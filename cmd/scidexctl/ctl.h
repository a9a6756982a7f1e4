/* What the verbs of scidexctl share: the command line, the verbs, how a failure is said. */
#pragma once

#include "base/json.h"
#include "status/table.h"
#include <stddef.h>
#include <stdint.h>

/* Exit statuses; --help and scidexctl(1) name them. */
typedef enum CtlStatus {
        CTL_OK = 0,
        CTL_ABSENT = 1,    /* what was asked about does not exist or is ambiguous; doctor found something not ok */
        CTL_USAGE = 2,     /* the command line */
        CTL_NO_ANSWER = 3, /* no supervisor and no record, or talking to them failed */
        CTL_DENIED = 4,    /* refused */
} CtlStatus;

/* Everything points into argv. */
typedef struct Options {
        bool json, help, version, no_colour, all;
        bool all_hosts, follow;               /* --all-hosts, --follow */
        const char *postgres;                 /* --postgres */
        const char *host;                     /* --host */
        const char *socket;                   /* --socket: ask this one only */
        const char *analysis;                 /* --analysis */
        const char *verdict;                  /* --verdict, --reason */
        const char *run;                      /* --run */
        const char *by;                       /* --by */
        const char *since;                    /* --since, as typed */
        uint64_t limit;                       /* --limit, 0 when not given */
        const char *timeout, *memory, *grace; /* as typed */
        const char *analysis_id;              /* --analysis-id */
        json_t *labels;                       /* owned; --label, NULL: none */
        char **arguments;                     /* owned; what follows the verb */
        size_t n_arguments;
        uint64_t watch_usec;         /* --watch, `watch`; 0: once */
        const struct Verb *watching; /* `watch`, where it stood before the verb; else NULL */
        const struct Verb *verb;     /* NULL when none was given */
} Options;

enum {
        OPTION_ALL = 1 << 0,
        OPTION_LIMIT = 1 << 1,
        OPTION_ANALYSIS = 1 << 2,
        OPTION_VERDICT = 1 << 3,
        OPTION_REASON = 1 << 4,
        OPTION_RUN = 1 << 5,
        OPTION_SINCE = 1 << 6,
        OPTION_TIMEOUT = 1 << 7,
        OPTION_ANALYSIS_ID = 1 << 8, /* of what is registered */
        OPTION_LABEL = 1 << 9,
        OPTION_MEMORY = 1 << 10,
        OPTION_GRACE = 1 << 11,
        OPTION_ALL_HOSTS = 1 << 12, /* also --host */
        OPTION_FOLLOW = 1 << 13,
        OPTION_POSTGRES = 1 << 14,
        OPTION_BY = 1 << 15,
        OPTION_WATCH = 1 << 16, /* it only asks, so it may be asked again and again */
        OPTION_HOSTS = OPTION_ALL_HOSTS | OPTION_POSTGRES,
        OPTION_LIMITS = OPTION_TIMEOUT | OPTION_MEMORY | OPTION_GRACE,
};

typedef struct Verb {
        const char *name;
        const char *usage;   /* what follows the name */
        const char *summary; /* one line */
        size_t least, most;  /* positional arguments */
        unsigned options;    /* OPTION_* it takes beside the global ones */
        int (*run)(const Options *options, const Terminal *terminal);
} Verb;

typedef struct OptionEntry {
        const char *name;
        const char *value;   /* what stands for the value in the help, NULL: a switch */
        unsigned verbs;      /* OPTION_*, 0: global */
        size_t offset;       /* of a bool or a const char * in Options; --limit and --label are parsed by themselves */
        const char *summary; /* NULL: another spelling, not shown */
} OptionEntry;

/* The first (of NULL), the next; NULL after the last. */
const OptionEntry *option_next(const OptionEntry *previous);
/* The words that its value may be (ended by NULL); NULL: anything. */
const char *const *option_words(const OptionEntry *entry);

/* Ends with an entry whose name is NULL. One without a summary is for programs: it is not shown. */
extern const Verb verbs[];

/* 0 or -EINVAL, in which case *ret_error is a failed answer (ask.h) that says what, why and what to write. */
int options_parse(int argc, char *argv[], Options *ret, json_t **ret_error);
void options_deinit(Options *options);
void options_print_help(FILE *out, const Verb *verb);

/* Instead of the verb, when options->watch_usec is set. */
int watch(const Options *options, const Terminal *terminal);
/* What was printed has to be where it belongs, else it was not done. */
int status_after_flush(int status);

/* Of the words (ended by NULL) the one most like text, NULL if none is near. */
const char *nearest_word(const char *text, const char *const *words);

/* A failed answer: {"ok":false,"error":{"code","message","hint"}}. hint may be NULL. NULL on OOM. */
json_t *answer_failed(const char *code, const char *hint, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
/* The exit status that belongs to an answer; CTL_NO_ANSWER for NULL. */
int answer_status(const json_t *answer);
/* Says a failed answer: JSON on stdout with --json, else text on stderr. Returns its status. */
int answer_report_failure(const Options *options, const json_t *answer);
/* What a verb does with one of its arguments: adds to answers, and with text says it; or *ret_failure is a failed
 * answer, or NULL on OOM. Its status. */
typedef int (*AnswerOneFunc)(const Options *options, const char *word, json_t *answers, json_t **ret_failure);
/* All arguments, whatever becomes of each: {"ok":…,NAME:[…]} with --json, and the first error. The worst status. */
int answer_each(const Options *options, const char *name, AnswerOneFunc one);
/* JSON to stdout, pure ASCII so that no analysis id can drive the terminal. */
int json_print(const json_t *value);

/* The rows of an answer under a name: {"ok":true,NAME:[…]}. Returns the exit status. */
int rows_print_json(const char *name, const json_t *answer);

int verb_list(const Options *options, const Terminal *terminal);
int verb_show(const Options *options, const Terminal *terminal);
int verb_why(const Options *options, const Terminal *terminal);
int verb_kill(const Options *options, const Terminal *terminal);
int verb_set(const Options *options, const Terminal *terminal);
int verb_register(const Options *options, const Terminal *terminal);
int verb_unregister(const Options *options, const Terminal *terminal);
int verb_events(const Options *options, const Terminal *terminal);
int verb_history(const Options *options, const Terminal *terminal);
int verb_suggest(const Options *options, const Terminal *terminal);
int verb_report(const Options *options, const Terminal *terminal);
int verb_tree(const Options *options, const Terminal *terminal);
int verb_complete(const Options *options, const Terminal *terminal);
int verb_top(const Options *options, const Terminal *terminal);
int verb_db(const Options *options, const Terminal *terminal);
int verb_doctor(const Options *options, const Terminal *terminal);
