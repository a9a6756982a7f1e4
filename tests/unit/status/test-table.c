/* Tables and fields: what fits, what is never cut, what is escaped. */
#include "status/field.h"
#include "status/table.h"

#include "base/cleanup.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const Column columns[] = {
        { "RUN" },
        { "ANALYSIS" },
        { "SIZE", .right = true, .rank = 2 },
        { "USER", .rank = 1 },
        { "DETAIL", .rank = 3, .shrink = 10 },
};

static char *table_made(unsigned width, const char *analysis, const char *detail) {
        _cleanup_(table_deinit) Table table = TABLE_OF(columns);
        Terminal terminal = { .columns = width };
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        table_text(&table, TONE_STRONG, "7c1e90ab");
        table_text(&table, TONE_PLAIN, analysis);
        table_cell(&table, TONE_PLAIN, "%d", 7);
        table_text(&table, TONE_PLAIN, NULL);
        table_text(&table, TONE_PLAIN, detail);
        assert_int_equal(table_print(out, &terminal, &table), 0);
        (void)fclose(out);
        return text;
}

static void columns_are_aligned_and_lines_have_no_trailing_blanks(void **state) {
        _cleanup_(freep) char *text = table_made(0, "SDA-42", "x");

        assert_string_equal(text,
                "RUN       ANALYSIS  SIZE  USER  DETAIL\n"
                "7c1e90ab  SDA-42       7  -     x\n");
}

static void narrow_terminal_cuts_what_may_be_cut_first(void **state) {
        _cleanup_(freep) char *text = table_made(45, "SDA-42", "a detail that is rather long for that");

        assert_string_equal(text,
                "RUN       ANALYSIS  SIZE  USER  DETAIL\n"
                "7c1e90ab  SDA-42       7  -     a detail th..\n");
}

static void a_character_is_cut_whole_where_the_locale_knows_none(void **state) {
        const char *locale = setlocale(LC_CTYPE, NULL);
        _cleanup_(freep) char *before = locale ? strdup(locale) : NULL, *text = NULL;

        assert_non_null(before);
        assert_non_null(setlocale(LC_CTYPE, "C"));
        text = table_made(45, "SDA-42", "a detail t\u20ac\u20ac\u20ac is rather long");
        assert_non_null(setlocale(LC_CTYPE, before));
        assert_non_null(strstr(text, "a detail t\u20ac..\n"));
}

static void narrower_one_drops_columns_but_never_ids(void **state) {
        _cleanup_(freep) char *text = table_made(20, "SDA-42", "a detail that is rather long for that");

        assert_string_equal(text, "RUN       ANALYSIS\n7c1e90ab  SDA-42\n");
}

static void long_id_is_shown_in_full(void **state) {
        const char *id = "an-analysis-id-much-longer-than-any-terminal-is-wide-0123456789-0123456789-0123456789";
        _cleanup_(freep) char *text = table_made(40, id, "x");

        assert_non_null(strstr(text, id));
}

static void hostile_text_is_escaped(void **state) {
        _cleanup_(freep) char *text = table_made(0, "a\x1b[2Jb\nc", "\xff");

        assert_non_null(strstr(text, "a\\x1b[2Jb\\x0ac"));
        assert_null(strchr(text, '\x1b'));
        assert_non_null(strstr(text, "\\xff"));
}

static void wide_characters_count_their_columns(void **state) {
        assert_int_equal(text_columns("abc"), 3);
        assert_int_equal(text_columns("日本"), 4);
        assert_int_equal(text_columns("é"), 1);
}

static void colour_is_only_added(void **state) {
        Terminal terminal = { .colour = true };
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        tone_print(out, &terminal, TONE_BAD, "not ok");
        (void)fclose(out);
        assert_string_equal(text, "\x1b[31mnot ok\x1b[0m");
        free(text);
}

static void short_id_is_the_end_of_the_run_id(void **state) {
        _cleanup_(json_decrefp) json_t *run = json_pack("{s:s}", "run_id", "01936f2e-8c11-7a52-9d3e-40aa7c1e90ab");
        _cleanup_(json_decrefp) json_t *none = json_object();

        assert_string_equal(run_short_id(run), "7c1e90ab");
        assert_string_equal(run_short_id(none), "?");
}

static void memory_without_cache_falls_back_to_the_whole(void **state) {
        _cleanup_(json_decrefp) json_t *split =
                json_pack("{s:i, s:i, s:i}", "anon_bytes", 10, "shmem_bytes", 5, "memory_bytes", 90);
        _cleanup_(json_decrefp) json_t *whole = json_pack("{s:n, s:i}", "anon_bytes", "memory_bytes", 90);
        _cleanup_(json_decrefp) json_t *none = json_object();
        uint64_t bytes;

        assert_true(run_private_bytes(split, &bytes));
        assert_int_equal(bytes, 15);
        assert_true(run_private_bytes(whole, &bytes));
        assert_int_equal(bytes, 90);
        assert_false(run_private_bytes(none, &bytes));
}

static void null_is_not_zero(void **state) {
        _cleanup_(json_decrefp) json_t *run = json_pack("{s:n, s:i, s:f}", "a", "b", -1, "c", 1.5);
        uint64_t value;

        assert_false(field_u64(run, "a", &value));
        assert_false(field_u64(run, "b", &value));
        assert_false(field_u64(run, "missing", &value));
        assert_true(field_usec(run, "c", &value));
        assert_int_equal(value, 1500000);
}

static void shell_reads_a_quoted_word_back(void **state) {
        _cleanup_(freep) char *plain = shell_quote("SDA-42"), *blank = shell_quote("a b"), *quote = shell_quote("it's"),
                              *empty = shell_quote(""), *command = shell_quote("$(rm x)");

        assert_string_equal(plain, "SDA-42");
        assert_string_equal(blank, "'a b'");
        assert_string_equal(quote, "'it'\\''s'");
        assert_string_equal(empty, "''");
        assert_string_equal(command, "'$(rm x)'");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(columns_are_aligned_and_lines_have_no_trailing_blanks),
                cmocka_unit_test(narrow_terminal_cuts_what_may_be_cut_first),
                cmocka_unit_test(a_character_is_cut_whole_where_the_locale_knows_none),
                cmocka_unit_test(narrower_one_drops_columns_but_never_ids),
                cmocka_unit_test(long_id_is_shown_in_full),
                cmocka_unit_test(hostile_text_is_escaped),
                cmocka_unit_test(wide_characters_count_their_columns),
                cmocka_unit_test(colour_is_only_added),
                cmocka_unit_test(short_id_is_the_end_of_the_run_id),
                cmocka_unit_test(memory_without_cache_falls_back_to_the_whole),
                cmocka_unit_test(null_is_not_zero),
                cmocka_unit_test(shell_reads_a_quoted_word_back),
        };

        (void)setlocale(LC_ALL, "C.UTF-8");
        return cmocka_run_group_tests(tests, NULL, NULL);
}
