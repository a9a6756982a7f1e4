/* --once and --drain: one pass over all runs, by the supervisor that is there or, where there is none, by this process.
 */
#pragma once

#include "cmd/scidex-supervisor/options.h"

/*
 * Prints what was done as one line of JSON on stdout; a failure is told on stderr. Takes options->config over. The exit
 * status of the program.
 */
int pass_run(Options *options);
