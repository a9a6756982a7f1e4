/*
 * One family after the other, in both formats. Values that are not known are left out; a family without one keeps its
 * head, so that who reads the page sees that it exists.
 */
#pragma once

#include "status/metrics.h"

typedef enum MetricType {
        METRIC_GAUGE,
        METRIC_COUNTER,
        METRIC_HISTOGRAM,
        METRIC_INFO,
        _METRIC_TYPE_MAX,
} MetricType;

typedef struct MetricFamily {
        const char *name; /* without the suffix of its samples (_total, _info, _bucket) */
        const char *unit; /* the last word of the name; NULL: none */
        const char *help;
        MetricType type;
} MetricFamily;

typedef struct MetricsText {
        FILE *f; /* borrowed */
        MetricsFormat format;
} MetricsText;

typedef struct MetricLabel {
        const char *name;
        const char *value; /* any text; NULL: "" */
} MetricLabel;

void metrics_head(const MetricsText *to, const MetricFamily *family);
/* One sample; nothing where value is not finite. Labels may be NULL. */
void metrics_sample(
        const MetricsText *to, const MetricFamily *family, const MetricLabel *labels, size_t n_labels, double value);
void metrics_histogram(const MetricsText *to, const MetricFamily *family, const Histogram *histogram);
/* What must stand last. */
void metrics_end(const MetricsText *to);
