/*
 * The command line, and the help.
 *
 * Called by main.  Not getopt_long: it takes any unambiguous abbreviation, so that a script written today would break
 * with the next option, and its errors can't say what to write instead.  Global options may stand before or after the
 * verb; what a verb does not take is refused by name.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "cmd/scidexctl/ctl.h"
#include <string.h>

#define WATCH_USUAL_USEC (2 * USEC_PER_SEC)
#define WATCH_LEAST_USEC (100 * USEC_PER_MSEC)
#define WATCH_MOST_USEC  (86400 * USEC_PER_SEC)

static const OptionEntry entries[] = {
        { "--json", NULL, 0, offsetof(Options, json), "print JSON, also when it fails" },
        { "--socket", "PATH", 0, offsetof(Options, socket), "ask the supervisor at this control socket" },
        { "--no-colour", NULL, 0, offsetof(Options, no_colour), "no colour (as with NO_COLOR)" },
        { "--no-color", NULL, 0, offsetof(Options, no_colour), NULL },
        { "--help", NULL, 0, offsetof(Options, help), "this text; after a verb, the verb's" },
        { "-h", NULL, 0, offsetof(Options, help), NULL },
        { "--version", NULL, 0, offsetof(Options, version), "print the version" },
        { "--watch", NULL, OPTION_WATCH, 0, "again and again, every 2 s or --watch=TIME, until q or Ctrl-C" },
        { "--all", NULL, OPTION_ALL, offsetof(Options, all), "no effect: root and admins see all users' runs anyway" },
        { "--limit", "N", OPTION_LIMIT, 0, "at most N rows (100)" },
        { "--analysis", "ID", OPTION_ANALYSIS, offsetof(Options, analysis), "only of this analysis" },
        { "--verdict", "VERDICT", OPTION_VERDICT, offsetof(Options, verdict), "only with this verdict" },
        { "--reason", "REASON", OPTION_REASON, offsetof(Options, verdict), "only with this reason" },
        { "--run", "RUN", OPTION_RUN, offsetof(Options, run), "only of this run" },
        { "--timeout", "TIME", OPTION_TIMEOUT, offsetof(Options, timeout), "wall-clock limit: 90s, 2h, infinity" },
        { "--memory", "SIZE", OPTION_MEMORY, offsetof(Options, memory), "memory limit: 512M, 4G, infinity" },
        { "--grace", "TIME", OPTION_GRACE, offsetof(Options, grace), "between TERM and KILL" },
        { "--analysis-id", "ID", OPTION_ANALYSIS_ID, offsetof(Options, analysis_id), "the analysis that it is" },
        { "--label", "KEY=VALUE", OPTION_LABEL, 0, "noted in the record; may be given more than once" },
        { "--all-hosts", NULL, OPTION_ALL_HOSTS, offsetof(Options, all_hosts), "of all hosts: ask the database" },
        { "--host", "HOST", OPTION_ALL_HOSTS, offsetof(Options, host), "with --all-hosts: of this one only" },
        { "--follow", NULL, OPTION_FOLLOW, offsetof(Options, follow), "with --all-hosts: go on with what comes" },
        { "--postgres", "CONNINFO", OPTION_POSTGRES, offsetof(Options, postgres), "the database; no password here" },
        { "--by", "WHAT", OPTION_BY, offsetof(Options, by), "a line per analysis (also without it) or per user" },
        { "--since", "TIME", OPTION_SINCE, offsetof(Options, since), "as a time ago (2h) or 2026-11-21T07:19:42Z" },
};

static const char *const known_verdicts[] = { "completed", "failed", "crashed", "timeout", "cpu-time", "memory",
        "host-oom", "orphaned", "cancelled", "lost", NULL };
static const char *const known_reasons[] = { "timeout", "cpu-time", "memory", "host-oom", "orphaned", "cancelled",
        "orphan", NULL };

static const char *const known_by[] = { "analysis", "user", NULL };

const OptionEntry *option_next(const OptionEntry *previous) {
        const OptionEntry *next = previous ? previous + 1 : entries;

        return next < entries + ELEMENTSOF(entries) ? next : NULL;
}

const char *const *option_words(const OptionEntry *entry) {
        return entry->verbs == OPTION_VERDICT   ? known_verdicts
                : entry->verbs == OPTION_REASON ? known_reasons
                : entry->verbs == OPTION_BY     ? known_by
                                                : NULL;
}

static int refuse(json_t **ret_error, json_t *error) {
        *ret_error = error;
        return -EINVAL;
}

static int refuse_option(const char *word, json_t **ret_error) {
        const char *names[ELEMENTSOF(entries) + 1] = { NULL };
        const char *near;

        for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                names[i] = entries[i].name;
        near = nearest_word(word, names);
        return refuse(ret_error,
                near ? answer_failed("usage", NULL, "unknown option '%s': did you mean '%s'?", word, near)
                     : answer_failed("usage", "scidexctl --help lists the options", "unknown option '%s'", word));
}

/* The entry that word ("--limit", "--limit=5") names; *ret_value points behind the "=" or is NULL. */
static const OptionEntry *entry_find(const char *word, const char **ret_value) {
        size_t length = strcspn(word, "=");

        *ret_value = word[length] == '=' ? word + length + 1 : NULL;
        for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                if (strlen(entries[i].name) == length && strncmp(entries[i].name, word, length) == 0)
                        return &entries[i];
        return NULL;
}

