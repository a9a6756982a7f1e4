/*
 * What runs asked for against what they used, added up per analysis or per user. Pure; takes one row at a time, so that
 * a year of them needs no more memory than its analyses do.
 */
#pragma once

#include "base/cleanup.h"
#include "status/field.h"
#include "status/table.h"

/* Further analyses are added up in one line: an id a run would else take memory without end. */
#define ACCOUNT_ENTRIES_MOST 10000

typedef enum AccountBy {
        ACCOUNT_BY_ANALYSIS,
        ACCOUNT_BY_USER,
} AccountBy;

/* Of limit and use only runs count that had that limit and whose use is known: the two are compared. */
typedef struct AccountEntry {
        char *name; /* owned; NULL: runs without an analysis id, or those beyond ACCOUNT_ENTRIES_MOST */
        bool is_rest;
        uint64_t runs, by_memory, by_time;
        uint64_t memory_runs, time_runs;
        double memory_asked_bytes, memory_used_bytes; /* sums of the limits and of the peaks of anon+shmem */
        double time_asked_sec, time_used_sec;         /* sums of the limits and of the durations */
        double asked_byte_sec, used_byte_sec;         /* memory times how long it was held */
        double cpu_sec, cpu_of_sec;                   /* and the durations of the runs whose CPU time is known */
        uint64_t memory_unlimited, time_unlimited;    /* runs with no limit at all */
} AccountEntry;

typedef struct Account Account;

Account *account_new(AccountBy by);
void account_free(Account *account);
DEFINE_CLEANUP(Account *, account_free);
/* A row of `history`; one of a run that lives is passed over. 0, -ENOMEM. */
int account_take(Account *account, const json_t *row);
/* The entries, those first that held most memory which they did not use. Borrowed. */
const AccountEntry *account_sorted(Account *account, size_t *ret_n);

/* NULL on OOM. most: entries at most. */
json_t *account_to_json(Account *account, bool by_user, size_t most);
/* 0, -ENOMEM. */
int account_print(FILE *out, const Terminal *terminal, Account *account, bool by_user, size_t most);
