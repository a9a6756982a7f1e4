/* The operations of scidex-db; the table in serve.c names them. */
#pragma once

#include "cmd/scidex-db/session.h"

/* status.c: {} → "database", see there; also where there are no tables, or they can't be read. */
int operation_status(Session *session, const json_t *request);
/* read.c */
int operation_list(Session *session, const json_t *request);
int operation_hosts(Session *session, const json_t *request);
int operation_history(Session *session, const json_t *request);
int operation_events(Session *session, const json_t *request);
/* listen.c */
int operation_listen(Session *session, const json_t *request);
/* migrate.c: {} → what migrate_apply() reports. */
int operation_migrate(Session *session, const json_t *request);
/* forget.c: {"host"} → "host", "closed": runs that became `lost`; `not-found`, `busy` while the host reports. */
int operation_forget(Session *session, const json_t *request);
/* forget.c: {"keep_sec"} → "partitions" (months of events dropped), "runs" (rows deleted). */
int operation_retain(Session *session, const json_t *request);
