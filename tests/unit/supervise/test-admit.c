/* Who may have what: situations of caps, what a user already has and what is asked for, and the words of a refusal. */
#include "supervise/config.h"

#include "base/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define MIN (60 * USEC_PER_SEC)
#define INF UINT64_MAX

typedef struct Asked {
        unsigned given;
        uint64_t memory, swap, timeout, memory_high, warn_before, grace;
} Asked;

static Config *system_config(void) {
        Config *config = NULL;

        assert_int_equal(config_new(true, &config), 0);
        return config;
}

static void request_of(const Asked *asked, RunRequest *ret) {
        request_init(ret);
        ret->given = asked->given;
        if (asked->given & REQUEST_MEMORY)
                ret->memory_bytes = asked->memory;
        if (asked->given & REQUEST_SWAP)
                ret->swap_bytes = asked->swap;
        if (asked->given & REQUEST_TIMEOUT)
                ret->timeout_usec = asked->timeout;
        if (asked->given & REQUEST_GRACE)
                ret->grace_usec = asked->grace;
        if (asked->given & REQUEST_MEMORY_HIGH)
                ret->memory_high_bytes = asked->memory_high;
        if (asked->given & REQUEST_WARN_BEFORE)
                ret->warn_before_usec = asked->warn_before;
}

static void what_was_not_asked_for_is_the_configured_default(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = USER_CAPS_NONE;
        RunRequest r;

        config->defaults = (RunDefaults){ .memory_bytes = 5 * GIB,
                .swap_bytes = GIB,
                .timeout_usec = 7 * MIN,
                .grace_usec = 3 * USEC_PER_SEC,
                .pids = 99,
                .thrash_usec = 4 * MIN };
        request_init(&r);
        assert_int_equal(config_admit(config, &caps, &(UserUsage){ 3, 900 * GIB }, false, &r, &error), 0);
        assert_int_equal(r.memory_bytes, 5 * GIB);
        assert_int_equal(r.swap_bytes, GIB);
        assert_int_equal(r.timeout_usec, 7 * MIN);
        assert_int_equal(r.grace_usec, 3 * USEC_PER_SEC);
        assert_int_equal(r.pids, 99);
        assert_int_equal(r.thrash_usec, 4 * MIN);
        assert_int_equal(r.cpu_time_usec, INF); /* has no default but the built-in one */
        assert_int_equal(r.given, REQUEST_ALL);
}

static void what_was_asked_for_stays(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = USER_CAPS_NONE;
        RunRequest r;

        request_init(&r);
        r.given = REQUEST_ALL & ~REQUEST_PIDS;
        r.memory_bytes = r.memory_high_bytes = 11 * MIB;
        r.swap_bytes = 12;
        r.timeout_usec = 13 * MIN;
        r.cpu_time_usec = 14;
        r.grace_usec = 15;
        r.thrash_usec = 16 * MIN;
        r.cpu_centi = 17;
        config->defaults.pids = 5;
        assert_int_equal(config_admit(config, &caps, &(UserUsage){ 0 }, false, &r, &error), 0);
        assert_int_equal(r.memory_bytes, 11 * MIB);
        assert_int_equal(r.swap_bytes, 12);
        assert_int_equal(r.timeout_usec, 13 * MIN);
        assert_int_equal(r.cpu_time_usec, 14);
        assert_int_equal(r.grace_usec, 15);
        assert_int_equal(r.thrash_usec, 16 * MIN);
        assert_int_equal(r.cpu_centi, 17);
        assert_int_equal(r.pids, 5);
}

