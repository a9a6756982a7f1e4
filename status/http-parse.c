/*
 * Requests, taken apart.
 *
 * Called by http-exchange.c for each request, and by the fuzzer.  The hard thing is to have one reading only: a target
 * that could mean two things is refused, not repaired.  The server library is told to leave the target alone, so that
 * this is the only place where percent-encoding is undone, once.
 */
#include "status/http-parse.h"

#include "base/parse.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <string.h>

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        c = (char)(c | 0x20);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What neither JSON nor a page nor a log should have to show. */
static bool is_clean(const char *text) {
        for (const char *p = text; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        return false;
        return text_is_utf8(text);
}

/* In place. Whether it is well-formed and what comes out is clean. */
static bool decode(char *text, bool is_form) {
        char *out = text;

        for (const char *p = text; *p; p++) {
                int high, low;

                if (*p != '%') {
                        *out++ = is_form && *p == '+' ? ' ' : *p;
                        continue;
                }
                high = hex_digit(p[1]);
                low = high < 0 ? -1 : hex_digit(p[2]);
                if (low < 0 || high + low == 0)
                        return false;
                *out++ = (char)(high << 4 | low);
                p += 2;
        }
        *out = '\0';
        return is_clean(text);
}

static bool has_dots(const char *path) {
        for (const char *p = path; p; p = strchr(p + 1, '/')) {
                size_t length = strcspn(p + 1, "/");

                if ((length == 1 && p[1] == '.') || (length == 2 && p[1] == '.' && p[2] == '.'))
                        return true;
        }
        return false;
}

static bool add_member(HttpTarget *target, char *text) {
        char *value = strchr(text, '=');

        if (value)
                *value++ = '\0';
        if (target->n_members == HTTP_QUERY_MAX || !decode(text, true) || (value && !decode(value, true)))
                return false;
        for (size_t i = 0; i < target->n_members; i++)
                if (strcmp(target->members[i].name, text) == 0)
                        return false;
        target->members[target->n_members++] = (HttpMember){ .name = text, .value = value ? value : "" };
        return true;
}

int http_target_parse(const char *text, HttpTarget *ret) {
        _cleanup_(http_target_deinit) HttpTarget target = { .text = NULL };
        char *query, *member;

        if (strlen(text) > HTTP_TARGET_MAX)
                return HTTP_PARSE_E_LONG;
        target.text = strdup(text);
        if (!target.text)
                return -ENOMEM;
        target.path = target.text;
        query = strchr(target.text, '?');
        if (query)
                *query++ = '\0';
        if (target.text[0] != '/' || !decode(target.text, false) || has_dots(target.text))
                return HTTP_PARSE_E_PATH;
        while ((member = strsep(&query, "&")))
                if (*member && !add_member(&target, member))
                        return HTTP_PARSE_E_QUERY;
        *ret = target;
        target.text = NULL;
        return 0;
}

void http_target_deinit(HttpTarget *target) {
        free(target->text);
        *target = (HttpTarget){ .text = NULL };
}

/* "name", "name:port", "[v6]:port": the name without brackets, and the port, "" if there is none. In place. */
static bool split_host(char *text, char **ret_name, const char **ret_port) {
        char *end = text, *port;

        if (*text == '[') {
                text++;
                end = strchr(text, ']');
                if (!end)
                        return false;
                port = end + 1;
        } else
                port = end = text + strcspn(text, ":");
        if (*port && *port != ':')
                return false;
        *ret_port = *port ? port + 1 : "";
        *end = '\0';
        *ret_name = text;
        return *text != '\0';
}

static bool is_local_address(const char *name, const struct sockaddr *local) {
        struct in6_addr six;
        struct in_addr four;

        if (local->sa_family == AF_INET)
                return inet_pton(AF_INET, name, &four) == 1 &&
                        memcmp(&four, &((const struct sockaddr_in *)local)->sin_addr, sizeof(four)) == 0;
        if (local->sa_family != AF_INET6)
                return false;
        if (inet_pton(AF_INET6, name, &six) == 1)
                return memcmp(&six, &((const struct sockaddr_in6 *)local)->sin6_addr, sizeof(six)) == 0;
        /* A socket of both families knows a v4 address as ::ffff:a.b.c.d. */
        return inet_pton(AF_INET, name, &four) == 1 &&
                IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)local)->sin6_addr) &&
                memcmp(&four, &((const struct sockaddr_in6 *)local)->sin6_addr.s6_addr[12], sizeof(four)) == 0;
}

