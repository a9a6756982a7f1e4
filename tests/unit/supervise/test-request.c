/* RunRequest: the built-in defaults, JSON both ways, and what is refused with which words. */
#include "supervise/request.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEC            USEC_PER_SEC
#define COMPARED_BYTES (offsetof(RunRequest, require_kernel) + sizeof(bool)) /* padding follows */

static void defaults_are_those_of_the_design(void **state) {
        _cleanup_(request_deinit) RunRequest r;

        request_init(&r);
        assert_int_equal(r.memory_bytes, UINT64_C(2) << 30);
        assert_int_equal(r.memory_high_bytes, UINT64_MAX);
        assert_int_equal(r.swap_bytes, 0);
        assert_int_equal(r.timeout_usec, 1800 * SEC);
        assert_int_equal(r.cpu_time_usec, USEC_INFINITY);
        assert_int_equal(r.grace_usec, 10 * SEC);
        assert_int_equal(r.thrash_usec, 60 * SEC);
        assert_int_equal(r.warn_before_usec, 0);
        assert_int_equal(r.pids, 4096);
        assert_int_equal(r.cpu_centi, UINT64_MAX);
        assert_int_equal(r.term_signal, SIGTERM);
        assert_int_equal(r.warn_signal, SIGUSR1);
        assert_null(r.labels);
        assert_false(r.require_kernel);
}

/* 0, or the error, which must name something and say what to do. */
static int from_text(const char *text, RunRequest *ret, RequestError *ret_error) {
        _cleanup_(json_decrefp) json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

        if (!object)
                fail_msg("no JSON: %s", text);
        return request_from_json(object, ret, ret_error);
}

static void check_refused(const char *text, const char *phrase) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r = { 0 };
        int result = from_text(text, &r, &error);

        if (result != -EINVAL)
                fail_msg("%.100s: %d", text, result);
        assert_non_null(error.message);
        if (!strstr(error.message, phrase))
                fail_msg("%.100s: \"%s\" does not say \"%s\"", text, error.message, phrase);
        if (!error.hint || !*error.hint)
                fail_msg("%.100s: no remedy", text);
        assert_null(r.cmdline); /* nothing to free after a refusal */
        assert_null(r.labels);
}

static void an_empty_request_has_the_defaults(void **state) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r = { 0 };
        _cleanup_(request_deinit) RunRequest defaults;

        request_init(&defaults);
        assert_int_equal(from_text("{}", &r, &error), 0);
        assert_memory_equal(&r, &defaults, COMPARED_BYTES);
}

static void unknown_members_are_ignored(void **state) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r = { 0 };

        assert_int_equal(from_text("{\"colour\":\"red\",\"pids\":7,\"later\":{\"a\":[1]}}", &r, &error), 0);
        assert_int_equal(r.pids, 7);
}

static void every_member_survives_json(void **state) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest back = { 0 };
        _cleanup_(json_decrefp) json_t *object = NULL;
        _cleanup_(request_deinit) RunRequest r = {
                .analysis_id = strdup("SDA-42 \xc3\xa4"),
                .cmdline = strdup("python3 fit.py --all"),
                .cmdline_length = 9999,
                .memory_bytes = 1 << 20,
                .memory_high_bytes = 1 << 19,
                .swap_bytes = 3,
                .timeout_usec = 50 * SEC,
                .cpu_time_usec = 40 * SEC,
                .grace_usec = 7,
                .thrash_usec = 5 * SEC,
                .warn_before_usec = 20 * SEC,
                .pids = 11,
                .cpu_centi = 150,
                .term_signal = SIGINT,
                .warn_signal = SIGUSR2,
                .labels = json_pack("{s:s, s:s}", "project", "exoplanets", "empty", ""),
                .require_kernel = true,
        };

        object = request_to_json(&r);
        assert_non_null(object);
        assert_int_equal(request_from_json(object, &back, &error), 0);
        assert_string_equal(back.analysis_id, r.analysis_id);
        assert_string_equal(back.cmdline, r.cmdline);
        assert_true(json_equal(back.labels, r.labels));
        free(back.analysis_id);
        free(back.cmdline);
        json_decref(back.labels);
        back.analysis_id = r.analysis_id;
        back.cmdline = r.cmdline;
        back.labels = r.labels;
        assert_memory_equal(&back, &r, COMPARED_BYTES); /* and every number */
        back = (RunRequest){ 0 };
}

