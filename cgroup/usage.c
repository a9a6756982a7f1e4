/*
 * Reads what the kernel counted for a group; the sampler and the record call it.
 *
 * Each file is one openat, read, close below the group's fd, so a name that is reused meanwhile cannot be met. The hard
 * thing is telling "nothing yet" from "not counted here": a field is set only from a file that had it, and a group that
 * vanished is told apart from a file that is missing once, at the first missing one. A file that refuses does not keep
 * the others from being read: the record is written from this when the run is over, and there is no second chance.
 */
#include "cgroup/usage.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/group-internal.h"
#include "cgroup/group.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* memory.stat is the longest fixed one (3 KiB on 6.12); io.stat has a line of about 100 bytes per device. */
#define STAT_TEXT_MAX (1U << 20)

#define U UINT64_MAX
const Usage USAGE_NONE = { U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U };
#undef U

typedef struct Reader {
        int group_fd;
        bool missing_seen; /* the directory was asked about already */
        int r;             /* GROUP_E_GONE ends the reading; else the first -errno */
} Reader;

/* Keeps the first error; a missing file or one of a switched-off counter is none. */
static void reader_note(Reader *reader, int r) {
        if (r == -EOPNOTSUPP || (r == -ENOENT && reader->missing_seen))
                return;
        if (r == -ENOENT)
                reader->missing_seen = true;
        r = group_result(reader->group_fd, r);
        if (r == GROUP_E_GONE || (r < 0 && reader->r == 0))
                reader->r = r;
}

static char *reader_text(Reader *reader, const char *file) {
        char *text = NULL;
        int r;

        if (reader->r == GROUP_E_GONE)
                return NULL;
        r = file_read_at(reader->group_fd, file, STAT_TEXT_MAX, &text, NULL);
        if (r == 0)
                return text;
        reader_note(reader, r);
        return NULL;
}

static void reader_u64(Reader *reader, const char *file, uint64_t *inout) {
        uint64_t value;
        int r;

        if (reader->r == GROUP_E_GONE)
                return;
        r = file_read_u64_at(reader->group_fd, file, &value);
        if (r == 0)
                *inout = value;
        else
                reader_note(reader, r);
}

typedef struct UsageKey {
        const char *key;
        size_t offset; /* in Usage */
} UsageKey;

/* Sets the fields whose keys the file has. */
static void reader_keys(Reader *reader, const char *file, const UsageKey *keys, size_t count, Usage *inout) {
        _cleanup_(freep) char *text = reader_text(reader, file);
        uint64_t value;

        for (size_t i = 0; text && i < count; i++)
                if (text_find_u64(text, keys[i].key, &value) == 0)
                        *(uint64_t *)((char *)inout + keys[i].offset) = value;
}

static const UsageKey memory_stat_keys[] = {
        { "anon", offsetof(Usage, anon_bytes) },
        { "file", offsetof(Usage, file_bytes) },
        { "shmem", offsetof(Usage, shmem_bytes) },
};

static const UsageKey memory_local_keys[] = {
        { "oom", offsetof(Usage, oom) },
        { "oom_kill", offsetof(Usage, oom_kill_local) },
        { "max", offsetof(Usage, max_events) },
};

static const UsageKey memory_events_keys[] = { { "oom_kill", offsetof(Usage, oom_kill) } };
static const UsageKey pids_events_keys[] = { { "max", offsetof(Usage, pids_max_events) } };

static const UsageKey cpu_stat_keys[] = {
        { "usage_usec", offsetof(Usage, cpu_usec) },
        { "user_usec", offsetof(Usage, cpu_user_usec) },
        { "system_usec", offsetof(Usage, cpu_system_usec) },
        { "throttled_usec", offsetof(Usage, cpu_throttled_usec) },
};

