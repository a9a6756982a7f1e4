/*
 * `scidexctl top`: what runs, nearest to its limits first, looked at again every second.
 *
 * Called by main.  Figures are read from the groups here (top-figures.c); who runs is asked for by a child
 * (top-worker.c), the less often the more there are, and at once when a group is gone.  So neither a thousand runs nor
 * a supervisor that hangs keeps a key waiting.  The hard thing is the terminal: it has to be as it was however this
 * ends, so the signals that end it are blocked and read beside the keys, and there is one way out.
 */
#include "cmd/scidexctl/top.h"

#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/ask.h"
#include <poll.h>
#include <string.h>

#define TICK_USEC      (1 * USEC_PER_SEC)
#define LIST_USEC      (2 * USEC_PER_SEC)   /* of a few runs; a packet each is sent for them */
#define LIST_EACH_USEC (20 * USEC_PER_MSEC) /* more for each run: 1,000 of them every 20 s */
#define LIST_MOST_USEC (30 * USEC_PER_SEC)

static void top_deinit(Top *t) {
        worker_stop(&t->worker);
        screen_deinit(&t->screen);
        top_rows_deinit(&t->rows);
        if (t->figures)
                figures_free(t->figures);
        json_decref(t->hosts);
        json_decref(t->runs);
        json_decref(t->events);
        free(t->failure);
        free(t->selected);
        free(t->target);
        free(t->target_name);
        free(t->text);
        free(t->notice);
        free(t->pending);
}

/* What somebody typed or a row was renamed to in the meantime does not move the mark to another run. */
static void keep_selected(Top *t) {
        size_t place = t->selected ? top_rows_find(&t->rows, t->selected) : SIZE_MAX;

        if (t->rows.n == 0) {
                t->place = t->first = 0;
                return;
        }
        t->place = place != SIZE_MAX ? place : MIN_OF(t->place, t->rows.n - 1);
        if (place == SIZE_MAX && t->rows.rows[t->place].run_id) {
                free(t->selected);
                t->selected = strdup(t->rows.rows[t->place].run_id);
        }
}

void top_rebuild(Top *t) {
        top_rows_deinit(&t->rows);
        t->view.filter = t->filter;
        if (top_rows_make(t->runs, &t->view, figures_find, t->figures, clock_realtime_usec(), &t->rows) < 0)
                top_rows_deinit(&t->rows);
        keep_selected(t);
}

static char *message_of(const json_t *error) {
        const char *message = field_text(error, "message");

        return message ? text_escape(message) : NULL;
}

static void take_rows(json_t **rows, const json_t *answer, const char *name) {
        json_t *now = json_object_get(answer, name);

        if (!now)
                return;
        json_decref(*rows);
        *rows = json_incref(now);
}

static void take_look(Top *t, const json_t *answer) {
        const json_t *error = json_object_get(answer, "error");

        free(t->failure);
        t->failure = message_of(error ? error : json_object_get(answer, "no_supervisor"));
        t->is_known = error && t->runs; /* without a supervisor nothing runs: that is no old figure */
        take_rows(&t->runs, answer, "runs");
        take_rows(&t->hosts, answer, "hosts");
        take_rows(&t->events, answer, "events");
        (void)figures_keep(t->figures, t->runs); /* without memory for them the list's figures are shown */
        (void)figures_look(t->figures, clock_boottime_usec());
}

static void take_text(Top *t, const json_t *answer) {
        const char *run_id = field_text(answer, "run_id"), *text = field_text(answer, "text");

        if (t->mode != TOP_MODE_TEXT || !t->target || !run_id || !text || strcmp(t->target, run_id) != 0)
                return; /* somebody has gone on */
        free(t->text);
        t->text = strdup(text);
}

static void take_kill(Top *t, const json_t *answer) {
        _cleanup_(freep) char *failure = message_of(json_object_get(answer, "error"));

        free(t->notice);
        t->notice = failure ? text_printf("Not killed: %s", failure)
                            : text_printf("%s: the kill has begun. How it ends: scidexctl why",
                                      t->target_name ? t->target_name : "");
}

static void take_answer(Top *t, const json_t *answer) {
        switch (t->asked) {
        case TOP_ASKED_LOOK:
                take_look(t, answer);
                break;
        case TOP_ASKED_TEXT:
                take_text(t, answer);
                break;
        case TOP_ASKED_KILL:
                take_kill(t, answer);
                t->look_at_usec = 0; /* its state is another now */
                break;
        case TOP_ASKED_NOTHING:
                break;
        }
        t->asked = TOP_ASKED_NOTHING;
        top_rebuild(t);
}

static uint64_t list_period(const Top *t) {
        uint64_t each = json_array_size(t->runs) * LIST_EACH_USEC;

        return t->options->all_hosts ? 0 : MIN_OF(MAX_OF(LIST_USEC, each), LIST_MOST_USEC);
}

