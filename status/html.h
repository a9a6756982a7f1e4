/*
 * HTML from figures and from text that others wrote, for page.c and page-run.c.
 *
 * Markup is written with html_raw(), which takes literals only; everything else goes through html_text() or a function
 * that makes its text itself. So what a user wrote can't become markup, and no page can forget it.
 */
#pragma once

#include "base/json.h"
#include "base/parse.h"
#include <stddef.h>
#include <stdio.h>

typedef struct Html {
        FILE *out;   /* owned until html_end() */
        char *text;  /* owned by html_end()'s caller */
        size_t size; /* of text */
        bool failed; /* out of memory on the way: html_end() gives NULL */
} Html;

/* Begins a document in memory. 0 or -ENOMEM. */
int html_begin(Html *h);
/* Ends it. The text, NULL on OOM. Caller frees. */
char *html_end(Html *h);

/* A literal, as it is. */
#define html_raw(h, literal) ((void)fputs("" literal, (h)->out))
/* Escaped: markup, control characters, bidirectional marks; also within an attribute's quotes. NULL writes nothing. */
void html_text(Html *h, const char *text);
/* Numbers and literals; no text of others. */
void html_printf(Html *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* <time> of an RFC 3339 member, in UTC: "2026-11-21 07:19:42 UTC", or only the time of day; nothing without one. */
void html_time(Html *h, const json_t *object, const char *key);
void html_clock(Html *h, const json_t *object, const char *key);
/* "1.2 GiB <of>of 2.0 GiB</of>"; "unknown" where the first is not known, "no limit" where there is none. */
void html_of_bytes(Html *h, const json_t *object, const char *key, const char *limit_key);
void html_of_seconds(Html *h, const json_t *object, const char *key, const char *limit_key);
/* An analysis id, or "no analysis id"; a link to the run if it has an id. */
void html_name(Html *h, const json_t *run, bool link);

/* A bar of shares of 1: the first solid, the second hatched behind it. */
void html_bar(Html *h, const char *classes, double solid, double hatched);
/* Its shares of memory: anon and shmem solid, the rest of the charge hatched. Nothing without a limit. */
void html_memory_bar(Html *h, const json_t *run);
/* A line of shares of 1, the newest at the right. */
void html_spark(Html *h, const json_t *shares);

/* Head and the beginning of the body, up to where <main> begins; page names what the script makes of it. */
void html_head(Html *h, const char *page, const char *title, const json_t *made);
/* Its end. */
void html_foot(Html *h);