/* Built-in defaults: 2 GiB, no swap, 30 min. */
static const struct {
        const char *name;
        uint64_t memory_max, total_max, timeout_max;
        UserUsage usage;
        bool nested;
        Asked asked;
        uint64_t memory, swap, timeout; /* what comes of it */
} admitted[] = {
        { "no caps, nothing asked", INF, INF, INF, { 0 }, false, { 0 }, 2 * GIB, 0, 30 * MIN },
        { "no caps, no limits asked", INF, INF, INF, { 9, INF }, false,
                { REQUEST_MEMORY | REQUEST_SWAP | REQUEST_TIMEOUT, INF, INF, INF }, INF, INF, INF },
        { "a default shrinks to the cap", GIB, INF, 10 * MIN, { 0 }, false, { 0 }, GIB, 0, 10 * MIN },
        { "a default below the cap stays", 4 * GIB, INF, 60 * MIN, { 0 }, false, { 0 }, 2 * GIB, 0, 30 * MIN },
        { "a default shrinks to the total", INF, GIB, INF, { 0 }, false, { 0 }, GIB, 0, 30 * MIN },
        { "a default shrinks to the smaller of both", GIB, GIB / 2, INF, { 0 }, false, { 0 }, GIB / 2, 0, 30 * MIN },
        { "not to the total in an outer run", INF, GIB, INF, { 1, GIB }, true, { 0 }, 2 * GIB, 0, 30 * MIN },
        { "to the cap in an outer run too", GIB, INF, INF, { 1, GIB }, true, { 0 }, GIB, 0, 30 * MIN },
        { "asked for as much as the cap", GIB, GIB, MIN, { 0 }, false,
                { REQUEST_MEMORY | REQUEST_TIMEOUT, GIB, 0, MIN }, GIB, 0, MIN },
        { "a grace as usual is beside the cap", INF, INF, MIN, { 0 }, false,
                { REQUEST_TIMEOUT | REQUEST_GRACE, .timeout = MIN, .grace = 10 * USEC_PER_SEC }, 2 * GIB, 0, MIN },
        { "a longer one counts, and a default makes room for it", INF, INF, 20 * MIN, { 0 }, false,
                { REQUEST_GRACE, .grace = 5 * MIN + 10 * USEC_PER_SEC }, 2 * GIB, 0, 15 * MIN },
        { "exactly what is left", INF, 8 * GIB, INF, { 3, 6 * GIB }, false, { 0 }, 2 * GIB, 0, 30 * MIN },
        { "a default makes room for the swap asked for", 2 * GIB, INF, INF, { 0 }, false, { REQUEST_SWAP, 0, GIB }, GIB,
                GIB, 30 * MIN },
        { "memory and swap asked for, both within", 2 * GIB, INF, INF, { 0 }, false,
                { REQUEST_MEMORY | REQUEST_SWAP, GIB, GIB }, GIB, GIB, 30 * MIN },
};

static void what_is_within_the_caps_is_admitted(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(admitted); i++) {
                _cleanup_(config_freep) Config *config = system_config();
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                UserCaps caps = { INF, admitted[i].total_max, admitted[i].memory_max, admitted[i].timeout_max,
                        { NULL } };
                RunRequest r;
                int result;

                request_of(&admitted[i].asked, &r);
                result = config_admit(config, &caps, &admitted[i].usage, admitted[i].nested, &r, &error);
                if (result != 0)
                        fail_msg("%s: %d, %s", admitted[i].name, result, error.message);
                if (r.memory_bytes != admitted[i].memory || r.swap_bytes != admitted[i].swap ||
                        r.timeout_usec != admitted[i].timeout)
                        fail_msg("%s: memory %llu, swap %llu, timeout %llu", admitted[i].name,
                                (unsigned long long)r.memory_bytes, (unsigned long long)r.swap_bytes,
                                (unsigned long long)r.timeout_usec);
        }
}

static void a_default_swap_shrinks_to_what_is_beside_the_memory(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = USER_CAPS_NONE;
        RunRequest r;

        caps.memory_max_bytes = 3 * GIB;
        config->defaults.swap_bytes = INF;
        request_init(&r);
        assert_int_equal(config_admit(config, &caps, &(UserUsage){ 0 }, false, &r, &error), 0);
        assert_int_equal(r.memory_bytes, 2 * GIB);
        assert_int_equal(r.swap_bytes, GIB);
}