/* The next question, if there is one and the worker is free: what somebody waits for first. 0, -errno. */
static int ask_next(Top *t, uint64_t now) {
        bool is_text = t->mode == TOP_MODE_TEXT && t->target;
        int r = 0;

        if (t->worker.is_asked)
                return 0;
        if (t->pending) {
                _cleanup_(freep) char *run_id = TAKE_PTR(t->pending);

                t->asked = TOP_ASKED_KILL;
                r = worker_ask(&t->worker, "kill", run_id);
        } else if (is_text && now >= t->text_at_usec) {
                t->asked = TOP_ASKED_TEXT;
                t->text_at_usec = usec_add(now, LIST_USEC);
                r = worker_ask(&t->worker, "show", t->target);
        } else if (now >= t->look_at_usec) {
                t->asked = TOP_ASKED_LOOK;
                t->look_at_usec = usec_add(now, list_period(t));
                r = worker_ask(&t->worker, t->options->all_hosts && t->runs ? "wait" : "look", NULL);
        }
        return r;
}

/* One that has ended is seen by its directory before the list is due: ask, but not for each of a thousand. */
static void tick(Top *t, uint64_t now) {
        if (!t->options->all_hosts && figures_look(t->figures, now))
                t->look_at_usec = MIN_OF(t->look_at_usec, usec_add(now, TICK_USEC));
        top_rebuild(t);
}

static int worker_read(Top *t) {
        _cleanup_(json_decrefp) json_t *answer = NULL;
        int r = worker_take(&t->worker, &answer);

        if (answer)
                take_answer(t, answer);
        return r;
}

/* 0, -errno: it can't go on. */
static int wait_once(Top *t, uint64_t until) {
        struct pollfd ready[] = { { .fd = t->screen.signals, .events = POLLIN },
                { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = t->worker.fd, .events = POLLIN } };
        uint64_t left = usec_sub(until, clock_boottime_usec());
        int n = poll(ready, ELEMENTSOF(ready), (int)(left / USEC_PER_MSEC) + (left > 0));

        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        if (ready[0].revents) {
                t->is_over |= screen_is_ended(&t->screen);
                top_screen_resize();
        }
        if (ready[1].revents && !top_read_keys(t))
                t->is_over = true;
        return ready[2].revents ? worker_read(t) : 0;
}

static int top_loop(Top *t) {
        uint64_t next = 0;
        int r = 0;

        while (r == 0 && !t->is_over) {
                uint64_t now = clock_boottime_usec();

                if (now >= next) {
                        next = usec_add(now, TICK_USEC);
                        tick(t, now);
                }
                r = ask_next(t, now);
                top_draw(t);
                if (r == 0)
                        r = wait_once(t, next);
        }
        return r;
}

/* The first answer, for which somebody may not want to wait. NULL with 0: it was interrupted. */
static int first_look(Top *t, json_t **ret_answer) {
        int r = worker_ask(&t->worker, "look", NULL);

        *ret_answer = NULL;
        while (r == 0 && !*ret_answer) {
                struct pollfd ready[] = { { .fd = t->screen.signals, .events = POLLIN },
                        { .fd = t->worker.fd, .events = POLLIN } };

                if (poll(ready, ELEMENTSOF(ready), -1) < 0 && errno != EINTR)
                        return -errno;
                if (ready[0].revents && screen_is_ended(&t->screen))
                        return 0;
                if (ready[1].revents)
                        r = worker_take(&t->worker, ret_answer);
        }
        return r;
}

static int fail(const Options *options, const char *what, int r) {
        _cleanup_(json_decrefp) json_t *failure = r == -ENOTSUP
                ? answer_failed("failed", "set TERM to what it is, for example TERM=xterm; or: scidexctl top | cat",
                          "curses does not know this terminal (TERM=%s)", getenv("TERM") ? getenv("TERM") : "")
                : answer_failed("failed", NULL, "%s: %s", what, strerror(-r));

        return answer_report_failure(options, failure);
}

static int top_on_screen(Top *t, const json_t *answer) {
        int r;

        t->figures = figures_new();
        if (!t->figures)
                return fail(t->options, "top", -ENOMEM);
        take_look(t, answer);
        r = top_screen_begin(t->options);
        if (r < 0)
                return fail(t->options, "setting the terminal up", r);
        top_rebuild(t);
        r = top_loop(t);
        top_screen_end();
        return r == 0 ? CTL_OK : fail(t->options, "the process that asks for top", r);
}

int verb_top(const Options *options, const Terminal *terminal) {
        _cleanup_(top_deinit) Top t = { .options = options, .screen = SCREEN_NONE, .worker = WORKER_NONE };
        _cleanup_(json_decrefp) json_t *answer = NULL;
        int r = screen_block_signals(&t.screen);

        if (r == 0)
                r = worker_start(&t.worker, options);
        if (r == 0)
                r = first_look(&t, &answer);
        if (r < 0)
                return fail(options, "asking", r);
        if (!answer)
                return CTL_OK;
        if (answer_status(answer) != CTL_OK) /* who never answered is no table to look at */
                return answer_report_failure(options, answer);
        if (options->json || !screen_is_possible())
                return top_once(options, terminal, answer);
        return top_on_screen(&t, answer);
}
