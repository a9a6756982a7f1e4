/* Completions: what is offered at which place. */
#include "cmd/scidexctl/candidates.h"

#include "base/cleanup.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const Verb verbs[] = {
        { "list", "", "Lists", 0, 0, OPTION_WATCH, NULL },
        { "show", "RUN", "Shows", 1, 1, OPTION_WATCH, NULL },
        { "kill", "RUN...", "Kills", 1, SIZE_MAX, 0, NULL },
        { "events", "", "Events", 0, 0, OPTION_REASON | OPTION_RUN | OPTION_LIMIT, NULL },
        { "suggest", "ANALYSIS", "Suggests", 1, 1, OPTION_ALL_HOSTS, NULL },
        { "db", "PART", "Base", 0, 2, OPTION_POSTGRES, NULL },
        { "watch", "VERB...", "Again", 0, 0, OPTION_WATCH, NULL },
        { "complete", "WORD...", NULL, 0, SIZE_MAX, 0, NULL },
        { NULL },
};

static const char rows[] =
        "[{\"run_id\":\"0198c0de-0000-7000-8000-00007c1e90ab\",\"analysis_id\":\"SDA-42\",\"state\":\"running\"},"
        "{\"run_id\":\"0198c0de-0000-7000-8000-0000aaaaaaaa\",\"analysis_id\":\"$(reboot) "
        "\\\";'\",\"verdict\":\"timeout\"},"
        "{\"run_id\":\"0198c0de-0000-7000-8000-0000bbbbbbbb\",\"analysis_id\":\"evil\\u001b[31m\\nline\",\"verdict\":"
        "\"failed\"},"
        "{\"run_id\":\"0198c0de-0000-7000-8000-0000cccccccc\",\"analysis_id\":\"SDA-42\",\"verdict\":\"memory\"}]";

/* The words that are offered, divided by |, without what is said of them. Caller frees. */
static char *offered(const char *const *words, Completion *ret) {
        _cleanup_(json_decrefp) json_t *runs = json_loads(rows, 0, NULL);
        _cleanup_(freep) char *text = NULL;
        char *list = NULL;
        size_t size, n = 0;
        FILE *out = open_memstream(&text, &size), *p = open_memstream(&list, &size);

        while (words[n])
                n++;
        completion_find(words, n, ret);
        completion_print(out, ret, runs);
        (void)fclose(out);
        for (char *line = text; *line; line += strcspn(line, "\n") + 1)
                (void)fprintf(p, "%s%.*s", line == text ? "" : "|", (int)strcspn(line, "\t"), line);
        (void)fclose(p);
        return list;
}

static void assert_offers(const char *expected, CandidateKind kind, const char *const *words) {
        Completion c;
        _cleanup_(freep) char *text = offered(words, &c);

        assert_string_equal(text, expected);
        assert_int_equal(c.kind, kind);
}

#define OFFERS(expected, kind, ...) assert_offers(expected, kind, (const char *const[]){ __VA_ARGS__, NULL })

static void verbs_are_offered_first_and_behind_watch(void **state) {
        OFFERS("list|show|kill|events|suggest|db|watch", CANDIDATE_WORDS, "");
        OFFERS("show|suggest", CANDIDATE_WORDS, "s");
        OFFERS("show|suggest", CANDIDATE_WORDS, "watch", "s");
        OFFERS("list", CANDIDATE_WORDS, "--json", "--socket", "/x", "l");
        OFFERS("", CANDIDATE_WORDS, "comp");
}

static void options_are_those_of_the_verb(void **state) {
        OFFERS("--json|--socket|--no-colour|--help|--version|--limit|--reason|--run", CANDIDATE_WORDS, "events", "-");
        OFFERS("--watch", CANDIDATE_WORDS, "list", "--w");
        OFFERS("", CANDIDATE_WORDS, "kill", "--w");
}

static void values_follow_their_option_either_way(void **state) {
        OFFERS("timeout", CANDIDATE_WORDS, "events", "--reason", "t");
        OFFERS("--reason=timeout", CANDIDATE_WORDS, "events", "--reason=t");
        OFFERS("", CANDIDATE_NONE, "events", "--limit", "");
        OFFERS("", CANDIDATE_NONE, "events", "--limit=");
        OFFERS("", CANDIDATE_NONE, "events", "--nonsense=");
}

static void runs_are_offered_by_their_short_id_and_their_analysis(void **state) {
        OFFERS("7c1e90ab", CANDIDATE_LIVE, "kill", "7c");
        OFFERS("SDA-42", CANDIDATE_RUNS, "show", "S");
        OFFERS("cccccccc", CANDIDATE_LIVE, "kill", "7c1e90ab", "cc");
        OFFERS("0198c0de-0000-7000-8000-0000cccccccc", CANDIDATE_RUNS, "show", "0198c0de-0000-7000-8000-0000c");
        OFFERS("", CANDIDATE_NONE, "show", "7c1e90ab", "");
        OFFERS("--run=7c1e90ab", CANDIDATE_RUNS, "events", "--run=7c");
        OFFERS("", CANDIDATE_NONE, "list", "");
        OFFERS("status", CANDIDATE_WORDS, "db", "s");
        OFFERS("", CANDIDATE_NONE, "db", "forget", "");
}

/* What would be two lines, or drive a terminal, is not offered; what a shell would execute is one word. */
static void hostile_ids_are_words_or_nothing(void **state) {
        OFFERS("SDA-42|$(reboot) \";'", CANDIDATE_ANALYSES, "suggest", "");
        OFFERS("$(reboot) \";'", CANDIDATE_ANALYSES, "suggest", "$(");
        OFFERS("", CANDIDATE_ANALYSES, "suggest", "evil");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(verbs_are_offered_first_and_behind_watch),
                cmocka_unit_test(options_are_those_of_the_verb),
                cmocka_unit_test(values_follow_their_option_either_way),
                cmocka_unit_test(runs_are_offered_by_their_short_id_and_their_analysis),
                cmocka_unit_test(hostile_ids_are_words_or_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
