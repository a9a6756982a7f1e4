/*
 * HTML from figures and from text that others wrote.
 *
 * Called by the pages. The hard thing is that a page is made of what users name their analyses, so there is one way for
 * such text into it, html_text(): first the form that is fit for terminals (a name that reverses the reading order
 * deceives in a browser as well), then the five characters of markup. No style attributes: the policy that the pages
 * are served with forbids them, so the lengths of bars are SVG attributes, and their colours the style sheet's.
 */
#include "status/html.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "status/asset.h"
#include "status/field.h"
#include <stdarg.h>
#include <string.h>

#define SPARK_WIDTH  60 /* samples */
#define SPARK_HEIGHT 16

int html_begin(Html *h) {
        *h = (Html){ 0 };
        h->out = open_memstream(&h->text, &h->size);
        return h->out ? 0 : -ENOMEM;
}

char *html_end(Html *h) {
        bool failed = ferror(h->out) || h->failed;

        if (fclose(h->out) != 0 || failed) {
                free(h->text);
                h->text = NULL;
        }
        h->out = NULL;
        return TAKE_PTR(h->text);
}

static const char *entity_of(char c) {
        switch (c) {
        case '&':
                return "&amp;";
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '"':
                return "&quot;";
        case '\'':
                return "&#39;";
        default:
                return NULL;
        }
}

void html_text(Html *h, const char *text) {
        _cleanup_(freep) char *safe = text ? text_escape(text) : NULL;

        h->failed |= text && !safe;
        for (const char *p = safe ? safe : ""; *p; p++) {
                const char *entity = entity_of(*p);

                if (entity)
                        (void)fputs(entity, h->out);
                else
                        (void)fputc(*p, h->out);
        }
}

void html_printf(Html *h, const char *format, ...) {
        va_list arguments;

        va_start(arguments, format);
        (void)vfprintf(h->out, format, arguments);
        va_end(arguments);
}

static void time_write(Html *h, const json_t *object, const char *key, bool day) {
        const char *text = field_text(object, key);
        uint64_t usec;

        if (!field_time(object, key, &usec) || strlen(text) < sizeof("2026-11-21T07:19:42") - 1)
                return;
        html_raw(h, "<time datetime=\"");
        html_text(h, text);
        html_raw(h, "\">");
        if (day)
                html_printf(h, "%.10s ", text);
        html_printf(h, "%.8s", text + sizeof("2026-11-21T") - 1);
        html_raw(h, " UTC</time>");
}

void html_time(Html *h, const json_t *object, const char *key) {
        time_write(h, object, key, true);
}

void html_clock(Html *h, const json_t *object, const char *key) {
        time_write(h, object, key, false);
}

static void of_write(Html *h, const char *text, const char *limit) {
        html_text(h, text ? text : "unknown");
        html_raw(h, " <span class=\"of\">");
        html_text(h, limit ? "of " : "no limit");
        html_text(h, limit);
        html_raw(h, "</span>");
}

void html_of_bytes(Html *h, const json_t *object, const char *key, const char *limit_key) {
        char text[FORMAT_MAX], limit[FORMAT_MAX];

        of_write(h, field_bytes(text, object, key, NULL), field_bytes(limit, object, limit_key, NULL));
}

/* A run that is an hour old is not told to the hundredth. */
static const char *seconds_text(char buffer[static FORMAT_MAX], const json_t *object, const char *key) {
        uint64_t usec;

        if (!field_usec(object, key, &usec))
                return NULL;
        return format_duration(buffer, usec >= 10 * USEC_PER_SEC ? usec / USEC_PER_SEC * USEC_PER_SEC : usec);
}

void html_of_seconds(Html *h, const json_t *object, const char *key, const char *limit_key) {
        char text[FORMAT_MAX], limit[FORMAT_MAX];

        of_write(h, seconds_text(text, object, key), seconds_text(limit, object, limit_key));
}

void html_name(Html *h, const json_t *run, bool link) {
        const char *analysis = field_text(run, "analysis_id"), *id = field_text(run, "run_id");

        if (link && id) {
                html_raw(h, "<a href=\"/runs/");
                html_text(h, id);
                html_raw(h, "\">");
        }
        html_raw(h, "<bdi>");
        html_text(h, analysis ? analysis : "no analysis id");
        html_raw(h, "</bdi>");
        if (link && id)
                html_raw(h, "</a>");
}

