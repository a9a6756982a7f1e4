/*
 * The link to the recorder child.
 *
 * Called by the supervisor for every row.  The hard thing is that the other side may stop reading for ever (a hung
 * disk): so at most WINDOW rows are on the wire, the rest waits here in order, bounded in bytes, and a row leaves the
 * list only with its acknowledgement.  Rows of runs are dropped before events would be, and every drop is counted.
 */
#include "supervise/recorder.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "control/priority.h"
#include "control/server.h"
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define WINDOW              32                      /* rows on the wire */
#define WINDOW_BYTES        (2 * MESSAGE_MAX_BYTES) /* and this much: the server drops who has 4 packets' worth queued */
#define RESTART_MIN_USEC    (100 * USEC_PER_MSEC)
#define RESTART_MAX_USEC    (5 * USEC_PER_SEC)
#define CHILD_FD_SUPERVISOR 3
#define CHILD_FD_LISTEN     4
#define POSTGRES_VARIABLE   "SCIDEX_STORAGE_POSTGRES"

typedef struct Entry {
        TAILQ_ENTRY(Entry) link;
        uint64_t n;
        const char *op; /* static */
        char *id;       /* owned */
        json_t *body;   /* owned */
        size_t size;
        bool sent;
} Entry;

struct Recorder {
        sd_event *event; /* owned */
        RecorderOptions options;
        char *program, *directory;  /* owned */
        char *history, *group_name; /* owned; may be NULL */
        char *postgres;             /* owned; "NAME=VALUE" for the child's environment, NULL: no database */
        Server *server;             /* owned; has one client: the link */
        Client *link;               /* NULL: no child */
        pid_t pid;
        int pidfd;                /* owned */
        sd_event_source *child;   /* owned */
        sd_event_source *restart; /* owned */
        uint64_t backoff_usec;
        TAILQ_HEAD(Entries, Entry) entries;
        size_t n_entries, n_sent, sent_bytes;
        uint64_t bytes, next_n, dropped;
        json_t *storage; /* owned */
        bool trouble;    /* state_changed(bad) was said */
        bool replacing;  /* its end is our doing */
};

static int recorder_start(Recorder *r);

static void entry_free(Entry *entry) {
        json_decref(entry->body);
        free(entry->id);
        free(entry);
}

static void say(Recorder *r, const char *what, bool bad) {
        if (bad == r->trouble && bad)
                return;
        r->trouble = bad;
        r->options.state_changed(what, bad, r->options.userdata);
}

static void pump(Recorder *r) {
        Entry *entry;

        TAILQ_FOREACH(entry, &r->entries, link) {
                if (!r->link || r->n_sent >= WINDOW || r->sent_bytes >= WINDOW_BYTES)
                        return;
                if (entry->sent)
                        continue;
                if (client_send(r->link, entry->body, NULL, 0) < 0)
                        return;
                entry->sent = true;
                r->n_sent++;
                r->sent_bytes += entry->size;
        }
}

static void acknowledge(Recorder *r, uint64_t n) {
        Entry *entry;

        TAILQ_FOREACH(entry, &r->entries, link) {
                if (entry->n != n)
                        continue;
                TAILQ_REMOVE(&r->entries, entry, link);
                r->n_entries--;
                r->bytes -= entry->size;
                if (entry->sent) {
                        r->n_sent--;
                        r->sent_bytes -= entry->size;
                }
                r->options.recorded(entry->op, entry->id, r->options.userdata);
                entry_free(entry);
                return;
        }
}

static void on_storage(Recorder *r, const json_t *body) {
        json_t *storage = json_object_get(body, "storage");
        const char *state = NULL, *detail = NULL;
        _cleanup_(freep) char *line = NULL;

        if (!json_is_object(storage))
                return;
        json_decref(r->storage);
        r->storage = json_incref(storage);
        (void)json_get_text(storage, "state", &state);
        (void)json_get_text(storage, "detail", &detail);
        line = text_printf("record storage is %s%s%s", state ? state : "?", detail ? ": " : "", detail ? detail : "");
        if (line && state)
                say(r, line, strcmp(state, "ok") != 0);
}

