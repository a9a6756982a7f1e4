/*
 * What happened, in a few sentences, one function per verdict.
 *
 * Called by explain.c.  The hard thing is to say only what the record says: who sent which signal when, which limit it
 * was, and for host-oom and crashed also which limit it was not, because that is what people suspect first.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "status/explain.h"
#include <string.h>

/* "TERM was sent at 07:19:42 to 3 processes; …" of one kill. */
static void course_write(FILE *p, const json_t *event) {
        const json_t *first = json_array_get(json_object_get(event, "signals"), 0);
        const char *signal = field_text(first, "signal");
        char at[FORMAT_MAX], span[FORMAT_MAX];
        uint64_t term, kill = 0, empty, processes;

        if (!field_time(event, "term_at", &term)) {
                if (field_time(event, "kill_at", &kill))
                        (void)fprintf(p, " The whole group was killed at once with KILL at %s.",
                                field_clock(at, event, "kill_at", "?"));
                return;
        }
        (void)fprintf(p, " %s was sent at %s", signal ? signal : "TERM", field_clock(at, event, "term_at", "?"));
        if (field_u64(first, "processes", &processes))
                (void)fprintf(p, " to %ju process%s", (uintmax_t)processes, processes == 1 ? "" : "es");
        if (field_time(event, "kill_at", &kill))
                (void)fprintf(p,
                        "; it was ignored or not followed in time, so after %s the whole group was killed with KILL at "
                        "%s.",
                        format_duration(span, usec_sub(kill, term)), field_clock(at, event, "kill_at", "?"));
        else if (field_time(event, "empty_at", &empty))
                (void)fprintf(p, "; all had ended %s later, so no KILL was needed.",
                        format_duration(span, usec_sub(empty, term)));
        else
                (void)fputs("; no KILL was needed.", p);
}

static void story_completed(FILE *p, const Case *c) {
        (void)fprintf(p, "%s completed: its command exited with status 0 after %s.", c->name, c->time);
}

static void story_failed(FILE *p, const Case *c) {
        uint64_t status;

        if (field_u64(c->run, "exit_status", &status) && !*c->detail)
                (void)fprintf(p,
                        "%s failed: its command exited with status %ju after %s. It ended by itself; scidex did not "
                        "stop it.",
                        c->name, (uintmax_t)status, c->time);
        else
                (void)fprintf(p, "%s failed after %s: %s.", c->name, c->time,
                        *c->detail ? c->detail : "its exit status is not known");
}

static void story_crashed(FILE *p, const Case *c) {
        const char *signal = field_text(c->run, "exit_signal");

        (void)fprintf(p, "%s crashed: signal %s ended it after %s, and scidex did not send it.", c->name,
                signal ? signal : "(unknown)", c->time);
        if (signal && strcmp(signal, "KILL") == 0)
                (void)fputs(" Somebody or something else on this machine killed it.", p);
        if (case_is_sampled(c))
                (void)fputs(" It was not ended for its memory: the sampler never saw it above its limit.", p);
        else
                (void)fputs(" No memory limit was involved: oom 0.", p);
}

static void story_timeout(FILE *p, const Case *c) {
        char limit[FORMAT_MAX], text[FORMAT_MAX], span[FORMAT_MAX];
        uint64_t cpu, time;

        (void)fprintf(p, "%s was killed because it reached its time limit of %s.", c->name,
                field_duration(limit, c->run, "timeout_sec", "(unknown)"));
        if (strcmp(c->detail, "backstop") == 0)
                (void)fputs(" No supervisor answered at that time, so its launcher killed it.", p);
        course_write(p, c->event);
        if (case_was_idle(c, &cpu, &time))
                (void)fprintf(p, " It used %s of CPU time in its last %s: it was waiting, not computing.",
                        format_duration(text, cpu), format_duration(span, time));
}

