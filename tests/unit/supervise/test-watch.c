/*
 * Sampled memory on real children that share memory, contained by descent: no group is needed, so it is tested
 * everywhere.
 *
 * The launcher that the children descend from is a child of ours: our own children are never members (descend.c).
 */
#include "supervise/watch.h"

#include "base/clock.h"
#include "base/process.h"
#include "tests/unit/cgroup/scratch.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MIB    (UINT64_C(1) << 20)
#define SHARED ((size_t)(64 * MIB))
#define N      8

typedef struct Family {
        pid_t pid;  /* the launcher: it and its children hold the memory */
        int orders; /* a byte for each child: go on to the next step; its end ends them all */
        int news;   /* a byte from each child that has taken a step */
} Family;

/* Private pages of the parent, shared by fork; the first order makes each child write to them: its own copy. */
static _Noreturn void live_as_child(char *memory, size_t size, int orders, int news) {
        struct pollfd end = { .fd = orders };
        char byte;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!write(news, "+", 1);
        if (read(orders, &byte, 1) == 1) {
                for (size_t i = 0; i < size; i += 4096)
                        memory[i]++;
                (void)!write(news, "w", 1);
                (void)poll(&end, 1, -1); /* the other orders are for the other children */
        }
        _exit(0);
}

static _Noreturn void live_as_launcher(unsigned n, size_t size, int orders, int news) {
        char *memory;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        (void)madvise(memory, size, MADV_NOHUGEPAGE);
        memset(memory, 1, size);
        for (unsigned i = 0; i < n; i++)
                if (fork() == 0)
                        live_as_child(memory, size, orders, news);
        (void)!write(news, "L", 1);
        while (wait(NULL) > 0)
                ;
        _exit(0);
}

static Family last; /* ended after a test that failed, too: nothing may wait for it in vain */

static int end_last(void **state) {
        last.orders = close_fd(last.orders);
        if (last.pid > 0 && waitpid(last.pid, NULL, 0) != last.pid)
                return -1;
        last.news = close_fd(last.news);
        last.pid = 0;
        return 0;
}

static void hear(const Family *family, unsigned n) {
        char byte;

        while (n-- > 0) {
                assert_true(wait_fd(family->news, POLLIN));
                assert_int_equal(read(family->news, &byte, 1), 1);
        }
}

static Family family_start(unsigned n, size_t size) {
        int orders[2], news[2];
        Family family;

        assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
        assert_int_equal(pipe2(news, O_CLOEXEC), 0);
        family.pid = fork();
        assert_true(family.pid >= 0);
        if (family.pid == 0) {
                close_fd(orders[1]);
                live_as_launcher(n, size, orders[0], news[1]);
        }
        close_fd(orders[0]);
        close_fd(news[1]);
        family.orders = orders[1];
        family.news = news[0];
        last = family;
        hear(&family, n + 1);
        return family;
}

static void family_end(void) {
        assert_int_equal(end_last(NULL), 0);
}

/* Who is at home below the launcher: its children, by descent; the launcher itself stays outside. */
static Run *sampled_run(const Family *family, uint64_t memory_bytes) {
        ProcessIdentity launcher;
        RunRequest request;
        Run *run = NULL;

        request_init(&request);
        request.memory_bytes = memory_bytes;
        assert_int_equal(run_new(&request, clock_realtime_usec(), clock_boottime_usec(), &run), 0);
        run->enforcement = ENFORCEMENT_SAMPLED;
        run->launcher_pid = family->pid;
        if (family->pid > 0) {
                assert_int_equal(process_identity(family->pid, &launcher), 0);
                run->launcher_start_ticks = launcher.start_ticks;
        }
        return run;
}

static void shared_pages_are_counted_once(void **state) {
        Family family = family_start(N, SHARED);
        _cleanup_(run_freep) Run *run = sampled_run(&family, 256 * MIB);

        assert_int_equal(watch_memory(run, clock_boottime_usec()), 0);
        assert_in_range(run->watch.rss_bytes, N * SHARED, N * (SHARED + 16 * MIB));
        /* The launcher is the ninth that shares. */
        assert_in_range(run->watch.private_bytes, SHARED / 2, SHARED + 16 * MIB);
        assert_int_equal(run->watch.peak_bytes, run->watch.private_bytes);
        assert_int_equal(run->private_peak_bytes, run->watch.peak_bytes);
        family_end();
}

