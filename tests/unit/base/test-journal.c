/* base/journal.h: entries as the journal reads them, and what becomes of them when nobody reads. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/journal.h"
#include "base/log.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

typedef struct Journald {
        int fd;             /* owned: what journald would read */
        char directory[32]; /* owned */
        struct sockaddr_un at;
} Journald;

static int setup(void **state) {
        static Journald journald;

        (void)snprintf(journald.directory, sizeof(journald.directory), "/tmp/journal-XXXXXX");
        if (!mkdtemp(journald.directory))
                return -1;
        journald.at.sun_family = AF_UNIX;
        (void)snprintf(journald.at.sun_path, sizeof(journald.at.sun_path), "%s/socket", journald.directory);
        journald.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        *state = &journald;
        return bind(journald.fd, (struct sockaddr *)&journald.at, sizeof(journald.at));
}

static int teardown(void **state) {
        Journald *journald = *state;

        journal_close();
        close_fd(journald->fd);
        return unlink(journald->at.sun_path) < 0 || rmdir(journald->directory) < 0 ? -1 : 0;
}

/* The next entry, NUL-terminated; its size, -1 when there is none. */
static ssize_t next_entry(const Journald *journald, char buffer[static JOURNAL_ENTRY_MAX_BYTES + 1]) {
        ssize_t n = recv(journald->fd, buffer, JOURNAL_ENTRY_MAX_BYTES, MSG_DONTWAIT);

        buffer[n < 0 ? 0 : n] = '\0';
        return n;
}

static void a_value_is_a_line(void **state) {
        char text[JOURNAL_ENTRY_MAX_BYTES + 1];
        JournalEntry entry;
        Journald *journald = *state;

        assert_int_equal(journal_open(journald->at.sun_path), 0);
        journal_clear(&entry);
        journal_text(&entry, "MESSAGE", "ended: timeout");
        journal_text(&entry, "NONE", NULL);
        journal_u64(&entry, "SCIDEX_PID", UINT64_MAX);
        journal_seconds(&entry, "SCIDEX_DURATION_SEC", 3000007);
        assert_int_equal(journal_send(&entry), 0);
        assert_true(next_entry(journald, text) > 0);
        assert_string_equal(
                text, "MESSAGE=ended: timeout\nSCIDEX_PID=18446744073709551615\nSCIDEX_DURATION_SEC=3.000007\n");
}

static void a_newline_in_a_value_cannot_forge_a_field(void **state) {
        static const char expected[] = "ID\n\x0b\0\0\0\0\0\0\0a\nMESSAGE=b\n";
        JournalEntry entry;

        journal_clear(&entry);
        journal_text(&entry, "ID", "a\nMESSAGE=b");
        assert_int_equal(entry.size, sizeof(expected) - 1);
        assert_memory_equal(entry.bytes, expected, sizeof(expected) - 1);
}

static void a_value_that_does_not_fit_is_left_out_whole(void **state) {
        _cleanup_(freep) char *long_value = malloc(JOURNAL_ENTRY_MAX_BYTES + 1);
        JournalEntry entry;
        size_t fits = JOURNAL_ENTRY_MAX_BYTES - strlen("A=1\n") - strlen("B") - 2 - sizeof(uint64_t);

        assert_non_null(long_value);
        memset(long_value, 'x', JOURNAL_ENTRY_MAX_BYTES);
        long_value[fits + 1] = '\0';
        journal_clear(&entry);
        journal_text(&entry, "A", "1");
        journal_text(&entry, "B", long_value);
        assert_int_equal(entry.size, 4);
        long_value[fits] = '\0';
        journal_text(&entry, "B", long_value);
        assert_int_equal(entry.size, 4 + fits + 3);
        journal_text(&entry, "C", "123456");
        assert_int_equal(entry.size, 4 + fits + 3);
}

static void without_a_journal_there_is_none(void **state) {
        assert_int_equal(journal_open("/nonexistent/socket"), -ENOENT);
        assert_false(journal_is_open());
}

/* Returns how many were taken before the first drop. */
static unsigned fill(const JournalEntry *entry) {
        for (unsigned i = 0; i < 100000; i++)
                if (journal_send(entry) < 0)
                        return i;
        fail_msg("a journal that nobody reads takes everything");
        return 0;
}

