/*
 * A suggestion, for people and for programs.
 *
 * Called by `suggest`.  A figure is of use only to who knows what it rests on: so each says of how many runs it is, how
 * far apart they lie, how many would not have fitted, and which way those that were cut off bend it.
 */
#include "cmd/scidexctl/suggestion.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <string.h>

#define APART_TIMES 3 /* so many times the median: the percentile is that of another kind of run */

typedef char *(*FormatFunc)(char buffer[static FORMAT_MAX], uint64_t value);

static const char *plural(size_t n) {
        return n == 1 ? "" : "s";
}

/* "44 completed, 2 memory" */
static void verdicts_write(FILE *p, const Suggestion *s) {
        static const char *const order[] = { "completed", "failed", "crashed", "memory", "timeout", "cpu-time",
                "host-oom", "orphaned", "cancelled", "lost" };
        const char *gap = "";

        for (size_t i = 0; i < ELEMENTSOF(order); i++) {
                uint64_t count;

                if (!field_u64(s->verdicts, order[i], &count))
                        continue;
                (void)fprintf(p, "%s%ju %s", gap, (uintmax_t)count, order[i]);
                gap = ", ";
        }
}

static void figure_write(FILE *p, const SuggestFigure *f, const char *what, FormatFunc format) {
        char a[FORMAT_MAX], b[FORMAT_MAX], c[FORMAT_MAX], d[FORMAT_MAX];

        if (f->runs == 0) {
                (void)fprintf(p, "%s: of no run is it known how much it took.", what);
                return;
        }
        (void)fprintf(p,
                "%s: %s. 95 %% of %zu run%s took at most %s, and 20 %% more. Half of them took at most %s, the most "
                "was %s.",
                what, format(a, f->suggested), f->runs, plural(f->runs), format(b, f->p95), format(c, f->median),
                format(d, f->most));
        if (f->above > 0)
                (void)fprintf(p, " %zu of them used more than is suggested, and would have been killed.", f->above);
        if (f->median > 0 && f->p95 / f->median >= APART_TIMES)
                (void)fputs(" They lie far apart: if these are two kinds of work, an analysis id for each gives each "
                            "its own limit.",
                        p);
}

/* Which way those that were cut off bend it. */
static void bias_write(FILE *p, const SuggestFigure *f, const char *what) {
        if (f->runs == 0 || f->censored == 0)
                return;
        if (f->is_low)
                (void)fprintf(p, " The figure for %s can only be too low for that, never too high.", what);
        else
                (void)fprintf(p, " The figure for %s stands, as all of these lie above it.", what);
}

static void censored_write(FILE *p, const Suggestion *s) {
        size_t cut = s->by_memory + s->by_time + s->otherwise;
        const char *gap = "";

        if (cut == 0)
                return;
        (void)fprintf(p, "Censored: %zu of %zu run%s ", cut, s->runs, cut == 1 && s->runs == 1 ? " was" : "s were");
        if (s->by_memory > 0) {
                (void)fprintf(p, "killed for memory (%zu)", s->by_memory);
                gap = ", ";
        }
        if (s->by_time > 0) {
                (void)fprintf(p, "%skilled for time (%zu)", gap, s->by_time);
                gap = ", ";
        }
        if (s->otherwise > 0)
                (void)fprintf(p, "%scut off by something else (%zu)", gap, s->otherwise);
        (void)fputs(". What they would have taken is not known, only that it is more than they had by then, which is "
                    "what they count with.",
                p);
        bias_write(p, &s->memory, "memory");
        bias_write(p, &s->duration, "time");
}

static void remarks_write(FILE *p, const Suggestion *s) {
        if (s->registered > 0)
                (void)fprintf(p,
                        "%zu of them %s registered when they ran already: their time before that is not counted, "
                        "which makes the figure for time too low. ",
                        s->registered, s->registered == 1 ? "was" : "were");
        if (s->memory.coarse > 0)
                (void)fprintf(p,
                        "%zu of them %s too short to be looked at: for these the peak with page cache counts, which "
                        "makes the figure for memory too high.",
                        s->memory.coarse, s->memory.coarse == 1 ? "was" : "were");
}

static void thin_write(FILE *p, const Suggestion *s) {
        if (s->runs < SUGGEST_THIN)
                (void)fprintf(p,
                        "This is thin: it rests on %zu run%s only. Below %d the 95th percentile is just the largest.",
                        s->runs, plural(s->runs), SUGGEST_THIN);
}