static void story_cpu_time(FILE *p, const Case *c) {
        char limit[FORMAT_MAX], used[FORMAT_MAX];

        (void)fprintf(p, "%s was killed because it reached its CPU-time limit of %s (used %s in %s).", c->name,
                field_duration(limit, c->run, "cpu_limit_sec", "(unknown)"),
                field_duration(used, c->run, "cpu_sec", "?"), c->time);
        course_write(p, c->event);
}

static void story_thrashing(FILE *p, const Case *c) {
        char stall[FORMAT_MAX], window[FORMAT_MAX];
        const json_t *evidence = json_object_get(c->event, "evidence");

        (void)fprintf(p,
                "%s was killed because it was thrashing: it stood at its memory limit of %s and waited for memory "
                "instead of computing",
                c->name, c->limit);
        if (json_object_get(evidence, "stall_sec"))
                (void)fprintf(p, " for %s of the last %s", field_duration(stall, evidence, "stall_sec", "?"),
                        field_duration(window, evidence, "stall_window_sec", "?"));
        (void)fputs(".", p);
        course_write(p, c->event);
}

static void story_sampled(FILE *p, const Case *c) {
        char over[FORMAT_MAX];

        (void)fprintf(p, "%s was killed because its memory was above its own limit of %s after %s.", c->name, c->limit,
                c->time);
        (void)fputs(" The limit was sampled, not enforced by the kernel: this machine's groups have no memory "
                    "controller, so a"
                    " run can be above its limit for a moment.",
                p);
        if (json_is_integer(json_object_get(c->event, "overshoot_bytes")))
                (void)fprintf(
                        p, " At its highest it was %s above.", field_bytes(over, c->event, "overshoot_bytes", "?"));
        course_write(p, c->event);
}

static void memory_cause_write(FILE *p, const Case *c) {
        uint64_t limit, cache;

        if (case_is_shmem(c))
                (void)fputs(" More than half of the limit was shared memory: files in /dev/shm or on another tmpfs, or "
                            "shared"
                            " memory segments. They count until they are deleted, also after the process that wrote "
                            "them has ended.",
                        p);
        if (case_u64(c, "memory_limit_bytes", &limit) && case_cache_bytes(c, &cache) && cache > limit / 4)
                (void)fputs(" The file cache counts towards the limit too, but the kernel gives it back before it "
                            "kills: it is"
                            " not the cause.",
                        p);
}

static void story_memory(FILE *p, const Case *c) {
        if (strcmp(c->detail, "thrashing") == 0)
                story_thrashing(p, c);
        else if (case_is_sampled(c))
                story_sampled(p, c);
        else
                (void)fprintf(p,
                        "%s was killed because it reached its own memory limit of %s after %s. The kernel killed the "
                        "whole group.",
                        c->name, c->limit, c->time);
        if (strncmp(c->detail, "the limit is too small", 22) == 0)
                (void)fprintf(p, " In fact %s.", c->detail);
        memory_cause_write(p, c);
}

static void story_host_oom(FILE *p, const Case *c) {
        (void)fprintf(p,
                "%s was killed by the kernel after %s because memory ran out, but not for its own limit:"
                " the group's own oom count is 0. It ran out further up, in a group that holds this one or on the "
                "whole host.",
                c->name, c->time);
        if (*c->detail)
                (void)fprintf(p, " (%s.)", c->detail);
}

static void story_orphaned(FILE *p, const Case *c) {
        uint64_t launcher;

        (void)fprintf(p, "%s was killed after %s because its launcher, scidex-run", c->name, c->time);
        if (field_u64(c->run, "launcher_pid", &launcher))
                (void)fprintf(p, " (pid %ju)", (uintmax_t)launcher);
        (void)fputs(", had died: nobody was left to collect its exit status.", p);
        course_write(p, c->event);
}

