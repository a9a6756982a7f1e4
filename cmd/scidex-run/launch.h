/* One run from the launcher's side: ask, start, wait, tell. */
#pragma once

#include "cgroup/spawn.h"
#include "cmd/scidex-run/connect.h"
#include "cmd/scidex-run/options.h"
#include "control/message.h"
#include "supervise/verdict.h"
#include <signal.h>
#include <stdint.h>

/* What the launcher knows of its run. */
typedef struct Launch {
        const RunOptions *options; /* borrowed */
        RunRequest request;        /* as it was granted; its texts borrowed of options */
        Connection connection;     /* owned */
        int report_fd;             /* owned; -EBADF: none asked for */
        char *run_id;              /* owned */
        char *state_directory;     /* owned; where a private supervisor looks for a handover, NULL: the usual place */
        char **environment;        /* owned; "K=V", NULL-terminated */
        int group_fd, kill_fd;     /* owned; -EBADF without a group */
        uint64_t launched_at, launched_usec, deadline_usec;
        sigset_t mask; /* as we were started with */
        bool sigchld_ignored;
        int signal_fd;   /* owned */
        Spawned spawned; /* owned */
        bool main_reaped;
        bool exit_untold; /* the supervisor is still to be told: after tell_after_usec (BOOTTIME) */
        uint64_t tell_after_usec;
        json_t *marker;  /* owned; the kill that a supervisor had begun, read when none came back; NULL */
        json_t *killed;  /* owned; who was found dead by SIGKILL, NULL: nobody */
        size_t n_killed; /* true count */
        int wait_status, exec_errno;
        int forwarded;                 /* last signal passed on, or got with the terminal's group */
        unsigned n_asked;              /* INTs and TERMs so far; the second begins the kill */
        bool cancelled;                /* the second was told to the supervisor */
        bool backstop;                 /* we wrote cgroup.kill ourselves */
        uint64_t backstop_at;          /* realtime */
        uint64_t ended_usec, ended_at; /* of the main process */
        json_t *run, *event;           /* owned; the end as the supervisor tells it; NULL before */
        bool recorded;
        Verdict verdict;
        const char *detail; /* static */
} Launch;

/* Opens the report's file, before anything is made: a path that can't be written costs no run. 0; -errno, said on
 * stderr. */
int launch_open_report(Launch *launch);
/* Asks the supervisor for a run. 0; -errno, said on stderr. */
int launch_ask(Launch *launch);
/*
 * Takes over what a packet of the supervisor says that the run's limits are (members `request`,
 * `deadline_boottime_usec`). What is absent, as from an older supervisor, or can't be, stays as it is.
 */
void launch_take_limits(Launch *launch, const json_t *body);
/* The answer to `launch`. 0; -EBADMSG: it is none, or the group's fd is missing; -ENOMEM. */
int launch_take_answer(Launch *launch, Message *reply);
/* The run's end as a packet tells it: members `run`, `event`, `recorded`. */
void launch_take_end(Launch *launch, const json_t *body);
/* Starts the command in it. 0; -errno, said on stderr. */
int launch_start(Launch *launch);
/* Collects every child that has ended. */
void launch_reap(Launch *launch);
/* Waits for the end; launch->verdict is known then. 0 or -errno. */
int launch_wait(Launch *launch);
/* Without a supervisor: what remains is killed, the verdict decided, a handover written. */
void launch_decide_alone(Launch *launch);
/* One line on stderr, the report, and the exit status. */
int launch_finish(Launch *launch);
void launch_deinit(Launch *launch);
