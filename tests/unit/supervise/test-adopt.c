/*
 * Save and load of a run in the xattrs of a scratch group on this host's cgroup2 mount, and what a crash between two
 * writes leaves.
 */
#include "supervise/adopt.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "tests/unit/cgroup/scratch.h"
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define BOOT_ID "5d5f0a52-7a24-4a7e-9f40-6c8f7a5a6b01"
#define AT      (UINT64_C(1750000000) * USEC_PER_SEC)
#define BOOT    (UINT64_C(5000) * USEC_PER_SEC)

/* A run whose group lies in the scratch group, everything set. */
static Run *made_run(const Scratch *scratch) {
        char *argv[] = { (char *)"python3", (char *)"fit.py", NULL };
        RunRequest request;
        Run *run = NULL;

        request_init(&request);
        request.analysis_id = strdup("SDA-42");
        request.memory_bytes = 1 << 28;
        request.timeout_usec = 90 * USEC_PER_SEC;
        request.labels = json_pack("{s:s}", "project", "exoplanets");
        assert_int_equal(request_set_command(&request, argv), 0);
        assert_int_equal(run_new(&request, AT, BOOT, &run), 0);
        assert_int_equal(group_create(scratch->group.fd, run->id.text, &run->group), 0);
        run->uid = 1000;
        run->launcher_pid = 76;
        run->launcher_start_ticks = 12345;
        run->enforcement = ENFORCEMENT_SAMPLED;
        run->kept = (LimitsKept){ .memory = true, .pids = true };
        run->pid = 77;
        run->start_ticks = 12399;
        (void)snprintf(run->comm, sizeof(run->comm), "%s", "python3");
        return run;
}

static void begin_kill(Run *run, uint64_t kill_at, bool by_kernel) {
        run->kill = (Kill){ .event_id = uuid_new(AT),
                .seq = 1,
                .reason = VERDICT_CPU_TIME,
                .detail = strdup("why"),
                .decided_at = AT + 1,
                .term_at = AT + 2,
                .kill_at = kill_at,
                .grace_end_usec = BOOT + 3,
                .term_processes = 4,
                .by_kernel = by_kernel,
                .processes = { json_pack("[{s:i}]", "pid", 77), 5 } };
}

static int loaded(const Scratch *scratch, const Run *saved, Run **ret) {
        return adopt_load(scratch->group.fd, saved->id.text, BOOT_ID, ret);
}

static void put(const Run *run, const char *name, const char *text) {
        if (xattr_write(run->group.fd, name, text) == -EOPNOTSUPP) {
                print_message("skipped: no user.* attributes on this host's groups\n");
                skip();
        }
}

static void a_saved_run_comes_back_as_it_was(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        put(saved, "user.scidex.test", "");
        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        assert_int_equal(adopt_save_main(saved), 0);
        assert_int_equal(adopt_save_kill(saved), 0);
        assert_int_equal(loaded(scratch, saved, &back), 0);
        assert_string_equal(back->id.text, saved->id.text);
        assert_string_equal(back->group.name, saved->id.text);
        assert_true(run_is_grouped(back));
        assert_string_equal(back->request.analysis_id, "SDA-42");
        assert_string_equal(back->request.cmdline, "python3 fit.py");
        assert_true(json_equal(back->request.labels, saved->request.labels));
        assert_int_equal(back->request.memory_bytes, 1 << 28);
        assert_int_equal(back->launched_at, AT);
        assert_int_equal(back->launched_usec, BOOT);
        assert_int_equal(back->deadline_usec, BOOT + 90 * USEC_PER_SEC);
        assert_int_equal(back->uid, 1000);
        assert_int_equal(back->launcher_pid, 76);
        assert_int_equal(back->launcher_start_ticks, 12345);
        assert_int_equal(back->enforcement, ENFORCEMENT_SAMPLED);
        assert_true(back->kept.memory && back->kept.pids && !back->kept.swap);
        assert_int_equal(back->pid, 77);
        assert_int_equal(back->start_ticks, 12399);
        assert_string_equal(back->comm, "python3");
        assert_int_equal(back->phase, PHASE_RUNNING);
        assert_false(run_has_kill(back));
}

static void a_registered_run_comes_back_as_one(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL, *plain = NULL;

        put(saved, "user.scidex.test", "");
        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        assert_int_equal(loaded(scratch, saved, &plain), 0);
        assert_false(plain->registered || plain->letting_go);
        assert_null(plain->origin);
        saved->registered = saved->letting_go = true;
        saved->registered_by = 7;
        saved->origin = strdup("/user.slice/a b");
        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        assert_int_equal(loaded(scratch, saved, &back), 0);
        assert_true(back->registered && back->letting_go);
        assert_int_equal(back->registered_by, 7);
        assert_string_equal(back->origin, "/user.slice/a b");
}

static void a_run_without_end_has_none_after_the_restart(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        put(saved, "user.scidex.test", "");
        saved->request.timeout_usec = USEC_INFINITY;
        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        assert_int_equal(loaded(scratch, saved, &back), 0);
        assert_int_equal(back->deadline_usec, USEC_INFINITY);
}