/* The caps: 4 runs, 8 GiB together, 4 GiB and 1h 30min for one. */
static const struct {
        UserUsage usage;
        bool nested;
        Asked asked;
        const char *option, *message, *hint;
} refused[] = {
        { { 4, 0 }, false, { 0 }, NULL, "you have 4 runs, and the cap is 4 at once (runs_max in /etc/s.conf:1)",
                "Wait for one to end (scidexctl list), or ask the admin to raise runs_max" },
        { { 5, 0 }, true, { 0 }, NULL, "you have 5 runs, and the cap is 4 at once (runs_max in /etc/s.conf:1)",
                "Wait for one to end (scidexctl list), or ask the admin to raise runs_max" },
        { { 0 }, false, { REQUEST_MEMORY, 5 * GIB }, "memory",
                "memory limit 5.0 GiB is above the cap of 4.0 GiB for one run (memory_max in /etc/s.conf:3)",
                "Write --memory 4G or less, or ask the admin to raise memory_max" },
        { { 0 }, false, { REQUEST_MEMORY, INF }, "memory",
                "a run without memory limit is above the cap of 4.0 GiB for one run (memory_max in /etc/s.conf:3)",
                "Write --memory 4G or less, or ask the admin to raise memory_max" },
        { { 0 }, true, { REQUEST_MEMORY, 5 * GIB }, "memory",
                "memory limit 5.0 GiB is above the cap of 4.0 GiB for one run (memory_max in /etc/s.conf:3)",
                "Write --memory 4G or less, or ask the admin to raise memory_max" },
        { { 0 }, false, { REQUEST_MEMORY | REQUEST_SWAP, 3 * GIB, 2 * GIB }, "memory",
                "memory limit 3.0 GiB with swap 2.0 GiB is above the cap of 4.0 GiB for one run (memory_max in "
                "/etc/s.conf:3)",
                "Write --memory 2G or less, or ask the admin to raise memory_max" },
        { { 0 }, false, { REQUEST_MEMORY | REQUEST_SWAP, GIB, INF }, "memory",
                "memory limit 1.0 GiB with swap infinity is above the cap of 4.0 GiB for one run (memory_max in "
                "/etc/s.conf:3)",
                "Write --memory 4G or less without --swap, or ask the admin to raise memory_max" },
        { { 0 }, false, { REQUEST_SWAP, 0, 4 * GIB }, "memory",
                "memory limit 2.0 GiB with swap 4.0 GiB is above the cap of 4.0 GiB for one run (memory_max in "
                "/etc/s.conf:3)",
                "Write a smaller --swap, or ask the admin to raise memory_max" },
        { { 3, 7 * GIB }, false, { 0 }, "memory",
                "memory limit 2.0 GiB beside the 7.0 GiB of your other runs is above the cap of 8.0 GiB for all your "
                "runs "
                "together (memory_total_max in /etc/s.conf:2)",
                "Write --memory 1G or less, wait for one to end (scidexctl list), or ask the admin to raise "
                "memory_total_max" },
        { { 3, 8 * GIB }, false, { 0 }, "memory",
                "memory limit 2.0 GiB beside the 8.0 GiB of your other runs is above the cap of 8.0 GiB for all your "
                "runs "
                "together (memory_total_max in /etc/s.conf:2)",
                "Wait for one to end (scidexctl list), or ask the admin to raise memory_total_max" },
        { { 3, 60 * GIB }, false, { REQUEST_MEMORY, MIB }, "memory",
                "memory limit 1.0 MiB beside the 60.0 GiB of your other runs is above the cap of 8.0 GiB for all your "
                "runs together (memory_total_max in /etc/s.conf:2)",
                "Wait for one to end (scidexctl list), or ask the admin to raise memory_total_max" },
        { { 1, INF }, false, { REQUEST_MEMORY, MIB }, "memory",
                "memory limit 1.0 MiB beside one of yours without memory limit is above the cap of 8.0 GiB for all "
                "your "
                "runs together (memory_total_max in /etc/s.conf:2)",
                "Wait for one to end (scidexctl list), or ask the admin to raise memory_total_max" },
        { { 0 }, false, { REQUEST_TIMEOUT, 0, 0, 91 * MIN }, "timeout",
                "wall-clock limit 1h 31min is above the cap of 1h 30min (timeout_max in /etc/s.conf:4)",
                "Write --timeout \"1h 30min\" or less, or ask the admin to raise timeout_max" },
        { { 0 }, true, { REQUEST_TIMEOUT, 0, 0, INF }, "timeout",
                "a run without wall-clock limit is above the cap of 1h 30min (timeout_max in /etc/s.conf:4)",
                "Write --timeout \"1h 30min\" or less, or ask the admin to raise timeout_max" },
        { { 0 }, false, { REQUEST_TIMEOUT | REQUEST_GRACE, .timeout = 60 * MIN, .grace = 60 * MIN }, "grace",
                "wall-clock limit 1h with grace 1h is above the cap of 1h 30min (timeout_max in /etc/s.conf:4)",
                "Write --grace \"30min 10s\" or less, or ask the admin to raise timeout_max" },
        { { 0 }, false, { REQUEST_GRACE, .grace = 1440 * MIN }, "grace",
                "wall-clock limit 30min with grace 1d is above the cap of 1h 30min (timeout_max in /etc/s.conf:4)",
                "Write --grace 1h or less, or ask the admin to raise timeout_max" },
        { { 0 }, false, { REQUEST_TIMEOUT | REQUEST_GRACE, .timeout = INF, .grace = 60 * MIN }, "timeout",
                "a run without wall-clock limit is above the cap of 1h 30min (timeout_max in /etc/s.conf:4)",
                "Write --timeout \"1h 30min\" or less, or ask the admin to raise timeout_max" },
};

