/* Between life.c (looking), act.c (acting), ending.c (the end) and watching.c (inotify). */
#pragma once

#include "base/clock.h"
#include "supervise/story.h"
#include "supervise/supervisor-internal.h"

#define LIFE_STATUS_WAIT_USEC \
        USEC_PER_SEC /* for the exit status of a killed run, from a launcher that may be stopped */

#define LIFE_MANY_TRIES 9 /* about 10 s of kills or rmdirs: say that it does not work, go on */

/* Reads what a decision rests on: counters, and where memory is sampled its exact sum. */
void life_sample_now(Run *run);
/* Kill, rmdir: the next try, later each time. */
void life_retry_later(Run *run, uint64_t now_usec);

/* Listens to a file of the run's group. Watch descriptor or -errno. */
int watching_add(Supervisor *s, Run *run, const char *file);
/* *watch becomes -1. */
void watching_remove(Supervisor *s, int *watch);

/* Asks decide() and does what it says. */
void act_decide(Supervisor *s, Run *run, uint64_t now_usec);
/* Event id, marker, list of processes, last sample; nothing is sent. */
void act_begin(Supervisor *s, Run *run, const Decision *d, bool by_kernel, uint64_t now_usec);
/* Listens for the end of its last process, where it has a group. */
void act_wait_for_empty(Supervisor *s, Run *run);
/* The journal hears of it: what, and why. */
void act_tell_kill(StoryKind kind, const Run *run, const char *what);
/* Nested runs learn that their outer run is being ended. */
void act_tell_inner(Supervisor *s, Run *outer);

/* The group is empty: last look, and what the kernel has done is recorded as a kill. */
void ending_begin(Supervisor *s, Run *run, uint64_t now_usec);
/* Whether the exit status is still to be hoped for: the launcher is there and has not told it. */
bool ending_status_is_due(const Run *run, uint64_t now_usec);
/* Everything that is owed once a run is over. True when nothing is any more. */
bool ending_settle(Supervisor *s, Run *run, uint64_t now_usec);
/* Frees the run. */
void ending_remove(Supervisor *s, Run *run);
