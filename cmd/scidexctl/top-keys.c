/*
 * What keys do in `top`. No terminal here: a key comes in, the state is another, and whoever draws goes by that.
 *
 * Called by top-screen.c.  The keys are htop's where htop has them.  The hard thing is the kill: between the key and
 * the answer to "are you sure" the list may have moved, so what is asked about, and killed, is the run that was marked
 * when the key was pressed, by its id.
 */
#include "cmd/scidexctl/top.h"

#include "base/file.h"
#include "base/parse.h"
#include <limits.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>

#define KEY_ESCAPE 27
#define KEY_DELETE 127

static const char help_text[] =
        "Keys\n"
        "\n"
        "  Up Down PgUp PgDn Home End   go through the runs\n"
        "  Enter                        all that is known of the marked run\n"
        "  F3 or /                      search: by analysis, run id, state, host; F3 again: the next\n"
        "  F4 or \\                      filter: show only those; Esc while typing: all again\n"
        "  F5 or t                      nested runs below the run that they were started from\n"
        "  F6 or < or >                 choose what to sort by; I turns the order around\n"
        "  M P T                        sort by memory, CPU, time left\n"
        "  F9 or k                      end the marked run: asks before it does\n"
        "  F1 or ?                      this text\n"
        "  F10 or q                     end top\n"
        "\n"
        "Columns\n"
        "\n"
        "  LEFT    time until the wall-clock limit\n"
        "  MEMORY  anonymous and shared memory: what the kernel can't take back; and the limit\n"
        "  bar     | is that memory, : the file cache beside it, up to the limit\n"
        "  STALL   share of the time in which all its processes waited for memory (PSI full)\n"
        "  CPU     CPUs used: 1.00 is one of them all the time\n"
        "\n"
        "The runs that are nearest to their time or memory limit come first. Figures are read from the groups\n"
        "every second; who runs is asked for every 2 s, of many runs less often.\n";

static void select_place(Top *t, size_t place) {
        if (t->rows.n == 0)
                return;
        t->place = MIN_OF(place, t->rows.n - 1);
        free(t->selected);
        t->selected = t->rows.rows[t->place].run_id ? strdup(t->rows.rows[t->place].run_id) : NULL;
}

static void move_up(Top *t, size_t by) {
        select_place(t, t->place > by ? t->place - by : 0);
}

/* "SDA-42 (run 7c1e90ab)"; NULL on OOM. Caller frees. */
static char *name_of(const TopRow *row) {
        _cleanup_(freep) char *analysis = text_escape(row->analysis ? row->analysis : "");

        if (!analysis)
                return NULL;
        return *analysis ? text_printf("%s (run %s)", analysis, run_short_id(row->run))
                         : text_printf("Run %s", run_short_id(row->run));
}

/* Marks the run under the mark as what is asked about. False: there is none. */
static bool target_take(Top *t) {
        const TopRow *row = t->place < t->rows.n ? &t->rows.rows[t->place] : NULL;

        if (!row || !row->run_id)
                return false;
        free(t->target);
        free(t->target_name);
        t->target = strdup(row->run_id);
        t->target_name = name_of(row);
        return t->target && t->target_name;
}

static void text_begin(Top *t, const char *text) {
        free(t->text);
        t->text = strdup(text);
        t->text_first = 0;
        t->text_at_usec = 0;
        t->mode = TOP_MODE_TEXT;
}

static void help_begin(Top *t) {
        free(t->target);
        t->target = NULL;
        text_begin(t, help_text);
}

static void sort_by(Top *t, TopSort sort) {
        t->view.sort = sort;
        t->view.is_inverted = false;
        top_rebuild(t);
}

static void search_next(Top *t, size_t after) {
        size_t place = *t->search && t->rows.n > 0 ? top_rows_search(&t->rows, t->search, after) : SIZE_MAX;

        if (place != SIZE_MAX)
                select_place(t, place);
}

/* From the marked one on, itself included. */
static void search_here(Top *t) {
        search_next(t, t->place > 0 ? t->place - 1 : t->rows.n > 0 ? t->rows.n - 1 : 0);
}

static void typed_changed(Top *t) {
        if (t->mode == TOP_MODE_FILTER)
                top_rebuild(t);
        else
                search_here(t);
}

/* A character at the end, if it fits. */
static void type_append(char text[static TOP_TEXT_MOST], wint_t key) {
        char bytes[MB_LEN_MAX + 1] = "";
        size_t length = strlen(text);
        int n = wctomb(bytes, (wchar_t)key);

        if (n > 0 && length + (size_t)n < TOP_TEXT_MOST) {
                bytes[n] = '\0';
                (void)stpcpy(text + length, bytes);
        }
}

/* The last character, with all its bytes. */
static void type_remove(char *text) {
        size_t length = strlen(text);

        while (length > 0 && ((unsigned char)text[length - 1] & 0xc0) == 0x80)
                length--;
        text[length > 0 ? length - 1 : 0] = '\0';
}

static void key_typed(Top *t, wint_t key, bool is_function) {
        char *text = t->mode == TOP_MODE_FILTER ? t->filter : t->search;
        bool is_erase = is_function ? key == KEY_BACKSPACE : key == KEY_DELETE || key == '\b';
        bool is_end = is_function ? !is_erase : key == KEY_ESCAPE || key == '\n' || key == '\r';

        if (is_function && key == KEY_F(3) && t->mode == TOP_MODE_SEARCH) {
                search_next(t, t->place);
                return;
        }
        if (!is_function && key == KEY_ESCAPE && t->mode == TOP_MODE_FILTER)
                *text = '\0';
        if (is_end) {
                top_rebuild(t);
                t->mode = TOP_MODE_LIST;
                return;
        }
        if (is_erase)
                type_remove(text);
        else if (key >= ' ')
                type_append(text, key);
        typed_changed(t);
}

