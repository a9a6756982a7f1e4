/*
 * The terminal as a screen.
 *
 * Called by `watch`; `top` has only the signals of it, as curses holds the terminal there.  The hard thing is that the
 * terminal has to be as it was however this ends.  So the signals that end it are blocked and read as a descriptor,
 * beside the keys, and there is one way out.
 */
#include "cmd/scidexctl/screen.h"

#include "base/cleanup.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LINES_USUAL 24 /* of a terminal that does not tell */
/* Another screen, no cursor, and long lines are cut: wrapped ones would push the first ones out. */
#define SCREEN_BEGIN "\x1b[?1049h\x1b[?25l\x1b[?7l"
#define SCREEN_END   "\x1b[?7h\x1b[?25h\x1b[?1049l"
#define SCREEN_HOME  "\x1b[H"
#define LINE_END     "\x1b[K\n"
#define SCREEN_REST  "\x1b[J"

int screen_block_signals(Screen *screen) {
        static const int wanted[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH };
        sigset_t set;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                (void)sigaddset(&set, wanted[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        screen->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return screen->signals < 0 ? -errno : 0;
}

bool screen_is_ended(const Screen *screen) {
        struct signalfd_siginfo info;

        while (read(screen->signals, &info, sizeof(info)) == sizeof(info))
                if (info.ssi_signo != SIGWINCH)
                        return true;
        return false;
}

bool screen_is_possible(void) {
        return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
}

int screen_begin(Screen *screen) {
        struct termios raw;

        if (tcgetattr(STDIN_FILENO, &screen->before) < 0)
                return -errno;
        raw = screen->before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* a stopped one would leave the terminal as it is */
        raw.c_cc[VMIN] = 1;
        raw.c_cc[VTIME] = 0;
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
                return -errno;
        screen->shown = true;
        (void)fputs(SCREEN_BEGIN, stdout);
        return 0;
}

void screen_draw(const Screen *screen, const char *text, unsigned lines) {
        if (!screen->shown)
                return;
        (void)fputs(SCREEN_HOME, stdout);
        while (*text && lines-- > 0) {
                size_t length = strcspn(text, "\n");

                (void)fwrite(text, 1, length, stdout);
                /* The last one without its end, which would scroll. */
                (void)fputs(lines > 0 && text[length] ? LINE_END : "\x1b[K", stdout);
                text += length + (text[length] != '\0');
        }
        (void)fputs(SCREEN_REST, stdout);
        (void)fflush(stdout);
}

unsigned screen_lines(void) {
        struct winsize size;

        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 ? size.ws_row : LINES_USUAL;
}

void screen_deinit(Screen *screen) {
        if (screen->shown) {
                (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &screen->before);
                (void)fputs(SCREEN_END, stdout);
                (void)fflush(stdout);
        }
        screen->shown = false;
        screen->signals = close_fd(screen->signals);
}
