/*
 * What can be configured: one table, a line per key.
 *
 * Called for each KEY = VALUE of a file and for each variable.  The hard thing is what a wrong value means: it is noted
 * with its reason and remedy, the value of before stays, and config.c judges whether the rest can be lived with.  A key
 * that is not in the table is odd but no error: a file may be younger than the program.
 */
#include "supervise/config-internal.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#define USER_SECTION   "user"
#define NAME_BYTES_MAX 48 /* of a user or a group; useradd(8) takes 32 */
#define TEXT_BYTES_MAX 4096
#define VARIABLE_MAX   64
#define PAGE_BYTES     UINT64_C(4096) /* less memory is no limit that the kernel knows */

typedef enum Kind {
        KIND_SIZE,
        KIND_TIME,
        KIND_COUNT,
        KIND_TEXT,
        KIND_NAME,
        KIND_SQLITE,
        KIND_HISTORY,
        KIND_CMDLINE,
        KIND_LISTEN,
        KIND_YES_NO,
} Kind;

#define AT(member) offsetof(Config, member)
#define NO_CAP     CAP_MAX_

typedef struct Key {
        const char *section, *key;
        Kind kind;
        size_t offset;
        uint64_t least, most; /* of a number; infinity is judged too */
        Cap cap;              /* NO_CAP: it is none */
        const char *range;    /* what is wrong with a number beyond these, and what to write */
        const char *remedy;
} Key;

#define NO_END UINT64_MAX

static const Key table[] = {
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
        { "http", "analysis_ids", KIND_YES_NO, AT(http_analysis_ids), 0, 0, NO_CAP, NULL, NULL },
};

/* One value on its way into its place. */
typedef struct Setting {
        Config *config;
        const Key *key;
        const ConfigPlace *place;
        ConfigFindings *findings;
        void *at;
} Setting;

static int wrong(const Setting *s, char *reason, const char *remedy) {
        const char *hash = strchr(s->place->value, '#');

        if (hash && hash > s->place->value && isblank((unsigned char)hash[-1]))
                remedy = "put the comment on a line of its own";
        return config_find(s->findings, true, s->place, reason, remedy);
}

bool config_place_binds(const char *section) {
        return !section || (strcmp(section, "storage") != 0 && strcmp(section, "http") != 0);
}

/* Where a cap is written down, for the words of a refusal. NULL on OOM. */
static const char *keep_place(Config *config, const ConfigPlace *place) {
        char **texts = reallocarray(config->texts, config->n_texts + 1, sizeof(char *));
        char *text;

        if (!texts)
                return NULL;
        config->texts = texts;
        text = place->line ? text_printf("%s:%u", place->file, place->line) : strdup(place->file);
        if (text)
                texts[config->n_texts++] = text;
        return text;
}

/* Of everybody, or of the user whose section it is. */
static UserCaps *caps_of(const Setting *s) {
        char *caps = (char *)s->at - (s->key->offset - AT(caps));

        return (UserCaps *)(void *)caps;
}

static int set_number(const Setting *s, uint64_t value) {
        const char *where = NULL;

        if (value < s->key->least || value > s->key->most)
                return wrong(s, strdup(s->key->range), s->key->remedy);
        if (s->key->cap != NO_CAP && value != CONFIG_UNLIMITED) {
                where = keep_place(s->config, s->place);
                if (!where)
                        return -ENOMEM;
        }
        *(uint64_t *)s->at = value;
        if (s->key->cap != NO_CAP)
                caps_of(s)->set_in[s->key->cap] = where;
        return 0;
}

static int set_size(const Setting *s) {
        const char *hint = NULL;
        uint64_t bytes = 0;
        int r = strcmp(s->place->value, "0") == 0 ? 0 : parse_size(s->place->value, &bytes, &hint);

        if (r < 0)
                return wrong(s, strdup(r == -ERANGE ? "too large" : "not a size"), hint);
        return set_number(s, bytes);
}

static int set_time(const Setting *s) {
        const char *hint = NULL;
        uint64_t usec = 0;
        int r = strcmp(s->place->value, "0") == 0 ? 0 : parse_time(s->place->value, &usec, &hint);

        if (r < 0)
                return wrong(s, strdup(r == -ERANGE ? "too long" : "not a time"), hint);
        return set_number(s, usec);
}

