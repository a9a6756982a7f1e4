/*
 * The recorder's arguments.
 *
 * Called by main.c.  All sockets are handed over by number, and a number that is no socket is a mistake of whoever
 * starts this: said at once, not when the first client comes.
 */
#include "cmd/scidex-recorder/options.h"

#include "base/log.h"
#include "base/parse.h"
#include <getopt.h>
#include <limits.h>
#include <sys/stat.h>
#include <sysexits.h>

#define PROGRAM "scidex-recorder"

static const char help_text[] =
        "Usage: " PROGRAM " --supervisor-fd N [--listen-fd M] --directory DIR\n"
        "       " PROGRAM " --listen-fd M --directory DIR\n"
        "       " PROGRAM " --read --fd N --directory DIR\n"
        "\n"
        "Keeps the record of runs and kills (DIR/spool.sqlite). scidex-supervisor and scidexctl start it.\n"
        "\n"
        "  --supervisor-fd N   socketpair to the supervisor; the recorder ends when that hangs up\n"
        "  --listen-fd M       listening socket on which the record is read\n"
        "  --directory DIR     where the record lies; made if missing (0700)\n"
        "  --history HISTORY   how much is kept: 30days, 1G, or both \"30days,1G\"\n"
        "  --uid N --gid N     become this user before anything is opened; the record in DIR is given to it\n"
        "  --group N --group-name NAME\n"
        "                      whose members may read about their own runs; others but root read nothing\n"
        "  --admin-group N     whose members may read all\n"
        "  --http-fd K         listening socket of the status over HTTP; may be given several times\n"
        "  --http-host NAME    further name that a Host header may have; may be given several times\n"
        "  --http-hide-analysis-ids\n"
        "                      over TCP no analysis id is shown\n"
        "  --read              only answer the connected socket --fd N; create and change nothing\n"
        "  --help, --version\n"
        "\n"
        "Environment: SCIDEX_STORAGE_HISTORY (as --history, which wins),\n"
        "SCIDEX_STORAGE_POSTGRES (connection string: what comes is also shipped there),\n"
        "CREDENTIALS_DIRECTORY (postgres.password in it: used where the string names none).\n"
        "Exit status: 0 done; 1 records could not be stored, or the start failed; 64 usage.\n";

static int usage(const char *input, const char *reason, const char *remedy) {
        log_line(LOG_LEVEL_ERROR, "%s: %s; %s", input, reason, remedy);
        return EX_USAGE;
}

static int parse_socket(const char *option, const char *text, int *ret_fd) {
        struct stat st;
        uint64_t value;

        if (parse_u64(text, &value) < 0 || value > INT_MAX || fstat((int)value, &st) < 0)
                return usage(option, "is no open file descriptor", "give the number of a socket that is passed on");
        if (!S_ISSOCK(st.st_mode))
                return usage(option, "is no socket", "give the number of a socket that is passed on");
        *ret_fd = (int)value;
        return 0;
}

static int parse_id(const char *option, const char *text, uint32_t *ret) {
        uint64_t value;

        if (parse_u64(text, &value) < 0 || value >= OPTIONS_ID_NONE)
                return usage(option, "is no id", "give the number of a user or group");
        *ret = (uint32_t)value;
        return 0;
}

static int add_http_fd(Options *options, const char *text) {
        if (options->n_http_fds == OPTIONS_HTTP_FDS_MAX)
                return usage("--http-fd", "is given too often", "name fewer addresses");
        return parse_socket("--http-fd", text, &options->http_fds[options->n_http_fds++]);
}

static int add_host(Options *options, const char *text) {
        if (options->n_hosts == OPTIONS_HOSTS_MAX)
                return usage("--http-host", "is given too often", "name fewer hosts");
        options->hosts[options->n_hosts++] = text;
        return 0;
}

static int check_options(const Options *options) {
        if (!options->directory || !*options->directory)
                return usage("--directory", "is missing", "name the directory of the record");
        if (options->read && options->client_fd < 0)
                return usage("--read", "needs a client", "add --fd N, a connected socket");
        if (options->read && (options->supervisor_fd >= 0 || options->listen_fd >= 0 || options->n_http_fds > 0))
                return usage(
                        "--read", "serves one client only", "leave out --supervisor-fd, --listen-fd and --http-fd");
        if (!options->read && options->client_fd >= 0)
                return usage("--fd", "belongs to --read", "add --read, or give --supervisor-fd");
        if ((options->uid == OPTIONS_ID_NONE) != (options->gid == OPTIONS_ID_NONE))
                return usage("--uid", "is half of a user", "give --uid and --gid together");
        if (!options->read && options->supervisor_fd < 0 && options->listen_fd < 0)
                return usage("--supervisor-fd", "is missing", "scidex-supervisor starts this program; see --help");
        return 0;
}

