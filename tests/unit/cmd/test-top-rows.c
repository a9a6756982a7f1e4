/* `top`: which figures a row has, and in which order rows stand. */
#include "cmd/scidexctl/top-figures.h"
#include "cmd/scidexctl/top-rows.h"

#include "base/clock.h"
#include "base/file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define NOW (UINT64_C(1795000000) * USEC_PER_SEC)

static const TopView by_share = { .filter = "" };

/* A run that began `age` s before NOW, with a limit of 100 s and 100 MiB, holding so many MiB as the list says. */
static json_t *run(const char *id, const char *analysis, unsigned age, unsigned mib) {
        char launched[CLOCK_RFC3339_MAX], deadline[CLOCK_RFC3339_MAX];
        uint64_t at = NOW - age * USEC_PER_SEC;

        return json_pack("{s:s, s:s?, s:s, s:s, s:s, s:f, s:I, s:I}", "run_id", id, "analysis_id", analysis, "state",
                "running", "launched_at", clock_format_rfc3339(launched, at), "deadline_at",
                clock_format_rfc3339(deadline, at + 100 * USEC_PER_SEC), "timeout_sec", 100.0, "memory_limit_bytes",
                (json_int_t)(100 * MIB), "memory_bytes", (json_int_t)(mib * MIB));
}

static json_t *nested(json_t *row, const char *outer) {
        (void)json_object_set_new(row, "outer_run_id", json_string(outer));
        return row;
}

static TopRows made(const json_t *runs, const TopView *view, FigureFunc figure_of, void *userdata) {
        TopRows rows;

        assert_int_equal(top_rows_make(runs, view, figure_of, userdata, NOW, &rows), 0);
        return rows;
}

/* The ids in order, divided by blanks. Caller frees. */
static char *order_of(const TopRows *rows) {
        char *text = NULL;
        size_t size;
        FILE *p = open_memstream(&text, &size);

        for (size_t i = 0; i < rows->n; i++)
                (void)fprintf(p, "%s%s", i ? " " : "", rows->rows[i].run_id);
        (void)fclose(p);
        return text;
}

static void assert_order(const json_t *runs, const TopView *view, const char *expected) {
        _cleanup_(top_rows_deinit) TopRows rows = made(runs, view, NULL, NULL);
        _cleanup_(freep) char *order = order_of(&rows);

        assert_string_equal(order, expected);
}

/* a: 10 s of 100 and 90 of 100 MiB; b: 50 s and 10 MiB; c: 95 s and nothing. */
static void nearest_to_either_limit_comes_first(void **state) {
        _cleanup_(json_decrefp) json_t *runs =
                json_pack("[o, o, o]", run("a", "x", 10, 90), run("b", "y", 50, 10), run("c", "z", 95, 0));
        _cleanup_(top_rows_deinit) TopRows rows = made(runs, &by_share, NULL, NULL);

        assert_order(runs, &by_share, "c a b");
        assert_true(rows.rows[0].share > 0.949 && rows.rows[0].share < 0.951);
        assert_true(rows.rows[1].share > 0.899 && rows.rows[1].share < 0.901);
        assert_int_equal(rows.rows[0].left_usec, 5 * USEC_PER_SEC);
        assert_int_equal(rows.rows[1].age_usec, 10 * USEC_PER_SEC);
}

static void each_order_puts_first_what_matters_most_by_it(void **state) {
        _cleanup_(json_decrefp) json_t *runs =
                json_pack("[o, o, o]", run("a", "z", 10, 90), run("b", "y", 50, 10), run("c", "x", 95, 0));
        static const struct {
                TopSort sort;
                const char *order;
        } cases[] = { { TOP_BY_MEMORY, "a b c" }, { TOP_BY_LEFT, "c b a" }, { TOP_BY_AGE, "c b a" },
                { TOP_BY_ANALYSIS, "c b a" } };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                assert_order(runs, &(TopView){ .sort = cases[i].sort, .filter = "" }, cases[i].order);
        assert_order(runs, &(TopView){ .sort = TOP_BY_MEMORY, .is_inverted = true, .filter = "" }, "c b a");
}