static UserCaps four_caps(void) {
        return (UserCaps){ 4, 8 * GIB, 4 * GIB, 90 * MIN,
                { [CAP_RUNS] = "/etc/s.conf:1",
                        [CAP_MEMORY_TOTAL] = "/etc/s.conf:2",
                        [CAP_MEMORY] = "/etc/s.conf:3",
                        [CAP_TIMEOUT] = "/etc/s.conf:4" } };
}

static void what_is_above_a_cap_is_refused_in_a_sentence(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                _cleanup_(config_freep) Config *config = system_config();
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                UserCaps caps = four_caps();
                RunRequest r;

                request_of(&refused[i].asked, &r);
                assert_int_equal(config_admit(config, &caps, &refused[i].usage, refused[i].nested, &r, &error),
                        CONFIG_E_ABOVE_CAP);
                assert_string_equal(error.message, refused[i].message);
                assert_string_equal(error.hint, refused[i].hint);
                if (refused[i].option)
                        assert_string_equal(error.option, refused[i].option);
                else
                        assert_null(error.option);
        }
}

static void a_nested_run_is_not_held_against_the_total(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = four_caps();
        RunRequest r;

        request_init(&r);
        assert_int_equal(config_admit(config, &caps, &(UserUsage){ 3, 8 * GIB }, true, &r, &error), 0);
}

static void one_is_one_run(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = USER_CAPS_NONE;
        RunRequest r;

        caps.runs_max = 1;
        request_init(&r);
        assert_int_equal(config_admit(config, &caps, &(UserUsage){ 1, 0 }, false, &r, &error), CONFIG_E_ABOVE_CAP);
        assert_string_equal(error.message, "you have 1 run, and the cap is 1 at once (runs_max)");
}