/* Nine processes stand for a thousand: what counts is that the last look is known to have been long. */
static void the_last_look_is_not_taken_where_it_takes_long(void **state) {
        Family family = family_start(N, SHARED / 4);
        _cleanup_(run_freep) Run *run = sampled_run(&family, 256 * MIB);

        run->watch.exact_bytes = 4711;
        run->watch.exact_cost_usec = WATCH_LAST_USEC + 1;
        run->watch.exact_at_usec = clock_boottime_usec();
        watch_last(run);
        assert_int_equal(run->watch.private_bytes, 4711);
        run->watch.exact_at_usec -= MIN_OF(run->watch.exact_at_usec, WATCH_EXACT_USEC); /* of long ago it is no news */
        watch_last(run);
        assert_in_range(run->watch.private_bytes, SHARED / 8, SHARED);
        run->watch.exact_bytes = 4711;
        run->watch.exact_cost_usec = WATCH_LAST_USEC;
        watch_last(run);
        assert_in_range(run->watch.private_bytes, SHARED / 8, SHARED);
        assert_int_equal(run->watch.exact_bytes, run->watch.private_bytes);
        family_end();
}

/* 1,000 idle runs would else cost a walk over their page tables each second. */
static void a_sample_of_what_stands_still_asks_for_the_sum_only(void **state) {
        Family family = family_start(N, SHARED / 4);
        _cleanup_(run_freep) Run *run = sampled_run(&family, 4096 * MIB);
        uint64_t now_usec = clock_boottime_usec();

        assert_int_equal(watch_memory(run, now_usec), 0);
        run->watch.exact_bytes = 4711;
        watch_sample(run, run->watch.summed_at_usec + 1000);
        assert_int_equal(run->watch.private_bytes, 4711);
        watch_sample(run, run->watch.summed_at_usec + WATCH_FAR_USEC); /* the sum may have moved since */
        assert_in_range(run->watch.private_bytes, SHARED / 8, SHARED);
        run->watch.exact_bytes = 4711;
        run->watch.exact_rss_bytes -= 4096;
        watch_sample(run, run->watch.summed_at_usec + 1000);
        assert_in_range(run->watch.private_bytes, SHARED / 8, SHARED);
        run->watch.exact_bytes = 4711;
        run->watch.exact_at_usec -= MIN_OF(run->watch.exact_at_usec, WATCH_EXACT_USEC);
        watch_sample(run, run->watch.summed_at_usec + 1000);
        assert_in_range(run->watch.private_bytes, SHARED / 8, SHARED);
        family_end();
}

/* The RSS sum stays as it is when a child writes to what it shares, the memory in use grows eightfold. */
static void a_copy_on_write_is_seen_though_rss_stands_still(void **state) {
        Family family = family_start(N, SHARED / 4);
        _cleanup_(run_freep) Run *run = sampled_run(&family, 64 * MIB);
        uint64_t now_usec = clock_boottime_usec();

        assert_int_equal(watch_memory(run, now_usec), 0);
        assert_true(run->watch.rss_bytes > run->request.memory_bytes);
        assert_true(run->watch.private_bytes < run->request.memory_bytes);
        assert_int_equal(watch_memory(run, run->watch.next_look_usec), 0); /* nor does it count as above later */
        assert_true(run->watch.private_bytes < run->request.memory_bytes);
        assert_int_equal(write(family.orders, "wwwwwwww", N), N);
        hear(&family, N);
        now_usec = run->watch.next_look_usec;
        assert_int_equal(watch_memory(run, now_usec), 0);
        assert_true(run->watch.private_bytes > run->request.memory_bytes);
        family_end();
}