static void infinity_travels_as_null(void **state) {
        static const char *const keys[] = { "memory_bytes", "memory_high_bytes", "swap_bytes", "timeout_usec",
                "cpu_time_usec", "thrash_usec", "pids", "cpu_centi" };
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r = { 0 };
        _cleanup_(json_decrefp) json_t *all_null = json_object(), *back = NULL;

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                assert_int_equal(json_object_set_new(all_null, keys[i], json_null()), 0);
        assert_int_equal(request_from_json(all_null, &r, &error), 0);
        assert_int_equal(r.memory_bytes, UINT64_MAX);
        assert_int_equal(r.timeout_usec, USEC_INFINITY);
        assert_int_equal(r.pids, UINT64_MAX);
        back = request_to_json(&r);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                assert_true(json_is_null(json_object_get(back, keys[i])));
}

static void json_has_the_members_of_the_protocol(void **state) {
        static const char *const keys[] = { "analysis_id", "cmdline", "cmdline_length", "memory_bytes",
                "memory_high_bytes", "swap_bytes", "timeout_usec", "cpu_time_usec", "grace_usec", "thrash_usec",
                "warn_before_usec", "warn_signal", "term_signal", "pids", "cpu_centi", "labels", "require_kernel" };
        _cleanup_(request_deinit) RunRequest r;
        _cleanup_(json_decrefp) json_t *object = NULL;

        request_init(&r);
        r.analysis_id = strdup("a");
        r.cmdline = strdup("true");
        r.labels = json_object();
        object = request_to_json(&r);
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (!json_object_get(object, keys[i]))
                        fail_msg("no member %s", keys[i]);
        assert_int_equal(json_object_size(object), ELEMENTSOF(keys));
}

static void a_command_line_that_is_no_utf8_still_travels(void **state) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r, back = { 0 };
        _cleanup_(json_decrefp) json_t *object = NULL;
        char bytes[REQUEST_CMDLINE_MAX + 1];
        char *argv[] = { bytes, NULL };

        memset(bytes, 0xff, REQUEST_CMDLINE_MAX);
        bytes[REQUEST_CMDLINE_MAX] = '\0';
        request_init(&r);
        assert_int_equal(request_set_command(&r, argv), 0);
        object = request_to_json(&r);
        assert_int_equal(request_from_json(object, &back, &error), 0);
        assert_int_equal(strncmp(back.cmdline, "\\xff\\xff", 8), 0);
        assert_int_equal(back.cmdline_length, REQUEST_CMDLINE_MAX);
}

static void numbers_of_another_type_are_refused_by_name(void **state) {
        static const char *const keys[] = { "memory_bytes", "memory_high_bytes", "swap_bytes", "timeout_usec",
                "cpu_time_usec", "grace_usec", "thrash_usec", "warn_before_usec", "pids", "cpu_centi", "term_signal",
                "warn_signal", "cmdline_length" };
        static const char *const values[] = { "\"2G\"", "-1", "-9223372036854775808", "1e300", "2.0", "true", "[]",
                "{\"a\":1}" };
        char text[128];

        for (size_t k = 0; k < ELEMENTSOF(keys); k++)
                for (size_t v = 0; v < ELEMENTSOF(values); v++) {
                        (void)snprintf(text, sizeof(text), "{\"%s\":%s}", keys[k], values[v]);
                        if (strstr(keys[k], "signal") && values[v][0] == '-' && !values[v][2])
                                check_refused(text, "signal"); /* a number, but none of a signal */
                        else
                                check_refused(text, keys[k]);
                }
}

static void other_members_of_another_type_are_refused_by_name(void **state) {
        static const char *const members[][2] = {
                { "{\"analysis_id\":7}", "analysis_id" },
                { "{\"analysis_id\":[\"SDA-1\"]}", "analysis_id" },
                { "{\"cmdline\":{}}", "cmdline" },
                { "{\"require_kernel\":\"yes\"}", "require_kernel" },
                { "{\"require_kernel\":1}", "require_kernel" },
                { "{\"labels\":[]}", "labels" },
                { "{\"labels\":\"a=b\"}", "labels" },
                { "{\"labels\":{\"a\":1}}", "label \"a\"" },
                { "{\"labels\":{\"a\":null}}", "label \"a\"" },
                { "{\"labels\":{\"a\":{\"b\":\"c\"}}}", "label \"a\"" },
                { "{\"labels\":{\"\":\"x\"}}", "label key" },
                { "[]", "request" },
                { "[{\"pids\":1}]", "request" },
        };

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                check_refused(members[i][0], members[i][1]);
}

