/* base/json.h: numbers and text that always fit, getters that say what is wrong. */
#include "base/cleanup.h"
#include "base/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static json_t *object;

static int setup(void **state) {
        object = json_loads("{\"zero\":0,\"n\":7,\"negative\":-1,\"large\":9223372036854775807,\"null\":null,"
                            "\"real\":1.5,\"text\":\"abc\",\"empty\":\"\",\"yes\":true,\"no\":false,\"list\":[1]}",
                0, NULL);
        return object ? 0 : -1;
}

static int teardown(void **state) {
        json_decref(object);
        return 0;
}

static void assert_json(json_t *value, const char *expected) {
        _cleanup_(json_decrefp) json_t *owned = value;
        _cleanup_(freep) char *text = json_to_text(owned);

        assert_non_null(text);
        assert_string_equal(text, expected);
}

static void infinity_travels_as_null(void **state) {
        assert_json(json_from_u64(UINT64_MAX), "null");
}

static void numbers_above_2_to_the_63_are_capped(void **state) {
        assert_json(json_from_u64(0), "0");
        assert_json(json_from_u64(INT64_MAX), "9223372036854775807");
        assert_json(json_from_u64((uint64_t)INT64_MAX + 1), "9223372036854775807");
        assert_json(json_from_u64(UINT64_MAX - 1), "9223372036854775807");
}

static void text_that_is_utf8_stays_as_it_is(void **state) {
        assert_json(json_from_text(""), "\"\"");
        assert_json(json_from_text("a\"b\\c"), "\"a\\\"b\\\\c\"");
        assert_json(json_from_text("caf\u00e9 \U0001f52c"), "\"caf\u00e9 \U0001f52c\"");
        assert_json(json_from_text("\x1b[2J\n"), "\"\\u001B[2J\\n\"");
}

static void bytes_that_are_not_utf8_become_hex(void **state) {
        assert_json(json_from_text("a\xff"), "\"a\\\\xff\"");
        assert_json(json_from_text("\xc3"), "\"\\\\xc3\"");
        assert_json(json_from_text("\u00e9\xed\xa0\x80z"), "\"\u00e9\\\\xed\\\\xa0\\\\x80z\"");
}

static void any_byte_makes_a_string(void **state) {
        for (int byte = 1; byte < 256; byte++) {
                char text[] = { 'a', (char)byte, 'b', '\0' };
                _cleanup_(json_decrefp) json_t *value = json_from_text(text);

                assert_true(json_is_string(value));
        }
}

static void no_text_is_null(void **state) {
        assert_json(json_from_text(NULL), "null");
}

static void a_number_is_read(void **state) {
        uint64_t value = 42;
        int number = 42;

        assert_int_equal(json_get_u64(object, "zero", &value), 0);
        assert_int_equal(value, 0);
        assert_int_equal(json_get_u64(object, "large", &value), 0);
        assert_int_equal(value, INT64_MAX);
        assert_int_equal(json_get_int(object, "n", &number), 0);
        assert_int_equal(number, 7);
        assert_int_equal(json_get_int(object, "negative", &number), 0);
        assert_int_equal(number, -1);
}

static void null_reads_as_infinity(void **state) {
        uint64_t value = 42;

        assert_int_equal(json_get_u64(object, "null", &value), 0);
        assert_int_equal(value, UINT64_MAX);
}

static void what_was_written_reads_back(void **state) {
        static const uint64_t values[] = { 0, 1, UINT64_C(1) << 53, (UINT64_C(1) << 53) + 1, INT64_MAX, UINT64_MAX };

        for (size_t i = 0; i < ELEMENTSOF(values); i++) {
                _cleanup_(json_decrefp) json_t *written = json_pack("{s:o}", "v", json_from_u64(values[i]));
                _cleanup_(freep) char *text = json_to_text(written);
                _cleanup_(json_decrefp) json_t *again = json_loads(text, 0, NULL);
                uint64_t value;

                assert_int_equal(json_get_u64(again, "v", &value), 0);
                assert_int_equal(value, values[i]);
        }
}

static void a_missing_key_is_enoent(void **state) {
        uint64_t value = 42;
        int number = 42;
        bool flag = true;
        const char *text = "untouched";

        assert_int_equal(json_get_u64(object, "nowhere", &value), -ENOENT);
        assert_int_equal(json_get_int(object, "nowhere", &number), -ENOENT);
        assert_int_equal(json_get_bool(object, "nowhere", &flag), -ENOENT);
        assert_int_equal(json_get_text(object, "nowhere", &text), -ENOENT);
        assert_int_equal(value, 42);
        assert_int_equal(number, 42);
        assert_true(flag);
        assert_string_equal(text, "untouched");
}

