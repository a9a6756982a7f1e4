/*
 * The options of scidex-run.
 *
 * Called by main only.  One table: name, what the value is, where it goes; so that help, parser and error message can't
 * drift apart.  Options end at the first word of the command.  A wrong value is answered with the value, the reason and
 * what to write instead, before anything is made.
 */
#include "cmd/scidex-run/options.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include <ctype.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

typedef enum Kind {
        KIND_FLAG,
        KIND_TEXT,
        KIND_SIZE,
        KIND_TIME,
        KIND_SIGNAL,
        KIND_COUNT,
        KIND_CPUS,
        KIND_LABEL,
        KIND_REQUIRE,
        KIND_HELP,
        KIND_VERSION,
} Kind;

#define AT(member) offsetof(RunOptions, member)

static const struct {
        const char *name;
        Kind kind;
        size_t offset;
        unsigned member; /* its bit of RunRequest.given, 0: none */
        const char *argument, *help;
} table[] = {
        { "analysis-id", KIND_TEXT, AT(request.analysis_id), 0, "ID",
                "the analysis this run belongs to (at most 255 bytes)" },
        { "memory", KIND_SIZE, AT(request.memory_bytes), REQUEST_MEMORY, "SIZE", "memory limit of the whole run (2G)" },
        { "mem", KIND_SIZE, AT(request.memory_bytes), REQUEST_MEMORY, NULL, NULL },
        { "memory-high", KIND_SIZE, AT(request.memory_high_bytes), REQUEST_MEMORY_HIGH, "SIZE",
                "throttle and reclaim above this (none)" },
        { "swap", KIND_SIZE, AT(request.swap_bytes), REQUEST_SWAP, "SIZE", "swap allowed (0)" },
        { "timeout", KIND_TIME, AT(request.timeout_usec), REQUEST_TIMEOUT, "TIME", "wall-clock limit (30min)" },
        { "time", KIND_TIME, AT(request.timeout_usec), REQUEST_TIMEOUT, NULL, NULL },
        { "cpu-time", KIND_TIME, AT(request.cpu_time_usec), REQUEST_CPU_TIME, "TIME",
                "CPU-time limit of all processes together (none)" },
        { "pids", KIND_COUNT, AT(request.pids), REQUEST_PIDS, "N", "most processes and threads at once (4096)" },
        { "cpus", KIND_CPUS, AT(request.cpu_centi), REQUEST_CPUS, "N.N", "most CPUs at once (all)" },
        { "grace", KIND_TIME, AT(request.grace_usec), REQUEST_GRACE, "TIME", "from the term signal to the kill (10s)" },
        { "term-signal", KIND_SIGNAL, AT(request.term_signal), REQUEST_TERM_SIGNAL, "SIG",
                "the signal that asks the run to end (TERM)" },
        { "warn-before", KIND_TIME, AT(request.warn_before_usec), REQUEST_WARN_BEFORE, "TIME",
                "warn the run this long before its wall-clock limit" },
        { "warn-signal", KIND_SIGNAL, AT(request.warn_signal), REQUEST_WARN_SIGNAL, "SIG", "with this signal (USR1)" },
        { "thrash", KIND_TIME, AT(request.thrash_usec), REQUEST_THRASH, "TIME",
                "end a run that stalled on memory for this long (60s)" },
        { "label", KIND_LABEL, AT(request.labels), 0, "K=V", "a label for the record; may be given again" },
        { "report", KIND_TEXT, AT(report), 0, "FILE", "write the run's record as JSON to FILE" },
        { "require", KIND_REQUIRE, AT(request.require_kernel), 0, "kernel",
                "refuse to run where memory could only be sampled" },
        { "private", KIND_FLAG, AT(private_only), 0, "", "use a supervisor of your own, not the system's" },
        { "quiet", KIND_FLAG, AT(quiet), 0, "", "nothing on stderr unless scidex-run itself failed" },
        { "verbose", KIND_FLAG, AT(verbose), 0, "", "one line also for a run that ends by itself" },
        { "help", KIND_HELP, 0, 0, "", "" },
        { "version", KIND_VERSION, 0, 0, "", "" },
};

