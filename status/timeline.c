/*
 * The memory of a run as a row of marks.
 *
 * Called by explain.c and show.c.  Eight levels, scaled from 0 to the limit, so that a full mark means "at the limit";
 * of the samples that share a mark the highest is shown, because a peak is what is looked for.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "status/explain.h"
#include <string.h>

#define MARKS  60U
#define LEVELS 8

static const char *const marks_utf8[LEVELS] = { "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
static const char *const marks_ascii[LEVELS] = { "_", ".", ":", "-", "=", "+", "*", "#" };

#define SAMPLE_MAX 1e18 /* in bytes or seconds; more is no sample, and would not fit an integer */

static double sample_at(const json_t *list, size_t i) {
        return MAX_OF(0.0, MIN_OF(json_number_value(json_array_get(list, i)), SAMPLE_MAX));
}

static uint64_t usec_at(const json_t *list, size_t i) {
        return (uint64_t)MIN_OF(sample_at(list, i) * 1e6, SAMPLE_MAX);
}

static double highest_of(const json_t *list, size_t from, size_t to) {
        double highest = 0;

        for (size_t i = from; i < to; i++)
                highest = MAX_OF(highest, sample_at(list, i));
        return highest;
}

static void mark_print(FILE *out, const Terminal *terminal, double share) {
        const char *const *marks = terminal->utf8 ? marks_utf8 : marks_ascii;
        int level = (int)(share * LEVELS);

        (void)fputs(marks[MAX_OF(0, MIN_OF(level, LEVELS - 1))], out);
}

void timeline_print(FILE *out, const Terminal *terminal, const json_t *timeline, uint64_t limit_bytes) {
        const json_t *memory = json_object_get(timeline, "memory_bytes"), *t = json_object_get(timeline, "t_sec");
        size_t n = MIN_OF(json_array_size(memory), json_array_size(t));
        size_t width = MIN_OF(n, (size_t)(terminal->columns > 14 ? MIN_OF(terminal->columns - 4, MARKS) : MARKS));
        double highest = highest_of(memory, 0, n), top;
        char first[FORMAT_MAX], last[FORMAT_MAX], scale[FORMAT_MAX], most[FORMAT_MAX];
        unsigned used;

        if (n < 2 || highest <= 0)
                return;
        top = limit_bytes != UINT64_MAX && (double)limit_bytes > highest ? (double)limit_bytes : highest;
        (void)fprintf(out, "\nMemory over time (a full mark is %s%s; highest sample %s):\n  ",
                format_bytes(scale, (uint64_t)top), (uint64_t)top == limit_bytes ? ", the limit" : "",
                format_bytes(most, (uint64_t)highest));
        for (size_t i = 0; i < width; i++) {
                size_t from = i * n / width, to = (i + 1) * n / width;

                mark_print(out, terminal, highest_of(memory, from, to) / top);
        }
        (void)format_duration(first, usec_at(t, 0));
        (void)format_duration(last, usec_at(t, n - 1));
        used = (unsigned)(strlen(first) + strlen(last));
        (void)fprintf(out, "\n  %s%*s%s\n", first, (int)(width > used + 1 ? width - used : 2), "", last);
        if (limit_bytes != UINT64_MAX && highest > (double)limit_bytes)
                (void)fprintf(out, "  the limit of %s is at %.0f %% of the height\n", format_bytes(scale, limit_bytes),
                        100.0 * (double)limit_bytes / top);
}
