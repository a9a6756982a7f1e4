/*
 * From what the last runs of an analysis took to limits for the next one.
 *
 * Called by `suggest`.  The hard thing is that the runs which matter most were cut off: of one that was killed at its
 * memory limit it is known that it needed more, not how much.  Leaving such runs out would suggest the limits of those
 * that happened to be small; so they count with what they had reached, and it is said where that makes a figure too
 * low (a percentile stands if all of them lie above it).  What failed or crashed by itself was not cut off.
 */
#include "cmd/scidexctl/suggestion.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <stdlib.h>
#include <string.h>

#define MIB         UINT64_C(1048576)
#define MARGIN_PART (100 / SUGGEST_MARGIN)
/* The kernel's own memory for a run (page tables, stacks) and the pages of its program are charged as well, and stand
 * in no figure here. */
#define MEMORY_LEAST_BYTES (32 * MIB)
#define MINUTE_USEC        (60 * USEC_PER_SEC)
#define SECONDS_MOST_USEC  (10 * MINUTE_USEC) /* a longer limit is told in minutes */

/* The verdicts of runs that were cut off for memory or for time; of those that ended by themselves. */
static const char *const by_memory[] = { "memory", NULL };
static const char *const by_time[] = { "timeout", "cpu-time", NULL };
static const char *const by_itself[] = { "completed", "failed", "crashed", NULL };

static bool is_among(const char *word, const char *const *words) {
        for (; *words; words++)
                if (strcmp(*words, word) == 0)
                        return true;
        return false;
}

static uint64_t round_up(uint64_t value, uint64_t unit) {
        return value > UINT64_MAX - unit ? value : (value + unit - 1) / unit * unit;
}

static uint64_t with_margin(uint64_t value) {
        return usec_add(value, round_up(value, MARGIN_PART) / MARGIN_PART);
}

static uint64_t round_memory(uint64_t bytes) {
        return MAX_OF(round_up(bytes, MIB), MEMORY_LEAST_BYTES);
}

static uint64_t round_duration(uint64_t usec) {
        return round_up(MAX_OF(usec, USEC_PER_SEC), usec <= SECONDS_MOST_USEC ? USEC_PER_SEC : MINUTE_USEC);
}

/* Of equal values those that are exact come first: one that is a bound may belong above. */
static int compare(const void *a, const void *b) {
        const SuggestValue *x = a, *y = b;

        if (x->value != y->value)
                return x->value < y->value ? -1 : 1;
        return (int)x->is_bound - (int)y->is_bound;
}

/* The place of a percentile among n values, from 0. */
static size_t nearest_rank(size_t n, unsigned percent) {
        return (n * percent + 99) / 100 - 1;
}

static void figure_finish(SuggestFigure *f, uint64_t (*rounded)(uint64_t)) {
        size_t rank;

        if (f->runs == 0)
                return;
        qsort(f->values, f->runs, sizeof(f->values[0]), compare);
        rank = nearest_rank(f->runs, SUGGEST_PERCENT);
        f->median = f->values[nearest_rank(f->runs, 50)].value;
        f->p95 = f->values[rank].value;
        f->most = f->values[f->runs - 1].value;
        f->suggested = rounded(with_margin(f->p95));
        for (size_t i = 0; i < f->runs; i++) {
                f->censored += f->values[i].is_bound;
                f->is_low |= i <= rank && f->values[i].is_bound;
                f->above += f->values[i].value > f->suggested;
        }
}

static void figure_add(SuggestFigure *f, uint64_t value, bool is_bound) {
        f->values[f->runs++] = (SuggestValue){ .value = value, .is_bound = is_bound };
}

/*
 * The peak of anon+shmem. It is sampled, so one that the kernel killed at its limit may seem to have been below it: it
 * was not. Of a run too short for a sample only the peak with page cache is known.
 */
static void take_memory(SuggestFigure *f, const json_t *run, const char *verdict, bool is_cut) {
        const char *enforcement = field_text(run, "enforcement");
        uint64_t value, limit;
        bool is_known = field_u64(run, "private_peak_bytes", &value);

        if (is_among(verdict, by_memory) && enforcement && strcmp(enforcement, "kernel") == 0 &&
                field_u64(run, "memory_limit_bytes", &limit)) {
                value = is_known ? MAX_OF(value, limit) : limit;
                is_known = true;
        }
        if (!is_known && field_u64(run, "memory_peak_bytes", &value)) {
                is_known = true;
                f->coarse++;
        }
        if (is_known)
                figure_add(f, value, is_cut);
}

static void take_run(Suggestion *s, const json_t *run, const char *verdict) {
        bool is_cut = !is_among(verdict, by_itself);
        bool is_registered = json_is_true(json_object_get(run, "registered"));
        uint64_t value, count = 0;

        s->runs++;
        s->registered += is_registered;
        if (is_cut)
                (*(is_among(verdict, by_memory)              ? &s->by_memory
                                : is_among(verdict, by_time) ? &s->by_time
                                                             : &s->otherwise))++;
        (void)field_u64(s->verdicts, verdict, &count);
        (void)json_object_set_new(s->verdicts, verdict, json_from_u64(count + 1));
        take_memory(&s->memory, run, verdict, is_cut);
        if (field_usec(run, "duration_sec", &value))
                figure_add(&s->duration, value, is_cut || is_registered);
}

static void take_span(Suggestion *s, const json_t *run) {
        char text[FORMAT_MAX];
        const char *ended = field_when(text, run, "ended_at", "");

        (void)snprintf(s->first_at, sizeof(s->first_at), "%s", ended); /* the rows go back in time */
        if (s->runs == 1)
                (void)snprintf(s->last_at, sizeof(s->last_at), "%s", ended);
}

int suggestion_make(const char *analysis_id, const json_t *rows, Suggestion *ret) {
        const json_t *run;
        size_t i;

        *ret = (Suggestion){ .analysis_id = analysis_id, .verdicts = json_object() };
        if (!ret->verdicts)
                return -ENOMEM;
        json_array_foreach(rows, i, run) {
                const char *verdict = field_text(run, "verdict");

                if (!verdict)
                        continue; /* it lives */
                if (ret->runs == SUGGEST_RUNS)
                        break;
                take_run(ret, run, verdict);
                take_span(ret, run);
        }
        figure_finish(&ret->memory, round_memory);
        figure_finish(&ret->duration, round_duration);
        return 0;
}

void suggestion_deinit(Suggestion *suggestion) {
        json_decref(suggestion->verdicts);
        suggestion->verdicts = NULL;
}

char *suggestion_options(const Suggestion *s) {
        char memory[FORMAT_MAX] = "", duration[FORMAT_MAX] = "";
        bool minutes = s->duration.suggested > SECONDS_MOST_USEC;

        if (s->memory.runs > 0)
                (void)snprintf(memory, sizeof(memory), "--memory %juM", (uintmax_t)(s->memory.suggested / MIB));
        if (s->duration.runs > 0)
                (void)snprintf(duration, sizeof(duration), "--timeout %ju%s",
                        (uintmax_t)(s->duration.suggested / (minutes ? MINUTE_USEC : USEC_PER_SEC)),
                        minutes ? "min" : "s");
        return text_printf("%s%s%s", memory, *memory && *duration ? " " : "", duration);
}
