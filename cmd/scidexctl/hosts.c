/*
 * Hosts, as the database knows them: how fresh what they say is.
 *
 * Called by list and top.  Pure but for the clock.  A host that is silent is not a host whose runs are over: it may be
 * cut off and go on.  So its runs are shown as they were, marked; only the host itself or an admin closes them.
 */
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/rows.h"
#include "status/field.h"
#include <stdlib.h>
#include <string.h>

static const Column columns[] = {
        { "HOST" },
        { "SUPERVISOR", .rank = 2 },
        { "RUNS", .right = true },
        { "LAST HEARD", .right = true },
};

static bool is_silent(const json_t *host) {
        return json_is_true(json_object_get(host, "silent"));
}

static void host_row(Table *table, const json_t *host, uint64_t now) {
        char text[FORMAT_MAX];
        uint64_t heard, runs = 0;
        Tone tone = is_silent(host) ? TONE_WARN : TONE_GOOD;

        table_text(table, TONE_STRONG, field_text(host, "host"));
        table_text(table, TONE_PLAIN, field_text(host, "supervisor"));
        (void)field_u64(host, "runs", &runs);
        table_cell(table, TONE_PLAIN, "%ju", (uintmax_t)runs);
        if (field_time(host, "heartbeat_at", &heard)) {
                uint64_t ago = usec_sub(now, heard);

                table_cell(table, tone, "%s%s ago", is_silent(host) ? "silent, " : "",
                        format_duration(text, ago - ago % USEC_PER_SEC));
        } else
                table_text(table, tone, is_silent(host) ? "silent" : "?");
}

int hosts_print(FILE *out, const Terminal *terminal, const json_t *hosts, size_t most) {
        _cleanup_(table_deinit) Table table = TABLE_OF(columns);
        uint64_t now = clock_realtime_usec();

        for (size_t i = 0; i < json_array_size(hosts) && i < most; i++)
                host_row(&table, json_array_get(hosts, i), now);
        return table_print(out, terminal, &table);
}

size_t hosts_count(const json_t *hosts, size_t *ret_silent) {
        _cleanup_(json_decrefp) json_t *all = json_object(), *silent = json_object();
        const json_t *host;
        size_t i;

        json_array_foreach(hosts, i, host) {
                const char *name = field_text(host, "host");

                if (!name)
                        continue;
                (void)json_object_set_new(all, name, json_true());
                if (is_silent(host))
                        (void)json_object_set_new(silent, name, json_true());
        }
        *ret_silent = json_object_size(silent);
        return json_object_size(all);
}

void silent_hosts_print(FILE *out, const Terminal *terminal, const json_t *hosts) {
        const json_t *host;
        size_t i;

        json_array_foreach(hosts, i, host) {
                const char *name = field_text(host, "host");
                _cleanup_(freep) char *quoted = shell_quote(name ? name : "?"), *line = NULL;
                char since[FORMAT_MAX];
                uint64_t runs = 0;

                if (!is_silent(host))
                        continue;
                (void)field_u64(host, "runs", &runs);
                line = text_printf("%s has been silent since %s. %s", name ? name : "?",
                        field_when(since, host, "heartbeat_at", "an unknown time"),
                        runs > 0 ? "Its runs are shown as it last told them; they may go on. If it is gone for good: "
                                   "scidexctl db forget "
                                 : "If it is gone for good: scidexctl db forget ");
                (void)fputc('\n', out);
                if (line && quoted) {
                        _cleanup_(freep) char *whole = text_printf("%s%s", line, quoted);

                        paragraph_print(out, terminal, 0, 0, whole ? whole : line);
                }
        }
}

double run_used(const json_t *run, uint64_t now) {
        uint64_t value, limit;
        double time = 0, memory = 0;

        if (run_age(run, now, &value) && field_usec(run, "timeout_sec", &limit) && limit > 0)
                time = (double)value / (double)limit;
        if (run_private_bytes(run, &value) && field_u64(run, "memory_limit_bytes", &limit) && limit > 0)
                memory = (double)value / (double)limit;
        return MAX_OF(time, memory);
}

typedef struct Ranked {
        json_t *run; /* borrowed */
        double used;
} Ranked;

/* The greater share first; of equal ones the younger run (ids are time-ordered). */
static int compare(const void *a, const void *b) {
        const Ranked *x = a, *y = b;
        const char *left = field_text(x->run, "run_id"), *right = field_text(y->run, "run_id");

        if (x->used != y->used)
                return x->used < y->used ? 1 : -1;
        return strcmp(right ? right : "", left ? left : "");
}

void runs_sort(json_t *runs) {
        size_t n = json_array_size(runs);
        _cleanup_(freep) Ranked *ranked = calloc(n ? n : 1, sizeof(Ranked));
        _cleanup_(json_decrefp) json_t *copy = json_copy(runs);
        uint64_t now = clock_realtime_usec();

        if (!ranked || !copy)
                return; /* in the order in which they came */
        for (size_t i = 0; i < n; i++) {
                json_t *run = json_array_get(copy, i);

                ranked[i] = (Ranked){ .run = run, .used = run_used(run, now) };
        }
        qsort(ranked, n, sizeof(Ranked), compare);
        for (size_t i = 0; i < n; i++)
                (void)json_array_set(runs, i, ranked[i].run);
}
