/*
 * What to do: one or two sentences per verdict, with a figure and a command to copy where there is one.
 *
 * Called by explain.c.  The hard thing is not to send people the wrong way: more memory does not cure a host that ran
 * out, more time does not cure a run that waits.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "status/explain.h"
#include <string.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Half as much again, in a step that people write: "768M", "3G". */
static void memory_figure_write(FILE *p, uint64_t bytes) {
        uint64_t wanted = bytes + bytes / 2;
        uint64_t step = wanted < GIB ? 64 * MIB : wanted < 8 * GIB ? 512 * MIB : GIB;

        wanted = (wanted + step - 1) / step * step;
        if (wanted % GIB == 0)
                (void)fprintf(p, "%juG", (uintmax_t)(wanted / GIB));
        else
                (void)fprintf(p, "%juM", (uintmax_t)(wanted / MIB));
}

static void advice_completed(FILE *p, const Case *c) {
        uint64_t limit, private;

        if (!field_u64(c->run, "memory_limit_bytes", &limit) || !field_u64(c->run, "private_peak_bytes", &private))
                return;
        if (private > limit - limit / 10) {
                (void)fputs("It came near its memory limit; give it room (--memory ", p);
                memory_figure_write(p, private);
                (void)fputs(").", p);
        }
}

static void advice_failed(FILE *p, const Case *c) {
        uint64_t status;

        if (!field_u64(c->run, "exit_status", &status))
                status = 0;
        if (status == 127)
                (void)fputs("Status 127 mostly means that the command was not found: check its name and PATH.", p);
        else if (status == 126)
                (void)fputs("Status 126 mostly means that the command could not be executed: check its permissions and "
                            "#! line.",
                        p);
        else if (status > 128 && status < 193)
                (void)fprintf(p,
                        "A shell reports status %ju when signal %ju ended a command in it; look at its own output.",
                        (uintmax_t)status, (uintmax_t)(status - 128));
        else
                (void)fputs("Look at its own output: the status was its own.", p);
}

static void advice_crashed(FILE *p, const Case *c) {
        const char *signal = field_text(c->run, "exit_signal");

        if (signal && strcmp(signal, "KILL") == 0)
                (void)fputs("Find out who sent KILL: a user with the same uid, root, or a tool such as earlyoom; the "
                            "journal may tell.",
                        p);
        else if (signal && strcmp(signal, "BUS") == 0)
                (void)fputs("BUS often means that a mapped file was truncated or that a tmpfs such as /dev/shm was "
                            "full (df /dev/shm).",
                        p);
        else
                (void)fputs("It is a fault of the program or its libraries: look for a core dump (coredumpctl list) or "
                            "run it in a debugger.",
                        p);
}

static void advice_timeout(FILE *p, const Case *c) {
        char text[FORMAT_MAX];
        uint64_t limit, cpu, span;

        if (case_was_idle(c, &cpu, &span)) {
                (void)fputs("More time will not help a run that waits: find out what for (a lock, the network, input "
                            "that never comes), "
                            "e.g. with py-spy dump or gdb -p while it hangs.",
                        p);
        } else if (field_usec(c->run, "timeout_sec", &limit)) {
                _cleanup_(freep) char *quoted = shell_quote(format_duration(text, limit + limit / 2));

                (void)fprintf(p, "If it was still making progress, give it more time (--timeout %s).",
                        quoted ? quoted : "TIME");
        }
        if (case_ignored_term(c))
                (void)fputs(" It did not end on TERM: let it handle TERM to save its work, or lengthen --grace.", p);
}

static void advice_cpu_time(FILE *p, const Case *c) {
        char text[FORMAT_MAX];
        uint64_t limit;

        if (field_usec(c->run, "cpu_limit_sec", &limit)) {
                _cleanup_(freep) char *quoted = shell_quote(format_duration(text, limit + limit / 2));

                (void)fprintf(p, "If the work needs it, raise the limit (--cpu-time %s).", quoted ? quoted : "TIME");
        }
}

static void advice_memory(FILE *p, const Case *c) {
        uint64_t limit, peak;

        if (case_is_shmem(c))
                (void)fputs("Delete what it leaves in /dev/shm, or write it to a disk; a higher limit only delays the "
                            "end. ",
                        p);
        if (!case_u64(c, "memory_limit_bytes", &limit))
                return;
        if (!case_u64(c, "memory_peak_bytes", &peak) || peak < limit)
                peak = limit;
        (void)fputs("If the analysis needs that much, raise the limit (--memory ", p);
        memory_figure_write(p, peak);
        (void)fputs("). If its memory only ever grows (see the timeline), it is a leak, and more memory only delays "
                    "the end.",
                p);
}

static void advice_host_oom(FILE *p, const Case *c) {
        char at[FORMAT_MAX];

        (void)fprintf(p,
                "A higher --memory will not help: run fewer analyses at a time, or give the machine (or the group "
                "above) more memory. "
                "What else was using it stands in the kernel's log (journalctl -k --since '%s').",
                field_when(at, c->event ? c->event : c->run, c->event ? "decided_at" : "launched_at", "1 hour ago"));
}

static void advice_orphaned(FILE *p, const Case *c) {
        (void)c;
        (void)fputs("Start scidex-run from something that outlives your session (a service, tmux, nohup), and find out "
                    "what ended it.",
                p);
}

static void advice_cancelled(FILE *p, const Case *c) {
        if (strncmp(c->detail, "outer ", 6) == 0)
                (void)fputs("Look at the outer run: its end is the cause.", p);
        else if (case_ignored_term(c))
                (void)fputs("It did not end on TERM: let it handle TERM to save its work, or lengthen --grace.", p);
}

static void advice_lost(FILE *p, const Case *c) {
        if (!case_is_registered(c))
                (void)fputs("Run it again.", p);
        else if (strcmp(c->detail, "unregistered") != 0)
                (void)fputs("Look at its own output. Start it with scidex-run, and its exit status is known.", p);
}

static const struct {
        const char *verdict;
        void (*advice)(FILE *p, const Case *c);
        bool history; /* earlier runs tell whether the limit was always too small */
} advices[] = {
        { "completed", advice_completed },
        { "failed", advice_failed },
        { "crashed", advice_crashed },
        { "timeout", advice_timeout, .history = true },
        { "cpu-time", advice_cpu_time, .history = true },
        { "memory", advice_memory, .history = true },
        { "host-oom", advice_host_oom },
        { "orphaned", advice_orphaned },
        { "cancelled", advice_cancelled },
        { "lost", advice_lost, .history = true },
};

void advice_write(FILE *p, const Case *c) {
        for (size_t i = 0; c->verdict && i < ELEMENTSOF(advices); i++)
                if (strcmp(advices[i].verdict, c->verdict) == 0)
                        advices[i].advice(p, c);
        if (c->leftovers)
                (void)fputs(" Let the program wait for what it starts: what it leaves behind is killed.", p);
}

void advice_write_command(FILE *p, const Case *c) {
        for (size_t i = 0; c->verdict && i < ELEMENTSOF(advices); i++)
                if (advices[i].history && strcmp(advices[i].verdict, c->verdict) == 0 &&
                        field_text(c->run, "analysis_id"))
                        (void)fprintf(p, "Earlier runs: scidexctl history --analysis %s", c->subject);
}
