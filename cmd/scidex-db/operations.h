/* The operations of scidex-db, one table: serve.c finds them by name, nothing else lists them. */
#pragma once

#include "cmd/scidex-db/session.h"

/* status.c */
int operation_status(Session *session, const json_t *request);
/* read.c */
int operation_list(Session *session, const json_t *request);
int operation_hosts(Session *session, const json_t *request);
int operation_history(Session *session, const json_t *request);
int operation_events(Session *session, const json_t *request);
/* listen.c */
int operation_listen(Session *session, const json_t *request);
