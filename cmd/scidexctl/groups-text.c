/*
 * The groups of a tree, drawn, and as JSON.
 *
 * Called by `tree`.  A name in the tree is whatever somebody called a directory, a comm whatever a process calls
 * itself: both go through the table, which escapes them.  Where the terminal knows no UTF-8 the branches are ASCII.
 */
#include "cmd/scidexctl/groups-text.h"

#include "base/clock.h"
#include "base/file.h"
#include "status/field.h"
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const Column columns[] = {
        { "GROUP" },
        { "STATE" },
        { "MEMORY / LIMIT", .right = true },
        { "USED", .right = true, .rank = 1 },
        { "CACHE", .right = true, .rank = 3 },
        { "CPU TIME", .right = true, .rank = 2 },
        { "PROCESSES", .right = true, .rank = 4 },
};

typedef struct Branches {
        const char *go_on, *last, *pass, *blank;
} Branches;

static const Branches branches_utf8 = { "├─ ", "└─ ", "│  ", "   " };
static const Branches branches_ascii = { "|- ", "`- ", "|  ", "   " };

/* Whether another group of that depth follows before one that is higher up. */
static bool has_next(const Groups *groups, size_t i, unsigned depth) {
        for (size_t j = i + 1; j < groups->n && groups->nodes[j].depth >= depth; j++)
                if (groups->nodes[j].depth == depth)
                        return true;
        return false;
}

/* What stands before a name; of a process of that group (is_process) what stands before its pid. Caller frees. */
static char *prefix_make(const Groups *groups, size_t i, const Branches *b, bool is_process) {
        unsigned depth = groups->nodes[i].depth;
        char *text = NULL;
        size_t size = 0;
        FILE *p = open_memstream(&text, &size);

        if (!p)
                return NULL;
        for (unsigned d = 1; d < depth; d++)
                (void)fputs(has_next(groups, i, d) ? b->pass : b->blank, p);
        if (depth > 0 && is_process)
                (void)fputs(has_next(groups, i, depth) ? b->pass : b->blank, p);
        else if (depth > 0)
                (void)fputs(has_next(groups, i, depth) ? b->go_on : b->last, p);
        if (is_process)
                (void)fputs(has_next(groups, i, depth + 1) ? b->pass : b->blank, p);
        return fclose(p) == 0 ? text : NULL;
}

/* Of the group and all below it. */
static size_t processes_below(const Groups *groups, size_t i) {
        size_t n = groups->nodes[i].processes.count;

        for (size_t j = i + 1; j < groups->n && groups->nodes[j].depth > groups->nodes[i].depth; j++)
                n += groups->nodes[j].processes.count;
        return n;
}

static void state_cell(Table *table, const GroupNode *node) {
        const char *state = field_text(node->run, "state"), *frozen = node->is_frozen ? ", frozen" : "";
        static const char *const words[] = {
                [GROUP_TREE] = "tree",
                [GROUP_OWN] = "scidex's own",
                [GROUP_STRANGE] = "run not listed",
                [GROUP_PART] = "part of it",
                [GROUP_FOREIGN] = "FOREIGN",
        };

        if (node->kind == GROUP_RUN)
                table_cell(table, state && strcmp(state, "running") == 0 && !node->is_frozen ? TONE_GOOD : TONE_WARN,
                        "%s%s", state ? state : "?", frozen);
        else
                table_cell(
                        table, node->kind == GROUP_FOREIGN ? TONE_BAD : TONE_PLAIN, "%s%s", words[node->kind], frozen);
}

static void memory_cells(Table *table, const GroupNode *node) {
        char used[FORMAT_MAX], limit[FORMAT_MAX], cache[FORMAT_MAX];
        uint64_t private, most, shmem = node->usage.shmem_bytes, file = node->usage.file_bytes;
        bool is_known = group_private_bytes(node, &private), is_limited = group_limit_bytes(node, &most);

        if (is_known)
                table_cell(table, TONE_PLAIN, "%s / %s", format_bytes(used, private),
                        is_limited ? format_bytes(limit, most) : "infinity");
        else
                table_text(table, TONE_PLAIN, NULL);
        if (is_known && is_limited && most > 0)
                table_cell(table, private > most / 10 * 9 ? TONE_WARN : TONE_PLAIN, "%.0f %%",
                        100.0 * (double)private / (double)most);
        else
                table_text(table, TONE_PLAIN, NULL);
        if (file != USAGE_UNKNOWN) /* the kernel counts tmpfs as file */
                table_text(
                        table, TONE_PLAIN, format_bytes(cache, shmem != USAGE_UNKNOWN ? usec_sub(file, shmem) : file));
        else
                table_text(table, TONE_PLAIN, NULL);
}

