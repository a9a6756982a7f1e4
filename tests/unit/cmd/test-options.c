/* The command line: what is taken, what is refused, and how it is said. */
#include "cmd/scidexctl/ctl.h"
#include "cmd/scidexctl/limits.h"

#include "base/cleanup.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

const Verb verbs[] = {
        { "list", "", "Lists", 0, 0, OPTION_ALL | OPTION_HOSTS | OPTION_WATCH, NULL },
        { "events", "", "Kills", 0, 0, OPTION_HOSTS | OPTION_FOLLOW | OPTION_WATCH, NULL },
        { "show", "RUN", "Shows", 1, 1, 0, NULL },
        { "kill", "RUN...", "Kills", 1, SIZE_MAX, 0, NULL },
        { "set", "RUN", "Changes", 1, 1, OPTION_LIMITS, NULL },
        { "register", "PID...", "Takes", 1, SIZE_MAX, OPTION_LIMITS | OPTION_ANALYSIS_ID | OPTION_LABEL, NULL },
        { "history", "", "Tells", 0, 0, OPTION_LIMIT | OPTION_VERDICT | OPTION_ANALYSIS | OPTION_SINCE, NULL },
        { "watch", "VERB...", "Again", 0, 0, OPTION_WATCH, NULL },
        { "db", "PART", "Base", 0, 2, OPTION_WATCH, NULL },
        { NULL },
};

typedef struct Parsed {
        Options options;
        json_t *error;
        int result;
} Parsed;

static void parsed_deinit(Parsed *p) {
        options_deinit(&p->options);
        json_decref(p->error);
}

static Parsed parse_words(const char *const *words) {
        const char *argv[16] = { "scidexctl" };
        Parsed p = { .error = NULL };
        int argc = 1;

        for (; *words; words++)
                argv[argc++] = *words;
        p.result = options_parse(argc, (char **)argv, &p.options, &p.error);
        return p;
}

#define PARSE(...) _cleanup_(parsed_deinit) Parsed p = parse_words((const char *const[]){ __VA_ARGS__, NULL })

static const char *message_of(const Parsed *p) {
        return json_string_value(json_object_get(json_object_get(p->error, "error"), "message"));
}

static void refused(const Parsed *p, const char *phrase) {
        assert_int_equal(p->result, -EINVAL);
        assert_non_null(p->error);
        assert_int_equal(answer_status(p->error), CTL_USAGE);
        if (!strstr(message_of(p), phrase))
                fail_msg("'%s' does not say '%s'", message_of(p), phrase);
}

static void global_options_may_stand_anywhere(void **state) {
        PARSE("--json", "show", "abcd1234", "--socket=/x/control");

        assert_int_equal(p.result, 0);
        assert_true(p.options.json);
        assert_string_equal(p.options.socket, "/x/control");
        assert_string_equal(p.options.verb->name, "show");
        assert_int_equal(p.options.n_arguments, 1);
        assert_string_equal(p.options.arguments[0], "abcd1234");
}

static void after_two_dashes_everything_is_an_argument(void **state) {
        PARSE("kill", "--", "--json", "-x");

        assert_int_equal(p.result, 0);
        assert_false(p.options.json);
        assert_int_equal(p.options.n_arguments, 2);
}

static void watch_stands_before_the_verb_or_is_an_option(void **state) {
        {
                PARSE("watch", "--json", "list");
                assert_int_equal(p.result, 0);
                assert_string_equal(p.options.verb->name, "list");
                assert_int_equal(p.options.watch_usec, 2000000);
        }
        {
                PARSE("watch", "--watch=500ms", "list");
                assert_int_equal(p.options.watch_usec, 500000);
        }
        {
                PARSE("list", "--watch=5s");
                assert_int_equal(p.options.watch_usec, 5000000);
        }
        {
                PARSE("list", "--watch");
                assert_int_equal(p.options.watch_usec, 2000000);
                assert_null(p.options.watching);
        }
        {
                PARSE("list");
                assert_int_equal(p.options.watch_usec, 0);
        }
        {
                PARSE("watch", "--help");
                assert_string_equal(p.options.verb->name, "watch");
        }
}