static void equals_keep_their_places(void **state) {
        _cleanup_(json_decrefp) json_t *runs =
                json_pack("[o, o, o]", run("1", "x", 10, 5), run("3", "x", 10, 5), run("2", "x", 10, 5));

        assert_order(runs, &by_share, "3 2 1");
        assert_order(runs, &(TopView){ .sort = TOP_BY_STALL, .is_inverted = true, .filter = "" }, "3 2 1");
}

static const Figure *figure_of_a(const char *run_id, void *userdata) {
        return strcmp(run_id, "a") == 0 ? userdata : NULL;
}

/* anon 30 + shmem 10 = 40 MiB; file 25 of which 10 shmem = 15 MiB of cache. */
static void the_kernel_s_figures_hold_and_else_the_list_s(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_pack("[o, o]", run("a", "x", 1, 90), run("b", "y", 1, 50));
        Figure figure = FIGURE_NONE;
        _cleanup_(top_rows_deinit) TopRows rows = { 0 };

        figure.usage.anon_bytes = 30 * MIB;
        figure.usage.shmem_bytes = 10 * MIB;
        figure.usage.file_bytes = 25 * MIB;
        figure.usage.pids = 7;
        figure.cpus = 1.5;
        rows = made(runs, &by_share, figure_of_a, &figure);
        assert_string_equal(rows.rows[0].run_id, "b");
        assert_int_equal(rows.rows[0].private_bytes, 50 * MIB);
        assert_int_equal(rows.rows[0].cache_bytes, FIGURE_UNKNOWN);
        assert_true(rows.rows[0].cpus < 0);
        assert_int_equal(rows.rows[1].private_bytes, 40 * MIB);
        assert_int_equal(rows.rows[1].cache_bytes, 15 * MIB);
        assert_int_equal(rows.rows[1].pids, 7);
        assert_int_equal(rows.private_bytes, 90 * MIB);
        assert_int_equal(rows.limit_bytes, 200 * MIB);
        assert_true(rows.cpus == 1.5);
}

static void nested_runs_stand_below_theirs_and_count_once(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_pack("[o, o, o, o]", nested(run("in", "x", 90, 80), "out"),
                run("other", "y", 50, 10), run("out", "z", 10, 85), nested(run("inner", "x", 1, 1), "in"));
        TopView tree = { .is_tree = true, .filter = "" };
        _cleanup_(top_rows_deinit) TopRows rows = made(runs, &tree, NULL, NULL);
        _cleanup_(freep) char *order = order_of(&rows);

        assert_string_equal(order, "out in inner other");
        assert_int_equal(rows.rows[0].depth, 0);
        assert_int_equal(rows.rows[1].depth, 1);
        assert_int_equal(rows.rows[2].depth, 2);
        assert_int_equal(rows.private_bytes, 95 * MIB);
        assert_int_equal(rows.limit_bytes, 200 * MIB);
        assert_int_equal(rows.all, 4);
        assert_order(runs, &by_share, "in out other inner");
}

/* Somebody else's run, or one that the filter leaves out, has no place in the tree for what lies in it. */
static void a_nested_run_without_its_outer_one_stands_alone(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_pack("[o, o]", nested(run("a", "inner", 10, 0), "gone"),
                nested(nested(run("b", "inner", 5, 0), "gone"), "b"));

        assert_order(runs, &(TopView){ .is_tree = true, .filter = "" }, "a b");
}

static void a_filter_is_any_part_in_any_case(void **state) {
        _cleanup_(json_decrefp) json_t *runs = json_pack(
                "[o, o, o]", run("aa11", "SDA-42", 1, 1), run("bb22", NULL, 2, 1), run("cc33", "other", 3, 1));
        _cleanup_(top_rows_deinit) TopRows rows = made(runs, &(TopView){ .filter = "sda" }, NULL, NULL);

        assert_int_equal(rows.n, 1);
        assert_int_equal(rows.all, 3);
        assert_order(runs, &(TopView){ .filter = "22" }, "bb22");
        assert_order(runs, &(TopView){ .filter = "running" }, "cc33 bb22 aa11");
        assert_order(runs, &(TopView){ .filter = "nowhere" }, "");
}

