/*
 * From the list and the figures to rows in an order.
 *
 * Called by `top`.  The hard thing is two sources that are not of the same moment: the list says who runs, the groups
 * say how much.  Where a group tells (the kernel counts) its word holds, else the list's, so a host without a memory
 * controller shows what the supervisor sampled.  A nested run counts in its outer one's group as well: sums take only
 * the outermost.
 */
#include "cmd/scidexctl/top-rows.h"

#include "base/clock.h"
#include "status/field.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const sort_titles[] = {
        [TOP_BY_SHARE] = "share of a limit",
        [TOP_BY_MEMORY] = "memory",
        [TOP_BY_CPU] = "CPU",
        [TOP_BY_LEFT] = "time left",
        [TOP_BY_AGE] = "age",
        [TOP_BY_STALL] = "memory stalls",
        [TOP_BY_PROCESSES] = "processes",
        [TOP_BY_ANALYSIS] = "analysis",
        [TOP_BY_STATE] = "state",
};
_Static_assert(ELEMENTSOF(sort_titles) == TOP_SORT_MAX, "a title per order");

const char *top_sort_title(TopSort sort) {
        return sort_titles[sort];
}

static uint64_t number_or_unknown(const json_t *run, const char *key) {
        uint64_t value;

        return field_u64(run, key, &value) ? value : FIGURE_UNKNOWN;
}

static uint64_t known_or(uint64_t value, uint64_t otherwise) {
        return value == USAGE_UNKNOWN ? otherwise : value;
}

static void take_memory(TopRow *row, const Usage *u) {
        uint64_t shmem, file, private;

        row->limit_bytes = number_or_unknown(row->run, "memory_limit_bytes");
        if (u->anon_bytes != USAGE_UNKNOWN) {
                shmem = known_or(u->shmem_bytes, 0);
                row->private_bytes = u->anon_bytes + shmem;
                row->cache_bytes = u->file_bytes == USAGE_UNKNOWN ? FIGURE_UNKNOWN : usec_sub(u->file_bytes, shmem);
                return;
        }
        row->private_bytes = run_private_bytes(row->run, &private) ? private : FIGURE_UNKNOWN;
        shmem = known_or(number_or_unknown(row->run, "shmem_bytes"), 0);
        file = number_or_unknown(row->run, "file_bytes");
        row->cache_bytes = file == FIGURE_UNKNOWN ? FIGURE_UNKNOWN : usec_sub(file, shmem);
}

static void take_time(TopRow *row, uint64_t now) {
        uint64_t deadline, timeout;

        if (!run_age(row->run, now, &row->age_usec))
                row->age_usec = FIGURE_UNKNOWN;
        row->left_usec = FIGURE_UNKNOWN;
        if (field_time(row->run, "deadline_at", &deadline))
                row->left_usec = usec_sub(deadline, now);
        if (row->age_usec != FIGURE_UNKNOWN && field_usec(row->run, "timeout_sec", &timeout) && timeout > 0)
                row->share = (double)row->age_usec / (double)timeout;
}

static TopRow row_make(const json_t *run, const Figure *figure, uint64_t now) {
        Figure none = FIGURE_NONE;
        TopRow row = { .run = run,
                .run_id = field_text(run, "run_id"),
                .analysis = field_text(run, "analysis_id"),
                .state = field_text(run, "state") };
        double memory;

        if (!figure)
                figure = &none;
        take_time(&row, now);
        take_memory(&row, &figure->usage);
        if (row.private_bytes != FIGURE_UNKNOWN && row.limit_bytes != FIGURE_UNKNOWN && row.limit_bytes > 0) {
                memory = (double)row.private_bytes / (double)row.limit_bytes;
                row.share = MAX_OF(row.share, memory);
        }
        row.pids = known_or(figure->usage.pids, number_or_unknown(run, "pids"));
        row.pid = number_or_unknown(run, "pid");
        row.cpus = figure->cpus;
        row.stalled = figure->stalled;
        return row;
}

