/* Command line of scidex-run. */
#pragma once

#include "supervise/request.h"
#include <stdbool.h>

#define RUN_EXIT_FAILED         125 /* scidex-run itself failed */
#define RUN_EXIT_NOT_EXECUTABLE 126
#define RUN_EXIT_NOT_FOUND      127

typedef struct RunOptions {
        RunRequest request; /* owned */
        char **command;     /* borrowed of argv, NULL-terminated */
        const char *report; /* borrowed; path, NULL: none */
        bool quiet, verbose, private_only;
} RunOptions;

/* 0; 1: --help or --version has been answered; -EINVAL: said on stderr what is wrong, why, and what to write. */
int run_options_parse(int argc, char **argv, RunOptions *ret);
void run_options_deinit(RunOptions *options);

/* "scidex-run: …\n" on stderr in one write. */
void run_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
