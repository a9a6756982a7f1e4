/* A terminal taken over for a while, and given back as it was however that ends. */
#pragma once

#include <stdbool.h>
#include <termios.h>

typedef struct Screen {
        int signals; /* owned; signalfd of INT, TERM, HUP, QUIT and WINCH, which are blocked */
        bool shown;
        struct termios before;
} Screen;

#define SCREEN_NONE ((Screen){ .signals = -EBADF })

/* Blocks the signals: from here on somebody has to read them. 0, -errno. */
int screen_block_signals(Screen *screen);
/* Reads one that has come. Whether it ends the program (WINCH does not). */
bool screen_is_ended(const Screen *screen);
/* Whether stdin and stdout are a terminal. */
bool screen_is_possible(void);
/* Another screen, keys as they are typed, no cursor, long lines cut. 0, -errno. */
int screen_begin(Screen *screen);
/* What is shown in place of what was, at most `lines` of it, in one write. */
void screen_draw(const Screen *screen, const char *text, unsigned lines);
unsigned screen_lines(void);
void screen_deinit(Screen *screen);
