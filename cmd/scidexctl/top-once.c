/* `top` where there is no terminal: what there is, once. Called by top.c. */
#include "base/clock.h"
#include "cmd/scidexctl/rows.h"
#include "cmd/scidexctl/top.h"

static void title_print(const Options *options, const json_t *hosts, size_t n) {
        char clock[FORMAT_MAX];
        size_t n_hosts, silent;

        (void)printf("%s  %zu run%s", format_when(clock, clock_realtime_usec()), n, n == 1 ? "" : "s");
        n_hosts = hosts_count(hosts, &silent);
        if (options->all_hosts)
                (void)printf(" on %zu host%s, %zu silent", n_hosts, n_hosts == 1 ? "" : "s", silent);
        (void)fputs("\n\n", stdout);
}

int top_once(const Options *options, const Terminal *terminal, const json_t *answer) {
        _cleanup_(json_decrefp) json_t *result = NULL;
        json_t *runs = json_object_get(answer, "runs"), *hosts = json_object_get(answer, "hosts");
        json_t *events = json_object_get(answer, "events");

        runs_sort(runs);
        if (options->json) {
                result = json_pack("{s:b, s:O*, s:O, s:O}", "ok", true, "hosts", hosts, "runs", runs, "events", events);
                return result && json_print(result) == 0 ? CTL_OK : CTL_NO_ANSWER;
        }
        title_print(options, hosts, json_array_size(runs));
        if (options->all_hosts) {
                (void)hosts_print(stdout, terminal, hosts, SIZE_MAX);
                (void)putchar('\n');
        }
        (void)runs_print(stdout, terminal, runs, options->all_hosts, SIZE_MAX);
        (void)fputs("\nLast kills\n", stdout);
        (void)events_print(stdout, terminal, events, options->all_hosts, TOP_KILLS);
        return CTL_OK;
}
