/* The live mirror: what it knows after each packet. */
#include "status/live.h"

#include "base/clock.h"
#include "base/file.h"
#include "tests/unit/db/scratch.h"
#include <string.h>

#define MIB (UINT64_C(1) << 20)

static json_t *make_process(const char *run_id, uint64_t memory, uint64_t limit, double timeout) {
        char at[CLOCK_RFC3339_MAX];

        clock_format_rfc3339(at, clock_realtime_usec());
        return json_pack("{s:{s:s, s:s, s:s, s:s, s:i, s:s, s:I, s:I, s:f, s:f, s:s, s:i}}", "run", "run_id", run_id,
                "analysis_id", "SDA-1", "state", "running", "group", "/sys/fs/cgroup/x", "uid", 1000, "launched_at", at,
                "memory_bytes", (json_int_t)memory, "memory_limit_bytes", (json_int_t)limit, "timeout_sec", timeout,
                "grace_sec", 10.0, "enforcement", "kernel", "events", 0);
}

static void take(Live *live, const char *op, json_t *packet) {
        assert_non_null(packet);
        assert_int_equal(live_take(live, op, packet), 0);
        json_decref(packet);
}

static Live *new_live(void) {
        Live *live;

        assert_int_equal(live_new(&live), 0);
        return live;
}

static json_t *make_state(const char *run_id, const char *state) {
        return json_pack("{s:[[s,s]]}", "rows", run_id, state);
}

static void a_process_is_there_with_its_limits(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        LiveRun *run;

        take(live, "process", make_process("r1", 100 * MIB, 200 * MIB, 60));
        assert_int_equal(live_count(live), 1);
        run = live_find(live, "r1");
        assert_non_null(run);
        assert_string_equal(run->analysis_id, "SDA-1");
        assert_string_equal(run->group, "/sys/fs/cgroup/x");
        assert_int_equal(run->uid, 1000);
        assert_int_equal(run->state, LIVE_RUNNING);
        assert_int_equal(run->now.memory_bytes, 100 * MIB);
        assert_int_equal(run->now.memory_peak_bytes, 100 * MIB); /* the row has none: what was seen */
        assert_int_equal(run->memory_limit_bytes, 200 * MIB);
        assert_int_equal(run->timeout_usec, 60 * USEC_PER_SEC);
        assert_int_equal(run->grace_usec, 10 * USEC_PER_SEC);
        assert_true(run->deadline_usec == LIVE_NONE && run->pids_limit == LIVE_NONE);
        assert_true(run->now.cpus < 0);
        assert_null(live_find(live, "r"));
}

static void a_second_row_of_a_run_changes_it(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        uint64_t generation;

        take(live, "process", make_process("r1", 1, 200 * MIB, 60));
        generation = live_find(live, "r1")->generation;
        take(live, "process", make_process("r1", 1, 400 * MIB, 120));
        assert_int_equal(live_count(live), 1);
        assert_int_equal(live_find(live, "r1")->memory_limit_bytes, 400 * MIB);
        assert_true(live_find(live, "r1")->generation > generation);
        assert_int_equal(live_find(live, "r1")->generation, live_generation(live));
}

static void a_run_that_has_ended_is_gone(void **state) {
        _cleanup_(live_freep) Live *live = new_live();

        take(live, "process", make_process("r1", 1, MIB, 60));
        take(live, "process", make_process("r3", 1, MIB, 60));
        take(live, "process", make_process("r2", 1, MIB, 60));
        take(live, "run", json_pack("{s:{s:s, s:s}}", "run", "run_id", "r2", "state", "ended"));
        assert_int_equal(live_count(live), 2);
        assert_null(live_find(live, "r2"));
        assert_string_equal(live_at(live, 0)->run_id, "r1");
        assert_string_equal(live_at(live, 1)->run_id, "r3");
}

