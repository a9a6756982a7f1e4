/*
 * The pages, as plain HTML: complete without a script, which then keeps them up to date.
 *
 * Pure: what they show comes in as the answers of the API (docs/status.md), so a page never shows more than those do.
 * All text of others goes through html_text(), which escapes markup and makes control characters and bidirectional
 * marks visible. There is neither script nor style in them but by reference: the Content-Security-Policy forbids it.
 *
 * Each returns a whole document (text/html; charset=utf-8), NULL on OOM. Caller frees.
 */
#pragma once

#include "base/json.h"

/* "/": status as of /api/quests/status, runs as of /api/runs (the first 100). */
char *page_dashboard(const json_t *status, const json_t *runs);
/* "/runs/ID": answer as of /api/runs/ID. */
char *page_run(const json_t *answer);
/* In place of a page: problem as of RFC 9457 (status, title, detail, hint). */
char *page_problem(const json_t *problem);
