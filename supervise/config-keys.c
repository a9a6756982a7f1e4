/*
 * What can be configured: one table, a line per key.
 *
 * Called for each KEY = VALUE of a file and for each variable.  A key that is not in the table is
 * odd but no error: a file may be younger than the program.  How values are written stands in config-values.c.
 */
#include "supervise/config-internal.h"

#include "base/clock.h"
#include "base/file.h"
#include <ctype.h>
#include <string.h>

#define USER_SECTION "user"
#define VARIABLE_MAX 64
#define PAGE_BYTES   UINT64_C(4096) /* less memory is no limit that the kernel knows */

#define AT(member) offsetof(Config, member)
#define NO_END     UINT64_MAX

static const ConfigKey table[] = {
        { "limits", "memory", KIND_SIZE, AT(defaults.memory_bytes), PAGE_BYTES, NO_END, NO_CAP,
                "is below one page (4096 bytes)", "write e.g. memory = 2G, or infinity for none" },
        { "limits", "swap", KIND_SIZE, AT(defaults.swap_bytes), 0, NO_END, NO_CAP, NULL, NULL },
        { "limits", "timeout", KIND_TIME, AT(defaults.timeout_usec), 1, NO_END, NO_CAP,
                "would end every run before it starts", "write e.g. timeout = 30min, or infinity for none" },
        { "limits", "grace", KIND_TIME, AT(defaults.grace_usec), 0, REQUEST_GRACE_MAX_USEC, NO_CAP, "is above 24h",
                "write e.g. grace = 10s" },
        { "limits", "pids", KIND_COUNT, AT(defaults.pids), 1, NO_END, NO_CAP, "allows no command",
                "write e.g. pids = 4096, or infinity for none" },
        { "limits", "thrash", KIND_TIME, AT(defaults.thrash_usec), 2 * USEC_PER_SEC, NO_END, NO_CAP,
                "is below 2s, the shortest window that the kernel measures",
                "write e.g. thrash = 60s, or infinity to switch it off" },
        { "limits", "memory_max", KIND_SIZE, AT(caps.memory_max_bytes), PAGE_BYTES, NO_END, CAP_MEMORY,
                "is below one page (4096 bytes)", "write e.g. memory_max = 16G; runs_max = 0 allows no run at all" },
        { "limits", "memory_total_max", KIND_SIZE, AT(caps.memory_total_max_bytes), PAGE_BYTES, NO_END,
                CAP_MEMORY_TOTAL, "is below one page (4096 bytes)",
                "write e.g. memory_total_max = 64G; runs_max = 0 allows no run at all" },
        { "limits", "timeout_max", KIND_TIME, AT(caps.timeout_max_usec), 1, NO_END, CAP_TIMEOUT,
                "would end every run before it starts",
                "write e.g. timeout_max = 24h; runs_max = 0 allows no run at all" },
        { "limits", "runs_max", KIND_COUNT, AT(caps.runs_max), 0, NO_END, CAP_RUNS, NULL, NULL },
        { "users", "group", KIND_NAME, AT(group_name), 0, 0, NO_CAP, NULL, NULL },
        { "users", "admin_group", KIND_NAME, AT(admin_group_name), 0, 0, NO_CAP, NULL, NULL },
        { "storage", "postgres", KIND_TEXT, AT(postgres), 0, 0, NO_CAP, NULL, NULL },
        { "storage", "sqlite", KIND_SQLITE, AT(sqlite), 0, 0, NO_CAP, NULL, NULL },
        { "storage", "history", KIND_HISTORY, AT(history_usec), 0, 0, NO_CAP, NULL, NULL },
        { "storage", "history_size", KIND_SIZE, AT(history_bytes), UINT64_C(1) << 20, NO_END, NO_CAP, "is below 1M",
                "write e.g. history_size = 1G, or infinity for no end" },
        { "storage", "record_cmdline", KIND_CMDLINE, AT(record_cmdline), 0, 0, NO_CAP, NULL, NULL },
        { "http", "listen", KIND_LISTEN, AT(http_listen), 0, 0, NO_CAP, NULL, NULL },
        { "http", "hosts", KIND_HOSTS, AT(http_hosts), 0, 0, NO_CAP, NULL, NULL },
        { "http", "analysis_ids", KIND_YES_NO, AT(http_analysis_ids), 0, 0, NO_CAP, NULL, NULL },
};

bool config_place_binds(const char *section) {
        return !section || (strcmp(section, "storage") != 0 && strcmp(section, "http") != 0);
}

