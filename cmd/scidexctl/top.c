/*
 * `scidexctl top`: what runs, shown again whenever something is killed and every 5 s.
 *
 * Called by main.  The hard thing is the terminal: it has to be as it was however this ends.  So the signals that end
 * it are blocked and read as a descriptor, beside the keys and the answers, and there is one way out.  A database that
 * goes away is said on the screen, and asked again.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/rows.h"
#include "control/message.h"
#include "status/field.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>

#define REFRESH_USEC (5 * USEC_PER_SEC)
#define HOSTS_MOST   8  /* the silent ones come first */
#define KILLS_MOST   5  /* the last ones */
#define LINES_USUAL  24 /* of a terminal that does not tell */
#define LINES_AROUND 11 /* headings and what parts the tables */
/* Another screen, no cursor, and long lines are cut: wrapped ones would push the first ones out. */
#define SCREEN_BEGIN "\x1b[?1049h\x1b[?25l\x1b[?7l"
#define SCREEN_END   "\x1b[?7h\x1b[?25h\x1b[?1049l"
#define SCREEN_HOME  "\x1b[H\x1b[J"

typedef struct Top {
        const Options *options;
        Terminal terminal;
        Source source;
        int signals; /* owned; INT, TERM, HUP, QUIT */
        bool is_open;
        bool screen; /* ours is shown */
        struct termios before;
        json_t *hosts, *runs, *events; /* owned; of the last answers, NULL before the first */
} Top;

static void top_deinit(Top *t) {
        if (t->screen) {
                (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &t->before);
                (void)fputs(SCREEN_END, stdout);
                (void)fflush(stdout);
        }
        source_deinit(&t->source);
        t->signals = close_fd(t->signals);
        json_decref(t->hosts);
        json_decref(t->runs);
        json_decref(t->events);
}

static json_t *top_ask(Top *t, const char *op, uint64_t limit) {
        Options options = *t->options;
        _cleanup_(json_decrefp) json_t *failure = NULL, *request = NULL;
        bool live = strcmp(op, "list") == 0;

        options.limit = limit;
        if (options.all_hosts)
                return rows_ask(&t->source, &options, op);
        request = request_filtered(op, &options, &failure);
        return request ? ask(&options, live ? WHERE_LIVE : WHERE_RECORD, request) : TAKE_PTR(failure);
}

/* The rows of an answer in place of those before. NULL, or the answer if it is a failure. */
static json_t *take_rows(json_t *answer, json_t **rows) {
        if (answer_status(answer) != CTL_OK)
                return answer ? answer : answer_failed("failed", NULL, "out of memory");
        json_decref(*rows);
        *rows = json_incref(json_object_get(answer, "rows"));
        json_decref(answer);
        return NULL;
}

/* Of this host alone, that nothing runs or is recorded is no failure: so it is before the first run. */
static json_t *take_own(json_t *answer, json_t **rows) {
        if (answer_status(answer) == CTL_NO_ANSWER) {
                json_decref(answer);
                json_decref(*rows);
                *rows = json_array();
                return NULL;
        }
        return take_rows(answer, rows);
}

/* NULL, or a failed answer. */
static json_t *top_look(Top *t) {
        json_t *failure = NULL;

        if (!t->options->all_hosts) {
                failure = take_own(top_ask(t, "list", 0), &t->runs);
                return failure ? failure : take_own(top_ask(t, "events", KILLS_MOST), &t->events);
        }
        if (!t->is_open) {
                failure = ask_open_database(t->options, &t->source);
                t->source.interrupt_fd = t->signals;
                t->is_open = !failure;
        }
        if (!failure)
                failure = take_rows(top_ask(t, "list", 0), &t->runs);
        if (!failure)
                failure = take_rows(top_ask(t, "hosts", 0), &t->hosts);
        if (!failure)
                failure = take_rows(top_ask(t, "events", KILLS_MOST), &t->events);
        if (failure && t->is_open) {
                source_deinit(&t->source);
                t->is_open = false;
        }
        return failure;
}

