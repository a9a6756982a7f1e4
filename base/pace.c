/*
 * The quota that the recorder shares with its supervisor.
 *
 * Called around each batch that is shipped, each pass over the figures, each answer over HTTP.  A unit with
 * CPUQuota=10% gives its processes 10 ms in each 100 ms, and who takes them first leaves the others standing for the
 * rest (measured: up to 100 ms): a backlog shipped at full speed would delay the kills.  So work is paid for by waiting
 * until it amounts to a share of the quota.
 */
#include "base/pace.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include <fcntl.h>
#include <string.h>
#include <time.h>

#define FILE_BYTES_MAX 4096

static const char *const mounts[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

static uint64_t thread_cpu_usec(void) {
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

double pace_parse_quota(const char *text) {
        _cleanup_(freep) char *copy = strdup(text);
        char *rest = copy, *quota, *period;
        uint64_t of = 0, in = 0;

        if (!copy)
                return 0;
        quota = strsep(&rest, " \n");
        period = rest ? strsep(&rest, " \n") : NULL;
        if (!period || parse_u64(quota, &of) < 0 || parse_u64(period, &in) < 0 || in == 0)
                return 0;
        return (double)of / (double)in;
}

/* "0::/path\n" of /proc/self/cgroup. NULL if there is none. Caller frees. */
static char *own_group(void) {
        _cleanup_(freep) char *text = NULL;
        char *line;

        if (file_read_at(AT_FDCWD, "/proc/self/cgroup", FILE_BYTES_MAX, &text, NULL) < 0)
                return NULL;
        line = strncmp(text, "0::/", 4) == 0 ? text : strstr(text, "\n0::/");
        if (!line)
                return NULL;
        line += *line == '\n' ? 4 : 3;
        line[strcspn(line, "\n")] = '\0';
        return strdup(line);
}

static double smallest_quota(const char *mount, char *group) {
        double smallest = 0;

        for (;;) {
                _cleanup_(freep) char *path = text_printf("%s%s/cpu.max", mount, group), *text = NULL;
                char *slash = strrchr(group, '/');
                double quota = 0;

                if (path && file_read_at(AT_FDCWD, path, FILE_BYTES_MAX, &text, NULL) == 0)
                        quota = pace_parse_quota(text);
                if (quota > 0 && (smallest == 0 || quota < smallest))
                        smallest = quota;
                if (!slash)
                        return smallest;
                *slash = '\0';
        }
}

static double own_quota(void) {
        double quota = 0;

        for (size_t i = 0; quota <= 0 && i < ELEMENTSOF(mounts); i++) {
                _cleanup_(freep) char *group = own_group();

                if (group)
                        quota = smallest_quota(mounts[i], group);
        }
        return quota;
}

void pace_init_with(Pace *pace, double quota, unsigned of_quota, unsigned of_cpu) {
        *pace = (Pace){ .has_quota = quota > 0, .share = quota > 0 ? quota * of_quota / 100 : of_cpu / 100.0 };
}

void pace_init(Pace *pace, unsigned of_quota, unsigned of_cpu) {
        pace_init_with(pace, own_quota(), of_quota, of_cpu);
}

void pace_begin(Pace *pace) {
        pace->begun_usec = thread_cpu_usec();
}

void pace_end(Pace *pace, uint64_t now_usec) {
        uint64_t used = usec_sub(thread_cpu_usec(), pace->begun_usec);

        if (pace->share <= 0 || pace->share >= 1)
                return;
        pace->free_usec = MAX_OF(pace->free_usec, now_usec) + (uint64_t)((double)used / pace->share);
}

uint64_t pace_wait(const Pace *pace, uint64_t now_usec) {
        return pace->free_usec > now_usec ? pace->free_usec : 0;
}
