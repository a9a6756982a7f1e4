/*
 * Sets the limits of a live run.
 *
 * Called by `set`.  The hard thing is memory.max below what is charged: the kernel takes the value at once, but
 * write(2) returns only when it has reclaimed or killed enough, seconds for a large page cache; and O_NONBLOCK on it is
 * younger than our kernels.  A supervisor that waits for that misses deadlines, and its CPU quota would pay for the
 * reclaim of any user who asks.  So a child writes, outside of the supervisor's unit where the tree has a leaf for
 * that.
 */
#include "supervise/lower.h"

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "supervise/adopt.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define WRITERS_MAX 256 /* children at once, one per run: more are refused */

typedef struct Writer {
        LIST_ENTRY(Writer) link;
        Supervisor *supervisor; /* borrowed */
        Uuid run_id;
        int pidfd; /* owned */
} Writer;

static LIST_HEAD(, Writer) writers = LIST_HEAD_INITIALIZER(writers);
static unsigned n_writers;

static void writer_free(void *userdata) {
        Writer *writer = userdata;

        LIST_REMOVE(writer, link);
        n_writers--;
        (void)close_fd(writer->pidfd);
        free(writer);
}

void lower_done(Supervisor *s, Run *run) {
        if (!run->setting)
                return;
        run->setting = false;
        (void)adopt_save(run, s->boot_id);
}

static void read_back(Run *run) {
        uint64_t bytes;

        if (run_is_grouped(run) && file_read_u64_at(run->group.fd, "memory.max", &bytes) == 0)
                run->kept.memory_bytes = bytes;
}

/* Whether it is the last that was begun for its run, and not one that was stopped for it. */
static bool is_newest(const Writer *writer) {
        const Writer *other;

        LIST_FOREACH(other, &writers, link)
        if (strcmp(other->run_id.text, writer->run_id.text) == 0)
                return other == writer;
        return false;
}

static int on_written(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Writer *writer = userdata;
        siginfo_t how = { 0 };
        Run *run = restart_find(writer->supervisor, writer->run_id.text);

        (void)waitid(P_PIDFD, (id_t)fd, &how, WEXITED);
        if (run) {
                read_back(run);
                if (how.si_code != CLD_EXITED || how.si_status != 0)
                        log_run(LOG_LEVEL_WARNING, run->id.text, run->request.analysis_id,
                                "its changed limits could not all be written");
                if (how.si_code == CLD_EXITED && is_newest(writer))
                        lower_done(writer->supervisor, run);
        }
        (void)sd_event_source_set_floating(source, false); /* its last reference */
        return 0;
}

/* An earlier one goes on to reclaim, and to kill, for a limit that is not wanted any more. */
static void stop_writer_of(const Run *run) {
        Writer *writer;

        LIST_FOREACH(writer, &writers, link)
        if (strcmp(writer->run_id.text, run->id.text) == 0)
                (void)pidfd_signal(writer->pidfd, SIGKILL);
}

/* In the child: nothing of the supervisor's stays open (a connection that it holds would not hang up), nor is its CPU
 * quota used. Never returns. */
static void write_and_exit(const Supervisor *s, const Group *group, const Limits *limits) {
        Group own = GROUP_NONE;
        LimitsKept kept;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)file_write_at(s->tree.fd, "keeper/cgroup.procs", "0");
        own.fd = dup2(group->fd, STDERR_FILENO + 1);
        (void)close_range((unsigned)own.fd + 1, ~0U, 0);
        _exit(own.fd < 0 || group_change_limits(&own, limits, &kept) != 0);
}

static int writer_watch(Supervisor *s, const Run *run, pid_t pid) {
        Writer *writer = calloc(1, sizeof(*writer));
        sd_event_source *source;
        int r;

        if (!writer)
                return -ENOMEM;
        *writer = (Writer){ .supervisor = s, .run_id = run->id, .pidfd = pidfd_open_pid(pid) };
        LIST_INSERT_HEAD(&writers, writer, link);
        n_writers++;
        r = writer->pidfd < 0 ? writer->pidfd
                              : sd_event_add_io(s->event, &source, writer->pidfd, EPOLLIN, on_written, writer);
        if (r < 0) {
                writer_free(writer);
                return r;
        }
        (void)sd_event_source_set_destroy_callback(source, writer_free);
        (void)sd_event_source_set_floating(source, true);
        sd_event_source_unref(source);
        return 0;
}

static int write_aside(Supervisor *s, const Run *run, const Limits *limits) {
        pid_t pid;
        int r;

        if (n_writers >= WRITERS_MAX)
                return -EBUSY;
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                write_and_exit(s, &run->group, limits);
        r = writer_watch(s, run, pid);
        if (r < 0) { /* not known any more, but of no harm */
                (void)kill(pid, SIGKILL);
                (void)waitpid(pid, NULL, WNOHANG);
        }
        return r;
}

int lower_limits(Supervisor *s, Run *run, bool *ret_aside) {
        Limits limits = request_limits(&run->request);
        uint64_t charged = 0;
        int r;

        *ret_aside = false;
        if (!run_is_grouped(run))
                return 0;
        stop_writer_of(run);
        if (run->kept.memory && limits.memory_bytes != UINT64_MAX &&
                file_read_u64_at(run->group.fd, "memory.current", &charged) == 0 && charged > limits.memory_bytes) {
                *ret_aside = true;
                return write_aside(s, run, &limits);
        }
        r = group_change_limits(&run->group, &limits, &run->kept);
        return r > 0 ? -ENODEV : r;
}
