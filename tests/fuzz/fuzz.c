/*
 * What the fuzz targets share: bytes to texts, and what must hold of anything that is shown.
 */
#include "tests/fuzz/fuzz.h"

#include "base/parse.h"
#include "base/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIVIDER "\n----\n"

char *fuzz_text(const uint8_t *bytes, size_t size) {
        char *text = malloc(size + 1);

        if (!text)
                fuzz_fail("out of memory");
        memcpy(text, bytes, size);
        text[size] = '\0';
        return text;
}

const char *fuzz_part(char **rest) {
        char *part = *rest, *end = part ? strstr(part, DIVIDER) : NULL;

        *rest = end ? end + strlen(DIVIDER) : NULL;
        if (end)
                *end = '\0';
        return part ? part : "";
}

void fuzz_fail(const char *what) {
        (void)fprintf(stderr, "fuzz: %s\n", what);
        abort();
}

/* With the text from a little before the place on. */
static void fail_at(const char *what, const char *all, const char *at) {
        char *escaped = text_escape(at - all > 60 ? at - 60 : all);

        (void)fprintf(stderr, "fuzz: …%.200s\n", escaped ? escaped : "");
        free(escaped);
        fuzz_fail(what);
}

void fuzz_assert_harmless(const char *shown) {
        const char *at = shown;

        while (*at) {
                uint32_t code = 0;
                size_t length = utf8_sequence(at, &code);

                if (length == 0)
                        fail_at("what is shown is no UTF-8", shown, at);
                if ((code < 0x20 && code != '\n') || (code >= 0x7f && code <= 0x9f))
                        fail_at("what is shown has a control character", shown, at);
                if (code == 0x061c || code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
                        (code >= 0x2066 && code <= 0x2069))
                        fail_at("what is shown has a mark that reverses it", shown, at);
                at += length;
        }
}
