/* The tables in PostgreSQL: made, brought up to date, linked to the platform's table. */
#pragma once

#include "db/remote.h"

/* The version that this program was built for. */
int migrate_latest(void);

/*
 * Applies what is missing, each step in a transaction of its own, under a lock that lets several hosts do this at once;
 * then grants the roles what they need, makes the partitions of this month and the next two, and links analysis_id to
 * the platform's table analyses if there is one. All of that may be done again at any time.
 *
 * *ret_report (owned): "was", "version", "schema", "applied" (list of names), "roles" (object: name → "ok", or what to
 * do), "partitions" (list), "analyses" (see link_apply()). applied_by is noted with each step: the program and host.
 *
 * 0; REMOTE_E_FAILED: *ret_error says what and, as its hint, the remedy: no schema to put tables into, tables of
 * another program under our names, a version that is newer than this program; -ENOMEM.
 */
int migrate_apply(Remote *remote, const char *applied_by, json_t **ret_report, RemoteError *ret_error);

/*
 * One transaction with the search path (schema, pg_temp): what fails is rolled back. Waits a minute for whoever else
 * migrates, 5 s for any other lock. 0, REMOTE_E_FAILED, -ENOMEM.
 */
int migrate_transaction(Remote *remote, const char *schema, const char *sql, RemoteError *ret_error);

/*
 * Links analysis_id of the three tables to the key of `analyses`, as the search path of the connection finds it. Ids
 * that it does not have become NULL first (analysis_ref keeps them). The platform's table is locked against writing for
 * moments only.
 *
 * *ret_state (owned): "state": "absent" (no such table), "linked", or why not: "type" (its id is no text), "key" (its
 * id is not unique, or it is no table), "denied", "busy"; and "table", "detail", "hint" where there is something to
 * say. None of these is an error. 0, REMOTE_E_FAILED (the connection), -ENOMEM.
 */
int link_apply(Remote *remote, const char *schema, json_t **ret_state, RemoteError *ret_error);
/* The same without doing anything: whether the key is there, and what would stand in its way. */
int link_check(Remote *remote, json_t **ret_state, RemoteError *ret_error);