static void the_next_look_is_within_its_bounds(void **state) {
        Family family = family_start(1, (size_t)(8 * MIB));
        static const uint64_t limits[] = { 4 * MIB, 8 * MIB, 9 * MIB, 64 * MIB, 1024 * MIB, 65536 * MIB };

        for (size_t i = 0; i < ELEMENTSOF(limits); i++) {
                _cleanup_(run_freep) Run *run = sampled_run(&family, limits[i]);
                uint64_t now_usec = clock_boottime_usec(), wait_usec, cost_usec;

                assert_int_equal(watch_memory(run, now_usec), 0);
                /* On a busy machine the look itself takes long, and the next one is the later. */
                cost_usec = 10 * (clock_boottime_usec() - now_usec);
                wait_usec = run->watch.next_look_usec - now_usec;
                assert_in_range(wait_usec, 1, MAX_OF(WATCH_FAR_USEC, cost_usec + WATCH_FAR_USEC));
                if (limits[i] <= 64 * MIB)
                        assert_in_range(wait_usec, 1, MAX_OF(WATCH_NEAR_USEC, cost_usec));
                if (limits[i] == 1024 * MIB)
                        assert_in_range(wait_usec, 1, MAX_OF(5 * WATCH_NEAR_USEC, cost_usec));
                if (limits[i] <= 1024 * MIB && cost_usec < WATCH_NEAR_USEC)
                        assert_true(wait_usec >= (limits[i] <= 64 * MIB ? WATCH_NEAR_USEC / 2 : 4 * WATCH_NEAR_USEC));
                if (limits[i] == 65536 * MIB)
                        assert_int_equal(run->watch.next_look_usec % WATCH_FAR_USEC, 0); /* with all others */
        }
        family_end();
}

/* Two hundred thousand processes: a look of them takes seconds, and the next must not be due before it is over. */
static void a_look_takes_a_tenth_of_the_time_however_long_it_is(void **state) {
        static const struct {
                uint64_t private_bytes, begun_usec, cost_usec, next_usec;
        } looks[] = {
                { (uint64_t)(1 * MIB), 1, 0, 1 * USEC_PER_SEC }, /* far from the limit: on the whole second */
                { (uint64_t)(4095 * MIB), 1, 0, 50001 },         /* near: at once, nearly */
                { (uint64_t)(4095 * MIB), 1, 20000, 200001 },
                { (uint64_t)(5000 * MIB), 1, 99999, 999991 }, /* above it and not ended: only the sum is */
                { (uint64_t)(5000 * MIB), 1, 100000, 2 * USEC_PER_SEC },
                { (uint64_t)(1 * MIB), 1, 99999, 1 * USEC_PER_SEC },
                { (uint64_t)(1 * MIB), 950000, 90000, 2 * USEC_PER_SEC }, /* not on the next one: it is not over then */
                { (uint64_t)(1 * MIB), 500000, 11 * USEC_PER_SEC, 111 * USEC_PER_SEC },
        };

        for (size_t i = 0; i < ELEMENTSOF(looks); i++)
                assert_int_equal(watch_next_look_usec((uint64_t)(4096 * MIB), looks[i].private_bytes,
                                         looks[i].begun_usec, looks[i].cost_usec),
                        looks[i].next_usec);
}

/* Simulated: eight runs whose looks take 100 ms and are due at once, as often as they may, beside one that is quick. */
static void looks_that_take_long_take_turns(void **state) {
        Watch watches[9] = { 0 };
        unsigned looks[9] = { 0 };
        uint64_t rest_usec = 0, busy_usec = 0;

        for (size_t i = 0; i < 8; i++)
                watches[i].look_cost_usec = 100 * USEC_PER_MSEC;
        for (uint64_t now_usec = USEC_PER_SEC; now_usec < 61 * USEC_PER_SEC; now_usec += 10 * USEC_PER_MSEC)
                for (size_t i = 0; i < ELEMENTSOF(watches); i++) {
                        Watch *w = &watches[i];

                        if (now_usec < w->next_look_usec || !watch_turn(w, now_usec, &rest_usec))
                                continue;
                        looks[i]++;
                        busy_usec += w->look_cost_usec;
                        w->next_look_usec = now_usec + MAX_OF(WATCH_NEAR_USEC, 10 * w->look_cost_usec);
                }
        assert_in_range(busy_usec, 19 * USEC_PER_SEC, 21 * USEC_PER_SEC); /* of 60 */
        for (size_t i = 0; i < 8; i++)
                assert_in_range(looks[i], 23, 27); /* 25 each: nobody is forgotten */
        assert_int_equal(looks[8], 600);
}

static void without_a_limit_there_is_no_next_look(void **state) {
        Family family = family_start(1, (size_t)MIB);
        _cleanup_(run_freep) Run *run = sampled_run(&family, UINT64_MAX);

        assert_int_equal(watch_memory(run, clock_boottime_usec()), 0);
        assert_int_equal(run->watch.next_look_usec, USEC_INFINITY);
        assert_true(run->watch.private_bytes >= MIB / 2); /* the other half is the launcher's */
        family_end();
}