static int set_count(const Setting *s) {
        uint64_t count = CONFIG_UNLIMITED;
        int r = strcmp(s->place->value, "infinity") == 0 ? 0 : parse_u64(s->place->value, &count);

        if (r < 0)
                return wrong(s, strdup(r == -ERANGE ? "too large" : "not a whole number"),
                        "write a number of at least 0, or infinity for none");
        return set_number(s, count);
}

static int replace_text(char **at, char *text) {
        if (!text)
                return -ENOMEM;
        free(*at);
        *at = text;
        return 0;
}

static int set_text(const Setting *s) {
        if (strlen(s->place->value) > TEXT_BYTES_MAX)
                return wrong(s, text_printf("longer than %d bytes", TEXT_BYTES_MAX), "shorten it");
        return replace_text(s->at, strdup(s->place->value));
}

static bool name_is_possible(const char *name) {
        return *name != '\0' && strlen(name) <= NAME_BYTES_MAX && !strpbrk(name, " \t,:/\"'");
}

static int set_name(const Setting *s) {
        const char *where;

        if (!name_is_possible(s->place->value))
                return wrong(s, strdup("not the name of a group"), "write one group, by its name or its number");
        where = keep_place(s->config, s->place);
        if (!where)
                return -ENOMEM;
        *(s->at == &s->config->group_name ? &s->config->group_set_in : &s->config->admin_group_set_in) = where;
        return replace_text(s->at, strdup(s->place->value));
}

/* The recorder names the file itself; what is asked for is where it lies. */
static int set_sqlite(const Setting *s) {
        const char *value = s->place->value, *slash = strrchr(value, '/');
        bool is_default = slash && strcmp(slash, "/spool.sqlite") == 0;
        char *directory;
        int r;

        if (*value != '/' || !slash || slash[1] == '\0')
                return wrong(s, strdup("not the absolute path of a file"), "write e.g. /var/lib/scidex/spool.sqlite");
        directory = slash == value ? strdup("/") : strndup(value, (size_t)(slash - value));
        r = replace_text(s->at, directory);
        if (r < 0 || is_default)
                return r;
        return config_find(s->findings, false, s->place,
                text_printf(
                        "the record is called spool.sqlite, whatever is written here; it will lie in %s", directory),
                "end the path with /spool.sqlite");
}

/* "30days", or with a size as well, as SCIDEX_STORAGE_HISTORY had both: "30days,1G". */
static int set_history(const Setting *s) {
        _cleanup_(freep) char *copy = strdup(s->place->value);
        uint64_t usec = s->config->history_usec, bytes = s->config->history_bytes;
        char *rest = copy, *part;

        if (!copy)
                return -ENOMEM;
        while ((part = strsep(&rest, ","))) {
                part += strspn(part, " \t");
                if (parse_time(part, &usec, NULL) < 0 && parse_size(part, &bytes, NULL) < 0)
                        return wrong(s, strdup("not a time"),
                                "write e.g. history = 30days and history_size = 1G, or infinity for no end");
        }
        s->config->history_usec = usec;
        s->config->history_bytes = bytes;
        return 0;
}

static int set_cmdline(const Setting *s) {
        static const char *const words[] = {
                [RECORD_CMDLINE_FULL] = "full", [RECORD_CMDLINE_ARGV0] = "argv0", [RECORD_CMDLINE_NO] = "no"
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcmp(s->place->value, words[i]) == 0) {
                        *(RecordCmdline *)s->at = (RecordCmdline)i;
                        return 0;
                }
        return wrong(s, strdup("unknown"), "write full, argv0 (the command without its arguments) or no");
}

/* "ADDRESS:PORT" of numbers: a name would have to be looked up. */
static bool listen_is_possible(const char *value) {
        _cleanup_(freep) char *copy = strdup(value);
        char *colon = copy ? strrchr(copy, ':') : NULL, *host = copy;
        struct in6_addr address;
        uint64_t port;

        if (!colon || parse_u64(colon + 1, &port) < 0 || port == 0 || port > UINT16_MAX)
                return false;
        *colon = '\0';
        if (*host != '[')
                return inet_pton(AF_INET, host, &address) == 1;
        if (colon[-1] != ']')
                return false;
        colon[-1] = '\0';
        return inet_pton(AF_INET6, host + 1, &address) == 1;
}

static int set_listen(const Setting *s) {
        if (strcmp(s->place->value, "no") == 0) {
                free(s->config->http_listen);
                s->config->http_listen = NULL;
                return 0;
        }
        if (!listen_is_possible(s->place->value))
                return wrong(s, strdup("not an ADDRESS:PORT of numbers"),
                        "write e.g. listen = 127.0.0.1:8787, [::1]:8787, or no");
        return replace_text(s->at, strdup(s->place->value));
}

