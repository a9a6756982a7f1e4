/*
 * `top` drawn by curses.
 *
 * Called by top.c.  What is drawn comes from outside (an analysis id may hold escape sequences, or marks that turn
 * the direction of writing): it is escaped first, then cut by columns, and goes to curses as wide characters, so that
 * a half of one never reaches the terminal.  Where it is narrow, columns go by their rank; colour says nothing that
 * the characters don't.
 */
#include "cmd/scidexctl/top-screen.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/rows.h"
#include <limits.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WIDE_MOST   1024 /* characters of a line: terminals are not wider */
#define KILLS_FROM  20   /* lines of a terminal that has room for the last kills */
#define HOSTS_MOST  6
#define ESCAPE_MSEC 50 /* between Esc and what makes a key's sequence of it */

static SCREEN *screen; /* owned; curses has only one at a time */
static bool has_colour;

int top_screen_begin(const Options *options) {
        const char *refused = getenv("NO_COLOR");

        if (!top_terminal_is_known())
                return -ENOTSUP;
        screen = newterm(NULL, stdout, stdin);
        if (!screen)
                return -ENOTSUP;
        (void)set_term(screen);
        (void)cbreak();
        (void)noecho();
        (void)curs_set(0);
        (void)keypad(stdscr, TRUE);
        (void)nodelay(stdscr, TRUE);
        (void)set_escdelay(ESCAPE_MSEC);
        has_colour = !options->no_colour && !(refused && *refused) && has_colors();
        if (has_colour) {
                (void)start_color();
                (void)use_default_colors();
                (void)init_pair(TOP_PAIR_GOOD, COLOR_GREEN, -1);
                (void)init_pair(TOP_PAIR_WARN, COLOR_YELLOW, -1);
                (void)init_pair(TOP_PAIR_BAD, COLOR_RED, -1);
                (void)init_pair(TOP_PAIR_CACHE, COLOR_CYAN, -1);
        }
        return 0;
}

void top_screen_end(void) {
        (void)endwin();
        delscreen(screen);
        screen = NULL;
}

void top_screen_resize(void) {
        struct winsize size;

        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
                (void)resizeterm(size.ws_row, size.ws_col);
}

bool top_read_keys(Top *t) {
        bool is_any = false;
        wint_t key;
        int kind;

        while ((kind = get_wch(&key)) != ERR && !t->is_over) {
                is_any = true;
                if (kind != KEY_CODE_YES || key != KEY_RESIZE)
                        top_key(t, key, kind == KEY_CODE_YES);
        }
        return is_any || (errno != EIO && !feof(stdin));
}

unsigned top_colour(TopPair pair) {
        return has_colour ? (unsigned)COLOR_PAIR(pair) : 0;
}

/* What the locale can't decode is a question mark. Characters written. */
static size_t widen(const char *text, wchar_t *ret, size_t most, unsigned columns, unsigned *ret_columns) {
        mbstate_t state = { 0 };
        size_t n = 0;

        *ret_columns = 0;
        while (*text && n < most) {
                wchar_t c;
                size_t bytes = mbrtowc(&c, text, strlen(text), &state);
                int width;

                if (bytes == (size_t)-1 || bytes == (size_t)-2) {
                        state = (mbstate_t){ 0 };
                        bytes = 1;
                        c = L'?';
                }
                width = wcwidth(c);
                if (width < 0) {
                        c = L'?';
                        width = 1;
                }
                if (*ret_columns + (unsigned)width > columns)
                        break;
                ret[n++] = c;
                *ret_columns += (unsigned)width;
                text += bytes;
        }
        return n;
}

unsigned top_put(unsigned y, unsigned x, unsigned width, unsigned attributes, const char *text) {
        wchar_t wide[WIDE_MOST];
        unsigned columns, end = (unsigned)MAX_OF(COLS, 0);
        size_t n;

        if (x >= end || y >= (unsigned)MAX_OF(LINES, 0))
                return 0;
        n = widen(text, wide, WIDE_MOST, MIN_OF(width, end - x), &columns);
        (void)attrset((attr_t)attributes);
        (void)mvaddnwstr((int)y, (int)x, wide, (int)n);
        (void)attrset(A_NORMAL);
        return columns;
}