/* Letters in any case; an id is found by any part of it. */
static bool row_has(const TopRow *row, const char *text) {
        const char *texts[] = { row->run_id, row->analysis, row->state, field_text(row->run, "host") };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (texts[i] && strcasestr(texts[i], text))
                        return true;
        return false;
}

static int compare_texts(const char *a, const char *b) {
        return strcmp(a ? a : "", b ? b : "");
}

/* What is not known comes last. */
static int compare_numbers(uint64_t a, uint64_t b) {
        if ((a == FIGURE_UNKNOWN) != (b == FIGURE_UNKNOWN))
                return a == FIGURE_UNKNOWN ? 1 : -1;
        return a == b ? 0 : a > b ? -1 : 1;
}

static int compare_reals(double a, double b) {
        return a == b ? 0 : a > b ? -1 : 1;
}

/* Those first that matter most by that. */
static int compare_by(TopSort sort, const TopRow *a, const TopRow *b) {
        switch (sort) {
        case TOP_BY_MEMORY:
                return compare_numbers(a->private_bytes, b->private_bytes);
        case TOP_BY_CPU:
                return compare_reals(a->cpus, b->cpus);
        case TOP_BY_LEFT: /* unknown is "no limit": the most of all */
                return a->left_usec == b->left_usec ? 0 : a->left_usec < b->left_usec ? -1 : 1;
        case TOP_BY_AGE:
                return compare_numbers(a->age_usec, b->age_usec);
        case TOP_BY_STALL:
                return compare_reals(a->stalled, b->stalled);
        case TOP_BY_PROCESSES:
                return compare_numbers(a->pids, b->pids);
        case TOP_BY_ANALYSIS:
                return compare_texts(a->analysis, b->analysis);
        case TOP_BY_STATE:
                return compare_texts(a->state, b->state);
        case TOP_BY_SHARE:
        case TOP_SORT_MAX:
                break;
        }
        return compare_reals(a->share, b->share);
}

/* Of equals the younger run first (ids are time-ordered), so that no two change places by themselves. */
static int compare(const void *x, const void *y, void *userdata) {
        const TopRow *a = x, *b = y;
        const TopView *view = userdata;
        int r = compare_by(view->sort, a, b);

        if (r == 0)
                return compare_texts(b->run_id, a->run_id);
        return view->is_inverted ? -r : r;
}

static const char *outer_of(const TopRow *row) {
        return field_text(row->run, "outer_run_id");
}

static void sum_up(TopRows *rows, const TopRow *row, const json_t *by_id) {
        const char *outer = outer_of(row);

        rows->all++;
        rows->grace += row->state && (strcmp(row->state, "grace") == 0 || strcmp(row->state, "killing") == 0);
        if (outer && json_object_get(by_id, outer))
                return;
        rows->private_bytes += row->private_bytes == FIGURE_UNKNOWN ? 0 : row->private_bytes;
        rows->cache_bytes += row->cache_bytes == FIGURE_UNKNOWN ? 0 : row->cache_bytes;
        rows->has_cache |= row->cache_bytes != FIGURE_UNKNOWN;
        rows->limit_bytes = usec_add(rows->limit_bytes, row->limit_bytes);
        rows->cpus += row->cpus > 0 ? row->cpus : 0;
}

typedef struct Tree {
        const TopRow *rows;
        size_t n;
        const char **outer; /* owned; of each row the run it lies in, NULL: none that is shown */
        bool *has_inner;    /* owned */
        bool *taken;        /* owned */
        TopRow *to;         /* owned */
        size_t n_to;
} Tree;

static void tree_deinit(Tree *tree) {
        free(tree->outer);
        free(tree->has_inner);
        free(tree->taken);
        free(tree->to);
}

