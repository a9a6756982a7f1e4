/*
 * The beginning of a run: ask the supervisor for a group, start the command inside it.
 *
 * Called by main.  The hard thing is that the launcher may not be allowed to start a process in the group (a login
 * session): then a child is forked that waits at a gate, the supervisor moves it, and only then it goes on to exec, so
 * that no byte is ever charged elsewhere.
 */
#include "cmd/scidex-run/launch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "control/client.h"
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#define ANSWER_WAIT_USEC (20 * USEC_PER_SEC)
#define AGAIN_EVERY_MSEC 20

/* What is blocked and read from the signalfd while the run lives; terminal stops (TTIN, TTOU) keep their default. */
static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGTSTP,
        SIGCHLD };

static void say_error(const json_t *reply) {
        const json_t *error = json_object_get(reply, "error");
        const char *message = "no reason given", *detail = NULL, *hint = NULL;

        (void)json_get_text(error, "message", &message);
        (void)json_get_text(error, "detail", &detail);
        (void)json_get_text(error, "hint", &hint);
        run_say("%s%s%s%s%s", message, detail ? ": " : "", detail ? detail : "", hint ? ". " : "", hint ? hint : "");
}

/* One question while the run is being made. 0 with *ret (also ok:false), -errno. */
static bool is_change(const Message *packet) {
        const char *re;

        return json_get_text(packet->body, "re", &re) == 0 && strcmp(re, "changed") == 0;
}

static int ask(Launch *l, json_t *request, Message *ret) {
        uint64_t until_usec = usec_add(clock_boottime_usec(), ANSWER_WAIT_USEC);
        _cleanup_(json_decrefp) json_t *owned = request;
        int r;

        if (!owned)
                return -ENOMEM;
        r = client_ask(l->connection.fd, owned, ANSWER_WAIT_USEC, ret);
        while (r == 0 && is_change(ret)) { /* `set` was quicker than we */
                launch_take_limits(l, ret->body);
                message_deinit(ret);
                *ret = MESSAGE_NONE;
                r = client_await(l->connection.fd, until_usec, ret);
        }
        return r > 0 ? -ECONNRESET : r;
}

static int take_environment(Launch *l, const json_t *list) {
        size_t n = json_array_size(list);

        l->environment = calloc(n + 1, sizeof(char *));
        if (!l->environment)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *text = json_string_value(json_array_get(list, i));

                l->environment[i] = strdup(text ? text : "");
                if (!l->environment[i])
                        return -ENOMEM;
        }
        return 0;
}

static void say_warnings(const Launch *l, const json_t *list) {
        const json_t *text;
        size_t i;

        if (l->options->quiet)
                return;
        json_array_foreach(list, i, text) run_say("warning: %s", json_string_value(text));
}

void launch_take_limits(Launch *l, const json_t *body) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };

        (void)request_update(&l->request, json_object_get(body, "request"), &error);
        (void)json_get_u64(body, "deadline_boottime_usec", &l->deadline_usec);
}

int launch_take_answer(Launch *l, Message *reply) {
        const char *id, *start = "", *directory;

        if (json_get_text(reply->body, "run_id", &id) < 0 || json_get_text(reply->body, "start", &start) < 0)
                return -EBADMSG;
        if (strcmp(start, "plain") != 0 && reply->n_fds == 0)
                return -EBADMSG; /* a group without its fd: outside of it nothing would hold the command */
        l->run_id = strdup(id);
        if (json_get_text(reply->body, "state_directory", &directory) == 0)
                l->state_directory = strdup(directory);
        l->group_fd = message_take_fd(reply, 0);
        l->kill_fd = message_take_fd(reply, 1);
        l->request = l->options->request;
        launch_take_limits(l, reply->body);
        (void)json_get_u64(reply->body, "launched_boottime_usec", &l->launched_usec);
        (void)json_get_u64(reply->body, "launched_at_usec", &l->launched_at);
        say_warnings(l, json_object_get(reply->body, "warnings"));
        return l->run_id ? take_environment(l, json_object_get(reply->body, "environment")) : -ENOMEM;
}

