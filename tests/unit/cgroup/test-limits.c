/* cgroup/limits.c: on plain files, where the text that is written can be seen, and on a real memory controller. */
#include "base/cleanup.h"
#include "base/file.h"
#include "cgroup/usage.h"
#include "scratch.h"
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static const Limits none = { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX };

static void put_files(const FakeGroup *fake) {
        static const char *const files[] = { "memory.max", "memory.high", "memory.swap.max", "memory.oom.group",
                "pids.max", "cpu.max" };

        for (size_t i = 0; i < ELEMENTSOF(files); i++)
                fake_put(fake, files[i], "");
}

static void assert_file(const FakeGroup *fake, const char *file, const char *expected) {
        _cleanup_(freep) char *text = NULL;

        assert_int_equal(file_read_at(fake->fd, file, 4096, &text, NULL), 0);
        assert_string_equal(text, expected);
}

static void limits_are_written_as_the_kernel_reads_them(void **state) {
        const Limits limits = { 2147483648, 2000000000, 0, 4096, 150 };
        FakeGroup fake = fake_make();
        LimitsKept kept;

        put_files(&fake);
        assert_int_equal(group_set_limits(&(Group){ .fd = fake.fd }, &limits, &kept), 0);
        assert_file(&fake, "memory.max", "2147483648");
        assert_file(&fake, "memory.high", "2000000000");
        assert_file(&fake, "memory.swap.max", "0");
        assert_file(&fake, "memory.oom.group", "1");
        assert_file(&fake, "pids.max", "4096");
        assert_file(&fake, "cpu.max", "150000 100000");
        assert_true(kept.memory && kept.memory_high && kept.swap && kept.oom_group && kept.pids && kept.cpu);
        assert_int_equal(kept.memory_bytes, 2147483648);
        fake_remove(&fake);
}

static void a_fresh_group_is_spared_what_it_has_already(void **state) {
        FakeGroup fake = fake_make();
        LimitsKept kept;

        put_files(&fake);
        fake_put(&fake, "memory.max", "max\n");
        assert_int_equal(group_set_limits(&(Group){ .fd = fake.fd }, &none, &kept), 0);
        assert_file(&fake, "memory.max", "max\n");
        assert_file(&fake, "memory.high", "");
        assert_file(&fake, "pids.max", "");
        assert_file(&fake, "cpu.max", "");
        assert_true(kept.memory && kept.memory_high && kept.swap && kept.pids && kept.cpu);
        assert_int_equal(kept.memory_bytes, UINT64_MAX);
        fake_remove(&fake);
}

static void a_change_takes_limits_away_too(void **state) {
        FakeGroup fake = fake_make();
        LimitsKept kept;

        put_files(&fake);
        assert_int_equal(group_change_limits(&(Group){ .fd = fake.fd }, &none, &kept), 0);
        assert_file(&fake, "memory.max", "max");
        assert_file(&fake, "memory.high", "max");
        assert_file(&fake, "memory.swap.max", "max");
        assert_file(&fake, "pids.max", "max");
        assert_file(&fake, "cpu.max", "max");
        fake_remove(&fake);
}

static void a_missing_controller_is_told_and_no_error(void **state) {
        const Limits limits = { 1 << 20, 1 << 20, 0, 10, 100 };
        FakeGroup fake = fake_make();
        LimitsKept kept;

        fake_put(&fake, "pids.max", "");
        assert_int_equal(group_set_limits(&(Group){ .fd = fake.fd }, &limits, &kept), 0);
        assert_true(kept.pids);
        assert_false(kept.memory || kept.memory_high || kept.swap || kept.oom_group || kept.cpu);
        assert_int_equal(kept.memory_bytes, UINT64_MAX);
        fake_remove(&fake);
}

static void missing_swap_accounting_leaves_the_memory_limit(void **state) {
        const Limits limits = { 1 << 20, UINT64_MAX, 0, UINT64_MAX, UINT64_MAX };
        FakeGroup fake = fake_make();
        LimitsKept kept;

        fake_put(&fake, "memory.max", "");
        fake_put(&fake, "memory.oom.group", "");
        assert_int_equal(group_set_limits(&(Group){ .fd = fake.fd }, &limits, &kept), 0);
        assert_true(kept.memory && kept.oom_group);
        assert_false(kept.swap);
        assert_int_equal(kept.memory_bytes, 1 << 20);
        fake_remove(&fake);
}

static void a_file_that_refuses_is_an_error_and_ends_it(void **state) {
        const Limits limits = { 1 << 20, UINT64_MAX, 0, 10, UINT64_MAX };
        FakeGroup fake = fake_make();
        LimitsKept kept;

        put_files(&fake);
        assert_int_equal(unlinkat(fake.fd, "memory.max", 0), 0);
        assert_int_equal(mkdirat(fake.fd, "memory.max", 0755), 0);
        assert_int_equal(group_set_limits(&(Group){ .fd = fake.fd }, &limits, &kept), -EISDIR);
        assert_false(kept.memory || kept.pids);
        assert_file(&fake, "pids.max", "");
        fake_remove(&fake);
}

static void the_kernel_rounds_memory_to_pages_and_we_say_so(void **state) {
        Scratch *scratch = scratch_need_memory(state);
        const Limits limits = { (16 << 20) + 1, UINT64_MAX, 0, 100, 50 };
        _cleanup_(group_deinit) Group run = GROUP_NONE;
        uint64_t pids;
        LimitsKept kept;

        assert_int_equal(group_create(scratch->group.fd, "run", &run), 0);
        assert_int_equal(group_set_limits(&run, &limits, &kept), 0);
        assert_true(kept.memory && kept.oom_group && kept.pids && kept.cpu);
        assert_int_equal(kept.memory_bytes, 16 << 20);
        assert_int_equal(file_read_u64_at(run.fd, "pids.max", &pids), 0);
        assert_int_equal(pids, 100);
}

/* Touches memory until the kernel ends it, with a child that must go with it. */
static void body_leak(int out) {
        if (fork() == 0)
                body_pause(out);
        for (;;) {
                char *page = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                if (page != MAP_FAILED)
                        memset(page, 1, 1 << 20);
        }
}

static void above_the_limit_the_kernel_kills_the_whole_group(void **state) {
        Scratch *scratch = scratch_need_memory(state);
        const Limits limits = { 32 << 20, UINT64_MAX, 0, 100, UINT64_MAX };
        _cleanup_(group_deinit) Group run = GROUP_NONE;
        LimitsKept kept;
        Usage usage;
        Child child;
        int status;

        assert_int_equal(group_create(scratch->group.fd, "run", &run), 0);
        assert_int_equal(group_set_limits(&run, &limits, &kept), 0);
        child = child_start(&run, body_leak);
        status = child_end(&child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        wait_populated(&run, false);
        assert_int_equal(usage_read(run.fd, &usage), 0);
        assert_true(usage.oom >= 1 && usage.oom != USAGE_UNKNOWN);
        assert_true(usage.oom_kill_local >= 2);
        assert_true(usage.memory_peak_bytes <= 32 << 20);
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(limits_are_written_as_the_kernel_reads_them),
                cmocka_unit_test(a_fresh_group_is_spared_what_it_has_already),
                cmocka_unit_test(a_change_takes_limits_away_too),
                cmocka_unit_test(a_missing_controller_is_told_and_no_error),
                cmocka_unit_test(missing_swap_accounting_leaves_the_memory_limit),
                cmocka_unit_test(a_file_that_refuses_is_an_error_and_ends_it),
                T(the_kernel_rounds_memory_to_pages_and_we_say_so),
                T(above_the_limit_the_kernel_kills_the_whole_group),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
