/*
 * How much of the processor a piece of the program may take: work is paid for by waiting, until it amounts to a share.
 *
 * A share of the quota that the group it lives in has (cpu.max), or, where it has none, of one processor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Pace {
        double share;        /* of one processor; 0: as much as it likes */
        bool has_quota;      /* share is of a quota: what is taken at once, others lack for the rest of its period */
        uint64_t begun_usec; /* CPU time of this thread at pace_begin() */
        uint64_t free_usec;  /* BOOTTIME from which on it may work again */
} Pace;

/* Share of one processor that text of cpu.max ("max 100000", "10000 100000") leaves; 0: no quota, or no such text. */
double pace_parse_quota(const char *text);
/*
 * of_quota: percent of the smallest quota of this process's v2 group and those above it. of_cpu: percent of one
 * processor where there is none; 0: then nothing is paced.
 */
void pace_init(Pace *pace, unsigned of_quota, unsigned of_cpu);
/* The same with a quota that is known: a share of one processor, 0 for none. */
void pace_init_with(Pace *pace, double quota, unsigned of_quota, unsigned of_cpu);
/* Around each piece of work. */
void pace_begin(Pace *pace);
void pace_end(Pace *pace, uint64_t now_usec);
/* 0: go on; else the BOOTTIME to wait for. */
uint64_t pace_wait(const Pace *pace, uint64_t now_usec);
