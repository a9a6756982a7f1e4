/*
 * decide() as a table of situations.
 *
 * In the tables a limit of 0 stands for none and phase 0 for running, so that a line shows what matters and nothing
 * else.
 */
#include "supervise/decide.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define NOW               (UINT64_C(500) * USEC_PER_SEC)
#define GIB               (UINT64_C(1) << 30)
#define NEVER             USEC_INFINITY
#define WAIT_EXIT(status) ((status) << 8) /* as waitpid(2) has it */

typedef struct Case {
        const char *sentence;
        Situation situation;
        Decision expected;
} Case;

static Situation settle(Situation s) {
        s.phase = s.phase == PHASE_STARTING ? PHASE_RUNNING : s.phase;
        s.now_usec = s.now_usec ? s.now_usec : NOW;
        s.deadline_usec = s.deadline_usec ? s.deadline_usec : NEVER;
        s.cpu_limit_usec = s.cpu_limit_usec ? s.cpu_limit_usec : NEVER;
        s.memory_limit_bytes = s.memory_limit_bytes ? s.memory_limit_bytes : UINT64_MAX;
        return s;
}

static void check_decision(const char *sentence, Situation situation, Decision expected) {
        Decision d = decide(&situation);
        bool same_detail =
                d.detail == expected.detail || (d.detail && expected.detail && strcmp(d.detail, expected.detail) == 0);

        if (d.action != expected.action || d.reason != expected.reason || !same_detail)
                fail_msg("%s: action %d, reason %s, detail %s", sentence, d.action, verdict_to_string(d.reason),
                        d.detail ? d.detail : "none");
}

static void check_cases(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++)
                check_decision(cases[i].sentence, settle(cases[i].situation), cases[i].expected);
}

static void each_cause_has_its_verdict_and_action(void **state) {
        static const Case cases[] = {
                { "nothing is wrong", { 0 }, { ACTION_NONE, VERDICT_NONE, NULL } },
                { "its own limit", { .own_oom = 1 }, { ACTION_KERNEL, VERDICT_MEMORY, NULL } },
                { "an OOM kill of another's making", { .local_oom_kill = 3 },
                        { ACTION_KERNEL, VERDICT_HOST_OOM, NULL } },
                { "asked to end", { .cancel_asked = true, .cancel_detail = "by uid 7" },
                        { ACTION_TERM, VERDICT_CANCELLED, "by uid 7" } },
                { "no launcher", { .launcher_gone = true }, { ACTION_TERM, VERDICT_ORPHANED, "the launcher is gone" } },
                { "out of time", { .deadline_usec = NOW - 1 }, { ACTION_TERM, VERDICT_TIMEOUT, NULL } },
                { "out of CPU time", { .cpu_limit_usec = 7, .cpu_used_usec = 8 },
                        { ACTION_TERM, VERDICT_CPU_TIME, NULL } },
                { "sampled above the limit", { .memory_limit_bytes = GIB, .private_bytes = GIB + 4096 },
                        { ACTION_TERM, VERDICT_MEMORY, "sampled" } },
                { "sampled far above the limit", { .memory_limit_bytes = GIB, .private_bytes = 2 * GIB },
                        { ACTION_KILL, VERDICT_MEMORY, "sampled" } },
                { "thrashing",
                        { .memory_limit_bytes = GIB, .memory_bytes = GIB, .stall_usec = 55, .stall_window_usec = 60 },
                        { ACTION_TERM, VERDICT_MEMORY, "thrashing" } },
                { "leftovers", { .main_exited = true }, { ACTION_LEFTOVERS, VERDICT_ORPHAN, NULL } },
        };

        check_cases(cases, ELEMENTSOF(cases));
}

static void an_ending_outer_run_takes_the_inner_along(void **state) {
        for (Verdict outer = VERDICT_COMPLETED; outer < VERDICT_MAX; outer++) {
                Situation s = settle((Situation){ .outer_reason = outer, .outer_detail = "outer 7c1e90ab: x" });
                bool memory = outer == VERDICT_MEMORY || outer == VERDICT_HOST_OOM;

                check_decision(verdict_to_string(outer), s,
                        (Decision){ ACTION_OUTER, memory ? VERDICT_HOST_OOM : VERDICT_CANCELLED, "outer 7c1e90ab: x" });
        }
}

