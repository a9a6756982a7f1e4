/*
 * Text that others wrote, made fit to be shown or stored: the names of processes, command lines, analysis ids.
 *
 * Called by whatever prints or makes JSON. Process names are bytes, not text, and may hold anything but NUL: escape
 * sequences that rewrite the terminal, marks that reverse the reading order, half a UTF-8 sequence where the kernel
 * cut after 15 bytes. Two forms: text_escape() for terminals and logs, text_repair() for JSON, which may hold control
 * characters (it has an escape of its own for them) but must be UTF-8.
 */
#include "base/text.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <string.h>

size_t utf8_sequence(const char *text, uint32_t *ret_code) {
        static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
        const unsigned char *p = (const unsigned char *)text;
        uint32_t code;
        size_t length;

        if (p[0] < 0x80) {
                *ret_code = p[0];
                return p[0] ? 1 : 0;
        }
        if (p[0] < 0xc2 || p[0] > 0xf4)
                return 0;

        length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        code = p[0] & (0x7fu >> length);
        /* Stops at the terminating NUL: it is no continuation byte. */
        for (size_t i = 1; i < length; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0;
                code = code << 6 | (p[i] & 0x3fu);
        }
        if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
                return 0;
        *ret_code = code;
        return length;
}

bool text_is_utf8(const char *text) {
        uint32_t code;

        while (*text) {
                size_t length = utf8_sequence(text, &code);

                if (length == 0)
                        return false;
                text += length;
        }
        return true;
}

static bool is_control(uint32_t code) {
        return code < 0x20 || (code >= 0x7f && code <= 0x9f);
}

/* Marks, embeddings, overrides and isolates: they make a line read differently from what it says. */
static bool is_bidirectional(uint32_t code) {
        return code == 0x061c || code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
                (code >= 0x2066 && code <= 0x2069);
}

static char *append_hex(char *out, unsigned char byte) {
        static const char digits[] = "0123456789abcdef";

        *out++ = '\\';
        *out++ = 'x';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 0xf];
        return out;
}

static char *escape(const char *text, bool for_terminal) {
        char *copy = malloc(strlen(text) * 4 + 1), *out = copy;

        if (!copy)
                return NULL;
        while (*text) {
                uint32_t code = 0;
                size_t length = utf8_sequence(text, &code), bytes = length ? length : 1;
                bool bad = length == 0 || (for_terminal && (is_control(code) || is_bidirectional(code)));

                for (size_t i = 0; i < bytes; i++)
                        if (bad)
                                out = append_hex(out, (unsigned char)text[i]);
                        else
                                *out++ = text[i];
                text += bytes;
        }
        *out = '\0';
        return copy;
}

char *text_escape(const char *text) {
        return escape(text, true);
}

char *text_repair(const char *text) {
        return escape(text, false);
}
