/*
 * Whether curses knows the terminal, asked before it takes it: newterm() leaks where it does not. Called by
 * top-screen.c.
 *
 * A file of its own, as term.h takes words such as `columns` for itself.
 */
#include "cmd/scidexctl/top-screen.h"

#include <ncurses.h>
#include <term.h>
#include <unistd.h>

bool top_terminal_is_known(void) {
        int why;

        if (setupterm(NULL, STDOUT_FILENO, &why) != OK)
                return false;
        (void)del_curterm(cur_term);
        return true;
}
