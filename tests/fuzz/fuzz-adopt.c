/*
 * What a supervisor finds in a group's extended attributes: `run`, `main`, `kill`, `end`, four texts of JSON, here
 * divided by a line "----". A run of the supervisor's own user could write them; half of one is there after a crash.
 *
 * A directory in $FUZZ_SCRATCH stands for the group: its file system must have attributes of users.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "supervise/adopt.h"
#include "supervise/record.h"
#include "tests/fuzz/fuzz.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define BOOT_ID "82d79567-566a-487c-9dc6-cccad4889b67" /* as in the corpus */
#define NAME    "SDA-42-0868d8d0"

static int open_parent(void) {
        const char *scratch = getenv("FUZZ_SCRATCH");
        _cleanup_(freep) char *path = text_printf("%s/adopt-XXXXXX", scratch ? scratch : "/tmp");
        int parent;

        if (!path || !mkdtemp(path))
                fuzz_fail("no directory can be made here");
        parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (parent < 0 || mkdirat(parent, NAME, 0700) < 0)
                fuzz_fail("no directory can be made here");
        return parent;
}

/* Left empty it is removed, so that the attribute is missing. */
static void write_attributes(int group, char *text) {
        static const char *const names[] = { "user.scidex.run", "user.scidex.main", "user.scidex.kill",
                "user.scidex.end" };

        for (size_t i = 0; i < ELEMENTSOF(names); i++) {
                const char *part = fuzz_part(&text);

                if (*part && xattr_write(group, names[i], part) < 0)
                        return; /* longer than this file system takes */
                if (!*part)
                        (void)fremovexattr(group, names[i]);
        }
}

static void try_record(const Run *run) {
        const RecordHost host = { .host = "host", .boot_id = BOOT_ID, .tree_path = "/sys/fs/cgroup/x" };
        _cleanup_(json_decrefp) json_t *row = record_run(&host, run, UINT64_C(1) << 40), *event = NULL;

        if (!row)
                fuzz_fail("a run that was adopted can't be recorded");
        if (run_has_kill(run) && !(event = record_event(&host, run, UINT64_C(1) << 40)))
                fuzz_fail("the event of a run that was adopted can't be recorded");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(freep) char *text = fuzz_text(bytes, size);
        static int parent = -1, group = -1;
        _cleanup_(run_freep) Run *run = NULL;
        int r;

        if (parent < 0) {
                parent = open_parent();
                group = openat(parent, NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (xattr_write(group, "user.scidex.run", "{}") < 0)
                        fuzz_fail("FUZZ_SCRATCH has no attributes of users; name a directory of another file system");
        }
        write_attributes(group, text);
        r = adopt_load(parent, NAME, BOOT_ID, &run);
        if (r < 0 && r != -ENOMEM)
                fuzz_fail("an attribute keeps the group from being looked at");
        if (r == 0)
                try_record(run);
        return 0;
}
