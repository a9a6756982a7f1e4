/* Command line and paths of scidex-supervisor. */
#pragma once

#include "supervise/config.h"
#include "supervise/supervisor.h"
#include <string.h>

#define OPTIONS_EXIT_USAGE 64 /* EX_USAGE of sysexits.h */

typedef struct Options {
        SupervisorOptions supervisor;
        char *socket_path, *state_directory, *recorder_program, *scope_name; /* owned */
        char *config_path, *keeper_unit;                                     /* owned */
        Config *config; /* owned; as options_read_config() has found it */
        bool check_config;
        int ready_fd; /* owned; a launcher waits at it, -EBADF: none */
} Options;

/* 0; 1: --help or --version has been answered; -EINVAL: said on stderr what is wrong. */
int options_parse(int argc, char **argv, Options *ret);
/*
 * Reads the configuration into options->config and logs what is wrong with it: that is no reason not to start, since
 * what runs must be supervised (config_load()). 0; -ENOMEM.
 */
int options_read_config(Options *options);
/* --check-config: prints every finding, or what was read. The exit status: 0, or CONFIG_EXIT_INVALID. */
int options_check_config(const Options *options);
/* Fills what the command line left open, makes the directories. 0 or -errno with *ret_error a sentence. */
int options_find_paths(Options *options, char **ret_error);
/* Tells the waiting launcher "ready" (error NULL) or why not; a private supervisor then lets go of its stderr. */
void options_report(Options *options, const char *error);
void options_deinit(Options *options);
