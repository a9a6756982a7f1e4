/* Statements made of the conditions that are asked for; values are always parameters. */
#pragma once

#include "db/remote.h"
#include <stdio.h>

/* Of a row of watchdog_hosts, r: three heartbeats have not come. As in the view watchdog_live. */
#define HOST_IS_SILENT "(r.heartbeat_at < now() - 3 * r.heartbeat_sec * interval '1 second')"
/* When a row of watchdog_runs, r, ended; what its indexes go by. */
#define RUN_ENDED "coalesce(r.ended_at, r.launched_at, r.stored_at)"

#define STATEMENT_PARAMETERS_MAX 8

typedef struct Statement {
        char *text; /* owned */
        size_t size;
        FILE *file;                                       /* owned; open until statement_text() */
        const char *parameters[STATEMENT_PARAMETERS_MAX]; /* borrowed, or of `kept` */
        size_t n;
        json_t *kept; /* owned; selected values */
} Statement;

void statement_deinit(Statement *statement);
/* 0, -ENOMEM. */
int statement_begin(Statement *statement, const char *sql);
void statement_add(Statement *statement, const char *sql);
/*
 * AND condition ("r.host =") and the member as its parameter, if the request has it; it is borrowed. 0, -EINVAL when it
 * is no text.
 */
int statement_filter(Statement *statement, const json_t *request, const char *key, const char *condition);
/* The same of a time: -EINVAL also when it is none. */
int statement_filter_time(Statement *statement, const json_t *request, const char *key, const char *condition);
/* LIMIT of the member `limit`; null is none, absent the usual one. 0, -EINVAL. */
int statement_limit(Statement *statement, const json_t *request, const char *usual);
/* NULL on OOM. Of the statement. */
const char *statement_text(Statement *statement);

enum {
        SELECT_E_NOT_FOUND = REMOTE_E_STOPPED + 1,
        SELECT_E_AMBIGUOUS,
};

/*
 * A run id, an analysis id, or a unique prefix or suffix of a run id, tried in this order. 0 and {"run_id":…} or
 * {"analysis_id":…}, REMOTE_E_FAILED, SELECT_E_NOT_FOUND, SELECT_E_AMBIGUOUS and a list of run ids, -ENOMEM.
 */
int select_run(Remote *remote, const char *selector, json_t **ret, RemoteError *ret_error);
/* The condition that such a selection is. 0, -ENOMEM. */
int statement_select(Statement *statement, json_t *selection);
