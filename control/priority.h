/*
 * The order in which a loop serves its sources (sd_event_source_set_priority(3)): lower goes first.
 *
 * Deadlines go first. Pidfds, signals and kernel events keep sd-event's default and so go before every client: no flood
 * of requests, whoever sends it, stands between a deadline and its TERM for longer than one batch of one client. The
 * samples of the timelines come between the two, a few runs at a time.
 */
#pragma once

#include <systemd/sd-event.h>

#define PRIORITY_DEADLINES (SD_EVENT_PRIORITY_NORMAL - 10)
#define PRIORITY_LINK      SD_EVENT_PRIORITY_NORMAL /* between supervisor and recorder */
#define PRIORITY_SAMPLES   (SD_EVENT_PRIORITY_NORMAL + 5)
#define PRIORITY_CLIENTS   (SD_EVENT_PRIORITY_NORMAL + 10) /* whoever connects */