static void a_launcher_pid_used_again_has_no_family(void **state) {
        Family family = family_start(1, (size_t)MIB);
        _cleanup_(run_freep) Run *run = sampled_run(&family, 64 * MIB);

        run->launcher_start_ticks++;
        assert_int_equal(watch_memory(run, clock_boottime_usec()), 0);
        assert_int_equal(run->watch.rss_bytes, 0);
        family_end();
}

static void the_peak_outlives_the_memory(void **state) {
        Family family = family_start(1, (size_t)(32 * MIB));
        _cleanup_(run_freep) Run *run = sampled_run(&family, 16 * MIB);
        uint64_t peak;

        assert_int_equal(watch_memory(run, clock_boottime_usec()), 0);
        peak = run->watch.peak_bytes;
        assert_true(peak >= 16 * MIB); /* half of it is the launcher's */
        family_end();
        assert_int_equal(watch_memory(run, clock_boottime_usec()), 0);
        assert_int_equal(run->watch.rss_bytes, 0);
        assert_int_equal(run->watch.private_bytes, 0);
        assert_int_equal(run->watch.peak_bytes, peak);
}

static void a_sample_goes_into_the_timeline_and_a_large_run_is_listed(void **state) {
        Family family = family_start(2, (size_t)(8 * MIB));
        _cleanup_(run_freep) Run *large = sampled_run(&family, 8 * MIB), *small = sampled_run(&family, 4096 * MIB);

        watch_sample(large, large->launched_usec + USEC_PER_SEC);
        assert_int_equal(large->timeline.n, 1);
        assert_int_equal(large->timeline.samples[0].t_msec, 1000);
        assert_int_equal(large->timeline.samples[0].memory_kib, large->watch.private_bytes / 1024);
        assert_int_equal(large->processes.count, 2);
        assert_int_equal(json_array_size(large->processes.list), 2);
        watch_sample(small, small->launched_usec + USEC_PER_SEC);
        assert_int_equal(small->timeline.n, 1);
        assert_null(small->processes.list);
        family_end();
}

static void a_look_at_a_group_that_is_gone_says_so(void **state) {
        Scratch *scratch = scratch_need(state);
        Family nobody = { .pid = 0 };
        _cleanup_(run_freep) Run *run = sampled_run(&nobody, 64 * MIB);
        bool grew;

        assert_int_equal(group_create(scratch->group.fd, "run", &run->group), 0);
        assert_int_equal(watch_look(run), 0);
        assert_true(run->usage.cpu_usec != USAGE_UNKNOWN);
        assert_int_equal(watch_memory(run, 1), 0);
        assert_int_equal(group_remove(&run->group), 0);
        assert_int_equal(watch_look(run), GROUP_E_GONE);
        assert_int_equal(watch_memory(run, 1), GROUP_E_GONE);
        assert_int_equal(watch_oom(run, &grew), GROUP_E_GONE);
        assert_false(grew);
}

static void put_pressure(const FakeGroup *fake, uint64_t full_usec, uint64_t max_events) {
        char text[256];

        (void)snprintf(text, sizeof(text),
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=%llu\nfull avg10=0.00 avg60=0.00 avg300=0.00 "
                "total=%llu\n",
                (unsigned long long)full_usec, (unsigned long long)full_usec);
        fake_put(fake, "memory.pressure", text);
        (void)snprintf(
                text, sizeof(text), "low 0\nhigh 0\nmax %llu\noom 0\noom_kill 0\n", (unsigned long long)max_events);
        fake_put(fake, "memory.events.local", text);
        fake_put(fake, "memory.events", text);
        fake_put(fake, "memory.current", "1000\n");
        fake_put(fake, "cpu.stat", "usage_usec 5\n");
}

/* A run whose group is a plain directory, with a thrash time of 15 s: a step each second. */
static Run *stalling_run(const FakeGroup *fake) {
        Family nobody = { .pid = 0 };
        Run *run = sampled_run(&nobody, 64 * MIB);

        run->enforcement = ENFORCEMENT_KERNEL;
        run->request.thrash_usec = 15 * USEC_PER_SEC;
        run->group.fd = dup(fake->fd);
        put_pressure(fake, 1000, 1);
        return run;
}