/* The number after the first "name=" at or behind text, up to end. */
static bool find_assigned(const char *text, const char *end, const char *name, uint64_t *ret) {
        size_t length = strlen(name);

        for (const char *at = text; at && at + length < end;
                at = memchr(at, ' ', (size_t)(end - at)), at = at ? at + 1 : NULL) {
                if (strncmp(at, name, length) != 0 || at[length] != '=')
                        continue;
                *ret = strtoull(at + length + 1, NULL, 10);
                return true;
        }
        return false;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=8129" (accounting/psi.rst). */
void usage_parse_pressure(const char *text, const char *kind, uint64_t *inout) {
        size_t length = strlen(kind);

        for (const char *line = text; *line;) {
                const char *end = strchrnul(line, '\n');

                if (strncmp(line, kind, length) == 0 && line[length] == ' ')
                        (void)find_assigned(line, end, "total", inout);
                line = *end ? end + 1 : end;
        }
}

/* "8:0 rbytes=1 wbytes=2 rios=3 …" per device; a device without a line has done nothing, so an empty file is 0. */
void usage_parse_io(const char *text, uint64_t *ret_read, uint64_t *ret_written) {
        uint64_t read_bytes = 0, written_bytes = 0;

        for (const char *line = text; *line;) {
                const char *end = strchrnul(line, '\n');
                uint64_t value;

                if (find_assigned(line, end, "rbytes", &value))
                        read_bytes += value;
                if (find_assigned(line, end, "wbytes", &value))
                        written_bytes += value;
                line = *end ? end + 1 : end;
        }
        *ret_read = read_bytes;
        *ret_written = written_bytes;
}

static void reader_pressure(Reader *reader, const char *file, uint64_t *some, uint64_t *full) {
        _cleanup_(freep) char *text = reader_text(reader, file);

        if (!text)
                return;
        usage_parse_pressure(text, "some", some);
        if (full)
                usage_parse_pressure(text, "full", full);
}

static void reader_io(Reader *reader, Usage *inout) {
        _cleanup_(freep) char *text = reader_text(reader, "io.stat");

        if (text)
                usage_parse_io(text, &inout->io_read_bytes, &inout->io_write_bytes);
}

#define READ_KEYS(reader, file, keys, inout) reader_keys(reader, file, keys, ELEMENTSOF(keys), inout)

static void read_oom(Reader *reader, Usage *inout) {
        READ_KEYS(reader, "memory.events.local", memory_local_keys, inout);
        READ_KEYS(reader, "memory.events", memory_events_keys, inout);
}

static void read_memory(Reader *reader, Usage *inout) {
        reader_u64(reader, "memory.current", &inout->memory_bytes);
        reader_u64(reader, "memory.peak", &inout->memory_peak_bytes);
        reader_u64(reader, "memory.swap.current", &inout->swap_bytes);
        READ_KEYS(reader, "memory.stat", memory_stat_keys, inout);
        reader_pressure(reader, "memory.pressure", &inout->psi_memory_some_usec, &inout->psi_memory_full_usec);
}

static void read_others(Reader *reader, Usage *inout) {
        reader_u64(reader, "pids.current", &inout->pids);
        reader_u64(reader, "pids.peak", &inout->pids_peak);
        READ_KEYS(reader, "pids.events", pids_events_keys, inout);
        READ_KEYS(reader, "cpu.stat", cpu_stat_keys, inout);
        reader_pressure(reader, "cpu.pressure", &inout->psi_cpu_some_usec, NULL);
        reader_pressure(reader, "io.pressure", &inout->psi_io_some_usec, &inout->psi_io_full_usec);
        reader_io(reader, inout);
}

int usage_read(int group_fd, Usage *ret) {
        Reader reader = { .group_fd = group_fd };

        *ret = USAGE_NONE;
        read_oom(&reader, ret); /* first: what decides must not be lost to what comes later */
        read_memory(&reader, ret);
        read_others(&reader, ret);
        return reader.r;
}

int usage_read_oom(int group_fd, Usage *inout) {
        Reader reader = { .group_fd = group_fd };

        read_oom(&reader, inout);
        return reader.r;
}

int usage_read_sample(int group_fd, Usage *inout) {
        Reader reader = { .group_fd = group_fd };

        reader_u64(&reader, "memory.current", &inout->memory_bytes);
        reader_keys(&reader, "cpu.stat", cpu_stat_keys, 1, inout);
        return reader.r;
}

int usage_read_figures(int group_fd, Usage *inout) {
        Reader reader = { .group_fd = group_fd };

        read_memory(&reader, inout);
        reader_u64(&reader, "pids.current", &inout->pids);
        READ_KEYS(&reader, "cpu.stat", cpu_stat_keys, inout);
        return reader.r;
}

int usage_read_pressure(int group_fd, Usage *inout) {
        Reader reader = { .group_fd = group_fd };
        uint64_t some = USAGE_UNKNOWN, full = USAGE_UNKNOWN;

        reader_pressure(&reader, "memory.pressure", &some, &full);
        if (reader.r != 0)
                return reader.r;
        if (some == USAGE_UNKNOWN)
                return -EOPNOTSUPP;
        inout->psi_memory_some_usec = some;
        inout->psi_memory_full_usec = full;
        return 0;
}