static size_t terminal_lines(void) {
        struct winsize size;

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : LINES_USUAL;
}

static void title_print(FILE *out, const Top *t, const json_t *failure) {
        char clock[FORMAT_MAX];
        const char *message = field_text(json_object_get(failure, "error"), "message");
        _cleanup_(freep) char *safe = message ? text_escape(message) : NULL;
        size_t n = json_array_size(t->runs), hosts, silent;

        (void)fprintf(out, "%s  %zu run%s", format_when(clock, clock_realtime_usec()), n, n == 1 ? "" : "s");
        hosts = hosts_count(t->hosts, &silent);
        if (t->options->all_hosts)
                (void)fprintf(out, " on %zu host%s, %zu silent", hosts, hosts == 1 ? "" : "s", silent);
        (void)fputs(t->screen ? "  (q ends)\n" : "\n", out);
        if (failure)
                (void)fprintf(out, "%s: these are the last figures; asked again in 5 s\n", safe ? safe : "no answer");
        (void)fputc('\n', out);
}

static void top_print(FILE *out, Top *t, const json_t *failure) {
        size_t lines = t->screen ? terminal_lines() : SIZE_MAX, hosts = 0, kills;
        size_t most = SIZE_MAX;

        if (t->screen) {
                kills = MIN_OF(json_array_size(t->events), (size_t)KILLS_MOST);
                hosts = t->options->all_hosts ? MIN_OF(json_array_size(t->hosts), (size_t)HOSTS_MOST) : 0;
                most = lines > LINES_AROUND + hosts + kills ? lines - LINES_AROUND - hosts - kills : 1;
        }
        title_print(out, t, failure);
        if (t->options->all_hosts) {
                (void)hosts_print(out, &t->terminal, t->hosts, t->screen ? HOSTS_MOST : SIZE_MAX);
                (void)fputc('\n', out);
        }
        runs_sort(t->runs);
        (void)runs_print(out, &t->terminal, t->runs, t->options->all_hosts, most);
        if (json_array_size(t->runs) > most)
                (void)fprintf(out, "and %zu more: scidexctl list%s\n", json_array_size(t->runs) - most,
                        t->options->all_hosts ? " --all-hosts" : "");
        (void)fputs("\nLast kills\n", out);
        (void)events_print(out, &t->terminal, t->events, t->options->all_hosts, KILLS_MOST);
}

/* In one write, so that no half of it is seen. Line ends are the terminal's own: output is processed as ever. */
static void top_draw(Top *t, const json_t *failure) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        if (!out)
                return;
        t->terminal = terminal_probe(t->options->no_colour);
        top_print(out, t, failure);
        if (fclose(out) != 0)
                return;
        (void)fputs(t->screen ? SCREEN_HOME : "", stdout);
        (void)fputs(text, stdout);
        (void)fflush(stdout);
}

/* Whether a key says that it is enough. A terminal that is gone says so too. */
static bool keys_end_it(void) {
        char keys[64];
        ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

        if (n <= 0)
                return n == 0 || (errno != EINTR && errno != EAGAIN);
        return memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n) || memchr(keys, 3, (size_t)n);
}

/* Until there is something new, or 5 s. 0, 1: it is to end; a connection that hung up is noticed when it is asked. */
static int top_wait(Top *t, bool listening) {
        uint64_t until = usec_add(clock_boottime_usec(), REFRESH_USEC);

        for (;;) {
                struct pollfd ready[] = { { .fd = t->signals, .events = POLLIN },
                        { .fd = STDIN_FILENO, .events = POLLIN },
                        { .fd = listening ? t->source.fd : -EBADF, .events = POLLIN } };
                uint64_t left = usec_sub(until, clock_boottime_usec());
                int n = poll(ready, ELEMENTSOF(ready),
                        listening ? SOURCE_DATABASE_MSEC : (int)(left / USEC_PER_MSEC) + (left > 0));

                if (n < 0 && errno != EINTR)
                        return 1;
                if (n < 0) {
                        top_draw(t, NULL); /* of another size */
                        continue;
                }
                if (ready[0].revents || (ready[1].revents && keys_end_it()))
                        return 1;
                if (n == 0 || ready[2].revents)
                        return 0;
        }
}

