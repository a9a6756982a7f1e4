/*
 * `scidexctl watch VERB`, `--watch`: a verb again and again.
 *
 * Called by main in place of the verb.  The hard thing is that a verb may wait for an answer longer than anybody wants
 * to wait for Ctrl-C.  So on a terminal each pass is a child, with its output in a memory file: the parent has the
 * terminal, the keys and the signals, and what is shown is a whole pass or the one before.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "cmd/scidexctl/ctl.h"
#include "cmd/scidexctl/screen.h"
#include "status/field.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TEXT_MOST (16U << 20) /* of one pass: more than any terminal shows */

typedef struct Watch {
        const Options *options;
        Screen screen;
        Terminal terminal;
        pid_t child; /* owned; 0: none */
        int pidfd;   /* owned */
        int output;  /* owned; of the child */
        int status;  /* of the last pass */
} Watch;

static void watch_deinit(Watch *w) {
        if (w->child > 0) {
                (void)kill(w->child, SIGKILL);
                (void)waitpid(w->child, NULL, 0);
        }
        w->pidfd = close_fd(w->pidfd);
        w->output = close_fd(w->output);
        screen_deinit(&w->screen);
}

static _Noreturn void pass_run(const Watch *w, pid_t parent) {
        sigset_t none;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        if (getppid() != parent || dup2(w->output, STDOUT_FILENO) < 0 || dup2(w->output, STDERR_FILENO) < 0)
                _exit(CTL_NO_ANSWER);
        (void)setvbuf(stderr, NULL, _IONBF, 0);
        _exit(status_after_flush(w->options->verb->run(w->options, &w->terminal)));
}

static int pass_begin(Watch *w) {
        pid_t parent = getpid();

        w->terminal = terminal_probe(w->options->no_colour);
        w->output = memfd_create("scidexctl-watch", MFD_CLOEXEC);
        if (w->output < 0)
                return -errno;
        (void)fflush(stdout); /* what is buffered is this process's to write */
        w->child = fork();
        if (w->child < 0) {
                w->child = 0;
                return -errno;
        }
        if (w->child == 0)
                pass_run(w, parent);
        w->pidfd = pidfd_open_pid(w->child);
        return w->pidfd < 0 ? w->pidfd : 0;
}

/* Its text; NULL on OOM. */
static char *pass_end(Watch *w) {
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        int status = 0;
        ssize_t n;

        while (waitpid(w->child, &status, 0) < 0 && errno == EINTR)
                ;
        w->child = 0;
        w->status = WIFEXITED(status) ? WEXITSTATUS(status) : CTL_NO_ANSWER;
        if (fstat(w->output, &st) < 0)
                return NULL;
        text = calloc(1, (size_t)MIN_OF(st.st_size, (off_t)TEXT_MOST) + 1);
        n = text ? pread(w->output, text, (size_t)MIN_OF(st.st_size, (off_t)TEXT_MOST), 0) : -1;
        w->pidfd = close_fd(w->pidfd);
        w->output = close_fd(w->output);
        return n < 0 ? NULL : TAKE_PTR(text);
}

static size_t count_lines(const char *text) {
        size_t n = 0;

        for (; *text; text += *text == '\n')
                text += strcspn(text, "\n"), n++;
        return n;
}

/* What is shown of it: a head, the text, and how much of it does not fit. */
static void watch_draw(const Watch *w, const char *text) {
        unsigned lines = screen_lines();
        size_t n = count_lines(text);
        char when[FORMAT_MAX], every[FORMAT_MAX];
        _cleanup_(freep) char *failed = w->status ? text_printf("  (status %d)", w->status) : NULL;
        _cleanup_(freep) char *whole =
                text_printf("%s  scidexctl %s every %s%s  (q ends%s)\n\n%s", format_when(when, clock_realtime_usec()),
                        w->options->verb->name, format_duration(every, w->options->watch_usec), failed ? failed : "",
                        n + 2 > lines ? "; there is more than fits" : "", text);

        if (whole)
                screen_draw(&w->screen, whole, lines);
}

