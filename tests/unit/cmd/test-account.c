/* `report`: sums of what was asked for and used, worked out by hand. */
#include "cmd/scidexctl/account.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

static void take(Account *a, const char *analysis, int uid, const char *verdict, json_int_t peak_mib,
        json_int_t limit_mib, double duration, double timeout) {
        _cleanup_(json_decrefp) json_t *row = json_pack("{s:s?, s:i, s:s?, s:I, s:I, s:f, s:f, s:f}", "analysis_id",
                analysis, "uid", uid, "verdict", verdict, "private_peak_bytes", peak_mib << 20, "memory_limit_bytes",
                limit_mib << 20, "duration_sec", duration, "timeout_sec", timeout, "cpu_sec", duration * 2);

        assert_non_null(row);
        assert_int_equal(account_take(a, row), 0);
}

static void take_text(Account *a, const char *text) {
        _cleanup_(json_decrefp) json_t *row = json_loads(text, 0, NULL);

        assert_non_null(row);
        assert_int_equal(account_take(a, row), 0);
}

static char *said(Account *a, bool by_user, size_t most) {
        static const Terminal plain = { 0 };
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_int_equal(account_print(out, &plain, a, by_user, most), 0);
        (void)fclose(out);
        return text;
}

/* 256 of 1024 MiB for 1 h, 768 of 1024 MiB for 3 h: means 512 of 1024, 2 of 4 h; unused 0.75 + 0.75 GiB h. */
static void asked_and_used_are_sums_and_their_share(void **state) {
        _cleanup_(account_freep) Account *a = account_new(ACCOUNT_BY_ANALYSIS);
        _cleanup_(freep) char *text = NULL;
        const AccountEntry *e;
        size_t n;

        take(a, "x", 0, "completed", 256, 1024, 3600, 14400);
        take(a, "x", 0, "completed", 768, 1024, 10800, 14400);
        text = said(a, false, 10);
        assert_non_null(
                strstr(text, "x            2  -       512 MiB / 1.0 GiB  50 %       2h / 4h  50 %  2.00  1.5 GiB h"));
        e = account_sorted(a, &n);
        assert_int_equal(n, 1);
        assert_true(e->memory_used_bytes == 1024.0 * MIB);
        assert_true(e->time_used_sec == 14400);
}

static void what_held_most_without_use_comes_first(void **state) {
        _cleanup_(account_freep) Account *a = account_new(ACCOUNT_BY_ANALYSIS);
        const AccountEntry *e;
        size_t n;

        for (unsigned i = 0; i < 100; i++)
                take(a, "many-small", 0, "completed", 1, 100, 1, 10);
        take(a, "one-large", 0, "completed", 100, 10240, 3600, 7200);
        take(a, "fits", 0, "completed", 10000, 10240, 3600, 7200);
        e = account_sorted(a, &n);
        assert_int_equal(n, 3);
        assert_string_equal(e[0].name, "one-large");
        assert_string_equal(e[1].name, "fits");
        assert_string_equal(e[2].name, "many-small");
}

static void kills_are_told_by_kind(void **state) {
        _cleanup_(account_freep) Account *a = account_new(ACCOUNT_BY_ANALYSIS);
        _cleanup_(freep) char *text = NULL;
        const AccountEntry *e;
        size_t n;

        take(a, "x", 0, "memory", 100, 100, 1, 10);
        take(a, "x", 0, "timeout", 10, 100, 10, 10);
        take(a, "x", 0, "cpu-time", 10, 100, 10, 10);
        take(a, "x", 0, "cancelled", 10, 100, 10, 10);
        text = said(a, false, 10);
        assert_non_null(strstr(text, "1 memory, 2 time"));
        e = account_sorted(a, &n);
        assert_int_equal(e->runs, 4);
}

static void what_has_no_limit_or_no_figure_is_not_compared(void **state) {
        _cleanup_(account_freep) Account *a = account_new(ACCOUNT_BY_ANALYSIS);
        _cleanup_(freep) char *text = NULL;
        const AccountEntry *e;
        size_t n;

        take_text(a,
                "{\"analysis_id\":\"x\",\"verdict\":\"completed\",\"duration_sec\":5,\"memory_limit_bytes\":null,"
                "\"private_peak_bytes\":9,\"timeout_sec\":null}");
        take_text(a, "{\"analysis_id\":\"x\",\"verdict\":\"lost\",\"duration_sec\":null,\"memory_limit_bytes\":7}");
        take_text(a, "{\"analysis_id\":\"x\",\"verdict\":null,\"memory_limit_bytes\":7}");
        text = said(a, false, 10);
        assert_non_null(strstr(text, "no limit"));
        e = account_sorted(a, &n);
        assert_int_equal(e->runs, 2);
        assert_int_equal(e->memory_runs, 0);
        assert_int_equal(e->memory_unlimited, 1);
        assert_int_equal(e->time_unlimited, 1);
        assert_true(e->asked_byte_sec == 0 && e->used_byte_sec == 0);
}

static void per_user_and_without_an_analysis(void **state) {
        _cleanup_(account_freep) Account *users = account_new(ACCOUNT_BY_USER),
                                         *analyses = account_new(ACCOUNT_BY_ANALYSIS);
        _cleanup_(json_decrefp) json_t *json = NULL;
        const AccountEntry *e;
        size_t n;

        take(users, "x", 0, "completed", 1, 2, 1, 2);
        take(users, NULL, 0, "completed", 1, 2, 1, 2);
        take(users, "x", 3999999, "completed", 1, 2, 1, 2);
        json = account_to_json(users, true, 10);
        assert_int_equal(json_array_size(json), 2);
        assert_string_equal(field_text(json_array_get(json, 0), "user"), "root");
        assert_string_equal(field_text(json_array_get(json, 1), "user"), "3999999");
        take(analyses, NULL, 0, "completed", 1, 2, 1, 2);
        e = account_sorted(analyses, &n);
        assert_int_equal(n, 1);
        assert_null(e->name);
}

static void analyses_without_end_take_no_memory_without_end(void **state) {
        _cleanup_(account_freep) Account *a = account_new(ACCOUNT_BY_ANALYSIS);
        _cleanup_(freep) char *text = NULL;
        const AccountEntry *e;
        size_t n;

        for (unsigned i = 0; i < ACCOUNT_ENTRIES_MOST + 5; i++) {
                _cleanup_(freep) char *name = text_printf("a%u", i);

                take(a, name, 0, "completed", 1, 2, 1, 2);
        }
        take(a, "a3", 0, "completed", 1, 2, 1, 2);
        text = said(a, false, 10);
        assert_non_null(strstr(text, "and 9991 more: --limit 10001 shows them"));
        e = account_sorted(a, &n);
        assert_int_equal(n, ACCOUNT_ENTRIES_MOST + 1);
        assert_string_equal(e[0].name, "a3");
        assert_int_equal(e[0].runs, 2);
        assert_true(e[n - 1].is_rest);
        assert_int_equal(e[n - 1].runs, 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(asked_and_used_are_sums_and_their_share),
                cmocka_unit_test(what_held_most_without_use_comes_first),
                cmocka_unit_test(kills_are_told_by_kind),
                cmocka_unit_test(what_has_no_limit_or_no_figure_is_not_compared),
                cmocka_unit_test(per_user_and_without_an_analysis),
                cmocka_unit_test(analyses_without_end_take_no_memory_without_end),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
