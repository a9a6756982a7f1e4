/*
 * /metrics: the figures as Prometheus and OpenMetrics want them.
 *
 * Names are scidex_*, in base units, counters end in _total. There is one sample per state, reason and verdict, from
 * the first scrape on, and none per run, user or analysis: the number of lines depends on nothing that a client drives.
 */
#pragma once

#include "status/tally.h"
#include <stdio.h>

typedef enum MetricsFormat {
        METRICS_TEXT,        /* Prometheus text, version 0.0.4 */
        METRICS_OPENMETRICS, /* OpenMetrics, version 1.0.0 */
        _METRICS_FORMAT_MAX,
} MetricsFormat;

/* The Content-Type. Static. */
const char *metrics_content_type(MetricsFormat format);

/*
 * The page. status: the document of /api/quests/status, which has all that is true now; what it does not know (null, or
 * no such member) has no sample. tally: what has happened. NULL on OOM. Caller frees.
 */
char *metrics_render(const json_t *status, const Tally *tally, MetricsFormat format);
