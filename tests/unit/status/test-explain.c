/* `why`: from the record's answer to sentences, one fixture per verdict (tests/unit/status/fixtures). */
#include "status/explain.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* The text of a fixture; the caller frees. */
static char *explained(const char *name, const Terminal *terminal) {
        _cleanup_(freep) char *path = text_printf("%s/%s.json", FIXTURES, name);
        _cleanup_(json_decrefp) json_t *answer = json_load_file(path, 0, NULL);
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(answer);
        assert_int_equal(
                explain_print(out, terminal, json_object_get(answer, "run"), json_object_get(answer, "events")), 0);
        (void)fclose(out);
        return text;
}

static const Terminal plain = { .columns = 0, .colour = false, .utf8 = false };

/* All of the phrases (ended by NULL) are said. */
static void assert_says(const char *name, const char *const *phrases) {
        _cleanup_(freep) char *text = explained(name, &plain);

        for (; *phrases; phrases++)
                if (!strstr(text, *phrases))
                        fail_msg("%s does not say '%s':\n%s", name, *phrases, text);
}

static void assert_does_not_say(const char *name, const char *phrase) {
        _cleanup_(freep) char *text = explained(name, &plain);

        if (strstr(text, phrase))
                fail_msg("%s says '%s':\n%s", name, phrase, text);
}

#define SAYS(name, ...) assert_says(name, (const char *const[]){ __VA_ARGS__, NULL })

static void completed_says_status_and_time(void **state) {
        SAYS("completed", "SDA-42 (run 7c1e90ab) completed", "status 0 after 3min 12s",
                "peak 640 MiB of 2.0 GiB (31 %)");
        assert_does_not_say("completed", "What to do");
}

static void completed_near_its_limit_is_told_to_take_more(void **state) {
        SAYS("completed-tight", "came near its memory limit", "(--memory 3G)");
}

static void failed_says_that_scidex_did_not_stop_it(void **state) {
        SAYS("failed", "status 3", "scidex did not stop it", "Look at its own output");
}

static void crashed_says_that_no_limit_was_involved(void **state) {
        SAYS("crashed", "signal SEGV", "scidex did not send it", "No memory limit was involved: oom 0", "coredumpctl");
}

static void kill_from_outside_is_no_memory_limit_even_after_reclaim(void **state) {
        SAYS("crashed-kill", "signal KILL", "Somebody or something else", "oom 0", "max 200", "proves nothing");
        assert_does_not_say("crashed-kill", "raise the limit");
}

static void timeout_that_obeyed_says_when(void **state) {
        SAYS("timeout", "reached its time limit of 30min", "TERM was sent at 07:19:30 to 3 processes",
                "ended 1.2s later, so no KILL was needed", "--timeout 45min", "scidexctl history --analysis SDA-42");
}

static void timeout_that_ignored_term_and_waited_is_no_reason_for_more_time(void **state) {
        SAYS("timeout-hang",
                "ignored or not followed in time, so after 10s the whole group was killed with KILL at 07:19:40",
                "It used 0s of CPU time in its last 1min 36s: it was waiting, not computing", "More time will not help",
                "handle TERM");
        assert_does_not_say("timeout-hang", "--timeout");
}

static void timeout_with_leftovers_names_both(void **state) {
        SAYS("timeout-hang", "2 processes of the run still lived", "sleep (pid 4720), daemon (pid 4721)",
                "Processes killed (3)");
}

static void backstop_says_who_killed(void **state) {
        SAYS("timeout-backstop", "No supervisor answered", "its launcher killed it");
}

static void cpu_time_says_limit_and_use(void **state) {
        SAYS("cpu-time", "CPU-time limit of 3min", "--cpu-time '4min 30s'");
}

static void memory_is_proved_by_own_oom(void **state) {
        SAYS("memory", "because it reached its own memory limit of 2.0 GiB after 3min 12s",
                "the group's own memory.events.local counted oom 1", "peak 2.0 GiB of 2.0 GiB (100 %)",
                "1.9 GiB anonymous memory (derived from the peak), 12 MiB file cache, 4.0 MiB shared memory",
                "--memory 3G", "scidexctl history --analysis SDA-42", "Processes killed (3)");
        assert_does_not_say("memory", "tmpfs");
        assert_does_not_say("memory", "oom_kill 4");
}

static void shared_memory_above_half_of_the_limit_is_the_cause(void **state) {
        SAYS("memory-shmem", "files in /dev/shm or on another tmpfs", "1.9 GiB shared memory", "40 MiB file cache");
}

static void much_file_cache_is_explained(void **state) {
        SAYS("memory-cache", "700 MiB file cache", "gives it back before it kills: it is not the cause");
}

static void sampled_says_so_and_how_far_above(void **state) {
        SAYS("memory-sampled", "was sampled, not enforced by the kernel", "300 MiB above", "PSS",
                "killed at once with KILL", "could not keep: swap, pids",
                "the limit of 2.0 GiB is at 87 % of the height");
        assert_does_not_say("memory-sampled", "memory.events.local");
}

static void thrashing_shows_pressure(void **state) {
        SAYS("memory-thrashing", "it was thrashing", "for 52s of the last 1min", "all its tasks stalled for 58s");
}

static void host_oom_is_not_its_own_limit(void **state) {
        SAYS("host-oom", "not for its own limit", "own oom count is 0", "A higher --memory will not help",
                "journalctl -k");
        assert_does_not_say("host-oom", "raise the limit");
}

