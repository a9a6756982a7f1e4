/* How much of the processor the shipping may take where the group that it lives in has a quota (cpu.max). */
#pragma once

#include <stdint.h>

#define PACE_SHARE_PERCENT 30 /* the rest is the supervisor's and the storing's */

typedef struct Pace {
        double share;        /* of one processor; 0: no quota */
        uint64_t begun_usec; /* CPU time of this thread at pace_begin() */
        uint64_t free_usec;  /* BOOTTIME from which on it may work again */
} Pace;

/* Share of one processor that text of cpu.max ("max 100000", "10000 100000") leaves; 0: no quota, or no such text. */
double pace_parse_quota(const char *text);
/* The smallest quota of this process's v2 group and those above it. */
void pace_init(Pace *pace);
/* Around each piece of work. */
void pace_begin(Pace *pace);
void pace_end(Pace *pace, uint64_t now_usec);
/* 0: go on; else the BOOTTIME to wait for. */
uint64_t pace_wait(const Pace *pace, uint64_t now_usec);
