/*
 * From the start of the command to its end: signals, the supervisor's word, the backstop.
 *
 * Called by main after launch_start().  One poll loop over the signalfd and the connection.  The hard things: only
 * signals that a process sent are passed on, since those of the terminal reach the run by themselves (same process
 * group); and a supervisor may go and come back, so the end is told anew to each, and if none comes we decide by the
 * same rules.
 */
#include "cmd/scidex-run/launch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "control/client.h"
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define BACKSTOP_EXTRA_USEC  (5 * USEC_PER_SEC)  /* after deadline and grace: nobody else will end this run */
#define ALONE_AFTER_USEC     (10 * USEC_PER_SEC) /* no supervisor has come back by then after the run's end */
#define ANSWER_AFTER_USEC    (20 * USEC_PER_SEC) /* one is connected but silent for so long after end and grace */
#define CANCELS_MAX          6                   /* INTs and TERMs that are told to the supervisor */
#define RECONNECT_EVERY_USEC (50 * USEC_PER_MSEC)
#define LAST_REAPS           50 /* a millisecond each */

static void tell_exited(Launch *l) {
        _cleanup_(json_decrefp) json_t *message = message_request("exited");

        int r;

        l->exit_untold = false;
        if (l->connection.fd < 0 || !l->main_reaped)
                return;
        if (json_object_set_new(message, "status", json_integer(l->wait_status)) < 0 ||
                json_object_set_new(message, "exec_errno", json_integer(l->exec_errno)) < 0 ||
                json_object_set_new(message, "forwarded", json_integer(l->forwarded)) < 0 ||
                json_object_set_new(message, "backstop", json_boolean(l->backstop)) < 0 ||
                (l->killed && json_object_set(message, "killed", l->killed) < 0) ||
                json_object_set_new(message, "killed_count", json_integer((json_int_t)l->n_killed)) < 0)
                r = -ENOMEM;
        else
                r = message_send(l->connection.fd, message, NULL, 0);
        l->exit_untold = r == -ENOMEM; /* not a hang-up: that would be the end of a launcher that gives no status */
        if (r < 0 && !l->exit_untold)
                l->connection.fd = close_fd(l->connection.fd);
}

static void pass_on(Launch *l, int signal) {
        if (!l->main_reaped && l->spawned.pidfd >= 0)
                (void)pidfd_signal(l->spawned.pidfd, signal);
}

static void ask_cancel(Launch *l) {
        _cleanup_(json_decrefp) json_t *message = message_request("cancel");

        if (message && l->connection.fd >= 0)
                (void)message_send(l->connection.fd, message, NULL, 0);
        l->cancelled = true;
}

static void on_signal(Launch *l, const struct signalfd_siginfo *info) {
        int signal = (int)info->ssi_signo;
        bool sent = info->ssi_code <= 0; /* SI_USER, SI_QUEUE, SI_TKILL; the terminal's are SI_KERNEL */

        if (signal == SIGCHLD)
                return; /* reaped after every wake-up */
        /* Of a terminal's hang-up only the leader of the session is told. */
        if (sent || (signal == SIGHUP && getsid(0) == getpid()))
                pass_on(l, signal);
        if (signal == SIGTSTP) {
                (void)raise(SIGSTOP); /* the shell waits for us to stop; the run has its own */
                return;
        }
        if (signal == SIGCONT || signal == SIGWINCH)
                return;
        l->forwarded = signal;
        /* Not without end: a supervisor that stands still reads none, and we must not wait for it. */
        if ((signal == SIGINT || signal == SIGTERM) && ++l->n_asked >= 2 && l->n_asked <= CANCELS_MAX)
                ask_cancel(l);
}

static void read_signals(Launch *l) {
        struct signalfd_siginfo info;

        while (read(l->signal_fd, &info, sizeof(info)) == sizeof(info))
                on_signal(l, &info);
        launch_reap(l);
}

