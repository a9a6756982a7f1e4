/* The operations of scidex-db, one table: serve.c finds them by name, nothing else lists them. */
#pragma once

#include "cmd/scidex-db/session.h"

/* status.c */
int operation_status(Session *session, const json_t *request);
