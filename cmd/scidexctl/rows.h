/* Tables that more than one verb shows. */
#pragma once

#include "cmd/scidexctl/ask.h"

/* At most so many of the rows; hosts: with a column of the host. 0, -ENOMEM. */
int runs_print(FILE *out, const Terminal *terminal, const json_t *runs, bool hosts, size_t most);
int events_print(FILE *out, const Terminal *terminal, const json_t *events, bool hosts, size_t most);
/* The hosts that have sent anything. 0, -ENOMEM. */
int hosts_print(FILE *out, const Terminal *terminal, const json_t *hosts, size_t most);
/* How many hosts that is (a host may have several supervisors), and on how many of them one is silent. */
size_t hosts_count(const json_t *hosts, size_t *ret_silent);
/* A sentence for each host that has not been heard of, with what to do; nothing if there is none. */
void silent_hosts_print(FILE *out, const Terminal *terminal, const json_t *hosts);

/* Asks the database for a list with the filters of the command line. An answer as of source_ask(). */
json_t *rows_ask(const Source *source, const Options *options, const char *op);

/* Waits until new events are told of, or for that long. An answer with `notified`. */
json_t *rows_listen(const Source *source, uint64_t timeout_usec);

/* Those nearest to their time or memory limit first. */
void runs_sort(json_t *runs);
/* The share of its limit that a run has used, of time or memory, whichever is more; 0 where neither is known. */
double run_used(const json_t *run, uint64_t now_realtime_usec);
