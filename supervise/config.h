/*
 * The configuration: what an admin (or a user, for a private supervisor) has written down, and what it means for a run
 * that is asked for.
 *
 * Read at the start and again on reload; between these nothing of it changes. docs/man/scidex-supervisor.conf.5.scd
 * names every key.
 */
#pragma once

#include "base/cleanup.h"
#include "supervise/request.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CONFIG_EXIT_INVALID 78          /* EX_CONFIG of sysexits.h: --check-config has found something */
#define CONFIG_NO_GROUP     ((gid_t)-1) /* a group that does not exist: nobody is in it */
#define CONFIG_SYSTEM_FILE  "/etc/scidex/supervisor.conf"
#define CONFIG_UNLIMITED    UINT64_MAX

/* What was not asked for is set to these; the built-in ones are request_init()'s. */
typedef struct RunDefaults {
        uint64_t memory_bytes, swap_bytes, timeout_usec, grace_usec, pids, thrash_usec;
} RunDefaults;

typedef enum Cap {
        CAP_RUNS,
        CAP_MEMORY_TOTAL,
        CAP_MEMORY,
        CAP_TIMEOUT,
        CAP_MAX_,
} Cap;

/* The most that one user may have; CONFIG_UNLIMITED: no cap. */
typedef struct UserCaps {
        uint64_t runs_max;               /* runs at once, nested ones too */
        uint64_t memory_total_max_bytes; /* memory and swap limits of all of the user's outermost runs together */
        uint64_t memory_max_bytes;       /* memory and swap limit of one run */
        uint64_t timeout_max_usec;       /* wall-clock limit of one run, with what its grace is above the default */
        const char *set_in[CAP_MAX_];    /* borrowed of the Config: "FILE:LINE" or a variable's name; NULL: no cap */
} UserCaps;

#define USER_CAPS_NONE ((UserCaps){ CONFIG_UNLIMITED, CONFIG_UNLIMITED, CONFIG_UNLIMITED, CONFIG_UNLIMITED, { NULL } })

/* What one user has at this moment, without the run that is asked about. */
typedef struct UserUsage {
        uint64_t runs;         /* alive, nested ones too */
        uint64_t memory_bytes; /* sum of the memory and swap limits of the outermost ones; UINT64_MAX: one has none */
} UserUsage;

typedef enum RecordCmdline {
        RECORD_CMDLINE_FULL,
        RECORD_CMDLINE_ARGV0,
        RECORD_CMDLINE_NO,
} RecordCmdline;

typedef struct ConfigUser {
        char *name;         /* owned; as it was written */
        const char *set_in; /* as those of the caps */
        uid_t uid;          /* -1 in a user's own configuration */
        UserCaps caps;
        bool has[CAP_MAX_]; /* which of them are the user's own; the others are those of everybody */
} ConfigUser;

typedef struct Config {
        bool system;          /* of the system's supervisor; a user's own otherwise */
        RunDefaults defaults; /* [limits] */
        UserCaps caps;        /* [limits], of ordinary users */
        ConfigUser *users;    /* owned; [user NAME] */
        size_t n_users;
        char *group_name, *admin_group_name;           /* owned; [users] */
        const char *group_set_in, *admin_group_set_in; /* as those of the caps; NULL: built in */
        gid_t group, admin_group;                      /* CONFIG_NO_GROUP: it does not exist, so only root may */
        char *postgres;                                /* owned; [storage], NULL: no PostgreSQL */
        char *sqlite;                                  /* owned; directory of the record, NULL: the usual one */
        uint64_t history_usec, history_bytes;          /* CONFIG_UNLIMITED: for ever */
        RecordCmdline record_cmdline;
        char *http_listen; /* owned; [http] "ADDRESS:PORT", "[V6]:PORT", "/PATH", blanks between them; NULL: no HTTP */
        char *http_hosts;  /* owned; further names that a Host header may have, blanks between them; NULL: none */
        bool http_analysis_ids;
        /*
         * Owned; a sentence with file, line and remedy, NULL when all is well. Something in [limits], [users] or [user
         * NAME] can't be used, so what an ordinary user may have is not known: launches of everybody but admins (in a
         * user's own supervisor: of everybody) are refused with it. What runs is supervised as ever.
         */
        char *closed;
        char **files; /* owned; those that were read, in their order */
        size_t n_files;
        char **texts; /* owned; what the set_in of the caps point to */
        size_t n_texts;
} Config;