static void head_write(FILE *p, const Suggestion *s) {
        (void)fprintf(p, "%s: the last %zu run%s", s->analysis_id, s->runs, plural(s->runs));
        if (*s->first_at && strcmp(s->first_at, s->last_at) != 0)
                (void)fprintf(p, ", %s to %s", s->first_at, s->last_at);
        else if (*s->last_at)
                (void)fprintf(p, ", %s", s->last_at);
        (void)fputs(": ", p);
        verdicts_write(p, s);
        (void)fputc('.', p);
}

static void memory_write(FILE *p, const Suggestion *s) {
        figure_write(p, &s->memory, "Memory without page cache", format_bytes);
}

static void duration_write(FILE *p, const Suggestion *s) {
        figure_write(p, &s->duration, "Time", format_duration);
}

/*
 * The id as a shell reads it back and a terminal may be sent: with escapes, where it has what would drive one. NULL on
 * OOM. Caller frees.
 */
static char *id_quote(const char *id) {
        _cleanup_(freep) char *safe = text_escape(id), *doubled = malloc(strlen(id) * 2 + 1), *escaped = NULL;
        char *end = doubled;

        if (!safe || !doubled)
                return NULL;
        if (strcmp(safe, id) == 0)
                return shell_quote(id);
        for (; *id; *end++ = *id++)
                if (*id == '\\' || *id == '\'')
                        *end++ = '\\';
        *end = '\0';
        escaped = text_escape(doubled);
        return escaped ? text_printf("$'%s'", escaped) : NULL;
}

int suggestion_print(FILE *out, const Terminal *terminal, const Suggestion *s) {
        static void (*const parts[])(FILE *, const Suggestion *) = { head_write, memory_write, duration_write,
                censored_write, remarks_write, thin_write };
        _cleanup_(freep) char *options = suggestion_options(s), *quoted = id_quote(s->analysis_id);

        for (size_t i = 0; i < ELEMENTSOF(parts); i++) {
                _cleanup_(freep) char *text = NULL;
                size_t size = 0;
                FILE *p = open_memstream(&text, &size);

                if (!p)
                        return -ENOMEM;
                parts[i](p, s);
                if (fclose(p) != 0)
                        return -ENOMEM;
                if (size > 0)
                        paragraph_print(out, terminal, 0, 0, text);
        }
        if (!options || !quoted)
                return -ENOMEM;
        if (*options)
                (void)fprintf(out, "\n  scidex-run --analysis-id %s %s -- COMMAND\n", quoted, options);
        return 0;
}

/* In its own unit: bytes as they are, microseconds as seconds. */
static json_t *value_to_json(uint64_t value, bool is_time) {
        return is_time ? json_real((double)value / 1e6) : json_from_u64(value);
}

static json_t *figure_to_json(const SuggestFigure *f, bool is_time) {
        json_t *o = json_object();
        const struct {
                const char *bytes, *seconds;
                uint64_t value;
        } values[] = { { "median_bytes", "median_sec", f->median }, { "p95_bytes", "p95_sec", f->p95 },
                { "most_bytes", "most_sec", f->most }, { "suggested_bytes", "suggested_sec", f->suggested } };
        int r = json_object_set_new(o, "runs", json_from_u64(f->runs));

        for (size_t i = 0; r == 0 && i < ELEMENTSOF(values); i++)
                r = json_object_set_new(o, is_time ? values[i].seconds : values[i].bytes,
                        f->runs ? value_to_json(values[i].value, is_time) : json_null());
        if (r == 0)
                r = json_object_set_new(o, "above", json_from_u64(f->above));
        if (r == 0)
                r = json_object_set_new(o, "censored", json_from_u64(f->censored));
        if (r == 0)
                r = json_object_set_new(o, "bias", f->is_low ? json_string("low") : json_null());
        if (r == 0 && !is_time)
                r = json_object_set_new(o, "unsampled", json_from_u64(f->coarse));
        if (r == 0)
                return o;
        json_decref(o);
        return NULL;
}

json_t *suggestion_to_json(const Suggestion *s) {
        _cleanup_(freep) char *options = suggestion_options(s);

        return !options
                ? NULL
                : json_pack("{s:o, s:I, s:b, s:O, s:{s:I, s:I, s:I}, s:I, s:o, s:o, s:s}", "analysis_id",
                          json_from_text(s->analysis_id), "runs", (json_int_t)s->runs, "thin", s->runs < SUGGEST_THIN,
                          "verdicts", s->verdicts, "censored", "memory", (json_int_t)s->by_memory, "time",
                          (json_int_t)s->by_time, "otherwise", (json_int_t)s->otherwise, "registered",
                          (json_int_t)s->registered, "memory", figure_to_json(&s->memory, false), "duration",
                          figure_to_json(&s->duration, true), "options", options);
}
