/*
 * The options of scidex-run: each sets its member, and each value that can't be is answered with the value, the reason
 * and what to write.
 */
#include "cmd/scidex-run/options.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "tests/unit/cmd/capture.h"
#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEC       USEC_PER_SEC
#define WORDS_MAX 64

typedef struct Parsed {
        RunOptions options;
        int result;
        char *said, *printed; /* owned; stderr, stdout */
} Parsed;

static void parsed_deinit(Parsed *p) {
        run_options_deinit(&p->options);
        free(p->said);
        free(p->printed);
}

/* The options borrow of the words, which stand until the next call. */
static Parsed parse_words(const char *const *words) {
        static const char *argv[WORDS_MAX];
        Parsed p = { .result = 0 };
        char *no_words[] = { (char *)"", NULL };
        Capture out, err;
        int argc = 0;

        optind = 0; /* getopt(3) forgets where it was */
        (void)getopt(1, no_words, "+");
        optind = 1;
        memset(argv, 0, sizeof(argv));
        argv[argc++] = "scidex-run";
        while (*words)
                argv[argc++] = *words++;
        (void)fflush(stdout);
        out = capture_begin(STDOUT_FILENO);
        err = capture_begin(STDERR_FILENO);
        p.result = run_options_parse(argc, (char **)argv, &p.options);
        p.said = capture_end(&err);
        p.printed = capture_end(&out);
        return p;
}

#define PARSE(...) _cleanup_(parsed_deinit) Parsed p = parse_words((const char *const[]){ __VA_ARGS__, NULL })

static void check_taken(const Parsed *p) {
        if (p->result != 0)
                fail_msg("refused: %s", p->said);
        assert_string_equal(p->said, "");
        assert_string_equal(p->printed, "");
}

static void without_options_the_defaults_hold(void **state) {
        PARSE("true");
        _cleanup_(request_deinit) RunRequest defaults;

        request_init(&defaults);
        check_taken(&p);
        assert_int_equal(p.options.request.memory_bytes, defaults.memory_bytes);
        assert_int_equal(p.options.request.timeout_usec, defaults.timeout_usec);
        assert_null(p.options.request.analysis_id);
        assert_null(p.options.report);
        assert_false(p.options.quiet || p.options.verbose || p.options.private_only);
        assert_string_equal(p.options.command[0], "true");
        assert_string_equal(p.options.request.cmdline, "true");
}

static void each_option_sets_its_member(void **state) {
        PARSE("--analysis-id", "SDA-42", "--memory", "1G", "--memory-high", "512M", "--swap", "3M", "--timeout",
                "1h 30min", "--cpu-time", "01:00:00", "--pids", "7", "--cpus", "1.5", "--grace", "250ms",
                "--term-signal", "INT", "--warn-before", "5min", "--warn-signal", "SIGUSR2", "--thrash", "90s",
                "--label", "a=b", "--label", "c=d=e", "--report", "run.json", "--require=kernel", "--private",
                "--quiet", "--verbose", "true");
        const RunRequest *r = &p.options.request;

        check_taken(&p);
        assert_string_equal(r->analysis_id, "SDA-42");
        assert_int_equal(r->memory_bytes, UINT64_C(1) << 30);
        assert_int_equal(r->memory_high_bytes, UINT64_C(512) << 20);
        assert_int_equal(r->swap_bytes, UINT64_C(3) << 20);
        assert_int_equal(r->timeout_usec, 5400 * SEC);
        assert_int_equal(r->cpu_time_usec, 3600 * SEC);
        assert_int_equal(r->pids, 7);
        assert_int_equal(r->cpu_centi, 150);
        assert_int_equal(r->grace_usec, 250000);
        assert_int_equal(r->term_signal, SIGINT);
        assert_int_equal(r->warn_before_usec, 300 * SEC);
        assert_int_equal(r->warn_signal, SIGUSR2);
        assert_int_equal(r->thrash_usec, 90 * SEC);
        assert_string_equal(json_string_value(json_object_get(r->labels, "a")), "b");
        assert_string_equal(json_string_value(json_object_get(r->labels, "c")), "d=e");
        assert_string_equal(p.options.report, "run.json");
        assert_true(r->require_kernel && p.options.private_only && p.options.quiet && p.options.verbose);
}

