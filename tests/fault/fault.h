/*
 * Which call fails: what failing.c, the names that programs call, asks at each of them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum Family {
        FAMILY_NONE,
        FAMILY_MEMORY,
        FAMILY_FD,      /* what makes a file descriptor */
        FAMILY_IO,      /* what reads and writes one */
        FAMILY_GROUP,   /* what changes a directory or its attributes */
        FAMILY_PROCESS, /* what makes a process or signals one */
        FAMILY_EVENT,   /* what the event loop is made of */
        FAMILY_DISK,    /* what SQLite stores with */
        FAMILY_MAX,
} Family;

/* Whether this call is to fail; errno is then set. fd: what the call is about. */
bool fails_at(Family family, int fd);
bool fails(Family family);

/* What CLOCK_REALTIME is wrong by in this program. */
int64_t fault_clock_offset_usec(void);