/* Everything is wrong at once; then the foremost cause is taken away, and the next one speaks. */
static void causes_speak_in_order(void **state) {
        Situation s = { .phase = PHASE_RUNNING,
                .now_usec = NOW,
                .deadline_usec = NOW - 1,
                .cpu_used_usec = 9,
                .cpu_limit_usec = 8,
                .own_oom = 1,
                .local_oom_kill = 1,
                .private_bytes = 2 * GIB,
                .memory_limit_bytes = GIB,
                .stall_usec = 60,
                .stall_window_usec = 60,
                .memory_bytes = GIB,
                .main_exited = true,
                .launcher_gone = true,
                .cancel_asked = true,
                .outer_reason = VERDICT_TIMEOUT };

        check_decision("own oom first", s, (Decision){ ACTION_KERNEL, VERDICT_MEMORY, NULL });
        s.own_oom = 0;
        check_decision("then the outer run", s, (Decision){ ACTION_OUTER, VERDICT_CANCELLED, NULL });
        s.outer_reason = VERDICT_NONE;
        check_decision("then a local oom kill", s, (Decision){ ACTION_KERNEL, VERDICT_HOST_OOM, NULL });
        s.local_oom_kill = 0;
        check_decision("then leftovers", s, (Decision){ ACTION_LEFTOVERS, VERDICT_ORPHAN, NULL });
        s.main_exited = false;
        check_decision("then who asked", s, (Decision){ ACTION_TERM, VERDICT_CANCELLED, NULL });
        s.cancel_asked = false;
        check_decision("then the launcher", s, (Decision){ ACTION_TERM, VERDICT_ORPHANED, "the launcher is gone" });
        s.launcher_gone = false;
        check_decision("then the clock", s, (Decision){ ACTION_TERM, VERDICT_TIMEOUT, NULL });
        s.deadline_usec = NOW + 1;
        check_decision("then CPU time", s, (Decision){ ACTION_TERM, VERDICT_CPU_TIME, NULL });
        s.cpu_used_usec = 7;
        check_decision("then sampled memory", s, (Decision){ ACTION_KILL, VERDICT_MEMORY, "sampled" });
        s.private_bytes = GIB;
        check_decision("then thrashing", s, (Decision){ ACTION_TERM, VERDICT_MEMORY, "thrashing" });
        s.stall_usec = 0;
        check_decision("then nothing", s, (Decision){ ACTION_NONE, VERDICT_NONE, NULL });
}

