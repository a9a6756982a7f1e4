/*
 * scidex-recorder: keeps the record, and answers those who read it.
 *
 * Started by the supervisor as its child (--supervisor-fd), or by scidexctl where no supervisor is (--read).  It may
 * wait for a disk as long as that takes: that is what it is apart from the supervisor for.  The hard thing is its end:
 * a Ctrl-C at the terminal reaches it together with the supervisor, which still has rows to send then.  So with a
 * supervisor the signals of a terminal and a service manager are ignored, and the hang-up of the supervisor is the end.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "cmd/scidex-recorder/answers.h"
#include "cmd/scidex-recorder/become.h"
#include "cmd/scidex-recorder/intake.h"
#include "cmd/scidex-recorder/shipping.h"
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>

#define PROGRAM "scidex-recorder"
#define ID_NONE UINT32_MAX

typedef struct Options {
        const char *directory, *history;         /* history NULL: as the environment says */
        int supervisor_fd, listen_fd, client_fd; /* -EBADF: not given */
        uint32_t uid, gid;                       /* ID_NONE: stay who we are */
        PeerPolicy policy;                       /* who may read; without a group, ourselves and root */
        bool read, done;
} Options;

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

        if (parse_u64(text, &value) < 0 || value >= ID_NONE)
                return usage(option, "is no id", "give the number of a user or group");
        *ret = (uint32_t)value;
        return 0;
}

static int check_options(const Options *options) {
        if (!options->directory || !*options->directory)
                return usage("--directory", "is missing", "name the directory of the record");
        if (options->read && options->client_fd < 0)
                return usage("--read", "needs a client", "add --fd N, a connected socket");
        if (options->read && (options->supervisor_fd >= 0 || options->listen_fd >= 0))
                return usage("--read", "serves one client only", "leave out --supervisor-fd and --listen-fd");
        if (!options->read && options->client_fd >= 0)
                return usage("--fd", "belongs to --read", "add --read, or give --supervisor-fd");
        if ((options->uid == ID_NONE) != (options->gid == ID_NONE))
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
        { "uid", required_argument, NULL, OPTION_UID },
        { "gid", required_argument, NULL, OPTION_GID },
        { "group", required_argument, NULL, OPTION_GROUP },
        { "group-name", required_argument, NULL, OPTION_GROUP_NAME },
        { "admin-group", required_argument, NULL, OPTION_ADMIN_GROUP },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { NULL, 0, NULL, 0 },
};

