/*
 * Entries of the journal, one datagram each, never waited for.
 *
 * Called by log.c.  Why not sd_journal_sendv(): it blocks. Its socket is a blocking one, so when journald hangs (a full
 * disk, SIGSTOP, a debugger) and its queue is full, the caller stands in sendmsg(2); and a kill must not wait for the
 * journal. stderr is no way out: under systemd it is a stream to the same journald, with a small buffer that blocks as
 * well. So: the same protocol, MSG_DONTWAIT, and what the queue does not take is dropped and counted. The socket is not
 * connected: each datagram names the journal anew, and so finds one that was started again.
 */
#include "base/journal.h"

#include "base/cleanup.h"

#include <endian.h>
#include <inttypes.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define QUEUE_BYTES (8 * 1024 * 1024) /* as sd-journal asks for: a burst of launches waits there, not here */

static int journal_fd = -EBADF;
static struct sockaddr_un journal_address;
static uint64_t n_dropped, n_unsaid;

void journal_clear(JournalEntry *entry) {
        entry->size = 0;
}

static void put(JournalEntry *entry, const void *bytes, size_t size) {
        memcpy(entry->bytes + entry->size, bytes, size);
        entry->size += size;
}

void journal_text(JournalEntry *entry, const char *name, const char *value) {
        size_t name_length = strlen(name), length = value ? strlen(value) : 0;
        uint64_t little_endian = htole64(length);
        bool simple = value && !memchr(value, '\n', length);
        size_t room = sizeof(entry->bytes) - entry->size;

        if (!value || length >= room || name_length + length + sizeof(little_endian) + 2 > room)
                return;
        put(entry, name, name_length);
        put(entry, simple ? "=" : "\n", 1);
        if (!simple)
                put(entry, &little_endian, sizeof(little_endian));
        put(entry, value, length);
        put(entry, "\n", 1);
}

void journal_u64(JournalEntry *entry, const char *name, uint64_t value) {
        char text[24];

        (void)snprintf(text, sizeof(text), "%" PRIu64, value);
        journal_text(entry, name, text);
}

void journal_seconds(JournalEntry *entry, const char *name, uint64_t usec) {
        char text[32];

        (void)snprintf(text, sizeof(text), "%" PRIu64 ".%06u", usec / 1000000, (unsigned)(usec % 1000000));
        journal_text(entry, name, text);
}

int journal_open(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_(close_fdp) int fd = -EBADF;
        const int size = QUEUE_BYTES;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        if (access(path, W_OK) < 0)
                return -errno;
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); /* as much as one may have */
        journal_close();
        journal_fd = TAKE_FD(fd);
        journal_address = address;
        return 0;
}

bool journal_is_open(void) {
        return journal_fd >= 0;
}

static int send_now(const JournalEntry *entry) {
        for (;;) {
                if (sendto(journal_fd, entry->bytes, entry->size, MSG_DONTWAIT | MSG_NOSIGNAL,
                            (const struct sockaddr *)&journal_address, sizeof(journal_address)) >= 0)
                        return 0;
                if (errno != EINTR)
                        return -errno;
        }
}

static void say_dropped(void) {
        JournalEntry entry;
        char message[96];

        journal_clear(&entry);
        (void)snprintf(
                message, sizeof(message), "the journal did not take %" PRIu64 " entries before this one", n_unsaid);
        journal_text(&entry, "MESSAGE", message);
        journal_text(&entry, "PRIORITY", "4");
        journal_text(&entry, "SYSLOG_IDENTIFIER", program_invocation_short_name);
        journal_u64(&entry, "SCIDEX_DROPPED", n_unsaid);
        if (send_now(&entry) == 0)
                n_unsaid = 0;
}

int journal_send(const JournalEntry *entry) {
        int r = journal_fd < 0 ? -EBADF : send_now(entry);

        if (r < 0) {
                n_dropped++;
                n_unsaid++;
        } else if (n_unsaid > 0) {
                say_dropped();
        }
        return r;
}

uint64_t journal_dropped(void) {
        return n_dropped;
}

void journal_close(void) {
        journal_fd = close_fd(journal_fd);
        n_unsaid = 0;
}
