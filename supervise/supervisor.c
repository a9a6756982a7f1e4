/*
 * The wiring: one thread, one loop, every fd a source of it.
 *
 * Made by cmd/scidex-supervisor.  Knows all the modules and decides nothing.  The hard thing is to sleep: the shared
 * timer of the timelines (tick.c) is armed only while a run lives, and a private supervisor arms its idle timer only
 * when the last run has gone.
 */
#include "supervise/supervisor.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "control/client.h"
#include "control/priority.h"
#include "supervise/left.h"
#include "supervise/measure.h"
#include "supervise/supervisor-internal.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <systemd/sd-daemon.h>

#define IDLE_ACCURACY_USEC (100 * USEC_PER_MSEC)

static int on_idle(sd_event_source *source, uint64_t usec, void *userdata) {
        Supervisor *s = userdata;

        s->idle = sd_event_source_disable_unref(s->idle);
        if (s->n_runs == 0 && recorder_waiting(s->recorder) == 0)
                return sd_event_exit(s->event, 0);
        supervisor_check_idle(s);
        return 0;
}

void supervisor_check_idle(Supervisor *s) {
        uint64_t at;

        supervisor_check_drained(s);
        if (!s->options.private_mode)
                return;
        if (s->n_runs > 0) {
                s->idle = sd_event_source_disable_unref(s->idle);
                return;
        }
        if (s->idle)
                return;
        at = usec_add(clock_boottime_usec(), SUPERVISOR_IDLE_EXIT_USEC);
        (void)sd_event_add_time(s->event, &s->idle, CLOCK_BOOTTIME, at, IDLE_ACCURACY_USEC, on_idle, s);
}

void supervisor_check_drained(Supervisor *s) {
        if (s->draining && s->n_runs == 0 && recorder_waiting(s->recorder) == 0)
                serve_tell_drained(s);
}

static void on_group_event(int watch, void *userdata) {
        Supervisor *s = userdata;
        Run *run, *next;

        if (watch >= 0) {
                if (watching_find(s, watch, &run))
                        life_memory_event(s, run);
                return;
        }
        for (run = LIST_FIRST(&s->runs); run; run = next) { /* the queue overflowed */
                next = LIST_NEXT(run, link);
                life_memory_event(s, run);
        }
}

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Supervisor *s = userdata;

        (void)group_events_dispatch(&s->events, on_group_event, s);
        return 0;
}

static void on_recorded(const char *op, const char *id, void *userdata) {
        if (strcmp(op, "event") == 0)
                life_recorded(userdata, id);
        if (strcmp(op, "run") == 0) {
                rows_forget(&((Supervisor *)userdata)->rows, id);
                restart_forget_handover(userdata, id);
        }
        supervisor_check_drained(userdata);
}

static void on_recorder_state(const char *what, bool bad, void *userdata) {
        log_line(bad ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "%s", what);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        (void)sd_notify(0, "STOPPING=1");
        log_line(LOG_LEVEL_INFO, "stopping on SIG%s; runs live on", info->ssi_signo == SIGINT ? "INT" : "TERM");
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        (void)sd_notify(0, "RELOADING=1");
        supervisor_reload(userdata);
        (void)sd_notify(0, "READY=1");
        return 0;
}

static int add_signals(Supervisor *s) {
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t set;
        int r;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void)sigaddset(&set, signals[i]);
        (void)sigaddset(&set, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                r = sd_event_add_signal(s->event, NULL, signals[i], on_signal, s);
                if (r < 0)
                        return r;
        }
        (void)signal(SIGPIPE, SIG_IGN);
        r = sd_event_add_signal(s->event, NULL, SIGHUP, on_reload, s);
        return r < 0 ? r : 0;
}

/* A run costs three fds and a connection; the default of 1024 would be its bound. */
static void raise_fd_limit(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
                limit.rlim_cur = limit.rlim_max;
                (void)setrlimit(RLIMIT_NOFILE, &limit);
        }
}

static char *sentence(const char *what, int error, const TreeError *tree) {
        if (tree && tree->detail)
                return text_printf("%s: %s. %s", what, tree->detail, tree->hint ? tree->hint : "");
        return text_printf("%s: %s", what, strerror(-error));
}

static void strv_freep(char ***list) {
        for (char **word = *list; word && *word; word++)
                free(*word);
        free(*list);
}