static void a_process_never_reported_is_still_starting(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        put(saved, "user.scidex.test", "");
        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        assert_int_equal(loaded(scratch, saved, &back), 0);
        assert_int_equal(back->phase, PHASE_STARTING);
        assert_int_equal(back->pid, 0);
}

static void check_phase(const Scratch *scratch, Run *saved, Phase phase) {
        _cleanup_(run_freep) Run *back = NULL;

        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        assert_int_equal(adopt_save_main(saved), 0);
        assert_int_equal(adopt_save_kill(saved), 0);
        assert_int_equal(loaded(scratch, saved, &back), 0);
        assert_int_equal(back->phase, phase);
        assert_string_equal(back->kill.event_id.text, saved->kill.event_id.text);
        assert_int_equal(back->kill.seq, 1);
        assert_int_equal(back->kill.reason, VERDICT_CPU_TIME);
        assert_string_equal(back->kill.detail, "why");
        assert_int_equal(back->kill.decided_at, AT + 1);
        assert_int_equal(back->kill.term_at, AT + 2);
        assert_int_equal(back->kill.kill_at, saved->kill.kill_at);
        assert_int_equal(back->kill.grace_end_usec, BOOT + 3);
        assert_int_equal(back->kill.term_processes, 4);
        assert_int_equal(back->kill.by_kernel, saved->kill.by_kernel);
        assert_int_equal(back->kill.processes.count, 5);
        assert_true(json_equal(back->kill.processes.list, saved->kill.processes.list));
        assert_int_equal(back->kill.charge.memory_bytes, USAGE_UNKNOWN);
}

static void a_kill_goes_on_where_it_was_under_the_same_id(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *grace = made_run(scratch), *killing = made_run(scratch), *kernel = made_run(scratch);

        put(grace, "user.scidex.test", "");
        begin_kill(grace, 0, false);
        check_phase(scratch, grace, PHASE_GRACE);
        begin_kill(killing, AT + 9, false);
        check_phase(scratch, killing, PHASE_KILLING);
        begin_kill(kernel, 0, true);
        check_phase(scratch, kernel, PHASE_KILLING);
}

static void a_kill_taken_back_leaves_no_marker(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        put(saved, "user.scidex.test", "");
        begin_kill(saved, 0, false);
        check_phase(scratch, saved, PHASE_GRACE);
        saved->kill.event_id.text[0] = '\0';
        assert_int_equal(adopt_save_kill(saved), 0);
        assert_int_equal(adopt_save_kill(saved), 0); /* there is none any more: no failure */
        assert_int_equal(loaded(scratch, saved, &back), 0);
        assert_int_equal(back->phase, PHASE_RUNNING);
        assert_false(run_has_kill(back));
}

static void a_run_that_has_ended_keeps_its_verdict_and_status(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        put(saved, "user.scidex.test", "");
        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        assert_int_equal(adopt_save_main(saved), 0);
        saved->verdict = VERDICT_FAILED;
        saved->verdict_detail = "the command could not be started";
        saved->status_known = true;
        saved->wait_status = 3 << 8;
        saved->exec_errno = ENOENT;
        saved->forwarded = SIGINT;
        saved->ended_at = AT + 7;
        saved->ended_usec = BOOT + 7;
        assert_int_equal(adopt_save_end(saved), 0);
        assert_int_equal(loaded(scratch, saved, &back), 0);
        assert_int_equal(back->phase, PHASE_ENDING);
        assert_int_equal(back->verdict, VERDICT_FAILED);
        assert_string_equal(back->verdict_detail, "the command could not be started");
        assert_true(back->status_known && back->main_exited && back->end_saved);
        assert_int_equal(back->wait_status, 3 << 8);
        assert_int_equal(back->exec_errno, ENOENT);
        assert_int_equal(back->forwarded, SIGINT);
        assert_int_equal(back->ended_at, AT + 7);
        assert_int_equal(back->ended_usec, BOOT + 7);
}

static void a_group_without_attributes_is_foreign(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        assert_int_equal(loaded(scratch, saved, &back), ADOPT_E_FOREIGN);
        assert_null(back);
}

