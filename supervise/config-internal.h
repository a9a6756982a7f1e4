/* What the files of the configuration share: config.c (where it is read from), config-text.c (lines), config-keys.c
 * (what they mean), config-names.c (users and groups). */
#pragma once

#include "supervise/config.h"

/* Where a value stands. All borrowed. */
typedef struct ConfigPlace {
        const char *file; /* or the variable's name */
        unsigned line;    /* 0: a variable */
        const char *section, *key, *value;
} ConfigPlace;

/* The reason is taken over. A finding that can't be noted is -ENOMEM, else 0. */
int config_find(ConfigFindings *findings, bool is_error, const ConfigPlace *place, char *reason, const char *remedy);

/*
 * Calls set() for each KEY = VALUE of an INI text, notes what is no such line. set() returns 0 or an error that ends
 * the reading. 0 or that error.
 */
typedef int (*ConfigSet)(const ConfigPlace *place, void *userdata);
int config_read_text(const char *file, const char *text, ConfigSet set, void *userdata, ConfigFindings *findings);

/* Takes one value over; an empty one takes back what was set before. 0 (also where it is wrong: noted), -ENOMEM. */
int config_set(Config *config, const Config *built_in, const ConfigPlace *place, ConfigFindings *findings);
/* The variables SCIDEX_<SECTION>_<KEY> that are set, in the order of the table. 0 or -ENOMEM. */
int config_read_environment(Config *config, const Config *built_in, ConfigFindings *findings);
/* Whether what is wrong there could leave users more than the admin wants. */
bool config_place_binds(const char *section);

/* A user or a group, by name or by number. */
typedef struct ConfigName {
        const char *name; /* borrowed */
        bool is_group;
        enum {
                NAME_OPEN, /* not asked for yet */
                NAME_FOUND,
                NAME_UNKNOWN, /* there is none */
                NAME_LATE,    /* the name service gave no answer */
        } state;
        uint32_t id;
} ConfigName;

/* Fills state and id of each. */
void config_resolve(ConfigName *names, size_t n_names);
/*
 * Users and groups become numbers: names that nobody has are noted, users are complete then (what a section leaves open
 * is as for everybody). 0 or -ENOMEM.
 */
int config_find_names(Config *config, ConfigFindings *findings);

/* config-keys.c knows which keys there are, config-values.c how their values are written. */
typedef enum ConfigKind {
        KIND_SIZE,
        KIND_TIME,
        KIND_COUNT,
        KIND_TEXT,
        KIND_NAME,
        KIND_SQLITE,
        KIND_HISTORY,
        KIND_CMDLINE,
        KIND_LISTEN,
        KIND_HOSTS,
        KIND_YES_NO,
} ConfigKind;

#define NO_CAP CAP_MAX_

typedef struct ConfigKey {
        const char *section, *key;
        ConfigKind kind;
        size_t offset;
        uint64_t least, most; /* of a number; infinity is judged too */
        Cap cap;              /* NO_CAP: it is none */
        const char *range;    /* what is wrong with a number beyond these, and what to write */
        const char *remedy;
} ConfigKey;

/* One value on its way into its place. */
typedef struct ConfigSetting {
        Config *config;
        const ConfigKey *key;
        const ConfigPlace *place;
        ConfigFindings *findings;
        void *at;
} ConfigSetting;

/* Takes the value over, or notes what is wrong with it; an empty one takes back what was set before. 0 or -ENOMEM. */
int config_take_value(const ConfigSetting *setting, const Config *built_in);
/* The reason is taken over. 0 or -ENOMEM. */
int config_wrong(const ConfigSetting *setting, char *reason, const char *remedy);
bool config_name_is_possible(const char *name);
/* Where something is written down, for the words of a refusal; the Config owns it. NULL on OOM. */
const char *config_keep_place(Config *config, const ConfigPlace *place);
