/* The parts of `top`: what it knows, what is shown of it, what keys do. */
#pragma once

#include "cmd/scidexctl/screen.h"
#include "cmd/scidexctl/top-figures.h"
#include "cmd/scidexctl/top-worker.h"
#include "status/table.h"
#include <wchar.h>

#define TOP_TEXT_MOST 256 /* bytes of a filter or of what is searched for: an analysis id has at most 255 */

typedef enum TopMode {
        TOP_MODE_LIST,
        TOP_MODE_SEARCH,  /* text is typed; the next match is selected */
        TOP_MODE_FILTER,  /* text is typed; what has it not is not shown */
        TOP_MODE_SORT,    /* the menu of orders */
        TOP_MODE_CONFIRM, /* whether the run in `target` is to be killed */
        TOP_MODE_TEXT,    /* `text` over the whole screen */
} TopMode;

typedef enum TopAsked {
        TOP_ASKED_NOTHING,
        TOP_ASKED_LOOK,
        TOP_ASKED_TEXT,
        TOP_ASKED_KILL,
} TopAsked;

typedef struct Top {
        const Options *options;
        Screen screen; /* only its signals; curses has the terminal */
        Worker worker;
        TopAsked asked;                /* of the worker; one question at a time */
        uint64_t look_at_usec;         /* BOOTTIME; when the list is asked for again */
        uint64_t text_at_usec;         /* and the text on the screen */
        Figures *figures;              /* owned */
        json_t *hosts, *runs, *events; /* owned; of the last answers, NULL before the first */
        bool is_known;                 /* the last figures are of somebody, who is away now */
        char *failure;                 /* owned; why the last answer was none, or that nobody supervises; NULL */
        TopView view;
        char filter[TOP_TEXT_MOST], search[TOP_TEXT_MOST];
        TopMode mode;
        TopRows rows;
        char *selected;    /* owned; run id, NULL: none yet */
        size_t place;      /* of the selected one in rows */
        size_t first;      /* the first row that is shown */
        unsigned n_shown;  /* rows that fit */
        TopSort menu;      /* in the menu of orders */
        char *target;      /* owned; run id that a kill would be of, or whose text is shown; NULL: a help text is */
        char *target_name; /* owned; for people, escaped */
        char *text;        /* owned */
        size_t text_first, text_lines;
        char *notice;  /* owned; what became of the last kill */
        char *pending; /* owned; run id that is to be killed once the worker is free */
        bool is_over;
} Top;

/* Makes rows of what is known, and keeps the selected run selected. */
void top_rebuild(Top *top);

/* The terminal by curses, and back. 0, -ENOTSUP (curses does not know it), -errno. */
int top_screen_begin(const Options *options);
void top_screen_end(void);
void top_draw(Top *top);
void top_screen_resize(void);
/* All that was typed. False: the terminal is gone. */
bool top_read_keys(Top *top);

/* One key: a character, or one of curses' with is_function. */
void top_key(Top *top, wint_t key, bool is_function);

/* Once, for a file or a program. A status. */
int top_once(const Options *options, const Terminal *terminal, const json_t *answer);