/* The socket that systemd has bound to path and handed to us, -EBADF: none. */
static int find_handed(int n_handed, const char *path) {
        for (int fd = SD_LISTEN_FDS_START; fd < SD_LISTEN_FDS_START + n_handed; fd++)
                if (sd_is_socket_unix(fd, SOCK_SEQPACKET, 1, path, 0) > 0 && fcntl(fd, F_SETFL, O_NONBLOCK) >= 0)
                        return fd;
        return -EBADF;
}

static int open_socket(Supervisor *s, int n_handed, const char *path, int *ret_fd) {
        gid_t group = supervisor_policy(s).group;
        mode_t mode = group == PEER_GID_NONE ? 0600 : 0660;
        int r;

        *ret_fd = find_handed(n_handed, path);
        if (*ret_fd >= 0)
                return 0;
        r = server_listen(path, mode, group, ret_fd);
        s->bound = s->bound || (r == 0 && strcmp(path, s->options.socket_path) == 0);
        /* systemd may listen there for a supervisor that is stopped: a single pass can do without. */
        return r == -EADDRINUSE && supervisor_is_single_pass(s) ? 0 : r;
}

/*
 * The control socket is ours, so who listens here can only be the recorder of a supervisor that was killed: it ends
 * when it has written what it knew, which a hung disk may keep it from for ever.
 */
static int open_record_socket(Supervisor *s, int n_handed, int *ret_fd) {
        int r = open_socket(s, n_handed, s->record_path, ret_fd);

        if (r == -EADDRINUSE && unlink(s->record_path) == 0)
                r = open_socket(s, n_handed, s->record_path, ret_fd);
        return r;
}

static int open_sockets(Supervisor *s, int *ret_control, int *ret_record) {
        _cleanup_(close_fdp) int control = -EBADF;
        _cleanup_(strv_freep) char **names = NULL;
        int r, n_handed = sd_listen_fds_with_names(1, &names); /* 1: our children are not to find the variables */

        r = client_record_path(s->options.socket_path, &s->record_path);
        if (r == 0)
                r = open_socket(s, n_handed, s->options.socket_path, &control);
        if (r == 0)
                r = open_record_socket(s, n_handed, ret_record);
        if (r < 0)
                return r;
        supervisor_open_http(s, n_handed, names);
        *ret_control = TAKE_FD(control);
        return 0;
}

static int open_tree(Supervisor *s) {
        if (s->options.keeper_unit)
                return tree_open_keeper(&s->host, s->options.keeper_unit, &s->tree, &s->tree_error);
        return tree_open(&s->host, s->options.scope_name, &s->tree, &s->tree_error);
}

static int read_host(Supervisor *s) {
        struct utsname name;
        int r = host_facts_read(&s->host);

        if (r < 0)
                return r;
        r = clock_boot_id(s->boot_id);
        if (r < 0)
                return r;
        if (uname(&name) < 0)
                return -errno;
        s->host_name = strdup(name.nodename);
        s->started_at = clock_realtime_usec();
        s->cpus = (unsigned)MAX_OF(sysconf(_SC_NPROCESSORS_CONF), 1L);
        return s->host_name ? 0 : -ENOMEM;
}

/* The system's record is not kept by root, where the installation has made its user. */
static void find_recorder_user(const Supervisor *s, RecorderOptions *options) {
        int r;

        if (s->options.private_mode || !s->config || !s->config->system || geteuid() != 0)
                return;
        r = recorder_find_user("/etc/passwd", RECORDER_USER, &options->uid, &options->gid);
        options->becomes_user = r == 0 && options->uid != 0;
        if (!options->becomes_user)
                log_line(LOG_LEVEL_WARNING,
                        "there is no user " RECORDER_USER " in /etc/passwd (systemd-sysusers makes it): the record is "
                        "kept by root");
}

static int start_recorder(Supervisor *s, int record_fd) {
        _cleanup_(freep) char *history = s->config ? config_history_text(s->config) : NULL;
        RecorderOptions options = { .program = s->options.recorder_program,
                .history = history,
                .postgres = s->config ? s->config->postgres : NULL,
                .directory = s->options.state_directory,
                .listen_fd = record_fd,
                .policy = supervisor_policy(s),
                .http = supervisor_http(s),
                .recorded = on_recorded,
                .state_changed = on_recorder_state,
                .linked = tidings_linked,
                .asked = tidings_asked,
                .userdata = s };
        int r;

        find_recorder_user(s, &options);
        r = recorder_new(s->event, &options, &s->recorder);
        if (r == 0)
                tidings_linked(s); /* the first one was linked before we had it */
        return r;
}

