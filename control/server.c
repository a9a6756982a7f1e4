/*
 * The serving side: accept, and share the server among those who ask, on the loop of the supervisor or the recorder.
 *
 * The hard thing is many users who don't trust each other.  Every uid has an account: how many connections, how many
 * bytes wait for it to read them, how many requests it may still make.  Whoever is over its bound waits or is turned
 * away, alone; the others don't notice.  One timer serves all who wait for tokens, and runs only while somebody does.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "control/priority.h"
#include "control/server-internal.h"
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define CLIENTS_MAX          16384 /* one per live run and a few askers; half of the fd limit is the other bound */
#define CLIENTS_SPARE        64    /* of them for root and ourselves, whoever else has come */
#define STRANGERS_MAX        16    /* connections of a uid that may ask nothing, and is to hear just that */
#define RESUME_TOKENS        50U   /* who waits is read from again when there are so many: no wake-up per request */
#define TOKENS_ACCURACY_USEC (10 * USEC_PER_MSEC)

static void arm_tokens(Server *server) {
        unsigned enough = MIN_OF(RESUME_TOKENS, server->bounds.burst);
        uint64_t next = USEC_INFINITY;
        Account *account;

        LIST_FOREACH(account, &server->accounts.accounts, link)
        if (!TAILQ_EMPTY(&account->waiting))
                next = MIN_OF(next, account_ready_usec(account, &server->bounds, enough));
        if (next == USEC_INFINITY)
                return;
        (void)sd_event_source_set_time(server->tokens, next);
        (void)sd_event_source_set_enabled(server->tokens, SD_EVENT_ONESHOT);
}

/* As many go on as there are tokens; who then finds none left waits again, at the end. */
static void resume(Server *server, Account *account) {
        unsigned n = account_tokens(account, &server->bounds, clock_boottime_usec());
        Client *client;

        for (; n > 0 && (client = TAILQ_FIRST(&account->waiting)); n--) {
                TAILQ_REMOVE(&account->waiting, client, wait_link);
                client->waiting = false;
                connection_arm(client);
        }
}

static int on_tokens(sd_event_source *source, uint64_t usec, void *userdata) {
        Server *server = userdata;
        Account *account;

        LIST_FOREACH(account, &server->accounts.accounts, link)
        resume(server, account);
        arm_tokens(server);
        return 0;
}

bool server_may_ask(Client *client) {
        Server *server = client->server;

        if (account_tokens(client->account, &server->bounds, clock_boottime_usec()) > 0)
                return true;
        if (!client->waiting) {
                client->waiting = true;
                TAILQ_INSERT_TAIL(&client->account->waiting, client, wait_link);
                arm_tokens(server);
        }
        return false;
}

void server_has_asked(Client *client) {
        account_take(client->account, &client->server->bounds, clock_boottime_usec());
}

static void look_again(Account *account) {
        Client *client;

        LIST_FOREACH(client, &account->clients, account_link)
        connection_look_again(client);
}

/* The account that reads least gives up the client that reads least. */
static void drop_greatest(Server *server, Account *worst) {
        Account *account;
        Client *client, *greatest;

        LIST_FOREACH(account, &server->accounts.accounts, link)
        if (account->bytes > worst->bytes)
                worst = account;
        look_again(worst);
        if (server->bytes < server->bounds.all_bytes)
                return;
        greatest = LIST_FIRST(&worst->clients);
        LIST_FOREACH(client, &worst->clients, account_link)
        if (client->counted_bytes > greatest->counted_bytes)
                greatest = client;
        if (greatest)
                connection_drop(greatest);
}

bool server_make_room(Client *client) {
        Server *server = client->server;

        if (client->account->bytes >= server->bounds.bytes)
                look_again(client->account);
        if (client->account->bytes >= server->bounds.bytes)
                return false;
        if (server->bytes >= server->bounds.all_bytes)
                drop_greatest(server, client->account);
        return !client->dead;
}

static void join(Client *client, Account *account) {
        client->account = account;
        LIST_INSERT_HEAD(&account->clients, client, account_link);
        account->n_clients++;
}

