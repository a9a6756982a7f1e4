/*
 * One line per change of state. Only cmd/ and supervise/supervisor.c call it: libraries return errors.
 *
 * Lines go to stderr, prefixed with "<N>" when stderr is the journal's socket (sd-daemon(3)), else with the program's
 * name.
 */
#pragma once

typedef enum LogLevel {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
} LogLevel;

/* Program name as in messages, and the most verbose level that is written. */
void log_open(const char *program, LogLevel maximum);
void log_line(LogLevel level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same about a run: "[short analysis] …"; analysis_id may be NULL. */
void log_run(LogLevel level, const char *run_id, const char *analysis_id, const char *format, ...)
        __attribute__((format(printf, 4, 5)));
