/* The words of [http] listen and hosts. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define HTTP_SOCKETS_MAX 16 /* that one configuration may name */
#define HTTP_HOSTS_MAX   32
#define HTTP_SOCKETS_LOW 64 /* fds are at least this: below are the numbers that a recorder gets its own at */

typedef union HttpAddress {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
        struct sockaddr_storage storage;
} HttpAddress;

/* Calls func for each word of what [http] listen or hosts has. 0, or what func returned. */
typedef int (*HttpWordFunc)(const char *word, size_t length, void *userdata);
int http_each_word(const char *words, HttpWordFunc func, void *userdata);
/* Whether a word is a place to listen at: ADDRESS:PORT of numbers, or an absolute path that fits a socket. */
bool http_listen_is_possible(const char *word, size_t length);
/* Whether a word can be the name in a Host header. */
bool http_host_is_possible(const char *word, size_t length);

/* "127.0.0.1:8787", "[::1]:8787". False: it is none. */
bool http_address_parse(const char *word, size_t length, HttpAddress *ret, socklen_t *ret_size);
