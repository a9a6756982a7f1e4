/*
 * Lines on stderr. Only cmd/ and supervise/supervisor.c call it: libraries return errors.
 *
 * Each line is one write(2), so that lines of several processes do not mix, and it is escaped: analysis ids and
 * process names are written by others, and a newline in one would forge a line of ours. Under systemd stderr is a
 * socket of the journal, named by $JOURNAL_STREAM (systemd.exec(5)); the variable is inherited, so it counts only if
 * stderr still is that very socket.
 */
#include "base/log.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/parse.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define SHORT_ID_DIGITS 8

static const char *log_program = "scidex";
static LogLevel log_maximum = LOG_LEVEL_INFO;
static bool log_to_journal;

static bool stderr_is_journal(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        _cleanup_(freep) char *own = NULL;
        struct stat st;

        if (!stream || fstat(STDERR_FILENO, &st) < 0)
                return false;
        own = text_printf("%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        return own && strcmp(own, stream) == 0;
}

void log_open(const char *program, LogLevel maximum) {
        log_program = program;
        log_maximum = maximum;
        log_to_journal = stderr_is_journal();
}

static void write_line(LogLevel level, const char *about, const char *message) {
        _cleanup_(freep) char *text = text_printf("%s%s", about, message);
        _cleanup_(freep) char *escaped = text ? text_escape(text) : NULL;
        _cleanup_(freep) char *line = NULL;

        if (escaped)
                line = log_to_journal ? text_printf("<%d>%s\n", (int)level, escaped)
                                      : text_printf("%s: %s\n", log_program, escaped);
        /* Nobody is left to be told that stderr is gone or that memory is. */
        if (line && write(STDERR_FILENO, line, strlen(line)) < 0)
                return;
}

void log_line(LogLevel level, const char *format, ...) {
        _cleanup_(freep) char *message = NULL;
        int saved = errno, r;
        va_list ap;

        if (level > log_maximum)
                return;
        va_start(ap, format);
        r = vasprintf(&message, format, ap);
        va_end(ap);
        if (r >= 0)
                write_line(level, "", message);
        else
                message = NULL;
        errno = saved;
}

/* "[7c1e90ab SDA-42] ": the last digits of the run id, as people see it everywhere. */
static char *format_about(const char *run_id, const char *analysis_id) {
        size_t length = run_id ? strlen(run_id) : 0;
        const char *digits = length > SHORT_ID_DIGITS ? run_id + length - SHORT_ID_DIGITS : run_id;

        if (length == 0)
                return analysis_id ? text_printf("[%s] ", analysis_id) : strdup("");
        return text_printf("[%s%s%s] ", digits, analysis_id ? " " : "", analysis_id ? analysis_id : "");
}

void log_run(LogLevel level, const char *run_id, const char *analysis_id, const char *format, ...) {
        _cleanup_(freep) char *message = NULL, *about = NULL;
        int saved = errno, r;
        va_list ap;

        if (level > log_maximum)
                return;
        va_start(ap, format);
        r = vasprintf(&message, format, ap);
        va_end(ap);
        if (r < 0)
                message = NULL;
        about = format_about(run_id, analysis_id);
        if (message && about)
                write_line(level, about, message);
        errno = saved;
}