/* Asks to be told, waits for that or a key, and takes the answer. 0, 1: it is to end. */
static int top_listen(Top *t) {
        _cleanup_(json_decrefp) json_t *request = message_request("listen");
        _cleanup_(message_deinit) Message message = MESSAGE_NONE;
        int r;

        if (!t->is_open)
                return top_wait(t, false);
        if (!request || json_object_set_new(request, "timeout_usec", json_integer(REFRESH_USEC)) < 0)
                return 1;
        r = message_send(t->source.fd, request, NULL, 0);
        if (r == 0 && top_wait(t, true) != 0)
                return 1;
        if (r == 0)
                r = message_receive(t->source.fd, &message);
        if (r != 0 || !json_is_true(json_object_get(message.body, "ok"))) {
                source_deinit(&t->source);
                t->is_open = false;
        }
        return 0;
}

static void on_window(int number) {
        (void)number; /* poll(2) returns, which is all that is wanted */
}

static int screen_begin(Top *t) {
        struct sigaction window = { .sa_handler = on_window };
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &t->before) < 0)
                return -errno;
        raw = t->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* a stopped one would leave the terminal as it is */
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        (void)sigaction(SIGWINCH, &window, NULL);
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
                return -errno;
        t->screen = true;
        (void)fputs(SCREEN_BEGIN, stdout);
        return 0;
}

static int block_signals(Top *t) {
        static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
        sigset_t set;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(ends); i++)
                (void)sigaddset(&set, ends[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        t->signals = signalfd(-1, &set, SFD_CLOEXEC);
        return t->signals < 0 ? -errno : 0;
}

static bool is_interrupted(const Top *t) {
        struct pollfd ready = { .fd = t->signals, .events = POLLIN };

        return poll(&ready, 1, 0) > 0;
}

/* Once, for a file or a program. */
static int top_once(Top *t) {
        _cleanup_(json_decrefp) json_t *failure = top_look(t), *result = NULL;

        if (failure)
                return answer_report_failure(t->options, failure);
        if (!t->options->json) {
                top_draw(t, NULL);
                return CTL_OK;
        }
        runs_sort(t->runs);
        result =
                json_pack("{s:b, s:O*, s:O, s:O}", "ok", true, "hosts", t->hosts, "runs", t->runs, "events", t->events);
        return result && json_print(result) == 0 ? CTL_OK : CTL_NO_ANSWER;
}

int verb_top(const Options *options, const Terminal *terminal) {
        _cleanup_(top_deinit)
                Top t = { .options = options, .terminal = *terminal, .source = SOURCE_NONE, .signals = -EBADF };
        _cleanup_(json_decrefp) json_t *failure = NULL;
        int r;

        if (options->json || !isatty(STDOUT_FILENO) || !isatty(STDIN_FILENO))
                return top_once(&t);
        r = block_signals(&t);
        if (r == 0)
                failure = top_look(&t); /* who never answered is no table to look at */
        if (failure)
                return is_interrupted(&t) ? CTL_OK : answer_report_failure(options, failure);
        if (r == 0)
                r = screen_begin(&t);
        if (r < 0) {
                failure = answer_failed("failed", NULL, "setting the terminal up: %s", strerror(-r));
                return answer_report_failure(options, failure);
        }
        do {
                top_draw(&t, failure);
                if (top_listen(&t) != 0)
                        break;
                json_decref(failure);
                failure = top_look(&t);
        } while (!is_interrupted(&t));
        return CTL_OK;
}