static void what_changes_something_is_not_watched(void **state) {
        {
                PARSE("watch", "kill", "abcd1234");
                refused(&p, "'kill' does not take --watch");
        }
        {
                PARSE("watch", "db", "migrate");
                refused(&p, "'db' with migrate can't be watched");
        }
        {
                PARSE("watch", "db", "status");
                assert_int_equal(p.result, 0);
        }
        {
                PARSE("watch", "events", "--all-hosts", "--follow");
                refused(&p, "'events' with --follow can't be watched");
        }
        {
                PARSE("watch");
                refused(&p, "'watch' needs a verb");
        }
        {
                PARSE("watch", "watch", "list");
                refused(&p, "'watch' can't be watched");
        }
        {
                PARSE("list", "--watch=50ms");
                refused(&p, "--watch '50ms'");
        }
        {
                PARSE("list", "--watch=5");
                refused(&p, "--watch '5'");
        }
}

static void no_verb_is_refused(void **state) {
        PARSE(NULL);

        refused(&p, "no verb");
}

static void mistyped_verb_is_answered_with_the_nearest(void **state) {
        PARSE("hstory");

        refused(&p, "did you mean 'history'");
}

static void verb_like_none_is_answered_without_a_guess(void **state) {
        PARSE("frobnicate");

        refused(&p, "unknown verb 'frobnicate'");
        assert_null(strstr(message_of(&p), "did you mean"));
}

static void mistyped_option_is_answered_with_the_nearest(void **state) {
        PARSE("list", "--jsno");

        refused(&p, "did you mean '--json'");
}

static void option_of_another_verb_is_refused(void **state) {
        PARSE("list", "--limit", "3");

        refused(&p, "'list' does not take --limit");
}

static void limit_must_be_a_number_above_zero(void **state) {
        {
                PARSE("history", "--limit", "0");
                refused(&p, "--limit '0'");
        }
        {
                PARSE("history", "--limit", "many");
                refused(&p, "--limit 'many'");
        }
        {
                PARSE("history", "--limit=20");
                assert_int_equal(p.result, 0);
                assert_int_equal(p.options.limit, 20);
        }
}

static void verdict_must_be_one(void **state) {
        PARSE("history", "--verdict", "memroy");

        refused(&p, "did you mean 'memory'");
}

static void option_without_its_value_is_refused(void **state) {
        PARSE("history", "--analysis");

        refused(&p, "--analysis needs a value");
}

static void switch_with_a_value_is_refused(void **state) {
        PARSE("list", "--all=yes");

        refused(&p, "--all takes no value");
}

static void missing_and_superfluous_runs_are_refused(void **state) {
        {
                PARSE("show");
                refused(&p, "'show' needs a run");
        }
        {
                PARSE("show", "a", "b");
                refused(&p, "takes no 'b'");
        }
        {
                PARSE("list", "a");
                assert_string_equal(message_of(&p), "'list' takes no 'a': scidexctl list");
        }
}

static void json_is_known_even_when_the_line_is_refused_before_it(void **state) {
        PARSE("nonsense", "--json");

        assert_int_equal(p.result, -EINVAL);
        assert_true(p.options.json);
}

static void limits_become_members_of_the_request(void **state) {
        _cleanup_(json_decrefp) json_t *request = json_object(), *error = NULL;
        _cleanup_(json_decrefp) json_t *expected = json_pack(
                "{s:I, s:n, s:I}", "timeout_usec", (json_int_t)7200000000, "memory_bytes", "grace_usec", (json_int_t)0);
        PARSE("set", "abcd1234", "--timeout", "2h", "--memory=infinity", "--grace", "0s");

        assert_int_equal(p.result, 0);
        assert_int_equal(limits_put(&p.options, request, &error), 0);
        assert_true(json_equal(request, expected));
}

static void a_limit_that_can_not_be_read_is_refused_with_the_hint(void **state) {
        _cleanup_(json_decrefp) json_t *request = json_object(), *error = NULL;
        PARSE("set", "abcd1234", "--memory", "2GB");

        assert_int_equal(limits_put(&p.options, request, &error), -EINVAL);
        assert_int_equal(answer_status(error), CTL_USAGE);
        assert_non_null(json_string_value(json_object_get(json_object_get(error, "error"), "hint")));
}

