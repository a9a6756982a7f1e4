/*
 * Entries of the journal, as its native protocol has them (systemd.io/JOURNAL_NATIVE_PROTOCOL): named values in one
 * datagram, sent without ever waiting.
 *
 * An entry is made in a buffer of its own, without an allocation. A value that does not fit is left out as a whole:
 * half of an id would match nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_ENTRY_MAX_BYTES 8192 /* message and fields of ours are far below; a datagram of it fits every queue */

typedef struct JournalEntry {
        size_t size;
        char bytes[JOURNAL_ENTRY_MAX_BYTES];
} JournalEntry;

/* Before the first field. */
void journal_clear(JournalEntry *entry);
/* NAME=value; upper case, digits and _, not _ at first. The bytes stay as given (a value with newlines travels with its
 * length). NULL: no field. */
void journal_text(JournalEntry *entry, const char *name, const char *value);
void journal_u64(JournalEntry *entry, const char *name, uint64_t value);
/* Microseconds as seconds with fraction: "3.120000". */
void journal_seconds(JournalEntry *entry, const char *name, uint64_t usec);

/* From now on entries go to the datagram socket at path. 0, -ENOENT, -errno: there is none, nothing is changed. */
int journal_open(const char *path);
bool journal_is_open(void);
/*
 * Sends it, or drops it when the journal does not take it at once. 0, or -errno of the drop. What was dropped is said
 * in an entry of its own, once, with the next one that is taken.
 */
int journal_send(const JournalEntry *entry);
uint64_t journal_dropped(void);
void journal_close(void);