void top_put_right(unsigned y, unsigned x, unsigned width, unsigned attributes, const char *text) {
        unsigned columns = text_columns(text);

        (void)top_put(y, x + (columns < width ? width - columns : 0), MIN_OF(columns, width), attributes, text);
}

/* Text of several lines, already escaped but for tabs, from its line `first` on; its lines in all. */
static size_t put_lines(unsigned y, unsigned height, const char *text, size_t first) {
        size_t n = 0;

        for (; *text; n++) {
                size_t length = strcspn(text, "\n");
                _cleanup_(freep) char *line = strndup(text, length);

                if (line && n >= first && n - first < height)
                        (void)top_put(y + (unsigned)(n - first), 0, UINT_MAX, A_NORMAL, line);
                text += length + (text[length] != '\0');
        }
        return n;
}

typedef int (*PrintFunc)(FILE *out, const Terminal *terminal, const Top *t);

static int print_kills(FILE *out, const Terminal *terminal, const Top *t) {
        return events_print(out, terminal, t->events, t->options->all_hosts, TOP_KILLS);
}

static int print_hosts(FILE *out, const Terminal *terminal, const Top *t) {
        return hosts_print(out, terminal, t->hosts, HOSTS_MOST);
}

/* A table of those that other verbs print. */
static void put_table(const Top *t, unsigned y, unsigned height, PrintFunc print) {
        Terminal terminal = { .columns = (unsigned)COLS, .utf8 = terminal_probe(true).utf8 };
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        if (!out)
                return;
        (void)print(out, &terminal, t);
        if (fclose(out) == 0)
                (void)put_lines(y, height, text, 0);
}

static void put_head(const Top *t) {
        char clock[FORMAT_MAX], used[FORMAT_MAX], cache[FORMAT_MAX], limit[FORMAT_MAX];
        const TopRows *r = &t->rows;
        size_t silent, hosts = hosts_count(t->hosts, &silent);
        _cleanup_(freep) char *of_hosts = t->options->all_hosts
                ? text_printf(" on %zu host%s, %zu silent", hosts, hosts == 1 ? "" : "s", silent)
                : text_printf(", %zu in grace", r->grace);
        _cleanup_(freep) char *shown = r->n > t->n_shown
                ? text_printf("  (%zu to %zu of %zu)", t->first + 1, t->first + t->n_shown, r->n)
                : strdup("");
        _cleanup_(freep) char *failed = t->failure ? text_printf("%s: these are the last figures", t->failure) : NULL;
        _cleanup_(freep) char *filter = *t->filter ? text_escape(t->filter) : NULL;
        _cleanup_(freep) char *first = text_printf("scidex top  %s  %zu run%s%s%s%s%s%s  by %s%s%s",
                format_when(clock, clock_realtime_usec()), r->all, r->all == 1 ? "" : "s", of_hosts ? of_hosts : "",
                shown ? shown : "", filter ? "  only: " : "", filter ? filter : "",
                filter && r->n == 0 ? " (none)" : "", top_sort_title(t->view.sort),
                t->view.is_inverted ? ", turned around" : "", t->view.is_tree ? ", as a tree" : "");
        _cleanup_(freep) char *second = text_printf("Memory %s of %s   Cache %s   CPU %.2f",
                format_bytes(used, r->private_bytes), format_bytes(limit, r->limit_bytes),
                r->has_cache ? format_bytes(cache, r->cache_bytes) : "-", r->cpus);

        (void)top_put(0, 0, UINT_MAX, A_BOLD, first ? first : "");
        if (failed)
                (void)top_put(1, 0, UINT_MAX, top_colour(TOP_PAIR_WARN) | A_BOLD, t->is_known ? failed : t->failure);
        else
                (void)top_put(1, 0, UINT_MAX, A_NORMAL, second ? second : "");
}

