/*
 * Texts of /proc/PID: stat (whose name field a process chooses itself), status, smaps_rollup, cgroup.
 */
#include "base/cleanup.h"
#include "base/process.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(freep) char *text = fuzz_text(bytes, size), *path = NULL;
        ProcessIdentity identity = { 0 };
        uint64_t kib;

        if (process_parse_stat(text, &identity) == 0 && (identity.pid < 0 || identity.state == '\0'))
                fuzz_fail("a process that is none");
        (void)process_parse_status(text, &identity);
        (void)process_parse_kib(text, "RssAnon", &kib);
        (void)process_parse_kib(text, "Pss_Anon", &kib);
        if (process_parse_cgroup(text, &path) == 0 && (!path || path[0] != '/'))
                fuzz_fail("a group's path that is none");
        return 0;
}
