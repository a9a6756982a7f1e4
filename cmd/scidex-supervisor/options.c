/*
 * What scidex-supervisor is told, and where its things lie.
 *
 * Called by main only.  A private supervisor is told its socket by the launcher that starts it; what is left open
 * follows the same rules as the asking side (control/client.h), so that both find each other without configuration.
 */
#include "cmd/scidex-supervisor/options.h"

#include "base/file.h"
#include "base/log.h"
#include "base/parse.h"
#include "cmd/place.h"
#include "cmd/sibling.h"
#include "control/client.h"
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>

#define LOG_MAX_BYTES (1024 * 1024) /* of a private supervisor; then it begins anew */

static const char help[] =
        "Usage: scidex-supervisor [OPTIONS]\n"
        "Owns the tree of groups, watches the runs, kills what is over its limits, records why.\n"
        "\n"
        "  --daemon           stay until told to stop (the default)\n"
        "  --private          serve one user; exit when no run has been left for 10 s\n"
        "  --once             one pass: adopt what runs, end what is over its limits or orphaned, print what was done\n"
        "                     as JSON; the supervisor that runs is asked to, if there is one\n"
        "  --drain            have the supervisor that runs end all runs, and wait until they are recorded\n"
        "  --config FILE      read FILE and FILE.d/*.conf (default: /etc/scidex/supervisor.conf as root, else and "
        "with\n"
        "                     --private $XDG_CONFIG_HOME/scidex/supervisor.conf)\n"
        "  --check-config     say what is wrong in them, a line each, and exit\n"
        "  --keeper UNIT      make the groups in the cgroup of this systemd unit\n"
        "  --socket PATH      control socket (default: $SCIDEX_SOCKET; else /run/scidex/control as root,\n"
        "                     $XDG_RUNTIME_DIR/scidex/control as an ordinary user or with --private)\n"
        "  --state DIR        where the record lies (default: the directory of [storage] sqlite, if that is set; else\n"
        "                     $XDG_STATE_HOME/scidex; else /var/lib/scidex as root, ~/.local/state/scidex)\n"
        "  --ready-fd N       write one line to this fd when ready\n"
        "  --help, --version\n"
        "\n"
        "SCIDEX_TREE names the cgroup directory to use. Stopping it (TERM) leaves the runs alive; the next one adopts "
        "them.\n"
        "Exit status: 0 stopped or idle, 1 could not start (--once, --drain: could not be done), 64 usage,\n"
        "78 --check-config found something.\n";

enum {
        OPTION_DAEMON = 256,
        OPTION_PRIVATE,
        OPTION_ONCE,
        OPTION_DRAIN,
        OPTION_CONFIG,
        OPTION_CHECK_CONFIG,
        OPTION_KEEPER,
        OPTION_SOCKET,
        OPTION_STATE,
        OPTION_READY_FD,
        OPTION_HELP,
        OPTION_VERSION,
};

static const struct option long_options[] = {
        { "daemon", no_argument, NULL, OPTION_DAEMON },
        { "private", no_argument, NULL, OPTION_PRIVATE },
        { "once", no_argument, NULL, OPTION_ONCE },
        { "drain", no_argument, NULL, OPTION_DRAIN },
        { "config", required_argument, NULL, OPTION_CONFIG },
        { "check-config", no_argument, NULL, OPTION_CHECK_CONFIG },
        { "keeper", required_argument, NULL, OPTION_KEEPER },
        { "socket", required_argument, NULL, OPTION_SOCKET },
        { "state", required_argument, NULL, OPTION_STATE },
        { "ready-fd", required_argument, NULL, OPTION_READY_FD },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { 0 },
};

static int set_text(char **at, const char *value) {
        free(*at);
        *at = strdup(value);
        return *at ? 0 : -ENOMEM;
}

static int set_mode(Options *o, SupervisorMode mode) {
        if (mode != SUPERVISOR_DAEMON && o->supervisor.mode != SUPERVISOR_DAEMON && o->supervisor.mode != mode) {
                log_line(LOG_LEVEL_ERROR, "--once and --drain exclude each other; give one of them");
                return -EINVAL;
        }
        o->supervisor.mode = mode;
        return 0;
}

