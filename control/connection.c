/*
 * One client of a server: what it sends is read, what it is sent waits in its queue.
 *
 * Called by the loop and, for client_*(), by the handlers.  The hard thing is a client that does not read: nothing may
 * block on it and nothing may grow for it.  So its queue is bounded, it is not read from while answers wait for it, and
 * what lies unread in the kernel (memory of ours, too) is counted for its uid.  A client is never freed inside one of
 * its own callbacks: connection_drop() marks it dead and a deferred source frees it on a later turn of the loop.
 */
#include "base/cleanup.h"
#include "base/process.h"
#include "control/server-internal.h"
#include <fcntl.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define QUEUE_MAX       256 /* packets waiting for a client that does not read */
#define QUEUE_BYTES     (4 * MESSAGE_MAX_BYTES)
#define READ_STOPS_AT   4 /* packets in the queue: who does not read its answers asks no more */
#define PARTS_PER_TOKEN 4 /* of a list: a row or three, which somebody has asked for with one request */

struct Packet {
        STAILQ_ENTRY(Packet) link;
        char *text;               /* owned */
        int fds[MESSAGE_MAX_FDS]; /* owned */
        size_t n_fds;
        size_t size;
};

static void packet_free(Packet *packet) {
        free(packet->text);
        for (size_t i = 0; i < packet->n_fds; i++)
                (void)close_fd(packet->fds[i]);
        free(packet);
}
DEFINE_CLEANUP(Packet *, packet_free);

/* What it costs now, into its account. */
static void count_bytes(Client *client) {
        size_t bytes = client->dead ? 0 : client->queue_bytes + client->unread_bytes;

        if (client->account) {
                client->account->bytes += bytes - client->counted_bytes;
                client->server->bytes += bytes - client->counted_bytes;
        }
        client->counted_bytes = bytes;
}

static Packet *client_pop(Client *client) {
        Packet *packet = STAILQ_FIRST(&client->queue);

        if (packet) {
                STAILQ_REMOVE_HEAD(&client->queue, link);
                client->n_queue--;
                client->queue_bytes -= packet->size;
        }
        return packet;
}

void connection_free(Client *client) {
        Packet *packet;

        while ((packet = client_pop(client)))
                packet_free(packet);
        if (client->dead)
                TAILQ_REMOVE(&client->server->dead, client, dead_link);
        client->dead = true;
        count_bytes(client);
        if (client->waiting)
                TAILQ_REMOVE(&client->account->waiting, client, wait_link);
        if (client->account) {
                LIST_REMOVE(client, account_link);
                client->account->n_clients--;
        }
        LIST_REMOVE(client, link);
        client->server->n_clients--;
        sd_event_source_disable_unref(client->io);
        (void)close_fd(client->fd);
        (void)close_fd(client->peer.pidfd);
        free(client);
}
DEFINE_CLEANUP(Client *, connection_free);