static void values_that_make_no_sense_are_refused_with_the_remedy(void **state) {
        static const char *const members[][2] = {
                { "{\"analysis_id\":\"\"}", "analysis id" },
                { "{\"memory_bytes\":0}", "memory limit" },
                { "{\"memory_bytes\":4095}", "memory limit" },
                { "{\"memory_bytes\":8192,\"memory_high_bytes\":8193}", "memory-high" },
                { "{\"pids\":0}", "processes" },
                { "{\"cpu_centi\":0}", "CPUs" },
                { "{\"timeout_usec\":0}", "timeout" },
                { "{\"cpu_time_usec\":0}", "CPU-time" },
                { "{\"grace_usec\":86400000001}", "grace" },
                { "{\"grace_usec\":null}", "grace" },
                { "{\"thrash_usec\":1999999}", "thrash" },
                { "{\"warn_before_usec\":1800000000,\"timeout_usec\":1800000000}", "warning" },
                { "{\"warn_before_usec\":null,\"timeout_usec\":null}", "warning" },
                { "{\"term_signal\":0}", "signal 0" },
                { "{\"term_signal\":19}", "signal 19" },
                { "{\"term_signal\":18}", "signal 18" },
                { "{\"term_signal\":65}", "signal 65" },
                { "{\"warn_signal\":0}", "no signal" },
                { "{\"warn_signal\":1000}", "no signal" },
        };

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                check_refused(members[i][0], members[i][1]);
}

static void values_at_the_edge_are_taken(void **state) {
        static const char *const texts[] = {
                "{\"memory_bytes\":4096,\"memory_high_bytes\":4096}",
                "{\"memory_bytes\":9223372036854775807,\"timeout_usec\":9223372036854775807}",
                "{\"grace_usec\":0}",
                "{\"grace_usec\":86400000000}",
                "{\"thrash_usec\":2000000}",
                "{\"timeout_usec\":1}",
                "{\"timeout_usec\":10,\"warn_before_usec\":9}",
                "{\"term_signal\":9}",
                "{\"term_signal\":64}",
                "{\"analysis_id\":null,\"labels\":null,\"cmdline\":null,\"cmdline_length\":null}",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                _cleanup_(request_deinit) RunRequest r = { 0 };

                if (from_text(texts[i], &r, &error) != 0)
                        fail_msg("%s: %s", texts[i], error.message);
        }
}

static void what_was_asked_for_is_known_from_what_is_a_default(void **state) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r = { 0 };

        assert_int_equal(from_text("{\"memory_bytes\":null,\"pids\":4096,\"warn_signal\":10}", &r, &error), 0);
        assert_int_equal(
                r.given, REQUEST_MEMORY | REQUEST_PIDS | REQUEST_WARN_SIGNAL); /* also what equals its default */
}

static void only_what_was_asked_for_is_sent(void **state) {
        _cleanup_(request_deinit) RunRequest r;
        _cleanup_(json_decrefp) json_t *object = NULL;

        request_init(&r);
        r.analysis_id = strdup("a");
        r.given = REQUEST_TIMEOUT | REQUEST_TERM_SIGNAL;
        object = request_given_to_json(&r);
        assert_int_equal(json_object_size(object), 6);
        assert_int_equal(json_integer_value(json_object_get(object, "timeout_usec")), 1800 * SEC);
        assert_int_equal(json_integer_value(json_object_get(object, "term_signal")), SIGTERM);
        assert_non_null(json_object_get(object, "analysis_id"));
        assert_non_null(json_object_get(object, "cmdline"));
        assert_non_null(json_object_get(object, "cmdline_length"));
        assert_non_null(json_object_get(object, "require_kernel"));
}

static void what_a_run_got_is_its_limits_and_signals(void **state) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r, other;
        _cleanup_(json_decrefp) json_t *object = NULL;

        request_init(&r);
        request_init(&other);
        r.analysis_id = strdup("a");
        r.memory_bytes = UINT64_MAX;
        r.grace_usec = 7;
        r.term_signal = SIGINT;
        object = request_limits_to_json(&r);
        assert_int_equal(json_object_size(object), 12);
        assert_null(json_object_get(object, "analysis_id"));
        other.analysis_id = strdup("mine");
        assert_int_equal(request_update(&other, object, &error), 0);
        assert_string_equal(other.analysis_id, "mine");
        assert_int_equal(other.memory_bytes, UINT64_MAX);
        assert_int_equal(other.grace_usec, 7);
        assert_int_equal(other.term_signal, SIGINT);
        assert_int_equal(other.given, REQUEST_ALL);
}

