/*
 * Measuring aside: the sums are those of a direct look, and who keeps the reader waiting costs only itself.
 */
#include "supervise/measure.h"

#include "base/clock.h"
#include "base/process.h"
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ALICE  1001
#define BOB    1002
#define OTHERS 2000 /* and up */
#define TRIES  20

/* On a busy machine a reader that was just started may be too slow, which its user is blamed for: then another asks. */
static int measure(const pid_t *pids, size_t n, uint64_t *ret_rss_bytes, uint64_t *ret_pss_bytes) {
        static uid_t uid = OTHERS;
        int r = -ETIME;

        for (int i = 0; i < TRIES && r == -ETIME; i++)
                r = measure_processes(uid++, pids, n, ret_rss_bytes, ret_pss_bytes);
        return r;
}

static int teardown(void **state) {
        measure_deinit();
        return 0;
}

static void the_sums_are_those_of_a_direct_look(void **state) {
        uint64_t rss = 0, pss = 0, direct = 0;
        pid_t pids[] = { getpid(), 1 << 22 }; /* one of them is nobody */

        assert_int_equal(process_rss(getpid(), &direct), 0);
        assert_int_equal(measure(pids, 2, &rss, &pss), 0);
        assert_in_range(rss, direct / 2, direct * 2 + (1 << 20));
        assert_in_range(pss, 1, rss);
        assert_int_equal(measure(pids, 0, &rss, &pss), 0);
        assert_int_equal(rss, 0);
}

static void many_processes_are_asked_for_in_parts(void **state) {
        static pid_t pids[3000];
        uint64_t rss = 0, pss = 0, one = 0;

        for (size_t i = 0; i < 3000; i++)
                pids[i] = i % 1000 == 0 ? getpid() : 1 << 22;
        assert_int_equal(process_rss(getpid(), &one), 0);
        assert_int_equal(measure(pids, 3000, &rss, &pss), 0);
        assert_true(rss > one * 2);
}

static void who_keeps_it_waiting_costs_only_himself(void **state) {
        uint64_t rss, pss, begun_usec, took_usec;
        pid_t self = getpid(), reader;

        assert_int_equal(measure(&self, 1, &rss, &pss), 0);
        reader = measure_pid();
        assert_true(reader > 0);
        assert_int_equal(kill(reader, SIGSTOP), 0); /* as it would stand in the kernel */
        begun_usec = clock_boottime_usec();
        assert_int_equal(measure_processes(ALICE, &self, 1, &rss, &pss), -ETIME);
        took_usec = clock_boottime_usec() - begun_usec;
        assert_true(took_usec >= MEASURE_WAIT_USEC);
        begun_usec = clock_boottime_usec();
        assert_int_equal(measure_processes(ALICE, &self, 1, &rss, &pss), -ETIME); /* not again for a while */
        assert_true(clock_boottime_usec() - begun_usec < MEASURE_WAIT_USEC);
        assert_int_equal(measure(&self, 1, &rss, &pss), 0);
        assert_true(measure_pid() > 0 && measure_pid() != reader);
}

static void a_reader_that_died_is_replaced(void **state) {
        uint64_t rss, pss;
        pid_t self = getpid();

        assert_int_equal(measure(&self, 1, &rss, &pss), 0);
        assert_int_equal(kill(measure_pid(), SIGKILL), 0);
        (void)measure_processes(BOB, &self, 1, &rss, &pss); /* it may notice only now */
        assert_int_equal(measure(&self, 1, &rss, &pss), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_teardown(the_sums_are_those_of_a_direct_look, teardown),
                cmocka_unit_test_teardown(many_processes_are_asked_for_in_parts, teardown),
                cmocka_unit_test_teardown(who_keeps_it_waiting_costs_only_himself, teardown),
                cmocka_unit_test_teardown(a_reader_that_died_is_replaced, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
