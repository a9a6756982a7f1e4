/* Figures are read while somebody looks, and only then. The groups here are directories with files like a group's. */
#include "status/sampler.h"

#include "base/clock.h"
#include "base/file.h"
#include "tests/unit/db/scratch.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MIB           (1 << 20)
#define DEADLINE_USEC (60 * USEC_PER_SEC) /* generous: it only guards against a hang */

typedef struct World {
        Scratch scratch;
        sd_event *event;
        Live *live;
        Sampler *sampler;
        json_t *sent;
        uint64_t n_sent;
} World;

static void send_packet(json_t *packet, void *userdata) {
        World *world = userdata;

        json_decref(world->sent);
        world->sent = packet;
        world->n_sent++;
}

static int set_up(void **state) {
        World *world = calloc(1, sizeof(*world));

        scratch_init(&world->scratch);
        assert_int_equal(mkdir(world->scratch.directory, 0700), 0);
        assert_true(sd_event_new(&world->event) >= 0);
        assert_int_equal(live_new(&world->live), 0);
        assert_int_equal(sampler_new(world->event, world->live, &world->sampler), 0);
        live_set_link(world->live, send_packet, world);
        *state = world;
        return 0;
}

static int tear_down(void **state) {
        World *world = *state;

        sampler_free(world->sampler);
        live_free(world->live);
        sd_event_unref(world->event);
        json_decref(world->sent);
        scratch_deinit(&world->scratch);
        free(world);
        return 0;
}

static void write_file(const World *world, const char *run_id, const char *file, const char *text) {
        _cleanup_(freep) char *directory = text_printf("%s/%s", world->scratch.directory, run_id);
        _cleanup_(freep) char *path = text_printf("%s/%s", directory, file);
        _cleanup_(close_fdp) int fd = -EBADF;

        (void)mkdir(directory, 0700);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static void make_group(const World *world, const char *run_id) {
        write_file(world, run_id, "memory.current", "104857600\n");
        write_file(world, run_id, "memory.peak", "209715200\n");
        write_file(world, run_id, "memory.swap.current", "4096\n");
        write_file(world, run_id, "memory.stat", "anon 52428800\nfile 41943040\nshmem 1048576\n");
        write_file(world, run_id, "memory.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n");
        write_file(world, run_id, "pids.current", "3\n");
        write_file(world, run_id, "cpu.stat", "usage_usec 5000000\nuser_usec 4000000\nsystem_usec 1000000\n");
}

static LiveRun *add_run(const World *world, const char *run_id, const char *enforcement) {
        _cleanup_(freep) char *group = text_printf("%s/%s", world->scratch.directory, run_id);
        _cleanup_(json_decrefp) json_t *packet =
                json_pack("{s:{s:s, s:s, s:s, s:s, s:I}}", "run", "run_id", run_id, "state", "running", "group", group,
                        "enforcement", enforcement, "memory_limit_bytes", (json_int_t)(200 * MIB));

        assert_int_equal(live_take(world->live, "process", packet), 0);
        return live_find(world->live, run_id);
}

static void run_until(const World *world, const uint64_t *figure, uint64_t wanted) {
        uint64_t end_usec = clock_boottime_usec() + DEADLINE_USEC;

        while (*figure != wanted && clock_boottime_usec() < end_usec)
                assert_true(sd_event_run(world->event, USEC_PER_SEC) >= 0);
        assert_int_equal(*figure, wanted);
}

static void who_looks_sees_the_groups_own_figures(void **state) {
        const World *world = *state;
        LiveRun *run = add_run(world, "r1", "kernel");

        make_group(world, "r1");
        live_watch(world->live);
        run_until(world, &run->now.memory_bytes, 100 * MIB);
        assert_int_equal(run->now.memory_peak_bytes, 200 * MIB);
        assert_int_equal(run->now.anon_bytes, 50 * MIB);
        assert_int_equal(run->now.file_bytes, 40 * MIB);
        assert_int_equal(run->now.shmem_bytes, MIB);
        assert_int_equal(run->now.swap_bytes, 4096);
        assert_int_equal(run->now.pids, 3);
        assert_int_equal(run->now.cpu_usec, 5 * USEC_PER_SEC);
        assert_int_equal(run->now.psi_memory_full_usec, 7);
        assert_true(run->now.sampled_usec > 0);
        assert_int_equal(run->n_spark, 1);
        assert_int_equal(world->n_sent, 0); /* nothing that the supervisor would have to measure */
}

static void nobody_looks_and_nothing_is_read(void **state) {
        const World *world = *state;
        const LiveRun *run = add_run(world, "r1", "kernel");

        make_group(world, "r1");
        assert_int_equal(sd_event_run(world->event, 0), 0); /* there is nothing to do */
        assert_true(run->now.memory_bytes == LIVE_NONE);
}

static void more_runs_than_are_shown_are_all_read(void **state) {
        const World *world = *state;
        const size_t n = SAMPLER_SHOWN_MAX * 2 + 20;
        LiveRun *last = NULL;
        size_t n_split = 0;

        for (size_t i = 0; i < n; i++) {
                _cleanup_(freep) char *run_id = text_printf("r%04zu", i);

                make_group(world, run_id);
                last = add_run(world, run_id, "kernel");
        }
        live_watch(world->live);
        run_until(world, &last->now.memory_bytes, 100 * MIB);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(live_at(world->live, i)->now.memory_bytes, 100 * MIB);
                assert_int_equal(live_at(world->live, i)->now.cpu_usec, 5 * USEC_PER_SEC);
                n_split += live_at(world->live, i)->now.anon_bytes != LIVE_NONE;
        }
        assert_in_range(n_split, SAMPLER_SHOWN_MAX, n - 1); /* the rest has its turn in the next passes */
}

