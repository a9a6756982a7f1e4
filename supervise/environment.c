/*
 * SCIDEX_* and systemd's memory pressure protocol (https://systemd.io/MEMORY_PRESSURE).
 *
 * Called when a launch is answered.  The hard thing is what a launcher has inherited: started by a service or from
 * within a run, it carries that one's MEMORY_PRESSURE_WATCH and limits, and its run would listen to the wrong group.
 * So every variable is either set or taken out.  The limits are those that hold: of a nested run the outer ones too.
 */
#include "supervise/environment.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include <inttypes.h>
#include <string.h>

/*
 * "some 200000 2000000" and a NUL, in base64: told when some task stalls for 200 ms in 2 s, systemd's own default. An
 * unprivileged trigger needs a window of a multiple of 2 s (Documentation/accounting/psi.rst).
 */
#define PRESSURE_WRITE "c29tZSAyMDAwMDAgMjAwMDAwMAA="

/* value NULL: the variable is taken out. */
static int put(json_t *list, const char *name, const char *value) {
        _cleanup_(freep) char *text = value ? text_printf("%s=%s", name, value) : strdup(name);

        return text && json_array_append_new(list, json_from_text(text)) == 0 ? 0 : -ENOMEM;
}

static int put_limits(json_t *list, const Run *run) {
        uint64_t memory_bytes = UINT64_MAX, deadline_at = USEC_INFINITY;
        char at[CLOCK_RFC3339_MAX], bytes[24];

        for (const Run *around = run; around; around = around->outer) {
                memory_bytes = MIN_OF(memory_bytes, around->request.memory_bytes);
                deadline_at = MIN_OF(deadline_at, usec_add(around->launched_at, around->request.timeout_usec));
        }
        (void)snprintf(bytes, sizeof(bytes), "%" PRIu64, memory_bytes);
        if (put(list, "SCIDEX_MEMORY_MAX", memory_bytes == UINT64_MAX ? NULL : bytes) < 0)
                return -ENOMEM;
        return put(
                list, "SCIDEX_DEADLINE", deadline_at == USEC_INFINITY ? NULL : clock_format_rfc3339(at, deadline_at));
}

static bool has_pressure(const Run *run) {
        return run_is_grouped(run) && faccessat(run->group.fd, "memory.pressure", F_OK, 0) == 0;
}

static int put_pressure(json_t *list, const Run *run, const char *group_path) {
        _cleanup_(freep) char *path = NULL;

        if (!group_path || !has_pressure(run))
                return put(list, "MEMORY_PRESSURE_WATCH", NULL) < 0 || put(list, "MEMORY_PRESSURE_WRITE", NULL) < 0
                        ? -ENOMEM
                        : 0;
        path = text_printf("%s/memory.pressure", group_path);
        if (!path || put(list, "MEMORY_PRESSURE_WATCH", path) < 0)
                return -ENOMEM;
        return put(list, "MEMORY_PRESSURE_WRITE", PRESSURE_WRITE);
}

json_t *environment_of_run(const Run *run, const char *group_path) {
        _cleanup_(json_decrefp) json_t *list = json_array();

        if (!list || put(list, "SCIDEX_RUN_ID", run->id.text) < 0 ||
                put(list, "SCIDEX_ANALYSIS_ID", run->request.analysis_id) < 0 || put_limits(list, run) < 0 ||
                put_pressure(list, run, group_path) < 0)
                return NULL;
        return TAKE_PTR(list);
}
