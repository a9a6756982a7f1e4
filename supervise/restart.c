/*
 * What a supervisor finds when it starts: groups that still run, and what launchers left behind.
 *
 * Called once, before the control socket is served.  The hard thing is that anything may be half done: a group without
 * a launcher is orphaned, one with a marker has its kill finished under the same event id, one whose end a launcher has
 * already decided (the handover) is only recorded and removed.  A directory in the tree without our attributes is
 * foreign: counted, named in `status`, not touched.  One case of it is ours: made, and then the supervisor died before
 * it could write them.  Nothing was ever let into such a group, so it is removed, but only if it is empty, has no
 * groups below it and bears a name as we give them; rmdir(2) itself refuses if that is no longer true.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "supervise/adopt.h"
#include "supervise/enforce.h"
#include "supervise/left.h"
#include "supervise/life.h"
#include "supervise/lower.h"
#include "supervise/registered.h"
#include "supervise/serve.h"
#include "supervise/story.h"
#include "supervise/supervisor-internal.h"
#include "supervise/watch.h"
#include <fcntl.h>
#include <string.h>

#define HANDOVER_MAX_BYTES (256 * 1024)
#define FOREIGN_NAMES_MAX  8    /* told by `status`; the true count stands beside */
#define ALIVE_IDS_MAX      1500 /* of 39 bytes each in a packet of 64 KiB */

typedef struct Adoption {
        Supervisor *s;
        Run *outer;
} Adoption;

static int adopt_one(int parent_fd, const char *name, void *userdata);

/* What another supervisor has begun with it: to take it in, or to let it go. */
static void adopt_registered(Supervisor *s, Run *run) {
        size_t moved;

        if (run->pid == 0) /* taken in, but not noted: nobody was told */
                run->letting_go = true;
        if (!run->letting_go) {
                (void)registered_sweep(s, run, &moved);
        } else if (run->phase <= PHASE_RUNNING && run->n_inner == 0 && registered_release(s, run, &moved) >= 0) {
                run->verdict = VERDICT_LOST;
                run->verdict_detail = "unregistered";
                ending_begin(s, run, clock_boottime_usec());
        }
}

static bool remove_unfinished(int parent_fd, const char *name) {
        return run_group_name_is_ours(name) && unlinkat(parent_fd, name, AT_REMOVEDIR) == 0;
}

static void note_foreign(Supervisor *s, int parent_fd, const char *name) {
        if (remove_unfinished(parent_fd, name))
                return;
        s->n_foreign++;
        if (!s->foreign_names)
                s->foreign_names = json_array();
        if (json_array_size(s->foreign_names) < FOREIGN_NAMES_MAX)
                (void)json_array_append_new(s->foreign_names, json_from_text(name));
        log_line(LOG_LEVEL_WARNING, "\"%s\" in the tree is not a group of ours, ignoring it", name);
}

/*
 * A supervisor that died while it made room for a nested run left this one frozen, for as long as its time limit:
 * nobody else thaws it. Only then is there the leaf; what an admin has frozen otherwise stays so.
 */
