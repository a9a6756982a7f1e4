/*
 * The link to the recorder child.
 *
 * Called by the supervisor for every row.  The hard thing is that the other side may stop reading for ever (a hung
 * disk): so at most WINDOW rows are on the wire, the rest waits here in order, bounded in bytes, and a row leaves the
 * list only with its acknowledgement.  Rows of runs are dropped before events would be, and every drop is counted.
 */
#include "supervise/planted.h"
#include "supervise/recorder-child.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "control/priority.h"
#include "control/server.h"
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define WINDOW           32                      /* rows on the wire */
#define WINDOW_BYTES     (2 * MESSAGE_MAX_BYTES) /* and this much: the server drops who has 4 packets' worth queued */
#define BURST_BYTES      (UINT64_C(64) << 10)    /* once so much waited and is gone, it goes back */
#define RESTART_MIN_USEC (100 * USEC_PER_MSEC)
#define RESTART_MAX_USEC (5 * USEC_PER_SEC)

typedef struct Entry {
        TAILQ_ENTRY(Entry) link;
        uint64_t n;
        const char *op; /* static */
        char *id;       /* owned */
        char *text;     /* owned; the packet */
        size_t size;
        bool sent;
} Entry;

struct Recorder {
        sd_event *event;            /* owned */
        RecorderOptions options;    /* whose texts are those below */
        char *program, *directory;  /* owned */
        char *history, *group_name; /* owned; may be NULL */
        char *postgres;             /* owned; NULL: no database */
        char *hosts;                /* owned; may be NULL */
        Server *server;             /* owned; has one client: the link */
        Client *link;               /* NULL: no child */
        pid_t pid;
        int pidfd;                /* owned */
        sd_event_source *child;   /* owned */
        sd_event_source *restart; /* owned */
        uint64_t backoff_usec;
        TAILQ_HEAD(Entries, Entry) entries;
        size_t n_entries, n_sent, sent_bytes;
        uint64_t bytes, next_n, dropped, n_starts;
        uint64_t most_bytes; /* that have waited since the list was empty */
        json_t *storage;     /* owned */
        bool trouble;        /* state_changed(bad) was said */
        bool replacing;      /* its end is our doing */
};

static int recorder_start(Recorder *r);

static void entry_free(Entry *entry) {
        free(entry->text);
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
                if (client_send_text(r->link, entry->text, NULL, 0) < 0)
                        return;
                entry->sent = true;
                r->n_sent++;
                r->sent_bytes += entry->size;
        }
}

/* The rows of a burst lie between what stays, as holes that only the allocator can give back. */
static void note_burst(Recorder *r) {
        r->most_bytes = MAX_OF(r->most_bytes, r->bytes);
        if (!TAILQ_EMPTY(&r->entries))
                return;
        if (r->most_bytes >= BURST_BYTES)
                (void)malloc_trim(0);
        r->most_bytes = 0;
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
                note_burst(r);
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
        else if (op && r->options.asked)
                r->options.asked(op, message->body, r->options.userdata);
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
        entry->sent = entry->sent && PLANTED(PLANTED_ROWS_NOT_RESENT);
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

static bool same_text(const char *a, const char *b) {
        return strcmp(a ? a : "", b ? b : "") == 0;
}

/* Puts fd above the numbers the child gets its own at, so that the dup2s can't overwrite each other's source. */
static int move_up(int fd) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, HTTP_SOCKETS_LOW);

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
        q = recorder_spawn(&r->options, theirs, &r->pid);
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
        r->n_starts++;
        if (r->options.linked)
                r->options.linked(r->options.userdata);
        pump(r);
        return 0;
}

/* What the caller has lent, as our own. */
static int keep_text(const char **text, char **owned) {
        if (!*text)
                return 0;
        *owned = strdup(*text);
        *text = *owned;
        return *owned ? 0 : -ENOMEM;
}

static int keep_options(Recorder *r) {
        RecorderOptions *o = &r->options;

        if (keep_text(&o->program, &r->program) < 0 || keep_text(&o->directory, &r->directory) < 0 ||
                keep_text(&o->history, &r->history) < 0 || keep_text(&o->postgres, &r->postgres) < 0 ||
                keep_text(&o->policy.group_name, &r->group_name) < 0 || keep_text(&o->http.hosts, &r->hosts) < 0)
                return -ENOMEM;
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
                .pidfd = -EBADF,
                .backoff_usec = RESTART_MIN_USEC,
                .storage = json_pack("{s:s}", "state", "away") };
        TAILQ_INIT(&r->entries);
        if (r->options.listen_fd >= 0) {
                r->options.listen_fd = move_up(r->options.listen_fd);
                if (r->options.listen_fd < 0)
                        return r->options.listen_fd;
        }
        if (!r->storage || keep_options(r) < 0)
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
        free(r->hosts);
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
        r->options.policy.group_name = name;
        if (!same_name || before.group != policy->group || before.admin_group != policy->admin_group)
                replace(r);
}

int recorder_set_postgres(Recorder *r, const char *postgres) {
        char *copy = postgres ? strdup(postgres) : NULL;

        if (postgres && !copy)
                return -ENOMEM;
        if (!same_text(copy, r->postgres))
                replace(r);
        free(r->postgres);
        r->options.postgres = r->postgres = copy;
        return 0;
}

int recorder_send(Recorder *r, const char *op, const char *member, json_t *object, const char *id) {
        _cleanup_(json_decrefp) json_t *owned = object, *body = NULL;
        _cleanup_(freep) char *text = NULL, *name = strdup(id);
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
        if (!body || (member ? json_object_set(body, member, owned) : json_object_update(body, owned)) < 0 ||
                json_object_set_new(body, "n", json_integer((json_int_t)++r->next_n)) < 0)
                return -ENOMEM;
        text = json_to_text(body);
        entry = calloc(1, sizeof(*entry));
        if (!text || !name || !entry) {
                free(entry);
                return -ENOMEM;
        }
        *entry = (Entry){ .n = r->next_n, .op = op, .id = TAKE_PTR(name), .size = strlen(text) };
        entry->text = TAKE_PTR(text);
        TAILQ_INSERT_TAIL(&r->entries, entry, link);
        r->n_entries++;
        r->bytes += entry->size;
        note_burst(r);
        pump(r);
        return 0;
}

static bool same_http(const RecorderHttp *a, const RecorderHttp *b) {
        return a->n_fds == b->n_fds && a->generation == b->generation && same_text(a->hosts, b->hosts) &&
                a->hides_analysis_ids == b->hides_analysis_ids;
}

int recorder_set_http(Recorder *r, const RecorderHttp *http) {
        RecorderHttp before = r->options.http;
        char *hosts = http->hosts ? strdup(http->hosts) : NULL;
        bool failed = http->hosts && !hosts;

        if (!failed && same_http(&before, http)) {
                free(hosts);
                return 0;
        }
        r->options.http = *http;
        if (failed)
                r->options.http.n_fds = 0;
        r->options.http.hosts = hosts;
        free(r->hosts);
        r->hosts = hosts;
        replace(r);
        return failed ? -ENOMEM : 0;
}

int recorder_tell(Recorder *r, json_t *packet) {
        _cleanup_(json_decrefp) json_t *owned = packet;

        if (!owned)
                return -ENOMEM;
        if (!r->link)
                return -ENOTCONN;
        return client_is_behind(r->link) ? -ENOBUFS : client_send(r->link, owned, NULL, 0);
}

uint64_t recorder_starts(const Recorder *r) {
        return r->n_starts;
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
