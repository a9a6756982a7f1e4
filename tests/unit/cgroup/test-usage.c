/* cgroup/usage.c on the text of a 6.12 group that its own limit has just killed, and on what other kernels lack. */
#include "cgroup/usage.h"
#include "scratch.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Captured on 6.12.x: memory.max 32M, memory.oom.group 1, one pipeline of four processes. */
static void put_captured(const FakeGroup *fake) {
        fake_put(fake, "memory.current", "114688\n");
        fake_put(fake, "memory.peak", "33554432\n");
        fake_put(fake, "memory.swap.current", "0\n");
        fake_put(fake, "memory.stat",
                "anon 28672\nfile 4096\nkernel 40960\nkernel_stack 0\npagetables 0\nsec_pagetables 0\npercpu 0\nsock "
                "0\n"
                "vmalloc 0\nshmem 8192\nzswap 0\nfile_mapped 0\nanon_thp 2097152\nfile_thp 0\nshmem_thp 0\n");
        fake_put(fake, "memory.events", "low 0\nhigh 0\nmax 25\noom 1\noom_kill 6\noom_group_kill 1\n");
        fake_put(fake, "memory.events.local", "low 0\nhigh 0\nmax 19\noom 1\noom_kill 4\noom_group_kill 1\n");
        fake_put(fake, "memory.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=4963\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
                "total=4256\n");
        fake_put(fake, "pids.current", "0\n");
        fake_put(fake, "pids.peak", "4\n");
        fake_put(fake, "pids.events", "max 3\n");
        fake_put(fake, "cpu.stat",
                "usage_usec 6023616\nuser_usec 549199\nsystem_usec 5474416\nnice_usec 0\nnr_periods 0\nnr_throttled 0\n"
                "throttled_usec 77\nnr_bursts 0\nburst_usec 0\n");
        fake_put(fake, "cpu.pressure",
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=21720\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
                "total=15521\n");
        fake_put(fake, "io.pressure",
                "some avg10=1.50 avg60=0.20 avg300=0.00 total=11\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=10\n");
        fake_put(fake, "io.stat",
                "8:16 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n"
                "259:0 rbytes=100 wbytes=1 rios=1 wios=2 dbytes=50331648 dios=3021\n");
}

static void what_the_kernel_counted_is_read(void **state) {
        FakeGroup fake = fake_make();
        Usage usage;

        put_captured(&fake);
        assert_int_equal(usage_read(fake.fd, &usage), 0);
        assert_int_equal(usage.memory_bytes, 114688);
        assert_int_equal(usage.memory_peak_bytes, 33554432);
        assert_int_equal(usage.swap_bytes, 0);
        assert_int_equal(usage.anon_bytes, 28672);
        assert_int_equal(usage.file_bytes, 4096);
        assert_int_equal(usage.shmem_bytes, 8192);
        assert_int_equal(usage.oom, 1);
        assert_int_equal(usage.oom_kill_local, 4);
        assert_int_equal(usage.max_events, 19);
        assert_int_equal(usage.oom_kill, 6);
        assert_int_equal(usage.pids, 0);
        assert_int_equal(usage.pids_peak, 4);
        assert_int_equal(usage.pids_max_events, 3);
        assert_int_equal(usage.cpu_usec, 6023616);
        assert_int_equal(usage.cpu_user_usec, 549199);
        assert_int_equal(usage.cpu_system_usec, 5474416);
        assert_int_equal(usage.cpu_throttled_usec, 77);
        assert_int_equal(usage.psi_memory_some_usec, 4963);
        assert_int_equal(usage.psi_memory_full_usec, 4256);
        assert_int_equal(usage.psi_cpu_some_usec, 21720);
        assert_int_equal(usage.psi_io_some_usec, 11);
        assert_int_equal(usage.psi_io_full_usec, 10);
        assert_int_equal(usage.io_read_bytes, 4196);
        assert_int_equal(usage.io_write_bytes, 8193);
        fake_remove(&fake);
}

static void a_file_that_is_missing_is_unknown_and_not_zero(void **state) {
        FakeGroup fake = fake_make();
        Usage usage;

        fake_put(&fake, "cpu.stat", "usage_usec 5\nuser_usec 2\nsystem_usec 3\n");
        assert_int_equal(usage_read(fake.fd, &usage), 0);
        assert_int_equal(usage.cpu_usec, 5);
        usage.cpu_usec = usage.cpu_user_usec = usage.cpu_system_usec = USAGE_UNKNOWN;
        assert_memory_equal(&usage, &USAGE_NONE, sizeof(usage));
        fake_remove(&fake);
}