static void an_update_changes_what_it_names_or_nothing(void **state) {
        static const char *const bad[] = { "{\"grace_usec\":5,\"memory_bytes\":\"2G\"}",
                "{\"grace_usec\":5,\"memory_bytes\":7}", "{\"grace_usec\":5,\"term_signal\":0}" };
        _cleanup_(request_deinit) RunRequest r, before;

        request_init(&r);
        request_init(&before);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                _cleanup_(json_decrefp) json_t *object = json_loads(bad[i], 0, NULL);

                assert_int_equal(request_update(&r, object, &error), -EINVAL);
                assert_non_null(error.message);
                assert_memory_equal(&r, &before, COMPARED_BYTES);
                assert_int_equal(r.given, 0);
        }
        {
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                _cleanup_(json_decrefp) json_t *object = json_pack("{s:i}", "grace_usec", 5);

                assert_int_equal(request_update(&r, object, &error), 0);
                assert_int_equal(r.grace_usec, 5);
                assert_int_equal(r.given, REQUEST_GRACE);
                assert_int_equal(request_update(&r, NULL, &error), 0); /* as from a supervisor that does not tell */
                assert_int_equal(r.given, REQUEST_GRACE);
        }
}

static void what_must_fit_is_compared_where_both_were_given(void **state) {
        static const char *const one[] = { "{\"memory_high_bytes\":9999999999}", "{\"warn_before_usec\":3600000000}" };
        static const char *const both[][2] = {
                { "{\"memory_high_bytes\":9999999999,\"memory_bytes\":2147483648}", "memory-high" },
                { "{\"warn_before_usec\":3600000000,\"timeout_usec\":1800000000}", "warning" },
        };

        for (size_t i = 0; i < ELEMENTSOF(one); i++) {
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                _cleanup_(request_deinit) RunRequest r = { 0 };

                assert_int_equal(from_text(one[i], &r, &error), 0);
                check_refused(both[i][0], both[i][1]);
        }
}

static char *text_of(size_t length) {
        char *text = malloc(length + 1);

        assert_non_null(text);
        memset(text, 'x', length);
        text[length] = '\0';
        return text;
}

static void check_length(const char *format, size_t length, const char *phrase) {
        _cleanup_(freep) char *value = text_of(length);
        _cleanup_(freep) char *text = NULL;
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r = { 0 };

/* The formats are literals of this file. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        assert_true(asprintf(&text, format, value) > 0);
#pragma GCC diagnostic pop
        if (phrase)
                check_refused(text, phrase);
        else
                assert_int_equal(from_text(text, &r, &error), 0);
}

static void texts_are_bounded_in_bytes(void **state) {
        check_length("{\"analysis_id\":\"%s\"}", 255, NULL);
        check_length("{\"analysis_id\":\"%s\"}", 256, "analysis_id");
        check_length("{\"analysis_id\":\"%s\"}", 300, "analysis_id");
        check_length("{\"cmdline\":\"%s\"}", 4096, NULL);
        check_length("{\"cmdline\":\"%s\"}", 60000, "cmdline");
        check_length("{\"labels\":{\"k\":\"%s\"}}", 255, NULL);
        check_length("{\"labels\":{\"k\":\"%s\"}}", 256, "label \"k\"");
        check_length("{\"labels\":{\"%s\":\"v\"}}", 255, NULL);
        check_length("{\"labels\":{\"%s\":\"v\"}}", 256, "label key");
}

static void labels_are_bounded_in_number(void **state) {
        for (int n = REQUEST_LABELS_MAX; n <= REQUEST_LABELS_MAX + 1; n++) {
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                _cleanup_(request_deinit) RunRequest r;
                char key[16];

                request_init(&r);
                r.labels = json_object();
                for (int i = 0; i < n; i++) {
                        (void)snprintf(key, sizeof(key), "k%d", i);
                        assert_int_equal(json_object_set_new(r.labels, key, json_string("v")), 0);
                }
                assert_int_equal(request_validate(&r, &error), n > REQUEST_LABELS_MAX ? -EINVAL : 0);
                assert_true(n <= REQUEST_LABELS_MAX || (error.message && error.hint));
        }
}

/* A text with a NUL in it can be built, not received: the packet that holds one is no JSON to message_receive(). */
static void a_nul_in_a_text_does_not_get_past_the_parser(void **state) {
        _cleanup_(json_decrefp) json_t *object = json_loads("{\"analysis_id\":\"a\\u0000b\"}", 0, NULL);

        assert_null(object);
}

static void an_analysis_id_is_checked_where_no_json_was(void **state) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest r;

        request_init(&r);
        r.analysis_id = text_of(256);
        assert_int_equal(request_validate(&r, &error), -EINVAL);
        assert_non_null(strstr(error.message, "256 bytes"));
        assert_non_null(strstr(error.hint, "255"));
}

