/*
 * What the kernel counted for one group: one consistent look at its files.
 *
 * A file that this kernel or tree has not leaves its field USAGE_UNKNOWN; that is told apart from 0 to the
 * end (JSON null). Source: Documentation/admin-guide/cgroup-v2.rst.
 */
#pragma once

#include <stdint.h>

#define USAGE_UNKNOWN UINT64_MAX

typedef struct Usage {
        uint64_t memory_bytes, memory_peak_bytes, swap_bytes;
        uint64_t anon_bytes, file_bytes, shmem_bytes; /* memory.stat */
        uint64_t oom, oom_kill_local, max_events;     /* memory.events.local: only `oom` proves the own limit */
        uint64_t oom_kill; /* memory.events: hierarchical, any OOM killer; no process count */
        uint64_t pids, pids_peak, pids_max_events;
        uint64_t cpu_usec, cpu_user_usec, cpu_system_usec, cpu_throttled_usec;
        uint64_t psi_memory_some_usec, psi_memory_full_usec, psi_cpu_some_usec, psi_io_some_usec, psi_io_full_usec;
        uint64_t io_read_bytes, io_write_bytes; /* io.stat, all devices */
} Usage;

/* All fields USAGE_UNKNOWN. */
extern const Usage USAGE_NONE;

/* Everything, for the record: about a dozen files below the group's directory fd. 0, GROUP_E_GONE, -errno. */
int usage_read(int group_fd, Usage *ret);

/* Only what decides: memory.events.local and memory.events. 0, GROUP_E_GONE. Other fields stay as they are. */
int usage_read_oom(int group_fd, Usage *inout);

/* Only memory.current, cpu.stat usage_usec for the timeline; two reads. 0, GROUP_E_GONE. */
int usage_read_sample(int group_fd, Usage *inout);

/* What people look at while it runs: memory and its split, swap, peak, pressure, pids, CPU; six to seven files. 0,
 * GROUP_E_GONE, -errno. Other fields stay as they are. */
int usage_read_figures(int group_fd, Usage *inout);

/* Only the totals of memory.pressure. 0, GROUP_E_GONE, -EOPNOTSUPP without PSI. */
int usage_read_pressure(int group_fd, Usage *inout);

/* The texts of these files, parsed; usage_read() and the others read them. */

/* *.pressure: the total of the line of that kind ("some", "full"); without it *inout stays. */
void usage_parse_pressure(const char *text, const char *kind, uint64_t *inout);
/* io.stat: the sums over all devices. */
void usage_parse_io(const char *text, uint64_t *ret_read, uint64_t *ret_written);
