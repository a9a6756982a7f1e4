/*
 * The wiring: one thread, one loop, every fd a source of it.
 *
 * Made by cmd/scidex-supervisor.  Knows all the modules and decides nothing.  The hard thing is to sleep: there is no
 * tick; the shared timer of the timelines is armed only while a run lives and for when the next sample is due, and a
 * private supervisor arms its idle timer only when the last run has gone.
 */
#include "supervise/supervisor.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "control/client.h"
#include "supervise/supervisor-internal.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#define TICK_ACCURACY_USEC  (100 * USEC_PER_MSEC)
#define CLIENTS_OF_UID_MAX  16000 /* all that one user's cap of runs can ask for */
#define CLIENTS_BESIDE_RUNS 64    /* scidexctl and the like */

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Supervisor *s = userdata;

        s->tick_usec = USEC_INFINITY;
        life_tick(s, clock_boottime_usec());
        supervisor_arm_tick(s);
        return 0;
}

void supervisor_arm_tick(Supervisor *s) {
        uint64_t next = life_next_tick_usec(s, clock_boottime_usec());

        if (next == USEC_INFINITY || next >= s->tick_usec)
                return;
        if (!s->tick) {
                if (sd_event_add_time(s->event, &s->tick, CLOCK_BOOTTIME, next, TICK_ACCURACY_USEC, on_tick, s) >= 0)
                        s->tick_usec = next;
                return;
        }
        s->tick_usec = next;
        (void)sd_event_source_set_time(s->tick, next);
        (void)sd_event_source_set_enabled(s->tick, SD_EVENT_ONESHOT);
}

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

        if (!s->options.private_mode)
                return;
        if (s->n_runs > 0) {
                s->idle = sd_event_source_disable_unref(s->idle);
                return;
        }
        if (s->idle)
                return;
        at = usec_add(clock_boottime_usec(), SUPERVISOR_IDLE_EXIT_USEC);
        (void)sd_event_add_time(s->event, &s->idle, CLOCK_BOOTTIME, at, TICK_ACCURACY_USEC, on_idle, s);
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
        else if (strcmp(op, "run") == 0)
                restart_forget_handover(userdata, id);
}

static void on_recorder_state(const char *what, bool bad, void *userdata) {
        log_line(bad ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "%s", what);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        log_line(LOG_LEVEL_INFO, "stopping on SIG%s; runs live on", info->ssi_signo == SIGINT ? "INT" : "TERM");
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int add_signals(Supervisor *s) {
        static const int signals[] = { SIGTERM, SIGINT };
        sigset_t set;
        int r;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void)sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                r = sd_event_add_signal(s->event, NULL, signals[i], on_signal, s);
                if (r < 0)
                        return r;
        }
        (void)signal(SIGPIPE, SIG_IGN);
        return 0;
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

/* Who may ask what. Borrows from the configuration. */
static PeerPolicy policy_of(const Supervisor *s) {
        PeerPolicy policy = PEER_POLICY_PRIVATE(geteuid());

        if (s->options.private_mode || !s->config || !s->config->system)
                return policy;
        policy.group = s->config->group;
        policy.admin_group = s->config->admin_group;
        policy.group_name = s->config->group_name;
        return policy;
}

void supervisor_apply_users(Supervisor *s) {
        AccountBounds bounds = ACCOUNT_BOUNDS_DEFAULT;
        PeerPolicy policy = policy_of(s);

        if (s->config && s->config->caps.runs_max < CLIENTS_OF_UID_MAX)
                bounds.clients = MAX_OF(bounds.clients, (unsigned)s->config->caps.runs_max + CLIENTS_BESIDE_RUNS);
        server_set_policy(s->server, &policy);
        server_set_bounds(s->server, &bounds);
}

static int open_sockets(Supervisor *s, int *ret_control, int *ret_record) {
        _cleanup_(close_fdp) int control = -EBADF;
        gid_t group = policy_of(s).group;
        mode_t mode = group == PEER_GID_NONE ? 0600 : 0660;
        int r;

        r = client_record_path(s->options.socket_path, &s->record_path);
        if (r == 0)
                r = server_listen(s->options.socket_path, mode, group, &control);
        if (r == 0)
                r = server_listen(s->record_path, mode, group, ret_record);
        if (r < 0)
                return r;
        *ret_control = TAKE_FD(control);
        return 0;
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

static int start_recorder(Supervisor *s, int record_fd) {
        RecorderOptions options = { .program = s->options.recorder_program,
                .directory = s->options.state_directory,
                .listen_fd = record_fd,
                .recorded = on_recorded,
                .state_changed = on_recorder_state,
                .userdata = s };

        return recorder_new(s->event, &options, &s->recorder);
}

static int open_all(Supervisor *s, char **ret_error) {
        int control = -EBADF, record = -EBADF, r;

        r = read_host(s);
        if (r < 0) {
                *ret_error = sentence("can't read this host's facts", r, NULL);
                return r;
        }
        r = tree_open(&s->host, s->options.scope_name, &s->tree, &s->tree_error);
        if (r < 0) {
                *ret_error = r == -EBUSY ? text_printf("another supervisor holds the tree")
                                         : sentence("can't open the tree", r, &s->tree_error);
                return r;
        }
        s->record_host = (RecordHost){ .host = s->host_name, .boot_id = s->boot_id, .tree_path = s->tree.path };
        r = open_sockets(s, &control, &record);
        if (r < 0) {
                *ret_error = sentence("can't bind the control socket", r, NULL);
                return r;
        }
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
                .tick_usec = USEC_INFINITY,
                .events.fd = -EBADF,
                .tree.fd = -EBADF };
        LIST_INIT(&s->runs);
        LIST_INIT(&s->sessions);
        raise_fd_limit();
        r = sd_event_default(&s->event);
        if (r == 0 || r == 1)
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
        (void)restart_adopt(s);
        supervisor_check_idle(s);
        *ret = TAKE_PTR(s);
        return 0;
}

int supervisor_run(Supervisor *s) {
        int r = sd_event_loop(s->event);

        if (r >= 0 && s->options.private_mode && s->n_runs == 0) {
                /* Unlinked before the sockets close, so that a launcher finds no socket rather than a dead one. */
                (void)unlink(s->options.socket_path);
                (void)unlink(s->record_path);
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
        watching_deinit(s);
        sd_event_source_disable_unref(s->inotify);
        sd_event_source_disable_unref(s->tick);
        sd_event_source_disable_unref(s->idle);
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
