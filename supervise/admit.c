/*
 * Whether a run is allowed, and with which limits.
 *
 * Called for each launch and each change of a live run.  Pure: what the user already has is an argument.  The hard
 * thing is to be foreseeable: a default shrinks to a cap, since nobody asked for it, but never to what happens to be
 * left of the total, or the same command would live today and run out of memory tomorrow; what was asked for is never
 * changed, only refused, in words that say which number, whose, and what now.
 */
#include "supervise/config.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/parse.h"
#include <string.h>

#define MEMORY_LEAST_BYTES 4096 /* less can't be asked for */

/* A sum that can't overflow: infinity stays. */
static uint64_t plus(uint64_t a, uint64_t b) {
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t minus(uint64_t a, uint64_t b) {
        return a == UINT64_MAX ? a : a - MIN_OF(a, b);
}

/* Swap beside a memory limit that is none adds nothing. */
static uint64_t footprint(const RunRequest *r) {
        return plus(r->memory_bytes, r->swap_bytes);
}

/* "512M": as --memory takes it, rounded down. */
static char *size_to_write(uint64_t bytes) {
        static const char units[] = "KMG";
        uint64_t value = bytes >> 10;
        size_t unit = 0;

        for (; unit + 1 < strlen(units) && value % 1024 == 0 && value >= 1024; unit++)
                value >>= 10;
        return text_printf("%llu%c", (unsigned long long)value, units[unit]);
}

/* " (memory_max in /etc/…:12)", the cap's name and where it is set. */
static char *place_of(const UserCaps *caps, Cap cap, const char *key) {
        return caps->set_in[cap] ? text_printf("%s in %s", key, caps->set_in[cap]) : strdup(key);
}

/* Takes message and hint over. */
static int forbid(RequestError *error, const char *option, char *message, char *hint) {
        *error = (RequestError){ .option = option, .message = message, .hint = hint };
        return message && hint ? CONFIG_E_ABOVE_CAP : -ENOMEM;
}

/* "ask the admin to raise memory_max", in a user's own supervisor "raise memory_max there". */
static const char *whom(const Config *config) {
        return config->system ? "ask the admin to raise" : "raise";
}

static int check_runs(const Config *config, const UserCaps *caps, const UserUsage *usage, RequestError *error) {
        _cleanup_(freep) char *place = place_of(caps, CAP_RUNS, "runs_max");

        if (usage->runs < caps->runs_max)
                return 0;
        if (caps->runs_max == 0)
                return forbid(error, NULL, text_printf("you may have no runs here (%s)", place ? place : "runs_max"),
                        text_printf("To be allowed some, %s runs_max", whom(config)));
        return forbid(error, NULL,
                text_printf("you have %llu run%s, and the cap is %llu at once (%s)", (unsigned long long)usage->runs,
                        usage->runs == 1 ? "" : "s", (unsigned long long)caps->runs_max, place ? place : "runs_max"),
                text_printf("Wait for one to end (scidexctl list), or %s runs_max", whom(config)));
}

/* "memory limit 8.0 GiB", "memory limit 8.0 GiB with swap 1.0 GiB", "a run without memory limit" */
static char *memory_text(const RunRequest *r) {
        char memory[FORMAT_MAX], swap[FORMAT_MAX];

        if (r->memory_bytes == SIZE_INFINITY)
                return strdup("a run without memory limit");
        if (r->swap_bytes == 0)
                return text_printf("memory limit %s", format_bytes(memory, r->memory_bytes));
        return text_printf("memory limit %s with swap %s", format_bytes(memory, r->memory_bytes),
                format_bytes(swap, r->swap_bytes));
}

/* What --memory may be beside the swap; "" where there is no room at all. */
static char *memory_remedy(const RunRequest *r, uint64_t room) {
        _cleanup_(freep) char *size = NULL;
        uint64_t left = minus(room, r->swap_bytes == UINT64_MAX ? 0 : r->swap_bytes);

        if (left < MEMORY_LEAST_BYTES)
                return strdup(room < MEMORY_LEAST_BYTES ? "" : "Write a smaller --swap");
        size = size_to_write(left);
        return size
                ? text_printf("Write --memory %s or less%s", size, r->swap_bytes == UINT64_MAX ? " without --swap" : "")
                : NULL;
}

static int check_memory(const Config *config, const UserCaps *caps, const RunRequest *r, RequestError *error) {
        _cleanup_(freep) char *place = place_of(caps, CAP_MEMORY, "memory_max");
        _cleanup_(freep) char *asked = NULL, *remedy = NULL;
        char cap[FORMAT_MAX];

        if (footprint(r) <= caps->memory_max_bytes)
                return 0;
        asked = memory_text(r);
        remedy = memory_remedy(r, caps->memory_max_bytes);
        if (!place || !asked || !remedy)
                return -ENOMEM;
        return forbid(error, "memory",
                text_printf("%s is above the cap of %s for one run (%s)", asked,
                        format_bytes(cap, caps->memory_max_bytes), place),
                text_printf("%s%s %s memory_max", remedy, *remedy ? ", or" : "To have it,", whom(config)));
}

/* " beside the 7.0 GiB of your other runs" */
static char *others_text(const UserUsage *usage) {
        char used[FORMAT_MAX];

        if (usage->memory_bytes == UINT64_MAX)
                return strdup(" beside one of yours without memory limit");
        if (usage->memory_bytes == 0)
                return strdup("");
        return text_printf(" beside the %s of your other runs", format_bytes(used, usage->memory_bytes));
}

static char *total_remedy(const Config *config, const UserUsage *usage, const char *smaller) {
        bool wait = usage->memory_bytes > 0;

        if (!wait && !*smaller)
                return text_printf("To have it, %s memory_total_max", whom(config));
        return text_printf("%s%s%s, or %s memory_total_max", smaller, *smaller && wait ? ", " : "",
                !wait              ? ""
                        : *smaller ? "wait for one to end (scidexctl list)"
                                   : "Wait for one to end (scidexctl list)",
                whom(config));
}

static int check_total(
        const Config *config, const UserCaps *caps, const UserUsage *usage, const RunRequest *r, RequestError *error) {
        uint64_t total = caps->memory_total_max_bytes;
        _cleanup_(freep) char *place = NULL, *asked = NULL, *smaller = NULL, *others = NULL;
        char cap[FORMAT_MAX];

        if (plus(footprint(r), usage->memory_bytes) <= total)
                return 0;
        place = place_of(caps, CAP_MEMORY_TOTAL, "memory_total_max");
        asked = memory_text(r);
        smaller = memory_remedy(r, minus(total, usage->memory_bytes));
        others = others_text(usage);
        if (!place || !asked || !smaller || !others)
                return -ENOMEM;
        return forbid(error, "memory",
                text_printf("%s%s is above the cap of %s for all your runs together (%s)", asked, others,
                        format_bytes(cap, total), place),
                total_remedy(config, usage, smaller));
}

/* Who ignores TERM lives for the grace as well: what is above the usual one counts like the time limit. */
static uint64_t extra_grace(const Config *config, const RunRequest *r) {
        return minus(r->grace_usec, config->defaults.grace_usec);
}

static uint64_t lifetime(const Config *config, const RunRequest *r) {
        return plus(r->timeout_usec, extra_grace(config, r));
}

/* "wall-clock limit 3h", "wall-clock limit 1h with grace 2h", "a run without wall-clock limit" */
static char *time_text(const Config *config, const RunRequest *r) {
        char timeout[FORMAT_MAX], grace[FORMAT_MAX];

        if (r->timeout_usec == USEC_INFINITY)
                return strdup("a run without wall-clock limit");
        if (extra_grace(config, r) == 0)
                return text_printf("wall-clock limit %s", format_duration(timeout, r->timeout_usec));
        return text_printf("wall-clock limit %s with grace %s", format_duration(timeout, r->timeout_usec),
                format_duration(grace, r->grace_usec));
}

/* What to write; of more than one word in quotes. */
static char *time_remedy(const Config *config, const UserCaps *caps, const RunRequest *r) {
        bool of_grace = r->timeout_usec <= caps->timeout_max_usec;
        uint64_t usec = of_grace ? plus(config->defaults.grace_usec, caps->timeout_max_usec - r->timeout_usec)
                                 : caps->timeout_max_usec;
        char time[FORMAT_MAX];
        const char *quote = strchr(format_duration(time, usec), ' ') ? "\"" : "";

        return text_printf("Write --%s %s%s%s or less, or %s timeout_max", of_grace ? "grace" : "timeout", quote, time,
                quote, whom(config));
}

static int check_timeout(const Config *config, const UserCaps *caps, const RunRequest *r, RequestError *error) {
        _cleanup_(freep) char *place = NULL, *asked = NULL;
        char cap[FORMAT_MAX];

        if (lifetime(config, r) <= caps->timeout_max_usec)
                return 0;
        place = place_of(caps, CAP_TIMEOUT, "timeout_max");
        asked = time_text(config, r);
        if (!place || !asked)
                return -ENOMEM;
        return forbid(error, r->timeout_usec <= caps->timeout_max_usec ? "grace" : "timeout",
                text_printf(
                        "%s is above the cap of %s (%s)", asked, format_duration(cap, caps->timeout_max_usec), place),
                time_remedy(config, caps, r));
}

static void take_defaults(const RunDefaults *defaults, RunRequest *r) {
        const struct {
                RequestMember member;
                uint64_t value, *at;
        } members[] = {
                { REQUEST_MEMORY, defaults->memory_bytes, &r->memory_bytes },
                { REQUEST_SWAP, defaults->swap_bytes, &r->swap_bytes },
                { REQUEST_TIMEOUT, defaults->timeout_usec, &r->timeout_usec },
                { REQUEST_GRACE, defaults->grace_usec, &r->grace_usec },
                { REQUEST_PIDS, defaults->pids, &r->pids },
                { REQUEST_THRASH, defaults->thrash_usec, &r->thrash_usec },
        };

        for (size_t i = 0; i < ELEMENTSOF(members); i++)
                if (!(r->given & members[i].member))
                        *members[i].at = members[i].value;
}

/* To what a cap leaves beside what was asked for; where that is nothing the cap is what the refusal will be about. */
static uint64_t shrunk(uint64_t value, uint64_t cap, uint64_t asked) {
        return MIN_OF(value, minus(cap, asked) > 0 ? minus(cap, asked) : cap);
}

static void shrink_defaults(const Config *config, const UserCaps *caps, bool nested, RunRequest *r) {
        uint64_t room = nested ? caps->memory_max_bytes : MIN_OF(caps->memory_max_bytes, caps->memory_total_max_bytes);

        if (!(r->given & REQUEST_MEMORY))
                r->memory_bytes = shrunk(r->memory_bytes, room, r->given & REQUEST_SWAP ? r->swap_bytes : 0);
        if (!(r->given & REQUEST_SWAP))
                r->swap_bytes = MIN_OF(r->swap_bytes, minus(room, r->memory_bytes));
        if (!(r->given & REQUEST_TIMEOUT))
                r->timeout_usec = shrunk(r->timeout_usec, caps->timeout_max_usec, extra_grace(config, r));
}

int config_admit(const Config *config, const UserCaps *caps, const UserUsage *usage, bool nested, RunRequest *request,
        RequestError *error) {
        int r;

        *error = (RequestError){ 0 };
        take_defaults(&config->defaults, request);
        shrink_defaults(config, caps, nested, request);
        r = check_runs(config, caps, usage, error);
        if (r == 0)
                r = check_memory(config, caps, request, error);
        if (r == 0 && !nested)
                r = check_total(config, caps, usage, request, error);
        if (r == 0)
                r = check_timeout(config, caps, request, error);
        if (r != 0)
                return r;
        request->given = REQUEST_ALL;
        return request_validate(request, error);
}

int config_admit_change(const Config *config, const UserCaps *caps, const UserUsage *usage, bool nested,
        const RunRequest *before, const RunRequest *after, RequestError *error) {
        int r = 0;

        *error = (RequestError){ 0 };
        if (footprint(after) > footprint(before)) {
                r = check_memory(config, caps, after, error);
                if (r == 0 && !nested)
                        r = check_total(config, caps, usage, after, error);
        }
        if (r == 0 && lifetime(config, after) > lifetime(config, before))
                r = check_timeout(config, caps, after, error);
        return r;
}

UserCaps config_caps(const Config *config, uid_t uid) {
        for (size_t i = 0; i < config->n_users; i++)
                if (config->users[i].uid == uid)
                        return config->users[i].caps;
        return config->caps;
}
