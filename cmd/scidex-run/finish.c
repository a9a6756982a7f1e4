/*
 * The end of a run as its launcher tells it: one line, the report, the exit status.
 *
 * Called by main.  The line is made from the run and event objects, which come from the supervisor, or, when none came
 * back, from what we can read in the group ourselves.
 */
#include "cmd/scidex-run/launch.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include "base/uuid.h"
#include "cgroup/usage.h"
#include "control/client.h"
#include "supervise/decide.h"
#include "supervise/handover.h"
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

static void read_counters(const Launch *l, Usage *ret) {
        *ret = USAGE_NONE;
        if (l->group_fd >= 0)
                (void)usage_read(l->group_fd, ret);
}

static uint64_t known(uint64_t value) {
        return value == USAGE_UNKNOWN ? 0 : value;
}

/* The run object as far as we know it. */
static json_t *own_account(const Launch *l, const Usage *usage) {
        json_t *o = json_pack("{s:s, s:o, s:s, s:o, s:f, s:o, s:o}", "run_id", l->run_id, "analysis_id",
                json_from_text(l->options->request.analysis_id), "verdict", verdict_to_string(l->verdict), "detail",
                json_from_text(l->detail), "duration_sec",
                (double)usec_sub(l->ended_usec, l->launched_usec) / (double)USEC_PER_SEC, "memory_limit_bytes",
                json_from_u64(l->request.memory_bytes), "memory_peak_bytes", json_from_u64(usage->memory_peak_bytes));

        (void)json_object_set_new(o, "timeout_sec",
                l->request.timeout_usec == USEC_INFINITY
                        ? json_null()
                        : json_real((double)l->request.timeout_usec / (double)USEC_PER_SEC));
        (void)json_object_set_new(
                o, "exit_status", WIFEXITED(l->wait_status) ? json_integer(WEXITSTATUS(l->wait_status)) : json_null());
        (void)json_object_set_new(o, "exit_signal",
                WIFSIGNALED(l->wait_status) ? json_from_text(signal_to_name(WTERMSIG(l->wait_status))) : json_null());
        return o;
}

static int write_handover(const Launch *l, const Usage *usage, const char *event_id) {
        _cleanup_(freep) char *directory = NULL;
        char boot_id[37] = "";
        Handover handover = { .run_id = l->run_id,
                .boot_id = boot_id,
                .request = &l->request,
                .launched_at = l->launched_at,
                .launched_usec = l->launched_usec,
                .ended_at = l->ended_at,
                .ended_usec = l->ended_usec,
                .launcher_pid = getpid(),
                .pid = l->spawned.pid,
                .wait_status = l->wait_status,
                .exec_errno = l->exec_errno,
                .forwarded = l->forwarded,
                .verdict = l->verdict,
                .detail = l->detail,
                .event_id = event_id,
                .killed_at = l->backstop_at,
                .memory_peak_bytes = usage->memory_peak_bytes,
                .own_oom = usage->oom,
                .local_oom_kill = usage->oom_kill_local,
                .backstop = l->backstop };
        int r = clock_boot_id(boot_id);

        if (r == 0 && l->connection.is_private && !l->state_directory)
                r = client_state_directory(&directory);
        if (r == 0)
                r = l->connection.is_private
                        ? handover_write(l->state_directory ? l->state_directory : directory, &handover)
                        : handover_write_system(l->connection.path, &handover);
        if (r < 0)
                run_say("warning: no supervisor came back and the end of this run can't be left for the next one: %s",
                        strerror(-r));
        return r;
}

/* The kill that a supervisor had begun before it went; what it was for stands in the group. */
static json_t *read_marker(const Launch *l) {
        _cleanup_(freep) char *text = NULL;
        json_t *o = NULL;

        if (l->group_fd < 0 || xattr_read(l->group_fd, HANDOVER_MARKER, &text) < 0)
                return NULL;
        (void)json_parse(text, strlen(text), &o);
        return o;
}

/* Verdict and, if there was a kill, its event id: a new one unless the supervisor had made it already. */
static void decide_by_marker(Launch *l, Ending *ending, Uuid *ret_event_id) {
        const char *reason, *id;

        l->marker = read_marker(l);
        if (json_get_text(l->marker, "reason", &reason) < 0 || json_get_text(l->marker, "event_id", &id) < 0 ||
                verdict_from_string(reason) < 0 || !uuid_valid(id))
                return;
        ending->reason = verdict_from_string(reason);
        memcpy(ret_event_id->text, id, UUID_TEXT_MAX);
}