static void labels_are_gathered(void **state) {
        _cleanup_(json_decrefp) json_t *expected = json_pack("{s:s, s:s}", "a", "b=c", "d", "");
        PARSE("register", "4711", "--label", "a=b=c", "--label=d=");

        assert_int_equal(p.result, 0);
        assert_true(json_equal(p.options.labels, expected));
}

static void a_label_without_a_key_and_a_missing_pid_are_refused(void **state) {
        {
                PARSE("register", "4711", "--label", "=b");
                refused(&p, "no KEY=VALUE");
        }
        {
                PARSE("register", "--memory", "2G");
                refused(&p, "'register' needs a process id");
        }
        {
                PARSE("show", "abcd1234", "--memory", "2G");
                refused(&p, "does not take --memory");
        }
}

static void help_needs_no_run(void **state) {
        PARSE("show", "--help");

        assert_int_equal(p.result, 0);
        assert_true(p.options.help);
}

static void codes_have_their_statuses(void **state) {
        static const struct {
                const char *code;
                int status;
        } cases[] = { { "not-found", CTL_ABSENT }, { "ambiguous", CTL_ABSENT }, { "denied", CTL_DENIED },
                { "busy", CTL_DENIED }, { "unsupported", CTL_DENIED }, { "gone", CTL_ABSENT },
                { "bad-request", CTL_USAGE }, { "no-supervisor", CTL_NO_ANSWER }, { "failed", CTL_NO_ANSWER } };
        _cleanup_(json_decrefp) json_t *good = json_pack("{s:b}", "ok", 1);

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(json_decrefp) json_t *answer = answer_failed(cases[i].code, NULL, "x");

                assert_int_equal(answer_status(answer), cases[i].status);
        }
        assert_int_equal(answer_status(good), CTL_OK);
        assert_int_equal(answer_status(NULL), CTL_NO_ANSWER);
}

static void what_goes_with_all_hosts_is_refused_without(void **state) {
        {
                PARSE("list", "--host", "a");
                refused(&p, "--host goes with --all-hosts");
        }
        {
                PARSE("events", "--follow");
                refused(&p, "--follow goes with --all-hosts");
        }
        {
                PARSE("list", "--all-hosts", "--socket", "/x");
                refused(&p, "--socket");
        }
        {
                PARSE("events", "--all-hosts", "--follow", "--host", "a", "--postgres", "host=db");
                assert_int_equal(p.result, 0);
                assert_true(p.options.all_hosts && p.options.follow);
                assert_string_equal(p.options.postgres, "host=db");
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(global_options_may_stand_anywhere),
                cmocka_unit_test(after_two_dashes_everything_is_an_argument),
                cmocka_unit_test(watch_stands_before_the_verb_or_is_an_option),
                cmocka_unit_test(what_changes_something_is_not_watched),
                cmocka_unit_test(no_verb_is_refused),
                cmocka_unit_test(mistyped_verb_is_answered_with_the_nearest),
                cmocka_unit_test(verb_like_none_is_answered_without_a_guess),
                cmocka_unit_test(mistyped_option_is_answered_with_the_nearest),
                cmocka_unit_test(option_of_another_verb_is_refused),
                cmocka_unit_test(limit_must_be_a_number_above_zero),
                cmocka_unit_test(verdict_must_be_one),
                cmocka_unit_test(option_without_its_value_is_refused),
                cmocka_unit_test(switch_with_a_value_is_refused),
                cmocka_unit_test(missing_and_superfluous_runs_are_refused),
                cmocka_unit_test(json_is_known_even_when_the_line_is_refused_before_it),
                cmocka_unit_test(limits_become_members_of_the_request),
                cmocka_unit_test(a_limit_that_can_not_be_read_is_refused_with_the_hint),
                cmocka_unit_test(labels_are_gathered),
                cmocka_unit_test(a_label_without_a_key_and_a_missing_pid_are_refused),
                cmocka_unit_test(help_needs_no_run),
                cmocka_unit_test(codes_have_their_statuses),
                cmocka_unit_test(what_goes_with_all_hosts_is_refused_without),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