static void null_reads_as_no_text(void **state) {
        const char *text = NULL;

        assert_int_equal(json_get_text(object, "null", &text), -ENOENT);
}

static void another_type_is_einval(void **state) {
        static const char *const not_u64[] = { "negative", "real", "text", "yes", "list" };
        static const char *const not_int[] = { "large", "null", "real", "text", "yes", "list" };
        static const char *const not_bool[] = { "zero", "null", "text", "list" };
        static const char *const not_text[] = { "zero", "yes", "list" };
        uint64_t value;
        int number;
        bool flag;
        const char *text;

        for (size_t i = 0; i < ELEMENTSOF(not_u64); i++)
                assert_int_equal(json_get_u64(object, not_u64[i], &value), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(not_int); i++)
                assert_int_equal(json_get_int(object, not_int[i], &number), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(not_bool); i++)
                assert_int_equal(json_get_bool(object, not_bool[i], &flag), -EINVAL);
        for (size_t i = 0; i < ELEMENTSOF(not_text); i++)
                assert_int_equal(json_get_text(object, not_text[i], &text), -EINVAL);
}

static void what_is_no_object_has_no_keys(void **state) {
        _cleanup_(json_decrefp) json_t *list = json_array();
        uint64_t value;

        assert_int_equal(json_get_u64(list, "n", &value), -ENOENT);
        assert_int_equal(json_get_u64(NULL, "n", &value), -ENOENT);
}

static void flags_and_text_are_read(void **state) {
        bool flag = false;
        const char *text;

        assert_int_equal(json_get_bool(object, "yes", &flag), 0);
        assert_true(flag);
        assert_int_equal(json_get_bool(object, "no", &flag), 0);
        assert_false(flag);
        assert_int_equal(json_get_text(object, "text", &text), 0);
        assert_string_equal(text, "abc");
        assert_int_equal(json_get_text(object, "empty", &text), 0);
        assert_string_equal(text, "");
}

static void the_text_form_is_compact_and_in_order(void **state) {
        assert_json(json_pack("{s:i, s:[s,n]}", "z", 1, "a", "x"), "{\"z\":1,\"a\":[\"x\",null]}");
}

static void text_is_parsed_and_written_back_as_it_was(void **state) {
        static const char text[] = "{\"a\":[1,null,\"\\u0001\"],\"b\":{}}";
        _cleanup_(json_decrefp) json_t *value = NULL;
        _cleanup_(freep) char *again = NULL;

        assert_int_equal(json_parse(text, strlen(text), &value), 0);
        again = json_to_text(value);
        assert_string_equal(again, text);
}

static void what_is_no_json_or_names_a_key_twice_is_refused(void **state) {
        static const char *const texts[] = { "", "{", "{\"a\":1,}", "{} {}", "{\"a\":1,\"a\":2}", "{\"a\":\"\xff\"}" };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                json_t *value = NULL;

                assert_int_equal(json_parse(texts[i], strlen(texts[i]), &value), -EINVAL);
                assert_null(value);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(infinity_travels_as_null),
                cmocka_unit_test(numbers_above_2_to_the_63_are_capped),
                cmocka_unit_test(text_that_is_utf8_stays_as_it_is),
                cmocka_unit_test(bytes_that_are_not_utf8_become_hex),
                cmocka_unit_test(any_byte_makes_a_string),
                cmocka_unit_test(no_text_is_null),
                cmocka_unit_test(a_number_is_read),
                cmocka_unit_test(null_reads_as_infinity),
                cmocka_unit_test(what_was_written_reads_back),
                cmocka_unit_test(a_missing_key_is_enoent),
                cmocka_unit_test(null_reads_as_no_text),
                cmocka_unit_test(another_type_is_einval),
                cmocka_unit_test(what_is_no_object_has_no_keys),
                cmocka_unit_test(flags_and_text_are_read),
                cmocka_unit_test(the_text_form_is_compact_and_in_order),
                cmocka_unit_test(text_is_parsed_and_written_back_as_it_was),
                cmocka_unit_test(what_is_no_json_or_names_a_key_twice_is_refused),
        };

        return cmocka_run_group_tests_name("base-json", tests, setup, teardown);
}
