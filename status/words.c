/*
 * The words of `why` for documents.
 *
 * Called by api-run.c, apart from it because the columns of a table at a terminal and those of a table in the record
 * have one name.
 */
#include "status/words.h"

#include "base/cleanup.h"
#include "status/explain.h"

#define WORDS_COLUMNS 100

char *words_why(const json_t *run, const json_t *events) {
        Terminal terminal = { .columns = WORDS_COLUMNS, .utf8 = true };
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);
        int r;

        if (!f)
                return NULL;
        r = explain_print(f, &terminal, run, events);
        if (fclose(f) == 0 && r == 0)
                return text;
        free(text);
        return NULL;
}