static void slurms_names_are_taken(void **state) {
        PARSE("--mem", "1G", "--time=90s", "true");

        check_taken(&p);
        assert_int_equal(p.options.request.memory_bytes, UINT64_C(1) << 30);
        assert_int_equal(p.options.request.timeout_usec, 90 * SEC);
}

static void infinity_and_nothing_have_their_words(void **state) {
        PARSE("--memory", "infinity", "--timeout", "infinity", "--cpu-time", "infinity", "--pids", "infinity", "--swap",
                "infinity", "--thrash", "infinity", "--grace", "0s", "true");

        check_taken(&p);
        assert_int_equal(p.options.request.memory_bytes, UINT64_MAX);
        assert_int_equal(p.options.request.timeout_usec, USEC_INFINITY);
        assert_int_equal(p.options.request.cpu_time_usec, USEC_INFINITY);
        assert_int_equal(p.options.request.pids, UINT64_MAX);
        assert_int_equal(p.options.request.swap_bytes, UINT64_MAX);
        assert_int_equal(p.options.request.thrash_usec, USEC_INFINITY);
        assert_int_equal(p.options.request.grace_usec, 0);
}

static void the_last_of_two_values_holds(void **state) {
        PARSE("--analysis-id", "a", "--memory", "1G", "--analysis-id=b", "--mem=2G", "--label", "k=1", "--label", "k=2",
                "true");

        check_taken(&p);
        assert_string_equal(p.options.request.analysis_id, "b");
        assert_int_equal(p.options.request.memory_bytes, UINT64_C(2) << 30);
        assert_string_equal(json_string_value(json_object_get(p.options.request.labels, "k")), "2");
}

static void options_end_at_the_first_word_of_the_command(void **state) {
        PARSE("--pids", "7", "python3", "--memory", "bad", "-x");

        check_taken(&p);
        assert_string_equal(p.options.command[0], "python3");
        assert_string_equal(p.options.command[1], "--memory");
        assert_string_equal(p.options.request.cmdline, "python3 --memory bad -x");
}

static void two_dashes_end_the_options(void **state) {
        PARSE("--", "--memory", "x");

        check_taken(&p);
        assert_string_equal(p.options.command[0], "--memory");
}

static void check_refused(const char *option, const char *value, const char *reason, const char *remedy) {
        PARSE(option, value, "true");

        if (p.result != -EINVAL)
                fail_msg("%s %s: %d", option, value, p.result);
        if (strncmp(p.said, "scidex-run: ", 12) != 0 || strchr(p.said, '\n') != p.said + strlen(p.said) - 1)
                fail_msg("not one line of ours: %s", p.said);
        if (!strstr(p.said, option) || !strstr(p.said, value) || !strstr(p.said, reason) || !strstr(p.said, remedy))
                fail_msg("%s %s: \"%s\" lacks \"%s\" or \"%s\"", option, value, p.said, reason, remedy);
        assert_string_equal(p.printed, "");
}