static int parse_one(int option, const char *value, Options *o) {
        uint64_t number;

        switch (option) {
        case OPTION_DAEMON:
                o->supervisor.private_mode = false;
                return set_mode(o, SUPERVISOR_DAEMON);
        case OPTION_PRIVATE:
                o->supervisor.private_mode = true;
                return 0;
        case OPTION_ONCE:
                return set_mode(o, SUPERVISOR_ONCE);
        case OPTION_DRAIN:
                return set_mode(o, SUPERVISOR_DRAIN);
        case OPTION_CONFIG:
                return set_text(&o->config_path, value);
        case OPTION_CHECK_CONFIG:
                o->check_config = true;
                return 0;
        case OPTION_KEEPER:
                return set_text(&o->keeper_unit, value);
        case OPTION_SOCKET:
                return set_text(&o->socket_path, value);
        case OPTION_STATE:
                return set_text(&o->state_directory, value);
        case OPTION_READY_FD:
                if (parse_u64(value, &number) < 0 || number > 1 << 20 || fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0) {
                        log_line(LOG_LEVEL_ERROR, "--ready-fd \"%s\" is no open file descriptor", value);
                        return -EINVAL;
                }
                o->ready_fd = (int)number;
                return 0;
        case OPTION_HELP:
                (void)fputs(help, stdout);
                return 1;
        case OPTION_VERSION:
                (void)puts("scidex-supervisor " SCIDEX_VERSION);
                return 1;
        default:
                return -EINVAL;
        }
}

static int bad_option(const char *word, bool value_missing) {
        log_line(LOG_LEVEL_ERROR, "option \"%s\": %s; see scidex-supervisor --help", word,
                value_missing ? "its value is missing" : "unknown, ambiguous, or takes no value");
        return -EINVAL;
}

int options_parse(int argc, char **argv, Options *ret) {
        int option, r;

        opterr = 0;
        for (;;) {
                const char *word = argv[optind]; /* in the middle of "-xy" getopt has not gone on to the next one */

                option = getopt_long(argc, argv, "+:", long_options, NULL);
                if (option == -1)
                        break;
                if (option == '?' || option == ':')
                        return bad_option(word, option == ':');
                r = parse_one(option, optarg, ret);
                if (r != 0)
                        return r;
        }
        if (ret->supervisor.private_mode && ret->supervisor.mode == SUPERVISOR_DAEMON)
                ret->supervisor.mode = SUPERVISOR_PRIVATE;
        if (optind == argc)
                return 0;
        log_line(LOG_LEVEL_ERROR, "unexpected argument \"%s\": scidex-supervisor takes options only; see --help",
                argv[optind]);
        return -EINVAL;
}

static bool config_is_systems(const Options *o) {
        return geteuid() == 0 && !o->supervisor.private_mode;
}

int options_read_config(Options *o) {
        _cleanup_(config_findings_deinit) ConfigFindings findings = { 0 };
        int r = config_load(o->config_path, config_is_systems(o), &o->config, &findings);

        for (size_t i = 0; r == 0 && i < findings.n; i++) {
                _cleanup_(freep) char *text = config_finding_text(&findings.list[i]);

                log_line(findings.list[i].is_error ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, "%s",
                        text ? text : "out of memory");
        }
        o->supervisor.config_path = o->config_path;
        o->supervisor.config_system = config_is_systems(o);
        return r;
}

static int print_findings(const ConfigFindings *findings) {
        for (size_t i = 0; i < findings->n; i++) {
                _cleanup_(freep) char *text = config_finding_text(&findings->list[i]);

                if (!text)
                        return -ENOMEM;
                (void)puts(text);
        }
        return 0;
}

int options_check_config(const Options *o) {
        _cleanup_(config_findings_deinit) ConfigFindings findings = { 0 };
        _cleanup_(config_freep) Config *config = NULL;
        int r = config_load(o->config_path, config_is_systems(o), &config, &findings);

        if (r == 0)
                r = print_findings(&findings);
        if (r < 0) {
                log_line(LOG_LEVEL_ERROR, "%s", strerror(-r));
                return EXIT_FAILURE;
        }
        if (findings.n > 0)
                return CONFIG_EXIT_INVALID;
        for (size_t i = 0; i < config->n_files; i++)
                (void)printf("%s: ok\n", config->files[i]);
        if (config->n_files == 0)
                (void)puts("no configuration file: the built-in values hold");
        return EXIT_SUCCESS;
}