void run_say(const char *format, ...) {
        _cleanup_(freep) char *text = NULL, *line = NULL, *shown = NULL;
        const char *said;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (n < 0)
                text = NULL;                     /* asprintf(3) leaves it undefined */
        shown = text ? text_escape(text) : NULL; /* names, paths and the supervisor's words come from others */
        if (!shown || asprintf(&line, "scidex-run: %s\n", shown) < 0)
                line = NULL;
        said = line ? line : "scidex-run: out of memory\n";
        if (write(STDERR_FILENO, said, strlen(said)) < 0)
                return; /* there is nobody else to tell */
}

static void print_help(void) {
        (void)puts("Usage: scidex-run [OPTIONS] [--] COMMAND [ARG...]\n"
                   "Runs COMMAND in a cgroup of its own, under limits; ends and records what exceeds them.\n");
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (table[i].argument && table[i].help[0])
                        (void)printf("  --%s%s%-*s %s\n", table[i].name, table[i].argument[0] ? " " : "",
                                (int)(21 - strlen(table[i].name) - (table[i].argument[0] != '\0')), table[i].argument,
                                table[i].help);
        (void)puts("  --help, --version\n\n"
                   "Sizes: 512M, 2G, 1.5GiB, infinity (1024-based). Times: 90s, 30min, 1h 30min, 01:30:00, infinity.\n"
                   "--mem and --time are --memory and --timeout. Defaults are in parentheses; the supervisor may be\n"
                   "configured to others, and to caps: scidex-supervisor.conf(5).\n\n"
                   "Exit status: the command's own; 128+N ended by signal N; 124 wall-clock or CPU-time limit;\n"
                   "137 killed for memory; 143 cancelled; 125 scidex-run failed; 126 not executable; 127 not found.");
}

/* `--name=value` or `--name value`: which it was is not known any more, so the message has the usual form. */
static int bad_value(const char *name, const char *value, const char *reason, const char *hint) {
        _cleanup_(freep) char *shown = text_escape(value);

        /* The parsers' hints go on with the sentence, those of the request are one. */
        run_say("--%s \"%s\": %s%s%s", name, shown ? shown : "?", reason,
                !hint                                   ? ""
                        : isupper((unsigned char)*hint) ? ". "
                                                        : "; ",
                hint ? hint : "");
        return -EINVAL;
}

static int set_size(const char *name, const char *value, uint64_t *ret) {
        const char *hint = NULL;
        int r = strcmp(value, "0") == 0 ? 0 : parse_size(value, ret, &hint);

        if (strcmp(value, "0") == 0)
                *ret = 0; /* the one number that needs no unit */
        return r == 0 ? 0 : bad_value(name, value, r == -ERANGE ? "too large" : "not a size", hint);
}

static int set_time(const char *name, const char *value, uint64_t *ret) {
        const char *hint = NULL;
        int r = strcmp(value, "0") == 0 ? 0 : parse_time(value, ret, &hint);

        if (strcmp(value, "0") == 0)
                *ret = 0; /* the one number that needs no unit */
        return r == 0 ? 0 : bad_value(name, value, r == -ERANGE ? "too long" : "not a time", hint);
}

static int set_signal(const char *name, const char *value, int *ret) {
        const char *hint = NULL;

        return parse_signal(value, ret, &hint) == 0 ? 0 : bad_value(name, value, "not a signal", hint);
}

static int set_count(const char *name, const char *value, uint64_t *ret) {
        int r;

        if (strcmp(value, "infinity") == 0) {
                *ret = UINT64_MAX;
                return 0;
        }
        r = parse_u64(value, ret);
        if (r == -ERANGE)
                return bad_value(name, value, "too large", "write infinity for no limit");
        return r == 0 ? 0 : bad_value(name, value, "not a whole number", "write e.g. --pids 4096");
}

static int set_cpus(const char *name, const char *value, uint64_t *ret) {
        const char *hint = NULL;

        return parse_cpus(value, ret, &hint) == 0 ? 0 : bad_value(name, value, "not a number of CPUs", hint);
}

static int set_label(const char *name, const char *value, json_t **labels) {
        const char *equals = strchr(value, '=');
        _cleanup_(freep) char *key = equals ? strndup(value, (size_t)(equals - value)) : NULL;

        if (!key || *key == '\0')
                return bad_value(name, value, "no KEY=VALUE", "write e.g. --label project=exoplanets");
        if (!*labels)
                *labels = json_object();
        if (!*labels || !text_is_utf8(key) || json_object_set_new(*labels, key, json_from_text(equals + 1)) < 0)
                return bad_value(name, value, "not valid UTF-8", "write the label in UTF-8");
        return 0;
}

