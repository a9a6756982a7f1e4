/*
 * What documents are made of: the live mirror, the record, and what else is kept while the recorder runs. One per
 * recorder, filled by cmd/scidex-recorder/face-http.c; everything is borrowed.
 */
#pragma once

#include "base/json.h"
#include "db/queries.h"
#include "db/spool.h"
#include <stdbool.h>

struct Ledger;
struct Live;
struct Tally;

typedef struct Board {
        struct Live *live;
        struct Ledger *ledger;
        const struct Tally *tally; /* counters since the start; may be NULL */
        Spool *spool;
        bool hides_analysis_ids; /* over TCP: [http] analysis_ids = no */
        /* The `storage` object of docs/protocol.md. Caller owns it. NULL on OOM. */
        json_t *(*storage)(void *userdata);
        /* Takes in what the supervisor has sent so far: before an answer from the record. */
        void (*settle)(void *userdata);
        void *userdata;
} Board;
