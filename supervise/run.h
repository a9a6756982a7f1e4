/*
 * One run as the supervisor knows it, from the launch to the record. Plain state: what is done with it stands in
 * enforce, watch, decide and supervisor.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "base/uuid.h"
#include "cgroup/group.h"
#include "cgroup/usage.h"
#include "supervise/decide.h"
#include "supervise/request.h"
#include "supervise/timeline.h"
#include <sys/queue.h>
#include <systemd/sd-event.h>

#define KILL_PROCESSES_MAX 64 /* listed in an event; their number stands beside the list */

typedef enum Enforcement {
        ENFORCEMENT_KERNEL,
        ENFORCEMENT_SAMPLED,
} Enforcement;

/* Who is alive in a run: what an event lists. */
typedef struct ProcessList {
        json_t *list; /* owned; at most KILL_PROCESSES_MAX of {pid, comm, rss_bytes}; NULL before the first look */
        size_t count; /* of all; beyond the list those on their way out are in it */
} ProcessList;

/* What a group was charged with, in bytes; USAGE_UNKNOWN. */
typedef struct Charge {
        uint64_t memory_bytes, anon_bytes, file_bytes, shmem_bytes;
} Charge;

/* One kill, from the decision to the committed event. Realtimes in microseconds, 0: not (yet). */
typedef struct Kill {
        Uuid event_id; /* "" when no kill was begun */
        unsigned seq;
        Verdict reason;
        char *detail; /* owned */
        uint64_t decided_at, term_at, kill_at, empty_at;
        uint64_t grace_end_usec; /* BOOTTIME */
        size_t term_processes;
        ProcessList processes;
        Charge charge; /* at the decision */
        uint64_t private_bytes, shared_bytes;
        bool by_kernel;
        bool sent; /* to the recorder */
        bool committed;
} Kill;

/* Extra state of a run whose memory is sampled, or that thrashes. */
typedef struct Watch {
        uint64_t next_look_usec; /* sampled: BOOTTIME of the next look */
        uint64_t look_cost_usec; /* how long the last one took */
        bool has_turn;           /* next_look_usec is its turn among the looks that take long */
        uint64_t rss_bytes;      /* sum at the last look */
        uint64_t private_bytes;  /* what decide() is told: exact where RSS is above the limit, else that or the sum */
        uint64_t peak_bytes;     /* highest private_bytes seen */
        uint64_t exact_bytes;    /* the last exact figure, and how long it took to get */
        uint64_t exact_cost_usec;
        uint64_t exact_rss_bytes, exact_at_usec; /* the sum and BOOTTIME then */
        uint64_t summed_at_usec;                 /* BOOTTIME of the last sum */
        uint64_t max_events;                     /* memory.events.local `max` at the last look */
        uint64_t *stall_totals;                  /* owned; `full` totals at the last steps, NULL when not armed */
        unsigned stall_n;                        /* of them */
        unsigned stall_quiet;                    /* steps in which `max` stood still */
        uint64_t stall_max_events;               /* at the last step */
        uint64_t stall_next_usec;                /* BOOTTIME of the next step, USEC_INFINITY when not armed */
        uint64_t stall_usec;                     /* within the last window, once one is whole */
        uint64_t stall_window_usec;
} Watch;

struct Supervisor;
typedef struct Run Run;
struct Run {
        LIST_ENTRY(Run) link;
        TAILQ_ENTRY(Run) sent_link;    /* while its event is sent and not committed */
        struct Supervisor *supervisor; /* borrowed */
        Uuid id;
        RunRequest request; /* owned */
        uid_t uid;
        Phase phase;
        Enforcement enforcement;
        LimitsKept kept;
        Group group; /* owned; fd < 0: containment by descendants */
        Run *outer;  /* borrowed; NULL: not nested */
        unsigned n_inner;
        bool has_leaf; /* its processes were moved into a leaf below the group */

        uint64_t launched_at, launched_usec, deadline_usec; /* realtime; BOOTTIME */
        uint64_t ended_at, ended_usec;
        uint64_t left_at,
                left_usec; /* when its launcher saw the end while there was no supervisor, 0: it did not say */

