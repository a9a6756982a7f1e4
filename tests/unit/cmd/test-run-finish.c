/* The last sentence of scidex-run and its exit status, for each way a run ends. */
#include "cmd/scidex-run/launch.h"

#include "base/cleanup.h"
#include "tests/unit/cmd/capture.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define RUN_ID "0190d3a4-7c1e-7aaa-8bbb-01237c1e90ab"

typedef struct Case {
        const char *run, *event; /* members beside the usual ones; event NULL: none */
        Verdict verdict;
        int wait_status;
        bool verbose, quiet, unrecorded;
        int exit_status;
        const char *said;
} Case;

static json_t *members(const char *text) {
        json_t *object = json_loads(text, 0, NULL);

        if (!object)
                fail_msg("no JSON: %s", text);
        return object;
}

static void check(const Case *c) {
        char *command[] = { (char *)"python3", NULL };
        RunOptions options = { .command = command, .verbose = c->verbose, .quiet = c->quiet };
        Launch l = { .options = &options,
                .run_id = (char *)RUN_ID,
                .report_fd = -EBADF,
                .recorded = !c->unrecorded,
                .wait_status = c->wait_status,
                .verdict = c->verdict };
        _cleanup_(json_decrefp) json_t *run = members("{\"duration_sec\":192.0,\"memory_limit_bytes\":2147483648,"
                                                      "\"memory_peak_bytes\":2147483648,\"timeout_sec\":1800.0,"
                                                      "\"cpu_limit_sec\":5400.0,\"detail\":null}"),
                                       *more = members(c->run), *event = c->event ? members(c->event) : NULL;
        _cleanup_(freep) char *said = NULL;
        Capture err;
        int status;

        options.request.analysis_id = (char *)"SDA-42";
        assert_int_equal(json_object_update(run, more), 0);
        l.run = run;
        l.event = event;
        err = capture_begin(STDERR_FILENO);
        status = launch_finish(&l);
        said = capture_end(&err);
        assert_string_equal(said, c->said);
        assert_int_equal(status, c->exit_status);
}

#define WHY " Details: scidexctl why 7c1e90ab\n"