static const ConfigKey *find_key(const char *section, const char *key) {
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].section, section) == 0 && strcmp(table[i].key, key) == 0)
                        return &table[i];
        return NULL;
}

static bool section_is_known(const char *section) {
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].section, section) == 0)
                        return true;
        return false;
}

/* The user's entry, made if there is none of this name. NULL on OOM. */
static ConfigUser *user_of(Config *config, const char *name, const ConfigPlace *place) {
        const char *where;
        ConfigUser *users;

        for (size_t i = 0; i < config->n_users; i++)
                if (strcmp(config->users[i].name, name) == 0)
                        return &config->users[i];
        users = reallocarray(config->users, config->n_users + 1, sizeof(ConfigUser));
        if (!users)
                return NULL;
        config->users = users;
        where = config_keep_place(config, place);
        users[config->n_users] = (ConfigUser){
                .name = where ? strdup(name) : NULL, .uid = (uid_t)-1, .set_in = where, .caps = USER_CAPS_NONE
        };
        return users[config->n_users].name ? &users[config->n_users++] : NULL;
}

/* [user NAME]: the caps of [limits], of one user. */
static int set_user(Config *config, const Config *built_in, const ConfigPlace *place, ConfigFindings *findings) {
        ConfigSetting s = {
                .config = config, .place = place, .findings = findings, .key = find_key("limits", place->key)
        };
        const char *name = place->section + strlen(USER_SECTION);
        ConfigUser *user;
        int r;

        name += strspn(name, " \t");
        if (!config_name_is_possible(name))
                return config_wrong(
                        &s, strdup("the section names no user"), "write [user NAME], one user, by name or number");
        if (!s.key || s.key->cap == NO_CAP)
                return config_find(findings, !!s.key, place,
                        strdup(s.key ? "a default is the same for all users" : "unknown key, ignored"),
                        "a user has runs_max, memory_max, memory_total_max and timeout_max");
        user = user_of(config, name, place);
        if (!user)
                return -ENOMEM;
        s.at = (char *)&user->caps + (s.key->offset - AT(caps));
        r = config_take_value(&s, built_in);
        /* Where it is wrong, the section counts all the same: `closed` says that it can't be relied on. */
        user->has[s.key->cap] = *place->value != '\0';
        return r;
}

/* "[http] has listen, analysis_ids": a slip is seen at once. NULL on OOM. */
static char *keys_of(const char *section) {
        char *list = text_printf("[%s] has ", section);

        for (size_t i = 0, n = 0; i < ELEMENTSOF(table) && list; i++) {
                _cleanup_(freep) char *before = NULL;

                if (strcmp(table[i].section, section) != 0)
                        continue;
                before = list;
                list = text_printf("%s%s%s", before, n++ > 0 ? ", " : "", table[i].key);
        }
        return list;
}

static int unknown(const ConfigPlace *place, ConfigFindings *findings) {
        _cleanup_(freep) char *keys = NULL;

        if (!section_is_known(place->section))
                return config_find(findings, false, place, strdup("unknown section, ignored"),
                        "there are [limits], [users], [user NAME], [storage] and [http]");
        keys = keys_of(place->section);
        return keys ? config_find(findings, false, place, strdup("unknown key, ignored"), keys) : -ENOMEM;
}

int config_set(Config *config, const Config *built_in, const ConfigPlace *place, ConfigFindings *findings) {
        ConfigSetting s = { .config = config, .place = place, .findings = findings };
        size_t user_length = strlen(USER_SECTION);

        if (strncmp(place->section, USER_SECTION, user_length) == 0 &&
                (place->section[user_length] == ' ' || place->section[user_length] == '\t' ||
                        !place->section[user_length]))
                return set_user(config, built_in, place, findings);
        s.key = find_key(place->section, place->key);
        if (!s.key)
                return unknown(place, findings);
        s.at = (char *)config + s.key->offset;
        return config_take_value(&s, built_in);
}

int config_read_environment(Config *config, const Config *built_in, ConfigFindings *findings) {
        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char name[VARIABLE_MAX];
                ConfigPlace place = { .file = name, .section = table[i].section, .key = table[i].key };
                int r;

                (void)snprintf(name, sizeof(name), "SCIDEX_%s_%s", table[i].section, table[i].key);
                for (char *c = name; *c; c++)
                        *c = (char)toupper((unsigned char)*c);
                place.value = getenv(name);
                if (!place.value || !*place.value)
                        continue;
                r = config_set(config, built_in, &place, findings);
                if (r < 0)
                        return r;
        }
        return 0;
}