static void on_message(Client *client, Message *message, void *userdata) {
        Recorder *r = userdata;
        const char *op = NULL;
        uint64_t n;

        if (json_get_text(message->body, "op", &op) == 0 && strcmp(op, "storage") == 0)
                on_storage(r, message->body);
        else if (json_get_u64(message->body, "n", &n) == 0) {
                if (!json_is_true(json_object_get(message->body, "ok"))) {
                        r->dropped++; /* refused for good: it must not keep the others waiting */
                        say(r, "the recorder refused a row; see `dropped` in the status", true);
                }
                r->backoff_usec = RESTART_MIN_USEC;
                acknowledge(r, n);
        }
        pump(r);
}

static void on_closed(Client *client, void *userdata) {
        Recorder *r = userdata;

        if (client == r->link)
                r->link = NULL;
}

static const ServerHandlers link_handlers = { .request = on_message, .closed = on_closed };

static int on_restart(sd_event_source *source, uint64_t usec, void *userdata) {
        Recorder *r = userdata;

        r->restart = sd_event_source_disable_unref(r->restart);
        if (recorder_start(r) < 0)
                return 0;
        return 0;
}

static void restart_later(Recorder *r) {
        uint64_t at = usec_add(clock_boottime_usec(), r->backoff_usec);

        r->backoff_usec = MIN_OF(r->backoff_usec * 2, RESTART_MAX_USEC);
        if (!r->restart)
                (void)sd_event_add_time(r->event, &r->restart, CLOCK_BOOTTIME, at, 1, on_restart, r);
}

static int on_child(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Recorder *r = userdata;
        siginfo_t how = { 0 };
        Entry *entry;

        (void)waitid(P_PIDFD, (id_t)fd, &how, WEXITED | WNOHANG);
        r->child = sd_event_source_disable_unref(r->child);
        r->pidfd = close_fd(r->pidfd);
        r->pid = 0;
        if (r->link) {
                client_close(r->link);
                r->link = NULL;
        }
        TAILQ_FOREACH(entry, &r->entries, link)
        entry->sent = false;
        r->n_sent = r->sent_bytes = 0;
        json_decref(r->storage);
        r->storage = json_pack("{s:s}", "state", "away");
        if (r->replacing)
                r->backoff_usec = RESTART_MIN_USEC;
        else
                say(r, "the recorder has died and is started again; limits are enforced, the record waits in memory",
                        true);
        r->replacing = false;
        restart_later(r);
        return 0;
}

#define ARGUMENTS_MAX 20
#define NUMBER_MAX    16

typedef struct Arguments {
        char *list[ARGUMENTS_MAX + 1]; /* borrowed */
        char numbers[ARGUMENTS_MAX][NUMBER_MAX];
        size_t n;
} Arguments;

static void add_text(Arguments *arguments, const char *option, const char *value) {
        arguments->list[arguments->n++] = (char *)option;
        arguments->list[arguments->n++] = (char *)value;
}

static void add_number(Arguments *arguments, const char *option, unsigned value) {
        char *text = arguments->numbers[arguments->n];

        (void)snprintf(text, NUMBER_MAX, "%u", value);
        add_text(arguments, option, text);
}

static bool is_group(gid_t group) {
        return group != PEER_GID_NONE && group != 0;
}

static void fill_arguments(const Recorder *r, Arguments *ret) {
        const RecorderOptions *o = &r->options;

        *ret = (Arguments){ .list = { r->program }, .n = 1 };
        add_number(ret, "--supervisor-fd", CHILD_FD_SUPERVISOR);
        add_text(ret, "--directory", r->directory);
        if (o->listen_fd >= 0)
                add_number(ret, "--listen-fd", CHILD_FD_LISTEN);
        if (r->history)
                add_text(ret, "--history", r->history);
        if (o->becomes_user) {
                add_number(ret, "--uid", o->uid);
                add_number(ret, "--gid", o->gid);
        }
        if (is_group(o->policy.group))
                add_number(ret, "--group", o->policy.group);
        if (is_group(o->policy.admin_group))
                add_number(ret, "--admin-group", o->policy.admin_group);
        if (r->group_name)
                add_text(ret, "--group-name", r->group_name);
}

static bool same_text(const char *a, const char *b) {
        return strcmp(a ? a : "", b ? b : "") == 0;
}

/* In the environment, which nobody else can read: a connection string may hold a password, and argv is everybody's. */
static int make_variable(const char *postgres, char **ret) {
        *ret = postgres && *postgres ? text_printf(POSTGRES_VARIABLE "=%s", postgres) : NULL;
        return postgres && *postgres && !*ret ? -ENOMEM : 0;
}

