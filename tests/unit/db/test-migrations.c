/* The steps of db/migrations, as they are in the program: complete, in order, and with every column that is shipped. */
#include "base/cleanup.h"
#include "base/file.h"
#include "db/columns.h"
#include "db/migrate.h"
#include "db/migrations.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void steps_are_numbered_from_one(void **state) {
        int version = 0;

        for (const Migration *m = migrations; m->sql; m++) {
                _cleanup_(freep) char *number = text_printf("%03d-", ++version);

                assert_int_equal(m->version, version);
                assert_memory_equal(m->name, number, strlen(number));
                assert_true(strlen(m->sql) > 0);
        }
        assert_int_equal(migrate_latest(), version);
}

/* The definition of a table, from its name to the end of the statement. */
static char *table_text(const char *table) {
        _cleanup_(freep) char *head = text_printf("CREATE TABLE %s (", table);

        for (const Migration *m = migrations; m->sql; m++) {
                const char *begin = strstr(m->sql, head);

                if (begin)
                        return strndup(begin, (size_t)(strstr(begin, ";\n") - begin));
        }
        return NULL;
}

static const char *type_of(const Column *column) {
        static const char *const ids[] = { "event_id", "run_id", "outer_run_id" };
        static const char *const types[_COLUMN_TYPE_MAX] = {
                [COLUMN_TEXT] = "text",
                [COLUMN_INTEGER] = "bigint",
                [COLUMN_REAL] = "double precision",
                [COLUMN_JSON] = "jsonb",
        };
        size_t length = strlen(column->name);

        for (size_t i = 0; i < ELEMENTSOF(ids); i++)
                if (strcmp(ids[i], column->name) == 0)
                        return "uuid";
        return length > 3 && strcmp(column->name + length - 3, "_at") == 0 ? "timestamptz" : types[column->type];
}

static void assert_table_has_columns(const char *table, RecordKind kind) {
        _cleanup_(freep) char *text = table_text(table);

        assert_non_null(text);
        for (const Column *c = NULL; (c = column_next(kind, c));) {
                bool quoted = strcmp(c->name, "group") == 0;
                _cleanup_(freep) char *word =
                        text_printf(" %s%s%s %s", quoted ? "\"" : "", c->name, quoted ? "\"" : "", type_of(c));

                if (!strstr(text, word))
                        fail_msg("%s lacks \"%s\"", table, word);
        }
        assert_non_null(strstr(text, " analysis_ref text"));
        assert_non_null(strstr(text, " extra jsonb"));
}

static void each_member_of_the_record_has_its_column(void **state) {
        assert_table_has_columns("watchdog_runs", RECORD_RUN);
        assert_table_has_columns("watchdog_processes", RECORD_RUN);
        assert_table_has_columns("watchdog_events", RECORD_EVENT);
}

static size_t occurrences(const char *text, const char *word) {
        size_t n = 0;

        for (const char *at = text; (at = strstr(at, word)); at += strlen(word))
                n++;
        return n;
}

/* A function of the owner without it would take the tables, and the operators, of whoever calls. */
static void each_function_of_the_owner_pins_its_search_path(void **state) {
        for (const Migration *m = migrations; m->sql; m++)
                assert_int_equal(occurrences(m->sql, "SECURITY DEFINER"),
                        occurrences(m->sql, "SECURITY DEFINER SET search_path FROM CURRENT"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(steps_are_numbered_from_one),
                cmocka_unit_test(each_member_of_the_record_has_its_column),
                cmocka_unit_test(each_function_of_the_owner_pins_its_search_path),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