/* What is asked, or typed, or what became of it, else the keys. */
static void put_foot(const Top *t, unsigned y) {
        _cleanup_(freep) char *typed = text_escape(t->mode == TOP_MODE_FILTER ? t->filter : t->search), *line = NULL;

        switch (t->mode) {
        case TOP_MODE_SEARCH:
                line = text_printf("Search: %s_   (F3 the next, Enter)", typed ? typed : "");
                break;
        case TOP_MODE_FILTER:
                line = text_printf("Filter: %s_   (Enter keeps it, Esc drops it)", typed ? typed : "");
                break;
        case TOP_MODE_CONFIRM:
                line = text_printf("End %s? TERM to all of it, KILL after its grace. y/N ", t->target_name);
                break;
        case TOP_MODE_SORT:
                line = strdup("Up Down Enter choose, Esc leaves it");
                break;
        case TOP_MODE_TEXT:
                line = strdup("Up Down PgUp PgDn go through it, q goes back");
                break;
        case TOP_MODE_LIST:
                line = t->notice
                        ? strdup(t->notice)
                        : strdup("F1 Help  F3 Search  F4 Filter  F5 Tree  F6 Sort  F9 Kill  Enter Details  F10 Quit");
                break;
        }
        (void)top_put(y, 0, UINT_MAX, t->mode == TOP_MODE_CONFIRM ? A_REVERSE | A_BOLD : A_REVERSE, line ? line : "");
}

static void put_menu(const Top *t) {
        for (TopSort s = 0; s < TOP_SORT_MAX; s++) {
                _cleanup_(freep) char *line = text_printf(" %-18s", top_sort_title(s));

                (void)top_put(3 + s, 2, 20, s == t->menu ? A_REVERSE : A_NORMAL, line ? line : "");
        }
}

static void draw_list(Top *t, unsigned lines) {
        unsigned y = 2, end = lines - 1;
        bool kills = lines >= KILLS_FROM;
        unsigned n_kills = kills ? (unsigned)MIN_OF(json_array_size(t->events), (size_t)TOP_KILLS) : 0;

        if (t->options->all_hosts && kills) {
                unsigned n = (unsigned)MIN_OF(json_array_size(t->hosts), (size_t)HOSTS_MOST) + 1;

                put_table(t, y, n, print_hosts);
                y += n + 1;
        }
        if (kills) {
                end -= n_kills + 3;
                (void)top_put(end + 1, 0, UINT_MAX, A_BOLD, n_kills > 0 ? "Last kills" : "Last kills: none");
        }
        if (n_kills > 0)
                put_table(t, end + 2, n_kills + 1, print_kills);
        t->n_shown = end > y + 1 ? end - y - 1 : 0;
        top_put_rows(t, y);
}

static void draw_text(Top *t, unsigned lines) {
        t->n_shown = lines > 1 ? lines - 1 : 0;
        if (!t->text)
                return;
        t->text_lines = put_lines(0, t->n_shown, t->text, t->text_first);
        if (t->text_first + t->n_shown > t->text_lines && t->text_first > 0) { /* it has become shorter */
                t->text_first = t->text_lines > t->n_shown ? t->text_lines - t->n_shown : 0;
                (void)erase();
                (void)put_lines(0, t->n_shown, t->text, t->text_first);
        }
}

void top_draw(Top *t) {
        unsigned lines = (unsigned)MAX_OF(LINES, 0);

        (void)erase();
        if (lines < 4 || COLS < 20) {
                (void)top_put(0, 0, UINT_MAX, A_NORMAL, "too small");
                (void)refresh();
                return;
        }
        if (t->mode == TOP_MODE_TEXT)
                draw_text(t, lines);
        else {
                draw_list(t, lines);
                put_head(t);
        }
        if (t->mode == TOP_MODE_SORT)
                put_menu(t);
        put_foot(t, lines - 1);
        (void)refresh();
}
