/*
 * The `request` of a launch, from JSON: of a packet, of a group's attribute, of a handover.
 *
 * What is accepted must be valid, must survive the way through JSON unchanged, and must make limits.
 */
#include "base/cleanup.h"
#include "supervise/request.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

typedef json_t *(*Writer)(const RunRequest *request);

static void try_again(const RunRequest *request, Writer write) {
        _cleanup_(json_decrefp) json_t *first = write(request), *second = NULL;
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest again = { 0 };

        if (!first)
                fuzz_fail("a request that was read can't be written");
        if (request_from_json(first, &again, &error) < 0)
                fuzz_fail(error.message ? error.message : "a request that was written can't be read");
        second = write(&again);
        if (!json_equal(first, second))
                fuzz_fail("a request changes on its way");
}

/* With the defaults for what was not given, as the supervisor keeps it, unless they do not fit together. */
static void try_whole(RunRequest *request) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };

        request->given = REQUEST_ALL;
        if (request_validate(request, &error) == 0)
                try_again(request, request_to_json);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest request = { 0 };
        _cleanup_(json_decrefp) json_t *object = NULL;
        int r;

        if (json_parse((const char *)bytes, size, &object) < 0)
                return 0;
        r = request_from_json(object, &request, &error);
        if (r < 0 && (!error.message || !error.hint))
                fuzz_fail("a refusal without a word");
        if (r < 0)
                return 0;
        if (request_validate(&request, &error) < 0)
                fuzz_fail("an invalid request was accepted");
        (void)request_limits(&request);
        try_again(&request, request_given_to_json);
        try_whole(&request);
        return 0;
}