static void the_constant_of_nothing_known_has_no_field_left_out(void **state) {
        const uint64_t *fields = (const uint64_t *)&USAGE_NONE;

        for (size_t i = 0; i < sizeof(USAGE_NONE) / sizeof(*fields); i++)
                assert_true(fields[i] == USAGE_UNKNOWN);
}

static void devices_listed_without_figures_add_nothing(void **state) {
        FakeGroup fake = fake_make();
        Usage usage;

        /* Seen on 5.15 to 6.0: names of devices without figures, no newline after them. */
        fake_put(&fake, "io.stat", "254:0 253:0 8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n7:1 \n");
        assert_int_equal(usage_read(fake.fd, &usage), 0);
        assert_int_equal(usage.io_read_bytes, 10);
        assert_int_equal(usage.io_write_bytes, 20);
        fake_put(&fake, "io.stat", "");
        assert_int_equal(usage_read(fake.fd, &usage), 0);
        assert_int_equal(usage.io_read_bytes, 0);
        fake_remove(&fake);
}

static void one_file_that_refuses_does_not_hide_the_others(void **state) {
        FakeGroup fake = fake_make();
        Usage usage;

        put_captured(&fake);
        assert_int_equal(unlinkat(fake.fd, "memory.stat", 0), 0);
        assert_int_equal(mkdirat(fake.fd, "memory.stat", 0755), 0);
        assert_int_equal(usage_read(fake.fd, &usage), -EISDIR);
        assert_int_equal(usage.oom, 1);
        assert_int_equal(usage.cpu_usec, 6023616);
        assert_int_equal(usage.anon_bytes, USAGE_UNKNOWN);
        fake_remove(&fake);
}

static void the_small_readings_leave_other_fields_as_they_are(void **state) {
        FakeGroup fake = fake_make();
        Usage usage = USAGE_NONE;

        put_captured(&fake);
        usage.pids = 42;
        assert_int_equal(usage_read_oom(fake.fd, &usage), 0);
        assert_int_equal(usage.oom, 1);
        assert_int_equal(usage.oom_kill, 6);
        assert_int_equal(usage.memory_bytes, USAGE_UNKNOWN);
        assert_int_equal(usage_read_sample(fake.fd, &usage), 0);
        assert_int_equal(usage.memory_bytes, 114688);
        assert_int_equal(usage.cpu_usec, 6023616);
        assert_int_equal(usage.cpu_user_usec, USAGE_UNKNOWN);
        assert_int_equal(usage_read_pressure(fake.fd, &usage), 0);
        assert_int_equal(usage.psi_memory_full_usec, 4256);
        assert_int_equal(usage.pids, 42);
        fake_remove(&fake);
}

static void pressure_of_a_kernel_without_psi_is_unsupported(void **state) {
        FakeGroup fake = fake_make();
        Usage usage = USAGE_NONE;

        assert_int_equal(usage_read_pressure(fake.fd, &usage), -EOPNOTSUPP);
        assert_memory_equal(&usage, &USAGE_NONE, sizeof(usage));
        fake_remove(&fake);
}

static void a_real_group_has_its_cpu_time(void **state) {
        Scratch *scratch = scratch_need(state);
        Usage usage;

        assert_int_equal(usage_read(scratch->group.fd, &usage), 0);
        assert_true(usage.cpu_usec != USAGE_UNKNOWN);
}

static void a_real_group_with_the_controller_has_its_memory(void **state) {
        Scratch *scratch = scratch_need_memory(state);
        Usage usage;

        assert_int_equal(usage_read(scratch->group.fd, &usage), 0);
        assert_int_equal(usage.oom, 0);
        assert_true(usage.memory_bytes != USAGE_UNKNOWN);
        assert_true(usage.anon_bytes != USAGE_UNKNOWN);
        assert_true(usage.pids != USAGE_UNKNOWN);
        assert_true(!scratch->host.memory_peak || usage.memory_peak_bytes != USAGE_UNKNOWN);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_the_kernel_counted_is_read),
                cmocka_unit_test(a_file_that_is_missing_is_unknown_and_not_zero),
                cmocka_unit_test(the_constant_of_nothing_known_has_no_field_left_out),
                cmocka_unit_test(devices_listed_without_figures_add_nothing),
                cmocka_unit_test(one_file_that_refuses_does_not_hide_the_others),
                cmocka_unit_test(the_small_readings_leave_other_fields_as_they_are),
                cmocka_unit_test(pressure_of_a_kernel_without_psi_is_unsupported),
                T(a_real_group_has_its_cpu_time),
                T(a_real_group_with_the_controller_has_its_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