static void who_is_not_alive_is_dropped(void **state) {
        _cleanup_(live_freep) Live *live = new_live();

        for (int i = 0; i < 5; i++) {
                _cleanup_(freep) char *run_id = text_printf("r%d", i);

                take(live, "process", make_process(run_id, 1, MIB, 60));
        }
        take(live, "alive", json_pack("{s:[s,s]}", "run_ids", "r3", "r1"));
        assert_int_equal(live_count(live), 2);
        assert_non_null(live_find(live, "r1"));
        assert_non_null(live_find(live, "r3"));
}

static void states_are_followed(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        LiveTotals totals;

        take(live, "process", make_process("r1", 1, MIB, 60));
        take(live, "state", make_state("r1", "grace"));
        assert_int_equal(live_find(live, "r1")->state, LIVE_GRACE);
        live_totals(live, &totals);
        assert_int_equal(totals.n_by_state[LIVE_GRACE], 1);
        assert_int_equal(totals.n_by_state[LIVE_RUNNING], 0);
        take(live, "event", json_pack("{s:{s:s, s:s}}", "event", "event_id", "e1", "run_id", "r1"));
        assert_int_equal(live_find(live, "r1")->state, LIVE_ENDING);
        assert_int_equal(live_find(live, "r1")->n_events, 1);
}

static void what_is_no_packet_of_ours_changes_nothing(void **state) {
        static const char *const packets[] = { "{}", "{\"run\":7}", "{\"run\":{\"run_id\":7}}",
                "{\"run\":{\"run_id\":\"r2\"}}", "{\"run\":{\"run_id\":\"\",\"state\":\"running\"}}",
                "{\"run\":{\"run_id\":\"r2\",\"state\":\"ended\"}}", "{\"run_ids\":\"r1\"}",
                "{\"rows\":[[\"r9\",\"grace\"]]}", "{\"rows\":[7,[],[7],[\"r9\",1]]}", "{\"rows\":{}}",
                "{\"supervisor\":[]}", "{\"event\":{\"run_id\":[]}}" };
        static const char *const ops[] = { "process", "event", "alive", "state", "samples", "supervisor", "look",
                "storage", "nonsense" };
        _cleanup_(live_freep) Live *live = new_live();
        uint64_t generation;

        take(live, "process", make_process("r1", 1, MIB, 60));
        generation = live_generation(live);
        for (size_t i = 0; i < ELEMENTSOF(packets); i++)
                for (size_t k = 0; k < ELEMENTSOF(ops); k++)
                        take(live, ops[k], json_loads(packets[i], 0, NULL));
        take(live, "state", make_state("r1", "flying"));
        assert_int_equal(live_count(live), 1);
        assert_int_equal(live_generation(live), generation);
}

static void samples_become_figures_and_a_spark(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        LiveFigures figures = LIVE_FIGURES_NONE;
        LiveRun *run;

        take(live, "process", make_process("r1", 1, 200 * MIB, 60));
        run = live_find(live, "r1");
        figures.memory_bytes = 50 * MIB;
        figures.cpu_usec = 1000000;
        figures.sampled_usec = run->now.sampled_usec + 2 * USEC_PER_SEC;
        live_sampled(live, run, &figures);
        assert_true(run->now.cpus < 0); /* one figure is no rate */
        figures.memory_bytes = 100 * MIB;
        figures.cpu_usec += 3 * USEC_PER_SEC;
        figures.sampled_usec += 2 * USEC_PER_SEC;
        live_sampled(live, run, &figures);
        assert_true(run->now.cpus > 1.49 && run->now.cpus < 1.51);
        assert_int_equal(run->n_spark, 2);
        assert_true(run->spark[0] > 0.249F && run->spark[0] < 0.251F);
        assert_true(run->spark[1] > 0.499F && run->spark[1] < 0.501F);
        assert_int_equal(run->now.memory_peak_bytes, 100 * MIB);
        for (int i = 0; i < LIVE_SPARK_MAX; i++) {
                figures.memory_bytes = 150 * MIB;
                figures.sampled_usec += 2 * USEC_PER_SEC;
                live_sampled(live, run, &figures);
        }
        assert_int_equal(run->n_spark, LIVE_SPARK_MAX);
        assert_true(run->spark[0] > 0.749F && run->spark[LIVE_SPARK_MAX - 1] < 0.751F);
        figures.sampled_usec += 3600 * USEC_PER_SEC;
        live_sampled(live, run, &figures);
        assert_int_equal(run->n_spark, 1); /* nobody looked for an hour */
}

