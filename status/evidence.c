/*
 * The figures that a verdict rests on.
 *
 * Called by explain.c.  The hard thing is to name the counter that proves and not its neighbours: `oom` of the group's
 * own memory.events.local proves its own limit, `max` only says that the kernel reclaimed, and oom_kill is no number of
 * processes (the first victim counts twice in a group that dies as one).
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "status/explain.h"
#include <string.h>

typedef struct Clauses {
        FILE *p;
        unsigned n;
} Clauses;

/* Where the next clause is written to. */
static FILE *clause(Clauses *list) {
        (void)fputs(list->n++ == 0 ? "Evidence: " : "; ", list->p);
        return list->p;
}

static void counters(Clauses *list, const Case *c) {
        uint64_t oom, kills, reclaims;

        if (!case_u64(c, "oom_events", &oom))
                return;
        (void)fprintf(clause(list), "the group's own memory.events.local counted oom %ju", (uintmax_t)oom);
        if (oom == 0 && case_u64(c, "oom_kill_events", &kills) && kills > 0)
                (void)fputs(", yet the kernel's OOM killer was at work in it", list->p);
        if (oom == 0 && case_u64(c, "max_events", &reclaims) && reclaims > 0)
                (void)fprintf(list->p, " (max %ju: memory was taken back at the limit, which proves nothing)",
                        (uintmax_t)reclaims);
}

static void peak(Clauses *list, const Case *c) {
        char text[FORMAT_MAX];
        uint64_t value, limit;

        if (!field_u64(c->run, "memory_peak_bytes", &value) && !case_u64(c, "memory_peak_bytes", &value))
                return;
        (void)fprintf(clause(list), "peak %s of %s", format_bytes(text, value), c->limit);
        if (case_u64(c, "memory_limit_bytes", &limit) && limit > 0)
                (void)fprintf(list->p, " (%.0f %%)", 100.0 * (double)value / (double)limit);
}

static void split(Clauses *list, const Case *c) {
        const json_t *evidence = json_object_get(c->event, "evidence");
        char text[FORMAT_MAX];
        uint64_t bytes, cache, shmem;

        if (!case_u64(c, "anon_bytes", &bytes))
                return;
        (void)fprintf(clause(list), "at the end %s anonymous memory%s", format_bytes(text, bytes),
                json_is_true(json_object_get(evidence, "anon_derived_from_peak")) ? " (derived from the peak)" : "");
        if (case_cache_bytes(c, &cache))
                (void)fprintf(list->p, ", %s file cache", format_bytes(text, cache));
        if (case_u64(c, "shmem_bytes", &shmem))
                (void)fprintf(list->p, ", %s shared memory", format_bytes(text, shmem));
}

static void sampled(Clauses *list, const Case *c) {
        const json_t *evidence = json_object_get(c->event, "evidence");
        char text[FORMAT_MAX];

        if (!json_is_integer(json_object_get(evidence, "pss_bytes")))
                return;
        (void)fprintf(clause(list),
                "the sampler counted %s of anonymous and shared memory (PSS, shared pages divided by their sharers",
                field_bytes(text, evidence, "pss_bytes", "?"));
        if (json_is_integer(json_object_get(evidence, "rss_sum_bytes")))
                (void)fprintf(list->p, "; the sum of RSS was %s", field_bytes(text, evidence, "rss_sum_bytes", "?"));
        (void)fputs(")", list->p);
}

static void pressure(Clauses *list, const Case *c) {
        char text[FORMAT_MAX];
        uint64_t value;

        if (!case_usec(c, "psi_memory_full_sec", &value) || value < USEC_PER_SEC)
                return;
        (void)fprintf(clause(list), "memory pressure: all its tasks stalled for %s", format_duration(text, value));
        if (case_usec(c, "psi_memory_some_sec", &value))
                (void)fprintf(list->p, ", some for %s", format_duration(text, value));
}

static void times(Clauses *list, const Case *c) {
        char cpu[FORMAT_MAX], launched[FORMAT_MAX], ended[FORMAT_MAX];

        (void)fprintf(clause(list), "launched %s, ended %s", field_when(launched, c->run, "launched_at", "?"),
                field_when(ended, c->run, "ended_at", "(not known)"));
        if (json_is_number(json_object_get(c->run, "cpu_sec")))
                (void)fprintf(clause(list), "CPU time %s", field_duration(cpu, c->run, "cpu_sec", "?"));
}

static void not_enforced(Clauses *list, const Case *c) {
        const json_t *name, *names = json_object_get(c->run, "not_enforced");
        size_t i;

        if (json_array_size(names) == 0)
                return;
        (void)fputs("limits this machine could not keep: ", clause(list));
        json_array_foreach(names, i, name) {
                (void)fprintf(list->p, "%s%s", i ? ", " : "", json_is_string(name) ? json_string_value(name) : "?");
        }
}

static bool is_about_memory(const Case *c) {
        return c->verdict && (strcmp(c->verdict, "memory") == 0 || strcmp(c->verdict, "host-oom") == 0);
}

static bool is_about_time(const Case *c) {
        static const char *const verdicts[] = { "timeout", "cpu-time", "orphaned", "cancelled", "lost" };

        for (size_t i = 0; c->verdict && i < ELEMENTSOF(verdicts); i++)
                if (strcmp(verdicts[i], c->verdict) == 0)
                        return true;
        return false;
}

void evidence_write(FILE *p, const Case *c) {
        Clauses list = { .p = p };

        if (is_about_time(c))
                times(&list, c);
        else
                counters(&list, c);
        sampled(&list, c);
        peak(&list, c);
        if (is_about_memory(c))
                split(&list, c);
        pressure(&list, c);
        not_enforced(&list, c);
        if (list.n > 0)
                (void)fputs(".", p);
}
