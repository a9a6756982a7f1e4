/*
 * Places to listen at: words, sockets, and what became of them.
 *
 * Called by the wiring (http.c) at the start, on reload and when its timer retries.  The hard thing is a restart: the
 * recorder of a supervisor that was killed holds these sockets until it has stored what it knew, so a port that is
 * taken now may be free in a moment, and what is bound already must not be let go of for it.
 */
#include "supervise/http-sockets.h"

#include "base/file.h"
#include "control/peer.h"
#include "control/server.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BACKLOG 1024 /* clients that wait while a recorder is replaced */

/* Above the numbers that the recorder is given its sockets at. */
static int move_up(int fd) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, HTTP_SOCKETS_LOW), error = errno;

        (void)close_fd(fd);
        return high < 0 ? -error : high;
}

static int bind_address(const char *listen_at, int *ret_fd) {
        _cleanup_(close_fdp) int fd = -EBADF;
        HttpAddress address;
        socklen_t size;

        if (!http_address_parse(listen_at, strlen(listen_at), &address, &size))
                return -EINVAL;
        fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
                (address.any.sa_family == AF_INET6 &&
                        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int)) < 0) ||
                bind(fd, &address.any, size) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static void socket_open(HttpSocket *s, gid_t group) {
        int fd = -EBADF, r;

        r = *s->listen == '/' ? server_listen_stream(s->listen, group == PEER_GID_NONE ? 0600 : 0660, group, &fd)
                              : bind_address(s->listen, &fd);
        if (r == 0)
                r = fd = move_up(fd);
        s->is_new = s->is_new || (r < 0 ? -r : 0) != s->error;
        s->error = r < 0 ? -r : 0;
        s->fd = r < 0 ? -EBADF : fd;
        s->is_bound = r >= 0;
}

static void socket_close(HttpSocket *s) {
        if (s->is_bound && *s->listen == '/')
                (void)unlink(s->listen);
        (void)close_fd(s->fd);
        free(s->listen);
}

/* What the kernel says that it is bound to. NULL on OOM. Caller frees. */
static char *name_of(int fd) {
        HttpAddress address = { .storage = { .ss_family = AF_UNSPEC } };
        socklen_t size = sizeof(address);
        char text[INET6_ADDRSTRLEN] = "?";

        if (getsockname(fd, &address.any, &size) < 0)
                return strdup("?");
        if (address.any.sa_family == AF_UNIX)
                return strdup(size > sizeof(sa_family_t) && *address.path.sun_path ? address.path.sun_path : "?");
        if (address.any.sa_family == AF_INET6) {
                (void)inet_ntop(AF_INET6, &address.v6.sin6_addr, text, sizeof(text));
                return text_printf("[%s]:%u", text, ntohs(address.v6.sin6_port));
        }
        (void)inet_ntop(AF_INET, &address.v4.sin_addr, text, sizeof(text));
        return text_printf("%s:%u", text, ntohs(address.v4.sin_port));
}

int http_sockets_take(HttpSockets *sockets, int fd) {
        int flags, high = move_up(fd);
        char *name;

        if (high < 0)
                return high;
        flags = fcntl(high, F_GETFL);
        name = name_of(high);
        if (sockets->n == HTTP_SOCKETS_MAX || !name || flags < 0 || fcntl(high, F_SETFL, flags | O_NONBLOCK) < 0) {
                free(name);
                (void)close_fd(high);
                return name ? -ENOSPC : -ENOMEM;
        }
        sockets->is_handed = true;
        sockets->list[sockets->n++] = (HttpSocket){ .listen = name, .fd = high };
        return 0;
}

static HttpSocket *find(HttpSockets *sockets, const char *word, size_t length) {
        for (size_t i = 0; i < sockets->n; i++)
                if (strncmp(sockets->list[i].listen, word, length) == 0 && !sockets->list[i].listen[length])
                        return &sockets->list[i];
        return NULL;
}

/* From the old set into the new one, or a new one, not opened yet. */
static int add_word(const char *word, size_t length, void *userdata) {
        HttpSockets **sets = userdata, *old = sets[0], *new = sets[1];
        HttpSocket *there = find(old, word, length);

        if (find(new, word, length))
                return 0;
        if (new->n == HTTP_SOCKETS_MAX)
                return -ENOSPC;
        if (there) {
                new->list[new->n++] = *there;
                *there = old->list[--old->n];
                return 0;
        }
        new->list[new->n] = (HttpSocket){ .listen = strndup(word, length), .fd = -EBADF, .error = EINPROGRESS };
        return new->list[new->n].listen ? (void)new->n++, 0 : -ENOMEM;
}

int http_sockets_set(HttpSockets *sockets, const char *listen_at, gid_t group) {
        HttpSockets new = { .generation = sockets->generation }, *sets[] = { sockets, &new };
        size_t n_gone = 0;
        int r;

        if (sockets->is_handed)
                return 0;
        r = http_each_word(listen_at, add_word, sets);
        if (r < 0) { /* all of them back */
                for (size_t i = 0; i < new.n && sockets->n < HTTP_SOCKETS_MAX; i++)
                        sockets->list[sockets->n++] = new.list[i];
                return r;
        }
        for (size_t i = 0; i < sockets->n; i++) {
                n_gone += sockets->list[i].fd >= 0;
                socket_close(&sockets->list[i]);
        }
        new.generation += n_gone > 0;
        *sockets = new;
        return http_sockets_retry(sockets, group) > 0 || n_gone > 0;
}

int http_sockets_retry(HttpSockets *sockets, gid_t group) {
        bool changed = false;

        for (size_t i = 0; i < sockets->n; i++) {
                if (sockets->list[i].fd >= 0)
                        continue;
                socket_open(&sockets->list[i], group);
                changed = changed || sockets->list[i].fd >= 0;
        }
        sockets->generation += changed;
        return changed;
}

bool http_sockets_lack(const HttpSockets *sockets) {
        for (size_t i = 0; i < sockets->n; i++)
                if (sockets->list[i].fd < 0)
                        return true;
        return false;
}

size_t http_sockets_fds(const HttpSockets *sockets, int *list) {
        size_t n = 0;

        for (size_t i = 0; i < sockets->n; i++)
                if (sockets->list[i].fd >= 0)
                        list[n++] = sockets->list[i].fd;
        return n;
}

json_t *http_sockets_to_json(const HttpSockets *sockets) {
        _cleanup_(json_decrefp) json_t *list = json_array();

        for (size_t i = 0; i < sockets->n; i++) {
                const HttpSocket *s = &sockets->list[i];

                if (json_array_append_new(list,
                            json_pack("{s:o, s:b, s:o}", "listen", json_from_text(s->listen), "ok", s->fd >= 0,
                                    "detail", s->fd >= 0 ? json_null() : json_string(strerror(s->error)))) < 0)
                        return NULL;
        }
        return TAKE_PTR(list);
}

void http_sockets_unlink(const HttpSockets *sockets) {
        for (size_t i = 0; i < sockets->n; i++)
                if (sockets->list[i].is_bound && *sockets->list[i].listen == '/')
                        (void)unlink(sockets->list[i].listen);
}

void http_sockets_deinit(HttpSockets *sockets) {
        for (size_t i = 0; i < sockets->n; i++) {
                (void)close_fd(sockets->list[i].fd);
                free(sockets->list[i].listen);
        }
        sockets->n = 0;
}
