/*
 * Lines on stderr, or entries of the journal. Only cmd/ and the wiring of supervise/ call it: libraries return errors.
 *
 * Each line is one write(2), so that lines of several processes do not mix, and it is escaped: analysis ids and
 * process names are written by others, and a newline in one would forge a line of ours. Under systemd stderr is a
 * socket of the journal, named by $JOURNAL_STREAM (systemd.exec(5)); the variable is inherited, so it counts only if
 * stderr still is that very socket. A program that must never wait opens the journal's native socket (journal.c) once
 * it is up: a write to the stream would wait when journald hangs, and so would sd_journal_sendv(). Not before, and the
 * others not at all: of a datagram journald asks /proc who has sent it, and the last words of a process that has ended
 * since belong to no unit.
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

#define SHORT_ID_DIGITS   8
#define JOURNAL_SOCKET    "/run/systemd/journal/socket"
#define MESSAGE_MAX_BYTES 2048 /* of an entry: the fields have room beside it */

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
        journal_close();
}

void log_open_journal_at(const char *path) {
        if (log_to_journal)
                (void)journal_open(path);
}

void log_open_journal(void) {
        log_open_journal_at(JOURNAL_SOCKET);
}

static void write_stderr(LogLevel level, const char *text) {
        _cleanup_(freep) char *line =
                log_to_journal ? text_printf("<%d>%s\n", (int)level, text) : text_printf("%s: %s\n", log_program, text);

        /* Nobody is left to be told that stderr is gone or that memory is. */
        if (line && write(STDERR_FILENO, line, strlen(line)) < 0)
                return;
}

/* "[7c1e90ab SDA-42] ": the last digits of the run id, as people see it everywhere. */
static char *format_about(const char *run_id, const char *analysis_id) {
        size_t length = run_id ? strlen(run_id) : 0;
        const char *digits = length > SHORT_ID_DIGITS ? run_id + length - SHORT_ID_DIGITS : run_id;

        if (length == 0)
                return analysis_id ? text_printf("[%s] ", analysis_id) : strdup("");
        return text_printf("[%s%s%s] ", digits, analysis_id ? " " : "", analysis_id ? analysis_id : "");
}

static void write_entry(LogLevel level, JournalEntry *entry, const char *run_id, const char *analysis_id, char *text) {
        size_t length = strlen(text);

        if (length > MESSAGE_MAX_BYTES) {
                length = MESSAGE_MAX_BYTES; /* not in the middle of a character: journalctl would show none of it */
                while (length > 0 && ((unsigned char)text[length] & 0xc0) == 0x80)
                        length--;
                text[length] = '\0';
        }
        journal_text(entry, "MESSAGE", text);
        journal_u64(entry, "PRIORITY", level);
        journal_text(entry, "SYSLOG_IDENTIFIER", log_program);
        journal_text(entry, "SCIDEX_RUN_ID", run_id);
        journal_text(entry, "SCIDEX_ANALYSIS_ID", analysis_id);
        (void)journal_send(entry);
}

/* entry: NULL or what its caller has put into it. */
static void __attribute__((format(printf, 5, 0))) write_line(LogLevel level, JournalEntry *entry, const char *run_id,
        const char *analysis_id, const char *format, va_list ap) {
        _cleanup_(freep) char *about = NULL, *message = NULL, *text = NULL, *escaped = NULL;
        int saved = errno;
        JournalEntry own;

        if (level > log_maximum)
                return;
        if (vasprintf(&message, format, ap) < 0)
                message = NULL;
        about = format_about(run_id, analysis_id);
        text = about && message ? text_printf("%s%s", about, message) : NULL;
        escaped = text ? text_escape(text) : NULL;
        if (escaped && journal_is_open()) {
                if (!entry)
                        journal_clear(&own);
                write_entry(level, entry ? entry : &own, run_id, analysis_id, escaped);
        } else if (escaped) {
                write_stderr(level, escaped);
        }
        errno = saved;
}

void log_line(LogLevel level, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        write_line(level, NULL, NULL, NULL, format, ap);
        va_end(ap);
}

void log_run(LogLevel level, const char *run_id, const char *analysis_id, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        write_line(level, NULL, run_id, analysis_id, format, ap);
        va_end(ap);
}

void log_entry(
        LogLevel level, JournalEntry *entry, const char *run_id, const char *analysis_id, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        write_line(level, entry, run_id, analysis_id, format, ap);
        va_end(ap);
}