static void limits_are_exact_to_the_unit(void **state) {
        static const Case cases[] = {
                { "1 us before the deadline", { .deadline_usec = NOW + 1 }, { ACTION_NONE, VERDICT_NONE, NULL } },
                { "at the deadline", { .deadline_usec = NOW }, { ACTION_TERM, VERDICT_TIMEOUT, NULL } },
                { "1 us of CPU left", { .cpu_limit_usec = 1000, .cpu_used_usec = 999 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "no CPU time left", { .cpu_limit_usec = 1000, .cpu_used_usec = 1000 },
                        { ACTION_TERM, VERDICT_CPU_TIME, NULL } },
                { "at the memory limit", { .memory_limit_bytes = GIB, .private_bytes = GIB },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "a byte above it", { .memory_limit_bytes = GIB, .private_bytes = GIB + 1 },
                        { ACTION_TERM, VERDICT_MEMORY, "sampled" } },
                { "at 1.25 times the limit", { .memory_limit_bytes = GIB, .private_bytes = GIB + GIB / 4 },
                        { ACTION_TERM, VERDICT_MEMORY, "sampled" } },
                { "a byte above that", { .memory_limit_bytes = GIB, .private_bytes = GIB + GIB / 4 + 1 },
                        { ACTION_KILL, VERDICT_MEMORY, "sampled" } },
                { "a page as limit, one byte more", { .memory_limit_bytes = 4096, .private_bytes = 4097 },
                        { ACTION_TERM, VERDICT_MEMORY, "sampled" } },
                { "a page as limit, 1.25 times and a byte", { .memory_limit_bytes = 4096, .private_bytes = 5121 },
                        { ACTION_KILL, VERDICT_MEMORY, "sampled" } },
                { "sampled, nobody looked yet", { .memory_limit_bytes = GIB, .private_bytes = 0 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
        };

        check_cases(cases, ELEMENTSOF(cases));
}

#define WINDOW (60 * USEC_PER_SEC)

static void thrashing_needs_stall_and_a_full_group(void **state) {
        static const Case cases[] = {
                { "80 % of the window, at 95 % of the limit",
                        { .stall_usec = 48 * USEC_PER_SEC,
                                .stall_window_usec = WINDOW,
                                .memory_bytes = 950,
                                .memory_limit_bytes = 1000 },
                        { ACTION_TERM, VERDICT_MEMORY, "thrashing" } },
                { "1 us less of stall",
                        { .stall_usec = 48 * USEC_PER_SEC - 1,
                                .stall_window_usec = WINDOW,
                                .memory_bytes = 1000,
                                .memory_limit_bytes = 1000 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "a byte below 95 %",
                        { .stall_usec = WINDOW,
                                .stall_window_usec = WINDOW,
                                .memory_bytes = 949,
                                .memory_limit_bytes = 1000 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "a limit that is no multiple of 100, a byte below 95 %",
                        { .stall_usec = WINDOW,
                                .stall_window_usec = WINDOW,
                                .memory_bytes = 3890,
                                .memory_limit_bytes = 4096 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "not measured", { .stall_usec = WINDOW, .memory_bytes = 1000, .memory_limit_bytes = 1000 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "no limit to thrash at",
                        { .stall_usec = WINDOW, .stall_window_usec = WINDOW, .memory_bytes = UINT64_MAX - 1 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
        };

        check_cases(cases, ELEMENTSOF(cases));
}

static void infinity_is_never_reached(void **state) {
        static const Case cases[] = {
                { "the end of time", { .now_usec = UINT64_MAX - 1 }, { ACTION_NONE, VERDICT_NONE, NULL } },
                { "all CPU time there is", { .cpu_used_usec = UINT64_MAX }, { ACTION_NONE, VERDICT_NONE, NULL } },
                { "all memory there is", { .private_bytes = UINT64_MAX }, { ACTION_NONE, VERDICT_NONE, NULL } },
        };

        check_cases(cases, ELEMENTSOF(cases));
}

static void figures_near_the_end_of_the_range_do_not_overflow(void **state) {
        static const Case cases[] = {
                { "a small use of a huge limit", { .memory_limit_bytes = UINT64_MAX - 1, .private_bytes = GIB },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "half of a huge limit", { .memory_limit_bytes = UINT64_MAX - 1, .private_bytes = UINT64_MAX / 2 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "a huge limit, reached", { .memory_limit_bytes = UINT64_MAX - 1, .private_bytes = UINT64_MAX - 1 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "a huge limit, a byte above", { .memory_limit_bytes = UINT64_MAX - 1, .private_bytes = UINT64_MAX },
                        { ACTION_TERM, VERDICT_MEMORY, "sampled" } },
                { "a huge use of a small limit", { .memory_limit_bytes = GIB, .private_bytes = UINT64_MAX },
                        { ACTION_KILL, VERDICT_MEMORY, "sampled" } },
                { "a use whose hundredfold wraps to little",
                        { .memory_limit_bytes = GIB, .private_bytes = UINT64_MAX / 100 + 1 },
                        { ACTION_KILL, VERDICT_MEMORY, "sampled" } },
                { "a limit whose 1.25 fold is above the range",
                        { .memory_limit_bytes = UINT64_MAX / 5 * 4 + 100, .private_bytes = UINT64_MAX },
                        { ACTION_TERM, VERDICT_MEMORY, "sampled" } },
                { "a window that long",
                        { .memory_limit_bytes = GIB,
                                .memory_bytes = GIB,
                                .stall_usec = 1,
                                .stall_window_usec = UINT64_MAX },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
        };

        check_cases(cases, ELEMENTSOF(cases));
}

static void a_process_not_yet_reported_is_judged_like_a_running_one(void **state) {
        Situation s = settle((Situation){ .deadline_usec = NOW });

        s.phase = PHASE_STARTING;
        check_decision("starting", s, (Decision){ ACTION_TERM, VERDICT_TIMEOUT, NULL });
}

static void the_first_decision_stays(void **state) {
        static const Phase phases[] = { PHASE_GRACE, PHASE_KILLING, PHASE_ENDING, PHASE_ENDED };

        for (size_t i = 0; i < ELEMENTSOF(phases); i++) {
                Situation s = settle((Situation){ .phase = phases[i],
                        .grace_end_usec = NOW + 1,
                        .deadline_usec = NOW,
                        .own_oom = 1,
                        .local_oom_kill = 1,
                        .cancel_asked = true,
                        .launcher_gone = true,
                        .main_exited = true,
                        .outer_reason = VERDICT_TIMEOUT });

                check_decision(phase_to_string(phases[i]), s, (Decision){ ACTION_NONE, VERDICT_NONE, NULL });
        }
}

static void grace_ends_at_its_time_or_far_above_the_limit(void **state) {
        static const Case cases[] = {
                { "1 us of grace", { .phase = PHASE_GRACE, .grace_end_usec = NOW + 1 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "no grace left", { .phase = PHASE_GRACE, .grace_end_usec = NOW },
                        { ACTION_KILL, VERDICT_NONE, NULL } },
                { "above the limit only",
                        { .phase = PHASE_GRACE,
                                .grace_end_usec = NEVER,
                                .memory_limit_bytes = GIB,
                                .private_bytes = GIB + GIB / 4 },
                        { ACTION_NONE, VERDICT_NONE, NULL } },
                { "far above it",
                        { .phase = PHASE_GRACE,
                                .grace_end_usec = NEVER,
                                .memory_limit_bytes = GIB,
                                .private_bytes = GIB + GIB / 4 + 1 },
                        { ACTION_KILL, VERDICT_NONE, NULL } },
        };

        check_cases(cases, ELEMENTSOF(cases));
}

static void the_next_decision_is_at_the_nearest_limit(void **state) {
        Situation s = settle((Situation){ 0 });

        assert_int_equal(decide_next_usec(&s, 2), USEC_INFINITY);
        s.deadline_usec = NOW + 100 * USEC_PER_SEC;
        assert_int_equal(decide_next_usec(&s, 2), NOW + 100 * USEC_PER_SEC);
        s.cpu_limit_usec = 60 * USEC_PER_SEC;
        s.cpu_used_usec = 20 * USEC_PER_SEC;
        assert_int_equal(decide_next_usec(&s, 2), NOW + 20 * USEC_PER_SEC);
        assert_int_equal(decide_next_usec(&s, 0), NOW + 40 * USEC_PER_SEC);
        s.deadline_usec = NOW + 1;
        assert_int_equal(decide_next_usec(&s, 2), NOW + 1);
        s.main_exited = true; /* leftovers have no limits: they are waited for, or ended */
        assert_int_equal(decide_next_usec(&s, 2), USEC_INFINITY);
}

static void a_run_near_its_cpu_limit_is_not_looked_at_without_end(void **state) {
        Situation s = settle((Situation){ .cpu_limit_usec = USEC_PER_SEC, .cpu_used_usec = USEC_PER_SEC - 1 });

        assert_int_equal(decide_next_usec(&s, 64), NOW + 10 * USEC_PER_MSEC);
        s.cpu_used_usec = 2 * USEC_PER_SEC;
        assert_int_equal(decide_next_usec(&s, 64), NOW + 10 * USEC_PER_MSEC);
        s.now_usec = UINT64_MAX - 1;
        assert_int_equal(decide_next_usec(&s, 1), USEC_INFINITY);
}

static void after_the_term_signal_only_the_grace_counts(void **state) {
        Situation s = settle((Situation){ .phase = PHASE_GRACE, .deadline_usec = NOW + 1, .grace_end_usec = NOW + 9 });

        assert_int_equal(decide_next_usec(&s, 1), NOW + 9);
        for (s.phase = PHASE_KILLING; s.phase < PHASE_MAX; s.phase++)
                assert_int_equal(decide_next_usec(&s, 1), USEC_INFINITY);
}

static void phases_have_the_names_of_the_protocol(void **state) {
        static const char *const names[] = { "starting", "running", "grace", "killing", "ending", "ended" };

        for (Phase p = PHASE_STARTING; p < PHASE_MAX; p++)
                assert_string_equal(phase_to_string(p), names[p]);
}

typedef struct EndCase {
        const char *sentence;
        Ending ending;
        Verdict verdict;
        const char *detail; /* a part of it; NULL: none */
} EndCase;

static void check_endings(const EndCase *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const char *detail = "not set";
                Verdict v = decide_verdict(&cases[i].ending, &detail);

                if (v != cases[i].verdict || !detail != !cases[i].detail ||
                        (detail && !strstr(detail, cases[i].detail)))
                        fail_msg(
                                "%s: %s, detail %s", cases[i].sentence, verdict_to_string(v), detail ? detail : "none");
        }
}

static void a_run_that_ends_by_itself_keeps_its_own_verdict(void **state) {
        static const EndCase cases[] = {
                { "exit 0", { .status_known = true }, VERDICT_COMPLETED, NULL },
                { "exit 1", { .status_known = true, .wait_status = WAIT_EXIT(1) }, VERDICT_FAILED, NULL },
                { "exit 137 is no signal", { .status_known = true, .wait_status = WAIT_EXIT(137) }, VERDICT_FAILED,
                        NULL },
                { "SEGV with a core", { .status_known = true, .wait_status = SIGSEGV | 0x80 }, VERDICT_CRASHED, NULL },
                { "KILL from outside", { .status_known = true, .wait_status = SIGKILL }, VERDICT_CRASHED, NULL },
                { "leftovers do not change it", { .reason = VERDICT_ORPHAN, .status_known = true }, VERDICT_COMPLETED,
                        NULL },
                { "leftovers of a failed one",
                        { .reason = VERDICT_ORPHAN, .status_known = true, .wait_status = WAIT_EXIT(3) }, VERDICT_FAILED,
                        NULL },
                { "a registered one, of whom nobody tells", { .registered = true }, VERDICT_LOST,
                        "only its parent knows" },
                { "a registered one whose status was to be had",
                        { .registered = true, .status_known = true, .wait_status = WAIT_EXIT(3) }, VERDICT_FAILED,
                        NULL },
                { "nobody collected the status", { .launcher_gone = true }, VERDICT_ORPHANED, "nobody collected" },
        };

        check_endings(cases, ELEMENTSOF(cases));
}

static void the_reason_of_a_kill_is_the_verdict(void **state) {
        static const Verdict reasons[] = { VERDICT_TIMEOUT, VERDICT_CPU_TIME, VERDICT_MEMORY, VERDICT_HOST_OOM,
                VERDICT_ORPHANED, VERDICT_CANCELLED };

        for (size_t i = 0; i < ELEMENTSOF(reasons); i++) {
                EndCase exits = { "exited in its grace", { .reason = reasons[i], .status_known = true }, reasons[i],
                        NULL };
                EndCase unknown = { "status unknown", { .reason = reasons[i], .own_oom = 1 }, reasons[i], NULL };

                check_endings(&exits, 1);
                check_endings(&unknown, 1);
        }
}

static void a_signal_through_the_launcher_cancels_only_who_died_of_it(void **state) {
        static const EndCase cases[] = {
                { "died of the INT", { .status_known = true, .wait_status = SIGINT, .forwarded = SIGINT },
                        VERDICT_CANCELLED, "by a signal through scidex-run" },
                { "died of another one", { .status_known = true, .wait_status = SIGSEGV, .forwarded = SIGINT },
                        VERDICT_CRASHED, NULL },
                { "nothing was passed on", { .status_known = true, .wait_status = SIGINT }, VERDICT_CRASHED, NULL },
                { "exited 130 by itself", { .status_known = true, .wait_status = WAIT_EXIT(130), .forwarded = SIGINT },
                        VERDICT_FAILED, NULL },
                { "exited 0 after it", { .status_known = true, .forwarded = SIGTERM }, VERDICT_COMPLETED, NULL },
        };

        check_endings(cases, ELEMENTSOF(cases));
}

static void only_the_own_oom_counter_proves_the_own_limit(void **state) {
        static const EndCase cases[] = {
                { "own oom", { .status_known = true, .wait_status = SIGKILL, .own_oom = 1, .local_oom_kill = 4 },
                        VERDICT_MEMORY, NULL },
                { "max grew, own oom did not, killed",
                        { .status_known = true, .wait_status = SIGKILL, .max_events = 200, .local_oom_kill = 1 },
                        VERDICT_HOST_OOM, NULL },
                { "max grew, killed from outside", { .status_known = true, .wait_status = SIGKILL, .max_events = 200 },
                        VERDICT_CRASHED, NULL },
                { "max grew, completed", { .status_known = true, .max_events = 200 }, VERDICT_COMPLETED, NULL },
                { "oom before a forwarded signal",
                        { .status_known = true, .wait_status = SIGTERM, .forwarded = SIGTERM, .own_oom = 1 },
                        VERDICT_MEMORY, NULL },
        };

        check_endings(cases, ELEMENTSOF(cases));
}

static void what_the_kernel_killed_among_the_leftovers_is_not_the_runs_verdict(void **state) {
        static const EndCase cases[] = {
                { "own limit, after it had completed",
                        { .reason = VERDICT_ORPHAN, .status_known = true, .own_oom = 1, .local_oom_kill = 1 },
                        VERDICT_COMPLETED, NULL },
                { "another's, after it had failed",
                        { .reason = VERDICT_ORPHAN,
                                .status_known = true,
                                .wait_status = WAIT_EXIT(3),
                                .local_oom_kill = 1 },
                        VERDICT_FAILED, NULL },
                { "it died of SIGKILL, and the counter came a moment later",
                        { .reason = VERDICT_ORPHAN, .status_known = true, .wait_status = SIGKILL, .own_oom = 1 },
                        VERDICT_MEMORY, NULL },
                { "nobody knows how it ended", { .reason = VERDICT_ORPHAN, .own_oom = 1 }, VERDICT_MEMORY, NULL },
        };

        check_endings(cases, ELEMENTSOF(cases));
}

static void a_command_that_can_not_be_started_failed_unless_memory_was_short(void **state) {
        static const EndCase cases[] = {
                { "not found", { .status_known = true, .wait_status = WAIT_EXIT(127), .exec_errno = ENOENT },
                        VERDICT_FAILED, "could not be started" },
                { "the limit is too small",
                        { .status_known = true, .wait_status = WAIT_EXIT(126), .exec_errno = ENOMEM, .max_events = 3 },
                        VERDICT_MEMORY, "too small" },
                { "no memory, but not for the limit",
                        { .status_known = true, .wait_status = WAIT_EXIT(126), .exec_errno = ENOMEM }, VERDICT_FAILED,
                        "could not be started" },
                { "killed in exec by the own limit",
                        { .status_known = true, .wait_status = SIGKILL, .own_oom = 1, .max_events = 3 }, VERDICT_MEMORY,
                        NULL },
        };

        check_endings(cases, ELEMENTSOF(cases));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_cause_has_its_verdict_and_action),
                cmocka_unit_test(an_ending_outer_run_takes_the_inner_along),
                cmocka_unit_test(causes_speak_in_order),
                cmocka_unit_test(limits_are_exact_to_the_unit),
                cmocka_unit_test(thrashing_needs_stall_and_a_full_group),
                cmocka_unit_test(infinity_is_never_reached),
                cmocka_unit_test(figures_near_the_end_of_the_range_do_not_overflow),
                cmocka_unit_test(a_process_not_yet_reported_is_judged_like_a_running_one),
                cmocka_unit_test(the_first_decision_stays),
                cmocka_unit_test(grace_ends_at_its_time_or_far_above_the_limit),
                cmocka_unit_test(the_next_decision_is_at_the_nearest_limit),
                cmocka_unit_test(a_run_near_its_cpu_limit_is_not_looked_at_without_end),
                cmocka_unit_test(after_the_term_signal_only_the_grace_counts),
                cmocka_unit_test(phases_have_the_names_of_the_protocol),
                cmocka_unit_test(a_run_that_ends_by_itself_keeps_its_own_verdict),
                cmocka_unit_test(the_reason_of_a_kill_is_the_verdict),
                cmocka_unit_test(a_signal_through_the_launcher_cancels_only_who_died_of_it),
                cmocka_unit_test(only_the_own_oom_counter_proves_the_own_limit),
                cmocka_unit_test(what_the_kernel_killed_among_the_leftovers_is_not_the_runs_verdict),
                cmocka_unit_test(a_command_that_can_not_be_started_failed_unless_memory_was_short),
        };

        return cmocka_run_group_tests_name("supervise-decide", tests, NULL, NULL);
}