static int tree_init(Tree *tree, const TopRows *rows) {
        _cleanup_(json_decrefp) json_t *places = json_object();
        uint64_t place;

        *tree = (Tree){ .rows = rows->rows,
                .n = rows->n,
                .outer = calloc(rows->n + 1, sizeof(char *)),
                .has_inner = calloc(rows->n + 1, sizeof(bool)),
                .taken = calloc(rows->n + 1, sizeof(bool)),
                .to = calloc(rows->n + 1, sizeof(TopRow)) };
        if (!places || !tree->outer || !tree->has_inner || !tree->taken || !tree->to)
                return -ENOMEM;
        for (size_t i = 0; i < rows->n; i++)
                if (rows->rows[i].run_id)
                        (void)json_object_set_new(places, rows->rows[i].run_id, json_integer((json_int_t)i));
        for (size_t i = 0; i < rows->n; i++) {
                const char *outer = outer_of(&rows->rows[i]);

                if (!outer || !field_u64(places, outer, &place))
                        continue;
                tree->outer[i] = outer;
                tree->has_inner[place] = true;
        }
        return 0;
}

/* Puts what lies in `outer` (NULL: the outermost) behind those that are there. */
/* NOLINTNEXTLINE(misc-no-recursion): each level takes at least one row */
static void tree_take(Tree *tree, const char *outer, unsigned depth) {
        for (size_t i = 0; i < tree->n; i++) {
                const char *its = tree->outer[i];

                if (tree->taken[i] || (outer ? !its || strcmp(its, outer) != 0 : its != NULL))
                        continue;
                tree->taken[i] = true;
                tree->to[tree->n_to] = tree->rows[i];
                tree->to[tree->n_to++].depth = depth;
                if (tree->has_inner[i])
                        tree_take(tree, tree->rows[i].run_id, depth + 1);
        }
}

static int rows_to_tree(TopRows *rows) {
        _cleanup_(tree_deinit) Tree tree = { 0 };
        int r = tree_init(&tree, rows);

        if (r < 0)
                return r;
        tree_take(&tree, NULL, 0);
        for (size_t i = 0; i < rows->n; i++) /* none, unless runs were said to lie in each other */
                if (!tree.taken[i])
                        tree.to[tree.n_to++] = rows->rows[i];
        free(rows->rows);
        rows->rows = TAKE_PTR(tree.to);
        return 0;
}

static json_t *ids_of(const json_t *runs) {
        json_t *by_id = json_object();
        const json_t *run;
        size_t i;

        json_array_foreach(runs, i, run) {
                const char *id = field_text(run, "run_id");

                if (id)
                        (void)json_object_set_new(by_id, id, json_true());
        }
        return by_id;
}

int top_rows_make(
        const json_t *runs, const TopView *view, FigureFunc figure_of, void *userdata, uint64_t now, TopRows *ret) {
        _cleanup_(json_decrefp) json_t *by_id = ids_of(runs);
        TopView copy = *view;
        const json_t *run;
        size_t i;

        *ret = (TopRows){ .rows = calloc(json_array_size(runs) + 1, sizeof(TopRow)) };
        if (!ret->rows || !by_id)
                return -ENOMEM;
        json_array_foreach(runs, i, run) {
                const char *id = field_text(run, "run_id");
                TopRow row = row_make(run, id && figure_of ? figure_of(id, userdata) : NULL, now);

                sum_up(ret, &row, by_id);
                if (!*view->filter || row_has(&row, view->filter))
                        ret->rows[ret->n++] = row;
        }
        qsort_r(ret->rows, ret->n, sizeof(TopRow), compare, &copy);
        return view->is_tree ? rows_to_tree(ret) : 0;
}

void top_rows_deinit(TopRows *rows) {
        free(rows->rows);
        *rows = (TopRows){ 0 };
}

size_t top_rows_find(const TopRows *rows, const char *run_id) {
        for (size_t i = 0; i < rows->n; i++)
                if (rows->rows[i].run_id && strcmp(rows->rows[i].run_id, run_id) == 0)
                        return i;
        return SIZE_MAX;
}

size_t top_rows_search(const TopRows *rows, const char *text, size_t after) {
        for (size_t i = 1; i <= rows->n; i++) {
                size_t place = (after + i) % rows->n;

                if (row_has(&rows->rows[place], text))
                        return place;
        }
        return SIZE_MAX;
}