enum {
        OPTION_SUPERVISOR = 1,
        OPTION_LISTEN,
        OPTION_FD,
        OPTION_DIRECTORY,
        OPTION_HISTORY,
        OPTION_READ,
        OPTION_HTTP_FD,
        OPTION_HTTP_HOST,
        OPTION_HTTP_HIDE,
        OPTION_UID,
        OPTION_GID,
        OPTION_GROUP,
        OPTION_GROUP_NAME,
        OPTION_ADMIN_GROUP,
        OPTION_HELP,
        OPTION_VERSION
};

static const struct option long_options[] = {
        { "supervisor-fd", required_argument, NULL, OPTION_SUPERVISOR },
        { "listen-fd", required_argument, NULL, OPTION_LISTEN },
        { "fd", required_argument, NULL, OPTION_FD },
        { "directory", required_argument, NULL, OPTION_DIRECTORY },
        { "history", required_argument, NULL, OPTION_HISTORY },
        { "read", no_argument, NULL, OPTION_READ },
        { "http-fd", required_argument, NULL, OPTION_HTTP_FD },
        { "http-host", required_argument, NULL, OPTION_HTTP_HOST },
        { "http-hide-analysis-ids", no_argument, NULL, OPTION_HTTP_HIDE },
        { "uid", required_argument, NULL, OPTION_UID },
        { "gid", required_argument, NULL, OPTION_GID },
        { "group", required_argument, NULL, OPTION_GROUP },
        { "group-name", required_argument, NULL, OPTION_GROUP_NAME },
        { "admin-group", required_argument, NULL, OPTION_ADMIN_GROUP },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { NULL, 0, NULL, 0 },
};

int options_parse(int argc, char *argv[], Options *ret) {
        int c, r = 0;

        *ret = (Options){ .supervisor_fd = -EBADF,
                .listen_fd = -EBADF,
                .client_fd = -EBADF,
                .uid = OPTIONS_ID_NONE,
                .gid = OPTIONS_ID_NONE,
                .policy = PEER_POLICY_PRIVATE(geteuid()) };
        opterr = 0;
        while (r == 0 && (c = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
                switch (c) {
                case OPTION_SUPERVISOR:
                        r = parse_socket("--supervisor-fd", optarg, &ret->supervisor_fd);
                        break;
                case OPTION_LISTEN:
                        r = parse_socket("--listen-fd", optarg, &ret->listen_fd);
                        break;
                case OPTION_FD:
                        r = parse_socket("--fd", optarg, &ret->client_fd);
                        break;
                case OPTION_DIRECTORY:
                        ret->directory = optarg;
                        break;
                case OPTION_HISTORY:
                        ret->history = optarg;
                        break;
                case OPTION_READ:
                        ret->read = true;
                        break;
                case OPTION_HTTP_FD:
                        r = add_http_fd(ret, optarg);
                        break;
                case OPTION_HTTP_HOST:
                        r = add_host(ret, optarg);
                        break;
                case OPTION_HTTP_HIDE:
                        ret->hides_analysis_ids = true;
                        break;
                case OPTION_UID:
                        r = parse_id("--uid", optarg, &ret->uid);
                        break;
                case OPTION_GID:
                        r = parse_id("--gid", optarg, &ret->gid);
                        break;
                case OPTION_GROUP:
                        r = parse_id("--group", optarg, &ret->policy.group);
                        break;
                case OPTION_ADMIN_GROUP:
                        r = parse_id("--admin-group", optarg, &ret->policy.admin_group);
                        break;
                case OPTION_GROUP_NAME:
                        ret->policy.group_name = optarg;
                        break;
                case OPTION_HELP:
                case OPTION_VERSION:
                        (void)fputs(c == OPTION_HELP ? help_text : PROGRAM " " SCIDEX_VERSION "\n", stdout);
                        ret->done = true;
                        return 0;
                default:
                        return usage(argv[optind - 1], "is no option, or lacks its value", "see " PROGRAM " --help");
                }
        if (r == 0 && optind < argc)
                return usage(argv[optind], "is not expected", "this program takes options only; see --help");
        return r == 0 ? check_options(ret) : r;
}