static double share_of(double part, double whole) {
        return whole > 0 ? MAX_OF(0.0, MIN_OF(part / whole, 1.0)) : 0;
}

void html_bar(Html *h, const char *classes, double solid, double hatched) {
        double first = share_of(solid, 1) * 100, second = MIN_OF(share_of(hatched, 1) * 100, 100 - first);

        html_printf(h,
                "<svg class=\"bar %s\" aria-hidden=\"true\"><rect class=\"solid\" width=\"%.1f%%\" height=\"100%%\"/>"
                "<rect class=\"hatched\" fill=\"url(#hatch)\" x=\"%.1f%%\" width=\"%.1f%%\" height=\"100%%\"/></svg>",
                classes, first, first, second);
}

void html_memory_bar(Html *h, const json_t *run) {
        uint64_t limit, memory, private;

        if (!field_u64(run, "memory_limit_bytes", &limit) || !run_private_bytes(run, &private))
                return;
        if (!field_u64(run, "memory_bytes", &memory) || memory < private)
                memory = private;
        html_bar(h, "memory", share_of((double)private, (double)limit),
                share_of((double)(memory - private), (double)limit));
}

void html_spark(Html *h, const json_t *shares) {
        size_t n = json_array_size(shares), from = n > SPARK_WIDTH ? n - SPARK_WIDTH : 0;

        if (n < 2)
                return;
        html_printf(h,
                "<svg class=\"spark\" viewBox=\"0 0 %d %d\" preserveAspectRatio=\"none\" aria-hidden=\"true\"><path "
                "d=\"",
                SPARK_WIDTH - 1, SPARK_HEIGHT);
        for (size_t i = from; i < n; i++) {
                double share = share_of(json_number_value(json_array_get(shares, i)), 1);

                html_printf(h, "%c%zu %.1f", i == from ? 'M' : 'L', SPARK_WIDTH - n + i, SPARK_HEIGHT * (1 - share));
        }
        html_raw(h, "\"/></svg>");
}

static void reference(Html *h, const char *before, const Asset *asset, const char *behind) {
        if (asset)
                html_printf(h, "%s%s%s", before, asset->path, behind);
}

void html_head(Html *h, const char *page, const char *title, const json_t *made) {
        html_raw(h,
                "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                "<meta name=\"color-scheme\" content=\"light dark\">\n<title>");
        html_text(h, title);
        html_raw(h, "</title>\n<link rel=\"icon\" type=\"image/svg+xml\" href=\"/favicon.svg\">\n");
        reference(h, "<link rel=\"stylesheet\" href=\"", asset_named("/app-", ".css"), "\">\n");
        html_raw(h, "<noscript><meta http-equiv=\"refresh\" content=\"5\"></noscript>\n");
        reference(h, "<script src=\"", asset_named("/app-", ".js"), "\" defer></script>\n");
        html_printf(h, "</head>\n<body data-page=\"%s\">\n", page);
        html_raw(h,
                "<a class=\"skip\" href=\"#main\">Skip to the content</a>\n"
                "<svg class=\"defs\" width=\"0\" height=\"0\" aria-hidden=\"true\"><defs><pattern id=\"hatch\" "
                "width=\"4\" height=\"4\" "
                "patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect class=\"hatch\" width=\"2\" "
                "height=\"4\"/></pattern></defs></svg>\n"
                "<header class=\"top\">\n<a class=\"mark\" href=\"/\"><svg viewBox=\"0 0 16 16\" width=\"16\" "
                "height=\"16\" "
                "aria-hidden=\"true\"><path d=\"M1 2.5h14\"/><path d=\"M3.5 15V9M8 15V3.5M12.5 "
                "15V6\"/></svg>scidex</a>\n"
                "<p id=\"fresh\" class=\"fresh\" data-state=\"page\">As of ");
        html_clock(h, made, "generated_at");
        html_raw(h, "</p>\n</header>\n<div id=\"notice\" class=\"notice\" role=\"alert\">");
}

void html_foot(Html *h) {
        html_raw(h, "</main>\n<p id=\"spoken\" class=\"hidden\" role=\"status\"></p>\n</body>\n</html>\n");
}
