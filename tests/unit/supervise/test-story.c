/* supervise/story.h: what the journal is told of a run. */
#include "base/cleanup.h"
#include "base/file.h"
#include "supervise/story.h"

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

static int say_that_stderr_is_the_journal(void) {
        _cleanup_(freep) char *stream = NULL;
        struct stat st;

        if (fstat(STDERR_FILENO, &st) < 0)
                return -1;
        stream = text_printf("%" PRIuMAX ":%" PRIuMAX, (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
        return stream ? setenv("JOURNAL_STREAM", stream, 1) : -1;
}

static int setup(void **state) {
        static Journald journald;

        (void)snprintf(journald.directory, sizeof(journald.directory), "/tmp/story-XXXXXX");
        if (!mkdtemp(journald.directory) || say_that_stderr_is_the_journal() < 0)
                return -1;
        journald.at.sun_family = AF_UNIX;
        (void)snprintf(journald.at.sun_path, sizeof(journald.at.sun_path), "%s/socket", journald.directory);
        journald.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        *state = &journald;
        if (bind(journald.fd, (struct sockaddr *)&journald.at, sizeof(journald.at)) < 0)
                return -1;
        log_open("p", LOG_LEVEL_INFO);
        log_open_journal_at(journald.at.sun_path);
        return 0;
}

static int teardown(void **state) {
        Journald *journald = *state;

        journal_close();
        close_fd(journald->fd);
        return unlink(journald->at.sun_path) < 0 || rmdir(journald->directory) < 0 || unsetenv("JOURNAL_STREAM") < 0
                ? -1
                : 0;
}

static ssize_t next_entry(const Journald *journald, char text[static JOURNAL_ENTRY_MAX_BYTES + 1]) {
        ssize_t n = recv(journald->fd, text, JOURNAL_ENTRY_MAX_BYTES, MSG_DONTWAIT);

        text[n < 0 ? 0 : n] = '\0';
        return n;
}

static void assert_has(const char *entry, const char *field) {
        _cleanup_(freep) char *line = text_printf("\n%s\n", field), *all = text_printf("\n%s", entry);

        assert_non_null(line);
        assert_non_null(all);
        if (!strstr(all, line))
                fail_msg("no %s in:\n%s", field, entry);
}

static void assert_lacks(const char *entry, const char *name) {
        if (strstr(entry, name))
                fail_msg("%s in:\n%s", name, entry);
}

static Run *some_run(void) {
        RunRequest request;
        Run *run;

        request_init(&request);
        request.analysis_id = strdup("SDA-42");
        assert_int_equal(run_new(&request, 1, 1000000, &run), 0);
        run->uid = 1000;
        run->launcher_pid = 4710;
        run->usage = USAGE_NONE;
        return run;
}

static void a_launch_names_run_user_and_limits(void **state) {
        _cleanup_(run_freep) Run *run = some_run();
        char entry[JOURNAL_ENTRY_MAX_BYTES + 1];
        _cleanup_(freep) char *id = text_printf("SCIDEX_RUN_ID=%s", run->id.text);

        story_tell(STORY_LAUNCH, LOG_LEVEL_INFO, run, "launched");
        assert_true(next_entry(*state, entry) > 0);
        assert_has(entry, "MESSAGE_ID=dd3e7e50d0fd4e9cbc8e8d06f2d6e94d");
        assert_has(entry, id);
        assert_has(entry, "SCIDEX_ANALYSIS_ID=SDA-42");
        assert_has(entry, "SCIDEX_UID=1000");
        assert_has(entry, "SCIDEX_LAUNCHER_PID=4710");
        assert_has(entry, "SCIDEX_MEMORY_MAX=2147483648");
        assert_has(entry, "SCIDEX_TIMEOUT_SEC=1800.000000");
        assert_has(entry, "PRIORITY=6");
        assert_lacks(entry, "SCIDEX_PID=");
        assert_lacks(entry, "SCIDEX_VERDICT=");
        assert_lacks(entry, "SCIDEX_DURATION_SEC=");
}

static void a_kill_names_event_reason_and_figures(void **state) {
        _cleanup_(run_freep) Run *run = some_run();
        char entry[JOURNAL_ENTRY_MAX_BYTES + 1];

        run->pid = 4711;
        run->request.memory_bytes = UINT64_MAX;
        run->usage.memory_peak_bytes = 12345;
        run->kill.event_id = uuid_new(1);
        run->kill.reason = VERDICT_MEMORY;
        run->kill.detail = strdup("thrashing\nMESSAGE=forged");
        story_tell(STORY_TERM, LOG_LEVEL_NOTICE, run, "TERM");
        assert_true(next_entry(*state, entry) > 0);
        assert_has(entry, "MESSAGE_ID=0c4a5ab62fec46a4ab2f2bf7cfee5521");
        assert_has(entry, "SCIDEX_PID=4711");
        assert_has(entry, "SCIDEX_MEMORY_MAX=infinity");
        assert_has(entry, "SCIDEX_MEMORY_PEAK=12345");
        assert_has(entry, "SCIDEX_VERDICT=memory");
        assert_non_null(strstr(entry, "\nSCIDEX_EVENT_ID="));
        assert_non_null(strstr(entry, "\nSCIDEX_DURATION_SEC="));
        assert_non_null(strstr(entry, "\nSCIDEX_DETAIL\n\x18")); /* with its length before it */
}

static void a_verdict_names_itself_and_how_the_process_ended(void **state) {
        _cleanup_(run_freep) Run *run = some_run();
        char entry[JOURNAL_ENTRY_MAX_BYTES + 1];

        run->verdict = VERDICT_FAILED;
        run->status_known = true;
        run->wait_status = 3 << 8;
        run->ended_usec = 4500000;
        story_tell(STORY_VERDICT, LOG_LEVEL_INFO, run, "ended");
        assert_true(next_entry(*state, entry) > 0);
        assert_has(entry, "SCIDEX_VERDICT=failed");
        assert_has(entry, "SCIDEX_EXIT_STATUS=3");
        assert_has(entry, "SCIDEX_DURATION_SEC=3.500000");
        assert_lacks(entry, "SCIDEX_EVENT_ID=");
        run->verdict = VERDICT_CRASHED;
        run->wait_status = 11;
        story_tell(STORY_VERDICT, LOG_LEVEL_INFO, run, "ended");
        assert_true(next_entry(*state, entry) > 0);
        assert_has(entry, "SCIDEX_EXIT_SIGNAL=SEGV");
        assert_lacks(entry, "SCIDEX_EXIT_STATUS=");
}

static void refusals_in_a_loop_are_counted_not_told(void **state) {
        const Refusal refusal = { .op = "kill", .code = "denied", .message = "no", .uid = 1001, .pid = 7 };
        char entry[JOURNAL_ENTRY_MAX_BYTES + 1];
        unsigned n = 0;

        for (int i = 0; i < 1000; i++) {
                story_refuse(&refusal, 5000000);
                if (next_entry(*state, entry) <= 0) /* at once: the queue of a host without systemd holds 11 */
                        continue;
                assert_has(entry, "SCIDEX_OPERATION=kill");
                assert_has(entry, "SCIDEX_UID=1001");
                n++;
        }
        assert_int_equal(n, STORY_REFUSALS_MAX);
        story_refuse(&refusal, 5000000 + STORY_REFUSALS_USEC);
        assert_true(next_entry(*state, entry) > 0);
        assert_non_null(strstr(entry, "950 refusals before"));
}

static void every_kind_has_an_id_of_its_own(void **state) {
        for (int a = 0; a < STORY_KIND_MAX; a++) {
                assert_int_equal(strlen(story_message_id((StoryKind)a)), 32);
                for (int b = 0; b < a; b++)
                        assert_string_not_equal(story_message_id((StoryKind)a), story_message_id((StoryKind)b));
        }
        assert_null(story_message_id(STORY_KIND_MAX));
}

static void the_catalog_explains_every_kind_and_no_other(void **state) {
        _cleanup_(freep) char *catalog = NULL;
        int n = 0;

        assert_int_equal(file_read_at(AT_FDCWD, CATALOG, 1 << 20, &catalog, NULL), 0);
        for (int kind = 0; kind < STORY_KIND_MAX; kind++) {
                _cleanup_(freep) char *head = text_printf("\n-- %s\nSubject: ", story_message_id((StoryKind)kind));

                assert_non_null(head);
                assert_non_null(strstr(catalog, head));
        }
        for (const char *at = catalog; (at = strstr(at, "\n-- ")); at++)
                n++;
        assert_int_equal(n, STORY_KIND_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_launch_names_run_user_and_limits, setup, teardown),
                cmocka_unit_test_setup_teardown(a_kill_names_event_reason_and_figures, setup, teardown),
                cmocka_unit_test_setup_teardown(a_verdict_names_itself_and_how_the_process_ended, setup, teardown),
                cmocka_unit_test_setup_teardown(refusals_in_a_loop_are_counted_not_told, setup, teardown),
                cmocka_unit_test(every_kind_has_an_id_of_its_own),
                cmocka_unit_test(the_catalog_explains_every_kind_and_no_other),
        };

        return cmocka_run_group_tests_name("supervise-story", tests, NULL, NULL);
}
