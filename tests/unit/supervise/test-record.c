/*
 * Run and event as JSON, held against the tables of docs/protocol.md.
 *
 * The hard thing is what nobody knows: each figure that the kernel did not give must come out as null.
 */
#include "supervise/record.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PROTOCOL_MAX_BYTES (1 << 20)
#define AT                 (UINT64_C(1750000000) * USEC_PER_SEC)
#define BOOT               (UINT64_C(5000) * USEC_PER_SEC)
#define MIB                (UINT64_C(1) << 20)

static const RecordHost host = { .host = "node7", .boot_id = "b0b0", .tree_path = "/sys/fs/cgroup/scidex" };

/* A run as it was asked for, 100 s after its launch; no figure is known. */
static Run *asked_run(void) {
        RunRequest request;
        Run *run = NULL;

        request_init(&request);
        request.memory_bytes = 512 * MIB;
        assert_int_equal(run_new(&request, AT, BOOT, &run), 0);
        run->phase = PHASE_RUNNING;
        run->launcher_pid = 76;
        run->uid = 1000;
        return run;
}

/* The same, with every figure at its own value. */
static Run *full_run(void) {
        char *argv[] = { (char *)"python3", (char *)"fit.py", NULL };
        Run *run = asked_run();
        uint64_t *figure = (uint64_t *)(void *)&run->usage;

        for (size_t i = 0; i < sizeof(Usage) / sizeof(uint64_t); i++)
                figure[i] = (i + 1) * MIB;
        run->request.analysis_id = strdup("SDA-42");
        assert_int_equal(request_set_command(&run->request, argv), 0);
        run->request.memory_high_bytes = 256 * MIB;
        run->request.cpu_time_usec = 90 * USEC_PER_SEC;
        run->request.cpu_centi = 150;
        run->request.labels = json_pack("{s:s}", "project", "exoplanets");
        run->group.fd = open("/", O_PATH | O_CLOEXEC);
        run->group.name = strdup(run->id.text);
        run->kept = (LimitsKept){ true, true, true, true, true, true, 512 * MIB };
        run->pid = 77;
        (void)snprintf(run->comm, sizeof(run->comm), "%s", "python3");
        run->private_peak_bytes = 300 * MIB;
        return run;
}

static void end_run(Run *run, int wait_status, Verdict verdict) {
        run->phase = PHASE_ENDED;
        run->status_known = run->main_exited = true;
        run->wait_status = wait_status;
        run->verdict = verdict;
        run->ended_at = AT + 200 * USEC_PER_SEC;
        run->ended_usec = BOOT + 200 * USEC_PER_SEC;
}

static void kill_run(Run *run, Verdict reason, bool by_kernel) {
        run->kill = (Kill){ .event_id = uuid_new(AT),
                .seq = 1,
                .reason = reason,
                .decided_at = AT + 100 * USEC_PER_SEC,
                .empty_at = AT + 111 * USEC_PER_SEC,
                .charge = run_charge(&run->usage),
                .by_kernel = by_kernel,
                .processes = { json_pack("[{s:i,s:s,s:i}]", "pid", 77, "comm", "python3", "rss_bytes", 4096), 1 } };
        if (!by_kernel) {
                run->kill.term_at = AT + 100 * USEC_PER_SEC;
                run->kill.term_processes = 3;
                run->kill.kill_at = AT + 110 * USEC_PER_SEC;
        }
}

static json_t *run_row(const Run *run) {
        json_t *row = record_run(&host, run, BOOT + 100 * USEC_PER_SEC);

        assert_non_null(row);
        return row;
}

static json_t *event_row(const Run *run) {
        json_t *row = record_event(&host, run, BOOT + 100 * USEC_PER_SEC);

        assert_non_null(row);
        return row;
}

static json_int_t integer(const json_t *row, const char *key) {
        if (!json_is_integer(json_object_get(row, key)))
                fail_msg("%s is no integer", key);
        return json_integer_value(json_object_get(row, key));
}

static double real(const json_t *row, const char *key) {
        if (!json_is_number(json_object_get(row, key)))
                fail_msg("%s is no number", key);
        return json_number_value(json_object_get(row, key));
}

