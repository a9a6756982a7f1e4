/* Between process.c (reading) and process-parse.c. */
#pragma once

#include <stdint.h>

/* The next decimal number after blanks, and where it ends: *text. 0 or -EINVAL, -ERANGE. */
int process_next_u64(const char **text, uint64_t *ret);