static int set_yes_no(const Setting *s) {
        static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcmp(s->place->value, words[i]) == 0) {
                        *(bool *)s->at = i % 2 == 1;
                        return 0;
                }
        return wrong(s, strdup("neither yes nor no"), "write yes or no");
}

/* As if it had never been set, so that a drop-in can take back what the file says. */
static int reset(const Setting *s, const Config *built_in) {
        const void *from = (const char *)built_in + s->key->offset;
        const char *text;

        switch (s->key->kind) {
        case KIND_SIZE:
        case KIND_TIME:
        case KIND_COUNT:
                *(uint64_t *)s->at = *(const uint64_t *)from;
                if (s->key->cap != NO_CAP)
                        caps_of(s)->set_in[s->key->cap] = NULL;
                return 0;
        case KIND_HISTORY:
                s->config->history_usec = built_in->history_usec;
                return 0;
        case KIND_CMDLINE:
                s->config->record_cmdline = built_in->record_cmdline;
                return 0;
        case KIND_YES_NO:
                *(bool *)s->at = *(const bool *)from;
                return 0;
        default:
                text = *(char *const *)from; /* of a group's name the place stays: it was set there, to that */
                free(*(char **)s->at);
                *(char **)s->at = text ? strdup(text) : NULL;
                return text && !*(char **)s->at ? -ENOMEM : 0;
        }
}

static int set(const Setting *s, const Config *built_in) {
        static int (*const setters[])(const Setting *) = {
                [KIND_SIZE] = set_size,
                [KIND_TIME] = set_time,
                [KIND_COUNT] = set_count,
                [KIND_TEXT] = set_text,
                [KIND_NAME] = set_name,
                [KIND_SQLITE] = set_sqlite,
                [KIND_HISTORY] = set_history,
                [KIND_CMDLINE] = set_cmdline,
                [KIND_LISTEN] = set_listen,
                [KIND_YES_NO] = set_yes_no,
        };

        return *s->place->value == '\0' ? reset(s, built_in) : setters[s->key->kind](s);
}

static const Key *find_key(const char *section, const char *key) {
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
        where = keep_place(config, place);
        users[config->n_users] = (ConfigUser){
                .name = where ? strdup(name) : NULL, .uid = (uid_t)-1, .set_in = where, .caps = USER_CAPS_NONE
        };
        return users[config->n_users].name ? &users[config->n_users++] : NULL;
}

/* [user NAME]: the caps of [limits], of one user. */
static int set_user(Config *config, const Config *built_in, const ConfigPlace *place, ConfigFindings *findings) {
        Setting s = { .config = config, .place = place, .findings = findings, .key = find_key("limits", place->key) };
        const char *name = place->section + strlen(USER_SECTION);
        ConfigUser *user;
        int r;

        name += strspn(name, " \t");
        if (!name_is_possible(name))
                return wrong(&s, strdup("the section names no user"), "write [user NAME], one user, by name or number");
        if (!s.key || s.key->cap == NO_CAP)
                return config_find(findings, !!s.key, place,
                        strdup(s.key ? "a default is the same for all users" : "unknown key"),
                        "a user has runs_max, memory_max, memory_total_max and timeout_max");
        user = user_of(config, name, place);
        if (!user)
                return -ENOMEM;
        s.at = (char *)&user->caps + (s.key->offset - AT(caps));
        r = set(&s, built_in);
        /* Where it is wrong, the section counts all the same: `closed` says that it can't be relied on. */
        user->has[s.key->cap] = *place->value != '\0';
        return r;
}

int config_set(Config *config, const Config *built_in, const ConfigPlace *place, ConfigFindings *findings) {
        Setting s = { .config = config, .place = place, .findings = findings };
        size_t user_length = strlen(USER_SECTION);

        if (strncmp(place->section, USER_SECTION, user_length) == 0 &&
                (place->section[user_length] == ' ' || place->section[user_length] == '\t' ||
                        !place->section[user_length]))
                return set_user(config, built_in, place, findings);
        s.key = find_key(place->section, place->key);
        if (!s.key)
                return config_find(findings, false, place,
                        strdup(section_is_known(place->section) ? "unknown key" : "unknown section"),
                        "see scidex-supervisor.conf(5) for those that there are");
        s.at = (char *)config + s.key->offset;
        return set(&s, built_in);
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