static Account *account_of(Server *server, const Peer *peer) {
        bool exempt = peer->uid == 0 || peer->uid == server->policy.owner;

        return account_get(&server->accounts, peer->uid, exempt, clock_boottime_usec());
}

static bool has_place_for(const Server *server, const Account *account, const Peer *peer) {
        if (account->exempt)
                return server->n_clients < server->clients_max;
        return server->n_clients + CLIENTS_SPARE < server->clients_max &&
                account->n_clients < (peer->role == ROLE_NONE ? STRANGERS_MAX : server->bounds.clients);
}

int server_add_client(Server *server, int fd, Client **ret) {
        _cleanup_(close_fdp) int owned = fd;
        Account *account;
        Client *client;
        Peer peer;
        int r;

        r = peer_read(fd, &server->policy, &peer);
        if (r < 0)
                return r;
        account = account_of(server, &peer);
        if (!account)
                return -ENOBUFS;
        r = connection_new(server, TAKE_FD(owned), &peer, &client);
        if (r < 0)
                return r;
        client->given = true; /* the recorder is no longer who it was when the pair was made */
        join(client, account);
        if (ret)
                *ret = client;
        return 0;
}

/* fd is owned from here on; closed at once where its uid has enough. */
static void admit(Server *server, int fd) {
        _cleanup_(close_fdp) int owned = fd;
        Account *account;
        Client *client;
        Peer peer;

        if (peer_read(fd, &server->policy, &peer) < 0)
                return;
        account = account_of(server, &peer);
        if (!account)
                return;
        account_take(account, &server->bounds, clock_boottime_usec());
        if (has_place_for(server, account, &peer) && connection_new(server, TAKE_FD(owned), &peer, &client) == 0)
                join(client, account);
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

        for (unsigned i = 0; i < BATCH; i++) {
                int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (fd >= 0)
                        admit(server, fd);
                else if (errno == EMFILE || errno == ENFILE)
                        turn_away(server);
                if (fd < 0)
                        return 0;
        }
        return 0;
}

static size_t clients_max(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return CLIENTS_MAX;
        return (size_t)MIN_OF((rlim_t)CLIENTS_MAX, MAX_OF(limit.rlim_cur / 2, (rlim_t)2 * CLIENTS_SPARE));
}

static int add_sources(Server *server) {
        int r = sd_event_add_time(
                server->event, &server->tokens, CLOCK_BOOTTIME, 0, TOKENS_ACCURACY_USEC, on_tokens, server);

        if (r >= 0)
                r = sd_event_source_set_enabled(server->tokens, SD_EVENT_OFF);
        if (r >= 0)
                r = connection_add_reaper(server);
        if (r >= 0 && server->listen_fd >= 0)
                r = sd_event_add_io(server->event, &server->listener, server->listen_fd, EPOLLIN, on_accept, server);
        return r;
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
                .bounds = ACCOUNT_BOUNDS_DEFAULT,
                .clients_max = clients_max(),
                .userdata = userdata };
        LIST_INIT(&server->clients);
        TAILQ_INIT(&server->dead);
        LIST_INIT(&server->accounts.accounts);
        r = add_sources(server);
        if (r >= 0)
                r = server_set_priority(server, PRIORITY_CLIENTS);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(server);
        return 0;
}

void server_free(Server *server) {
        while (!LIST_EMPTY(&server->clients))
                connection_free(LIST_FIRST(&server->clients));
        account_table_deinit(&server->accounts);
        sd_event_source_disable_unref(server->listener);
        sd_event_source_disable_unref(server->tokens);
        sd_event_source_disable_unref(server->reaper);
        (void)close_fd(server->listen_fd);
        (void)close_fd(server->spare_fd);
        sd_event_unref(server->event);
        free(server);
}

int server_set_priority(Server *server, int64_t priority) {
        int r = sd_event_source_set_priority(server->tokens, priority);

        server->priority = priority;
        if (r >= 0)
                r = sd_event_source_set_priority(server->reaper, priority);
        return r < 0 || !server->listener ? r : sd_event_source_set_priority(server->listener, priority);
}

void server_set_bounds(Server *server, const AccountBounds *bounds) {
        server->bounds = *bounds;
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

size_t server_client_count(const Server *server) {
        return server->n_clients;
}
