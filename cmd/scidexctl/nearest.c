/*
 * "Did you mean": the nearest of a few known words.
 *
 * Called for verbs, options and verdicts.  Distance is Levenshtein's, counted over bytes: all the words are ASCII, and
 * a typed word longer than any of them is near to none, which bounds the work.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/ctl.h"
#include <string.h>

#define WORD_MAX 31 /* longer than every verb, option and verdict */

static unsigned word_distance(const char *a, const char *b) {
        unsigned row[WORD_MAX + 1];
        size_t n = strlen(b);

        for (unsigned j = 0; j <= n; j++)
                row[j] = j;
        for (unsigned i = 1; a[i - 1]; i++) {
                unsigned diagonal = row[0];

                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        unsigned change = diagonal + (a[i - 1] != b[j - 1]);

                        diagonal = row[j];
                        row[j] = MIN_OF(change, MIN_OF(row[j], row[j - 1]) + 1);
                }
        }
        return row[n];
}

const char *nearest_word(const char *text, const char *const *words) {
        const char *best = NULL;
        unsigned best_distance = 3;

        if (strlen(text) > WORD_MAX)
                return NULL;
        for (; *words; words++) {
                size_t length = strlen(*words);
                unsigned distance;

                if (length > WORD_MAX)
                        continue;
                if (strlen(text) >= 2 && strncmp(text, *words, strlen(text)) == 0)
                        return *words;
                distance = word_distance(text, *words);
                if (distance < best_distance && distance < length) {
                        best = *words;
                        best_distance = distance;
                }
        }
        return best;
}