static void a_command_is_its_words_joined_by_blanks(void **state) {
        _cleanup_(request_deinit) RunRequest r;
        char *argv[] = { (char *)"python3", (char *)"a b", (char *)"", (char *)"c", NULL };
        char *none[] = { NULL };

        request_init(&r);
        assert_int_equal(request_set_command(&r, argv), 0);
        assert_string_equal(r.cmdline, "python3 a b  c");
        assert_int_equal(r.cmdline_length, strlen(r.cmdline));
        assert_int_equal(request_set_command(&r, none), 0);
        assert_string_equal(r.cmdline, "");
        assert_int_equal(r.cmdline_length, 0);
}

static void a_long_command_is_cut_at_a_character_and_its_length_kept(void **state) {
        _cleanup_(request_deinit) RunRequest r;
        _cleanup_(freep) char *word = text_of(REQUEST_CMDLINE_MAX + 9);
        char *argv[] = { word, NULL };

        request_init(&r);
        assert_int_equal(request_set_command(&r, argv), 0);
        assert_int_equal(strlen(r.cmdline), REQUEST_CMDLINE_MAX);
        assert_int_equal(r.cmdline_length, REQUEST_CMDLINE_MAX + 9);
        for (size_t i = 0; i < 3; i++) /* the last byte of a euro sign would be cut off */
                word[REQUEST_CMDLINE_MAX - 2 + i] = "\xe2\x82\xac"[i];
        assert_int_equal(request_set_command(&r, argv), 0);
        assert_int_equal(strlen(r.cmdline), REQUEST_CMDLINE_MAX - 2);
        memset(word, 0x80, strlen(word)); /* no characters at all: cut at the bytes */
        assert_int_equal(request_set_command(&r, argv), 0);
        assert_in_range(strlen(r.cmdline), REQUEST_CMDLINE_MAX - 4, REQUEST_CMDLINE_MAX);
}

static void the_kernel_is_asked_for_what_it_can_take(void **state) {
        _cleanup_(request_deinit) RunRequest r;
        Limits limits;

        request_init(&r);
        r.memory_high_bytes = 5;
        r.swap_bytes = 6;
        r.cpu_centi = 150;
        limits = request_limits(&r);
        assert_int_equal(limits.memory_bytes, r.memory_bytes);
        assert_int_equal(limits.memory_high_bytes, 5);
        assert_int_equal(limits.swap_bytes, 6);
        assert_int_equal(limits.pids, 4096);
        assert_int_equal(limits.cpu_centi, 150);
        r.pids = 4194304; /* PID_MAX_LIMIT: pids.max answers EINVAL above it */
        assert_int_equal(request_limits(&r).pids, 4194304);
        r.pids = 4194305;
        assert_int_equal(request_limits(&r).pids, UINT64_MAX);
        r.cpu_centi = UINT64_MAX - 1;
        assert_int_equal(request_limits(&r).cpu_centi, UINT64_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults_are_those_of_the_design),
                cmocka_unit_test(an_empty_request_has_the_defaults),
                cmocka_unit_test(unknown_members_are_ignored),
                cmocka_unit_test(every_member_survives_json),
                cmocka_unit_test(infinity_travels_as_null),
                cmocka_unit_test(json_has_the_members_of_the_protocol),
                cmocka_unit_test(a_command_line_that_is_no_utf8_still_travels),
                cmocka_unit_test(numbers_of_another_type_are_refused_by_name),
                cmocka_unit_test(other_members_of_another_type_are_refused_by_name),
                cmocka_unit_test(values_that_make_no_sense_are_refused_with_the_remedy),
                cmocka_unit_test(values_at_the_edge_are_taken),
                cmocka_unit_test(what_was_asked_for_is_known_from_what_is_a_default),
                cmocka_unit_test(only_what_was_asked_for_is_sent),
                cmocka_unit_test(what_a_run_got_is_its_limits_and_signals),
                cmocka_unit_test(an_update_changes_what_it_names_or_nothing),
                cmocka_unit_test(what_must_fit_is_compared_where_both_were_given),
                cmocka_unit_test(texts_are_bounded_in_bytes),
                cmocka_unit_test(labels_are_bounded_in_number),
                cmocka_unit_test(a_nul_in_a_text_does_not_get_past_the_parser),
                cmocka_unit_test(an_analysis_id_is_checked_where_no_json_was),
                cmocka_unit_test(a_command_is_its_words_joined_by_blanks),
                cmocka_unit_test(a_long_command_is_cut_at_a_character_and_its_length_kept),
                cmocka_unit_test(the_kernel_is_asked_for_what_it_can_take),
        };

        return cmocka_run_group_tests_name("supervise-request", tests, NULL, NULL);
}