static void node_row(Table *table, const Groups *groups, size_t i, const char *prefix) {
        const GroupNode *node = &groups->nodes[i];
        const char *slash = strrchr(node->name, '/'); /* of the tree, whose path stands above */
        char cpu[FORMAT_MAX];

        table_cell(table, node->kind == GROUP_FOREIGN ? TONE_BAD : TONE_STRONG, "%s%s", prefix,
                slash ? slash + 1 : node->name);
        state_cell(table, node);
        memory_cells(table, node);
        table_text(table, TONE_PLAIN,
                node->usage.cpu_usec != USAGE_UNKNOWN ? format_duration(cpu, node->usage.cpu_usec) : NULL);
        table_cell(table, TONE_PLAIN, "%zu", processes_below(groups, i));
}

/* Its name and what it holds; false when it is gone. Caller frees. */
static bool process_read(pid_t pid, char **ret_comm, uint64_t *ret_rss_bytes) {
        _cleanup_(freep) char *directory = text_printf("/proc/%d", (int)pid), *statm = NULL;
        _cleanup_(close_fdp) int fd = directory ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -EBADF;
        uintmax_t resident = 0;
        char *rest = NULL;

        if (fd < 0 || file_read_at(fd, "comm", 4096, ret_comm, NULL) < 0)
                return false;
        (*ret_comm)[strcspn(*ret_comm, "\n")] = '\0';
        if (file_read_at(fd, "statm", 4096, &statm, NULL) == 0) { /* size, then what is resident; a zombie has 0 */
                (void)strtoumax(statm, &rest, 10);
                resident = strtoumax(rest, NULL, 10);
        }
        *ret_rss_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
        return true;
}

static void process_row(Table *table, pid_t pid, const char *prefix) {
        _cleanup_(freep) char *comm = NULL;
        char held[FORMAT_MAX];
        uint64_t rss;

        if (!process_read(pid, &comm, &rss))
                return;
        table_cell(table, TONE_PLAIN, "%s%d %s", prefix, (int)pid, comm);
        table_text(table, TONE_PLAIN, "process");
        table_cell(table, TONE_PLAIN, "%s", format_bytes(held, rss));
        for (size_t i = 3; i < ELEMENTSOF(columns); i++)
                table_text(table, TONE_PLAIN, " ");
}

static void more_row(Table *table, size_t more, const char *prefix) {
        table_cell(table, TONE_PLAIN, "%sand %zu more", prefix, more);
        for (size_t i = 1; i < ELEMENTSOF(columns); i++)
                table_text(table, TONE_PLAIN, " ");
}

static int rows_of(Table *table, const Groups *groups, size_t i, const Branches *branches) {
        _cleanup_(freep) char *before = prefix_make(groups, i, branches, false);
        _cleanup_(freep) char *inside = prefix_make(groups, i, branches, true);
        const PidList *list = &groups->nodes[i].processes;

        if (!before || !inside)
                return -ENOMEM;
        node_row(table, groups, i, before);
        for (size_t p = 0; p < list->count && p < GROUP_PROCESSES_SHOWN; p++)
                process_row(table, list->pids[p], inside);
        if (list->count > GROUP_PROCESSES_SHOWN)
                more_row(table, list->count - GROUP_PROCESSES_SHOWN, inside);
        return 0;
}

