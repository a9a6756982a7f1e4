/*
 * Containment by descent, for hosts where nobody may make a group (read-only cgroupfs, no session).
 *
 * Called by enforce and watch in place of the walk over cgroup.procs.  The hard thing is a daemon that double-forks:
 * the launcher is child subreaper, so it stays a descendant as long as the launcher lives; after that only the
 * environment it was started with tells.  Whoever clears that too has escaped: the record says `descendants`, docs say
 * what it means.
 */
#include "supervise/descend.h"

#include "base/cleanup.h"
#include "base/parse.h"
#include "base/process.h"
#include <string.h>

typedef struct Row {
        pid_t pid, parent;
        bool zombie, member;
} Row;

typedef struct Table {
        Row *rows; /* owned */
        size_t n, allocated;
} Table;

static void table_deinit(Table *table) {
        free(table->rows);
}

static int table_add(Table *table, const ProcessIdentity *process) {
        if (table->n == table->allocated) {
                size_t more = table->allocated ? table->allocated * 2 : 256;
                Row *rows = reallocarray(table->rows, more, sizeof(Row));

                if (!rows)
                        return -ENOMEM;
                table->rows = rows;
                table->allocated = more;
        }
        table->rows[table->n++] = (Row){
                .pid = process->pid,
                .parent = process->parent,
                .zombie = process->exiting && (process->state == 'Z' || process->state == 'X'),
        };
        return 0;
}

static int table_read(Table *table) {
        _cleanup_(closedirp) DIR *proc = opendir("/proc");
        struct dirent *entry;

        if (!proc)
                return -errno;
        while ((entry = readdir(proc))) {
                ProcessIdentity process;
                uint64_t pid;

                if (parse_u64(entry->d_name, &pid) < 0 || process_identity((pid_t)pid, &process) < 0)
                        continue;
                if (table_add(table, &process) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static bool is_member(const Table *table, pid_t pid, pid_t launcher) {
        if (pid == launcher)
                return true;
        for (size_t i = 0; i < table->n; i++)
                if (table->rows[i].pid == pid)
                        return table->rows[i].member;
        return false;
}

/* Marks children of members until nothing changes: as many passes as the tree is deep. */
static void mark_descendants(Table *table, pid_t launcher) {
        bool changed = true;

        while (changed) {
                changed = false;
                for (size_t i = 0; i < table->n; i++) {
                        Row *row = &table->rows[i];

                        if (!row->member && row->pid != launcher && is_member(table, row->parent, launcher)) {
                                row->member = true;
                                changed = true;
                        }
                }
        }
}

static void mark_by_environment(Table *table, const char *run_id) {
        for (size_t i = 0; i < table->n; i++) {
                _cleanup_(freep) char *value = NULL;

                if (!table->rows[i].member && !table->rows[i].zombie &&
                        process_environment(table->rows[i].pid, "SCIDEX_RUN_ID", &value) == 0)
                        table->rows[i].member = strcmp(value, run_id) == 0;
        }
}

int descend_each(pid_t launcher, const char *run_id, GroupProcessFunc func, void *userdata) {
        _cleanup_(table_deinit) Table table = { 0 };
        int r = table_read(&table);

        if (r < 0)
                return r;
        mark_by_environment(&table, run_id);
        mark_descendants(&table, launcher);
        for (size_t i = 0; i < table.n; i++) {
                if (!table.rows[i].member || table.rows[i].zombie || table.rows[i].pid == getpid() ||
                        table.rows[i].parent == getpid())
                        continue;
                r = func(table.rows[i].pid, userdata);
                if (r != 0)
                        return r;
        }
        return 0;
}