static void a_journal_that_hangs_delays_nobody_and_hears_of_it_once(void **state) {
        char text[JOURNAL_ENTRY_MAX_BYTES + 1];
        uint64_t before = journal_dropped();
        Journald *journald = *state;
        unsigned n_taken, n_notes = 0;
        JournalEntry entry;

        assert_int_equal(journal_open(journald->at.sun_path), 0);
        journal_clear(&entry);
        journal_text(&entry, "MESSAGE", "x");
        n_taken = fill(&entry);
        assert_int_equal(journal_send(&entry), -EAGAIN);
        assert_int_equal(journal_dropped() - before, 2);
        for (unsigned i = 0; i < n_taken; i++)
                assert_true(next_entry(journald, text) > 0);
        assert_int_equal(journal_send(&entry), 0);
        assert_int_equal(journal_send(&entry), 0);
        while (next_entry(journald, text) > 0)
                n_notes += strstr(text, "\nSCIDEX_DROPPED=2\n") != NULL;
        assert_int_equal(n_notes, 1);
}

static void a_journal_that_was_started_again_is_found(void **state) {
        char text[JOURNAL_ENTRY_MAX_BYTES + 1];
        Journald *journald = *state;
        JournalEntry entry;

        assert_int_equal(journal_open(journald->at.sun_path), 0);
        journald->fd = close_fd(journald->fd);
        journal_clear(&entry);
        journal_text(&entry, "MESSAGE", "x");
        assert_int_equal(journal_send(&entry), -ECONNREFUSED);
        assert_int_equal(unlink(journald->at.sun_path), 0);
        journald->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(journald->fd, (struct sockaddr *)&journald->at, sizeof(journald->at)), 0);
        assert_int_equal(journal_send(&entry), 0);
        assert_true(next_entry(journald, text) > 0);
}

/* Says that stderr is the journal, as systemd does. */
static void stderr_is_the_journal(void) {
        _cleanup_(freep) char *stream = NULL;
        struct stat st;

        assert_int_equal(fstat(STDERR_FILENO, &st), 0);
        stream = text_printf("%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        assert_non_null(stream);
        assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
}

static void a_line_about_a_run_has_its_fields(void **state) {
        char text[JOURNAL_ENTRY_MAX_BYTES + 1];
        Journald *journald = *state;
        JournalEntry entry;

        stderr_is_the_journal();
        log_open("p", LOG_LEVEL_INFO);
        log_open_journal_at(journald->at.sun_path);
        journal_clear(&entry);
        journal_text(&entry, "MESSAGE_ID", "f173e305a8b94f0d8162021685c7a899");
        log_entry(LOG_LEVEL_NOTICE, &entry, "01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0", "SDA\x1b", "ended: %s", "timeout");
        assert_true(next_entry(journald, text) > 0);
        assert_string_equal(text,
                "MESSAGE_ID=f173e305a8b94f0d8162021685c7a899\n"
                "MESSAGE=[0868d8d0 SDA\\x1b] ended: timeout\n"
                "PRIORITY=5\nSYSLOG_IDENTIFIER=p\n"
                "SCIDEX_RUN_ID=01a1fd0c-4a4c-7d3b-b6da-118a0868d8d0\nSCIDEX_ANALYSIS_ID=SDA\x1b\n");
        log_line(LOG_LEVEL_WARNING, "hello");
        assert_true(next_entry(journald, text) > 0);
        assert_string_equal(text, "MESSAGE=hello\nPRIORITY=4\nSYSLOG_IDENTIFIER=p\n");
        log_line(LOG_LEVEL_DEBUG, "no");
        assert_int_equal(next_entry(journald, text), -1);
        assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_value_is_a_line, setup, teardown),
                cmocka_unit_test(a_newline_in_a_value_cannot_forge_a_field),
                cmocka_unit_test(a_value_that_does_not_fit_is_left_out_whole),
                cmocka_unit_test(without_a_journal_there_is_none),
                cmocka_unit_test_setup_teardown(
                        a_journal_that_hangs_delays_nobody_and_hears_of_it_once, setup, teardown),
                cmocka_unit_test_setup_teardown(a_journal_that_was_started_again_is_found, setup, teardown),
                cmocka_unit_test_setup_teardown(a_line_about_a_run_has_its_fields, setup, teardown),
        };

        return cmocka_run_group_tests_name("base-journal", tests, NULL, NULL);
}