static void story_cancelled(FILE *p, const Case *c) {
        if (strncmp(c->detail, "outer ", 6) == 0)
                (void)fprintf(p, "%s was cancelled after %s because the run it was started from ended (%s).", c->name,
                        c->time, c->detail);
        else if (strcmp(c->detail, "shutdown") == 0)
                (void)fprintf(p,
                        "%s was cancelled after %s because the machine or the supervisor's tree was shut down.",
                        c->name, c->time);
        else
                (void)fprintf(p, "%s was cancelled after %s: somebody asked for it%s%s%s.", c->name, c->time,
                        *c->detail ? " (" : "", c->detail, *c->detail ? ")" : "");
        course_write(p, c->event);
}

static void story_lost(FILE *p, const Case *c) {
        char at[FORMAT_MAX];

        if (strcmp(c->detail, "unregistered") == 0) {
                (void)fprintf(p, "%s was let go after %s (scidexctl unregister): nothing was ended.", c->name, c->time);
                return;
        }
        if (case_is_registered(c)) {
                (void)fprintf(p,
                        "%s ended by itself after %s, how is not known: it ran already when it was registered, and "
                        "only "
                        "the parent of a process is told its exit status.",
                        c->name, c->time);
                return;
        }
        (void)fprintf(p,
                "%s is lost: launched at %s, it was alive when the machine went down or was restarted. How far it came "
                "is not known.",
                c->name, field_when(at, c->run, "launched_at", "(unknown)"));
}

static const struct {
        const char *verdict;
        void (*story)(FILE *p, const Case *c);
} stories[] = {
        { "completed", story_completed },
        { "failed", story_failed },
        { "crashed", story_crashed },
        { "timeout", story_timeout },
        { "cpu-time", story_cpu_time },
        { "memory", story_memory },
        { "host-oom", story_host_oom },
        { "orphaned", story_orphaned },
        { "cancelled", story_cancelled },
        { "lost", story_lost },
};

static void story_alive(FILE *p, const Case *c) {
        const char *state = field_text(c->run, "state"), *reason = field_text(c->event, "reason");
        char limit[FORMAT_MAX];

        (void)fprintf(p, "%s has not ended: it was launched %s ago and is in state %s.", c->name, c->time,
                state ? state : "unknown");
        if (json_is_number(json_object_get(c->run, "timeout_sec")))
                (void)fprintf(p, " Its time limit is %s.", field_duration(limit, c->run, "timeout_sec", "?"));
        if (reason) {
                (void)fprintf(p, " It is being killed, reason %s.", reason);
                course_write(p, c->event);
        }
}

static void leftover_write(FILE *p, const Case *c) {
        const json_t *process, *list = json_object_get(c->leftovers, "processes");
        uint64_t pid, count;
        size_t i;

        if (!field_u64(c->leftovers, "processes_killed", &count))
                count = json_array_size(list);
        (void)fprintf(p,
                " When its main process had ended, %ju process%s of the run still lived and %s killed as a group",
                (uintmax_t)count, count == 1 ? "" : "es", count == 1 ? "was" : "were");
        json_array_foreach(list, i, process) {
                const char *comm = field_text(process, "comm");

                if (i == 5)
                        break;
                (void)fprintf(p, "%s%s", i == 0 ? ": " : ", ", comm ? comm : "?");
                if (field_u64(process, "pid", &pid))
                        (void)fprintf(p, " (pid %ju)", (uintmax_t)pid);
        }
        (void)fprintf(p, "%s.", count > 5 && i == 5 ? ", ..." : "");
        course_write(p, c->leftovers);
        (void)fputs(" The run keeps its own verdict and exit status.", p);
}

void story_write(FILE *p, const Case *c) {
        bool known = false;

        if (!c->verdict)
                story_alive(p, c);
        for (size_t i = 0; c->verdict && i < ELEMENTSOF(stories); i++)
                if (strcmp(stories[i].verdict, c->verdict) == 0) {
                        stories[i].story(p, c);
                        known = true;
                }
        if (c->verdict && !known)
                (void)fprintf(p, "%s ended after %s with the verdict %s.", c->name, c->time, c->verdict);
        if (c->leftovers)
                leftover_write(p, c);
}