/* As a shell's `>` opens it: a device stays a device, a link is followed, the umask holds. */
int launch_open_report(Launch *l) {
        if (!l->options->report)
                return 0;
        l->report_fd = open(l->options->report, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
        if (l->report_fd >= 0)
                return 0;
        run_say("--report \"%s\": %s; name a file that you may write to", l->options->report, strerror(errno));
        return -EIO;
}

static bool is_lost(int r) {
        return r == -ECONNRESET || r == -EPIPE || r == -ENOTCONN;
}

/*
 * The supervisor went between our question and its answer: systemd's comes back, a private one that was just leaving
 * is started anew. 0 when there is one again.
 */
static int connect_again(Launch *l, uint64_t until_usec) {
        l->connection.fd = close_fd(l->connection.fd);
        do {
                int r = connection_reopen(&l->connection);

                if (r != -EAGAIN)
                        return r;
                (void)poll(NULL, 0, AGAIN_EVERY_MSEC);
        } while (clock_boottime_usec() < until_usec);
        return -ECONNRESET;
}

static json_t *launch_message(const Launch *l, bool again) {
        json_t *request = message_request("launch");

        if (request &&
                (json_object_set_new(request, "request", request_given_to_json(&l->options->request)) < 0 ||
                        (again && json_object_set_new(request, "again", json_true()) < 0))) {
                json_decref(request);
                return NULL;
        }
        return request;
}

int launch_ask(Launch *l) {
        uint64_t until_usec = usec_add(clock_boottime_usec(), ANSWER_WAIT_USEC);
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;
        int r = ask(l, launch_message(l, false), &reply);

        while (is_lost(r) && clock_boottime_usec() < until_usec) {
                r = connect_again(l, until_usec);
                if (r == 0)
                        r = ask(l, launch_message(l, true), &reply);
        }
        if (r < 0) {
                run_say("the supervisor at %s does not answer: %s; see scidexctl doctor", l->connection.path,
                        strerror(-r));
                return r;
        }
        if (!json_is_true(json_object_get(reply.body, "ok"))) {
                say_error(reply.body);
                return -EPERM;
        }
        r = launch_take_answer(l, &reply);
        if (r < 0)
                run_say("the answer of the supervisor at %s can't be used: %s; nothing was started", l->connection.path,
                        strerror(-r));
        return r;
}

static int block_signals(Launch *l) {
        struct sigaction chld;
        sigset_t set, pipe;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(handled); i++)
                (void)sigaddset(&set, handled[i]);
        (void)sigemptyset(&pipe);
        (void)sigaddset(
                &pipe, SIGPIPE); /* a child that died at its gate, a stderr that is closed: errors, not our end */
        if (sigprocmask(SIG_BLOCK, &set, &l->mask) < 0 || sigprocmask(SIG_BLOCK, &pipe, NULL) < 0)
                return -errno;
        /* With SIGCHLD ignored there would be no status to collect. */
        l->sigchld_ignored = sigaction(SIGCHLD, NULL, &chld) == 0 && chld.sa_handler == SIG_IGN;
        if (l->sigchld_ignored)
                (void)signal(SIGCHLD, SIG_DFL);
        l->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        return l->signal_fd < 0 ? -errno : 0;
}

static json_t *process_message(const char *op, pid_t pid) {
        json_t *message = message_request(op);

        if (message)
                (void)json_object_set_new(message, "pid", json_integer(pid));
        return message;
}

/* Takes up the run at the next supervisor, with its process still to be moved. */
static int attach_again(Launch *l, uint64_t until_usec) {
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;
        json_t *message;
        int r = connect_again(l, until_usec);

        if (r < 0)
                return r;
        message = message_request("attach");
        if (message)
                (void)json_object_set_new(message, "run_id", json_string(l->run_id));
        r = ask(l, message, &reply);
        if (r == 0 && !json_is_true(json_object_get(reply.body, "ok"))) {
                say_error(reply.body);
                return -EPERM;
        }
        return r;
}

/* Has the supervisor move the waiting child; its gate is opened by the caller. */
static int move_child(Launch *l) {
        uint64_t until_usec = usec_add(clock_boottime_usec(), ANSWER_WAIT_USEC);
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;
        int r = ask(l, process_message("move", l->spawned.pid), &reply);

        while (is_lost(r) && clock_boottime_usec() < until_usec) {
                r = attach_again(l, until_usec);
                if (r == 0)
                        r = ask(l, process_message("move", l->spawned.pid), &reply);
        }
        if (r == -EPERM)
                return r;
        if (r < 0) {
                run_say("the supervisor does not answer: %s; nothing was started", strerror(-r));
                return r;
        }
        if (!json_is_true(json_object_get(reply.body, "ok"))) {
                say_error(reply.body);
                return -EPERM;
        }
        return 0;
}

static void open_gate(Launch *l) {
        if (l->spawned.gate_fd >= 0 && write(l->spawned.gate_fd, "", 1) < 0)
                return; /* the child is dead: its status tells */
        l->spawned.gate_fd = close_fd(l->spawned.gate_fd);
}

static int tell_started(Launch *l) {
        _cleanup_(json_decrefp) json_t *message = process_message("started", l->spawned.pid);

        return message ? message_send(l->connection.fd, message, NULL, 0) : -ENOMEM;
}

static bool clone_is_denied(int r) {
        return r == -EACCES || r == -EPERM || r == -ENOSYS || r == -EOPNOTSUPP;
}

int launch_start(Launch *l) {
        SpawnOptions options = { .argv = l->options->command, .environment = l->environment, .mask = &l->mask };
        int r;

        r = block_signals(l);
        if (r < 0) {
                run_say("can't take over the signals: %s; nothing was started", strerror(-r));
                return r;
        }
        (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
        options.ignore_sigchld = l->sigchld_ignored;
        r = l->group_fd >= 0 ? spawn_process(&options, l->group_fd, &l->spawned) : -EACCES;
        if (clone_is_denied(r)) {
                r = spawn_process(&options, -1, &l->spawned);
                if (r == 0 && l->group_fd >= 0 && move_child(l) < 0)
                        return -EPERM;
        }
        if (r < 0) {
                run_say("can't start a process: %s", strerror(-r));
                return r;
        }
        /* It runs: whatever keeps us from saying so (the supervisor lost, no memory) is mended by the wait loop. */
        if (tell_started(l) == -ENOMEM)
                (void)tell_started(l);
        open_gate(l);
        return 0;
}

void launch_deinit(Launch *l) {
        connection_deinit(&l->connection);
        spawned_deinit(&l->spawned);
        l->group_fd = close_fd(l->group_fd);
        l->kill_fd = close_fd(l->kill_fd);
        l->signal_fd = close_fd(l->signal_fd);
        l->report_fd = close_fd(l->report_fd);
        for (char **e = l->environment; e && *e; e++)
                free(*e);
        free(l->environment);
        free(l->run_id);
        free(l->state_directory);
        json_decref(l->marker);
        json_decref(l->killed);
        json_decref(l->run);
        json_decref(l->event);
}