static void search_goes_around_the_end(void **state) {
        _cleanup_(json_decrefp) json_t *runs =
                json_pack("[o, o, o]", run("a", "match-1", 30, 1), run("b", "no", 20, 1), run("c", "match-2", 10, 1));
        _cleanup_(top_rows_deinit) TopRows rows = made(runs, &by_share, NULL, NULL);

        assert_int_equal(top_rows_search(&rows, "match", 0), 2);
        assert_int_equal(top_rows_search(&rows, "match", 2), 0);
        assert_int_equal(top_rows_search(&rows, "nothing", 0), SIZE_MAX);
        assert_int_equal(top_rows_find(&rows, "b"), 1);
        assert_int_equal(top_rows_find(&rows, "z"), SIZE_MAX);
}

static void put(const char *directory, const char *name, const char *text) {
        _cleanup_(freep) char *path = text_printf("%s/%s", directory, name);
        FILE *file = fopen(path, "we");

        assert_non_null(file);
        (void)fputs(text, file);
        assert_int_equal(fclose(file), 0);
}

static void drop(const char *directory, const char *name) {
        _cleanup_(freep) char *path = text_printf("%s/%s", directory, name);

        assert_int_equal(unlink(path), 0);
}

/* 3 s of CPU time and 1 s of stalls in 2 s: 1.5 CPUs and half of the time. */
static void rates_are_over_the_time_between_two_looks(void **state) {
        char directory[] = "/tmp/scidex-figures-XXXXXX";
        _cleanup_(json_decrefp) json_t *runs = NULL;
        _cleanup_(figures_freep) Figures *figures = figures_new();
        const Figure *figure;

        assert_non_null(mkdtemp(directory));
        runs = json_pack("[{s:s, s:s}, {s:s}]", "run_id", "a", "group", directory, "run_id", "b");
        put(directory, "cgroup.procs", "");
        put(directory, "cpu.stat", "usage_usec 1000000\n");
        put(directory, "memory.pressure",
                "some avg10=0 avg60=0 avg300=0 total=5\nfull avg10=0 avg60=0 avg300=0 total=0\n");
        assert_int_equal(figures_keep(figures, runs), 0);
        assert_false(figures_look(figures, 10 * USEC_PER_SEC));
        figure = figures_find("a", figures);
        assert_true(figure->cpus < 0 && figure->stalled < 0);
        put(directory, "cpu.stat", "usage_usec 4000000\n");
        put(directory, "memory.pressure",
                "some avg10=0 avg60=0 avg300=0 total=5\nfull avg10=0 avg60=0 avg300=0 total=1000000\n");
        assert_false(figures_look(figures, 12 * USEC_PER_SEC));
        assert_true(figure->cpus == 1.5);
        assert_true(figure->stalled == 0.5);
        assert_int_equal(figures_keep(figures, runs), 0); /* the list again: what was read stays */
        assert_true(figures_find("a", figures)->cpus == 1.5);
        assert_true(figures_find("b", figures)->cpus < 0);
        assert_null(figures_find("c", figures));
        drop(directory, "cpu.stat");
        drop(directory, "memory.pressure");
        drop(directory, "cgroup.procs");
        assert_int_equal(rmdir(directory), 0);
        assert_true(figures_look(figures, 13 * USEC_PER_SEC));
        assert_false(figures_look(figures, 14 * USEC_PER_SEC)); /* that it is gone is told once */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(nearest_to_either_limit_comes_first),
                cmocka_unit_test(each_order_puts_first_what_matters_most_by_it),
                cmocka_unit_test(equals_keep_their_places),
                cmocka_unit_test(the_kernel_s_figures_hold_and_else_the_list_s),
                cmocka_unit_test(nested_runs_stand_below_theirs_and_count_once),
                cmocka_unit_test(a_nested_run_without_its_outer_one_stands_alone),
                cmocka_unit_test(a_filter_is_any_part_in_any_case),
                cmocka_unit_test(search_goes_around_the_end),
                cmocka_unit_test(rates_are_over_the_time_between_two_looks),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