void launch_take_end(Launch *l, const json_t *body) {
        const char *verdict;

        l->run = json_incref(json_object_get(body, "run"));
        l->event = json_incref(json_object_get(body, "event"));
        l->recorded = json_is_true(json_object_get(body, "recorded"));
        if (json_get_text(l->run, "verdict", &verdict) == 0)
                l->verdict = verdict_from_string(verdict);
}

/* Ended and recorded while we had no connection: the record has the verdict. */
static void ask_record(Launch *l) {
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;
        _cleanup_(json_decrefp) json_t *request = message_request("why"), *end = json_object();
        _cleanup_(close_fdp) int fd = -EBADF;
        _cleanup_(freep) char *path = NULL;
        const char *verdict;

        if (!request || !end || client_record_path(l->connection.path, &path) < 0 || client_connect_now(path, &fd) != 0)
                return;
        (void)json_object_set_new(request, "run", json_string(l->run_id));
        if (client_ask(fd, request, USEC_PER_SEC, &reply) != 0 || !json_is_true(json_object_get(reply.body, "ok")))
                return;
        /* Its last row is on the way: until then the record shows it as it lived. */
        if (json_get_text(json_object_get(reply.body, "run"), "verdict", &verdict) < 0)
                return;
        (void)json_object_set(end, "run", json_object_get(reply.body, "run"));
        (void)json_object_set(end, "event", json_array_get(json_object_get(reply.body, "events"), 0));
        (void)json_object_set_new(end, "recorded", json_true());
        launch_take_end(l, end);
}

/* The run was over before we had begun it: its limit passed while this host was busy. Nobody will tell us any more. */
static void take_refusal(Launch *l) {
        ask_record(l);
        if (!l->run)
                l->connection.fd = close_fd(l->connection.fd);
}

static void read_connection(Launch *l) {
        _cleanup_(message_deinit) Message message = MESSAGE_NONE;
        const char *re = "", *code = "";
        int r = message_receive(l->connection.fd, &message);

        if (r == -EAGAIN || r == -ENOMEM)
                return;
        if (r != 0) {
                l->connection.fd = close_fd(l->connection.fd);
                return;
        }
        (void)json_get_text(message.body, "re", &re);
        (void)json_get_text(json_object_get(message.body, "error"), "code", &code);
        if (strcmp(re, "exited") == 0 && json_is_object(json_object_get(message.body, "run"))) {
                launch_take_end(l, message.body);
        } else if (strcmp(re, "exited") == 0) {
                take_refusal(l);
        } else if (strcmp(re, "changed") == 0) {
                launch_take_limits(l, message.body);
        } else if (strcmp(re, "attach") == 0 && strcmp(code, "gone") == 0) {
                if (l->main_reaped)
                        ask_record(l);
                l->connection.fd = close_fd(l->connection.fd);
        } else if (strcmp(re, "attach") == 0 && !json_is_true(json_object_get(message.body, "ok"))) {
                l->connection.fd = close_fd(l->connection.fd); /* our old connection stands for the run yet */
        } else if (strcmp(re, "attach") == 0) {
                launch_take_limits(l, message.body);
                tell_exited(l);
                if (l->cancelled)
                        ask_cancel(l);
        }
}

static void reconnect(Launch *l) {
        _cleanup_(json_decrefp) json_t *message = NULL;

        if (connection_reopen(&l->connection) < 0)
                return;
        message = message_request("attach");
        (void)json_object_set_new(message, "run_id", json_string(l->run_id));
        (void)json_object_set_new(message, "request", request_to_json(&l->request));
        (void)json_object_set_new(message, "launched_boottime_usec", json_from_u64(l->launched_usec));
        (void)json_object_set_new(message, "launched_at_usec", json_from_u64(l->launched_at));
        (void)json_object_set_new(message, "pid", json_integer(l->spawned.pid));
        if (message_send(l->connection.fd, message, NULL, 0) < 0)
                l->connection.fd = close_fd(l->connection.fd);
}

