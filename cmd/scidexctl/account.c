/*
 * Asked for against used, per analysis or user.
 *
 * Called by `report`.  The hard thing is what to compare: the mean of shares would let a thousand short runs outweigh
 * the one that holds the machine for a day.  So sums are kept, and the share is that of the sums; what is worth doing
 * something about is memory times the time for which nobody else could have it, which is what the order goes by.
 */
#include "cmd/scidexctl/account.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <stdlib.h>
#include <string.h>

struct Account {
        AccountBy by;
        json_t *places;        /* owned; name → place in entries */
        AccountEntry *entries; /* owned; the first is the one without a name, the second the rest */
        size_t n, n_allocated;
};

enum { ENTRY_NAMELESS, ENTRY_REST, ENTRIES_FIXED };

Account *account_new(AccountBy by) {
        Account *account = calloc(1, sizeof(*account));

        if (!account)
                return NULL;
        *account = (Account){ .by = by,
                .places = json_object(),
                .entries = calloc(ENTRIES_FIXED, sizeof(AccountEntry)),
                .n = ENTRIES_FIXED,
                .n_allocated = ENTRIES_FIXED };
        if (!account->places || !account->entries) {
                account_free(account);
                return NULL;
        }
        account->entries[ENTRY_REST].is_rest = true;
        return account;
}

void account_free(Account *account) {
        if (!account)
                return;
        for (size_t i = 0; account->entries && i < account->n; i++)
                free(account->entries[i].name);
        free(account->entries);
        json_decref(account->places);
        free(account);
}

static int entry_add(Account *a, const char *name, AccountEntry **ret) {
        char *copy;

        if (a->n == a->n_allocated) {
                AccountEntry *entries = reallocarray(a->entries, a->n * 2, sizeof(AccountEntry));

                if (!entries)
                        return -ENOMEM;
                a->entries = entries;
                a->n_allocated = a->n * 2;
        }
        copy = strdup(name);
        if (!copy || json_object_set_new(a->places, name, json_integer((json_int_t)a->n)) < 0) {
                free(copy);
                return -ENOMEM;
        }
        *ret = &a->entries[a->n++];
        **ret = (AccountEntry){ .name = copy };
        return 0;
}

static int entry_find(Account *a, const char *name, AccountEntry **ret) {
        uint64_t place;

        if (!name)
                *ret = &a->entries[ENTRY_NAMELESS];
        else if (field_u64(a->places, name, &place))
                *ret = &a->entries[place];
        else if (a->n - ENTRIES_FIXED < ACCOUNT_ENTRIES_MOST)
                return entry_add(a, name, ret);
        else
                *ret = &a->entries[ENTRY_REST];
        return 0;
}

static bool is_unlimited(const json_t *row, const char *key) {
        return json_is_null(json_object_get(row, key));
}

/* private: what nobody else could have had; of a run too short to be sampled the whole peak. */
static void take_memory(AccountEntry *e, const json_t *row, double seconds) {
        uint64_t limit, peak;

        e->memory_unlimited += is_unlimited(row, "memory_limit_bytes");
        if (!field_u64(row, "memory_limit_bytes", &limit) ||
                (!field_u64(row, "private_peak_bytes", &peak) && !field_u64(row, "memory_peak_bytes", &peak)))
                return;
        e->memory_runs++;
        e->memory_asked_bytes += (double)limit;
        e->memory_used_bytes += (double)peak;
        e->asked_byte_sec += (double)limit * seconds;
        e->used_byte_sec += (double)peak * seconds;
}

static void take_time(AccountEntry *e, const json_t *row, double seconds) {
        double limit, cpu;

        e->time_unlimited += is_unlimited(row, "timeout_sec");
        if (field_real(row, "cpu_sec", &cpu)) {
                e->cpu_sec += cpu;
                e->cpu_of_sec += seconds;
        }
        if (!field_real(row, "timeout_sec", &limit))
                return;
        e->time_runs++;
        e->time_asked_sec += limit;
        e->time_used_sec += seconds;
}

static int entry_of(Account *a, const json_t *row, AccountEntry **ret) {
        _cleanup_(freep) char *user = NULL;

        if (a->by == ACCOUNT_BY_ANALYSIS)
                return entry_find(a, field_text(row, "analysis_id"), ret);
        user = run_user(row);
        return user ? entry_find(a, user, ret) : -ENOMEM;
}

int account_take(Account *account, const json_t *row) {
        const char *verdict = field_text(row, "verdict");
        AccountEntry *e;
        double seconds;
        int r;

        if (!verdict)
                return 0;
        r = entry_of(account, row, &e);
        if (r < 0)
                return r;
        e->runs++;
        e->by_memory += strcmp(verdict, "memory") == 0;
        e->by_time += strcmp(verdict, "timeout") == 0 || strcmp(verdict, "cpu-time") == 0;
        if (!field_real(row, "duration_sec", &seconds) || !(seconds >= 0))
                return 0; /* lost: what it used of its time is not known */
        take_memory(e, row, seconds);
        take_time(e, row, seconds);
        return 0;
}

static double unused(const AccountEntry *e) {
        return e->asked_byte_sec - e->used_byte_sec;
}

/* The rest comes last, and what has no run is behind everything. */
static int compare(const void *a, const void *b) {
        const AccountEntry *x = a, *y = b;

        if (!x->runs != !y->runs)
                return !x->runs - !y->runs;
        if (x->is_rest != y->is_rest)
                return x->is_rest - y->is_rest;
        if (unused(x) != unused(y))
                return unused(x) > unused(y) ? -1 : 1;
        return strcmp(x->name ? x->name : "", y->name ? y->name : "");
}

const AccountEntry *account_sorted(Account *account, size_t *ret_n) {
        size_t n = account->n;

        qsort(account->entries, account->n, sizeof(AccountEntry), compare);
        json_object_clear(account->places); /* they are elsewhere now: no row is taken after this */
        while (n > 0 && account->entries[n - 1].runs == 0)
                n--;
        *ret_n = n;
        return account->entries;
}