static int limit_set(Options *options, const char *value, json_t **ret_error) {
        if (parse_u64(value, &options->limit) == 0 && options->limit > 0 && options->limit <= 100000)
                return 0;
        return refuse(ret_error,
                answer_failed("usage", "for example --limit 20", "--limit '%s': not a number from 1 to 100000", value));
}

static int watch_set(Options *options, const char *value, json_t **ret_error) {
        const char *hint = "from 100ms to 1d, for example --watch=5s";
        uint64_t usec = WATCH_USUAL_USEC;

        if (value && (parse_time(value, &usec, &hint) < 0 || usec < WATCH_LEAST_USEC || usec > WATCH_MOST_USEC))
                return refuse(ret_error, answer_failed("usage", hint, "--watch '%s': no time to wait for", value));
        options->watch_usec = usec;
        return 0;
}

static int label_add(Options *options, const char *value, json_t **ret_error) {
        const char *equal = strchr(value, '=');
        _cleanup_(freep) char *key = equal ? strndup(value, (size_t)(equal - value)) : NULL;

        if (!equal || equal == value)
                return refuse(ret_error,
                        answer_failed("usage", "for example --label project=exoplanets", "--label '%s': no KEY=VALUE",
                                value));
        if (!options->labels)
                options->labels = json_object();
        if (!key || json_object_set_new(options->labels, key, json_from_text(equal + 1)) < 0)
                return refuse(ret_error, answer_failed("usage", NULL, "--label '%s': the key is no UTF-8", value));
        return 0;
}

/* Takes the option at argv[*i], and its value, which may be the next word. */
static int option_take(int argc, char *argv[], int *i, Options *options, unsigned *used, json_t **ret_error) {
        const char *value, *word = argv[*i];
        const OptionEntry *entry = entry_find(word, &value);

        if (!entry)
                return refuse_option(word, ret_error);
        *used |= entry->verbs;
        if (entry->verbs == OPTION_WATCH) /* its value may be left out, so it is never the next word */
                return watch_set(options, value, ret_error);
        if (!entry->value) {
                if (value)
                        return refuse(ret_error,
                                answer_failed("usage", NULL, "%s takes no value, but got '%s'", entry->name, value));
                *(bool *)((char *)options + entry->offset) = true;
                return 0;
        }
        if (!value && *i + 1 < argc)
                value = argv[++*i];
        if (!value || !*value)
                return refuse(ret_error,
                        answer_failed(
                                "usage", NULL, "%s needs a value: %s %s", entry->name, entry->name, entry->value));
        if (entry->verbs == OPTION_LIMIT)
                return limit_set(options, value, ret_error);
        if (entry->verbs == OPTION_LABEL)
                return label_add(options, value, ret_error);
        *(const char **)((char *)options + entry->offset) = value;
        return 0;
}

static int verb_find(const char *name, const Verb **ret, json_t **ret_error) {
        const char *names[32] = { NULL };
        const char *near;

        for (size_t i = 0, n = 0; n < ELEMENTSOF(names) - 1 && verbs[i].name; i++) {
                if (verbs[i].summary)
                        names[n++] = verbs[i].name;
                if (strcmp(verbs[i].name, name) == 0) {
                        *ret = &verbs[i];
                        return 0;
                }
        }
        near = nearest_word(name, names);
        return refuse(ret_error,
                near ? answer_failed("usage", NULL, "unknown verb '%s': did you mean '%s'?", name, near)
                     : answer_failed("usage", "scidexctl --help lists the verbs", "unknown verb '%s'", name));
}

