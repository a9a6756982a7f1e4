/*
 * The documents of docs/status.md as JSON, which the pages and the metrics are made of too. Each returns a whole
 * document, NULL on OOM; the caller owns it.
 */
#pragma once

#include "status/router.h"

/* /api/quests/status */
json_t *api_status(const Board *board);
/* Its member `watchdog`. */
json_t *api_watchdog(const Board *board);
/* The first live runs, without a filter: those nearest to their end. */
json_t *api_top(const Board *board, size_t most);

/*
 * /api/runs/ID: request->rest names the run. 0 and the document, or 0 and NULL: what is wrong is in reply, as a
 * problem. -EAGAIN: the record can't be read; -ENOMEM.
 */
int api_run(const Board *board, const HttpRequest *request, HttpReply *reply, json_t **ret);

/* Handlers of routes. */
int api_handle_status(const Board *board, const HttpRequest *request, HttpReply *reply);
int api_handle_runs(const Board *board, const HttpRequest *request, HttpReply *reply);
int api_handle_run(const Board *board, const HttpRequest *request, HttpReply *reply);
int api_handle_events(const Board *board, const HttpRequest *request, HttpReply *reply);
int api_handle_health(const Board *board, const HttpRequest *request, HttpReply *reply);
int api_handle_metrics(const Board *board, const HttpRequest *request, HttpReply *reply);
int api_handle_dashboard(const Board *board, const HttpRequest *request, HttpReply *reply);
int api_handle_run_page(const Board *board, const HttpRequest *request, HttpReply *reply);
int api_handle_asset(const Board *board, const HttpRequest *request, HttpReply *reply);
/* The content type of /metrics for an Accept header. Static. */
const char *api_choose_metrics(const char *accept);

/* A document with `schema` and `generated_at`. */
json_t *api_document(void);
/* A number of the query: 0 and `absent` without it; else 0, or -EINVAL and a problem in reply. */
int api_number(
        const HttpRequest *request, const char *name, uint64_t absent, uint64_t most, HttpReply *reply, uint64_t *ret);
/* Whether an analysis id of this uid's run is hidden from the viewer. */
bool api_hides(const Board *board, const HttpViewer *viewer, uid_t uid);
bool api_owns(const HttpViewer *viewer, uid_t uid);
