/*
 * The lines of a configuration file.
 *
 * Called for each file.  The INI grammar is inih's; the hard thing is to say where something is wrong: inih tells the
 * first line that it did not understand and leaves out the others, so the reader that hands it the lines counts them,
 * keeps back those that are neither section nor KEY = VALUE, and puts what follows a broken section header into a
 * section of no meaning instead of the one before.
 */
#include "supervise/config-internal.h"

#include "base/file.h"
#include <ini.h>
#include <string.h>

#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define LINE_BYTES_MAX  8192 /* where inih lets us say; else its own 200 */
#define SECTION_MAX     49   /* inih cuts longer names off */
#define NO_SECTION      "[?]" /* what stands below a header that could not be read was not meant for the section before */

typedef struct Lines {
        const char *file, *next; /* borrowed */
        unsigned line;
        ConfigSet set;
        void *userdata;
        ConfigFindings *findings;
        int error;
} Lines;

static void complain(Lines *l, char *reason, const char *remedy) {
        ConfigPlace place = { .file = l->file, .line = l->line };
        int r = config_find(l->findings, true, &place, reason, remedy);

        if (r < 0)
                l->error = r;
}

static bool is_blank(const char *text) {
        return text[strspn(text, " \t\r")] == '\0';
}

/* 0: a good one. What stands behind the bracket is allowed to be a comment only. */
static bool check_header(Lines *l, const char *line) {
        const char *end = strchr(line, ']');
        const char *rest = end ? end + 1 + strspn(end + 1, " \t\r") : NULL;

        if (!end)
                complain(l, strdup("the section's name is not closed"),
                        "write [limits], [users], [user NAME], [storage] or [http]");
        else if (*rest != '\0' && *rest != ';' && *rest != '#')
                complain(l, strdup("there is something behind the section's name"), "put it on a line of its own");
        else if (end - line - 1 > SECTION_MAX)
                complain(l, text_printf("the section's name is longer than %d bytes", SECTION_MAX),
                        "shorten it; a user may be named by number");
        else
                return true;
        return false;
}

/* What inih gets to see of a line: itself, or what does no harm. */
static const char *checked(Lines *l, const char *line) {
        if (is_blank(line) || *line == '#' || *line == ';')
                return "";
        if (*line == '[')
                return check_header(l, line) ? line : NO_SECTION;
        if (line[strcspn(line, "=:")] != '\0' && *line != '=' && *line != ':')
                return line;
        complain(l, strdup("neither a section nor KEY = VALUE"), "write KEY = VALUE, or # before a comment");
        return "";
}

static char *read_line(char *buffer, int size, void *stream) {
        Lines *l = stream;
        _cleanup_(freep) char *line = NULL;
        size_t length = strcspn(l->next, "\n");
        const char *start =
                l->next + strspn(l->next, " \t"); /* blanks in front would make it part of the line before */
        const char *seen;

        if (*l->next == '\0' || l->error < 0)
                return NULL;
        line = start < l->next + length ? strndup(start, (size_t)(l->next + length - start)) : strdup("");
        l->next += length + (l->next[length] == '\n');
        l->line++;
        if (!line) {
                l->error = -ENOMEM;
                return NULL;
        }
        seen = checked(l, line);
        if (strlen(seen) + 2 > (size_t)size) {
                complain(l, text_printf("the line is longer than %d bytes", size - 2), "shorten it");
                seen = "";
        }
        (void)snprintf(buffer, (size_t)size, "%s\n", seen);
        return buffer;
}

static int on_value(void *userdata, const char *section, const char *key, const char *value) {
        Lines *l = userdata;
        ConfigPlace place = { .file = l->file, .line = l->line, .section = section, .key = key, .value = value };

        if (l->error < 0 || strcmp(section, "?") == 0)
                return 1;
        if (*section == '\0')
                complain(l, text_printf("\"%s\" stands before any section", key),
                        "put it below [limits], [users], [storage] or [http]");
        else
                l->error = l->set(&place, l->userdata);
        return 1;
}

int config_read_text(const char *file, const char *text, ConfigSet set, void *userdata, ConfigFindings *findings) {
        size_t mark = strlen(BYTE_ORDER_MARK);
        Lines lines = { .file = file, .next = text, .set = set, .userdata = userdata, .findings = findings };
        int r;

        if (strncmp(text, BYTE_ORDER_MARK, mark) == 0)
                lines.next += mark;
#ifdef HAVE_INI_MAX_LINE
        ini_max_line = LINE_BYTES_MAX;
#endif
        r = ini_parse_stream(read_line, &lines, on_value, &lines);
        if (lines.error < 0)
                return lines.error;
        if (r > 0) { /* what the reader lets through and inih does not take */
                lines.line = (unsigned)r;
                complain(&lines, strdup("the line is not understood"), "write KEY = VALUE");
        }
        return r == -2 ? -ENOMEM : lines.error;
}