static void check_text(const json_t *row, const char *key, const char *text) {
        const char *value = json_string_value(json_object_get(row, key));

        if (!value)
                fail_msg("%s is no text", key);
        assert_string_equal(value, text);
}

static void check_null(const json_t *row, const char *key) {
        if (!json_is_null(json_object_get(row, key)))
                fail_msg("%s is not null", key);
}

static const char *find(const char *text, const char *what) {
        const char *p = strstr(text, what);

        if (!p) {
                fail_msg("docs/protocol.md has no \"%s\" any more", what);
                abort(); /* not reached: for the analyzer */
        }
        return p;
}

/* Adds the words in `backticks` between text and end that stand outside of parentheses. */
static void add_names(json_t *names, const char *text, const char *end) {
        int depth = 0;

        for (const char *p = text; p < end; p++) {
                depth += (*p == '(') - (*p == ')');
                if (*p == '`') {
                        const char *close = find(p + 1, "`");
                        _cleanup_(freep) char *name = strndup(p + 1, (size_t)(close - p - 1));

                        if (depth == 0)
                                assert_int_equal(json_object_set_new(names, name, json_true()), 0);
                        p = close;
                }
        }
}

static json_t *documented_run(const char *text) {
        json_t *names = json_object();
        const char *end = find(text, "\n**event**");

        for (const char *line = find(text, "\n**run**") + 1; line < end; line = strchr(line, '\n') + 1)
                if (strncmp(line, "| `", 3) == 0)
                        add_names(names, line, strchr(line + 1, '|'));
        return names;
}

static json_t *documented_event(const char *text) {
        json_t *names = documented_run(text);
        const char *begin = find(text, "\n**event**"), *rest = find(begin, "and every member of **run**");
        _cleanup_(json_decrefp) json_t *without = json_object();
        const char *key;
        json_t *value;

        add_names(without, rest, find(rest, ".\n"));
        json_object_foreach(without, key, value) assert_int_equal(json_object_del(names, key), 0);
        add_names(names, begin, rest);
        return names;
}

static void check_members(const json_t *row, const json_t *names) {
        const char *key;
        json_t *value;

        assert_true(json_object_size(names) > 40);
        json_object_foreach((json_t *)names, key, value) if (!json_object_get(row, key))
                fail_msg("docs/protocol.md has %s, the row has not", key);
        json_object_foreach((json_t *)row, key, value) if (!json_object_get(names, key))
                fail_msg("the row has %s, docs/protocol.md has not", key);
}

static char *read_protocol(void) {
        char *text = NULL;

        if (access(PROTOCOL, R_OK) < 0) {
                print_message("skipped: no docs/protocol.md at " PROTOCOL "\n");
                skip();
        }
        assert_int_equal(file_read_at(AT_FDCWD, PROTOCOL, PROTOCOL_MAX_BYTES, &text, NULL), 0);
        return text;
}

static void a_run_has_the_members_of_the_protocol_and_no_others(void **state) {
        _cleanup_(freep) char *text = read_protocol();
        _cleanup_(json_decrefp) json_t *names = documented_run(text), *full = NULL, *asked = NULL;
        _cleanup_(run_freep) Run *run = full_run(), *fresh = asked_run();

        assert_int_equal(json_object_del(names, "timeline"), 0); /* only from show and why: added there */
        full = run_row(run);
        asked = run_row(fresh);
        check_members(full, names);
        check_members(asked, names);
}

static void an_event_has_the_members_of_the_protocol_and_no_others(void **state) {
        _cleanup_(freep) char *text = read_protocol();
        _cleanup_(json_decrefp) json_t *names = documented_event(text), *by_us = NULL, *by_kernel = NULL;
        _cleanup_(run_freep) Run *run = full_run(), *fresh = asked_run();

        kill_run(run, VERDICT_TIMEOUT, false);
        kill_run(fresh, VERDICT_MEMORY, true);
        by_us = event_row(run);
        by_kernel = event_row(fresh);
        check_members(by_us, names);
        check_members(by_kernel, names);
}

