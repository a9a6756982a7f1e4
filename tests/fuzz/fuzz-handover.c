/*
 * What a launcher has left of a run that ended without a supervisor: a file of JSON in the user's state directory,
 * which the next supervisor takes over.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "supervise/supervisor-internal.h"
#include "tests/fuzz/fuzz.h"

static Supervisor *fresh_supervisor(void) {
        static Supervisor s;

        if (!s.event) {
                log_open("fuzz", LOG_LEVEL_ERROR);
                if (sd_event_default(&s.event) < 0)
                        fuzz_fail("no event loop");
        }
        s.tick_usec = 0; /* armed: none of these runs lives */
        return &s;
}

static void try_record(Supervisor *s, const Run *run) {
        const RecordHost host = { .host = "host", .boot_id = "", .tree_path = "" };
        _cleanup_(json_decrefp) json_t *row = record_run(&host, run, 1);

        if (!row)
                fuzz_fail("a run that was taken over can't be recorded");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(json_decrefp) json_t *handover = NULL;
        Supervisor *s = fresh_supervisor();
        Run *run;

        if (json_parse((const char *)bytes, size, &handover) < 0 || !json_is_object(handover))
                return 0;
        restart_take_handover(s, handover);
        restart_take_handover(s, handover); /* twice, as when the file could not be removed */
        if (s->n_runs > 1)
                fuzz_fail("one handover has made two runs");
        while ((run = LIST_FIRST(&s->runs))) {
                try_record(s, run);
                LIST_REMOVE(run, link);
                s->n_runs--;
                run_free(run);
        }
        return 0;
}
