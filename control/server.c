/*
 * The serving side: accept, receive, answer, on the event loop of the supervisor or the recorder.
 *
 * The hard thing is a client that does not read: nothing may block on it and nothing may grow for it.  So every client
 * has a queue bounded in packets and bytes; whoever overruns it is closed.  A client is never freed inside one of its
 * own callbacks: client_drop() marks it dead and a deferred source frees it on the next turn of the loop.
 */
#include "control/server.h"

#include "base/process.h"
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CLIENTS_MAX        16384 /* one per live run and a few askers; the fd limit is the other bound */
#define CLIENT_QUEUE_MAX   256   /* packets waiting for a client that does not read */
#define CLIENT_QUEUE_BYTES (4 * MESSAGE_MAX_BYTES)
#define REQUESTS_PER_WAKE  16 /* a flooding client gets its turn, not the loop */
#define LISTEN_BACKLOG     4096

typedef struct Packet {
        STAILQ_ENTRY(Packet) link;
        json_t *body;             /* owned */
        int fds[MESSAGE_MAX_FDS]; /* owned */
        size_t n_fds;
        size_t size;
} Packet;

struct Client {
        LIST_ENTRY(Client) link;
        Server *server;
        sd_event_source *io, *reaper; /* owned */
        int fd;                       /* owned */
        Peer peer;
        STAILQ_HEAD(, Packet) queue;
        size_t n_queue, queue_bytes;
        bool closing; /* after the queue has been sent */
        bool dead;    /* waits for its reaper */
        bool hung_up; /* by itself */
        bool wants_more;
        void *userdata;
};

struct Server {
        sd_event *event;
        sd_event_source *listener; /* owned */
        int listen_fd;             /* owned */
        int spare_fd;              /* owned; given up when all others are used */
        const ServerHandlers *handlers;
        void *userdata;
        PeerPolicy policy;
        LIST_HEAD(, Client) clients;
        size_t n_clients;
};

static void packet_free(Packet *packet) {
        json_decref(packet->body);
        for (size_t i = 0; i < packet->n_fds; i++)
                (void)close_fd(packet->fds[i]);
        free(packet);
}
DEFINE_CLEANUP(Packet *, packet_free);

static Packet *client_pop(Client *client) {
        Packet *packet = STAILQ_FIRST(&client->queue);

        if (packet) {
                STAILQ_REMOVE_HEAD(&client->queue, link);
                client->n_queue--;
                client->queue_bytes -= packet->size;
        }
        return packet;
}

static void client_free(Client *client) {
        Packet *packet;

        while ((packet = client_pop(client)))
                packet_free(packet);
        LIST_REMOVE(client, link);
        client->server->n_clients--;
        sd_event_source_disable_unref(client->io);
        sd_event_source_disable_unref(client->reaper);
        (void)close_fd(client->fd);
        (void)close_fd(client->peer.pidfd);
        free(client);
}
DEFINE_CLEANUP(Client *, client_free);

static int on_reap(sd_event_source *source, void *userdata) {
        Client *client = userdata;

        client->server->handlers->closed(client, client->server->userdata);
        client_free(client);
        return 0;
}