static void what_was_asked_stands_in_the_row(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *row = run_row(run);

        check_text(row, "run_id", run->id.text);
        check_text(row, "analysis_id", "SDA-42");
        check_text(row, "host", "node7");
        check_text(row, "boot_id", "b0b0");
        check_text(row, "cmdline", "python3 fit.py");
        check_text(row, "comm", "python3");
        check_text(row, "state", "running");
        check_text(row, "term_signal", "TERM");
        check_text(json_object_get(row, "labels"), "project", "exoplanets");
        assert_int_equal(integer(row, "cmdline_length"), 14);
        assert_int_equal(integer(row, "uid"), 1000);
        assert_int_equal(integer(row, "pid"), 77);
        assert_int_equal(integer(row, "launcher_pid"), 76);
        assert_int_equal(integer(row, "memory_limit_bytes"), 512 * MIB);
        assert_int_equal(integer(row, "memory_high_bytes"), 256 * MIB);
        assert_int_equal(integer(row, "swap_limit_bytes"), 0);
        assert_int_equal(integer(row, "pids_limit"), 4096);
        assert_float_equal(real(row, "timeout_sec"), 1800, 1e-9);
        assert_float_equal(real(row, "cpu_limit_sec"), 90, 1e-9);
        assert_float_equal(real(row, "grace_sec"), 10, 1e-9);
        assert_float_equal(real(row, "thrash_sec"), 60, 1e-9);
        assert_float_equal(real(row, "cpus"), 1.5, 1e-9);
}

/* Each figure is another number: one that stands under the name of its neighbour shows. */
static void every_figure_of_the_kernel_stands_under_its_name(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *row = run_row(run);
        const Usage *u = &run->usage;
        const struct {
                const char *key;
                uint64_t value;
        } counts[] = { { "memory_bytes", u->memory_bytes }, { "memory_peak_bytes", u->memory_peak_bytes },
                { "anon_bytes", u->anon_bytes }, { "file_bytes", u->file_bytes }, { "shmem_bytes", u->shmem_bytes },
                { "swap_bytes", u->swap_bytes }, { "oom_events", u->oom }, { "oom_kill_events", u->oom_kill_local },
                { "max_events", u->max_events }, { "pids", u->pids }, { "pids_peak", u->pids_peak },
                { "pids_max_events", u->pids_max_events }, { "io_read_bytes", u->io_read_bytes },
                { "io_write_bytes", u->io_write_bytes }, { "private_peak_bytes", 300 * MIB } },
          seconds[] = { { "cpu_sec", u->cpu_usec }, { "cpu_user_sec", u->cpu_user_usec },
                  { "cpu_system_sec", u->cpu_system_usec }, { "cpu_throttled_sec", u->cpu_throttled_usec },
                  { "psi_memory_some_sec", u->psi_memory_some_usec },
                  { "psi_memory_full_sec", u->psi_memory_full_usec }, { "psi_cpu_some_sec", u->psi_cpu_some_usec },
                  { "psi_io_some_sec", u->psi_io_some_usec }, { "psi_io_full_sec", u->psi_io_full_usec } };

        for (size_t i = 0; i < ELEMENTSOF(counts); i++)
                assert_int_equal(integer(row, counts[i].key), counts[i].value);
        for (size_t i = 0; i < ELEMENTSOF(seconds); i++)
                assert_float_equal(real(row, seconds[i].key), (double)seconds[i].value / 1e6, 1e-9);
}

static void what_is_not_known_is_null(void **state) {
        static const char *const unknown[] = { "memory_bytes", "memory_peak_bytes", "anon_bytes", "file_bytes",
                "shmem_bytes", "private_peak_bytes", "swap_bytes", "oom_events", "oom_kill_events", "max_events",
                "pids", "pids_peak", "pids_max_events", "cpu_sec", "cpu_user_sec", "cpu_system_sec",
                "cpu_throttled_sec", "psi_memory_some_sec", "psi_memory_full_sec", "psi_cpu_some_sec",
                "psi_io_some_sec", "psi_io_full_sec", "io_read_bytes", "io_write_bytes", "analysis_id", "pid", "comm",
                "cmdline", "verdict", "detail", "ended_at", "exit_status", "exit_signal", "group", "outer_run_id",
                "memory_high_bytes", "cpu_limit_sec", "cpus" };
        _cleanup_(run_freep) Run *run = asked_run();

        for (int sampled = 0; sampled <= 1; sampled++) {
                _cleanup_(json_decrefp) json_t *row = NULL;

                run->enforcement = sampled ? ENFORCEMENT_SAMPLED : ENFORCEMENT_KERNEL;
                row = run_row(run);
                for (size_t i = 0; i < ELEMENTSOF(unknown); i++)
                        check_null(row, unknown[i]);
        }
}