static void foreign_print(FILE *out, const Terminal *terminal, const Groups *groups) {
        size_t n = 0;
        _cleanup_(freep) char *text = NULL;

        for (size_t i = 0; i < groups->n; i++)
                n += groups->nodes[i].kind == GROUP_FOREIGN;
        if (n == 0)
                return;
        text = text_printf(
                "%zu group%s in the tree %s not of scidex's making (FOREIGN): nothing watches, limits or ends what "
                "is in there. Look whose processes these are; rmdir takes an empty one away.",
                n, n == 1 ? "" : "s", n == 1 ? "is" : "are");
        (void)fputc('\n', out);
        if (text)
                paragraph_print(out, terminal, 0, 0, text);
}

int groups_print(FILE *out, const Terminal *terminal, const Groups *groups) {
        _cleanup_(table_deinit) Table table = TABLE_OF(columns);
        const Branches *branches = terminal->utf8 ? &branches_utf8 : &branches_ascii;
        int r = 0;

        if (groups->n > 0)
                paragraph_print(out, &(Terminal){ .utf8 = terminal->utf8 }, 0, 0, groups->nodes[0].name);
        for (size_t i = 0; r == 0 && i < groups->n; i++)
                r = rows_of(&table, groups, i, branches);
        if (r == 0)
                r = table_print(out, terminal, &table);
        if (r == 0 && groups->is_cut)
                (void)fputs("There are more groups than are shown.\n", out);
        if (r == 0)
                foreign_print(out, terminal, groups);
        return r;
}

static json_t *processes_to_json(const PidList *list) {
        json_t *array = json_array();

        for (size_t i = 0; i < list->count && i < GROUP_PROCESSES_TOLD; i++) {
                _cleanup_(freep) char *comm = NULL;
                uint64_t rss;

                if (process_read(list->pids[i], &comm, &rss))
                        (void)json_array_append_new(array,
                                json_pack("{s:i, s:o, s:o}", "pid", (int)list->pids[i], "comm", json_from_text(comm),
                                        "rss_bytes", json_from_u64(rss)));
        }
        return array;
}

/* A list of keys, since each may be unknown, which is null. */
static int figures_put(json_t *o, const GroupNode *node) {
        const Usage *u = &node->usage;
        uint64_t private = USAGE_UNKNOWN, limit = USAGE_UNKNOWN;
        const struct {
                const char *key;
                const uint64_t *value;
        } figures[] = { { "private_bytes", &private }, { "memory_limit_bytes", &limit },
                { "memory_bytes", &u->memory_bytes }, { "memory_peak_bytes", &u->memory_peak_bytes },
                { "anon_bytes", &u->anon_bytes }, { "file_bytes", &u->file_bytes }, { "shmem_bytes", &u->shmem_bytes },
                { "pids", &u->pids }, { "pids_limit", &node->pids_limit } };
        int r = 0;

        (void)group_private_bytes(node, &private);
        (void)group_limit_bytes(node, &limit);
        for (size_t i = 0; r == 0 && i < ELEMENTSOF(figures); i++)
                r = json_object_set_new(o, figures[i].key, json_from_u64(*figures[i].value));
        if (r == 0)
                r = json_object_set_new(o, "cpu_sec",
                        u->cpu_usec == USAGE_UNKNOWN ? json_null() : json_real((double)u->cpu_usec / 1e6));
        return r;
}

static json_t *node_to_json(const GroupNode *node) {
        json_t *o = json_pack("{s:o, s:i, s:s, s:O?, s:O?, s:O?, s:b, s:I, s:o}", "name", json_from_text(node->name),
                "depth", (int)node->depth, "kind", group_kind_to_string(node->kind), "run_id",
                json_object_get(node->run, "run_id"), "analysis_id", json_object_get(node->run, "analysis_id"), "state",
                json_object_get(node->run, "state"), "frozen", node->is_frozen, "process_count",
                (json_int_t)node->processes.count, "processes", processes_to_json(&node->processes));

        if (figures_put(o, node) == 0)
                return o;
        json_decref(o);
        return NULL;
}

json_t *groups_to_json(const Groups *groups) {
        json_t *array = json_array();

        for (size_t i = 0; i < groups->n; i++)
                if (json_array_append_new(array, node_to_json(&groups->nodes[i])) < 0) {
                        json_decref(array);
                        return NULL;
                }
        return array;
}