static void the_supervisors_samples_are_taken(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        LiveRun *run;

        take(live, "process", make_process("r1", 1, 200 * MIB, 60));
        take(live, "samples",
                json_pack("{s:[[s,I,I,n,I,i,f]]}", "rows", "r1", (json_int_t)(70 * MIB), (json_int_t)(60 * MIB),
                        (json_int_t)(10 * MIB), 3, 1.5));
        run = live_find(live, "r1");
        assert_int_equal(run->now.memory_bytes, 70 * MIB);
        assert_int_equal(run->now.anon_bytes, 60 * MIB);
        assert_true(run->now.file_bytes == LIVE_NONE);
        assert_int_equal(run->now.shmem_bytes, 10 * MIB);
        assert_int_equal(run->now.pids, 3);
        assert_int_equal(run->now.cpu_usec, 1500000);
}

static void the_nearest_to_its_end_comes_first(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        LiveRun *top[3];

        take(live, "process", make_process("r1", 10 * MIB, 100 * MIB, 1e6));
        take(live, "process", make_process("r2", 90 * MIB, 100 * MIB, 1e6));
        take(live, "process", make_process("r3", 1 * MIB, 100 * MIB, 1e6));
        take(live, "process", make_process("r4", 50 * MIB, 100 * MIB, 1e6));
        take(live, "state", make_state("r3", "grace"));
        assert_int_equal(live_top(live, top, 3), 3);
        assert_string_equal(top[0]->run_id, "r3");
        assert_string_equal(top[1]->run_id, "r2");
        assert_string_equal(top[2]->run_id, "r4");
        assert_int_equal(live_top(live, top, 0), 0);
        take(live, "alive", json_pack("{s:[s]}", "run_ids", "r1"));
        assert_int_equal(live_top(live, top, 3), 1);
}

/* Few are looked for one by one, many are sorted. */
static void the_order_is_the_same_for_few_and_for_many(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        LiveRun *few[100], *many[1000];

        for (unsigned i = 0; i < 1000; i++) {
                char run_id[16];

                (void)snprintf(run_id, sizeof(run_id), "r%03u", i);
                take(live, "process", make_process(run_id, i * 7919 % 90 * MIB, 100 * MIB, 1e6));
        }
        take(live, "state", make_state("r500", "grace"));
        assert_int_equal(live_top(live, few, 100), 100);
        assert_int_equal(live_top(live, many, 1000), 1000);
        assert_string_equal(many[0]->run_id, "r500");
        assert_memory_equal(many, few, sizeof(few));
        assert_int_equal(live_top(live, many, 5000), 1000);
        assert_memory_equal(many, few, sizeof(few));
        assert_int_equal(live_top(live, many, 200), 200);
        assert_memory_equal(many, few, sizeof(few));
}

static void the_share_is_the_higher_of_time_and_own_memory(void **state) {
        LiveRun run = { .launched_usec = 1000 * USEC_PER_SEC,
                .timeout_usec = 100 * USEC_PER_SEC,
                .memory_limit_bytes = 100,
                .now = LIVE_FIGURES_NONE };

        assert_true(live_share(&run, 1050 * USEC_PER_SEC) > 0.49 && live_share(&run, 1050 * USEC_PER_SEC) < 0.51);
        run.now.memory_bytes = 90;
        assert_true(live_share(&run, 1050 * USEC_PER_SEC) > 0.89);
        run.now.anon_bytes = 10; /* the rest is cache */
        run.now.shmem_bytes = 20;
        assert_true(live_share(&run, 1050 * USEC_PER_SEC) < 0.51);
        run.timeout_usec = LIVE_NONE;
        assert_true(live_share(&run, 1050 * USEC_PER_SEC) < 0.31);
        run.memory_limit_bytes = LIVE_NONE;
        assert_true(live_share(&run, 1050 * USEC_PER_SEC) <= 0);
}

