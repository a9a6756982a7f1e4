/*
 * The serving side on sd-event: clients that are slow, stuck, flooding or lying cost only themselves.
 *
 * Per client: a bounded queue of outgoing packets, a bounded number of requests per wake-up, one list at a time which
 * is continued only as the client reads; no fd is ever taken from it. Per uid: connections, unread bytes and requests
 * a second (control/account.h). Never blocks.
 */
#pragma once

#include "base/cleanup.h"
#include "control/account.h"
#include "control/message.h"
#include "control/peer.h"
#include <systemd/sd-event.h>

typedef struct Server Server;
typedef struct Client Client;

typedef struct ServerHandlers {
        /* A request has come; its uid is the connection's. Answers with client_send(), now or later. */
        void (*request)(Client *client, Message *message, void *userdata);
        /* The client is about to be freed (hang-up, bad packet, queue overrun). Drop every pointer to it. */
        void (*closed)(Client *client, void *userdata);
        /* The queue has drained and client_more(client) was asked for: send the next rows. May be NULL. */
        void (*more)(Client *client, void *userdata);
} ServerHandlers;

/* listen_fd (owned from here on) is a listening SEQPACKET socket. */
int server_new(sd_event *event, int listen_fd, const ServerHandlers *handlers, void *userdata, Server **ret);
void server_free(Server *server);
DEFINE_CLEANUP(Server *, server_free);
/*
 * Who gets which role, for those connected and those to come; group_name stays borrowed. Before: the own uid and root
 * are admins, others nobody.
 */
void server_set_policy(Server *server, const PeerPolicy *policy);
/* Before: ACCOUNT_BOUNDS_DEFAULT. Holds from the next connection, packet and request on. */
void server_set_bounds(Server *server, const AccountBounds *bounds);
/* Before: PRIORITY_CLIENTS. For clients to come, and the ends of all. 0, -errno. */
int server_set_priority(Server *server, int64_t priority);
size_t server_client_count(const Server *server);

/* Binds and listens: the directory must exist; a stale socket file is replaced only if stale. group: who owns it beside
 * us, PEER_GID_NONE for our own. 0, -EADDRINUSE, -errno. */
int server_listen(const char *path, mode_t mode, gid_t group, int *ret_fd);

/* The same for a stream socket, which somebody else serves. */
int server_listen_stream(const char *path, mode_t mode, gid_t group, int *ret_fd);

/*
 * Opens a socket of root's to the users and the admins, and to nobody else: group, mode and access list, whoever bound
 * it. 0; -EOPNOTSUPP: the file system has no access lists, so admins get in as members of the group only; -errno.
 */
int server_admit_groups(const char *path, const PeerPolicy *policy);

/* A client over an fd that is already connected (a socketpair); owned from here on. */
int server_add_client(Server *server, int fd, Client **ret);

/*
 * Queues a packet (sent at once if the socket takes it). fds are duplicated. 0, -ENOBUFS: the client reads too slowly
 * and will be closed from the loop; -errno.
 */
int client_send(Client *client, const json_t *body, const int *fds, size_t n_fds);
/* The same of a body that is text already: what waits for long takes a tenth of the memory so. */
int client_send_text(Client *client, const char *text, const int *fds, size_t n_fds);
/* What was asked for has cost as much as n more requests: its uid waits for that. */
void client_charge(Client *client, size_t n);
/* Asks for handlers.more() as soon as the queue is empty. */
void client_more(Client *client);
/* Whether more than a few packets wait for it to read: what need not be told is better left out then. */
bool client_is_behind(const Client *client);
/* Closes it from the loop, after what is queued has been sent. */
void client_close(Client *client);
/* In handlers.closed(): it has hung up; false: it was dropped here, for a bad packet, an overrun or want of memory. */
bool client_hung_up(const Client *client);
const Peer *client_peer(const Client *client);
const PeerPolicy *client_policy(const Client *client);
/* A pidfd of the process that connected, borrowed; opened on demand and only believed while the connection lives. fd or
 * -errno. */
int client_peer_pidfd(Client *client);
void client_set_userdata(Client *client, void *userdata);
void *client_userdata(const Client *client);
