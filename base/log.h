/*
 * One line per change of state. Only cmd/ and the wiring of supervise/ call it: libraries return errors.
 *
 * Lines go to stderr, prefixed with the program's name, or with "<N>" where stderr is the journal (sd-daemon(3)). After
 * log_open_journal() they go to the journal itself, with PRIORITY, SYSLOG_IDENTIFIER, SCIDEX_RUN_ID and
 * SCIDEX_ANALYSIS_ID as fields, and never wait (journal.h).
 */
#pragma once

#include "base/journal.h"

typedef enum LogLevel {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
} LogLevel;

/* Program name as in messages, and the most verbose level that is written. */
void log_open(const char *program, LogLevel maximum);
/* From here on to the journal's native socket, if stderr is the journal and it has one; else nothing changes. */
void log_open_journal(void);
void log_open_journal_at(const char *path);
void log_line(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same about a run: "[short analysis] …"; analysis_id may be NULL. */
void log_run(LogLevel level, const char *run_id, const char *analysis_id, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
/* The same with further fields for the journal: MESSAGE_ID and what else explains it. The line's own are added to it.
 */
void log_entry(LogLevel level, JournalEntry *entry, const char *run_id, const char *analysis_id, const char *format,
        ...) __attribute__((format(printf, 5, 6)));