/* What was handed to us (subreaper) and the main process. */
static void kill_children(const Launch *l) {
        _cleanup_(fclosep) FILE *children = NULL;
        int pid;

        pass_on((Launch *)l, SIGKILL);
        children = fopen("/proc/thread-self/children", "re");
        while (children && fscanf(children, "%d", &pid) == 1) { /* NOLINT(cert-err34-c): the kernel's own numbers */
                _cleanup_(close_fdp) int pidfd = pidfd_open_pid(pid);

                if (pidfd >= 0)
                        (void)pidfd_signal(pidfd, SIGKILL); /* our own child: it can't have been reaped but by us */
        }
}

static void kill_all(Launch *l) {
        if (l->kill_fd >= 0)
                (void)!write(l->kill_fd, "1", 1);
        kill_children(l); /* also then: cgroup.kill passes by a process whose leader has ended */
}

static uint64_t backstop_usec(const Launch *l) {
        if (l->backstop || l->main_reaped)
                return USEC_INFINITY;
        return usec_add(usec_add(l->deadline_usec, l->request.grace_usec), BACKSTOP_EXTRA_USEC);
}

/* When a run that has ended is no longer waited for. */
static uint64_t alone_usec(const Launch *l) {
        if (!l->main_reaped)
                return USEC_INFINITY;
        if (l->connection.fd < 0)
                return usec_add(l->ended_usec, ALONE_AFTER_USEC);
        return usec_add(usec_add(l->ended_usec, l->request.grace_usec), ANSWER_AFTER_USEC);
}

static int poll_timeout(const Launch *l, uint64_t now_usec) {
        uint64_t next = MIN_OF(backstop_usec(l), alone_usec(l));

        if (l->connection.fd < 0 || l->exit_untold)
                next = MIN_OF(next, now_usec + RECONNECT_EVERY_USEC);
        if (next == USEC_INFINITY)
                return -1;
        return (int)MIN_OF(usec_sub(next, now_usec) / USEC_PER_MSEC + 1, UINT64_C(3600000));
}

/* Who has left the group (cgroup_exit(), kernel/exit.c) is a zombie only a moment later. Who lives on elsewhere is not
 * waited for. */
static void reap_rest(Launch *l) {
        siginfo_t peek;

        for (unsigned i = 0; i < LAST_REAPS; i++) {
                launch_reap(l);
                if (waitid(P_ALL, 0, &peek, WEXITED | WNOHANG | WNOWAIT) < 0)
                        return; /* ECHILD */
                (void)poll(NULL, 0, 1);
        }
}

static int wait_for_end(Launch *l) {
        while (!l->run) {
                struct pollfd waiting[2] = { { .fd = l->signal_fd, .events = POLLIN },
                        { .fd = l->connection.fd, .events = POLLIN } };
                uint64_t now_usec = clock_boottime_usec();

                if (now_usec >= backstop_usec(l)) {
                        l->backstop = true;
                        l->backstop_at = clock_realtime_usec();
                        kill_all(l);
                }
                if (now_usec >= alone_usec(l)) {
                        launch_decide_alone(l);
                        return 0;
                }
                if (poll(waiting, 2, poll_timeout(l, now_usec)) < 0 && errno != EINTR && errno != ENOMEM) {
                        run_say("can't wait for the run: %s; it is ended", strerror(errno));
                        return -EIO;
                }
                read_signals(l);
                if (l->exit_untold && clock_boottime_usec() >= l->tell_after_usec)
                        tell_exited(l);
                if (l->connection.fd < 0)
                        reconnect(l);
                else if (waiting[1].revents != 0)
                        read_connection(l);
        }
        return 0;
}

int launch_wait(Launch *l) {
        int r = wait_for_end(l);

        reap_rest(l);
        return r;
}
