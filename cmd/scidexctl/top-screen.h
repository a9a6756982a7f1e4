/* What the files that draw `top` share. */
#pragma once

#include "cmd/scidexctl/top.h"

typedef enum TopPair {
        TOP_PAIR_GOOD = 1,
        TOP_PAIR_WARN,
        TOP_PAIR_BAD,
        TOP_PAIR_CACHE,
} TopPair;

/* Whether curses has heard of $TERM. */
bool top_terminal_is_known(void);
/* Nothing where there is no colour. */
unsigned top_colour(TopPair pair);
/* Text that is escaped already, cut to width and the end of the line; the columns that it took. */
unsigned top_put(unsigned y, unsigned x, unsigned width, unsigned attributes, const char *text);
/* The same, ending at x + width. */
void top_put_right(unsigned y, unsigned x, unsigned width, unsigned attributes, const char *text);
/* The titles at line y and as many rows as fit below, with the marked one among them. */
void top_put_rows(Top *top, unsigned y);
