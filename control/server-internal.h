/* Between server.c (accept, accounts, the whole) and connection.c (one client: read, write, queue). */
#pragma once

#include "control/account.h"
#include "control/server.h"

#define BATCH 4 /* packets read, or connections accepted, before others have their turn */

typedef struct Packet Packet;

struct Client {
        LIST_ENTRY(Client) link;         /* of the server */
        LIST_ENTRY(Client) account_link; /* of its account */
        TAILQ_ENTRY(Client) wait_link;
        TAILQ_ENTRY(Client) dead_link;
        Server *server;
        Account *account;    /* NULL before it is counted */
        sd_event_source *io; /* owned */
        int fd;              /* owned */
        Peer peer;
        STAILQ_HEAD(, Packet) queue;
        size_t n_queue, queue_bytes;
        size_t unread_bytes;  /* in the kernel, when last looked */
        size_t counted_bytes; /* in its account */
        unsigned n_parts;     /* of lists */
        bool given;           /* connected by us, not accepted: whoever has the other end is its sender */
        bool closing;         /* after the queue has been sent */
        bool dead;            /* waits for the reaper */
        bool hung_up;         /* by itself */
        bool wants_more;
        bool waiting; /* for tokens; in its account's list */
        void *userdata;
};

struct Server {
        sd_event *event;
        sd_event_source *listener, *tokens; /* owned */
        sd_event_source *reaper;            /* owned; made at the start: later there may be no memory for it */
        int listen_fd;                      /* owned */
        int spare_fd;                       /* owned; given up when all others are used */
        int64_t priority;
        const ServerHandlers *handlers;
        void *userdata;
        PeerPolicy policy;
        AccountBounds bounds;
        AccountTable accounts;
        size_t bytes; /* of all accounts */
        size_t n_clients, clients_max;
        LIST_HEAD(, Client) clients;
        TAILQ_HEAD(, Client) dead; /* in the order of their ends */
};

/* connection.c */
int connection_add_reaper(Server *server);
int connection_new(Server *server, int fd, const Peer *peer, Client **ret); /* fd owned from here on */
void connection_free(Client *client);
void connection_drop(Client *client); /* freed on a later turn of the loop; costs nothing from here on */
void connection_arm(Client *client);
/* What it has not read is looked up anew in the kernel. */
void connection_look_again(Client *client);

/* server.c */
/* Whether its uid has a token left for a request. Else the client is not read from until there is one. */
bool server_may_ask(Client *client);
void server_has_asked(Client *client);
/* Whether one more packet may be kept for it. Where all together keep too much, who reads least is dropped. */
bool server_make_room(Client *client);