/* One at a time: what its end sets off is work, and whoever is more urgent comes in between. */
static int on_reap(sd_event_source *source, void *userdata) {
        Server *server = userdata;
        Client *client = TAILQ_FIRST(&server->dead);

        if (client) {
                server->handlers->closed(client, server->userdata);
                connection_free(client);
        }
        return TAILQ_EMPTY(&server->dead) ? 0 : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int connection_add_reaper(Server *server) {
        int r = sd_event_add_defer(server->event, &server->reaper, on_reap, server);

        return r < 0 ? r : sd_event_source_set_enabled(server->reaper, SD_EVENT_OFF);
}

void connection_drop(Client *client) {
        if (client->dead)
                return;
        client->dead = true;
        TAILQ_INSERT_TAIL(&client->server->dead, client, dead_link);
        count_bytes(client);
        (void)sd_event_source_set_enabled(client->io, SD_EVENT_OFF);
        (void)sd_event_source_set_enabled(client->server->reaper, SD_EVENT_ONESHOT);
}

/*
 * Edge-triggered and armed anew each time: who has something to say is then asked once. Else each turn of the loop,
 * which serves one source, would ask all who wait for theirs (thousands, when thousands of runs end at once). No loop
 * of ours may have sd_event_add_child(): with one sd-event leaves events of lower priority to the next poll, which an
 * edge does not come back for.
 */
void connection_arm(Client *client) {
        bool reads = !client->closing && !client->waiting && client->n_queue < READ_STOPS_AT;
        bool writes = client->n_queue > 0 || (client->wants_more && !client->waiting);
        uint32_t events = (reads ? (uint32_t)EPOLLIN : 0) | (writes ? (uint32_t)EPOLLOUT : 0);

        if (client->dead)
                return;
        /* A hang-up is told whether it is asked for or not: who waits for tokens would wake the loop for nothing. */
        if (sd_event_source_set_io_events(client->io, events | EPOLLET) < 0 ||
                sd_event_source_set_enabled(client->io, events == 0 && client->waiting ? SD_EVENT_OFF : SD_EVENT_ON) <
                        0)
                connection_drop(client); /* nothing of it would be heard again: it may come back */
}

void connection_look_again(Client *client) {
        int unread = 0;

        if (client->dead)
                return;
        client->unread_bytes = ioctl(client->fd, SIOCOUTQ, &unread) == 0 && unread > 0 ? (size_t)unread : 0;
        count_bytes(client);
}

/* Sends what the socket takes. 0, or -EAGAIN when it is full. A broken one drops the client. */
static int client_flush(Client *client) {
        Packet *packet;

        while ((packet = STAILQ_FIRST(&client->queue))) {
                int r = message_send_text(client->fd, packet->text, packet->fds, packet->n_fds);

                if (r == -EAGAIN)
                        return r;
                packet_free(client_pop(client));
                if (r < 0 && r != -EMSGSIZE) {
                        client->hung_up = r == -EPIPE;
                        connection_drop(client);
                        return 0;
                }
        }
        return 0;
}

static void client_write(Client *client) {
        int r = client_flush(client);

        connection_look_again(client);
        if (r == 0 && client->wants_more && !client->dead && server_may_ask(client)) {
                client->wants_more = false;
                if (++client->n_parts % PARTS_PER_TOKEN == 0)
                        server_has_asked(client);
                if (client->server->handlers->more)
                        client->server->handlers->more(client, client->server->userdata);
        }
        if (client->closing && client->n_queue == 0)
                connection_drop(client);
}

/* A packet from whoever got hold of the connection (an fd that was passed on, or left open over a change of user) is
 * not its owner's word. Root speaks for anybody. */
static bool sender_is_peer(Client *client, Message *message) {
        bool is = message->pid == 0 || client->given || message->uid == client->peer.uid || message->uid == 0;

        if (message->pid == 0) /* sent before SO_PASSCRED was on: whoever connected */
                message->pid = client->peer.pid;
        message->uid = client->peer.uid;
        return is;
}

static void refuse_sender(Client *client, const json_t *body) {
        _cleanup_(json_decrefp) json_t *reply = NULL;
        const char *op = "";

        (void)json_get_text(body, "op", &op);
        reply = message_error(op, "denied", "the sender of this packet is not who has connected", NULL,
                "Connect again as the user who asks.");
        if (reply)
                (void)client_send(client, reply, NULL, 0);
        client_close(client);
}

static void client_read(Client *client) {
        for (unsigned i = 0; i < BATCH && !client->dead && !client->closing; i++) {
                _cleanup_(message_deinit) Message message = MESSAGE_NONE;
                int r;

                if (client->n_queue >= READ_STOPS_AT || !server_may_ask(client))
                        return;
                r = message_receive_without_fds(client->fd, &message);
                if (r == -EAGAIN || r == -ENOMEM)
                        return;
                if (r != 0) {
                        client->hung_up = r == MESSAGE_E_CLOSED;
                        connection_drop(client);
                        return;
                }
                server_has_asked(client);
                if (sender_is_peer(client, &message))
                        client->server->handlers->request(client, &message, client->server->userdata);
                else
                        refuse_sender(client, message.body);
        }
}

static int on_client(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Client *client = userdata;

        if (!client->dead && (revents & EPOLLOUT))
                client_write(client);
        if (!client->dead && (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
                client_read(client);
        connection_arm(client);
        return 0;
}

int connection_new(Server *server, int fd, const Peer *peer, Client **ret) {
        _cleanup_(connection_freep) Client *client = calloc(1, sizeof(*client));
        int r, on = 1;

        if (!client) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        *client = (Client){ .server = server, .fd = fd, .peer = *peer };
        STAILQ_INIT(&client->queue);
        LIST_INSERT_HEAD(&server->clients, client, link);
        server->n_clients++;

        if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(server->event, &client->io, fd, EPOLLIN | EPOLLET, on_client, client);
        if (r >= 0)
                r = sd_event_source_set_priority(client->io, server->priority);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(client);
        return 0;
}

static int packet_new(const char *text, const int *fds, size_t n_fds, Packet **ret) {
        _cleanup_(packet_freep) Packet *packet = calloc(1, sizeof(*packet));

        if (!packet)
                return -ENOMEM;
        packet->text = strdup(text);
        if (!packet->text)
                return -ENOMEM;
        packet->size = strlen(text);
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
        _cleanup_(freep) char *text = json_to_text(body);

        return text ? client_send_text(client, text, fds, n_fds) : -ENOMEM;
}

int client_send_text(Client *client, const char *text, const int *fds, size_t n_fds) {
        Packet *packet = NULL;
        int r;

        if (client->dead)
                return -EPIPE;
        if (!server_make_room(client)) {
                connection_drop(client);
                return -ENOBUFS;
        }
        if (client->n_queue == 0) {
                r = message_send_text(client->fd, text, fds, n_fds);
                if (r == 0)
                        connection_look_again(client);
                if (r != -EAGAIN)
                        return r;
        }
        if (client->n_queue >= QUEUE_MAX || client->queue_bytes >= QUEUE_BYTES) {
                connection_drop(client);
                return -ENOBUFS;
        }
        r = packet_new(text, fds, n_fds, &packet);
        if (r < 0)
                return r;
        STAILQ_INSERT_TAIL(&client->queue, packet, link);
        client->n_queue++;
        client->queue_bytes += packet->size;
        count_bytes(client);
        connection_arm(client);
        return 0;
}

void client_more(Client *client) {
        client->wants_more = true;
        connection_arm(client);
}

bool client_is_behind(const Client *client) {
        return client->dead || client->n_queue > QUEUE_MAX / 4 || client->queue_bytes > QUEUE_BYTES / 4;
}

void client_charge(Client *client, size_t n) {
        for (size_t i = 0; i < n; i++)
                server_has_asked(client);
}

void client_close(Client *client) {
        client->closing = true;
        if (client->n_queue == 0)
                connection_drop(client);
        else
                connection_arm(client);
}

bool client_hung_up(const Client *client) {
        return client->hung_up;
}

const Peer *client_peer(const Client *client) {
        return &client->peer;
}

const PeerPolicy *client_policy(const Client *client) {
        return &client->server->policy;
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
