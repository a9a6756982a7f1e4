/*
 * The memory of other users' processes, measured without waiting for them.
 *
 * Reading smaps_rollup takes a lock of the process's address space, and its owner can hold that for as long as he likes
 * (a page fault on a file system of his own). So a child of ours reads, and is not waited for long.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MEASURE_WAIT_USEC  (250 * UINT64_C(1000))       /* for all processes of one call */
#define MEASURE_BLAME_USEC (60 * UINT64_C(1000) * 1000) /* who kept us waiting is not measured for so long */

/*
 * Sums over the processes of uid: RssAnon + RssShmem, and Pss_Anon + Pss_Shmem (of one that refuses its Rss). 0;
 * -ETIME: they can't be measured in that time, or kept us waiting lately; -errno.
 */
int measure_processes(uid_t uid, const pid_t *pids, size_t n, uint64_t *ret_rss_bytes, uint64_t *ret_pss_bytes);
/* The child that reads; 0: none. For tests. */
pid_t measure_pid(void);
/* Ends the child. */
void measure_deinit(void);
