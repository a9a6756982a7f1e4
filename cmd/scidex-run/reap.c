/*
 * Collecting children: the main process, and strays that were handed to us (child subreaper).
 *
 * Called by the wait loop after every signal.  When the kernel kills a group nobody is in time to list who was in it;
 * but the dead come by here, one by one, as zombies that still have a name and a peak.  So the end of a main process
 * that was killed is told only when its company has been laid to rest too, or a moment later.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/process.h"
#include "cmd/scidex-run/launch.h"
#include <sys/resource.h>
#include <sys/wait.h>

#define COMPANY_WAIT_USEC (100 * USEC_PER_MSEC)
#define KILLED_MAX        64 /* as an event lists */

static void note_killed(Launch *l, pid_t pid, const char *comm, const struct rusage *usage) {
        json_t *row;

        l->n_killed++;
        if (!l->killed)
                l->killed = json_array();
        if (json_array_size(l->killed) >= KILLED_MAX)
                return;
        row = json_pack("{s:i, s:o, s:I}", "pid", (int)pid, "comm", json_from_text(comm), "rss_bytes",
                (json_int_t)usage->ru_maxrss * 1024);
        (void)(pid == l->spawned.pid ? json_array_insert_new(l->killed, 0, row)
                                     : json_array_append_new(l->killed, row));
}

static void main_ended(Launch *l, int status) {
        int error = spawn_wait_exec(&l->spawned);

        l->main_reaped = true;
        l->wait_status = status;
        l->exec_errno = error > 0 ? error : 0;
        l->ended_usec = clock_boottime_usec();
        l->ended_at = clock_realtime_usec();
        l->exit_untold = true;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
                l->tell_after_usec = usec_add(l->ended_usec, COMPANY_WAIT_USEC);
}

void launch_reap(Launch *l) {
        struct rusage usage;
        char comm[16];
        int status, r;

        for (;;) {
                siginfo_t peek = { 0 };

                r = waitid(P_ALL, 0, &peek, WEXITED | WNOHANG | WNOWAIT);
                if (r < 0 && errno == ECHILD)
                        l->tell_after_usec = 0; /* nobody else to wait for */
                if (r < 0 || peek.si_pid == 0)
                        return;
                comm[0] = '\0';
                /* Of those that are listed only: it is read while others are still dying. */
                if (peek.si_code == CLD_KILLED && peek.si_status == SIGKILL && json_array_size(l->killed) < KILLED_MAX)
                        (void)process_comm(peek.si_pid, comm);
                if (wait4(peek.si_pid, &status, 0, &usage) != peek.si_pid)
                        return;
                if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
                        note_killed(l, peek.si_pid, comm, &usage);
                if (peek.si_pid == l->spawned.pid && !l->main_reaped)
                        main_ended(l, status);
        }
}
