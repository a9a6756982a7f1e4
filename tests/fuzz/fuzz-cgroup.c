/*
 * Texts of the kernel about groups: memory.events and its like, *.pressure, io.stat, cgroup.procs, mountinfo.
 *
 * The kernel does not lie, but a container's /proc and a later kernel's files are not what we were tested with.
 */
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/mountinfo.h"
#include "cgroup/procs.h"
#include "cgroup/usage.h"
#include "tests/fuzz/fuzz.h"

static void try_keys(const char *text) {
        static const char *const keys[] = { "oom", "oom_kill", "max", "usage_usec", "populated", "" };
        uint64_t value;

        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                (void)text_find_u64(text, keys[i], &value);
}

static void try_procs(const char *text) {
        _cleanup_(pid_list_deinit) PidList list = { 0 };
        _cleanup_(pid_set_deinit) PidSet set = { 0 };

        if (procs_parse(text, &list) < 0)
                return;
        for (size_t i = 0; i < list.count; i++) {
                if (list.pids[i] <= 0 || list.pids[i] >= PID_LIMIT)
                        fuzz_fail("a pid that is none");
                if (i < 8 && (pid_set_add(&set, list.pids[i]) < 0 || !pid_set_contains(&set, list.pids[i])))
                        fuzz_fail("a pid is not found again");
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(cgroup_mounts_deinit) CgroupMounts mounts = { 0 };
        _cleanup_(freep) char *text = fuzz_text(bytes, size);
        uint64_t some = USAGE_UNKNOWN, full = USAGE_UNKNOWN, in, out;

        try_keys(text);
        try_procs(text);
        usage_parse_pressure(text, "some", &some);
        usage_parse_pressure(text, "full", &full);
        usage_parse_io(text, &in, &out);
        (void)cgroup_mounts_parse(text, &mounts);
        return 0;
}
