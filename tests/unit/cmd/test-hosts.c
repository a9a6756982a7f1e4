/* Hosts and the runs on them, as the database tells of them. */
#include "cmd/scidexctl/rows.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "status/field.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static json_t *parse(const char *text) {
        json_t *value = json_loads(text, 0, NULL);

        assert_non_null(value);
        return value;
}

static const Terminal plain = { .columns = 0 };

static char *printed(void (*print)(FILE *out, const Terminal *terminal, const json_t *hosts), const json_t *hosts) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(out);
        print(out, &plain, hosts);
        assert_int_equal(fclose(out), 0);
        return text;
}

static void a_run_counts_by_what_is_nearer_its_end(void **state) {
        _cleanup_(json_decrefp) json_t *run =
                parse("{\"duration_sec\":30,\"timeout_sec\":100,\"anon_bytes\":90,\"shmem_bytes\":"
                      "0,\"memory_limit_bytes\":100}");
        _cleanup_(json_decrefp) json_t *endless = parse("{\"duration_sec\":30,\"timeout_sec\":null,\"anon_bytes\":90,"
                                                        "\"memory_limit_bytes\":null}");
        _cleanup_(json_decrefp) json_t *nothing = parse("{}");

        assert_true(run_used(run, 0) > 0.89 && run_used(run, 0) < 0.91);
        assert_true(json_object_set_new(run, "duration_sec", json_integer(95)) == 0);
        assert_true(run_used(run, 0) > 0.94 && run_used(run, 0) < 0.96);
        assert_true(run_used(endless, 0) == 0);
        assert_true(run_used(nothing, 0) == 0);
}

static void runs_stand_in_the_order_of_what_they_have_used(void **state) {
        _cleanup_(json_decrefp) json_t *runs =
                parse("[{\"run_id\":\"a\",\"duration_sec\":1,\"timeout_sec\":10},"
                      "{\"run_id\":\"b\"},{\"run_id\":\"c\",\"duration_sec\":9,\"timeout_sec\":10},"
                      "{\"run_id\":\"d\"}]");
        static const char *const wanted[] = { "c", "a", "d", "b" };

        runs_sort(runs);
        assert_int_equal(json_array_size(runs), 4);
        for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
                assert_string_equal(field_text(json_array_get(runs, i), "run_id"), wanted[i]);
}

static void a_host_with_two_supervisors_is_one_host(void **state) {
        _cleanup_(json_decrefp) json_t *hosts =
                parse("[{\"host\":\"a\",\"silent\":true},{\"host\":\"a\",\"silent\":false},"
                      "{\"host\":\"b\",\"silent\":false}]");
        size_t silent = 0;

        assert_int_equal(hosts_count(hosts, &silent), 2);
        assert_int_equal(silent, 1);
}

static void a_silent_host_is_said_with_how_to_forget_it(void **state) {
        _cleanup_(json_decrefp) json_t *hosts =
                parse("[{\"host\":\"fine\",\"silent\":false},{\"host\":\"gone away\",\"silent\":"
                      "true,\"runs\":2,\"heartbeat_at\":\"2026-11-21T07:00:00Z\"}]");
        _cleanup_(freep) char *text = printed(silent_hosts_print, hosts);

        assert_null(strstr(text, "fine"));
        assert_non_null(strstr(text, "gone away has been silent since 2026-11-21"));
        assert_non_null(strstr(text, "they may go on"));
        assert_non_null(strstr(text, "scidexctl db forget 'gone away'"));
}

static void a_host_that_reports_is_no_sentence(void **state) {
        _cleanup_(json_decrefp) json_t *hosts = parse("[{\"host\":\"fine\",\"silent\":false}]");
        _cleanup_(freep) char *text = printed(silent_hosts_print, hosts);

        assert_string_equal(text, "");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_run_counts_by_what_is_nearer_its_end),
                cmocka_unit_test(runs_stand_in_the_order_of_what_they_have_used),
                cmocka_unit_test(a_host_with_two_supervisors_is_one_host),
                cmocka_unit_test(a_silent_host_is_said_with_how_to_forget_it),
                cmocka_unit_test(a_host_that_reports_is_no_sentence),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
