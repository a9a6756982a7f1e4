/*
 * Accounts of uids.
 *
 * Called by server.c and connection.c.  The hard thing is a bucket that needs neither a timer nor a float: it is kept
 * as the one point in time at which it is full again (a request moves that point on; what lies more than a burst ahead
 * has to wait), which also says for free whether an account may be forgotten.
 */
#include "control/account.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <limits.h>

static Account *find(const AccountTable *table, uid_t uid) {
        Account *account;

        LIST_FOREACH(account, &table->accounts, link)
        if (account->uid == uid)
                return account;
        return NULL;
}

static void account_free(AccountTable *table, Account *account) {
        LIST_REMOVE(account, link);
        table->n_accounts--;
        free(account);
}

void account_sweep(AccountTable *table, uint64_t now_usec) {
        Account *account, *next;

        for (account = LIST_FIRST(&table->accounts); account; account = next) {
                next = LIST_NEXT(account, link);
                if (account->n_clients == 0 && account->spent_until_usec <= now_usec)
                        account_free(table, account);
        }
}

Account *account_get(AccountTable *table, uid_t uid, bool exempt, uint64_t now_usec) {
        Account *account = find(table, uid);

        if (account)
                return account;
        account_sweep(table, now_usec);
        if (table->n_accounts >= ACCOUNTS_MAX && !exempt)
                return NULL;
        account = calloc(1, sizeof(*account));
        if (!account)
                return NULL;
        *account = (Account){ .uid = uid, .exempt = exempt };
        LIST_INIT(&account->clients);
        TAILQ_INIT(&account->waiting);
        LIST_INSERT_HEAD(&table->accounts, account, link);
        table->n_accounts++;
        return account;
}

void account_table_deinit(AccountTable *table) {
        while (!LIST_EMPTY(&table->accounts))
                account_free(table, LIST_FIRST(&table->accounts));
}

unsigned account_tokens(const Account *account, const AccountBounds *bounds, uint64_t now_usec) {
        uint64_t whole = bounds->burst * bounds->per_request_usec;
        uint64_t spent = usec_sub(account->spent_until_usec, now_usec);

        if (account->exempt || bounds->per_request_usec == 0)
                return UINT_MAX;
        return spent >= whole ? 0 : (unsigned)((whole - spent) / bounds->per_request_usec);
}

void account_take(Account *account, const AccountBounds *bounds, uint64_t now_usec) {
        uint64_t debt = usec_add(now_usec, 2 * bounds->burst * bounds->per_request_usec);

        account->spent_until_usec = MAX_OF(account->spent_until_usec, now_usec) + bounds->per_request_usec;
        account->spent_until_usec = MIN_OF(account->spent_until_usec, debt);
}

uint64_t account_ready_usec(const Account *account, const AccountBounds *bounds, unsigned n) {
        return usec_sub(account->spent_until_usec, (bounds->burst - n) * bounds->per_request_usec);
}
