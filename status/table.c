/*
 * Tables and paragraphs for people.
 *
 * Called by every verb.  The hard thing is that most cells come from outside: an analysis id is free text, a comm is
 * whatever a process calls itself.  So text is escaped where it enters (table_cell, paragraph_print), not where it is
 * printed, and no verb can forget it.  Ids are never cut, because they are there to be copied: where the terminal is
 * narrow, columns that may be cut are cut first, then whole columns go, and a line that still does not fit runs over.
 */
#include "status/table.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include <langinfo.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <wchar.h>

#define GAP           2    /* blanks between columns */
#define CELL_WIDE     40   /* a longer cell runs over in its own row instead of widening the column for all */
#define PARAGRAPH_MAX 100U /* longer lines are hard to read */

static const char *const tone_codes[] = {
        [TONE_PLAIN] = "",
        [TONE_GOOD] = "\x1b[32m",
        [TONE_BAD] = "\x1b[31m",
        [TONE_WARN] = "\x1b[33m",
        [TONE_STRONG] = "\x1b[1m",
};
_Static_assert(ELEMENTSOF(tone_codes) == TONE_MAX, "a code per tone");

static unsigned terminal_columns(void) {
        const char *text = getenv("COLUMNS");
        struct winsize size;
        uint64_t value;

        if (text && parse_u64(text, &value) == 0 && value > 0 && value < 10000)
                return (unsigned)value;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0)
                return size.ws_col;
        return 0;
}

Terminal terminal_probe(bool no_colour) {
        const char *refused = getenv("NO_COLOR");
        const char *kind = getenv("TERM");
        bool dumb = !kind || strcmp(kind, "dumb") == 0;

        return (Terminal){
                .columns = terminal_columns(),
                .colour = !no_colour && !dumb && !(refused && refused[0]) && isatty(STDOUT_FILENO),
                .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        };
}

void tone_print(FILE *out, const Terminal *terminal, Tone tone, const char *text) {
        bool coloured = terminal->colour && tone != TONE_PLAIN;

        (void)fprintf(out, "%s%s%s", coloured ? tone_codes[tone] : "", text, coloured ? "\x1b[0m" : "");
}

/*
 * Bytes of the first character, and the columns it takes; what the locale can't decode counts as one, and is not torn
 * apart: a half of it would reach the terminal.
 */
static size_t character_next(const char *text, mbstate_t *state, unsigned *ret_columns) {
        wchar_t c;
        size_t n = mbrtowc(&c, text, strlen(text), state);
        int columns;

        *ret_columns = 1;
        if (n == 0 || n == (size_t)-1 || n == (size_t)-2) {
                *state = (mbstate_t){ 0 };
                for (n = 1; ((unsigned char)text[n] & 0xc0) == 0x80;)
                        n++;
                return n;
        }
        columns = wcwidth(c);
        if (columns >= 0)
                *ret_columns = (unsigned)columns;
        return n;
}

unsigned text_columns(const char *text) {
        mbstate_t state = { 0 };
        unsigned total = 0, columns;

        while (*text) {
                text += character_next(text, &state, &columns);
                total += columns;
        }
        return total;
}

/* How many bytes of text fit. */
static size_t text_fit(const char *text, unsigned limit) {
        mbstate_t state = { 0 };
        size_t bytes = 0;
        unsigned total = 0, columns;

        while (text[bytes]) {
                size_t n = character_next(text + bytes, &state, &columns);

                if (total + columns > limit)
                        break;
                total += columns;
                bytes += n;
        }
        return bytes;
}

static void table_take(Table *table, Tone tone, char *text) {
        if (table->n_cells == table->n_allocated) {
                size_t n = table->n_allocated ? table->n_allocated * 2 : 64;
                Cell *cells = reallocarray(table->cells, n, sizeof(Cell));

                if (!cells) {
                        free(text);
                        table->failed = true;
                        return;
                }
                table->cells = cells;
                table->n_allocated = n;
        }
        table->failed |= !text;
        table->cells[table->n_cells++] = (Cell){ .text = text, .tone = tone };
}

void table_text(Table *table, Tone tone, const char *text) {
        table_take(table, tone, text_escape(text && *text ? text : "-"));
}

void table_cell(Table *table, Tone tone, const char *format, ...) {
        _cleanup_(freep) char *text = NULL;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (n < 0)
                text = NULL;
        table_take(table, tone, text ? text_escape(text) : NULL);
}

void table_deinit(Table *table) {
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i].text);
        free(table->cells);
        *table = (Table){ .columns = table->columns, .n_columns = table->n_columns };
}

