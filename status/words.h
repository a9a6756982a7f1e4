/* What scidexctl says at a terminal, as a text for documents. */
#pragma once

#include "base/json.h"

/* The text of `why`: lines of at most 100 columns. NULL on OOM. Caller frees. */
char *words_why(const json_t *run, const json_t *events);
