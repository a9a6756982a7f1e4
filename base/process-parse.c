/*
 * The texts of /proc/PID (proc(5)), parsed.
 *
 * Called by process.c, and by tests and fuzzers that feed them. The hard thing is stat: the name stands in parentheses
 * and may hold blanks, parentheses and newlines itself, so only the last ')' ends it. In status it is escaped.
 */
#include "base/cleanup.h"
#include "base/process-internal.h"
#include "base/process.h"

#include <ctype.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#define STAT_START_TIME_FIELD 22
#define STAT_THREADS_FIELD    20
#define STAT_FLAGS_FIELD      9
#define STAT_PENDING_FIELD    31
#define STAT_EXIT_FIELD       52
#define KERNEL_PF_EXITING     0x4 /* include/linux/sched.h */
#define KERNEL_PF_KTHREAD     0x00200000

int process_next_u64(const char **text, uint64_t *ret) {
        const char *p = *text + strspn(*text, " \t");
        char *end;

        if (!isdigit((unsigned char)*p))
                return -EINVAL;
        errno = 0;
        *ret = strtoull(p, &end, 10);
        if (errno != 0)
                return -errno;
        *text = end;
        return 0;
}

static int next_word(const char **text) {
        const char *p = *text + strspn(*text, " ");

        if (*p == '\0' || *p == '\n')
                return -EINVAL;
        *text = p + strcspn(p, " \n");
        return 0;
}

int process_parse_stat(const char *text, ProcessIdentity *ret) {
        const char *p = text, *name = strchr(text, '('), *end = strrchr(text, ')');
        uint64_t pid, parent, flags, threads, start, pending = 0;

        if (!name || !end || end < name || process_next_u64(&p, &pid) < 0 || strncmp(p, " (", 2) != 0 || pid > INT_MAX)
                return -EINVAL;
        p = end + 1;
        if (p[0] != ' ' || !isalpha((unsigned char)p[1]) || p[2] != ' ')
                return -EINVAL;
        ret->state = p[1];
        p += 2;
        if (process_next_u64(&p, &parent) < 0 || parent > INT_MAX)
                return -EINVAL;
        for (int field = 5; field < STAT_FLAGS_FIELD; field++)
                if (next_word(&p) < 0)
                        return -EINVAL;
        if (process_next_u64(&p, &flags) < 0)
                return -EINVAL;
        for (int field = STAT_FLAGS_FIELD + 1; field < STAT_THREADS_FIELD; field++)
                if (next_word(&p) < 0)
                        return -EINVAL;
        if (process_next_u64(&p, &threads) < 0)
                return -EINVAL;
        for (int field = STAT_THREADS_FIELD + 1; field < STAT_START_TIME_FIELD; field++)
                if (next_word(&p) < 0)
                        return -EINVAL;
        if (process_next_u64(&p, &start) < 0)
                return -EINVAL;
        for (int field = STAT_START_TIME_FIELD + 1; field < STAT_PENDING_FIELD && next_word(&p) == 0; field++)
                continue;
        (void)process_next_u64(&p, &pending);
        ret->pid = (pid_t)pid;
        ret->parent = (pid_t)parent;
        ret->start_ticks = start;
        ret->threads = threads;
        ret->killed = pending & (UINT64_C(1) << (SIGKILL - 1));
        ret->exiting = (flags & KERNEL_PF_EXITING) != 0;
        ret->kernel = (flags & KERNEL_PF_KTHREAD) != 0;
        return 0;
}

int process_parse_exit_status(const char *text, int *ret_status) {
        const char *p = strrchr(text, ')');
        uint64_t status;

        if (!p++)
                return -EINVAL;
        for (int field = 3; field < STAT_EXIT_FIELD; field++)
                if (next_word(&p) < 0)
                        return -EINVAL;
        if (process_next_u64(&p, &status) < 0 || status > 0xffff)
                return -EINVAL;
        *ret_status = (int)status;
        return 0;
}

/* Behind "Key:" at the start of a line; NULL when there is no such line. */
static const char *find_field(const char *text, const char *key) {
        size_t length = strlen(key);

        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
                if (strncmp(line, key, length) == 0 && line[length] == ':')
                        return line + length + 1;
        return NULL;
}

int process_parse_status(const char *text, ProcessIdentity *ret) {
        const char *p = find_field(text, "Uid");
        uint64_t uid[3], pid;

        if (!p)
                return -EINVAL;
        for (size_t i = 0; i < ELEMENTSOF(uid); i++)
                if (process_next_u64(&p, &uid[i]) < 0 || uid[i] > UINT32_MAX)
                        return -EINVAL;
        ret->uid_real = (uid_t)uid[0];
        ret->uid_effective = (uid_t)uid[1];
        ret->uid_saved = (uid_t)uid[2];
        p = find_field(text, "NSpid");
        ret->nested = p && process_next_u64(&p, &pid) == 0 && process_next_u64(&p, &pid) == 0;
        return 0;
}

int process_parse_kib(const char *text, const char *key, uint64_t *ret_bytes) {
        const char *p = find_field(text, key);
        uint64_t kib;

        if (!p)
                return -ENOENT;
        if (process_next_u64(&p, &kib) < 0 || strncmp(p, " kB", 3) != 0 ||
                __builtin_mul_overflow(kib, (uint64_t)1024, ret_bytes))
                return -EINVAL;
        return 0;
}

int process_parse_cgroup(const char *text, char **ret_path) {
        const char *path = find_field(text, "0:");
        char *copy;

        if (!path || *path != '/')
                return -ENODATA;
        copy = strndup(path, strcspn(path, "\n"));
        if (!copy)
                return -ENOMEM;
        *ret_path = copy;
        return 0;
}