static void no_limit_is_null(void **state) {
        static const char *const limits[] = { "timeout_sec", "deadline_at", "memory_limit_bytes", "swap_limit_bytes",
                "pids_limit", "thrash_sec" };
        _cleanup_(run_freep) Run *run = asked_run();
        _cleanup_(json_decrefp) json_t *row = NULL;

        run->request.timeout_usec = run->request.thrash_usec = USEC_INFINITY;
        run->request.memory_bytes = run->request.swap_bytes = run->request.pids = UINT64_MAX;
        row = run_row(run);
        for (size_t i = 0; i < ELEMENTSOF(limits); i++)
                check_null(row, limits[i]);
}

static void a_living_run_lasts_until_now_an_ended_one_until_its_end(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *alive = run_row(run), *ended = NULL;

        assert_float_equal(real(alive, "duration_sec"), 100, 1e-9);
        check_text(alive, "launched_at", "2025-06-15T15:06:40.000000Z");
        check_text(alive, "deadline_at", "2025-06-15T15:36:40.000000Z");
        end_run(run, 0, VERDICT_COMPLETED);
        ended = run_row(run);
        assert_float_equal(real(ended, "duration_sec"), 200, 1e-9);
        check_text(ended, "ended_at", "2025-06-15T15:10:00.000000Z");
        check_text(ended, "state", "ended");
        check_text(ended, "verdict", "completed");
}

static void a_run_has_an_exit_status_or_a_signal(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *exited = NULL, *signalled = NULL;

        end_run(run, 3 << 8, VERDICT_FAILED);
        exited = run_row(run);
        assert_int_equal(integer(exited, "exit_status"), 3);
        check_null(exited, "exit_signal");
        end_run(run, SIGSEGV, VERDICT_CRASHED);
        signalled = run_row(run);
        check_null(signalled, "exit_status");
        check_text(signalled, "exit_signal", "SEGV");
}

static void a_nested_run_names_the_outer_one_and_lies_in_its_group(void **state) {
        _cleanup_(run_freep) Run *outer = full_run(), *inner = full_run();
        _cleanup_(json_decrefp) json_t *row = NULL;
        _cleanup_(freep) char *path = NULL;

        inner->outer = outer;
        row = run_row(inner);
        check_text(row, "outer_run_id", outer->id.text);
        path = text_printf("/sys/fs/cgroup/scidex/%s/%s", outer->id.text, inner->id.text);
        check_text(row, "group", path);
}

static void limits_that_are_not_kept_are_named(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *all = NULL, *sampled = NULL, *none = record_not_enforced(run), *expected = NULL,
                                       *but_memory = NULL;

        assert_int_equal(json_array_size(none), 0);
        run->kept = (LimitsKept){ 0 };
        all = record_not_enforced(run);
        expected = json_pack("[s,s,s,s,s]", "memory", "memory_high", "swap", "pids", "cpu");
        assert_true(json_equal(all, expected));
        run->enforcement = ENFORCEMENT_SAMPLED;
        sampled = record_not_enforced(run);
        but_memory = json_pack("[s,s,s,s]", "memory_high", "swap", "pids", "cpu");
        assert_true(json_equal(sampled, but_memory));
}

static void limits_never_asked_for_are_not_missed(void **state) {
        _cleanup_(run_freep) Run *run = asked_run();
        _cleanup_(json_decrefp) json_t *list = NULL;

        run->request.memory_bytes = run->request.pids = UINT64_MAX;
        list = record_not_enforced(run);
        assert_int_equal(json_array_size(list), 0);
}

