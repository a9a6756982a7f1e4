/* What the supervisor's files share: supervisor.c (wiring), life.c (a run's steps), serve.c (requests), restart.c
 * (adoption). */
#pragma once

#include "cgroup/events.h"
#include "cgroup/tree.h"
#include "control/server.h"
#include "supervise/config.h"
#include "supervise/http-sockets.h"
#include "supervise/record.h"
#include "supervise/recorder.h"
#include "supervise/rows.h"
#include "supervise/run.h"
#include "supervise/supervisor.h"

struct Supervisor {
        SupervisorOptions options; /* strings borrowed */
        Config *config;            /* owned; a reload replaces it */
        sd_event *event;           /* owned */
        HostFacts host;
        Tree tree;
        TreeError tree_error;
        Server *server;     /* owned */
        Recorder *recorder; /* owned */
        Rows rows;
        int left_fd; /* owned; left.h, -EBADF: not the system's supervisor */
        GroupEvents events;
        sd_event_source *inotify, *tick, *idle; /* owned */
        sd_event_source *more;                  /* owned; the rest of a tick */
        HttpSockets http;
        sd_event_source *http_retry; /* owned; NULL: all of them stand */
        uint64_t http_backoff_usec;
        sd_event_source *samples;    /* owned; NULL: nobody has watched yet */
        uint64_t watched_until_usec; /* BOOTTIME */
        uint64_t told_round_usec;    /* BOOTTIME of the begin of a round of samples, 0: none is under way */
        uint64_t starts;             /* of a supervisor on this tree, this one counted */
        uint64_t tick_usec;          /* BOOTTIME the tick is armed for */
        uint64_t tick_cost_usec;     /* CPU time that this round has taken */
        uint64_t look_rest_usec;     /* BOOTTIME: until then the turns of looks that take long are given away */
        uint64_t tick_rest_usec;     /* BOOTTIME: no round before, so that they take their share only */
        Run *tick_run;               /* borrowed; whom this round comes to next, NULL: none is under way */
        void *watches;               /* owned; tsearch(3) tree of Watching */
        LIST_HEAD(, Run) runs;       /* newest first, as a list tells them: inserted at the head only */
        unsigned n_runs;
        TAILQ_HEAD(, Run) uncommitted; /* whose event is sent and not yet committed, in the order of sending */
        unsigned n_waiting;            /* sessions that wait for the end of a run */
        LIST_HEAD(, Session) sessions;
        LIST_HEAD(, Session) listing; /* those of them whose list is under way */
        char boot_id[37];
        char *host_name;   /* owned */
        char *record_path; /* owned; of the record socket */
        RecordHost record_host;
        uint64_t started_at;
        unsigned cpus;         /* configured ones: the most that a run can use at once */
        bool has_handovers;    /* some were found at the start: their files go when the row is committed */
        uint64_t n_foreign;    /* groups in the tree that are not ours, at the start */
        json_t *foreign_names; /* owned; of the first few, NULL: none */
        bool bound;            /* the control socket is ours, not systemd's: to be unlinked */
        bool draining;         /* every run is being ended, none is begun */
        json_t *ended;         /* owned; of a single pass: the runs that it saw the end of; else NULL */
        unsigned n_adopted;
        sd_event_source *pass; /* owned; of a single pass: looks whether it is done */
};

/* One connection, from its first request on. */
typedef struct Session {
        LIST_ENTRY(Session) link;
        Client *client;
        Run *run; /* whose launcher it is, NULL */
        bool lists;
        LIST_ENTRY(Session) listing_link;
        Run *list_next; /* borrowed; of its list, before the end: from whom on rows are still to be sent, NULL: none */
        size_t n_sent;
        Uuid waits_for;   /* "" none */
        bool waits_drain; /* to be told when no run is left */
        unsigned n_drained;
} Session;

/* life.c */
int life_add(Supervisor *s, Run *run); /* takes the run into the list and arms what it needs */
void life_main_is(
        Supervisor *s, Run *run, int pidfd); /* the main process is known; pidfd owned from here on, may be -EBADF */
/* The same for one that another supervisor knew: alive, gone, or unknown for want of an fd, till the tick tries again.
 */