static void unreadable_attributes_are_foreign(void **state) {
        static const char *const texts[] = { "", "garbage", "[]", "7", "{}", "{\"run_id\":7}", "{\"run_id\":\"x\"}" };
        static const char *const rests[] = { "", ",\"boot_id\":7", ",\"boot_id\":\"%s\"",
                ",\"boot_id\":\"%s\",\"request\":7", ",\"boot_id\":\"%s\",\"request\":{\"pids\":\"many\"}" };
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                put(saved, "user.scidex.run", texts[i]);
                assert_int_equal(loaded(scratch, saved, &back), ADOPT_E_FOREIGN);
        }
        for (size_t i = 0; i < ELEMENTSOF(rests); i++) {
                _cleanup_(freep) char *text = NULL, *rest = NULL;

/* The formats are literals of this function. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                assert_true(asprintf(&rest, rests[i], BOOT_ID) >= 0);
#pragma GCC diagnostic pop
                text = text_printf("{\"run_id\":\"%s\"%s}", saved->id.text, rest);
                put(saved, "user.scidex.run", text);
                assert_int_equal(loaded(scratch, saved, &back), ADOPT_E_FOREIGN);
        }
        assert_null(back);
}

static void attributes_of_another_boot_are_foreign(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        put(saved, "user.scidex.test", "");
        assert_int_equal(adopt_save(saved, "another boot"), 0);
        assert_int_equal(loaded(scratch, saved, &back), ADOPT_E_FOREIGN);
}

static void the_attribute_not_the_name_says_which_run_it_is(void **state) {
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch), *back = NULL;

        put(saved, "user.scidex.test", "");
        saved->id = uuid_new(AT + 1);
        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        assert_int_equal(adopt_load(scratch->group.fd, saved->group.name, BOOT_ID, &back), 0);
        assert_string_equal(back->id.text, saved->id.text);
        assert_string_not_equal(back->group.name, back->id.text);
}

static void a_main_or_marker_that_can_not_be_read_counts_as_none(void **state) {
        static const char *const texts[] = { "garbage", "[]", "{}", "{\"pid\":\"x\",\"event_id\":7}",
                "{\"pid\":0,\"event_id\":\"0190d3a4-7c1e-7aaa-8bbb-0123456789ab\"}",
                "{\"pid\":-5,\"event_id\":\"0190d3a4-7c1e-7aaa-8bbb-0123456789ab\",\"reason\":\"boredom\"}" };
        Scratch *scratch = scratch_need(state);
        _cleanup_(run_freep) Run *saved = made_run(scratch);

        put(saved, "user.scidex.test", "");
        assert_int_equal(adopt_save(saved, BOOT_ID), 0);
        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(run_freep) Run *back = NULL;

                put(saved, "user.scidex.main", texts[i]);
                put(saved, "user.scidex.kill", texts[i]);
                assert_int_equal(loaded(scratch, saved, &back), 0);
                assert_int_equal(back->phase, PHASE_STARTING);
                assert_int_equal(back->pid, 0);
                assert_false(run_has_kill(back));
        }
}

static void a_group_that_is_gone_is_told(void **state) {
        Scratch *scratch = scratch_need(state);
        Run *back = NULL;

        assert_int_equal(
                adopt_load(scratch->group.fd, "0190d3a4-7c1e-7aaa-8bbb-0123456789ab", BOOT_ID, &back), -ENOENT);
}

static void without_a_group_nothing_is_saved(void **state) {
        RunRequest request;
        _cleanup_(run_freep) Run *run = NULL;

        request_init(&request);
        assert_int_equal(run_new(&request, AT, BOOT, &run), 0);
        assert_int_equal(adopt_save(run, BOOT_ID), -EOPNOTSUPP);
        assert_int_equal(adopt_save_main(run), -EOPNOTSUPP);
        assert_int_equal(adopt_save_kill(run), -EOPNOTSUPP);
}

static void a_process_lives_under_its_start_time_only(void **state) {
        Child child = child_start(NULL, body_pause);
        ProcessIdentity process;

        assert_int_equal(process_identity(child.pid, &process), 0);
        assert_true(adopt_process_lives(child.pid, process.start_ticks));
        assert_false(adopt_process_lives(child.pid, process.start_ticks + 1)); /* the pid was used again */
        assert_false(adopt_process_lives(0, process.start_ticks));
        assert_int_equal(kill(child.pid, SIGKILL), 0);
        assert_true(wait_fd(child.pidfd, POLLIN));
        assert_false(adopt_process_lives(child.pid, process.start_ticks)); /* a zombie */
        (void)child_end(&child);
        assert_false(adopt_process_lives(child.pid, process.start_ticks));
}

int main(void) {
#define WITH_GROUP(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                WITH_GROUP(a_saved_run_comes_back_as_it_was),
                WITH_GROUP(a_registered_run_comes_back_as_one),
                WITH_GROUP(a_run_without_end_has_none_after_the_restart),
                WITH_GROUP(a_process_never_reported_is_still_starting),
                WITH_GROUP(a_kill_goes_on_where_it_was_under_the_same_id),
                WITH_GROUP(a_kill_taken_back_leaves_no_marker),
                WITH_GROUP(a_run_that_has_ended_keeps_its_verdict_and_status),
                WITH_GROUP(a_group_without_attributes_is_foreign),
                WITH_GROUP(unreadable_attributes_are_foreign),
                WITH_GROUP(attributes_of_another_boot_are_foreign),
                WITH_GROUP(the_attribute_not_the_name_says_which_run_it_is),
                WITH_GROUP(a_main_or_marker_that_can_not_be_read_counts_as_none),
                WITH_GROUP(a_group_that_is_gone_is_told),
                cmocka_unit_test(without_a_group_nothing_is_saved),
                cmocka_unit_test(a_process_lives_under_its_start_time_only),
        };

        return cmocka_run_group_tests_name("supervise-adopt", tests, NULL, NULL);
}