static void sampled_memory_is_what_was_sampled(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *row = NULL, *event = NULL;

        run->enforcement = ENFORCEMENT_SAMPLED;
        run->watch.private_bytes = 600 * MIB;
        run->watch.rss_bytes = 700 * MIB;
        run->watch.peak_bytes = 640 * MIB;
        row = run_row(run);
        assert_int_equal(integer(row, "memory_bytes"), 600 * MIB);
        assert_int_equal(integer(row, "memory_peak_bytes"), 640 * MIB);
        check_text(row, "enforcement", "sampled");
        kill_run(run, VERDICT_MEMORY, false);
        run->kill.private_bytes = 620 * MIB;
        run->kill.shared_bytes = 700 * MIB;
        event = event_row(run);
        assert_int_equal(integer(event, "overshoot_bytes"), (640 - 512) * MIB);
        assert_int_equal(integer(event, "memory_bytes"), 620 * MIB);
        assert_int_equal(integer(json_object_get(event, "evidence"), "pss_bytes"), 620 * MIB);
        assert_int_equal(integer(json_object_get(event, "evidence"), "rss_sum_bytes"), 700 * MIB);
}

static void a_kill_of_ours_tells_its_signals_and_times(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *event = NULL;
        const json_t *signals;

        run->request.term_signal = SIGINT;
        kill_run(run, VERDICT_TIMEOUT, false);
        event = event_row(run);
        check_text(event, "reason", "timeout");
        check_text(event, "decided_at", "2025-06-15T15:08:20.000000Z");
        check_text(event, "term_at", "2025-06-15T15:08:20.000000Z");
        check_text(event, "kill_at", "2025-06-15T15:08:30.000000Z");
        check_text(event, "empty_at", "2025-06-15T15:08:31.000000Z");
        signals = json_object_get(event, "signals");
        assert_int_equal(json_array_size(signals), 2);
        check_text(json_array_get(signals, 0), "signal", "INT");
        assert_int_equal(integer(json_array_get(signals, 0), "processes"), 3);
        check_text(json_array_get(signals, 1), "signal", "KILL");
        check_null(event, "overshoot_bytes");
}

static void after_a_kernel_kill_anonymous_memory_is_derived_and_said_to_be(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *event = NULL;

        run->usage.memory_peak_bytes = 514 * MIB; /* a little above the limit, as the kernel has it */
        run->usage.memory_bytes = run->usage.file_bytes = 12 * MIB;
        run->usage.shmem_bytes = 4 * MIB;
        run->usage.anon_bytes = 0; /* gone by now */
        kill_run(run, VERDICT_MEMORY, true);
        event = event_row(run);
        assert_int_equal(integer(event, "anon_bytes"), 502 * MIB);
        assert_int_equal(integer(event, "file_bytes"), 12 * MIB);
        assert_int_equal(integer(event, "shmem_bytes"), 4 * MIB);
        assert_int_equal(integer(event, "memory_bytes"), 512 * MIB);
        assert_true(json_is_true(json_object_get(json_object_get(event, "evidence"), "anon_derived_from_peak")));
        assert_int_equal(json_array_size(json_object_get(event, "signals")), 0);
        check_null(event, "term_at");
        check_null(event, "kill_at");
}

static void nothing_is_derived_without_a_peak(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *event = NULL;

        run->usage.memory_peak_bytes = USAGE_UNKNOWN;
        kill_run(run, VERDICT_MEMORY, true);
        event = event_row(run);
        assert_int_equal(integer(event, "anon_bytes"), run->usage.anon_bytes);
        assert_null(json_object_get(json_object_get(event, "evidence"), "anon_derived_from_peak"));
}

static void the_list_of_processes_is_capped_and_the_count_true(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *event = NULL;

        kill_run(run, VERDICT_TIMEOUT, false);
        json_array_clear(run->kill.processes.list);
        for (int i = 0; i < KILL_PROCESSES_MAX; i++)
                assert_int_equal(json_array_append_new(run->kill.processes.list, json_pack("{s:i}", "pid", i)), 0);
        run->kill.processes.count = 1000;
        event = event_row(run);
        assert_int_equal(json_array_size(json_object_get(event, "processes")), KILL_PROCESSES_MAX);
        assert_int_equal(integer(event, "processes_killed"), 1000);
}