/* Ours, but with the configured database, which the variable has had its part in. NULL on OOM; the list is owned. */
static char **child_environment(const Recorder *r) {
        size_t n = 0, length = strlen(POSTGRES_VARIABLE);
        char **list;

        while (environ[n])
                n++;
        list = calloc(n + 2, sizeof(char *));
        if (!list)
                return NULL;
        n = 0;
        for (char **variable = environ; *variable; variable++)
                if (strncmp(*variable, POSTGRES_VARIABLE, length) != 0 || (*variable)[length] != '=')
                        list[n++] = *variable;
        list[n] = r->postgres;
        return list;
}

static int spawn_child(Recorder *r, int fd) {
        _cleanup_(freep) char **environment = child_environment(r);
        Arguments arguments;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        sigset_t none, all;
        int error;

        if (!environment)
                return -ENOMEM;
        fill_arguments(r, &arguments);
        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        (void)posix_spawn_file_actions_init(&actions);
        (void)posix_spawnattr_init(&attributes);
        (void)posix_spawnattr_setsigmask(&attributes, &none);
        (void)posix_spawnattr_setsigdefault(&attributes, &all);
        (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        (void)posix_spawn_file_actions_adddup2(&actions, fd, CHILD_FD_SUPERVISOR);
        if (r->options.listen_fd >= 0)
                (void)posix_spawn_file_actions_adddup2(&actions, r->options.listen_fd, CHILD_FD_LISTEN);
        error = posix_spawn(&r->pid, r->program, &actions, &attributes, arguments.list, environment);
        (void)posix_spawn_file_actions_destroy(&actions);
        (void)posix_spawnattr_destroy(&attributes);
        return -error;
}

/* Puts fd above the numbers the child gets its own at, so that the dup2s can't overwrite each other's source. */
static int move_up(int fd) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);

        (void)close_fd(fd);
        return high < 0 ? -errno : high;
}

/* One whose end would not be noticed. It is ours and not yet waited for: its pid is still its own. */
static void end_child(Recorder *r) {
        (void)kill(r->pid, SIGKILL);
        while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        r->pidfd = close_fd(r->pidfd);
        r->pid = 0;
}

static int recorder_start_child(Recorder *r) {
        _cleanup_(close_fdp) int theirs = -EBADF;
        int pair[2], q;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        theirs = move_up(pair[1]);
        if (theirs < 0) {
                (void)close_fd(pair[0]);
                return theirs;
        }
        q = spawn_child(r, theirs);
        if (q < 0) {
                (void)close_fd(pair[0]);
                return q;
        }
        r->pidfd = pidfd_open_pid(r->pid);
        q = r->pidfd < 0 ? r->pidfd : sd_event_add_io(r->event, &r->child, r->pidfd, EPOLLIN, on_child, r);
        if (q < 0) {
                (void)close_fd(pair[0]);
                end_child(r);
                return q;
        }
        return server_add_client(r->server, pair[0], &r->link);
}

static int recorder_start(Recorder *r) {
        _cleanup_(freep) char *line = NULL;
        int q = recorder_start_child(r);

        if (q < 0) {
                line = text_printf("can't start %s: %s; limits are enforced, the record waits in memory", r->program,
                        strerror(-q));
                if (line)
                        say(r, line, true);
                if (r->pid == 0)
                        restart_later(r);
                return q;
        }
        pump(r);
        return 0;
}

int recorder_new(sd_event *event, const RecorderOptions *options, Recorder **ret) {
        _cleanup_(recorder_freep) Recorder *r = calloc(1, sizeof(*r));
        int q;

        if (!r) {
                (void)close_fd(options->listen_fd);
                return -ENOMEM;
        }
        *r = (Recorder){ .event = sd_event_ref(event),
                .options = *options,
                .program = strdup(options->program),
                .directory = strdup(options->directory),
                .history = options->history ? strdup(options->history) : NULL,
                .group_name = options->policy.group_name ? strdup(options->policy.group_name) : NULL,
                .pidfd = -EBADF,
                .backoff_usec = RESTART_MIN_USEC,
                .storage = json_pack("{s:s}", "state", "away") };
        TAILQ_INIT(&r->entries);
        if (r->options.listen_fd >= 0) {
                r->options.listen_fd = move_up(r->options.listen_fd);
                if (r->options.listen_fd < 0)
                        return r->options.listen_fd;
        }
        if (!r->program || !r->directory || !r->storage || (options->history && !r->history) ||
                (options->policy.group_name && !r->group_name) || make_variable(options->postgres, &r->postgres) < 0)
                return -ENOMEM;
        q = server_new(event, -EBADF, &link_handlers, r, &r->server);
        if (q >= 0)
                q = server_set_priority(r->server, PRIORITY_LINK);
        if (q < 0)
                return q;
        (void)recorder_start(r); /* tried again from the loop */
        *ret = TAKE_PTR(r);
        return 0;
}

