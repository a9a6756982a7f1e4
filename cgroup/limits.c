/*
 * Writes the limits of a run into its group, before anything runs in it.
 *
 * What a tree has not (no memory controller on a hybrid host, no swap accounting) is a fact for the caller to tell, not
 * an error; what exists and refuses is one. memory.max comes first and is read back, since it is what the record
 * claims. A fresh group stands at "max" already, so those writes are spared: each costs the launch a system call or
 * three.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/group-internal.h"
#include "cgroup/group.h"
#include <inttypes.h>

/* cpu.max in microseconds (cgroup-v2.rst): the kernel's default period; a hundredth of a CPU is 1000 of it, the least
 * it takes. */
#define CPU_PERIOD_USEC    100000
#define CPU_USEC_PER_CENTI UINT64_C(1000)

typedef struct Writer {
        int group_fd;
        bool write_max; /* also what is "max" */
        int r;          /* the first GROUP_E_GONE or -errno; nothing is written after it */
} Writer;

/* true when the file took the text. A file that does not exist is no failure. */
static bool writer_put(Writer *writer, const char *file, const char *text) {
        int r;

        if (writer->r != 0)
                return false;
        r = text ? file_write_at(writer->group_fd, file, text) : -ENOMEM;
        if (r == 0)
                return true;
        r = group_result(writer->group_fd, r);
        if (r != GROUP_E_UNSUPPORTED && r != -EOPNOTSUPP)
                writer->r = r;
        return false;
}

/* One number, "max" for UINT64_MAX. Nothing asked of a file that is missing counts as kept. */
static bool writer_put_u64(Writer *writer, const char *file, uint64_t value) {
        _cleanup_(freep) char *text = NULL;

        if (value == UINT64_MAX) {
                if (writer->write_max)
                        (void)writer_put(writer, file, "max");
                return writer->r == 0;
        }
        text = text_printf("%" PRIu64, value);
        return writer_put(writer, file, text);
}

static bool writer_put_cpu(Writer *writer, uint64_t cpu_centi) {
        _cleanup_(freep) char *text = NULL;

        if (cpu_centi > UINT64_MAX / CPU_USEC_PER_CENTI)
                return writer_put_u64(writer, "cpu.max", UINT64_MAX);
        text = text_printf("%" PRIu64 " %d", cpu_centi * CPU_USEC_PER_CENTI, CPU_PERIOD_USEC);
        return writer_put(writer, "cpu.max", text);
}

/* Whether memory.max exists and holds, with the value the kernel made of it. */
static bool writer_read_back(Writer *writer, uint64_t *ret_bytes) {
        int r;

        *ret_bytes = UINT64_MAX;
        if (writer->r != 0)
                return false;
        r = group_result(writer->group_fd, file_read_u64_at(writer->group_fd, "memory.max", ret_bytes));
        if (r == 0)
                return true;
        *ret_bytes = UINT64_MAX;
        if (r != GROUP_E_UNSUPPORTED)
                writer->r = r;
        return false;
}

static int limits_write(const Group *group, const Limits *limits, bool write_max, LimitsKept *ret_kept) {
        Writer writer = { .group_fd = group->fd, .write_max = write_max };
        LimitsKept kept = {};

        (void)writer_put_u64(&writer, "memory.max", limits->memory_bytes);
        kept.memory = writer_read_back(&writer, &kept.memory_bytes);
        if (kept.memory) {
                kept.swap = writer_put_u64(&writer, "memory.swap.max", limits->swap_bytes);
                kept.memory_high = writer_put_u64(&writer, "memory.high", limits->memory_high_bytes);
                kept.oom_group = writer_put(&writer, "memory.oom.group", "1");
        } else {
                kept.swap = limits->swap_bytes == UINT64_MAX;
                kept.memory_high = limits->memory_high_bytes == UINT64_MAX;
        }
        kept.pids = writer_put_u64(&writer, "pids.max", limits->pids);
        kept.cpu = writer_put_cpu(&writer, limits->cpu_centi);
        *ret_kept = kept;
        return writer.r;
}

int group_set_limits(const Group *group, const Limits *limits, LimitsKept *ret_kept) {
        return limits_write(group, limits, false, ret_kept);
}

int group_change_limits(const Group *group, const Limits *limits, LimitsKept *ret_kept) {
        return limits_write(group, limits, true, ret_kept);
}