static void widths_measure(const Table *table, unsigned *widths) {
        for (size_t c = 0; c < table->n_columns; c++)
                widths[c] = text_columns(table->columns[c].title);
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t c = i % table->n_columns;
                unsigned width = text_columns(table->cells[i].text);

                if (width > CELL_WIDE && table->columns[c].shrink == 0)
                        width = CELL_WIDE;
                widths[c] = MAX_OF(widths[c], width);
        }
}

static unsigned widths_total(const unsigned *widths, size_t n) {
        unsigned total = 0;

        for (size_t c = 0; c < n; c++)
                total += widths[c] ? widths[c] + GAP : 0;
        return total > GAP ? total - GAP : total;
}

/* Width 0 is a dropped column. */
static bool widths_drop_one(const Table *table, unsigned *widths) {
        size_t victim = table->n_columns;
        unsigned rank = 0;

        for (size_t c = 0; c < table->n_columns; c++)
                if (widths[c] > 0 && table->columns[c].rank > rank) {
                        rank = table->columns[c].rank;
                        victim = c;
                }
        if (victim == table->n_columns)
                return false;
        widths[victim] = 0;
        return true;
}

static void widths_shrink(const Table *table, unsigned *widths, unsigned excess) {
        for (size_t c = 0; c < table->n_columns && excess > 0; c++) {
                unsigned least = MAX_OF(table->columns[c].shrink, text_columns(table->columns[c].title));
                unsigned cut;

                if (table->columns[c].shrink == 0 || widths[c] <= least)
                        continue;
                cut = MIN_OF(excess, widths[c] - least);
                widths[c] -= cut;
                excess -= cut;
        }
}

static void widths_fit(const Table *table, unsigned *widths, unsigned limit) {
        unsigned total = widths_total(widths, table->n_columns);

        if (limit == 0 || total <= limit)
                return;
        widths_shrink(table, widths, total - limit);
        while (widths_total(widths, table->n_columns) > limit)
                if (!widths_drop_one(table, widths))
                        return;
}

static void pad(FILE *out, unsigned n) {
        (void)fprintf(out, "%*s", (int)n, "");
}

typedef struct Line {
        FILE *out;
        const Terminal *terminal;
        unsigned owed; /* blanks that only a following cell needs: lines have no trailing ones */
} Line;

static void line_cell(Line *line, const Column *column, unsigned width, Tone tone, const char *text) {
        _cleanup_(freep) char *cut = NULL;
        unsigned columns = text_columns(text);

        if (columns > width && column->shrink > 0 && width > 3) {
                cut = strndup(text, text_fit(text, width - 2));
                text = cut ? cut : text;
                columns = text_columns(text) + (cut ? 2 : 0);
        }
        pad(line->out, line->owed + (column->right && width > columns ? width - columns : 0));
        tone_print(line->out, line->terminal, tone, text);
        (void)fputs(cut ? ".." : "", line->out);
        line->owed = GAP + (!column->right && width > columns ? width - columns : 0);
}

int table_print(FILE *out, const Terminal *terminal, const Table *table) {
        _cleanup_(freep) unsigned *widths = calloc(table->n_columns, sizeof(unsigned));

        if (!widths || table->failed)
                return -ENOMEM;
        widths_measure(table, widths);
        widths_fit(table, widths, terminal->columns);
        for (size_t row = 0; row <= table->n_cells / table->n_columns; row++) {
                Line line = { .out = out, .terminal = terminal };

                for (size_t c = 0; c < table->n_columns; c++) {
                        const Cell *cell = row > 0 ? &table->cells[(row - 1) * table->n_columns + c] : NULL;

                        if (widths[c] > 0)
                                line_cell(&line, &table->columns[c], widths[c], cell ? cell->tone : TONE_STRONG,
                                        cell ? cell->text : table->columns[c].title);
                }
                (void)fputc('\n', out);
        }
        return 0;
}

void paragraph_print(FILE *out, const Terminal *terminal, unsigned start, unsigned hanging, const char *text) {
        _cleanup_(freep) char *safe = text_escape(text);
        unsigned limit = terminal->columns ? MIN_OF(terminal->columns, PARAGRAPH_MAX) : UINT_MAX;
        unsigned column = start;
        bool first = true;
        char *rest = NULL;

        for (char *word = safe ? strtok_r(safe, " ", &rest) : NULL; word; word = strtok_r(NULL, " ", &rest)) {
                unsigned width = text_columns(word);

                if (!first && column + 1 + width > limit) {
                        (void)fputc('\n', out);
                        pad(out, hanging);
                        column = hanging;
                        first = true;
                }
                (void)fprintf(out, "%s%s", first ? "" : " ", word);
                column += width + (first ? 0 : 1);
                first = false;
        }
        (void)fputc('\n', out);
}
