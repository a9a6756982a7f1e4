/* The terminal: how wide, which colours; tables and paragraphs that fit it. All text is escaped on its way in. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct Terminal {
        unsigned columns; /* 0: as wide as it gets (no terminal) */
        bool colour;
        bool utf8;
} Terminal;

/* Of stdout: COLUMNS, else TIOCGWINSZ; colour on a terminal only, and neither with NO_COLOR nor no_colour. */
Terminal terminal_probe(bool no_colour);

typedef enum Tone {
        TONE_PLAIN,
        TONE_GOOD,
        TONE_BAD,
        TONE_WARN,
        TONE_STRONG,
        TONE_MAX,
} Tone;

/* Prints text in a tone; the words must say the same without it. */
void tone_print(FILE *out, const Terminal *terminal, Tone tone, const char *text);

typedef struct Column {
        const char *title;
        bool right;      /* numbers */
        unsigned rank;   /* 0: always shown; of the others the highest is dropped first where it is narrow */
        unsigned shrink; /* 0: never cut (ids); else it may be cut down to this width */
} Column;

typedef struct Cell {
        char *text; /* owned, escaped */
        Tone tone;
} Cell;

typedef struct Table {
        const Column *columns;
        size_t n_columns;
        Cell *cells; /* owned; row by row */
        size_t n_cells, n_allocated;
        bool failed; /* out of memory on the way: table_print says -ENOMEM */
} Table;

#define TABLE_OF(c) ((Table){ .columns = (c), .n_columns = sizeof(c) / sizeof((c)[0]) })

/* The next cell, left to right. */
void table_cell(Table *table, Tone tone, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same for text that may be NULL: "-". */
void table_text(Table *table, Tone tone, const char *text);
/* Header and rows. 0 or -ENOMEM. */
int table_print(FILE *out, const Terminal *terminal, const Table *table);
void table_deinit(Table *table);

/*
 * One paragraph, escaped, wrapped to the terminal (at most 100 columns; not at all in a file). start is the column the
 * line has reached already, hanging the one that later lines begin at.
 */
void paragraph_print(FILE *out, const Terminal *terminal, unsigned start, unsigned hanging, const char *text);

/* Columns that a text takes on the terminal. */
unsigned text_columns(const char *text);