void recorder_free(Recorder *r) {
        Entry *entry;

        while ((entry = TAILQ_FIRST(&r->entries))) {
                TAILQ_REMOVE(&r->entries, entry, link);
                entry_free(entry);
        }
        sd_event_source_disable_unref(r->child);
        sd_event_source_disable_unref(r->restart);
        if (r->server)
                server_free(r->server);
        (void)close_fd(r->options.listen_fd);
        (void)close_fd(r->pidfd);
        sd_event_unref(r->event);
        json_decref(r->storage);
        free(r->program);
        free(r->directory);
        free(r->history);
        free(r->group_name);
        free(r->postgres);
        free(r);
}

static void replace(Recorder *r) {
        if (!r->link)
                return;
        r->replacing = true;
        client_close(r->link); /* it stores what it has, and exits */
}

void recorder_set_policy(Recorder *r, const PeerPolicy *policy) {
        char *name = policy->group_name ? strdup(policy->group_name) : NULL;
        bool same_name = same_text(name, r->group_name);
        PeerPolicy before = r->options.policy;

        free(r->group_name);
        r->group_name = name;
        r->options.policy = *policy;
        if (!same_name || before.group != policy->group || before.admin_group != policy->admin_group)
                replace(r);
}

int recorder_set_postgres(Recorder *r, const char *postgres) {
        char *variable = NULL;
        int q = make_variable(postgres, &variable);

        if (q < 0)
                return q;
        if (!same_text(variable, r->postgres))
                replace(r);
        free(r->postgres);
        r->postgres = variable;
        return 0;
}

int recorder_find_user(const char *passwd, const char *name, uid_t *ret_uid, gid_t *ret_gid) {
        _cleanup_(fclosep) FILE *file = fopen(passwd, "re");
        struct passwd *entry;

        if (!file)
                return -errno;
        while ((entry = fgetpwent(file)))
                if (strcmp(entry->pw_name, name) == 0) {
                        *ret_uid = entry->pw_uid;
                        *ret_gid = entry->pw_gid;
                        return 0;
                }
        return -ENOENT;
}

int recorder_send(Recorder *r, const char *op, const char *member, json_t *object, const char *id) {
        _cleanup_(json_decrefp) json_t *owned = object, *body = NULL;
        _cleanup_(freep) char *text = NULL;
        Entry *entry;

        if (!owned)
                return -ENOMEM;
        if (r->bytes >= RECORDER_WAITING_MAX_BYTES && strcmp(op, "event") != 0) {
                r->dropped++;
                return -ENOBUFS;
        }
        if (r->bytes >= 4 * RECORDER_WAITING_MAX_BYTES)
                return -ENOBUFS; /* an event stays with its run, which tries again */
        if (message_fit(owned, MESSAGE_MAX_BYTES - MESSAGE_ENVELOPE_BYTES) < 0) {
                r->dropped++;
                return -EMSGSIZE;
        }
        body = message_request(op);
        text = strdup(id);
        entry = calloc(1, sizeof(*entry));
        if (!body || !text || !entry ||
                (member ? json_object_set(body, member, owned) : json_object_update(body, owned)) < 0 ||
                json_object_set_new(body, "n", json_integer((json_int_t)++r->next_n)) < 0) {
                free(entry);
                return -ENOMEM;
        }
        *entry = (Entry){
                .n = r->next_n, .op = op, .id = TAKE_PTR(text), .size = json_dumpb(body, NULL, 0, JSON_COMPACT)
        };
        entry->body = TAKE_PTR(body);
        TAILQ_INSERT_TAIL(&r->entries, entry, link);
        r->n_entries++;
        r->bytes += entry->size;
        pump(r);
        return 0;
}

size_t recorder_waiting(const Recorder *r) {
        return r->n_entries;
}

uint64_t recorder_dropped(const Recorder *r) {
        return r->dropped;
}

json_t *recorder_storage(const Recorder *r) {
        return r->storage;
}

pid_t recorder_pid(const Recorder *r) {
        return r->pid;
}
