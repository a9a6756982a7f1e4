/*
 * What scidexctl shows of an answer: `why`, with its timeline, and the members of rows in a table.
 *
 * The texts in it are the run's own (its name, command line, analysis id, processes): whatever they hold, the terminal
 * must get plain text. The input is an answer of `why`: {"run":{…},"events":[…]}.
 */
#include "base/cleanup.h"
#include "status/explain.h"
#include "tests/fuzz/fuzz.h"
#include <locale.h>

static const Column columns[] = { { "RUN" }, { "ANALYSIS", .shrink = 8 }, { "USER", .rank = 1 },
        { "AGE", .right = true } };

static void add_row(Table *table, const json_t *run) {
        _cleanup_(freep) char *user = run_user(run), *quoted = NULL;
        const char *analysis = field_text(run, "analysis_id");
        char age[FORMAT_MAX];

        table_text(table, TONE_STRONG, run_short_id(run));
        table_text(table, TONE_PLAIN, analysis);
        table_text(table, TONE_PLAIN, user);
        table_text(table, TONE_PLAIN, field_duration(age, run, "duration_sec", "infinity"));
        quoted = analysis ? shell_quote(analysis) : NULL;
}

static void show(FILE *out, const Terminal *terminal, const json_t *answer) {
        _cleanup_(table_deinit) Table table = TABLE_OF(columns);
        const json_t *run = json_object_get(answer, "run"), *events = json_object_get(answer, "events"), *event;
        char text[FORMAT_MAX];
        uint64_t value;
        size_t i;

        (void)explain_print(out, terminal, run, events);
        add_row(&table, run);
        json_array_foreach(events, i, event) add_row(&table, event);
        (void)table_print(out, terminal, &table);
        (void)fprintf(out, "%s\n", field_when(text, run, "launched_at", "-"));
        (void)fprintf(out, "%s\n", field_bytes(text, run, "memory_bytes", "-"));
        (void)run_private_bytes(run, &value);
        (void)run_age(run, UINT64_C(1764000000000000), &value);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        static const Terminal terminals[] = { { .columns = 40 }, { .columns = 30, .utf8 = true } };
        _cleanup_(json_decrefp) json_t *answer = NULL;

        if (json_parse((const char *)bytes, size, &answer) < 0 || !json_is_object(json_object_get(answer, "run")))
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(terminals); i++) {
                _cleanup_(freep) char *shown = NULL;
                size_t length;
                FILE *out = open_memstream(&shown, &length);

                if (!out || !setlocale(LC_CTYPE, terminals[i].utf8 ? "C.UTF-8" : "C"))
                        fuzz_fail("out of memory");
                show(out, &terminals[i], answer);
                (void)fclose(out);
                fuzz_assert_harmless(shown);
        }
        return 0;
}