static void a_group_that_is_gone_keeps_nobody_waiting(void **state) {
        const World *world = *state;
        const LiveRun *gone = add_run(world, "r1", "kernel");
        LiveRun *run = add_run(world, "r2", "kernel");

        make_group(world, "r2");
        live_watch(world->live);
        run_until(world, &run->now.memory_bytes, 100 * MIB);
        assert_true(gone->now.memory_bytes == LIVE_NONE);
}

static void what_only_the_supervisor_can_measure_it_is_asked_for(void **state) {
        World *world = *state;
        const LiveRun *run = add_run(world, "r1", "sampled");
        LiveRun *other = add_run(world, "r2", "kernel");

        make_group(world, "r1");
        make_group(world, "r2");
        live_watch(world->live);
        run_until(world, &other->now.memory_bytes, 100 * MIB);
        run_until(world, &world->n_sent, 1); /* at the end of the pass */
        assert_string_equal(json_string_value(json_object_get(world->sent, "op")), "watch");
        assert_true(run->now.memory_bytes == LIVE_NONE);
}

static void a_group_without_memory_figures_is_the_supervisors(void **state) {
        World *world = *state;
        const LiveRun *run = add_run(world, "r1", "kernel");
        LiveRun *other = add_run(world, "r2", "kernel");

        write_file(world, "r1", "cgroup.procs", ""); /* that every group has */
        write_file(world, "r1", "cpu.stat", "usage_usec 5000000\n");
        make_group(world, "r2");
        live_watch(world->live);
        run_until(world, &other->now.memory_bytes, 100 * MIB);
        run_until(world, &world->n_sent, 1); /* at the end of the pass */
        assert_true(run->now.memory_bytes == LIVE_NONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_group_without_memory_figures_is_the_supervisors, set_up, tear_down),
                cmocka_unit_test_setup_teardown(who_looks_sees_the_groups_own_figures, set_up, tear_down),
                cmocka_unit_test_setup_teardown(nobody_looks_and_nothing_is_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(more_runs_than_are_shown_are_all_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_group_that_is_gone_keeps_nobody_waiting, set_up, tear_down),
                cmocka_unit_test_setup_teardown(
                        what_only_the_supervisor_can_measure_it_is_asked_for, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