void life_find_main(Supervisor *s, Run *run);
void life_look(Supervisor *s, Run *run); /* something may have changed: look, decide, act, end */
void life_soon(Supervisor *s, Run *run); /* the same from the loop, for whoever stands in the middle of another look */
void life_memory_event(Supervisor *s, Run *run);
void life_launcher_gone(Supervisor *s, Run *run);
void life_watch_launcher(Supervisor *s, Run *run); /* by pidfd, while no connection stands for it */
void life_recorded(Supervisor *s, const char *event_id);
/* Goes on with the round that begins at tick_run, until LIFE_TICK_RUNS runs were sampled. True: it is not at its end.
 */
bool life_tick(Supervisor *s, uint64_t now_usec);
#define LIFE_TICK_RUNS 8 /* then whoever else is due has its turn */
/* BOOTTIME of the earliest sample of any run, USEC_INFINITY: none lives. Walks over all of them. */
uint64_t life_next_tick_usec(const Supervisor *s);
bool watching_find(Supervisor *s, int watch, Run **ret);
void watching_deinit(Supervisor *s);

/* tick.c */
int supervisor_init_tick(Supervisor *s);
/* A sample is due then (BOOTTIME): the timer is armed for it, if it is not for an earlier one. */
void supervisor_want_tick(Supervisor *s, uint64_t sample_usec);

/* http.c */
/* Takes what the service manager has handed over under the name "http" (names may be NULL), else binds what [http]
 * listen names. */
void supervisor_open_http(Supervisor *s, int n_handed, char **names);
/* After a reload. */
void supervisor_apply_http(Supervisor *s);
/* What the recorder is to show; borrows. */
RecorderHttp supervisor_http(const Supervisor *s);

/* tidings.c */
/* One more start on this tree: their number, kept in an attribute of it. -EBADF: there is no tree, and it is the first.
 */
uint64_t tidings_count_start(int tree_fd);
void tidings_facts(Supervisor *s);   /* the supervisor's own; again when one of them has changed */
void tidings_state(const Run *run);  /* its phase is another one */
void tidings_linked(void *userdata); /* as a RecorderOptions.linked; userdata the Supervisor */
void tidings_asked(const char *op, const json_t *packet, void *userdata);

/* settings.c */
void supervisor_admit_http(const Supervisor *s);   /* the groups, at the sockets of the file system */
PeerPolicy supervisor_policy(const Supervisor *s); /* who may ask what; borrows from the configuration */
void supervisor_reload(Supervisor *s);

/* pass.c */
bool supervisor_is_single_pass(const Supervisor *s);
int supervisor_begin_pass(Supervisor *s);

/* supervisor.c */
void supervisor_take_config(Supervisor *s, Config *config); /* owned from here on, in place of the one before */
#define SUPERVISOR_DRAIN_DETAIL "shutdown"
/* From now on none is begun; detail: those that are there are ended as `cancelled` with it, NULL: they live on. */
void supervisor_drain(Supervisor *s, const char *detail);
void supervisor_check_idle(Supervisor *s);
/* Groups and caps of the configuration into the server; again after each change, before the old one is freed. */
void supervisor_apply_users(Supervisor *s);
/* Nothing runs and nothing is unwritten: tells who waits for that. */
void supervisor_check_drained(Supervisor *s);
/* A run is over: for --once, which says so. */
void supervisor_note_end(Supervisor *s, const Run *run);

/* serve.c, serve-show.c */
extern const ServerHandlers serve_handlers;
/* The end of a run, told to its launcher (once) and to who waits for it. */
void serve_reply_end(Supervisor *s, Run *run, const json_t *event, bool recorded);
void serve_tell_waiting(Supervisor *s, const Run *run);
/* Answers those who wait for the end of all runs. */
void serve_tell_drained(Supervisor *s);
/* No session refers to the run from here on: it is about to be freed. */
void serve_forget(const Supervisor *s, const Run *run);

/* restart.c */
int restart_adopt(Supervisor *s);
Run *restart_find(Supervisor *s, const char *run_id);
/* A run that ended without a supervisor, as its launcher has left it in a file. */
void restart_take_handover(Supervisor *s, const json_t *o);
void restart_forget_handover(Supervisor *s, const char *run_id);
