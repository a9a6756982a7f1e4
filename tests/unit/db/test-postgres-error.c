/* Whose fault an error of PostgreSQL is, and what is read out of libpq's words. */
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "base/cleanup.h"
#include "db/postgres-error.h"
#include <string.h>

static void every_class_has_its_meaning(void **state) {
        static const struct {
                const char *sqlstate;
                PostgresError error;
        } table[] = {
                { "08006", POSTGRES_ERROR_TRANSIENT },
                { "40001", POSTGRES_ERROR_TRANSIENT },
                { "40P01", POSTGRES_ERROR_TRANSIENT },
                { "53300", POSTGRES_ERROR_TRANSIENT },
                { "55P03", POSTGRES_ERROR_TRANSIENT },
                { "57P01", POSTGRES_ERROR_TRANSIENT },
                { "57014", POSTGRES_ERROR_TRANSIENT },
                { "25P02", POSTGRES_ERROR_TRANSIENT },
                { "25006", POSTGRES_ERROR_READ_ONLY },
                { "53100", POSTGRES_ERROR_FULL },
                { "28P01", POSTGRES_ERROR_DENIED },
                { "28000", POSTGRES_ERROR_DENIED },
                { "42501", POSTGRES_ERROR_DENIED },
                { "42P01", POSTGRES_ERROR_SCHEMA },
                { "42703", POSTGRES_ERROR_SCHEMA },
                { "42883", POSTGRES_ERROR_SCHEMA },
                { "42804", POSTGRES_ERROR_SCHEMA },
                { "3D000", POSTGRES_ERROR_SCHEMA },
                { "3F000", POSTGRES_ERROR_SCHEMA },
                { "58030", POSTGRES_ERROR_SERVER },
                { "XX001", POSTGRES_ERROR_SERVER },
                { "26000", POSTGRES_ERROR_SERVER },
                { "23503", POSTGRES_ERROR_REFERENCE },
                { "23514", POSTGRES_ERROR_ROW },
                { "23502", POSTGRES_ERROR_ROW },
                { "22021", POSTGRES_ERROR_ROW },
                { "22P05", POSTGRES_ERROR_ROW },
                { "54000", POSTGRES_ERROR_ROW },
                { "21000", POSTGRES_ERROR_ROW },
                { "P0001", POSTGRES_ERROR_UNKNOWN },
                { "ZZ999", POSTGRES_ERROR_UNKNOWN },
                { "", POSTGRES_ERROR_TRANSIENT },
                { NULL, POSTGRES_ERROR_TRANSIENT },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                if (postgres_error_of(table[i].sqlstate) != table[i].error)
                        fail_msg("%s is %d", table[i].sqlstate, postgres_error_of(table[i].sqlstate));
}

static void only_errors_of_rows_put_a_row_aside(void **state) {
        assert_true(postgres_error_is_of_rows(POSTGRES_ERROR_ROW));
        assert_true(postgres_error_is_of_rows(POSTGRES_ERROR_REFERENCE));
        assert_true(postgres_error_is_of_rows(POSTGRES_ERROR_UNKNOWN));
        for (PostgresError error = 0; error <= POSTGRES_ERROR_SERVER; error++)
                assert_false(postgres_error_is_of_rows(error));
}

static void every_state_has_a_name_and_a_bad_one_a_remedy(void **state) {
        for (PostgresState s = 0; s < _POSTGRES_STATE_MAX; s++) {
                assert_non_null(postgres_state_to_string(s));
                if (s != POSTGRES_CONNECTING && s != POSTGRES_OK)
                        assert_non_null(postgres_state_hint(s));
        }
        assert_string_equal(postgres_state_to_string(postgres_error_state(POSTGRES_ERROR_READ_ONLY)), "read-only");
        assert_string_equal(postgres_state_to_string(postgres_error_state(POSTGRES_ERROR_TRANSIENT)), "away");
}

static void a_known_code_has_a_remedy_of_its_own(void **state) {
        assert_non_null(strstr(postgres_error_hint("3D000"), "Name one that exists"));
        assert_non_null(strstr(postgres_error_hint("42501"), "GRANT scidex_writer"));
        assert_string_equal(postgres_error_hint("42703"), postgres_state_hint(POSTGRES_SCHEMA));
        assert_string_equal(postgres_error_hint(NULL), postgres_state_hint(POSTGRES_AWAY));
}

static void the_code_and_the_words_are_read_out_of_a_refused_connection(void **state) {
        static const struct {
                const char *text, *sqlstate, *words;
        } table[] = {
                { "connection to server on socket \"/x/.s.PGSQL.5432\" failed: FATAL:  28P01: password authentication "
                  "failed for user \"u\"\nLOCATION:  auth_failed, auth.c:326\n",
                        "28P01", "password authentication failed for user \"u\"" },
                { "connection to server at \"a\", port 5432 failed: Connection refused\n\tIs the server running on "
                  "that "
                  "host and accepting TCP/IP connections?\nconnection to server at \"b\" failed: FATAL:  3D000: "
                  "database \"d\" does not exist\n",
                        "3D000", "database \"d\" does not exist" },
                { "FATAL:  57P03: the database system is starting up\n", "57P03",
                        "the database system is starting up" },
                { "could not translate host name \"x\" to address:\n\tName or service not known\n", "",
                        "could not translate host name \"x\" to address: Name or service not known" },
                { "connection to server at \"a\" failed: Connection refused\n\tIs the server running on that host and "
                  "accepting TCP/IP connections?\nconnection to server at \"b\" failed: timeout expired\n",
                        "",
                        "connection to server at \"a\" failed: Connection refused; connection to server at \"b\" "
                        "failed: timeout expired" },
                { "relation \"a:  bc: d\" is odd", "", "relation \"a: bc: d\" is odd" },
                { "", "", "" },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                char sqlstate[SQLSTATE_SIZE];
                _cleanup_(freep) char *words = postgres_message_read(table[i].text, sqlstate);

                assert_string_equal(words, table[i].words);
                assert_string_equal(sqlstate, table[i].sqlstate);
        }
}

static void words_without_a_code_are_away_or_denied(void **state) {
        assert_int_equal(postgres_message_state("could not translate host name"), POSTGRES_AWAY);
        assert_int_equal(postgres_message_state("Connection refused"), POSTGRES_AWAY);
        assert_int_equal(postgres_message_state("server does not support SSL, but SSL was required"), POSTGRES_DENIED);
        assert_int_equal(postgres_message_state("fe_sendauth: no password supplied"), POSTGRES_DENIED);
}

static void a_long_message_is_cut(void **state) {
        char sqlstate[SQLSTATE_SIZE], text[4096];
        _cleanup_(freep) char *words = NULL;

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        words = postgres_message_read(text, sqlstate);
        assert_true(strlen(words) < 1024);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_class_has_its_meaning),
                cmocka_unit_test(only_errors_of_rows_put_a_row_aside),
                cmocka_unit_test(every_state_has_a_name_and_a_bad_one_a_remedy),
                cmocka_unit_test(a_known_code_has_a_remedy_of_its_own),
                cmocka_unit_test(the_code_and_the_words_are_read_out_of_a_refused_connection),
                cmocka_unit_test(words_without_a_code_are_away_or_denied),
                cmocka_unit_test(a_long_message_is_cut),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
