/*
 * What a launcher takes from its supervisor: the answer to `launch`, a change of the limits, the end; and what it then
 * says. The input is three texts of JSON, divided by a line "----".
 *
 * The supervisor is root's or the user's own, but repeats texts of others: nothing of them may drive the terminal.
 */
#include "base/cleanup.h"
#include "cmd/scidex-run/launch.h"
#include "tests/fuzz/fuzz.h"
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

static json_t *next_object(char **rest) {
        const char *part = fuzz_part(rest);
        json_t *object = NULL;

        if (json_parse(part, strlen(part), &object) < 0)
                return NULL;
        if (!json_is_object(object)) {
                json_decref(object);
                return NULL;
        }
        return object;
}

static void go(Launch *l, char *text) {
        _cleanup_(message_deinit) Message reply = { .fds = { open("/dev/null", O_RDONLY | O_CLOEXEC) }, .n_fds = 1 };
        _cleanup_(json_decrefp) json_t *changed = NULL, *end = NULL;

        reply.body = next_object(&text);
        changed = next_object(&text);
        end = next_object(&text);
        if (!reply.body || launch_take_answer(l, &reply) < 0)
                return;
        if (changed)
                launch_take_limits(l, changed);
        if (request_validate(&l->request, &(RequestError){ 0 }) < 0)
                fuzz_fail("limits that make no sense were taken");
        if (!end || !json_is_object(json_object_get(end, "run")))
                return;
        launch_take_end(l, end);
        (void)launch_finish(l);
}

/* What go() says on stderr; all else that stderr is for must come through. */
static char *said(Launch *l, char *text) {
        static int capture = -1;
        int saved = dup(STDERR_FILENO);
        char *all;
        off_t size;

        if (capture < 0)
                capture = memfd_create("said", MFD_CLOEXEC);
        if (capture < 0 || saved < 0 || ftruncate(capture, 0) < 0 || lseek(capture, 0, SEEK_SET) < 0 ||
                dup2(capture, STDERR_FILENO) < 0)
                fuzz_fail("stderr can't be captured");
        go(l, text);
        (void)dup2(saved, STDERR_FILENO);
        (void)close_fd(saved);
        size = lseek(capture, 0, SEEK_END);
        all = calloc(1, (size_t)size + 1);
        if (!all || pread(capture, all, (size_t)size, 0) != size)
                fuzz_fail("what was said can't be read");
        return all;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        char *command[] = { (char *)"true", NULL };
        _cleanup_(freep) char *text = fuzz_text(bytes, size), *all = NULL;
        RunOptions options = { .command = command, .verbose = true };
        Launch l = { .options = &options,
                .connection = CONNECTION_NONE,
                .report_fd = -EBADF,
                .group_fd = -EBADF,
                .kill_fd = -EBADF,
                .signal_fd = -EBADF,
                .spawned = { .pidfd = -EBADF } };

        request_init(&options.request);
        all = said(&l, text);
        launch_deinit(&l);
        fuzz_assert_harmless(all);
        return 0;
}