static int open_all(Supervisor *s, char **ret_error) {
        int control = -EBADF, record = -EBADF, r;

        r = read_host(s);
        if (r < 0) {
                *ret_error = sentence("can't read this host's facts", r, NULL);
                return r;
        }
        r = open_tree(s);
        if (r < 0) {
                *ret_error = sentence("can't open the tree", r, &s->tree_error);
                return r;
        }
        s->starts = tidings_count_start(s->tree.fd);
        s->record_host = (RecordHost){ .host = s->host_name,
                .boot_id = s->boot_id,
                .tree_path = s->tree.path,
                .cmdline = s->config ? s->config->record_cmdline : RECORD_CMDLINE_FULL };
        r = open_sockets(s, &control, &record);
        if (r < 0) {
                *ret_error = sentence("can't bind the control socket", r, NULL);
                return r;
        }
        if (s->config->system)
                s->left_fd = left_open(s->options.socket_path, s->config->group);
        (void)rows_open(s->options.socket_path, &s->rows); /* without, a crash in a bad moment loses a row */
        r = start_recorder(s, record);
        if (r == 0)
                r = server_new(s->event, control, &serve_handlers, s, &s->server);
        if (r < 0)
                *ret_error = sentence("can't start", r, NULL);
        else
                supervisor_apply_users(s);
        return r;
}

int supervisor_new(const SupervisorOptions *options, Supervisor **ret, char **ret_error) {
        _cleanup_(config_freep) Config *config = options->config;
        _cleanup_(supervisor_freep) Supervisor *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        *s = (Supervisor){ .options = *options,
                .config = TAKE_PTR(config),
                .events.fd = -EBADF,
                .tree.fd = -EBADF,
                .left_fd = -EBADF,
                .rows = ROWS_NONE };
        LIST_INIT(&s->runs);
        LIST_INIT(&s->sessions);
        LIST_INIT(&s->listing);
        TAILQ_INIT(&s->uncommitted);
        raise_fd_limit();
        r = sd_event_default(&s->event);
        if (r >= 0)
                r = sd_event_set_watchdog(s->event, 1); /* nothing happens where systemd asked for none */
        if (r >= 0)
                r = supervisor_init_tick(s);
        if (r >= 0)
                r = add_signals(s);
        if (r == 0)
                r = group_events_init(&s->events);
        if (r == 0)
                r = sd_event_add_io(s->event, &s->inotify, s->events.fd, EPOLLIN, on_inotify, s);
        if (r < 0) {
                *ret_error = sentence("can't set up the event loop", r, NULL);
                return r;
        }
        r = open_all(s, ret_error);
        if (r < 0)
                return r;
        log_open_journal(); /* nothing ends the start from here on, and nothing may wait */
        (void)restart_adopt(s);
        supervisor_check_idle(s);
        if (supervisor_is_single_pass(s) && supervisor_begin_pass(s) < 0)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

int supervisor_run(Supervisor *s) {
        int r = sd_event_loop(s->event);

        if (r >= 0 && s->bound && (supervisor_is_single_pass(s) || (s->options.private_mode && s->n_runs == 0))) {
                /* Unlinked before the sockets close, so that a launcher finds no socket rather than a dead one. */
                (void)unlink(s->options.socket_path);
                (void)unlink(s->record_path);
                http_sockets_unlink(&s->http);
                tree_remove_if_empty(&s->tree);
        }
        return r;
}

void supervisor_free(Supervisor *s) {
        Run *run;
        Session *session;

        if (s->server)
                server_free(s->server);
        while ((session = LIST_FIRST(&s->sessions))) {
                LIST_REMOVE(session, link);
                free(session);
        }
        while ((run = LIST_FIRST(&s->runs))) {
                LIST_REMOVE(run, link);
                run_free(run);
        }
        if (s->recorder)
                recorder_free(s->recorder);
        http_sockets_deinit(&s->http);
        watching_deinit(s);
        measure_deinit();
        rows_deinit(&s->rows);
        (void)close_fd(s->left_fd);
        sd_event_source_disable_unref(s->inotify);
        sd_event_source_disable_unref(s->tick);
        sd_event_source_disable_unref(s->more);
        sd_event_source_disable_unref(s->idle);
        sd_event_source_disable_unref(s->pass);
        sd_event_source_disable_unref(s->samples);
        sd_event_source_disable_unref(s->http_retry);
        json_decref(s->ended);
        group_events_deinit(&s->events);
        tree_deinit(&s->tree);
        tree_error_deinit(&s->tree_error);
        host_facts_deinit(&s->host);
        sd_event_unref(s->event);
        json_decref(s->foreign_names);
        if (s->config)
                config_free(s->config);
        free(s->host_name);
        free(s->record_path);
        free(s);
}
