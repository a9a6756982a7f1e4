/*
 * Words of [http]: places to listen at, names of hosts.
 *
 * Called by the configuration, which judges them, and by http-sockets.c, which listens there.  Addresses are numbers: a
 * name would have to be looked up, and that can take as long as it likes.
 */
#include "supervise/http-words.h"

#include "base/parse.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#define BLANKS       " \t"
#define ADDRESS_MAX  64  /* "[IPv6]:PORT" */
#define HOST_MAX     253 /* RFC 1035 */
#define HOST_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_"

int http_each_word(const char *words, HttpWordFunc func, void *userdata) {
        for (const char *at = words; at && *(at += strspn(at, BLANKS));) {
                size_t length = strcspn(at, BLANKS);
                int r = func(at, length, userdata);

                if (r != 0)
                        return r;
                at += length;
        }
        return 0;
}

static bool parse_port(const char *text, in_port_t *ret) {
        uint64_t port;

        if (parse_u64(text, &port) < 0 || port == 0 || port > UINT16_MAX)
                return false;
        *ret = htons((uint16_t)port);
        return true;
}

bool http_address_parse(const char *word, size_t length, HttpAddress *ret, socklen_t *ret_size) {
        char text[ADDRESS_MAX], *colon, *host = text;

        *ret = (HttpAddress){ .storage = { .ss_family = AF_UNSPEC } };
        if (length >= sizeof(text))
                return false;
        memcpy(text, word, length);
        text[length] = '\0';
        colon = strrchr(text, ':');
        if (!colon)
                return false;
        *colon = '\0';
        if (*host != '[') {
                ret->v4.sin_family = AF_INET;
                *ret_size = sizeof(ret->v4);
                return inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1 && parse_port(colon + 1, &ret->v4.sin_port);
        }
        if (colon[-1] != ']')
                return false;
        colon[-1] = '\0';
        ret->v6.sin6_family = AF_INET6;
        *ret_size = sizeof(ret->v6);
        return inet_pton(AF_INET6, host + 1, &ret->v6.sin6_addr) == 1 && parse_port(colon + 1, &ret->v6.sin6_port);
}

bool http_listen_is_possible(const char *word, size_t length) {
        HttpAddress address;
        socklen_t size;

        if (*word == '/')
                return length > 1 && length < sizeof(address.path.sun_path) && word[length - 1] != '/';
        return http_address_parse(word, length, &address, &size);
}

bool http_host_is_possible(const char *word, size_t length) {
        return length > 0 && length <= HOST_MAX && strspn(word, HOST_LETTERS) >= length;
}
