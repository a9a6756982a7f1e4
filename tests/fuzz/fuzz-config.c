/*
 * A configuration file: INI lines, their values, and what they then mean for a run that is asked for.
 *
 * Names of users and groups are not looked up here. A broken file must leave a configuration that can be used, with a
 * finding for each thing that is wrong which can be shown on one line.
 */
#include "base/cleanup.h"
#include "supervise/config-internal.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

typedef struct Reading {
        Config *config, *built_in;
        ConfigFindings findings;
} Reading;

static int on_value(const ConfigPlace *place, void *userdata) {
        Reading *r = userdata;

        return config_set(r->config, r->built_in, place, &r->findings);
}

static void try_findings(const ConfigFindings *findings) {
        for (size_t i = 0; i < findings->n; i++) {
                _cleanup_(freep) char *line = config_finding_text(&findings->list[i]);

                if (!line || strchr(line, '\n'))
                        fuzz_fail("a finding that is no line");
                fuzz_assert_harmless(line);
        }
}

static void try_admission(const Config *config) {
        const UserUsage usage = { .runs = 1, .memory_bytes = UINT64_C(1) << 30 };
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest request = { 0 };
        UserCaps caps = config_caps(config, 1000);
        int r;

        request_init(&request);
        r = config_admit(config, &caps, &usage, false, &request, &error);
        if (r != 0 && (!error.message || !error.hint))
                fuzz_fail("a refusal without a word");
        if (r == 0 && (request.memory_bytes > caps.memory_max_bytes || request.timeout_usec > caps.timeout_max_usec))
                fuzz_fail("a run above its user's caps");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(config_freep) Config *config = NULL, *built_in = NULL;
        _cleanup_(freep) char *text = fuzz_text(bytes, size);
        Reading r;

        if (config_new(true, &config) < 0 || config_new(true, &built_in) < 0)
                fuzz_fail("out of memory");
        r = (Reading){ .config = config, .built_in = built_in };
        if (config_read_text("/etc/scidex/supervisor.conf", text, on_value, &r, &r.findings) < 0)
                fuzz_fail("a text ends the reading");
        try_findings(&r.findings);
        try_admission(config);
        config_findings_deinit(&r.findings);
        return 0;
}
