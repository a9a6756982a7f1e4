/* The bytes of UTF-8, for the folder's own use: parse.h declares what others call. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Length of the well-formed sequence at text, 1..4, and its code point; 0 when it is malformed or the text ends. */
size_t utf8_sequence(const char *text, uint32_t *ret_code);

/* A copy in which the bytes that are not UTF-8 are \xNN, and nothing else changes. NULL on OOM. Caller frees. */
char *text_repair(const char *text);
