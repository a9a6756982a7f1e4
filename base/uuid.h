/* UUIDv7 (RFC 9562): 48 bits of milliseconds since the epoch, 12 of their fraction, then random; ids made later sort
 * later. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT_MAX 37

typedef struct Uuid {
        char text[UUID_TEXT_MAX]; /* lower case, "" is none */
} Uuid;

/* A fresh id; monotonic within the process, whatever the clock does. getrandom(2); cannot fail after boot. One thread
 * only. */
Uuid uuid_new(uint64_t realtime_usec);
/* Whether text is a UUID in canonical form, either case. */
bool uuid_valid(const char *text);
/* The short form shown to people: the last 8 hex digits (the first 8 change only every 65 s). Points into text. */
const char *uuid_short(const Uuid *uuid);