static bool is_local_port(const char *port, const struct sockaddr *local) {
        in_port_t ours = local->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)local)->sin6_port
                                                      : ((const struct sockaddr_in *)local)->sin_port;
        uint64_t number;

        return !*port || (parse_u64(port, &number) == 0 && number == ntohs(ours));
}

static bool is_listed(const char *name, const char *const *hosts, size_t n_hosts) {
        for (size_t i = 0; i < n_hosts; i++)
                if (strcasecmp(name, hosts[i]) == 0)
                        return true;
        return false;
}

bool http_host_is_ours(const char *host, const struct sockaddr *local, const char *const *hosts, size_t n_hosts) {
        _cleanup_(freep) char *text = strdup(host);
        const char *port;
        char *name;
        size_t length;

        if (!text || !split_host(text, &name, &port))
                return false;
        length = strlen(name);
        if (length > 1 && name[length - 1] == '.')
                name[length - 1] = '\0';
        if (is_listed(name, hosts, n_hosts))
                return true;
        return (is_local_address(name, local) || strcasecmp(name, "localhost") == 0) && is_local_port(port, local);
}

bool http_is_token(const char *text) {
        const char *p = text;

        while (*p && (isalnum((unsigned char)*p) || strchr("!#$%&'*+-.^_`|~", *p)))
                p++;
        return p > text && *p == '\0';
}

/* "0.5" in thousandths, at most 1000; what is malformed counts as 0. */
static unsigned read_thousandths(const char *text, const char *end) {
        unsigned value = 0, unit = 1000;

        for (; text < end && unit > 0; text++)
                if (*text >= '0' && *text <= '9') {
                        value += (unsigned)(*text - '0') * unit;
                        unit /= 10;
                } else if (*text != '.')
                        break;
        return MIN_OF(value, 1000U);
}

/* Of the parameters ";q=0.5;…": what q says, 1000 without it. */
static unsigned read_quality(const char *parameters, size_t length) {
        const char *end = parameters + length;

        for (const char *p = parameters; p < end; p += strcspn(p, ";")) {
                p += strspn(p, "; \t");
                if (p + 1 < end && (*p == 'q' || *p == 'Q') && p[1] == '=')
                        return read_thousandths(p + 2, end);
        }
        return 1000;
}

/* How well a range ("text/plain", "text/" + "*", "*" + "/" + "*", "gzip") matches a name: 0 not at all, 3 exactly. */
static unsigned match_range(const char *range, size_t length, const char *name) {
        size_t kind = strcspn(name, "/");

        if (length == strlen(name) && strncasecmp(range, name, length) == 0)
                return 3;
        if (length == kind + 2 && strncasecmp(range, name, kind + 1) == 0 && range[kind + 1] == '*')
                return 2;
        return (length == 3 && strncmp(range, "*/*", 3) == 0) || (length == 1 && *range == '*') ? 1 : 0;
}

/* The quality that the most exact of the ranges gives; `absent` if there is none that matches. */
static unsigned list_quality(const char *list, const char *name, unsigned absent) {
        unsigned best = 0, quality = absent;

        while (*list) {
                size_t whole, length;
                unsigned match;

                list += strspn(list, ", \t");
                whole = strcspn(list, ",");
                length = strcspn(list, ",; \t");
                match = match_range(list, length, name);
                if (match > best) {
                        best = match;
                        quality = read_quality(list + length, whole - length);
                }
                list += whole;
        }
        return quality;
}

bool http_accepts_gzip(const char *accept_encoding) {
        return accept_encoding && list_quality(accept_encoding, "gzip", 0) > 0;
}

unsigned http_accept_quality(const char *accept, const char *type) {
        return accept && *accept ? list_quality(accept, type, 0) : 1000;
}