/* Whether a key says that it is enough; any other asks for a look now. A terminal that is gone says so too. */
static bool keys_end_it(void) {
        char keys[64];
        ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

        if (n <= 0)
                return n == 0 || (errno != EINTR && errno != EAGAIN);
        return memchr(keys, 'q', (size_t)n) || memchr(keys, 'Q', (size_t)n) || memchr(keys, 3, (size_t)n);
}

typedef enum Next {
        NEXT_PASS, /* it is time, or a key was pressed */
        NEXT_TEXT, /* the pass has ended */
        NEXT_DRAW, /* the window is another */
        NEXT_END,
} Next;

static Next watch_wait(const Watch *w, uint64_t until) {
        for (;;) {
                struct pollfd ready[] = { { .fd = w->screen.signals, .events = POLLIN },
                        { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = w->pidfd, .events = POLLIN } };
                uint64_t left = usec_sub(until, clock_boottime_usec());
                int n = poll(ready, ELEMENTSOF(ready),
                        w->child > 0 ? -1 : (int)MIN_OF(left / USEC_PER_MSEC + 1, UINT64_C(3600000)));

                if (n < 0 && errno != EINTR)
                        return NEXT_END;
                if (n > 0 && ready[0].revents)
                        return screen_is_ended(&w->screen) ? NEXT_END : NEXT_DRAW;
                if (n > 0 && ready[1].revents && keys_end_it())
                        return NEXT_END;
                if (n > 0 && ready[2].revents)
                        return NEXT_TEXT;
                if (w->child == 0 && (n > 0 || clock_boottime_usec() >= until))
                        return NEXT_PASS;
        }
}

/* 0, -errno: it can't go on. */
static int watch_on_screen(Watch *w) {
        _cleanup_(freep) char *text = strdup("");
        uint64_t until = 0;
        int r = 0;

        while (r == 0 && text)
                switch (watch_wait(w, until)) {
                case NEXT_PASS:
                        until = usec_add(clock_boottime_usec(), w->options->watch_usec);
                        r = pass_begin(w);
                        break;
                case NEXT_TEXT:
                        free(text);
                        text = pass_end(w);
                        watch_draw(w, text ? text : "");
                        break;
                case NEXT_DRAW:
                        watch_draw(w, text);
                        break;
                case NEXT_END:
                        return 0;
                }
        return r < 0 ? r : -ENOMEM;
}

/* One pass after the other, for a file or a program, until whoever reads has enough. */
static int watch_in_a_row(const Options *options, const Terminal *terminal) {
        for (;;) {
                uint64_t until = usec_add(clock_boottime_usec(), options->watch_usec), now;
                char when[FORMAT_MAX];

                if (!options->json)
                        (void)printf("%s\n", format_when(when, clock_realtime_usec()));
                (void)options->verb->run(options, terminal);
                if (!options->json)
                        (void)putchar('\n');
                if (fflush(stdout) != 0 || ferror(stdout))
                        return CTL_NO_ANSWER;
                while ((now = clock_boottime_usec()) < until)
                        (void)poll(NULL, 0, (int)MIN_OF((until - now) / USEC_PER_MSEC + 1, UINT64_C(3600000)));
        }
}

int watch(const Options *options, const Terminal *terminal) {
        _cleanup_(watch_deinit)
                Watch w = { .options = options, .screen = SCREEN_NONE, .pidfd = -EBADF, .output = -EBADF };
        _cleanup_(json_decrefp) json_t *failure = NULL;
        int r;

        if (options->json || !screen_is_possible())
                return watch_in_a_row(options, terminal);
        r = screen_block_signals(&w.screen);
        if (r == 0)
                r = screen_begin(&w.screen);
        if (r == 0)
                r = watch_on_screen(&w);
        screen_deinit(&w.screen); /* what is said stays on the one that was there before */
        if (r == 0)
                return CTL_OK;
        failure = answer_failed("failed", NULL, "watching: %s", strerror(-r));
        return answer_report_failure(options, failure);
}
