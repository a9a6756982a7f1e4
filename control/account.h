/*
 * What one uid costs a server: its connections, the bytes that it does not read, and how fast it asks.
 *
 * Pure bookkeeping, without a clock or an fd: the server asks and tells. An account outlives the last connection of its
 * uid until its bucket is full again, so that connecting anew buys nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#define ACCOUNTS_MAX 1024 /* uids at once; who comes then is turned away, but for root and the server's own uid */

typedef struct AccountBounds {
        unsigned clients;          /* connections of one uid */
        size_t bytes;              /* answers of one uid that wait for it to read, here and in the kernel */
        size_t all_bytes;          /* of all uids together */
        uint64_t per_request_usec; /* one request is given back in this time */
        unsigned burst;            /* requests at once after a rest */
} AccountBounds;

#define ACCOUNT_BOUNDS_DEFAULT                                                                               \
        ((AccountBounds){                                                                                    \
                .clients = 4096,          /* launchers: one each; far above what one host runs */            \
                .bytes = 32 << 20,        /* the ends of 1,000 runs at one moment are 9 MiB in the kernel */ \
                .all_bytes = 64 << 20,    /* a quarter of the supervisor's MemoryMax */                      \
                .per_request_usec = 2000, /* 500 a second: some 10 % of one CPU */                           \
                .burst = 2000,            /* 1,000 launchers that attach to a new supervisor at once */      \
        })

struct Client;

typedef struct Account {
        LIST_ENTRY(Account) link;
        uid_t uid;
        bool exempt; /* root and the server's own uid: any number of connections, at any rate */
        unsigned n_clients;
        size_t bytes;
        uint64_t spent_until_usec; /* the bucket is full again then; the further ahead, the emptier it is */
        LIST_HEAD(, Client) clients;
        TAILQ_HEAD(, Client) waiting; /* not read from until there are tokens again; who waits longest first */
} Account;

typedef struct AccountTable {
        LIST_HEAD(, Account) accounts;
        unsigned n_accounts;
} AccountTable;

/* The account of a uid, made if there is none. NULL: no memory, or ACCOUNTS_MAX (never for one that is exempt). */
Account *account_get(AccountTable *table, uid_t uid, bool exempt, uint64_t now_usec);
/* Frees those without connections whose bucket is full again. */
void account_sweep(AccountTable *table, uint64_t now_usec);
/* Frees all; none may have a client. */
void account_table_deinit(AccountTable *table);

/* Requests that may be read now; UINT_MAX for one that is exempt. */
unsigned account_tokens(const Account *account, const AccountBounds *bounds, uint64_t now_usec);
/* Takes one, also where none is left: a bucket is at most one burst in debt. */
void account_take(Account *account, const AccountBounds *bounds, uint64_t now_usec);
/* When n tokens (at most the burst) will be there. */
uint64_t account_ready_usec(const Account *account, const AccountBounds *bounds, unsigned n);
