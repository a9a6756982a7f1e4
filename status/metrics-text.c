/*
 * The lines of Prometheus text and OpenMetrics.
 *
 * Called by metrics.c.  The two differ in three things: OpenMetrics names the family without the _total or _info that
 * its samples have, tells units, and has an end.  The hard thing is numbers: a bound must read the same on every page
 * (it is part of the series' name), and an integer of 2^53 bytes must not become 9e+15 and lose its end.
 */
#include "status/metrics-text.h"

#include "base/cleanup.h"
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53: up to here a double is exact */

static const struct {
        const char *text, *openmetrics; /* the word for the type */
        const char *suffix;             /* of the samples */
} types[] = {
        [METRIC_GAUGE] = { "gauge", "gauge", "" },
        [METRIC_COUNTER] = { "counter", "counter", "_total" },
        [METRIC_HISTOGRAM] = { "histogram", "histogram", "" },
        [METRIC_INFO] = { "gauge", "info", "_info" },
};
static_assert(ELEMENTSOF(types) == _METRIC_TYPE_MAX, "every type has its words");

void metrics_head(const MetricsText *to, const MetricFamily *family) {
        bool open = to->format == METRICS_OPENMETRICS;
        const char *suffix = open ? "" : types[family->type].suffix;

        (void)fprintf(to->f, "# HELP %s%s %s\n", family->name, suffix, family->help);
        (void)fprintf(to->f, "# TYPE %s%s %s\n", family->name, suffix,
                open ? types[family->type].openmetrics : types[family->type].text);
        if (open && family->unit)
                (void)fprintf(to->f, "# UNIT %s %s\n", family->name, family->unit);
}

/* Whole numbers as such; else the shortest of 15 or 17 digits that is the same number. */
static void print_number(FILE *f, double value) {
        char text[32];

        if (value == floor(value) && fabs(value) <= WHOLE_MAX) {
                (void)fprintf(f, "%" PRId64, (int64_t)value);
                return;
        }
        (void)snprintf(text, sizeof(text), "%.15g", value);
        if (strtod(text, NULL) != value)
                (void)snprintf(text, sizeof(text), "%.17g", value);
        (void)fputs(text, f);
}

/* OpenMetrics: a bound is a float and shows it. */
static void print_bound(FILE *f, double bound) {
        print_number(f, bound);
        if (bound == floor(bound))
                (void)fputs(".0", f);
}

static void print_label(FILE *f, const MetricLabel *label) {
        (void)fprintf(f, "%s=\"", label->name);
        for (const char *p = label->value ? label->value : ""; *p; p++)
                switch (*p) {
                case '\n':
                        (void)fputs("\\n", f);
                        break;
                case '\\':
                case '"':
                        (void)fputc('\\', f);
                        /* fall through */
                default:
                        (void)fputc(*p, f);
                }
        (void)fputc('"', f);
}

void metrics_sample(
        const MetricsText *to, const MetricFamily *family, const MetricLabel *labels, size_t n_labels, double value) {
        if (!isfinite(value))
                return;
        (void)fprintf(to->f, "%s%s", family->name, types[family->type].suffix);
        for (size_t i = 0; i < n_labels; i++) {
                (void)fputc(i == 0 ? '{' : ',', to->f);
                print_label(to->f, &labels[i]);
        }
        (void)fputs(n_labels > 0 ? "} " : " ", to->f);
        print_number(to->f, value);
        (void)fputc('\n', to->f);
}

void metrics_histogram(const MetricsText *to, const MetricFamily *family, const Histogram *histogram) {
        uint64_t below = 0;

        for (size_t i = 0; i <= histogram->n_bounds; i++) {
                below += histogram->counts[i];
                (void)fprintf(to->f, "%s_bucket{le=\"", family->name);
                if (i < histogram->n_bounds)
                        print_bound(to->f, histogram->bounds[i]);
                else
                        (void)fputs("+Inf", to->f);
                (void)fprintf(to->f, "\"} %" PRIu64 "\n", below);
        }
        (void)fprintf(to->f, "%s_sum ", family->name);
        print_number(to->f, histogram->sum);
        (void)fprintf(to->f, "\n%s_count %" PRIu64 "\n", family->name, histogram->count);
}

void metrics_end(const MetricsText *to) {
        if (to->format == METRICS_OPENMETRICS)
                (void)fputs("# EOF\n", to->f);
}