static void no_runs_at_all_is_a_cap_too(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = four_caps();
        RunRequest r;

        caps.runs_max = 0;
        request_init(&r);
        assert_int_equal(config_admit(config, &caps, &(UserUsage){ 0 }, false, &r, &error), CONFIG_E_ABOVE_CAP);
        assert_string_equal(error.message, "you may have no runs here (runs_max in /etc/s.conf:1)");
        assert_string_equal(error.hint, "To be allowed some, ask the admin to raise runs_max");
}

static void in_a_supervisor_of_ones_own_there_is_no_admin_to_ask(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = four_caps();
        RunRequest r;

        config->system = false;
        request_of(&(Asked){ REQUEST_MEMORY, 5 * GIB }, &r);
        assert_int_equal(config_admit(config, &caps, &(UserUsage){ 0 }, false, &r, &error), CONFIG_E_ABOVE_CAP);
        assert_string_equal(error.hint, "Write --memory 4G or less, or raise memory_max");
}

static void a_size_to_write_is_one_that_can_be_written(void **state) {
        static const struct {
                uint64_t cap;
                const char *text;
        } sizes[] = { { 4 * GIB, "4G" }, { 1536 * MIB, "1536M" }, { 3 * MIB + 2048, "3074K" }, { 8191, "7K" },
                { 2048 * GIB, "2048G" } };

        for (size_t i = 0; i < ELEMENTSOF(sizes); i++) {
                _cleanup_(config_freep) Config *config = system_config();
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                _cleanup_(freep) char *expected = NULL;
                UserCaps caps = USER_CAPS_NONE;
                RunRequest r;

                caps.memory_max_bytes = sizes[i].cap;
                request_of(&(Asked){ REQUEST_MEMORY, INF }, &r);
                assert_int_equal(config_admit(config, &caps, &(UserUsage){ 0 }, false, &r, &error), CONFIG_E_ABOVE_CAP);
                assert_true(asprintf(&expected, "Write --memory %s or less, or ask the admin to raise memory_max",
                                    sizes[i].text) > 0);
                assert_string_equal(error.hint, expected);
        }
}

static void what_contradicts_a_default_is_refused_in_the_end(void **state) {
        static const struct {
                Asked asked;
                const char *message;
        } cases[] = {
                { { REQUEST_MEMORY_HIGH, .memory_high = 3 * GIB }, "memory-high is above the memory limit" },
                { { REQUEST_WARN_BEFORE, .warn_before = 31 * MIN }, "the warning would come before the start" },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                _cleanup_(config_freep) Config *config = system_config();
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                UserCaps caps = USER_CAPS_NONE;
                RunRequest r;

                request_of(&cases[i].asked, &r);
                assert_int_equal(config_admit(config, &caps, &(UserUsage){ 0 }, false, &r, &error), -EINVAL);
                assert_non_null(strstr(error.message, cases[i].message));
                assert_non_null(error.hint);
                config->defaults.memory_bytes = 4 * GIB; /* with larger defaults it makes sense */
                config->defaults.timeout_usec = 60 * MIN;
                request_error_deinit(&error);
                request_of(&cases[i].asked, &r);
                assert_int_equal(config_admit(config, &caps, &(UserUsage){ 0 }, false, &r, &error), 0);
        }
}

/* A run of 2 GiB and 30 min; beside it the user has 5 GiB of 8. */
static const struct {
        uint64_t memory, swap, timeout;
        bool nested;
        const char *refused; /* the beginning of the message; NULL: allowed */
} changes[] = {
        { 3 * GIB, 0, 90 * MIN, false, NULL },
        { GIB, 0, MIN, false, NULL },
        { 4 * GIB, 0, 30 * MIN, false, "memory limit 4.0 GiB beside the 5.0 GiB of your other runs is above" },
        { 4 * GIB, 0, 30 * MIN, true, NULL },
        { 5 * GIB, 0, 30 * MIN, true, "memory limit 5.0 GiB is above the cap of 4.0 GiB for one run" },
        { 2 * GIB, 3 * GIB, 30 * MIN, false, "memory limit 2.0 GiB with swap 3.0 GiB is above" },
        { INF, 0, 30 * MIN, false, "a run without memory limit is above" },
        { 2 * GIB, 0, 91 * MIN, false, "wall-clock limit 1h 31min is above" },
        { 2 * GIB, 0, INF, false, "a run without wall-clock limit is above" },
};