static int set_text(const char *name, const char *value, void *at, size_t offset) {
        char *copy;

        if (offset == AT(report)) {
                *(const char **)at = value;
                return *value ? 0 : bad_value(name, value, "no file name", "write e.g. --report run.json");
        }
        copy = text_is_utf8(value) ? strdup(value) : text_escape(value);
        if (!copy)
                return -ENOMEM;
        free(*(char **)at);
        *(char **)at = copy;
        return 0;
}

static int apply(size_t i, const char *value, RunOptions *o) {
        void *at = (char *)o + table[i].offset;

        o->request.given |= table[i].member;
        switch (table[i].kind) {
        case KIND_FLAG:
                *(bool *)at = true;
                return 0;
        case KIND_TEXT:
                return set_text(table[i].name, value, at, table[i].offset);
        case KIND_SIZE:
                return set_size(table[i].name, value, at);
        case KIND_TIME:
                return set_time(table[i].name, value, at);
        case KIND_SIGNAL:
                return set_signal(table[i].name, value, at);
        case KIND_COUNT:
                return set_count(table[i].name, value, at);
        case KIND_CPUS:
                return set_cpus(table[i].name, value, at);
        case KIND_LABEL:
                return set_label(table[i].name, value, at);
        case KIND_REQUIRE:
                *(bool *)at = true;
                return strcmp(value, "kernel") == 0
                        ? 0
                        : bad_value(table[i].name, value, "unknown requirement", "write --require=kernel");
        case KIND_HELP:
                print_help();
                return 1;
        case KIND_VERSION:
                (void)puts("scidex-run " SCIDEX_VERSION);
                return 1;
        }
        return -EINVAL;
}

/* The value that was given for an option, or for its second name; NULL: it has its default. */
static const char *given_for(const char *const *given, const char *option) {
        size_t offset = 0;

        for (size_t i = 0; option && i < ELEMENTSOF(table); i++)
                if (strcmp(table[i].name, option) == 0)
                        offset = table[i].offset;
        for (size_t i = 0; option && i < ELEMENTSOF(table); i++)
                if (table[i].offset == offset && given[i])
                        return given[i];
        return NULL;
}

/* Without a command, or with a request that can't be: said here. */
static int check(const RunOptions *o, const char *const *given) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };

        if (!o->command[0]) {
                run_say("no command is given; write scidex-run [OPTIONS] [--] COMMAND [ARG...], see --help");
                return -EINVAL;
        }
        if (request_validate(&o->request, &error) == 0)
                return 0;
        if (given_for(given, error.option))
                return bad_value(error.option, given_for(given, error.option), error.message, error.hint);
        run_say("%s%s%s", error.message ? error.message : "out of memory", error.hint ? ". " : "",
                error.hint ? error.hint : "");
        return -EINVAL;
}

static int bad_option(const char *word, bool value_missing) {
        _cleanup_(freep) char *shown = text_escape(word);

        run_say("option \"%s\": %s; see scidex-run --help", shown ? shown : "?",
                value_missing ? "its value is missing" : "unknown, ambiguous, or takes no value");
        return -EINVAL;
}

int run_options_parse(int argc, char **argv, RunOptions *ret) {
        struct option options[ELEMENTSOF(table) + 1] = { { 0 } };
        const char *given[ELEMENTSOF(table)] = { NULL };
        int option, r;

        request_init(&ret->request);
        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                options[i] = (struct option){ table[i].name,
                        table[i].kind == KIND_FLAG || table[i].kind == KIND_HELP || table[i].kind == KIND_VERSION
                                ? no_argument
                                : required_argument,
                        NULL, (int)i + 256 };
        opterr = 0;
        for (;;) {
                const char *word = argv[optind]; /* in the middle of "-xy" getopt has not gone on to the next one */

                option = getopt_long(argc, argv, "+:", options, NULL);
                if (option == -1)
                        break;
                if (option == '?' || option == ':')
                        return bad_option(word, option == ':');
                given[option - 256] = optarg;
                r = apply((size_t)option - 256, optarg, ret);
                if (r != 0)
                        return r;
        }
        ret->command = argv + optind;
        r = check(ret, given);
        return r < 0 ? r : request_set_command(&ret->request, ret->command);
}

void run_options_deinit(RunOptions *options) {
        request_deinit(&options->request);
}
