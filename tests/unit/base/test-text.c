/* base/text.c: what others wrote, made fit for a terminal. */
#include "base/cleanup.h"
#include "base/parse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* UTF-8 of a code point by the table of RFC 3629, also of those that have none. */
static void encode(uint32_t code, char ret[static 5]) {
        size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        static const unsigned char first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

        ret[n] = '\0';
        for (size_t i = n - 1; i > 0; i--, code >>= 6)
                ret[i] = (char)(0x80 | (code & 0x3f));
        ret[0] = (char)(first[n] | code);
}

static bool escaped_by_contract(uint32_t code) {
        return code < 0x20 || code == 0x7f || (code >= 0x80 && code <= 0x9f) || code == 0x61c || code == 0x200e ||
                code == 0x200f || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

static void assert_escaped(const char *text, const char *expected) {
        _cleanup_(freep) char *escaped = text_escape(text);

        assert_non_null(escaped);
        assert_string_equal(escaped, expected);
}

static void every_code_point_but_surrogates_is_utf8(void **state) {
        for (uint32_t code = 1; code <= 0x10ffff; code++) {
                char text[5];

                encode(code, text);
                if (text_is_utf8(text) != (code < 0xd800 || code > 0xdfff))
                        fail_msg("wrong about U+%04X", code);
        }
}

static void every_pair_of_bytes_is_judged_by_the_table(void **state) {
        for (unsigned a = 1; a < 256; a++)
                for (unsigned b = 1; b < 256; b++) {
                        char text[] = { (char)a, (char)b, '\0' };
                        bool valid = (a < 0x80 && b < 0x80) || (a >= 0xc2 && a <= 0xdf && b >= 0x80 && b <= 0xbf);

                        if (text_is_utf8(text) != valid)
                                fail_msg("wrong about %02x %02x", a, b);
                }
}

static void overlong_cut_and_too_large_forms_are_not_utf8(void **state) {
        static const char *const cases[] = {
                "\xc0\x80",
                "\xc1\xbf",
                "\xe0\x80\x80",
                "\xe0\x9f\xbf",
                "\xf0\x80\x80\x80",
                "\xf0\x8f\xbf\xbf",
                "\xf4\x90\x80\x80",
                "\xf5\x80\x80\x80",
                "\xed\xa0\x80",
                "\xe2\x82",
                "\xf0\x9f\x94",
                "\xe2\x82z",
                "\x80",
                "ok\xff",
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_false(text_is_utf8(cases[i]));
        assert_true(text_is_utf8(""));
}

static void plain_text_is_copied(void **state) {
        assert_escaped("", "");
        assert_escaped("Rscript --vanilla 'caf\u00e9' \\n \U0001f52c", "Rscript --vanilla 'caf\u00e9' \\n \U0001f52c");
}

static void terminal_sequences_become_hex(void **state) {
        assert_escaped("\x1b[2Jgone", "\\x1b[2Jgone");
        assert_escaped("\x1b]0;title\a", "\\x1b]0;title\\x07");
        assert_escaped("a\nb\tc\r", "a\\x0ab\\x09c\\x0d");
        assert_escaped("\x7f", "\\x7f");
        assert_escaped("\xc2\x9b"
                       "31m",
                "\\xc2\\x9b31m");
}

static void marks_of_direction_become_hex(void **state) {
        /* NOLINTNEXTLINE(misc-misleading-bidirectional): that it misleads is the point */
        assert_escaped("a\u202etxt.exe", "a\\xe2\\x80\\xaetxt.exe");
        assert_escaped("\u061c", "\\xd8\\x9c");
}

static void bytes_that_are_not_utf8_become_hex(void **state) {
        assert_escaped("a\xff"
                       "b",
                "a\\xffb");
        assert_escaped("\xe2\x82", "\\xe2\\x82");
        assert_escaped("\xe2\x82\u00e9", "\\xe2\\x82\u00e9");
}

static void every_code_point_is_escaped_or_kept_as_the_contract_says(void **state) {
        for (uint32_t code = 1; code < 0x30000; code++) {
                _cleanup_(freep) char *escaped = NULL;
                char text[5];

                if (code >= 0xd800 && code <= 0xdfff)
                        continue;
                encode(code, text);
                escaped = text_escape(text);
                assert_non_null(escaped);
                if ((strcmp(escaped, text) != 0) != escaped_by_contract(code))
                        fail_msg("wrong about U+%04X", code);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_code_point_but_surrogates_is_utf8),
                cmocka_unit_test(every_pair_of_bytes_is_judged_by_the_table),
                cmocka_unit_test(overlong_cut_and_too_large_forms_are_not_utf8),
                cmocka_unit_test(plain_text_is_copied),
                cmocka_unit_test(terminal_sequences_become_hex),
                cmocka_unit_test(marks_of_direction_become_hex),
                cmocka_unit_test(bytes_that_are_not_utf8_become_hex),
                cmocka_unit_test(every_code_point_is_escaped_or_kept_as_the_contract_says),
        };

        return cmocka_run_group_tests_name("base-text", tests, NULL, NULL);
}
