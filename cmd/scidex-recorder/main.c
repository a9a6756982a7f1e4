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
#include "cmd/scidex-recorder/answers.h"
#include "cmd/scidex-recorder/become.h"
#include "cmd/scidex-recorder/face.h"
#include "cmd/scidex-recorder/intake.h"
#include "cmd/scidex-recorder/options.h"
#include "cmd/scidex-recorder/shipping.h"
#include "status/sampler.h"
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define PROGRAM "scidex-recorder"

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
                .of_system = options->uid != OPTIONS_ID_NONE || options->policy.group_name };

        return options->read ? 0 : shipping_new(event, spool, &shipping, ret);
}

/* What is shown, in the order in which it is freed, from the last. */
typedef struct Showing {
        Live *live;       /* owned */
        Sampler *sampler; /* owned */
        Face *face;       /* owned */
} Showing;

static void showing_deinit(Showing *showing) {
        if (showing->face)
                face_free(showing->face);
        if (showing->sampler)
                sampler_free(showing->sampler);
        if (showing->live)
                live_free(showing->live);
}

static int begin_showing(sd_event *event, const Options *options, const Answers *answers, Showing *ret) {
        FaceOptions face = { .fds = options->http_fds,
                .n_fds = options->n_http_fds,
                .hosts = options->hosts,
                .n_hosts = options->n_hosts,
                .hides_analysis_ids = options->hides_analysis_ids,
                .policy = &options->policy,
                .spool = answers->spool,
                .shipping = answers->shipping,
                .intake = answers->intake };
        int r;

        if (options->n_http_fds == 0 || !face_is_possible())
                return 0;
        r = live_new(&ret->live);
        if (r == 0)
                r = live_load(ret->live, answers->spool);
        if (r == 0)
                r = sampler_new(event, ret->live, &ret->sampler);
        if (r < 0)
                return r;
        face.live = ret->live;
        intake_set_live(answers->intake, ret->live);
        return face_new(event, &face, &ret->face);
}

static int serve(sd_event *event, const Options *options, Spool *spool, Shipping *shipping) {
        Answers answers = { .spool = spool, .shipping = shipping, .until_closed = options->read ? event : NULL };
        _cleanup_(server_freep) Server *server = NULL;
        _cleanup_(intake_freep) Intake *intake = NULL;
        _cleanup_(showing_deinit) Showing showing = { 0 };
        int r;

        r = server_new(event, options->listen_fd, &answers_handlers, &answers, &server);
        if (r >= 0)
                r = options->read ? server_add_client(server, options->client_fd, NULL)
                                  : intake_new(event, options->supervisor_fd, spool, shipping, &intake);
        answers.intake = intake;
        if (r < 0)
                return r;
        server_set_policy(server, &options->policy);
        r = begin_showing(event, options, &answers, &showing);
        if (r < 0)
                log_line(LOG_LEVEL_ERROR, "no status over HTTP: %s; the record is kept", strerror(-r));
        return sd_event_loop(event);
}

/* Before anything is opened. The policy's owner follows: what is kept as a user is that user's to read. */
static int settle_user(Options *options) {
        int r;

        if (options->uid == OPTIONS_ID_NONE)
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
        for (size_t i = 0; i < options->n_http_fds; i++)
                if (fcntl(options->http_fds[i], F_SETFD, FD_CLOEXEC) < 0)
                        return -errno;
        return 0;
}

int main(int argc, char *argv[]) {
        Options options;
        int r;

        log_open(PROGRAM, LOG_LEVEL_INFO);
        r = options_parse(argc, argv, &options);
        if (r != 0 || options.done)
                return r;
        if (!options.read)
                shipping_exec(argv, options.n_http_fds > 0);
        r = keep_sockets(&options) < 0 ? EXIT_FAILURE : run(&options);
        return shipping_leave(r);
}
