/*
 * Looks at groups, again and again.
 *
 * Called by `top`.  The hard thing is a thousand runs: their files are all there, but reading each every second would
 * cost more than many of the runs do.  So a pass has a bound, and takes those that have waited longest; rates are over
 * the time between two looks at the same group, whatever that was.
 */
#include "cmd/scidexctl/top-figures.h"

#include "base/clock.h"
#include "cgroup/group.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

typedef struct Entry {
        char *run_id, *path; /* owned; path NULL: no group */
        Figure figure;
        bool is_gone;
} Entry;

struct Figures {
        Entry *entries; /* owned */
        size_t n;
        json_t *places; /* owned; run id → place */
};

Figures *figures_new(void) {
        Figures *figures = calloc(1, sizeof(*figures));

        if (figures)
                figures->places = json_object();
        return figures;
}

static void entries_free(Entry *entries, size_t n) {
        for (size_t i = 0; i < n; i++) {
                free(entries[i].run_id);
                free(entries[i].path);
        }
        free(entries);
}

void figures_free(Figures *figures) {
        entries_free(figures->entries, figures->n);
        json_decref(figures->places);
        free(figures);
}

static Entry *entry_find(const Figures *figures, const char *run_id) {
        uint64_t place;

        return field_u64(figures->places, run_id, &place) ? &figures->entries[place] : NULL;
}

const Figure *figures_find(const char *run_id, void *figures) {
        const Entry *entry = entry_find(figures, run_id);

        return entry ? &entry->figure : NULL;
}

int figures_keep(Figures *figures, const json_t *runs) {
        size_t n = 0, most = json_array_size(runs), i;
        Entry *entries = calloc(most + 1, sizeof(Entry));
        json_t *places = json_object();
        const json_t *run;

        json_array_foreach(runs, i, run) {
                const char *id = field_text(run, "run_id"), *path = field_text(run, "group");
                const Entry *before = id ? entry_find(figures, id) : NULL;

                if (!entries || !id)
                        continue;
                entries[n] = (Entry){ .run_id = strdup(id),
                        .path = path ? strdup(path) : NULL,
                        .figure = before ? before->figure : FIGURE_NONE };
                (void)json_object_set_new(places, id, json_integer((json_int_t)n));
                n++;
        }
        if (!entries || !places) {
                entries_free(entries, entries ? n : 0);
                json_decref(places);
                return -ENOMEM;
        }
        entries_free(figures->entries, figures->n);
        json_decref(figures->places);
        *figures = (Figures){ .entries = entries, .n = n, .places = places };
        return 0;
}

/* Units a microsecond: CPUs of CPU time, a share of waiting. < 0 before the second look. */
static double rate(uint64_t now, uint64_t before, uint64_t over_usec) {
        return now == USAGE_UNKNOWN || before == USAGE_UNKNOWN || now < before || over_usec == 0
                ? -1
                : (double)(now - before) / (double)over_usec;
}

static void entry_look(Entry *entry, uint64_t now) {
        _cleanup_(close_fdp) int fd =
                open(entry->path, O_PATH | O_DIRECTORY | O_CLOEXEC); /* 0711, where it is not ours */
        Figure *f = &entry->figure;
        Usage usage = USAGE_NONE;
        uint64_t since = f->looked_usec ? usec_sub(now, f->looked_usec) : 0;

        f->looked_usec = now;
        if (fd < 0 || usage_read(fd, &usage) == GROUP_E_GONE) {
                entry->is_gone = fd < 0 ? errno == ENOENT : true;
                return; /* the last figures stand, until the list says that it is over */
        }
        f->cpus = rate(usage.cpu_usec, f->usage.cpu_usec, since);
        f->stalled = rate(usage.psi_memory_full_usec, f->usage.psi_memory_full_usec, since);
        f->usage = usage;
}

static int compare(const void *a, const void *b) {
        const Entry *x = *(Entry *const *)a, *y = *(Entry *const *)b;

        return x->figure.looked_usec == y->figure.looked_usec   ? 0
                : x->figure.looked_usec < y->figure.looked_usec ? -1
                                                                : 1;
}

bool figures_look(Figures *figures, uint64_t now) {
        _cleanup_(freep) Entry **order = calloc(figures->n + 1, sizeof(Entry *));
        bool is_gone = false;
        size_t n = 0;

        for (size_t i = 0; order && i < figures->n; i++)
                if (figures->entries[i].path && !figures->entries[i].is_gone)
                        order[n++] = &figures->entries[i];
        if (!order)
                return false;
        qsort(order, n, sizeof(Entry *), compare); /* NOLINT(bugprone-sizeof-expression) */
        for (size_t i = 0; i < n && i < FIGURES_MOST_LOOKS; i++) {
                entry_look(order[i], now);
                is_gone |= order[i]->is_gone;
        }
        return is_gone;
}
