/*
 * The runs in `top`: a line each, with a bar of memory.
 *
 * Called by top-screen.c.  The bar is to be read without colour: | is memory that the kernel can't take back, : is the
 * file cache, which it takes back before it kills; so a full cache does not look like a run about to die.
 */
#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/top-screen.h"
#include <limits.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#define BAR_WIDTH      12
#define BAR_CELLS      (BAR_WIDTH - 2)
#define ANALYSIS_LEAST 14
#define ANALYSIS_MOST  48

typedef enum TopColumn {
        COLUMN_HOST,
        COLUMN_RUN,
        COLUMN_ANALYSIS,
        COLUMN_STATE,
        COLUMN_AGE,
        COLUMN_LEFT,
        COLUMN_MEMORY,
        COLUMN_BAR,
        COLUMN_CACHE,
        COLUMN_CPU,
        COLUMN_STALL,
        COLUMN_PROCESSES,
        COLUMN_PID,
        COLUMN_USER,
        COLUMN_MAX,
} TopColumn;

static const struct {
        const char *title;
        unsigned width;
        unsigned rank; /* 0: always shown; of the others the highest goes first */
        bool right;
} columns[] = {
        [COLUMN_HOST] = { "HOST", 12, 0, false },
        [COLUMN_RUN] = { "RUN", 8, 0, false },
        [COLUMN_ANALYSIS] = { "ANALYSIS", ANALYSIS_LEAST, 0, false },
        [COLUMN_STATE] = { "STATE", 8, 0, false },
        [COLUMN_AGE] = { "AGE", 9, 4, true },
        [COLUMN_LEFT] = { "LEFT", 10, 0, true },
        [COLUMN_MEMORY] = { "MEMORY / LIMIT", 19, 0, true },
        [COLUMN_BAR] = { "", BAR_WIDTH, 2, false },
        [COLUMN_CACHE] = { "CACHE", 8, 3, true },
        [COLUMN_CPU] = { "CPU", 5, 1, true },
        [COLUMN_STALL] = { "STALL", 5, 3, true },
        [COLUMN_PROCESSES] = { "PROC", 5, 5, true },
        [COLUMN_PID] = { "PID", 8, 7, true },
        [COLUMN_USER] = { "USER", 8, 6, false },
};
_Static_assert(ELEMENTSOF(columns) == COLUMN_MAX, "a line per column");

/* Widths; 0: not shown. */
static void widths_fit(unsigned widths[static COLUMN_MAX], unsigned space, bool hosts) {
        unsigned total = 0;

        for (size_t c = 0; c < COLUMN_MAX; c++) {
                widths[c] = c == COLUMN_HOST && !hosts ? 0 : columns[c].width;
                total += widths[c] ? widths[c] + 1 : 0;
        }
        for (unsigned rank = 7; total > space + 1 && rank > 0; rank--)
                for (size_t c = COLUMN_MAX; c-- > 0 && total > space + 1;)
                        if (columns[c].rank == rank && widths[c] > 0) {
                                total -= widths[c] + 1;
                                widths[c] = 0;
                        }
        if (space + 1 > total)
                widths[COLUMN_ANALYSIS] = MIN_OF(widths[COLUMN_ANALYSIS] + space + 1 - total, (unsigned)ANALYSIS_MOST);
}

static void format_time(char buffer[static FORMAT_MAX], uint64_t usec, const char *unknown) {
        if (usec == FIGURE_UNKNOWN)
                (void)snprintf(buffer, FORMAT_MAX, "%s", unknown);
        else
                (void)format_duration(buffer, usec - usec % USEC_PER_SEC);
}

static void memory_text(char buffer[static FORMAT_MAX], const TopRow *row) {
        char used[FORMAT_MAX], limit[FORMAT_MAX];

        if (row->private_bytes == FIGURE_UNKNOWN)
                (void)snprintf(buffer, FORMAT_MAX, "-");
        else
                (void)snprintf(buffer, FORMAT_MAX, "%.24s / %.24s", format_bytes(used, row->private_bytes),
                        row->limit_bytes == FIGURE_UNKNOWN ? "inf" : format_bytes(limit, row->limit_bytes));
}

/* As people read it; of the analysis and what else is free text, escaped. NULL on OOM. Caller frees. */
static char *cell_text(const TopRow *row, TopColumn column) {
        char buffer[FORMAT_MAX] = "-";
        const char *text = NULL;

        switch (column) {
        case COLUMN_HOST:
                text = field_text(row->run, "host");
                return text_escape(text ? text : "-");
        case COLUMN_RUN:
                return text_escape(run_short_id(row->run));
        case COLUMN_ANALYSIS:
                return text_escape(row->analysis ? row->analysis : "-");
        case COLUMN_STATE:
                if (json_is_true(json_object_get(row->run, "host_silent")))
                        return strdup("silent"); /* nobody has heard of its host */
                return text_escape(row->state ? row->state : "-");
        case COLUMN_USER:
                return run_user(row->run);
        case COLUMN_AGE:
                format_time(buffer, row->age_usec, "-");
                break;
        case COLUMN_LEFT:
                format_time(buffer, row->left_usec, "no limit");
                break;
        case COLUMN_MEMORY:
                memory_text(buffer, row);
                break;
        case COLUMN_CACHE:
                if (row->cache_bytes != FIGURE_UNKNOWN)
                        (void)format_bytes(buffer, row->cache_bytes);
                break;
        case COLUMN_CPU:
                if (row->cpus >= 0)
                        (void)snprintf(buffer, sizeof(buffer), "%.2f", row->cpus);
                break;
        case COLUMN_STALL:
                if (row->stalled >= 0)
                        (void)snprintf(buffer, sizeof(buffer), "%.0f %%", 100 * row->stalled);
                break;
        case COLUMN_PROCESSES:
                if (row->pids != FIGURE_UNKNOWN)
                        (void)snprintf(buffer, sizeof(buffer), "%ju", (uintmax_t)row->pids);
                break;
        case COLUMN_PID:
                if (row->pid != FIGURE_UNKNOWN)
                        (void)snprintf(buffer, sizeof(buffer), "%ju", (uintmax_t)row->pid);
                break;
        case COLUMN_BAR:
        case COLUMN_MAX:
                break;
        }
        return strdup(buffer);
}