static void a_value_of_no_sense_is_answered_with_reason_and_remedy(void **state) {
        static const char *const cases[][4] = {
                { "--memory", "512", "not a size", "512M" },
                { "--memory", "2GB", "not a size", "2G" },
                { "--memory", "2g", "not a size", "2G" },
                { "--memory", "-1G", "not a size", "write" },
                { "--memory", "99999999T", "too large", "infinity" },
                { "--memory", "unlimited", "not a size", "infinity" },
                { "--mem", "lots", "not a size", "512M" },
                { "--memory-high", "x", "not a size", "512M" },
                { "--swap", "1", "not a size", "1M" },
                { "--timeout", "30", "not a time", "30min" },
                { "--timeout", "1:99:00", "not a time", "HH:MM:SS" },
                { "--time", "soon", "not a time", "90s" },
                { "--timeout", "99999999999999999w", "too long", "infinity" },
                { "--cpu-time", "1y", "not a time", "units are" },
                { "--grace", "ten", "not a time", "90s" },
                { "--thrash", "5", "not a time", "5s" },
                { "--warn-before", "5", "not a time", "5min" },
                { "--term-signal", "BOOM", "not a signal", "TERM" },
                { "--term-signal", "99", "not a signal", "RTMIN" },
                { "--warn-signal", "0", "not a signal", "signals are" },
                { "--pids", "many", "not a whole number", "--pids 4096" },
                { "--pids", "-1", "not a whole number", "--pids 4096" },
                { "--pids", "1.5", "not a whole number", "--pids 4096" },
                { "--pids", "99999999999999999999", "too large", "infinity" },
                { "--cpus", "0", "not a number of CPUs", "0.01" },
                { "--cpus", "half", "not a number of CPUs", "1.5" },
                { "--cpus", "0.001", "not a number of CPUs", "two decimals" },
                { "--label", "novalue", "no KEY=VALUE", "--label project=exoplanets" },
                { "--label", "=v", "no KEY=VALUE", "--label project=exoplanets" },
                { "--require", "luck", "unknown requirement", "--require=kernel" },
                { "--report", "", "no file name", "--report run.json" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check_refused(cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
}

static void a_value_that_can_not_be_meant_is_answered_alike(void **state) {
        static const char *const cases[][4] = {
                { "--analysis-id", "", "analysis id", "1 to 255 bytes" },
                { "--memory", "1K", "below one page", "--memory 2G" },
                { "--memory", "0", "below one page", "--memory infinity" },
                { "--timeout", "0s", "before it starts", "--timeout 30min" },
                { "--time", "0", "before it starts", "--timeout 30min" },
                { "--cpu-time", "0s", "before it starts", "--cpu-time 2h" },
                { "--grace", "25h", "above 24h", "--grace 10s" },
                { "--grace", "infinity", "above 24h", "--grace 10s" },
                { "--thrash", "1s", "below 2s", "--thrash 60s" },
                { "--pids", "0", "no command", "--pids 4096" },
                { "--term-signal", "STOP", "can't be used", "--term-signal INT" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                check_refused(cases[i][0], cases[i][1], cases[i][2], cases[i][3]);
}

static void limits_that_contradict_each_other_are_refused(void **state) {
        PARSE("--memory-high", "3G", "--memory", "2G", "true");

        assert_int_equal(p.result, -EINVAL);
        assert_non_null(strstr(p.said, "--memory-high \"3G\": memory-high is above the memory limit"));
}

static void a_warning_that_would_come_before_the_start_is_refused(void **state) {
        PARSE("--warn-before", "30min", "--time", "30min", "true");

        assert_int_equal(p.result, -EINVAL);
        assert_non_null(strstr(p.said, "--warn-before \"30min\": the warning would come before the start"));
}

/* Its default is the supervisor's to choose. */
static void a_limit_is_not_held_against_one_that_was_not_given(void **state) {
        PARSE("--memory-high", "3G", "--warn-before", "2h", "true");

        check_taken(&p);
        assert_int_equal(p.options.request.given, REQUEST_MEMORY_HIGH | REQUEST_WARN_BEFORE);
}

static void what_stands_in_a_terminal_is_escaped(void **state) {
        PARSE("--memory", "\x1b[31m\xff", "true");

        assert_int_equal(p.result, -EINVAL);
        assert_null(strchr(p.said, '\x1b'));
        assert_non_null(strstr(p.said, "\\x1b[31m\\xff"));
}

static void an_id_that_is_no_utf8_is_kept_escaped(void **state) {
        PARSE("--analysis-id", "a\xff", "true");

        check_taken(&p);
        assert_string_equal(p.options.request.analysis_id, "a\\xff");
}

static void labels_of_no_utf8_have_a_key_that_is(void **state) {
        PARSE("--label", "k=\xff", "true");
        _cleanup_(parsed_deinit) Parsed bad = parse_words((const char *const[]){ "--label", "\xff=v", "true", NULL });

        check_taken(&p);
        assert_string_equal(json_string_value(json_object_get(p.options.request.labels, "k")), "\\xff");
        assert_int_equal(bad.result, -EINVAL);
        assert_non_null(strstr(bad.said, "UTF-8"));
}

static void check_unknown(const char *const *words, const char *word, const char *reason) {
        _cleanup_(parsed_deinit) Parsed p = parse_words(words);
        _cleanup_(freep) char *named = NULL;

        assert_int_equal(p.result, -EINVAL);
        assert_true(asprintf(&named, "option \"%s\"", word) > 0);
        if (!strstr(p.said, named) || !strstr(p.said, reason) || !strstr(p.said, "--help"))
                fail_msg("%s: %s", word, p.said);
}

static void a_word_that_is_no_option_is_named(void **state) {
        static const char *const unknown[] = { "--memry", "-x", "-xy", "-m2G", "--quiet=yes", "--pi\x1b" };

        for (size_t i = 0; i < ELEMENTSOF(unknown); i++)
                if (strchr(unknown[i], '\x1b'))
                        check_unknown((const char *const[]){ "--pids", "7", unknown[i], "true", NULL }, "--pi\\x1b",
                                "unknown");
                else
                        check_unknown((const char *const[]){ "--pids", "7", unknown[i], "true", NULL }, unknown[i],
                                "unknown");
        check_unknown((const char *const[]){ "--ti", "1s", "true", NULL }, "--ti", "ambiguous");
        check_unknown((const char *const[]){ "--quiet", "--memory", NULL }, "--memory", "value is missing");
}

static void without_a_command_the_usage_is_told(void **state) {
        PARSE("--memory", "1G");

        assert_int_equal(p.result, -EINVAL);
        assert_non_null(strstr(p.said, "no command"));
        assert_non_null(strstr(p.said, "COMMAND"));
}

static void help_names_every_option_and_every_exit_status(void **state) {
        static const char *const names[] = { "--analysis-id ID", "--memory SIZE", "--memory-high", "--swap",
                "--timeout TIME", "--cpu-time", "--pids", "--cpus", "--grace", "--term-signal", "--warn-before",
                "--warn-signal", "--thrash", "--label", "--report", "--require", "--private", "--quiet", "--verbose",
                "--version", "--mem", "--time", "124", "125", "126", "127", "137", "143", "128+N" };
        PARSE("--help");

        assert_int_equal(p.result, 1);
        assert_string_equal(p.said, "");
        for (size_t i = 0; i < ELEMENTSOF(names); i++)
                if (!strstr(p.printed, names[i]))
                        fail_msg("--help does not name %s", names[i]);
}

static void version_is_one_line(void **state) {
        PARSE("--version", "--memory", "bad");

        assert_int_equal(p.result, 1);
        assert_string_equal(p.printed, "scidex-run " SCIDEX_VERSION "\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_options_the_defaults_hold),
                cmocka_unit_test(each_option_sets_its_member),
                cmocka_unit_test(slurms_names_are_taken),
                cmocka_unit_test(infinity_and_nothing_have_their_words),
                cmocka_unit_test(the_last_of_two_values_holds),
                cmocka_unit_test(options_end_at_the_first_word_of_the_command),
                cmocka_unit_test(two_dashes_end_the_options),
                cmocka_unit_test(a_value_of_no_sense_is_answered_with_reason_and_remedy),
                cmocka_unit_test(a_value_that_can_not_be_meant_is_answered_alike),
                cmocka_unit_test(limits_that_contradict_each_other_are_refused),
                cmocka_unit_test(a_warning_that_would_come_before_the_start_is_refused),
                cmocka_unit_test(a_limit_is_not_held_against_one_that_was_not_given),
                cmocka_unit_test(what_stands_in_a_terminal_is_escaped),
                cmocka_unit_test(an_id_that_is_no_utf8_is_kept_escaped),
                cmocka_unit_test(labels_of_no_utf8_have_a_key_that_is),
                cmocka_unit_test(a_word_that_is_no_option_is_named),
                cmocka_unit_test(without_a_command_the_usage_is_told),
                cmocka_unit_test(help_names_every_option_and_every_exit_status),
                cmocka_unit_test(version_is_one_line),
        };

        return cmocka_run_group_tests_name("run-options", tests, NULL, NULL);
}