static void processes_that_nobody_could_look_at_are_not_counted_as_none(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *event = NULL;

        kill_run(run, VERDICT_MEMORY, true);
        process_list_deinit(&run->kill.processes);
        event = event_row(run);
        check_null(event, "processes_killed");
        assert_int_equal(json_array_size(json_object_get(event, "processes")), 0);
}

static void the_launcher_is_told_the_event_without_its_lists(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *event = NULL, *brief = NULL;

        kill_run(run, VERDICT_TIMEOUT, false);
        event = event_row(run);
        brief = record_event_brief(event);
        assert_null(json_object_get(brief, "processes"));
        assert_null(json_object_get(brief, "timeline"));
        assert_null(json_object_get(brief, "signals"));
        check_text(brief, "event_id", run->kill.event_id.text);
        assert_int_equal(integer(brief, "processes_killed"), 1);
        assert_non_null(json_object_get(event, "processes")); /* the event itself is whole */
}

static void bytes_that_are_no_utf8_do_not_lose_the_row(void **state) {
        _cleanup_(run_freep) Run *run = full_run();
        _cleanup_(json_decrefp) json_t *row = NULL;

        (void)snprintf(run->comm, sizeof(run->comm), "%s", "\xff\xfe");
        row = run_row(run);
        check_text(row, "comm", "\\xff\\xfe");
}

static void of_a_command_line_as_much_is_kept_as_the_admin_wants(void **state) {
        static const struct {
                RecordCmdline how;
                const char *cmdline;
        } cases[] = { { RECORD_CMDLINE_FULL, "python3 fit.py" }, { RECORD_CMDLINE_ARGV0, "python3" },
                { RECORD_CMDLINE_NO, NULL } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                RecordHost kept = host;
                _cleanup_(run_freep) Run *run = full_run();
                _cleanup_(json_decrefp) json_t *o = NULL;

                kept.cmdline = cases[i].how;
                o = record_run(&kept, run, BOOT);
                if (cases[i].cmdline) {
                        assert_string_equal(json_string_value(json_object_get(o, "cmdline")), cases[i].cmdline);
                        assert_int_equal(json_integer_value(json_object_get(o, "cmdline_length")), 14);
                } else {
                        assert_true(json_is_null(json_object_get(o, "cmdline")));
                        assert_true(json_is_null(json_object_get(o, "cmdline_length")));
                }
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_run_has_the_members_of_the_protocol_and_no_others),
                cmocka_unit_test(an_event_has_the_members_of_the_protocol_and_no_others),
                cmocka_unit_test(what_was_asked_stands_in_the_row),
                cmocka_unit_test(of_a_command_line_as_much_is_kept_as_the_admin_wants),
                cmocka_unit_test(every_figure_of_the_kernel_stands_under_its_name),
                cmocka_unit_test(what_is_not_known_is_null),
                cmocka_unit_test(no_limit_is_null),
                cmocka_unit_test(a_living_run_lasts_until_now_an_ended_one_until_its_end),
                cmocka_unit_test(a_run_has_an_exit_status_or_a_signal),
                cmocka_unit_test(a_nested_run_names_the_outer_one_and_lies_in_its_group),
                cmocka_unit_test(limits_that_are_not_kept_are_named),
                cmocka_unit_test(limits_never_asked_for_are_not_missed),
                cmocka_unit_test(sampled_memory_is_what_was_sampled),
                cmocka_unit_test(a_kill_of_ours_tells_its_signals_and_times),
                cmocka_unit_test(after_a_kernel_kill_anonymous_memory_is_derived_and_said_to_be),
                cmocka_unit_test(nothing_is_derived_without_a_peak),
                cmocka_unit_test(the_list_of_processes_is_capped_and_the_count_true),
                cmocka_unit_test(processes_that_nobody_could_look_at_are_not_counted_as_none),
                cmocka_unit_test(the_launcher_is_told_the_event_without_its_lists),
                cmocka_unit_test(bytes_that_are_no_utf8_do_not_lose_the_row),
        };

        return cmocka_run_group_tests_name("supervise-record", tests, NULL, NULL);
}