static int known_word_check(const char *option, const char *value, const char *const *known, json_t **ret_error) {
        const char *near;

        for (size_t i = 0; known[i]; i++)
                if (strcmp(known[i], value) == 0)
                        return 0;
        near = nearest_word(value, known);
        return refuse(ret_error,
                near ? answer_failed("usage", NULL, "%s '%s' is not known: did you mean '%s'?", option, value, near)
                     : answer_failed("usage", "scidexctl(1) lists them", "%s '%s' is not known", option, value));
}

/* Verbs that ask may have forms that change something, or that never end. */
static bool is_no_question(const Options *options) {
        const char *part = options->n_arguments > 0 ? options->arguments[0] : "";

        return options->follow ||
                (strcmp(options->verb->name, "db") == 0 && strcmp(part, "status") != 0 && strcmp(part, "dead") != 0);
}

static int options_check(const Options *options, unsigned used, json_t **ret_error) {
        const Verb *verb = options->verb;

        for (size_t i = 0; i < ELEMENTSOF(entries); i++)
                if (used & entries[i].verbs & ~verb->options)
                        return refuse(ret_error,
                                answer_failed("usage", NULL, "'%s' does not take %s: see scidexctl %s --help",
                                        verb->name, entries[i].name, verb->name));
        if (options->watching == verb)
                return refuse(ret_error, answer_failed("usage", NULL, "'watch' can't be watched"));
        if (options->n_arguments < verb->least && verb->usage[0] == 'P')
                return refuse(ret_error,
                        answer_failed("usage", "pgrep and ps show the processes",
                                "'%s' needs a process id: scidexctl %s %s", verb->name, verb->name, verb->usage));
        if (options->n_arguments < verb->least && verb->usage[0] == 'A')
                return refuse(ret_error,
                        answer_failed("usage", "scidexctl history shows the analyses",
                                "'%s' needs an analysis: scidexctl %s %s", verb->name, verb->name, verb->usage));
        if (options->n_arguments < verb->least)
                return refuse(ret_error,
                        answer_failed("usage", "scidexctl list and scidexctl history show the runs",
                                "'%s' needs a run: scidexctl %s %s", verb->name, verb->name, verb->usage));
        if (options->n_arguments > verb->most)
                return refuse(ret_error,
                        answer_failed("usage", NULL, "'%s' takes no '%s': scidexctl %s%s%s", verb->name,
                                options->arguments[verb->most], verb->name, *verb->usage ? " " : "", verb->usage));
        if (options->all_hosts && options->socket)
                return refuse(ret_error,
                        answer_failed("usage", "leave out one of them",
                                "--all-hosts asks the database, --socket a supervisor of this host"));
        if ((verb->options & OPTION_ALL_HOSTS) && !options->all_hosts &&
                (options->host || options->follow || options->postgres))
                return refuse(ret_error,
                        answer_failed("usage", "without it this host's own record is asked", "%s goes with --all-hosts",
                                options->host             ? "--host"
                                        : options->follow ? "--follow"
                                                          : "--postgres"));
        if (options->by)
                return known_word_check("--by", options->by, known_by, ret_error);
        if (options->watch_usec && is_no_question(options))
                return refuse(ret_error,
                        answer_failed("usage", NULL, "'%s' with %s can't be watched", verb->name,
                                options->follow ? "--follow" : options->arguments[0]));
        if (options->verdict && (verb->options & OPTION_VERDICT))
                return known_word_check("--verdict", options->verdict, known_verdicts, ret_error);
        if (options->verdict)
                return known_word_check("--reason", options->verdict, known_reasons, ret_error);
        return 0;
}

/* `watch` stands before the verb. */
static int verb_take(const char *word, Options *options, unsigned *used, json_t **ret_error) {
        int r = verb_find(word, &options->verb, ret_error);

        if (r == 0 && strcmp(options->verb->name, "watch") == 0 && !options->watching) {
                options->watching = TAKE_PTR(options->verb);
                *used |= OPTION_WATCH;
                options->watch_usec = options->watch_usec ? options->watch_usec : WATCH_USUAL_USEC;
        }
        return r;
}

