/* The supervisor's side of the recorder: rows come in, are stored, and are acknowledged when they are on the disk. */
#pragma once

#include "base/cleanup.h"
#include "cmd/scidex-recorder/shipping.h"
#include "db/spool.h"
#include "status/live.h"
#include <systemd/sd-event.h>

typedef struct Intake Intake;

/*
 * fd (owned from here on) is the socketpair to the supervisor; -EBADF: none, only the history is kept in bounds. When
 * the supervisor hangs up what is pending is stored, shipped as far as that goes at once, and the loop exits: 0, or
 * EXIT_FAILURE if rows are lost. shipping (borrowed) may be NULL; it is woken when rows were stored, and its changes
 * are told to the supervisor. 0 or -errno.
 */
int intake_new(sd_event *event, int fd, Spool *spool, Shipping *shipping, Intake **ret);
/* Takes in and stores what the supervisor has sent so far, so that an answer is no older than the question. NULL-safe.
 */
void intake_settle(Intake *intake);
/* From now on the mirror (borrowed) hears of each packet as it comes, and of rows as they are committed. NULL-safe. */
void intake_set_live(Intake *intake, Live *live);
void intake_free(Intake *intake);
DEFINE_CLEANUP(Intake *, intake_free);
