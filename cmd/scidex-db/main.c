/*
 * scidex-db: reads and changes the record in PostgreSQL for scidexctl.
 *
 * Started by scidexctl on a socketpair, as scidex-recorder is with --read, so that scidexctl itself loads no libpq. The
 * connection string comes in the environment and never in argv, which other users can read.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"
#include "cmd/scidex-db/serve.h"
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>

#define PROGRAM "scidex-db"

static const char help_text[] =
        "Usage: " PROGRAM " --fd N\n"
        "\n"
        "Reads and changes the record in PostgreSQL. scidexctl starts it.\n"
        "\n"
        "  --fd N              connected socket of the client; its hang-up is the end\n"
        "  --help, --version\n"
        "\n"
        "Environment: SCIDEX_STORAGE_POSTGRES (libpq's connection string or URI), and libpq's own variables.\n"
        "Exit status: 0 done; 1 talking to the client failed; 64 usage.\n";

enum {
        OPTION_FD = 1,
        OPTION_HELP,
        OPTION_VERSION,
};

static const struct option long_options[] = {
        { "fd", required_argument, NULL, OPTION_FD },
        { "help", no_argument, NULL, OPTION_HELP },
        { "version", no_argument, NULL, OPTION_VERSION },
        { NULL, 0, NULL, 0 },
};

static int usage(const char *reason) {
        log_line(LOG_LEVEL_ERROR, "%s; scidexctl starts this program, see " PROGRAM " --help", reason);
        return EX_USAGE;
}

static int parse_fd(const char *text, int *ret) {
        struct stat info;
        uint64_t value;

        if (parse_u64(text, &value) < 0 || value > INT_MAX || fstat((int)value, &info) < 0 || !S_ISSOCK(info.st_mode))
                return usage("--fd: no open socket");
        *ret = (int)value;
        return 0;
}

/* 0 and a socket, or *ret_done and the exit status. */
static int parse_options(int argc, char *argv[], int *ret_fd, bool *ret_done) {
        int c, r = 0;

        opterr = 0;
        while (r == 0 && (c = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
                switch (c) {
                case OPTION_FD:
                        r = parse_fd(optarg, ret_fd);
                        break;
                case OPTION_HELP:
                case OPTION_VERSION:
                        (void)fputs(c == OPTION_HELP ? help_text : PROGRAM " " SCIDEX_VERSION "\n", stdout);
                        *ret_done = true;
                        return 0;
                default:
                        return usage("an option that is unknown or lacks its value");
                }
        if (r == 0 && optind < argc)
                return usage("an argument that is no option");
        return r == 0 && *ret_fd < 0 ? usage("--fd is missing") : r;
}

int main(int argc, char *argv[]) {
        _cleanup_(session_deinit) Session session = { .fd = -EBADF };
        bool done = false;
        int r;

        log_open(PROGRAM, LOG_LEVEL_INFO);
        r = parse_options(argc, argv, &session.fd, &done);
        if (r != 0 || done)
                return r;
        (void)fcntl(session.fd, F_SETFD, FD_CLOEXEC);
        (void)signal(SIGPIPE, SIG_IGN);
        session.conninfo = getenv("SCIDEX_STORAGE_POSTGRES");
        r = serve(&session);
        if (r < 0)
                log_line(LOG_LEVEL_ERROR, "talking to the client failed: %s", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