        pid_t launcher_pid;
        uint64_t launcher_start_ticks;
        int launcher_pidfd;               /* owned; only while no connection stands for it */
        sd_event_source *launcher_source; /* owned */
        void *client;                     /* borrowed; the launcher's connection, NULL */

        /* Of one that ran before it was registered. It has no launcher. */
        bool registered, letting_go;
        uid_t registered_by;
        char *origin; /* owned; the cgroup it came from, as /proc/PID/cgroup had it */

        pid_t pid;
        uint64_t start_ticks;
        int pidfd;                    /* owned; of the main process, -EBADF before it is reported */
        sd_event_source *main_source; /* owned; pidfd readable */
        char comm[16];
        bool main_exited, status_known;
        int wait_status, exec_errno, forwarded;

        bool cancel_asked, launcher_gone;
        bool backstop;       /* the launcher has killed it at its deadline, because no supervisor did */
        char *cancel_detail; /* owned */
        Verdict outer_reason;
        char *outer_detail; /* owned */
        bool setting;       /* its memory limit was changed, and the kernel may not have the new one yet */
        bool warned;
        uint64_t warned_at; /* REALTIME, 0: never */

        Usage usage;                 /* the last look */
        uint64_t private_peak_bytes; /* highest anon+shmem seen */
        ProcessList processes;       /* of the last look that listed them */
        ProcessList found_dead;      /* by the launcher, of SIGKILL */
        Timeline timeline;
        Watch watch;

        Kill kill;
        Verdict verdict;
        const char *verdict_detail; /* static, kill.detail or end_detail */
        char *end_detail;           /* owned; as an earlier supervisor wrote it down, else NULL */
        bool end_saved;             /* in the group's attributes: it can't change any more */

        sd_event_source *timer;              /* owned; the next deadline of any kind */
        uint64_t timer_fired_usec;           /* BOOTTIME */
        int events_memory, events_populated; /* inotify watches, -1 none */
        uint64_t next_retry_usec;            /* killing, removing: BOOTTIME of the next try */
        unsigned n_retries;
        uint64_t settle_since_usec; /* leftovers: BOOTTIME of the first look that found some, 0: none seen */
        bool reply_owed;            /* the launcher waits for the end */
        bool replied;
        bool announced;          /* its row in watchdog_processes is sent */
        uint64_t told_usec;      /* BOOTTIME of its last sample for the mirror */
        uint64_t launch_usec;    /* from the request to the started process; USEC_INFINITY: not known */
        bool row_sent, row_lost; /* tried; the recorder's queue could not take it */
        uint64_t reply_by_usec;  /* BOOTTIME: the launcher is told then even if the record is not written */
};

/* A fresh run. 0 or -ENOMEM. The request is taken over. */
int run_new(RunRequest *request, uint64_t now_realtime, uint64_t now_boottime, Run **ret);
void run_free(Run *run);
DEFINE_CLEANUP(Run *, run_free);

static inline bool run_is_grouped(const Run *run) {
        return run->group.fd >= 0;
}
static inline bool run_lives(const Run *run) {
        return run->phase < PHASE_ENDING;
}
static inline bool run_has_kill(const Run *run) {
        return run->kill.event_id.text[0] != '\0';
}

/*
 * The name of a run's group, for people: the analysis id with everything but letters, digits, '-' and '_' made '_', at
 * most RUN_GROUP_ANALYSIS_MAX bytes of it, and the short id: "SDA-42-7c1e90ab", "run-7c1e90ab" without one. Nobody
 * reads a run out of it: that stands in the group's attributes. NULL on OOM; caller frees.
 */
#define RUN_GROUP_ANALYSIS_MAX 40
char *run_group_name(const Run *run);
/* Whether a directory of that name can be one that we have made: such a name, or a whole run id. */
bool run_group_name_is_ours(const char *name);

Charge run_charge(const Usage *usage);
/* What decide() is to know at now_usec. */
Situation run_situation(const Run *run, uint64_t now_usec);
/* What decide_verdict() is to know. */
Ending run_ending(const Run *run);
void process_list_deinit(ProcessList *list);