void launch_decide_alone(Launch *l) {
        Uuid event_id = { "" };
        Ending ending;
        Usage usage;

        read_counters(l, &usage);
        /* Leftovers: nobody else will end them. Of a group that is removed there are none. */
        if (l->kill_fd >= 0 && write(l->kill_fd, "1", 1) < 0 && errno != ENODEV)
                run_say("warning: what the run left behind can't be killed: %s", strerror(errno));
        ending = (Ending){ .reason = l->backstop ? VERDICT_TIMEOUT : VERDICT_NONE,
                .status_known = true,
                .wait_status = l->wait_status,
                .exec_errno = l->exec_errno,
                .forwarded = l->forwarded,
                .own_oom = known(usage.oom),
                .local_oom_kill = known(usage.oom_kill_local),
                .max_events = known(usage.max_events) };
        if (!l->backstop)
                decide_by_marker(l, &ending, &event_id);
        l->verdict = decide_verdict(&ending, &l->detail);
        if (l->backstop)
                l->detail = "backstop";
        else if (event_id.text[0] && ending.reason == l->verdict)
                (void)json_get_text(l->marker, "detail", &l->detail);
        if (!event_id.text[0] && (l->backstop || l->verdict == VERDICT_MEMORY || l->verdict == VERDICT_HOST_OOM))
                event_id = uuid_new(clock_realtime_usec());
        if (!l->backstop)
                l->backstop_at = l->ended_at;
        l->run = own_account(l, &usage);
        /* By the handover, when the next one starts. */
        l->recorded = write_handover(l, &usage, event_id.text[0] ? event_id.text : NULL) == 0;
}

/* Seconds that fit an integer of microseconds: what a supervisor says is not believed blindly. */
static double seconds_of(const json_t *o, const char *key) {
        return MAX_OF(0.0, MIN_OF(json_number_value(json_object_get(o, key)), 1e12));
}

static char *duration_text(char buffer[static FORMAT_MAX], const json_t *o, const char *key) {
        return format_duration(buffer, (uint64_t)(seconds_of(o, key) * (double)USEC_PER_SEC));
}

/* "memory limit 2.0 GiB reached", "wall-clock limit 30min reached", … */
static char *reason_text(const Launch *l) {
        char size[FORMAT_MAX], time[FORMAT_MAX];
        const char *detail = NULL;
        uint64_t limit = 0;

        (void)json_get_text(l->run, "detail", &detail);
        (void)json_get_u64(l->run, "memory_limit_bytes", &limit);
        switch (l->verdict) {
        case VERDICT_MEMORY:
                if (detail && strcmp(detail, "thrashing") == 0)
                        return text_printf("thrashing at its memory limit %s", format_bytes(size, limit));
                if (detail && strcmp(detail, "sampled") == 0)
                        return text_printf("memory limit %s exceeded (sampled)", format_bytes(size, limit));
                return text_printf("memory limit %s reached%s%s", format_bytes(size, limit), detail ? ", " : "",
                        detail ? detail : "");
        case VERDICT_HOST_OOM:
                return text_printf("the host or an outer group ran out of memory, not this run's own limit%s%s",
                        detail ? ", " : "", detail ? detail : "");
        case VERDICT_TIMEOUT:
                return text_printf("wall-clock limit %s reached%s", duration_text(time, l->run, "timeout_sec"),
                        detail ? " (by the launcher's backstop: no supervisor answered)" : "");
        case VERDICT_CPU_TIME:
                return text_printf("CPU-time limit %s reached", duration_text(time, l->run, "cpu_limit_sec"));
        case VERDICT_CANCELLED:
                return text_printf("cancelled%s%s", detail ? ", " : "", detail ? detail : "");
        default:
                return text_printf("%s%s%s", verdict_to_string(l->verdict), detail ? ", " : "", detail ? detail : "");
        }
}

static char *peak_text(const Launch *l) {
        char peak[FORMAT_MAX];
        uint64_t bytes, processes;
        bool counted = json_get_u64(l->event, "processes_killed", &processes) == 0 && processes != UINT64_MAX;

        if (json_get_u64(l->run, "memory_peak_bytes", &bytes) < 0 || bytes == UINT64_MAX)
                return counted
                        ? text_printf(" (%llu process%s)", (unsigned long long)processes, processes == 1 ? "" : "es")
                        : strdup("");
        if (!counted)
                return text_printf(" (peak %s)", format_bytes(peak, bytes));
        return text_printf(" (peak %s, %llu process%s)", format_bytes(peak, bytes), (unsigned long long)processes,
                processes == 1 ? "" : "es");
}

static const char *short_id(const Launch *l) {
        size_t n = strlen(l->run_id);

        return n > 8 ? l->run_id + n - 8 : l->run_id;
}

/* "SDA-42", or the short id where none was given. */
static char *name_of(const Launch *l) {
        return l->options->request.analysis_id ? text_escape(l->options->request.analysis_id)
                                               : text_printf("run %s", short_id(l));
}