static void totals_count_a_nested_run_within_its_outer_one(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        json_t *inner = make_process("r2", 10 * MIB, 50 * MIB, 60);
        LiveTotals totals;

        assert_int_equal(json_object_set_new(json_object_get(inner, "run"), "outer_run_id", json_string("r1")), 0);
        take(live, "process", make_process("r1", 30 * MIB, 100 * MIB, 60));
        take(live, "process", inner);
        live_totals(live, &totals);
        assert_int_equal(totals.n_runs, 2);
        assert_int_equal(totals.memory_bytes, 30 * MIB);
        assert_int_equal(totals.limit_bytes, 100 * MIB);
        assert_int_equal(totals.n_measured, 1);
}

typedef struct Heard {
        unsigned events, runs, watches, looks;
        json_t *run;
        Live *live;
} Heard;

static void on_event(const json_t *row, void *userdata) {
        ((Heard *)userdata)->events++;
}

static void on_run(const json_t *row, void *userdata) {
        ((Heard *)userdata)->runs++;
}

static void on_watch(void *userdata) {
        ((Heard *)userdata)->watches++;
}

static void who_listens_is_told(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        _cleanup_(json_decrefp) json_t *row = json_object();
        Heard heard = { 0 };

        assert_int_equal(live_on_event(live, on_event, &heard), 0);
        assert_int_equal(live_on_run(live, on_run, &heard), 0);
        assert_int_equal(live_on_watch(live, on_watch, &heard), 0);
        live_stored(live, "event", row);
        live_stored(live, "run", row);
        live_stored(live, "process", row);
        live_watch(live);
        live_watch(live);
        assert_true(live_is_watched(live));
        assert_int_equal(heard.events, 1);
        assert_int_equal(heard.runs, 1);
        assert_int_equal(heard.watches, 1);
        assert_int_equal(live_on_event(live, NULL, &heard), 0);
        live_stored(live, "event", row);
        assert_int_equal(heard.events, 1);
        for (int i = 0; i < LIVE_LISTENERS_MAX; i++)
                assert_int_equal(live_on_event(live, on_event, &heard), 0);
        assert_int_equal(live_on_event(live, on_event, &heard), -ENOSPC);
}

static void on_look(const json_t *row, void *userdata) {
        Heard *heard = userdata;

        heard->looks++;
        json_decref(heard->run);
        heard->run = json_incref((json_t *)row);
        if (heard->live) /* from within its own answer */
                assert_int_equal(live_look(heard->live, "r1", on_look, heard), 0);
}

static void send_packet(json_t *packet, void *userdata) {
        json_t **last = userdata;

        json_decref(*last);
        *last = packet;
}

static void a_look_is_answered_once(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        _cleanup_(json_decrefp) json_t *sent = NULL;
        Heard heard = { 0 }, again = { .live = live }, cancelled = { 0 };

        assert_int_equal(live_look(live, "r1", on_look, &heard), -ENOTCONN);
        live_set_link(live, send_packet, &sent);
        assert_int_equal(live_look(live, "r1", on_look, &heard), 0);
        assert_string_equal(json_string_value(json_object_get(sent, "op")), "look");
        assert_string_equal(json_string_value(json_object_get(sent, "run_id")), "r1");
        assert_int_equal(live_look(live, "r1", on_look, &again), 0);
        assert_int_equal(live_look(live, "r1", on_look, &cancelled), 0);
        live_look_cancel(live, &cancelled);
        take(live, "look", json_pack("{s:s, s:{s:s}}", "run_id", "r1", "run", "comm", "sleep"));
        assert_int_equal(heard.looks, 1);
        assert_int_equal(again.looks, 1); /* the next one waits for the next answer */
        assert_int_equal(cancelled.looks, 0);
        assert_string_equal(json_string_value(json_object_get(heard.run, "comm")), "sleep");
        again.live = NULL;
        live_hung_up(live);
        assert_int_equal(again.looks, 2);
        assert_null(again.run);
        assert_false(live_supervisor(live)->is_connected);
        assert_int_equal(live_look(live, "r1", on_look, &heard), -ENOTCONN);
        json_decref(heard.run);
}