static void thaw_half_moved(const Run *run) {
        if (faccessat(run->group.fd, SERVE_LEAF_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                (void)group_freeze(&run->group, false);
}

/* `set` was noted, and maybe answered, but its supervisor died before the kernel had the limit. */
static void finish_setting(Supervisor *s, Run *run) {
        bool aside;

        if (!run->setting || run->phase > PHASE_RUNNING || run->letting_go)
                return;
        if (lower_limits(s, run, &aside) < 0)
                log_run(LOG_LEVEL_WARNING, run->id.text, run->request.analysis_id,
                        "its changed limit can't be written");
        else if (!aside)
                lower_done(s, run);
}

static int adopt_one(int parent_fd, const char *name, void *userdata) {
        Adoption *a = userdata;
        Supervisor *s = a->s;
        Adoption inner = { .s = s };
        Run *run = NULL;
        int r;

        r = adopt_load(parent_fd, name, s->boot_id, &run);
        if (r == 0 && restart_find(s, run->id.text)) { /* a copy: attributes of a user's own groups are the user's */
                run_free(run);
                r = ADOPT_E_FOREIGN;
        }
        if (r == ADOPT_E_FOREIGN && !a->outer) /* below a run's group it is the run's own, as the leaf is */
                note_foreign(s, parent_fd, name);
        if (r != 0)
                return 0;
        run->outer = a->outer;
        if (run->outer) {
                run->outer->n_inner++;
                run->outer->has_leaf = true;
        }
        thaw_half_moved(run);
        (void)watch_look(run);
        (void)life_add(s, run);
        if (run->phase == PHASE_GRACE || run->phase == PHASE_KILLING)
                act_wait_for_empty(s, run);
        finish_setting(s, run);
        life_find_main(s, run);
        life_watch_launcher(s, run);
        if (left_take(s->left_fd, run))
                log_run(LOG_LEVEL_INFO, run->id.text, run->request.analysis_id,
                        "ended without a supervisor; its launcher has left the status");
        if (run->phase == PHASE_GRACE && run->kill.term_at == 0)
                (void)enforce_term(run, clock_realtime_usec(), clock_boottime_usec());
        story_tell(
                STORY_ADOPTION, LOG_LEVEL_INFO, run, "adopted%s", run->launcher_gone ? ", its launcher is gone" : "");
        inner.outer = run;
        r = tree_each_group(run->group.fd, adopt_one, &inner);
        if (run->registered)
                adopt_registered(s, run);
        return r;
}

static uint64_t number(const json_t *o, const char *key) {
        uint64_t value = 0;

        return json_get_u64(o, key, &value) == 0 ? value : 0;
}

static int integer(const json_t *o, const char *key) {
        int value = 0;

        (void)json_get_int(o, key, &value);
        return value;
}

/* The run a handover tells of: the adopted one, or (its group is gone) one made from the file alone. */
static Run *handover_run(Supervisor *s, const json_t *o) {
        _cleanup_(request_error_deinit) RequestError error = { 0 };
        _cleanup_(request_deinit) RunRequest request = { 0 };
        const char *id;
        Run *run;

        if (json_get_text(o, "run_id", &id) < 0 || !uuid_valid(id))
                return NULL;
        run = restart_find(s, id);
        if (run)
                return run;
        if (request_from_json(json_object_get(o, "request"), &request, &error) < 0 ||
                run_new(&request, number(o, "launched_at"), number(o, "launched_usec"), &run) < 0)
                return NULL;
        memcpy(run->id.text, id, UUID_TEXT_MAX);
        run->uid = geteuid();
        run->launcher_gone = true;
        run->main_exited = true;
        run->phase = PHASE_RUNNING;
        (void)life_add(s, run);
        return run;
}

static void handover_kill(Run *run, const json_t *o) {
        const char *id, *detail = NULL;

        if (json_get_text(o, "event_id", &id) < 0 || !uuid_valid(id))
                return;
        (void)json_get_text(o, "detail", &detail);
        free(run->kill.detail);
        process_list_deinit(&run->kill.processes);
        run->kill = (Kill){ .seq = 1,
                .reason = run->verdict,
                .detail = detail ? strdup(detail) : NULL,
                .decided_at = number(o, "killed_at"),
                .kill_at = number(o, "killed_at"),
                .charge = run_charge(&USAGE_NONE) };
        memcpy(run->kill.event_id.text, id, UUID_TEXT_MAX);
}

void restart_take_handover(Supervisor *s, const json_t *o) {
        Run *run = handover_run(s, o);
        const char *verdict, *boot;

        if (!run || json_get_text(o, "verdict", &verdict) < 0 || verdict_from_string(verdict) < 0)
                return;
        run->verdict = verdict_from_string(verdict);
        if (!run_has_kill(run))
                handover_kill(run, o);
        run->verdict_detail = run->kill.detail;
        run->pid = integer(o, "pid");
        run->launcher_pid = integer(o, "launcher_pid");
        run->wait_status = integer(o, "wait_status");
        run->exec_errno = integer(o, "exec_errno");
        run->status_known = run->main_exited = run->launcher_gone = true;
        run->ended_at = number(o, "ended_at");
        run->ended_usec = number(o, "ended_usec");
        run->kill.empty_at = run_has_kill(run) ? run->ended_at : 0;
        if (!run_is_grouped(run)) {
                run->usage.memory_peak_bytes = number(o, "memory_peak_bytes");
                run->usage.oom = number(o, "own_oom");
        }
        run->phase = PHASE_ENDING;
        if (json_get_text(o, "boot_id", &boot) == 0 && strcmp(boot, s->boot_id) != 0)
                log_run(LOG_LEVEL_INFO, run->id.text, run->request.analysis_id, "its end comes from an earlier boot");
        story_tell(STORY_VERDICT, LOG_LEVEL_NOTICE, run, "ended without a supervisor: %s", verdict);
}

static void handover_read(Supervisor *s, int directory, const char *name) {
        _cleanup_(freep) char *text = NULL;
        _cleanup_(json_decrefp) json_t *o = NULL;

        if (file_read_at(directory, name, HANDOVER_MAX_BYTES, &text, NULL) < 0)
                return;
        (void)json_parse(text, strlen(text), &o);
        if (json_is_object(o))
                restart_take_handover(s, o);
}

/* Applies each file; they are removed by restart_forget_handover() once the run's row is committed. */
static void adopt_handovers(Supervisor *s) {
        _cleanup_(freep) char *path = text_printf("%s/left", s->options.state_directory);
        _cleanup_(closedirp) DIR *directory = path ? opendir(path) : NULL;
        struct dirent *entry;

        while (directory && (entry = readdir(directory))) {
                const char *dot = strrchr(entry->d_name, '.');

                if (dot && strcmp(dot, ".json") == 0)
                        handover_read(s, dirfd(directory), entry->d_name);
        }
}

void restart_forget_handover(Supervisor *s, const char *run_id) {
        _cleanup_(freep) char *path = text_printf("%s/left/%s.json", s->options.state_directory, run_id);

        left_forget(s->left_fd, run_id);
        if (path && s->has_handovers)
                (void)unlink(path);
}

static void send_row(const char *run_id, json_t *row, void *userdata) {
        const Supervisor *s = userdata;

        (void)recorder_send(s->recorder, "run", "run", json_incref(row), run_id);
}

static void tell_alive(Supervisor *s) {
        _cleanup_(json_decrefp) json_t *ids = json_array(), *body = NULL;
        size_t n = 0;
        Run *run;

        /* Those that are not named are closed as lost for the second until their own rows come. */
        for (run = LIST_FIRST(&s->runs); run && n < ALIVE_IDS_MAX; run = LIST_NEXT(run, link), n++)
                (void)json_array_append_new(ids, json_string(run->id.text));
        body = json_pack("{s:O, s:s}", "run_ids", ids, "boot_id", s->boot_id);
        (void)recorder_send(s->recorder, "alive", NULL, TAKE_PTR(body), "");
}

static int newest_first(const void *a, const void *b) {
        return strcmp((*(Run *const *)b)->id.text, (*(Run *const *)a)->id.text);
}

/* Newest first, as life_add() leaves them when they are launched here. Without memory for it as the tree has them. */
static void sort_runs(Supervisor *s) {
        _cleanup_(freep) Run **runs = calloc(s->n_runs + 1, sizeof(Run *));
        size_t n = 0;
        Run *run;

        if (!runs)
                return;
        LIST_FOREACH(run, &s->runs, link)
        runs[n++] = run;
        qsort(runs, n, sizeof(Run *), newest_first);
        LIST_INIT(&s->runs);
        for (; n > 0; n--)
                LIST_INSERT_HEAD(&s->runs, runs[n - 1], link);
}

int restart_adopt(Supervisor *s) {
        Adoption top = { .s = s };
        Run *run, *next;
        int r = 0;

        if (s->tree.kind != TREE_NONE)
                r = tree_each_group(s->tree.fd, adopt_one, &top);
        if (!s->config->system) /* there the directory is the recorder's, and launchers write to left_open()'s */
                adopt_handovers(s);
        s->has_handovers = s->n_runs > 0;
        sort_runs(s);
        rows_each(&s->rows, send_row, s); /* of runs whose groups are gone, or that will be sent once more */
        tell_alive(s);
        for (run = LIST_FIRST(&s->runs); run; run = next) {
                next = LIST_NEXT(run, link);
                life_soon(s, run);
        }
        return r;
}