static void orphaned_names_the_launcher(void **state) {
        SAYS("orphaned", "scidex-run (pid 4700)", "had died", "outlives your session");
}

static void cancelled_says_by_whom(void **state) {
        SAYS("cancelled", "was cancelled after 3min 12s", "by uid 1000 (scidexctl kill)");
        SAYS("cancelled-outer", "the run it was started from ended", "outer 77aa01fe: timeout",
                "Look at the outer run");
        SAYS("cancelled-shutdown", "was shut down");
}

static void lost_of_a_registered_run_is_no_matter_of_a_reboot(void **state) {
        SAYS("lost-registered", "ended by itself after 3min 12s, how is not known", "only the parent", "scidex-run");
        assert_does_not_say("lost-registered", "machine went down");
        SAYS("lost-unregistered", "was let go after 3min 12s", "nothing was ended");
        assert_does_not_say("lost-unregistered", "Run it again");
}

static void lost_says_what_is_not_known(void **state) {
        SAYS("lost", "is lost", "2026-11-21 07:16:30", "How far it came is not known", "Run it again");
}

static void leftovers_keep_the_verdict(void **state) {
        SAYS("leftovers", "completed", "2 processes of the run still lived and were killed as a group",
                "worker (pid 4712), sh (pid 4713)", "keeps its own verdict");
}

static void run_that_lives_has_not_ended(void **state) {
        SAYS("alive", "has not ended", "state running", "Its time limit is 30min");
}

static void hostile_analysis_id_is_escaped(void **state) {
        SAYS("hostile", "evil\\x1b[31m", "\\x0a");
        assert_does_not_say("hostile", "\x1b");
}

static void answer_with_nothing_known_is_still_explained(void **state) {
        _cleanup_(json_decrefp) json_t *run = json_pack("{s:s}", "verdict", "memory");
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_int_equal(explain_print(out, &plain, run, NULL), 0);
        (void)fclose(out);
        assert_non_null(strstr(text, "Run ? was killed because it reached its own memory limit of no limit"));
}

static void run_without_analysis_is_known_by_its_command(void **state) {
        _cleanup_(json_decrefp) json_t *run =
                json_pack("{s:s, s:s, s:i}", "verdict", "completed", "cmdline", "sleep 1000", "exit_status", 0);
        _cleanup_(freep) char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_int_equal(explain_print(out, &plain, run, NULL), 0);
        (void)fclose(out);
        assert_non_null(strstr(text, "Run ? (sleep 1000) completed"));
}

static void marks_are_ascii_without_utf8_and_blocks_with_it(void **state) {
        Terminal wide = { .columns = 100, .utf8 = true };
        _cleanup_(freep) char *ascii = explained("memory", &plain), *utf8 = explained("memory", &wide);

        assert_non_null(strstr(ascii, "___...:::---===+++***####"));
        assert_null(strstr(ascii, "█"));
        assert_non_null(strstr(utf8, "▁▁▁▂▂▂▃▃▃▄▄▄▅▅▅▆▆▆▇▇▇████"));
        assert_non_null(strstr(ascii, "0s               3min 12s"));
}

static void paragraphs_keep_to_the_terminal(void **state) {
        Terminal narrow = { .columns = 60 };
        _cleanup_(freep) char *text = explained("orphaned", &narrow);
        char *rest = NULL;

        for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
                if (strncmp(line, "Memory over", 11) != 0)
                        assert_true(text_columns(line) <= 60);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(completed_says_status_and_time),
                cmocka_unit_test(completed_near_its_limit_is_told_to_take_more),
                cmocka_unit_test(failed_says_that_scidex_did_not_stop_it),
                cmocka_unit_test(crashed_says_that_no_limit_was_involved),
                cmocka_unit_test(kill_from_outside_is_no_memory_limit_even_after_reclaim),
                cmocka_unit_test(timeout_that_obeyed_says_when),
                cmocka_unit_test(timeout_that_ignored_term_and_waited_is_no_reason_for_more_time),
                cmocka_unit_test(timeout_with_leftovers_names_both),
                cmocka_unit_test(backstop_says_who_killed),
                cmocka_unit_test(cpu_time_says_limit_and_use),
                cmocka_unit_test(memory_is_proved_by_own_oom),
                cmocka_unit_test(shared_memory_above_half_of_the_limit_is_the_cause),
                cmocka_unit_test(much_file_cache_is_explained),
                cmocka_unit_test(sampled_says_so_and_how_far_above),
                cmocka_unit_test(thrashing_shows_pressure),
                cmocka_unit_test(host_oom_is_not_its_own_limit),
                cmocka_unit_test(orphaned_names_the_launcher),
                cmocka_unit_test(cancelled_says_by_whom),
                cmocka_unit_test(lost_says_what_is_not_known),
                cmocka_unit_test(lost_of_a_registered_run_is_no_matter_of_a_reboot),
                cmocka_unit_test(leftovers_keep_the_verdict),
                cmocka_unit_test(run_that_lives_has_not_ended),
                cmocka_unit_test(hostile_analysis_id_is_escaped),
                cmocka_unit_test(answer_with_nothing_known_is_still_explained),
                cmocka_unit_test(run_without_analysis_is_known_by_its_command),
                cmocka_unit_test(marks_are_ascii_without_utf8_and_blocks_with_it),
                cmocka_unit_test(paragraphs_keep_to_the_terminal),
        };

        (void)setlocale(LC_ALL, "C.UTF-8");
        (void)setenv("TZ", "UTC", 1);
        tzset();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