static void the_stall_of_the_last_whole_window_is_told_at_each_step(void **state) {
        FakeGroup fake = fake_make();
        _cleanup_(run_freep) Run *run = stalling_run(&fake);
        uint64_t now_usec = 100 * USEC_PER_SEC;
        bool grew;

        assert_int_equal(watch_oom(run, &grew), 0);
        assert_true(grew);
        assert_int_equal(watch_stall_arm(run, now_usec), 0);
        assert_int_equal(run->watch.stall_next_usec, now_usec + USEC_PER_SEC);
        for (uint64_t step = 1; step <= 40; step++) {
                uint64_t in_window = step < WATCH_STALL_STEPS ? 0 : WATCH_STALL_STEPS * 900000;

                put_pressure(&fake, 1000 + step * 900000, 1 + step);
                assert_int_equal(watch_stall_step(run, now_usec + step * USEC_PER_SEC), 0);
                assert_int_equal(run->watch.stall_usec, in_window);
                assert_int_equal(run->watch.stall_window_usec, step < WATCH_STALL_STEPS ? 0 : 15 * USEC_PER_SEC);
                assert_int_equal(run->watch.stall_next_usec, now_usec + (step + 1) * USEC_PER_SEC);
        }
        fake_remove(&fake);
}

static void a_group_out_of_reclaim_for_a_window_is_watched_no_more(void **state) {
        FakeGroup fake = fake_make();
        _cleanup_(run_freep) Run *run = stalling_run(&fake);
        unsigned steps = 0;
        bool grew;

        assert_int_equal(watch_oom(run, &grew), 0);
        assert_int_equal(watch_stall_arm(run, 0), 0);
        while (run->watch.stall_totals && steps < 100) {
                steps++;
                assert_int_equal(watch_stall_step(run, steps * USEC_PER_SEC), 0);
        }
        assert_int_equal(steps, WATCH_STALL_STEPS + 1);
        assert_int_equal(run->watch.stall_next_usec, USEC_INFINITY);
        assert_int_equal(run->watch.stall_window_usec, 0);
        assert_int_equal(watch_stall_arm(run, 0), 0); /* and may be armed again */
        assert_non_null(run->watch.stall_totals);
        fake_remove(&fake);
}

static void max_grows_once_for_each_growth(void **state) {
        FakeGroup fake = fake_make();
        _cleanup_(run_freep) Run *run = stalling_run(&fake);
        bool grew;

        assert_int_equal(watch_oom(run, &grew), 0);
        assert_true(grew);
        assert_int_equal(watch_oom(run, &grew), 0);
        assert_false(grew);
        put_pressure(&fake, 0, 9);
        assert_int_equal(watch_oom(run, &grew), 0);
        assert_true(grew);
        fake_remove(&fake);
}

static void an_infinite_thrash_time_is_never_armed(void **state) {
        FakeGroup fake = fake_make();
        _cleanup_(run_freep) Run *run = stalling_run(&fake);

        run->request.thrash_usec = USEC_INFINITY;
        assert_int_equal(watch_stall_arm(run, 0), 0);
        assert_null(run->watch.stall_totals);
        fake_remove(&fake);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(shared_pages_are_counted_once, end_last),
                cmocka_unit_test_teardown(the_last_look_is_not_taken_where_it_takes_long, end_last),
                cmocka_unit_test_teardown(a_sample_of_what_stands_still_asks_for_the_sum_only, end_last),
                cmocka_unit_test_teardown(a_copy_on_write_is_seen_though_rss_stands_still, end_last),
                cmocka_unit_test_teardown(the_next_look_is_within_its_bounds, end_last),
                cmocka_unit_test(looks_that_take_long_take_turns),
                cmocka_unit_test(a_look_takes_a_tenth_of_the_time_however_long_it_is),
                cmocka_unit_test_teardown(without_a_limit_there_is_no_next_look, end_last),
                cmocka_unit_test_teardown(a_launcher_pid_used_again_has_no_family, end_last),
                cmocka_unit_test_teardown(the_peak_outlives_the_memory, end_last),
                cmocka_unit_test_teardown(a_sample_goes_into_the_timeline_and_a_large_run_is_listed, end_last),
                cmocka_unit_test_setup_teardown(
                        a_look_at_a_group_that_is_gone_says_so, scratch_setup, scratch_teardown),
                cmocka_unit_test(the_stall_of_the_last_whole_window_is_told_at_each_step),
                cmocka_unit_test(a_group_out_of_reclaim_for_a_window_is_watched_no_more),
                cmocka_unit_test(max_grows_once_for_each_growth),
                cmocka_unit_test(an_infinite_thrash_time_is_never_armed),
        };

        return cmocka_run_group_tests_name("supervise-watch", tests, NULL, NULL);
}