static void say_killed(const Launch *l) {
        _cleanup_(freep) char *name = name_of(l), *reason = reason_text(l), *peak = peak_text(l);
        char time[FORMAT_MAX];

        run_say("%s killed: %s after %s%s. Details: scidexctl why %s", name, reason,
                duration_text(time, l->run, "duration_sec"), peak, short_id(l));
}

static void say_ended(const Launch *l) {
        _cleanup_(freep) char *name = name_of(l);
        char time[FORMAT_MAX], peak[FORMAT_MAX], limit[FORMAT_MAX];
        uint64_t peak_bytes = 0, limit_bytes = UINT64_MAX;
        bool has_peak = json_get_u64(l->run, "memory_peak_bytes", &peak_bytes) == 0 && peak_bytes != UINT64_MAX;

        (void)json_get_u64(l->run, "memory_limit_bytes", &limit_bytes);
        run_say("%s %s after %s, exit status %d, peak %s of %s", name, verdict_to_string(l->verdict),
                duration_text(time, l->run, "duration_sec"), verdict_exit_status(l->verdict, l->wait_status),
                has_peak ? format_bytes(peak, peak_bytes) : "unknown", format_bytes(limit, limit_bytes));
}

static void say_leftovers(const Launch *l) {
        _cleanup_(freep) char *name = name_of(l);
        uint64_t n = UINT64_MAX;

        if (json_get_u64(l->event, "processes_killed", &n) < 0 || n == UINT64_MAX)
                run_say("%s left processes behind, killed. Details: scidexctl why %s", name, short_id(l));
        else
                run_say("%s left %llu process%s behind, killed. Details: scidexctl why %s", name, (unsigned long long)n,
                        n == 1 ? "" : "es", short_id(l));
}

static void say_end(const Launch *l) {
        const char *reason = NULL;
        bool killed = l->verdict == VERDICT_TIMEOUT || l->verdict == VERDICT_CPU_TIME || l->verdict == VERDICT_MEMORY ||
                l->verdict == VERDICT_HOST_OOM || (l->verdict == VERDICT_CANCELLED && json_is_object(l->event)) ||
                l->verdict == VERDICT_ORPHANED;

        if (!l->recorded)
                run_say("warning: the record of this run can't be written yet; it is kept and written when possible, "
                        "see "
                        "scidexctl doctor");
        if (killed)
                say_killed(l);
        else if (l->options->verbose)
                say_ended(l);
        if (json_get_text(l->event, "reason", &reason) == 0 && strcmp(reason, "orphan") == 0)
                say_leftovers(l);
}

static int write_all(int fd, const char *text, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, text, size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        text += n;
                        size -= (size_t)n;
                }
        }
        return 0;
}

static int write_report(const Launch *l) {
        _cleanup_(json_decrefp) json_t *report =
                json_pack("{s:i, s:O, s:O?}", "schema", 1, "run", l->run, "event", l->event);
        _cleanup_(freep) char *text = report ? json_to_lines(report) : NULL;
        int r = text ? write_all(l->report_fd, text, strlen(text)) : -ENOMEM;

        if (r == 0)
                r = write_all(l->report_fd, "\n", 1);
        if (r < 0)
                run_say("can't write the report \"%s\": %s; the run itself is recorded, see scidexctl show %s",
                        l->options->report, strerror(-r), short_id(l));
        return r;
}

static int exec_failed(const Launch *l) {
        _cleanup_(freep) char *command = text_escape(l->options->command[0]);

        run_say("can't run \"%s\": %s%s", command ? command : "?", strerror(l->exec_errno),
                l->exec_errno == ENOENT ? "; check the name and PATH" : "; check its permissions and format");
        return l->exec_errno == ENOENT ? RUN_EXIT_NOT_FOUND : RUN_EXIT_NOT_EXECUTABLE;
}

/* So that a shell loop around us stops as if it had run the command itself. */
static void die_of_interrupt(const Launch *l) {
        sigset_t set;

        (void)signal(SIGINT, SIG_DFL);
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGINT);
        (void)raise(SIGINT);
        (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int launch_finish(Launch *l) {
        if (l->report_fd >= 0 && write_report(l) < 0 && !l->options->quiet)
                return RUN_EXIT_FAILED;
        if (l->exec_errno != 0 && l->verdict == VERDICT_FAILED)
                return exec_failed(l);
        if (!l->options->quiet)
                say_end(l);
        if (l->verdict == VERDICT_CANCELLED && l->forwarded == SIGINT)
                die_of_interrupt(l);
        return verdict_exit_status(l->verdict, l->wait_status);
}
