/*
 * How long the record remembers, as people write it.
 *
 * Called by the recorder with $SCIDEX_STORAGE_HISTORY.  A time and a size may stand together, because either alone
 * leaves the other open: 30 days of a quiet host are little, of a busy one more than the disk.
 */
#include "db/spool.h"

#include "base/parse.h"
#include <string.h>

/* One of the two, or both for "infinity". */
static int parse_one(const char *text, uint64_t *usec, uint64_t *bytes, const char **ret_hint) {
        const char *hint = NULL;
        uint64_t value;

        if (strcmp(text, "infinity") == 0) {
                *usec = *bytes = UINT64_MAX;
                return 0;
        }
        if (parse_size(text, &value, &hint) == 0) {
                *bytes = value;
                return 0;
        }
        if (parse_time(text, &value, &hint) == 0) {
                *usec = value;
                return 0;
        }
        *ret_hint = "write a time, a size or both: 30days, 512M, \"30days,1G\", or infinity";
        return -EINVAL;
}

int spool_parse_history(const char *text, uint64_t *ret_usec, uint64_t *ret_bytes, const char **ret_hint) {
        _cleanup_(freep) char *copy = strdup(text);
        uint64_t usec = HISTORY_USEC_DEFAULT, bytes = HISTORY_BYTES_DEFAULT;
        char *rest = copy, *part;

        if (!copy)
                return -ENOMEM;
        while ((part = strsep(&rest, ","))) {
                part += strspn(part, " ");
                if (parse_one(part, &usec, &bytes, ret_hint) < 0)
                        return -EINVAL;
        }
        *ret_usec = usec;
        *ret_bytes = bytes;
        return 0;
}