static void a_killed_run_is_told_in_one_sentence(void **state) {
        static const Case cases[] = {
                { "{}", "{\"processes_killed\":3}", VERDICT_MEMORY, 9, .exit_status = 137,
                        .said = "scidex-run: SDA-42 killed: memory limit 2.0 GiB reached after 3min 12s (peak 2.0 GiB, "
                                "3 "
                                "processes)." WHY },
                { "{}", "{\"processes_killed\":null}", VERDICT_MEMORY, 9, .exit_status = 137,
                        .said = "scidex-run: SDA-42 killed: memory limit 2.0 GiB reached after 3min 12s (peak 2.0 "
                                "GiB)." WHY },
                { "{\"detail\":\"sampled\"}", "{\"processes_killed\":1}", VERDICT_MEMORY, 9, .exit_status = 137,
                        .said = "scidex-run: SDA-42 killed: memory limit 2.0 GiB exceeded (sampled) after 3min 12s "
                                "(peak 2.0 "
                                "GiB, 1 process)." WHY },
                { "{\"detail\":\"thrashing\"}", "{}", VERDICT_MEMORY, 9, .exit_status = 137,
                        .said = "scidex-run: SDA-42 killed: thrashing at its memory limit 2.0 GiB after 3min 12s (peak "
                                "2.0 "
                                "GiB)." WHY },
                { "{\"memory_peak_bytes\":null}", "{\"processes_killed\":2}", VERDICT_TIMEOUT, 15, .exit_status = 124,
                        .said = "scidex-run: SDA-42 killed: wall-clock limit 30min reached after 3min 12s (2 "
                                "processes)." WHY },
                { "{\"detail\":\"backstop\",\"memory_peak_bytes\":null}", NULL, VERDICT_TIMEOUT, 9, .exit_status = 124,
                        .said = "scidex-run: SDA-42 killed: wall-clock limit 30min reached (by the launcher's "
                                "backstop: no "
                                "supervisor answered) after 3min 12s." WHY },
                { "{}", "{\"processes_killed\":1}", VERDICT_CPU_TIME, 15, .exit_status = 124,
                        .said = "scidex-run: SDA-42 killed: CPU-time limit 1h 30min reached after 3min 12s (peak 2.0 "
                                "GiB, 1 "
                                "process)." WHY },
                { "{}", "{}", VERDICT_HOST_OOM, 9, .exit_status = 137,
                        .said = "scidex-run: SDA-42 killed: the host or an outer group ran out of memory, not this "
                                "run's own "
                                "limit after 3min 12s (peak 2.0 GiB)." WHY },
                { "{\"detail\":\"by uid 0\"}", "{\"processes_killed\":1}", VERDICT_CANCELLED, 15, .exit_status = 143,
                        .said = "scidex-run: SDA-42 killed: cancelled, by uid 0 after 3min 12s (peak 2.0 GiB, 1 "
                                "process)." WHY },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(&cases[i]);
}

static void a_run_that_ends_by_itself_is_silent(void **state) {
        static const Case cases[] = {
                { "{}", NULL, VERDICT_COMPLETED, 0, .exit_status = 0, .said = "" },
                { "{}", NULL, VERDICT_FAILED, 3 << 8, .exit_status = 3, .said = "" },
                { "{}", NULL, VERDICT_CRASHED, 11, .exit_status = 139, .said = "" },
                { "{}", NULL, VERDICT_CANCELLED, 15, .exit_status = 143,
                        .said = "" }, /* by a signal that came through us */
                { "{}", NULL, VERDICT_FAILED, 3 << 8, .verbose = true, .exit_status = 3,
                        .said = "scidex-run: SDA-42 failed after 3min 12s, exit status 3, peak 2.0 GiB of 2.0 GiB\n" },
                { "{\"memory_peak_bytes\":null,\"memory_limit_bytes\":null}", NULL, VERDICT_COMPLETED, 0,
                        .verbose = true,
                        .said = "scidex-run: SDA-42 completed after 3min 12s, exit status 0, peak unknown of "
                                "infinity\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(&cases[i]);
}

static void leftovers_are_told_and_change_no_status(void **state) {
        static const Case cases[] = {
                { "{}", "{\"reason\":\"orphan\",\"processes_killed\":2}", VERDICT_COMPLETED, 0, .exit_status = 0,
                        .said = "scidex-run: SDA-42 left 2 processes behind, killed." WHY },
                { "{}", "{\"reason\":\"orphan\",\"processes_killed\":1}", VERDICT_FAILED, 7 << 8, .exit_status = 7,
                        .said = "scidex-run: SDA-42 left 1 process behind, killed." WHY },
                { "{}", "{\"reason\":\"orphan\",\"processes_killed\":null}", VERDICT_COMPLETED, 0, .exit_status = 0,
                        .said = "scidex-run: SDA-42 left processes behind, killed." WHY },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(&cases[i]);
}

static void quiet_is_silent_and_an_unwritten_record_is_not(void **state) {
        static const Case cases[] = {
                { "{}", "{\"processes_killed\":3}", VERDICT_MEMORY, 9, .quiet = true, .exit_status = 137, .said = "" },
                { "{}", NULL, VERDICT_COMPLETED, 0, .unrecorded = true, .exit_status = 0,
                        .said = "scidex-run: warning: the record of this run can't be written yet; it is kept and "
                                "written "
                                "when possible, see scidexctl doctor\n" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check(&cases[i]);
}

static void a_command_that_can_not_be_started_is_named(void **state) {
        static const struct {
                int error, status;
                const char *phrase;
        } cases[] = { { ENOENT, 127, "check the name and PATH" }, { EACCES, 126, "check its permissions" },
                { ENOEXEC, 126, "check its permissions and format" } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char *command[] = { (char *)"pyhton3", NULL };
                RunOptions options = { .command = command,
                        .quiet = true }; /* it has failed itself: said all the same */
                Launch l = { .options = &options,
                        .run_id = (char *)RUN_ID,
                        .report_fd = -EBADF,
                        .recorded = true,
                        .exec_errno = cases[i].error,
                        .verdict = VERDICT_FAILED };
                _cleanup_(freep) char *said = NULL;
                Capture err = capture_begin(STDERR_FILENO);

                assert_int_equal(launch_finish(&l), cases[i].status);
                said = capture_end(&err);
                assert_non_null(strstr(said, "\"pyhton3\""));
                assert_non_null(strstr(said, cases[i].phrase));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_killed_run_is_told_in_one_sentence),
                cmocka_unit_test(a_run_that_ends_by_itself_is_silent),
                cmocka_unit_test(leftovers_are_told_and_change_no_status),
                cmocka_unit_test(quiet_is_silent_and_an_unwritten_record_is_not),
                cmocka_unit_test(a_command_that_can_not_be_started_is_named),
        };

        return cmocka_run_group_tests_name("run-finish", tests, NULL, NULL);
}
