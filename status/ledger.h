/*
 * What the record says in sums, kept: the newest kills, those of the last 24 hours, and how the storage is.
 *
 * Counting takes the longer the more there is, so it is done seldom, and what is recorded in between is added.
 */
#pragma once

#include "base/cleanup.h"
#include "base/json.h"
#include "db/spool.h"
#include "status/live.h"

#define LEDGER_EVENTS_MAX 20

typedef struct Ledger Ledger;

typedef struct LedgerOptions {
        Live *live;   /* borrowed; tells of what is recorded */
        Spool *spool; /* borrowed */
        bool hides_analysis_ids;
        /* The `storage` object of docs/protocol.md. Caller owns it. NULL on OOM. */
        json_t *(*storage)(void *userdata);
        void *userdata;
} LedgerOptions;

/* 0 or -errno. To be the first that listens to live: who hears of an event after it finds it here. */
int ledger_new(const LedgerOptions *options, Ledger **ret);
void ledger_free(Ledger *ledger);
DEFINE_CLEANUP(Ledger *, ledger_free);

/* The newest kills as public events, newest first. Borrowed. */
const json_t *ledger_events(Ledger *ledger);
/* The event_id of the newest one, NULL: none. Borrowed. */
const char *ledger_newest(Ledger *ledger);
/* Kills of the last 24 hours, by reason (every reason is there). Borrowed. */
const json_t *ledger_kills(Ledger *ledger, uint64_t *ret_count);
/* The last `storage` object, at most some seconds old. Borrowed; NULL on OOM. */
const json_t *ledger_storage(Ledger *ledger);
