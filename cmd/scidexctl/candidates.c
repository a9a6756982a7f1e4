/*
 * Completions.
 *
 * Called by `complete`, which the shells call.  The hard thing is that ids come from outside, and that shells are good
 * at executing what they are given: so a line never holds more than one word and its description, and an id that a
 * terminal should not be sent is not offered at all.  Quoting is the shell's own (each knows how), from words.
 */
#include "cmd/scidexctl/candidates.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "status/field.h"
#include <stdlib.h>
#include <string.h>

static const char *const db_parts[] = { "migrate", "status", "forget", "retain", "dead", "retry", NULL };

static const OptionEntry *option_find(const char *word, size_t length) {
        for (const OptionEntry *e = option_next(NULL); e; e = option_next(e))
                if (strlen(e->name) == length && strncmp(e->name, word, length) == 0)
                        return e;
        return NULL;
}

static const Verb *find_verb(const char *word) {
        for (const Verb *v = verbs; v->name; v++)
                if (v->summary && strcmp(v->name, word) == 0)
                        return v;
        return NULL;
}

static CandidateKind kind_of_option(const OptionEntry *option) {
        if (option_words(option))
                return CANDIDATE_WORDS;
        if (option->verbs == OPTION_ANALYSIS || option->verbs == OPTION_ANALYSIS_ID)
                return CANDIDATE_ANALYSES;
        return option->verbs == OPTION_RUN ? CANDIDATE_RUNS : CANDIDATE_NONE;
}

/* Of the arguments of a verb, of which n are there already. */
static CandidateKind kind_of_argument(const Verb *verb, size_t n) {
        if (n >= verb->most)
                return CANDIDATE_NONE;
        if (strcmp(verb->name, "db") == 0)
                return n == 0 ? CANDIDATE_WORDS : CANDIDATE_NONE;
        if (verb->usage[0] == 'A')
                return CANDIDATE_ANALYSES;
        if (verb->usage[0] != 'R')
                return CANDIDATE_NONE;
        return strcmp(verb->name, "show") == 0 || strcmp(verb->name, "why") == 0 ? CANDIDATE_RUNS : CANDIDATE_LIVE;
}

/* Goes over a word before the last one: the verb, or an option whose value is still to come. */
static void pass_over(Completion *c, const char *word, size_t *n_arguments) {
        const OptionEntry *option = word[0] == '-' ? option_find(word, strcspn(word, "=")) : NULL;

        if (c->option)
                c->option = NULL; /* that was its value */
        else if (option && option->value && !strchr(word, '='))
                c->option = option;
        else if (word[0] == '-')
                return;
        else if (!c->verb) {
                const Verb *verb = find_verb(word);

                if (verb && strcmp(verb->name, "watch") != 0)
                        c->verb = verb;
        } else
                (*n_arguments)++;
}

void completion_find(const char *const *words, size_t n, Completion *ret) {
        size_t n_arguments = 0, length;
        Completion c = { .typed = n > 0 ? words[n - 1] : "" };

        for (size_t i = 0; i + 1 < n; i++)
                pass_over(&c, words[i], &n_arguments);
        length = strcspn(c.typed, "=");
        if (!c.option && c.typed[0] == '-' && c.typed[length] == '=') {
                c.option = option_find(c.typed, length);
                c.fixed = length + 1;
                c.kind = c.option && c.option->value ? kind_of_option(c.option) : CANDIDATE_NONE;
        } else if (c.option)
                c.kind = kind_of_option(c.option);
        else if (c.typed[0] == '-')
                c.is_option = true;
        else if (c.verb)
                c.kind = kind_of_argument(c.verb, n_arguments);
        *ret = c;
}

/* A candidate, if it goes on from what was typed and can be shown as it is. */
static void candidate_print(FILE *out, const Completion *c, const char *word, const char *description) {
        _cleanup_(freep) char *safe = word ? text_escape(word) : NULL;
        _cleanup_(freep) char *told = text_escape(description ? description : "");
        const char *typed = c->typed + c->fixed;

        if (!safe || !told || !*word || strcmp(safe, word) != 0 || strncmp(word, typed, strlen(typed)) != 0)
                return;
        (void)fprintf(out, "%.*s%s\t%s\n", (int)c->fixed, c->typed, word, told);
}

static void words_print(FILE *out, const Completion *c, const char *const *words) {
        for (; words && *words; words++)
                candidate_print(out, c, *words, NULL);
}

static void verbs_print(FILE *out, const Completion *c) {
        for (const Verb *v = verbs; v->name; v++)
                if (v->summary)
                        candidate_print(out, c, v->name, v->summary);
}

static void options_print(FILE *out, const Completion *c) {
        for (const OptionEntry *e = option_next(NULL); e; e = option_next(e))
                if (e->summary && (!e->verbs || !c->verb || (e->verbs & c->verb->options)))
                        candidate_print(out, c, e->name, e->summary);
}

/* Its state while it lives, else its verdict. */
static const char *word_of(const json_t *run) {
        const char *verdict = field_text(run, "verdict");

        return verdict ? verdict : field_text(run, "state");
}

static void runs_print(FILE *out, const Completion *c, const json_t *runs) {
        const json_t *run;
        size_t i;

        json_array_foreach(runs, i, run) {
                const char *analysis = field_text(run, "analysis_id"), *word = word_of(run);
                _cleanup_(freep) char *description = NULL;

                if (asprintf(&description, "%s %s", analysis ? analysis : "", word ? word : "") < 0)
                        description = NULL;
                candidate_print(out, c, run_short_id(run), description);
                /* A whole id that was begun is gone on with. */
                if (strlen(c->typed + c->fixed) > 0 && field_text(run, "run_id") &&
                        strcmp(field_text(run, "run_id"), run_short_id(run)) != 0)
                        candidate_print(out, c, field_text(run, "run_id"), description);
        }
}

static void analyses_print(FILE *out, const Completion *c, const json_t *runs) {
        _cleanup_(json_decrefp) json_t *told = json_object();
        const json_t *run;
        size_t i;

        json_array_foreach(runs, i, run) {
                const char *analysis = field_text(run, "analysis_id"), *word = word_of(run);
                _cleanup_(freep) char *description = NULL;

                if (!analysis || json_object_get(told, analysis))
                        continue;
                (void)json_object_set_new(told, analysis, json_true());
                if (asprintf(&description, "newest run: %s", word ? word : "?") < 0)
                        description = NULL;
                candidate_print(out, c, analysis, description);
        }
}

void completion_print(FILE *out, const Completion *c, const json_t *runs) {
        if (c->is_option)
                options_print(out, c);
        else if (c->kind == CANDIDATE_WORDS && c->option)
                words_print(out, c, option_words(c->option));
        else if (c->kind == CANDIDATE_WORDS && c->verb)
                words_print(out, c, db_parts);
        else if (c->kind == CANDIDATE_WORDS)
                verbs_print(out, c);
        else if (c->kind == CANDIDATE_ANALYSES)
                analyses_print(out, c, runs);
        else if (c->kind != CANDIDATE_NONE) {
                runs_print(out, c, runs);
                analyses_print(out, c, runs);
        }
}