static unsigned cells_of(uint64_t bytes, uint64_t limit, unsigned most) {
        double share = bytes == FIGURE_UNKNOWN ? 0 : (double)bytes / (double)limit;

        return share >= 1                                    ? most
                : (unsigned)(share * BAR_CELLS + 0.5) < most ? (unsigned)(share * BAR_CELLS + 0.5)
                                                             : most;
}

static TopPair share_pair(double share) {
        return share >= 0.9 ? TOP_PAIR_BAD : share >= 0.75 ? TOP_PAIR_WARN : TOP_PAIR_GOOD;
}

static void put_bar(const TopRow *row, unsigned y, unsigned x, unsigned attributes) {
        static const char full[] = "||||||||||||", cache[] = "::::::::::::";
        bool is_known =
                row->limit_bytes != FIGURE_UNKNOWN && row->limit_bytes > 0 && row->private_bytes != FIGURE_UNKNOWN;
        unsigned n = is_known ? cells_of(row->private_bytes, row->limit_bytes, BAR_CELLS) : 0;
        unsigned m = is_known ? cells_of(row->cache_bytes, row->limit_bytes, BAR_CELLS - n) : 0;
        double share = is_known ? (double)row->private_bytes / (double)row->limit_bytes : 0;

        (void)top_put(y, x, 1, attributes, "[");
        (void)top_put(y, x + 1, n, attributes | top_colour(share_pair(share)), full);
        (void)top_put(y, x + 1 + n, m, attributes | top_colour(TOP_PAIR_CACHE), cache);
        (void)top_put(y, x + 1 + BAR_CELLS, 1, attributes, "]");
}

/* Of the state, of what is nearly used up. */
static unsigned cell_attributes(const TopRow *row, TopColumn column) {
        if (column == COLUMN_STATE && row->state)
                return strcmp(row->state, "running") == 0 && !json_is_true(json_object_get(row->run, "host_silent"))
                        ? top_colour(TOP_PAIR_GOOD)
                        : top_colour(TOP_PAIR_WARN) | A_BOLD;
        if (column == COLUMN_RUN)
                return A_BOLD;
        if (column == COLUMN_STALL && row->stalled >= 0.1)
                return top_colour(TOP_PAIR_BAD);
        return 0;
}

static void put_cell(const TopRow *row, TopColumn c, unsigned y, unsigned x, unsigned width, unsigned attributes) {
        _cleanup_(freep) char *text = NULL;
        unsigned indent = c == COLUMN_ANALYSIS ? MIN_OF(row->depth * 2, width / 2) : 0;

        if (c == COLUMN_BAR) {
                put_bar(row, y, x, attributes);
                return;
        }
        text = cell_text(row, c);
        if (!text)
                return;
        if (columns[c].right)
                top_put_right(y, x, width, attributes, text);
        else
                (void)top_put(y, x + indent, width - indent, attributes, text);
        if (indent > 0)
                (void)top_put(y, x + indent - 2, 1, attributes, "`");
}

static void put_row(const TopRow *row, const unsigned *widths, unsigned y, bool is_marked) {
        unsigned x = 0, mark = is_marked ? A_REVERSE : 0;

        if (is_marked) /* the whole line, also between the cells */
                (void)mvhline((int)y, 0, ' ' | A_REVERSE, COLS);
        for (size_t c = 0; c < COLUMN_MAX; c++) {
                if (widths[c] == 0)
                        continue;
                put_cell(row, c, y, x, widths[c], mark ? mark : cell_attributes(row, c));
                x += widths[c] + 1;
        }
}

static void put_titles(const unsigned *widths, unsigned y) {
        unsigned x = 0;

        (void)mvhline((int)y, 0, ' ' | A_REVERSE, COLS);
        for (size_t c = 0; c < COLUMN_MAX; c++) {
                if (widths[c] == 0)
                        continue;
                if (columns[c].right)
                        top_put_right(y, x, widths[c], A_REVERSE, columns[c].title);
                else
                        (void)top_put(y, x, widths[c], A_REVERSE, columns[c].title);
                x += widths[c] + 1;
        }
}

void top_put_rows(Top *t, unsigned y) {
        unsigned widths[COLUMN_MAX];

        widths_fit(widths, (unsigned)COLS, t->options->all_hosts);
        put_titles(widths, y);
        if (t->n_shown == 0)
                return;
        if (t->place < t->first)
                t->first = t->place;
        if (t->place >= t->first + t->n_shown)
                t->first = t->place - t->n_shown + 1;
        if (t->first + t->n_shown > t->rows.n)
                t->first = t->rows.n > t->n_shown ? t->rows.n - t->n_shown : 0;
        for (unsigned i = 0; i < t->n_shown && t->first + i < t->rows.n; i++)
                put_row(&t->rows.rows[t->first + i], widths, y + 1 + i, t->first + i == t->place);
        if (t->rows.all == 0 && !t->failure)
                (void)top_put(y + 2, 0, UINT_MAX, A_NORMAL,
                        "Nothing is running. To run something: scidex-run --analysis-id my-analysis -- COMMAND");
}