static void key_sort(Top *t, wint_t key, bool is_function) {
        if (is_function && key == KEY_UP)
                t->menu = t->menu > 0 ? t->menu - 1 : 0;
        else if (is_function && key == KEY_DOWN)
                t->menu = MIN_OF(t->menu + 1, (TopSort)(TOP_SORT_MAX - 1));
        else if (is_function && key == KEY_HOME)
                t->menu = 0;
        else if (is_function && key == KEY_END)
                t->menu = TOP_SORT_MAX - 1;
        else if (!is_function && (key == '\n' || key == '\r')) {
                t->mode = TOP_MODE_LIST;
                sort_by(t, t->menu);
        } else if (is_function ? key == KEY_F(6) || key == KEY_F(10) : key == KEY_ESCAPE || key == 'q')
                t->mode = TOP_MODE_LIST;
}

static void key_confirm(Top *t, wint_t key, bool is_function) {
        t->mode = TOP_MODE_LIST;
        free(t->notice);
        t->notice = NULL;
        if (is_function || (key != 'y' && key != 'Y')) {
                t->notice = strdup("Nothing was killed.");
                return;
        }
        free(t->pending);
        t->pending = strdup(t->target);
        t->notice = text_printf("%s: asking the supervisor to end it ...", t->target_name);
}

static void key_text(Top *t, wint_t key, bool is_function) {
        size_t page = t->n_shown > 1 ? t->n_shown - 1 : 1;

        if (is_function && key == KEY_DOWN)
                t->text_first++;
        else if (is_function && key == KEY_UP)
                t->text_first -= t->text_first > 0;
        else if (is_function && key == KEY_NPAGE)
                t->text_first += page;
        else if (is_function && key == KEY_PPAGE)
                t->text_first -= MIN_OF(t->text_first, page);
        else if (is_function && key == KEY_HOME)
                t->text_first = 0;
        else if (is_function && key == KEY_END)
                t->text_first = t->text_lines;
        else if ((is_function && key == KEY_F(10)) ||
                (!is_function && (key == KEY_ESCAPE || key == 'q' || key == '\n' || key == '\r')))
                t->mode = TOP_MODE_LIST;
}

static void details_begin(Top *t) {
        if (target_take(t))
                text_begin(t, "Asking ...\n");
}

static void mode_begin(Top *t, TopMode mode) {
        t->mode = mode;
        t->menu = t->view.sort;
        if (mode == TOP_MODE_SEARCH)
                *t->search = '\0';
}

static void list_function(Top *t, wint_t key) {
        size_t page = t->n_shown > 1 ? t->n_shown - 1 : 1;

        switch (key) {
        case KEY_UP:
                move_up(t, 1);
                break;
        case KEY_DOWN:
                select_place(t, t->place + 1);
                break;
        case KEY_PPAGE:
                move_up(t, page);
                break;
        case KEY_NPAGE:
                select_place(t, t->place + page);
                break;
        case KEY_HOME:
                select_place(t, 0);
                break;
        case KEY_END:
                select_place(t, t->rows.n);
                break;
        case KEY_ENTER:
                details_begin(t);
                break;
        default:
                break;
        }
}

/* Letters and the function keys that mean the same. */
static void list_command(Top *t, wint_t key) {
        switch (key) {
        case 'q':
        case 'Q':
                t->is_over = true;
                break;
        case '?':
        case 'h':
                help_begin(t);
                break;
        case '/':
                mode_begin(t, TOP_MODE_SEARCH);
                break;
        case '\\':
                mode_begin(t, TOP_MODE_FILTER);
                break;
        case 't':
                t->view.is_tree = !t->view.is_tree;
                top_rebuild(t);
                break;
        case '<':
        case '>':
                mode_begin(t, TOP_MODE_SORT);
                break;
        case 'k':
                if (target_take(t))
                        t->mode = TOP_MODE_CONFIRM;
                break;
        case 'I':
                t->view.is_inverted = !t->view.is_inverted;
                top_rebuild(t);
                break;
        case 'M':
                sort_by(t, TOP_BY_MEMORY);
                break;
        case 'P':
                sort_by(t, TOP_BY_CPU);
                break;
        case 'T':
                sort_by(t, TOP_BY_LEFT);
                break;
        case '\n':
        case '\r':
                details_begin(t);
                break;
        default:
                break;
        }
}

static void key_list(Top *t, wint_t key, bool is_function) {
        static const struct {
                wint_t function, letter;
        } same[] = { { KEY_F(1), '?' }, { KEY_F(3), '/' }, { KEY_F(4), '\\' }, { KEY_F(5), 't' }, { KEY_F(6), '<' },
                { KEY_F(9), 'k' }, { KEY_F(10), 'q' } };

        free(t->notice);
        t->notice = NULL;
        if (!is_function) {
                list_command(t, key);
                return;
        }
        for (size_t i = 0; i < ELEMENTSOF(same); i++)
                if (same[i].function == key)
                        list_command(t, same[i].letter);
        list_function(t, key);
}

void top_key(Top *t, wint_t key, bool is_function) {
        static void (*const handlers[])(Top *, wint_t, bool) = {
                [TOP_MODE_LIST] = key_list,
                [TOP_MODE_SEARCH] = key_typed,
                [TOP_MODE_FILTER] = key_typed,
                [TOP_MODE_SORT] = key_sort,
                [TOP_MODE_CONFIRM] = key_confirm,
                [TOP_MODE_TEXT] = key_text,
        };

        handlers[t->mode](t, key, is_function);
}