/* One thing that is wrong, or odd, in the configuration. All texts owned, any may be NULL. */
typedef struct ConfigFinding {
        bool is_error; /* else only odd: an unknown key, a group that is missing */
        char *file;    /* path, or the variable's name */
        unsigned line; /* 0: the file as a whole, or a variable */
        char *section, *key, *value;
        char *reason, *remedy;
} ConfigFinding;

typedef struct ConfigFindings {
        ConfigFinding *list; /* owned */
        size_t n, n_errors;
} ConfigFindings;

/*
 * Reads path, or with NULL the usual place (system: CONFIG_SYSTEM_FILE; else $XDG_CONFIG_HOME/scidex/supervisor.conf;
 * none there is no error), then the files PATH.d/?*.conf in the order of their names, then the environment
 * (SCIDEX_<SECTION>_<KEY>). Later ones win.
 *
 * 0 also when something is wrong: *ret (owned, config_free()) then has the built-in value in place of what is wrong,
 * `closed` where that could be too lax, and ret_findings->n_errors is not 0. So a broken file never keeps limits from
 * being enforced. The caller logs the findings; at the start it goes on with *ret, on reload it keeps the configuration
 * it has when n_errors is not 0, and --check-config prints them. -ENOMEM.
 *
 * Resolves names: local files first, the name service (in a child, for at most 2 s) for what is not there.
 */
int config_load(const char *path, bool system, Config **ret, ConfigFindings *ret_findings);
/* The built-in values. -ENOMEM. */
int config_new(bool system, Config **ret);
void config_free(Config *config);
DEFINE_CLEANUP(Config *, config_free);
void config_findings_deinit(ConfigFindings *findings);
/* "FILE:LINE: [SECTION] KEY = "VALUE": REASON; REMEDY", one line. NULL on OOM. Caller frees. */
char *config_finding_text(const ConfigFinding *finding);

/* How much of the record is kept, as scidex-recorder takes it: "2592000000000us,1048576K". NULL on OOM. Caller frees.
 */
char *config_history_text(const Config *config);

/*
 * The caps of a user: their own, for the others those of everybody. Valid as long as the Config. It does not know who
 * is an admin: the caller takes USER_CAPS_NONE for one (in a user's own supervisor caps bind the owner too, as a
 * guard).
 */
UserCaps config_caps(const Config *config, uid_t uid);

/* A cap forbids it (config_admit(), config_admit_change()): refuse with the code `denied`. */
#define CONFIG_E_ABOVE_CAP 1

/*
 * Whether a run may be launched, and with what. Members that are not in request->given get the defaults; a default
 * above a cap shrinks to it; what was given above a cap is refused, never changed. Then every member is given, and the
 * request is validated as a whole. nested: its memory lies within the outer run's, so the total is not looked at.
 *
 * Pure. 0; CONFIG_E_ABOVE_CAP or -EINVAL (makes no sense together) with *ret_error filled: the message names the limit,
 * the cap and where it is set, the hint what to write or whom to ask; -ENOMEM. The request is not to be used then.
 */
int config_admit(const Config *config, const UserCaps *caps, const UserUsage *usage, bool nested, RunRequest *request,
        RequestError *ret_error);

/*
 * Whether a live run may change from before to after (`set`): only what grows is held against the caps, so that a run
 * may always be made smaller. usage: without this run. Returns as config_admit().
 */
int config_admit_change(const Config *config, const UserCaps *caps, const UserUsage *usage, bool nested,
        const RunRequest *before, const RunRequest *after, RequestError *ret_error);
