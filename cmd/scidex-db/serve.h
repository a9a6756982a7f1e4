/* The loop of scidex-db. */
#pragma once

#include "cmd/scidex-db/session.h"

/* Answers until the client hangs up. 0, -errno. */
int serve(Session *session);