static int parse_options(int argc, char *argv[], Options *ret) {
        int c, r = 0;

        *ret = (Options){ .supervisor_fd = -EBADF,
                .listen_fd = -EBADF,
                .client_fd = -EBADF,
                .uid = ID_NONE,
                .gid = ID_NONE,
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

static void read_history(const Options *options, uint64_t *ret_usec, uint64_t *ret_bytes) {
        const char *text = options->history ? options->history : getenv("SCIDEX_STORAGE_HISTORY"), *hint = NULL;

        *ret_usec = HISTORY_USEC_DEFAULT;
        *ret_bytes = HISTORY_BYTES_DEFAULT;
        if (text && *text && spool_parse_history(text, ret_usec, ret_bytes, &hint) < 0)
                log_line(LOG_LEVEL_WARNING, "%s \"%s\" is not understood, ignoring it (30days,1G holds): %s",
                        options->history ? "--history" : "SCIDEX_STORAGE_HISTORY", text, hint ? hint : "");
}

typedef struct Host {
        char name[HOST_NAME_MAX + 1], boot_id[37];
} Host;

static int open_spool(const Options *options, const Host *host, Spool **ret) {
        SpoolOptions spool = { .directory = options->directory,
                .host = host->name,
                .boot_id = host->boot_id,
                .read_only = options->read,
                .outbox = shipping_is_wanted() };

        read_history(options, &spool.history_usec, &spool.history_bytes);
        return spool_new(&spool, ret);
}

/* With a supervisor its hang-up is the end; without, a signal is. SIGPIPE is an error code of a write in either case.
 */
static int settle_signals(sd_event *event, const Options *options) {
        static const int of_terminal[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU };
        sigset_t ends;
        int r;

        (void)signal(SIGPIPE, SIG_IGN);
        if (options->supervisor_fd >= 0) {
                for (size_t i = 0; i < ELEMENTSOF(of_terminal); i++)
                        (void)signal(of_terminal[i], SIG_IGN);
                return 0;
        }
        (void)sigemptyset(&ends);
        (void)sigaddset(&ends, SIGINT);
        (void)sigaddset(&ends, SIGTERM);
        if (sigprocmask(SIG_BLOCK, &ends, NULL) < 0)
                return -errno;
        r = sd_event_add_signal(event, NULL, SIGINT, NULL, NULL);
        return r < 0 ? r : sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
}

/* The system's supervisor gives its recorder a user, or says whose members may read; a user's own does neither. */
static int begin_shipping(sd_event *event, const Options *options, const Host *host, Spool *spool, Shipping **ret) {
        ShippingOptions shipping = { .directory = options->directory,
                .host = host->name,
                .boot_id = host->boot_id,
                .of_system = options->uid != ID_NONE || options->policy.group_name };

        return options->read ? 0 : shipping_new(event, spool, &shipping, ret);
}

static int serve(sd_event *event, const Options *options, Spool *spool, Shipping *shipping) {
        Answers answers = { .spool = spool, .shipping = shipping, .until_closed = options->read ? event : NULL };
        _cleanup_(server_freep) Server *server = NULL;
        _cleanup_(intake_freep) Intake *intake = NULL;
        int r;

        r = server_new(event, options->listen_fd, &answers_handlers, &answers, &server);
        if (r >= 0)
                r = options->read ? server_add_client(server, options->client_fd, NULL)
                                  : intake_new(event, options->supervisor_fd, spool, shipping, &intake);
        answers.intake = intake;
        if (r < 0)
                return r;
        server_set_policy(server, &options->policy);
        return sd_event_loop(event);
}

/* Before anything is opened. The policy's owner follows: what is kept as a user is that user's to read. */
static int settle_user(Options *options) {
        int r;

        if (options->uid == ID_NONE)
                return 0;
        r = become_prepare(options->directory, options->uid, options->gid);
        if (r < 0)
                log_line(LOG_LEVEL_ERROR, "can't give %s to uid %u: %s; give it by hand: chown -R", options->directory,
                        (unsigned)options->uid, strerror(-r));
        r = become_user(options->uid, options->gid);
        if (r < 0)
                log_line(LOG_LEVEL_ERROR, "can't become uid %u: %s", (unsigned)options->uid, strerror(-r));
        options->policy.owner = options->uid;
        return r;
}

static int run(Options *options) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(shipping_freep) Shipping *shipping = NULL;
        Host host = { .name = "" };
        int r;

        (void)umask(077);
        (void)gethostname(host.name, sizeof(host.name) - 1);
        (void)clock_boot_id(host.boot_id);
        shipping_read_credential();
        if (settle_user(options) < 0)
                return EXIT_FAILURE;
        r = sd_event_new(&event);
        if (r >= 0)
                r = settle_signals(event, options);
        if (r >= 0)
                r = open_spool(options, &host, &spool);
        if (r >= 0)
                r = begin_shipping(event, options, &host, spool, &shipping);
        if (r >= 0)
                r = serve(event, options, spool, shipping);
        if (r < 0)
                log_line(LOG_LEVEL_ERROR, "cannot start: %s", strerror(-r));
        return r < 0 ? EXIT_FAILURE : r;
}

/* From any child. Not before this program has become the one that ships. */
static int keep_sockets(const Options *options) {
        const int fds[] = { options->supervisor_fd, options->listen_fd, options->client_fd };

        for (size_t i = 0; i < ELEMENTSOF(fds); i++)
                if (fds[i] >= 0 && fcntl(fds[i], F_SETFD, FD_CLOEXEC) < 0)
                        return -errno;
        return 0;
}

int main(int argc, char *argv[]) {
        Options options;
        int r;

        log_open(PROGRAM, LOG_LEVEL_INFO);
        r = parse_options(argc, argv, &options);
        if (r != 0 || options.done)
                return r;
        if (!options.read)
                shipping_exec(argv);
        r = keep_sockets(&options) < 0 ? EXIT_FAILURE : run(&options);
        return shipping_leave(r);
}
