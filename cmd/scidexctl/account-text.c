/* The account of asked and used, for people and for programs. Called by `report`. */
#include "cmd/scidexctl/account.h"

#include "base/cleanup.h"

#define GIB_HOUR ((double)(UINT64_C(1) << 30) * 3600)

static const Column columns[] = {
        { "ANALYSIS" },
        { "RUNS", .right = true },
        { "KILLED", .rank = 3 },
        { "MEMORY / LIMIT", .right = true },
        { "USED", .right = true },
        { "TIME / LIMIT", .right = true, .rank = 1 },
        { "USED", .right = true, .rank = 1 },
        { "CPUS", .right = true, .rank = 4 },
        { "UNUSED", .right = true, .rank = 2 },
};

static const Column user_columns[] = {
        { "USER" },
        { "RUNS", .right = true },
        { "KILLED", .rank = 3 },
        { "MEMORY / LIMIT", .right = true },
        { "USED", .right = true },
        { "TIME / LIMIT", .right = true, .rank = 1 },
        { "USED", .right = true, .rank = 1 },
        { "CPUS", .right = true, .rank = 4 },
        { "UNUSED", .right = true, .rank = 2 },
};

static double share(double used, double asked) {
        return asked > 0 ? used / asked : 0;
}

static void killed_cell(Table *table, const AccountEntry *e) {
        if (e->by_memory && e->by_time)
                table_cell(table, TONE_WARN, "%ju memory, %ju time", (uintmax_t)e->by_memory, (uintmax_t)e->by_time);
        else if (e->by_memory || e->by_time)
                table_cell(table, TONE_WARN, "%ju %s", (uintmax_t)(e->by_memory + e->by_time),
                        e->by_memory ? "memory" : "time");
        else
                table_text(table, TONE_PLAIN, NULL);
}

/* Of sums: a double holds them to 53 bits, which is enough for means. */
static void memory_cells(Table *table, const AccountEntry *e) {
        char used[FORMAT_MAX], asked[FORMAT_MAX];
        double n = (double)e->memory_runs;

        if (e->memory_runs == 0) {
                table_text(table, TONE_PLAIN, e->memory_unlimited ? "no limit" : NULL);
                table_text(table, TONE_PLAIN, NULL);
                return;
        }
        table_cell(table, TONE_PLAIN, "%s / %s", format_bytes(used, (uint64_t)(e->memory_used_bytes / n)),
                format_bytes(asked, (uint64_t)(e->memory_asked_bytes / n)));
        table_cell(table, TONE_PLAIN, "%.0f %%", 100 * share(e->memory_used_bytes, e->memory_asked_bytes));
}

static void time_cells(Table *table, const AccountEntry *e) {
        char used[FORMAT_MAX], asked[FORMAT_MAX];
        double n = (double)e->time_runs;

        if (e->time_runs == 0) {
                table_text(table, TONE_PLAIN, e->time_unlimited ? "no limit" : NULL);
                table_text(table, TONE_PLAIN, NULL);
                return;
        }
        table_cell(table, TONE_PLAIN, "%s / %s", format_duration(used, (uint64_t)(e->time_used_sec / n * 1e6 + 0.5)),
                format_duration(asked, (uint64_t)(e->time_asked_sec / n * 1e6 + 0.5)));
        table_cell(table, TONE_PLAIN, "%.0f %%", 100 * share(e->time_used_sec, e->time_asked_sec));
}

static void entry_row(Table *table, const AccountEntry *e) {
        table_text(table, TONE_STRONG, e->is_rest ? "(all others)" : e->name);
        table_cell(table, TONE_PLAIN, "%ju", (uintmax_t)e->runs);
        killed_cell(table, e);
        memory_cells(table, e);
        time_cells(table, e);
        if (e->cpu_of_sec > 0)
                table_cell(table, TONE_PLAIN, "%.2f", e->cpu_sec / e->cpu_of_sec);
        else
                table_text(table, TONE_PLAIN, NULL);
        /* A sampled run may have been above its limit for a moment. */
        table_cell(table, TONE_PLAIN, "%.1f GiB h", MAX_OF(0.0, e->asked_byte_sec - e->used_byte_sec) / GIB_HOUR);
}

int account_print(FILE *out, const Terminal *terminal, Account *account, bool by_user, size_t most) {
        _cleanup_(table_deinit)
                Table table = { .columns = by_user ? user_columns : columns, .n_columns = ELEMENTSOF(columns) };
        size_t n;
        const AccountEntry *entries = account_sorted(account, &n);
        int r;

        for (size_t i = 0; i < n && i < most; i++)
                entry_row(&table, &entries[i]);
        r = table_print(out, terminal, &table);
        if (r == 0 && n > most)
                (void)fprintf(out, "and %zu more: --limit %zu shows them\n", n - most, n);
        return r;
}

static json_t *real_or_null(double value, bool is_known) {
        return is_known ? json_real(value) : json_null();
}

static json_t *entry_to_json(const AccountEntry *e, bool by_user) {
        double memory = (double)e->memory_runs, time = (double)e->time_runs;

        return json_pack("{s:o, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:f}",
                by_user ? "user" : "analysis_id", json_from_text(e->name), "others", e->is_rest, "runs",
                (json_int_t)e->runs, "killed_memory", (json_int_t)e->by_memory, "killed_time", (json_int_t)e->by_time,
                "memory_runs", (json_int_t)e->memory_runs, "memory_unlimited_runs", (json_int_t)e->memory_unlimited,
                "time_runs", (json_int_t)e->time_runs, "time_unlimited_runs", (json_int_t)e->time_unlimited,
                "memory_limit_mean_bytes", real_or_null(e->memory_asked_bytes / memory, memory > 0),
                "private_peak_mean_bytes", real_or_null(e->memory_used_bytes / memory, memory > 0), "timeout_mean_sec",
                real_or_null(e->time_asked_sec / time, time > 0), "duration_mean_sec",
                real_or_null(e->time_used_sec / time, time > 0), "cpus_mean",
                real_or_null(e->cpu_sec / e->cpu_of_sec, e->cpu_of_sec > 0), "unused_byte_sec",
                e->asked_byte_sec - e->used_byte_sec);
}

json_t *account_to_json(Account *account, bool by_user, size_t most) {
        size_t n;
        const AccountEntry *entries = account_sorted(account, &n);
        json_t *list = json_array();

        for (size_t i = 0; i < n && i < most; i++)
                if (json_array_append_new(list, entry_to_json(&entries[i], by_user)) < 0) {
                        json_decref(list);
                        return NULL;
                }
        return list;
}