static void looks_are_bounded(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        _cleanup_(json_decrefp) json_t *sent = NULL;
        Heard heard = { 0 };

        live_set_link(live, send_packet, &sent);
        for (int i = 0; i < LIVE_LOOKS_MAX; i++)
                assert_int_equal(live_look(live, "r1", on_look, &heard), 0);
        assert_int_equal(live_look(live, "r1", on_look, &heard), -EBUSY);
}

static void the_supervisor_says_what_it_is(void **state) {
        _cleanup_(live_freep) Live *live = new_live();
        const LiveSupervisor *supervisor = live_supervisor(live);

        assert_null(supervisor->version);
        take(live, "supervisor",
                json_pack("{s:{s:s, s:s, s:i, s:s, s:i, s:i, s:s}}", "supervisor", "version", "1.2", "mode", "system",
                        "pid", 77, "started_at", "2026-11-21T07:19:42.000000Z", "starts", 3, "recorder_starts", 2,
                        "enforcement", "kernel"));
        assert_true(supervisor->is_connected);
        assert_string_equal(supervisor->version, "1.2");
        assert_string_equal(supervisor->mode, "system");
        assert_int_equal(supervisor->pid, 77);
        assert_int_equal(supervisor->starts, 3);
        assert_int_equal(supervisor->recorder_starts, 2);
        assert_true(supervisor->started_usec > 0);
}

static void the_record_fills_it_at_the_start(void **state) {
        _cleanup_(scratch_deinit) Scratch scratch;
        _cleanup_(spool_freep) Spool *spool = NULL;
        _cleanup_(live_freep) Live *live = new_live();
        _cleanup_(json_decrefp) json_t *one = make_process("r1", MIB, 2 * MIB, 60), *two = make_process("r2", 1, 2, 60);
        SpoolRow rows[] = { { .kind = SPOOL_PROCESS, .object = json_object_get(one, "run") },
                { .kind = SPOOL_PROCESS, .object = json_object_get(two, "run") } };

        scratch_init(&scratch);
        spool = scratch_open(&scratch);
        assert_int_equal(live_load(live, spool), 0); /* nothing yet */
        assert_int_equal(live_count(live), 0);
        assert_int_equal(json_object_set_new(json_object_get(two, "run"), "host", json_string("elsewhere")), 0);
        assert_int_equal(spool_store(spool, rows, 2), 0);
        assert_int_equal(live_load(live, spool), 0);
        assert_int_equal(live_count(live), 1);
        assert_int_equal(live_find(live, "r1")->memory_limit_bytes, 2 * MIB);
        assert_int_equal(live_find(live, "r1")->now.sampled_usec, 0); /* who knows when that was */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_process_is_there_with_its_limits),
                cmocka_unit_test(a_second_row_of_a_run_changes_it),
                cmocka_unit_test(a_run_that_has_ended_is_gone),
                cmocka_unit_test(who_is_not_alive_is_dropped),
                cmocka_unit_test(states_are_followed),
                cmocka_unit_test(what_is_no_packet_of_ours_changes_nothing),
                cmocka_unit_test(samples_become_figures_and_a_spark),
                cmocka_unit_test(the_supervisors_samples_are_taken),
                cmocka_unit_test(the_nearest_to_its_end_comes_first),
                cmocka_unit_test(the_order_is_the_same_for_few_and_for_many),
                cmocka_unit_test(the_share_is_the_higher_of_time_and_own_memory),
                cmocka_unit_test(totals_count_a_nested_run_within_its_outer_one),
                cmocka_unit_test(who_listens_is_told),
                cmocka_unit_test(a_look_is_answered_once),
                cmocka_unit_test(looks_are_bounded),
                cmocka_unit_test(the_supervisor_says_what_it_is),
                cmocka_unit_test(the_record_fills_it_at_the_start),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