/* A failure before the end of the command line must be JSON too. */
static bool json_asked(int argc, char *argv[]) {
        for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
                if (strcmp(argv[i], "--json") == 0)
                        return true;
        return false;
}

static int words_take(int argc, char *argv[], Options *options, unsigned *used, json_t **ret_error) {
        bool ended = false;
        int r = 0;

        for (int i = 1; i < argc && r == 0; i++)
                if (!ended && strcmp(argv[i], "--") == 0)
                        ended = true;
                else if (!ended && argv[i][0] == '-' && argv[i][1])
                        r = option_take(argc, argv, &i, options, used, ret_error);
                else if (!options->verb)
                        r = verb_take(argv[i], options, used, ret_error);
                else
                        options->arguments[options->n_arguments++] = argv[i];
        return r;
}

int options_parse(int argc, char *argv[], Options *ret, json_t **ret_error) {
        unsigned used = 0;
        int r;

        *ret = (Options){ .json = json_asked(argc, argv) };
        ret->arguments = calloc((size_t)argc + 1, sizeof(char *));
        if (!ret->arguments)
                return refuse(ret_error, NULL);
        r = words_take(argc, argv, ret, &used, ret_error);
        if (ret->help && !ret->verb)
                ret->verb = ret->watching;
        if (r < 0 || ret->help || ret->version)
                return r;
        if (!ret->verb && ret->watching)
                return refuse(
                        ret_error, answer_failed("usage", "for example scidexctl watch list", "'watch' needs a verb"));
        if (!ret->verb)
                return refuse(ret_error,
                        answer_failed("usage", "scidexctl --help lists the verbs; to begin: scidexctl list",
                                "no verb given"));
        return options_check(ret, used, ret_error);
}

void options_deinit(Options *options) {
        free(options->arguments);
        options->arguments = NULL;
        json_decref(options->labels);
        options->labels = NULL;
}

static void entries_print(FILE *out, unsigned which, bool global) {
        for (size_t i = 0; i < ELEMENTSOF(entries); i++) {
                const OptionEntry *e = &entries[i];
                _cleanup_(freep) char *left = NULL;

                if (!e->summary || (e->verbs ? !(e->verbs & which) : !global))
                        continue;
                if (asprintf(&left, "%s%s%s", e->name, e->value ? " " : "", e->value ? e->value : "") < 0)
                        left = NULL;
                (void)fprintf(out, "  %-20s %s\n", left ? left : e->name, e->summary);
        }
}

static const char help_tail[] =
        "\nRUN is a run id, a unique start or end of one (at least 4 characters; the short id shown is its end), or "
        "an\n"
        "analysis id.\n"
        "\nExit status: 0 done; 1 what was asked about does not exist or is ambiguous (doctor: something is not ok);\n"
        "2 bad usage; 3 no supervisor, no record or no database, or talking to them failed; 4 refused.\n"
        "\nEnvironment: SCIDEX_SOCKET (the supervisor's control socket), SCIDEX_STORAGE_POSTGRES (the database), "
        "NO_COLOR,\n"
        "COLUMNS. See scidexctl(1).\n";

void options_print_help(FILE *out, const Verb *verb) {
        if (verb) {
                (void)fprintf(out, "Usage: scidexctl %s [OPTIONS]%s%s\n\n%s.\n\nOptions:\n", verb->name,
                        *verb->usage ? " " : "", verb->usage, verb->summary ? verb->summary : "For the shells");
                entries_print(out, verb->options, true);
        } else {
                (void)fputs("Usage: scidexctl [OPTIONS] VERB [ARGUMENTS]\n\n"
                            "  scidexctl list               what runs now\n"
                            "  scidexctl why 7c1e90ab       why a run ended\n"
                            "  scidexctl doctor             what this machine can enforce\n\nVerbs:\n",
                        out);
                for (const Verb *v = verbs; v->name; v++)
                        if (v->summary)
                                (void)fprintf(out, "  %-10s %-8s %s\n", v->name, v->usage, v->summary);
                (void)fputs("\nOptions:\n", out);
                entries_print(out, 0, true);
        }
        (void)fputs(help_tail, out);
}
