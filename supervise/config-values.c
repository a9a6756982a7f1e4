/*
 * How the values of the configuration are written: one function per kind.
 *
 * Called by config-keys.c for each key that there is.  A value that is wrong is noted with its reason and its remedy,
 * and what held before stays: whether one can live with that is for config-load.c to judge.
 */
#include "supervise/config-internal.h"

#include "base/file.h"
#include "base/parse.h"
#include "supervise/http-words.h"
#include <ctype.h>
#include <string.h>

#define NAME_BYTES_MAX 48 /* of a user or a group; useradd(8) takes 32 */
#define TEXT_BYTES_MAX 4096
#define AT(member)     offsetof(Config, member)

int config_wrong(const ConfigSetting *s, char *reason, const char *remedy) {
        const char *hash = strchr(s->place->value, '#');

        if (hash && hash > s->place->value && isblank((unsigned char)hash[-1]))
                remedy = "put the comment on a line of its own";
        return config_find(s->findings, true, s->place, reason, remedy);
}

/* Where a cap is written down, for the words of a refusal. NULL on OOM. */
const char *config_keep_place(Config *config, const ConfigPlace *place) {
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
static UserCaps *caps_of(const ConfigSetting *s) {
        char *caps = (char *)s->at - (s->key->offset - AT(caps));

        return (UserCaps *)(void *)caps;
}

static int set_number(const ConfigSetting *s, uint64_t value) {
        const char *where = NULL;

        if (value < s->key->least || value > s->key->most)
                return config_wrong(s, strdup(s->key->range), s->key->remedy);
        if (s->key->cap != NO_CAP && value != CONFIG_UNLIMITED) {
                where = config_keep_place(s->config, s->place);
                if (!where)
                        return -ENOMEM;
        }
        *(uint64_t *)s->at = value;
        if (s->key->cap != NO_CAP)
                caps_of(s)->set_in[s->key->cap] = where;
        return 0;
}

static int set_size(const ConfigSetting *s) {
        const char *hint = NULL;
        uint64_t bytes = 0;
        int r = strcmp(s->place->value, "0") == 0 ? 0 : parse_size(s->place->value, &bytes, &hint);

        if (r < 0)
                return config_wrong(s, strdup(r == -ERANGE ? "too large" : "not a size"), hint);
        return set_number(s, bytes);
}

static int set_time(const ConfigSetting *s) {
        const char *hint = NULL;
        uint64_t usec = 0;
        int r = strcmp(s->place->value, "0") == 0 ? 0 : parse_time(s->place->value, &usec, &hint);

        if (r < 0)
                return config_wrong(s, strdup(r == -ERANGE ? "too long" : "not a time"), hint);
        return set_number(s, usec);
}

static int set_count(const ConfigSetting *s) {
        uint64_t count = CONFIG_UNLIMITED;
        int r = strcmp(s->place->value, "infinity") == 0 ? 0 : parse_u64(s->place->value, &count);

        if (r < 0)
                return config_wrong(s, strdup(r == -ERANGE ? "too large" : "not a whole number"),
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

static int set_text(const ConfigSetting *s) {
        if (strlen(s->place->value) > TEXT_BYTES_MAX)
                return config_wrong(s, text_printf("longer than %d bytes", TEXT_BYTES_MAX), "shorten it");
        return replace_text(s->at, strdup(s->place->value));
}

bool config_name_is_possible(const char *name) {
        return *name != '\0' && strlen(name) <= NAME_BYTES_MAX && !strpbrk(name, " \t,:/\"'");
}

static int set_name(const ConfigSetting *s) {
        const char *where;

        if (!config_name_is_possible(s->place->value))
                return config_wrong(s, strdup("not the name of a group"), "write one group, by its name or its number");
        where = config_keep_place(s->config, s->place);
        if (!where)
                return -ENOMEM;
        *(s->at == &s->config->group_name ? &s->config->group_set_in : &s->config->admin_group_set_in) = where;
        return replace_text(s->at, strdup(s->place->value));
}

/* The recorder names the file itself; what is asked for is where it lies. */
static int set_sqlite(const ConfigSetting *s) {
        const char *value = s->place->value, *slash = strrchr(value, '/');
        bool is_default = slash && strcmp(slash, "/spool.sqlite") == 0;
        char *directory;
        int r;

        if (*value != '/' || !slash || slash[1] == '\0')
                return config_wrong(
                        s, strdup("not the absolute path of a file"), "write e.g. /var/lib/scidex/spool.sqlite");
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
static int set_history(const ConfigSetting *s) {
        _cleanup_(freep) char *copy = strdup(s->place->value);
        uint64_t usec = s->config->history_usec, bytes = s->config->history_bytes;
        char *rest = copy, *part;

        if (!copy)
                return -ENOMEM;
        while ((part = strsep(&rest, ","))) {
                part += strspn(part, " \t");
                if (parse_time(part, &usec, NULL) < 0 && parse_size(part, &bytes, NULL) < 0)
                        return config_wrong(s, strdup("not a time"),
                                "write e.g. history = 30days and history_size = 1G, or infinity for no end");
        }
        s->config->history_usec = usec;
        s->config->history_bytes = bytes;
        return 0;
}

static int set_cmdline(const ConfigSetting *s) {
        static const char *const words[] = {
                [RECORD_CMDLINE_FULL] = "full", [RECORD_CMDLINE_ARGV0] = "argv0", [RECORD_CMDLINE_NO] = "no"
        };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcmp(s->place->value, words[i]) == 0) {
                        *(RecordCmdline *)s->at = (RecordCmdline)i;
                        return 0;
                }
        return config_wrong(s, strdup("unknown"), "write full, argv0 (the command without its arguments) or no");
}

/* Of the words of a list: how many, and the first that can't be. */
typedef struct WordList {
        bool (*is_possible)(const char *word, size_t length);
        size_t n;
        char *wrong; /* owned */
} WordList;

static int check_word(const char *word, size_t length, void *userdata) {
        WordList *list = userdata;

        list->n++;
        if (list->is_possible(word, length))
                return 0;
        list->wrong = strndup(word, length);
        return list->wrong ? 1 : -ENOMEM;
}

static int set_words(const ConfigSetting *s, WordList *list, size_t most, const char *what, const char *remedy) {
        int r = http_each_word(s->place->value, check_word, list);
        _cleanup_(freep) char *wrong = list->wrong;

        if (r < 0)
                return r;
        if (r > 0)
                return config_wrong(s, list->n > 1 ? text_printf("\"%s\" is %s", wrong, what) : strdup(what), remedy);
        if (list->n > most)
                return config_wrong(s, text_printf("names more than %zu", most), "leave some out");
        return replace_text(s->at, strdup(s->place->value));
}

static int set_listen(const ConfigSetting *s) {
        WordList list = { .is_possible = http_listen_is_possible };

        if (strcmp(s->place->value, "no") == 0) {
                free(s->config->http_listen);
                s->config->http_listen = NULL;
                return 0;
        }
        return set_words(s, &list, HTTP_SOCKETS_MAX, "neither an ADDRESS:PORT of numbers nor a /PATH",
                "write e.g. listen = 127.0.0.1:8787 [::1]:8787 /run/scidex/http, or no");
}

static int set_hosts(const ConfigSetting *s) {
        WordList list = { .is_possible = http_host_is_possible };

        return set_words(s, &list, HTTP_HOSTS_MAX, "not the name of a host",
                "write names without port, e.g. hosts = status.example.org");
}

static int set_yes_no(const ConfigSetting *s) {
        static const char *const words[] = { "no", "yes", "false", "true", "off", "on" };

        for (size_t i = 0; i < ELEMENTSOF(words); i++)
                if (strcmp(s->place->value, words[i]) == 0) {
                        *(bool *)s->at = i % 2 == 1;
                        return 0;
                }
        return config_wrong(s, strdup("neither yes nor no"), "write yes or no");
}

/* As if it had never been set, so that a drop-in can take back what the file says. */
static int reset(const ConfigSetting *s, const Config *built_in) {
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

int config_take_value(const ConfigSetting *s, const Config *built_in) {
        static int (*const setters[])(const ConfigSetting *) = {
                [KIND_SIZE] = set_size,
                [KIND_TIME] = set_time,
                [KIND_COUNT] = set_count,
                [KIND_TEXT] = set_text,
                [KIND_NAME] = set_name,
                [KIND_SQLITE] = set_sqlite,
                [KIND_HISTORY] = set_history,
                [KIND_CMDLINE] = set_cmdline,
                [KIND_LISTEN] = set_listen,
                [KIND_HOSTS] = set_hosts,
                [KIND_YES_NO] = set_yes_no,
        };

        return *s->place->value == '\0' ? reset(s, built_in) : setters[s->key->kind](s);
}