static void client_drop(Client *client) {
        if (client->dead)
                return;
        client->dead = true;
        (void)sd_event_source_set_enabled(client->io, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(client->reaper, SD_EVENT_ONESHOT);
}

static void client_arm(Client *client) {
        bool writes = client->n_queue > 0 || client->wants_more;

        (void)sd_event_source_set_io_events(
                client->io, (client->closing ? 0 : (uint32_t)EPOLLIN) | (writes ? (uint32_t)EPOLLOUT : 0));
}

/* Sends what the socket takes. 0, or -EAGAIN when it is full. A broken one drops the client. */
static int client_flush(Client *client) {
        Packet *packet;

        while ((packet = STAILQ_FIRST(&client->queue))) {
                int r = message_send(client->fd, packet->body, packet->fds, packet->n_fds);

                if (r == -EAGAIN)
                        return r;
                packet_free(client_pop(client));
                if (r < 0 && r != -EMSGSIZE) {
                        client->hung_up = r == -EPIPE;
                        client_drop(client);
                        return 0;
                }
        }
        return 0;
}

static void client_write(Client *client) {
        if (client_flush(client) == 0 && client->wants_more && !client->dead) {
                client->wants_more = false;
                if (client->server->handlers->more)
                        client->server->handlers->more(client, client->server->userdata);
        }
        if (client->closing && client->n_queue == 0)
                client_drop(client);
}

static void client_read(Client *client) {
        for (unsigned i = 0; i < REQUESTS_PER_WAKE && !client->dead && !client->closing; i++) {
                _cleanup_(message_deinit) Message message = MESSAGE_NONE;
                int r = message_receive(client->fd, &message);

                if (r == -EAGAIN || r == -ENOMEM)
                        return;
                if (r != 0) {
                        client->hung_up = r == MESSAGE_E_CLOSED;
                        client_drop(client);
                        return;
                }
                if (message.pid == 0) { /* sent before SO_PASSCRED was on: whoever connected */
                        message.pid = client->peer.pid;
                        message.uid = client->peer.uid;
                }
                client->server->handlers->request(client, &message, client->server->userdata);
        }
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Client *client = userdata;

        if (!client->dead && (revents & EPOLLOUT))
                client_write(client);
        if (!client->dead && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                client_read(client);
        if (!client->dead)
                client_arm(client);
        return 0;
}

int server_add_client(Server *server, int fd, Client **ret) {
        _cleanup_(client_freep) Client *client = NULL;
        int r, on = 1;

        client = calloc(1, sizeof(*client));
        if (!client) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        *client = (Client){ .server = server, .fd = fd, .peer.pidfd = -EBADF };
        STAILQ_INIT(&client->queue);
        LIST_INSERT_HEAD(&server->clients, client, link);
        server->n_clients++;

        r = peer_read(fd, &server->policy, &client->peer);
        if (r < 0)
                return r;
        if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(server->event, &client->io, fd, EPOLLIN, on_client, client);
        if (r >= 0) /* made now: when it is needed there may be no memory for it */
                r = sd_event_add_defer(server->event, &client->reaper, on_reap, client);
        if (r >= 0)
                r = sd_event_source_set_enabled(client->reaper, SD_EVENT_OFF);
        if (r < 0)
                return r;
        if (ret)
                *ret = client;
        TAKE_PTR(client);
        return 0;
}

/*
 * Without a free fd the listener would stay readable and the loop would spin: the spare one is given up for a moment,
 * so that the client can be accepted and sees a hang-up.
 */
static void turn_away(Server *server) {
        server->spare_fd = close_fd(server->spare_fd);
        (void)close_fd(accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC));
        server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int on_accept(sd_event_source *source, int listen_fd, uint32_t revents, void *userdata) {
        Server *server = userdata;

        for (unsigned i = 0; i < REQUESTS_PER_WAKE; i++) {
                int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd < 0) {
                        if (errno == EMFILE || errno == ENFILE)
                                turn_away(server);
                        return 0;
                }
                if (server->n_clients >= CLIENTS_MAX)
                        (void)close_fd(fd);
                else
                        (void)server_add_client(server, fd, NULL);
        }
        return 0;
}

int server_new(sd_event *event, int listen_fd, const ServerHandlers *handlers, void *userdata, Server **ret) {
        _cleanup_(server_freep) Server *server = calloc(1, sizeof(*server));
        int r;

        if (!server) {
                (void)close_fd(listen_fd);
                return -ENOMEM;
        }
        *server = (Server){ .event = sd_event_ref(event),
                .listen_fd = listen_fd,
                .spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
                .handlers = handlers,
                .policy = PEER_POLICY_PRIVATE(geteuid()),
                .userdata = userdata };
        LIST_INIT(&server->clients);
        if (listen_fd >= 0) {
                r = sd_event_add_io(event, &server->listener, listen_fd, EPOLLIN, on_accept, server);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(server);
        return 0;
}

void server_free(Server *server) {
        while (!LIST_EMPTY(&server->clients))
                client_free(LIST_FIRST(&server->clients));
        sd_event_source_disable_unref(server->listener);
        (void)close_fd(server->listen_fd);
        (void)close_fd(server->spare_fd);
        sd_event_unref(server->event);
        free(server);
}

/* A peer that the kernel has nothing to say about any more keeps nothing. */
void server_set_policy(Server *server, const PeerPolicy *policy) {
        Client *client;

        server->policy = *policy;
        LIST_FOREACH(client, &server->clients, link) {
                Peer now = { .role = ROLE_NONE };

                (void)peer_read(client->fd, policy, &now);
                client->peer.role = now.role;
        }
}

const PeerPolicy *server_policy(const Server *server) {
        return &server->policy;
}

size_t server_client_count(const Server *server) {
        return server->n_clients;
}

/* A socket file nobody listens at is a leftover; any other file refuses a connection alike, and is not ours to remove.
 */
static bool socket_is_stale(const struct sockaddr_un *address) {
        _cleanup_(close_fdp) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct stat st;

        return fd >= 0 && lstat(address->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
                connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 && errno == ECONNREFUSED;
}

int server_listen(const char *path, mode_t mode, int *ret_fd) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(close_fdp) int fd = -EBADF;
        mode_t saved;
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        saved = umask(0777 & ~mode);
        r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        if (r == -EADDRINUSE && socket_is_stale(&address) && unlink(path) == 0)
                r = bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
        (void)umask(saved);
        if (r < 0)
                return r;
        if (listen(fd, LISTEN_BACKLOG) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static int packet_new(const json_t *body, const int *fds, size_t n_fds, Packet **ret) {
        _cleanup_(packet_freep) Packet *packet = calloc(1, sizeof(*packet));

        if (!packet)
                return -ENOMEM;
        packet->body = json_incref((json_t *)body);
        packet->size = json_dumpb(body, NULL, 0, JSON_COMPACT);
        if (packet->size > MESSAGE_MAX_BYTES || n_fds > MESSAGE_MAX_FDS)
                return -EMSGSIZE;
        for (size_t i = 0; i < n_fds; i++) {
                int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);

                if (fd < 0)
                        return -errno;
                packet->fds[packet->n_fds++] = fd;
        }
        *ret = TAKE_PTR(packet);
        return 0;
}

int client_send(Client *client, const json_t *body, const int *fds, size_t n_fds) {
        Packet *packet = NULL;
        int r;

        if (client->dead)
                return -EPIPE;
        if (client->n_queue == 0) {
                r = message_send(client->fd, body, fds, n_fds);
                if (r != -EAGAIN)
                        return r;
        }
        if (client->n_queue >= CLIENT_QUEUE_MAX || client->queue_bytes >= CLIENT_QUEUE_BYTES) {
                client_drop(client);
                return -ENOBUFS;
        }
        r = packet_new(body, fds, n_fds, &packet);
        if (r < 0)
                return r;
        STAILQ_INSERT_TAIL(&client->queue, packet, link);
        client->n_queue++;
        client->queue_bytes += packet->size;
        client_arm(client);
        return 0;
}

void client_more(Client *client) {
        client->wants_more = true;
        if (!client->dead)
                client_arm(client);
}

void client_close(Client *client) {
        client->closing = true;
        if (client->n_queue == 0)
                client_drop(client);
        else if (!client->dead)
                client_arm(client);
}

bool client_hung_up(const Client *client) {
        return client->hung_up;
}

const Peer *client_peer(const Client *client) {
        return &client->peer;
}

int client_peer_pidfd(Client *client) {
        if (client->peer.pidfd < 0)
                client->peer.pidfd = pidfd_open_pid(client->peer.pid);
        return client->peer.pidfd;
}

void client_set_userdata(Client *client, void *userdata) {
        client->userdata = userdata;
}

void *client_userdata(const Client *client) {
        return client->userdata;
}
