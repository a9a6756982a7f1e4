/* The reading side of the recorder: what docs/protocol.md calls the operations of the record socket. */
#pragma once

#include "cmd/scidex-recorder/intake.h"
#include "control/server.h"
#include "db/spool.h"

typedef struct Answers {
        Spool *spool;
        Intake *intake;         /* borrowed; NULL: only reading */
        Shipping *shipping;     /* borrowed; may be NULL */
        sd_event *until_closed; /* not NULL: the loop exits when the (only) client has gone */
} Answers;

/* For server_new(), with an Answers as userdata. */
extern const ServerHandlers answers_handlers;