static void a_change_is_held_against_the_caps_where_it_grows(void **state) {
        for (size_t i = 0; i < ELEMENTSOF(changes); i++) {
                _cleanup_(config_freep) Config *config = system_config();
                _cleanup_(request_error_deinit) RequestError error = { 0 };
                UserCaps caps = four_caps();
                RunRequest before, after;
                int r;

                request_init(&before);
                after = before;
                after.memory_bytes = changes[i].memory;
                after.swap_bytes = changes[i].swap;
                after.timeout_usec = changes[i].timeout;
                r = config_admit_change(
                        config, &caps, &(UserUsage){ 1, 5 * GIB }, changes[i].nested, &before, &after, &error);
                assert_int_equal(r, changes[i].refused ? CONFIG_E_ABOVE_CAP : 0);
                if (changes[i].refused && strncmp(error.message, changes[i].refused, strlen(changes[i].refused)) != 0)
                        fail_msg("%s", error.message);
        }
}

static void a_longer_grace_is_a_longer_life(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = four_caps();
        RunRequest before, after;

        request_init(&before);
        before.timeout_usec = 90 * MIN;
        after = before;
        after.grace_usec = 11 * USEC_PER_SEC;
        assert_int_equal(config_admit_change(config, &caps, &(UserUsage){ 0 }, false, &before, &after, &error),
                CONFIG_E_ABOVE_CAP);
        assert_string_equal(error.message,
                "wall-clock limit 1h 30min with grace 11s is above the cap of 1h 30min (timeout_max in /etc/s.conf:4)");
        assert_string_equal(error.hint, "Write --grace 10s or less, or ask the admin to raise timeout_max");
        request_error_deinit(&error);
        assert_int_equal(config_admit_change(config, &caps, &(UserUsage){ 0 }, false, &after, &before, &error), 0);
}

static void a_run_above_caps_set_later_may_be_made_smaller(void **state) {
        _cleanup_(config_freep) Config *config = system_config();
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        UserCaps caps = four_caps();
        RunRequest before, after;

        request_init(&before);
        before.memory_bytes = 64 * GIB;
        before.timeout_usec = INF;
        after = before;
        after.memory_bytes = 32 * GIB;
        after.timeout_usec = 600 * MIN;
        assert_int_equal(
                config_admit_change(config, &caps, &(UserUsage){ 9, 99 * GIB }, false, &before, &after, &error), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_not_asked_for_is_the_configured_default),
                cmocka_unit_test(what_was_asked_for_stays),
                cmocka_unit_test(what_is_within_the_caps_is_admitted),
                cmocka_unit_test(a_default_swap_shrinks_to_what_is_beside_the_memory),
                cmocka_unit_test(what_is_above_a_cap_is_refused_in_a_sentence),
                cmocka_unit_test(a_nested_run_is_not_held_against_the_total),
                cmocka_unit_test(one_is_one_run),
                cmocka_unit_test(no_runs_at_all_is_a_cap_too),
                cmocka_unit_test(in_a_supervisor_of_ones_own_there_is_no_admin_to_ask),
                cmocka_unit_test(a_size_to_write_is_one_that_can_be_written),
                cmocka_unit_test(what_contradicts_a_default_is_refused_in_the_end),
                cmocka_unit_test(a_change_is_held_against_the_caps_where_it_grows),
                cmocka_unit_test(a_longer_grace_is_a_longer_life),
                cmocka_unit_test(a_run_above_caps_set_later_may_be_made_smaller),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