static int find_socket(Options *o) {
        const char *given = getenv("SCIDEX_SOCKET");

        if (o->socket_path)
                return 0;
        if (!o->supervisor.private_mode && geteuid() == 0 && !(given && *given)) {
                o->socket_path = strdup("/run/scidex/control");
                return o->socket_path ? 0 : -ENOMEM;
        }
        return client_private_path(&o->socket_path);
}

/*
 * One scope (or, without systemd, one directory) for each socket, so that two supervisors don't meet in one tree. The
 * default socket has the plain name; others a hash of the path (FNV-1a).
 */
static int find_scope_name(Options *o) {
        _cleanup_(freep) char *usual = NULL;
        const char *given = getenv("SCIDEX_SOCKET");
        uint32_t hash = 2166136261U;
        int r = 0;

        if (!(given && *given))
                r = client_private_path(&usual);
        if (r < 0)
                return r;
        if ((usual && strcmp(usual, o->socket_path) == 0) || strcmp(o->socket_path, "/run/scidex/control") == 0) {
                o->scope_name = strdup("scidex.scope");
        } else {
                for (const char *c = o->socket_path; *c; c++)
                        hash = (hash ^ (unsigned char)*c) * 16777619U;
                o->scope_name = text_printf("scidex-%08x.scope", hash);
        }
        return o->scope_name ? 0 : -ENOMEM;
}

/* One that is not there is no reason not to start: limits are enforced, and it is tried again. */
static int find_recorder(Options *o) {
        int r = sibling_find("scidex-recorder", &o->recorder_program);

        if (r == -ENOENT) {
                o->recorder_program = strdup(SCIDEX_LIBEXEC "/scidex-recorder");
                r = o->recorder_program ? 0 : -ENOMEM;
        }
        return r;
}

/* The configuration knows $SCIDEX_STORAGE_SQLITE too. */
static int find_state_directory(Options *o) {
        if (!o->config || !o->config->sqlite)
                return client_state_directory(&o->state_directory);
        o->state_directory = strdup(o->config->sqlite);
        return o->state_directory ? 0 : -ENOMEM;
}

int options_find_paths(Options *o, char **ret_error) {
        int r = find_socket(o);

        if (r == 0)
                r = place_check(o->socket_path, ret_error);
        if (r == 0 && !o->state_directory)
                r = find_state_directory(o);
        if (r == 0)
                r = find_recorder(o);
        if (r == 0)
                r = find_scope_name(o);
        if (r < 0)
                return r;
        o->supervisor.socket_path = o->socket_path;
        o->supervisor.state_directory = o->state_directory;
        o->supervisor.recorder_program = o->recorder_program;
        o->supervisor.scope_name = o->scope_name;
        o->supervisor.keeper_unit = o->keeper_unit;
        return 0;
}

/* A private supervisor outlives the terminal it was started from: its log goes to a file beside the record. */
static void log_to_file(const Options *o) {
        _cleanup_(freep) char *path = text_printf("%s/supervisor.log", o->state_directory ? o->state_directory : "");
        _cleanup_(close_fdp) int fd = -EBADF;
        struct stat st;

        (void)directory_make(o->state_directory, 0700);
        fd = open(path ? path : "", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        if (fstat(fd, &st) == 0 && st.st_size > LOG_MAX_BYTES)
                (void)ftruncate(fd, 0);
        (void)dup2(fd, STDERR_FILENO);
}

void options_report(Options *o, const char *error) {
        const char *line = error ? error : "ready";

        if (o->ready_fd < 0)
                return;
        if (write(o->ready_fd, line, strlen(line)) < 0)
                log_line(LOG_LEVEL_WARNING, "nobody waits at --ready-fd, going on");
        o->ready_fd = close_fd(o->ready_fd);
        if (o->supervisor.private_mode && !error)
                log_to_file(o);
}

void options_deinit(Options *o) {
        free(o->socket_path);
        free(o->state_directory);
        free(o->recorder_program);
        free(o->scope_name);
        free(o->config_path);
        free(o->keeper_unit);
        if (o->config)
                config_free(o->config);
        o->ready_fd = close_fd(o->ready_fd);
}
