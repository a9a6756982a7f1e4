/*
 * The state of one run: made, freed, and seen as decide() wants it.
 *
 * Called by the supervisor's files only.
 */
#include "supervise/run.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <string.h>

#define SHORT_ID_LENGTH 8

void process_list_deinit(ProcessList *list) {
        json_decref(list->list);
        *list = (ProcessList){ 0 };
}

int run_new(RunRequest *request, uint64_t now_realtime, uint64_t now_boottime, Run **ret) {
        Run *run = calloc(1, sizeof(*run));

        if (!run)
                return -ENOMEM;
        *run = (Run){
                .id = uuid_new(now_realtime),
                .request = *request,
                .group = GROUP_NONE,
                .launched_at = now_realtime,
                .launched_usec = now_boottime,
                .deadline_usec = usec_add(now_boottime, request->timeout_usec),
                .launcher_pidfd = -EBADF,
                .pidfd = -EBADF,
                .usage = USAGE_NONE,
                .watch = { .next_look_usec = USEC_INFINITY, .stall_next_usec = USEC_INFINITY },
                .events_memory = -1,
                .events_populated = -1,
                .launch_usec = USEC_INFINITY,
                .next_retry_usec = USEC_INFINITY,
                .reply_by_usec = USEC_INFINITY,
        };
        *request = (RunRequest){ 0 };
        timeline_init(&run->timeline, now_boottime);
        *ret = run;
        return 0;
}

void run_free(Run *run) {
        sd_event_source_disable_unref(run->timer);
        sd_event_source_disable_unref(run->main_source);
        sd_event_source_disable_unref(run->launcher_source);
        free(run->watch.stall_totals);
        (void)close_fd(run->pidfd);
        (void)close_fd(run->launcher_pidfd);
        process_list_deinit(&run->kill.processes);
        process_list_deinit(&run->processes);
        process_list_deinit(&run->found_dead);
        free(run->kill.detail);
        free(run->end_detail);
        free(run->cancel_detail);
        free(run->outer_detail);
        free(run->origin);
        timeline_deinit(&run->timeline);
        group_deinit(&run->group);
        request_deinit(&run->request);
        free(run);
}

static bool fits_in_name(char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

char *run_group_name(const Run *run) {
        char *name = NULL;

        if (asprintf(&name, "%.*s-%s", RUN_GROUP_ANALYSIS_MAX,
                    run->request.analysis_id ? run->request.analysis_id : "run", uuid_short(&run->id)) < 0)
                return NULL;
        for (char *c = name; *c; c++)
                if (!fits_in_name(*c))
                        *c = '_';
        return name;
}

bool run_group_name_is_ours(const char *name) {
        size_t length = strlen(name);
        const char *id;

        if (uuid_valid(name))
                return true;
        if (length <= SHORT_ID_LENGTH + 1 || length > RUN_GROUP_ANALYSIS_MAX + 1 + SHORT_ID_LENGTH)
                return false;
        id = name + length - SHORT_ID_LENGTH;
        for (const char *c = name; *c; c++)
                if (!fits_in_name(*c))
                        return false;
        return id[-1] == '-' && strspn(id, "0123456789abcdef") == SHORT_ID_LENGTH;
}

Charge run_charge(const Usage *usage) {
        return (Charge){ .memory_bytes = usage->memory_bytes,
                .anon_bytes = usage->anon_bytes,
                .file_bytes = usage->file_bytes,
                .shmem_bytes = usage->shmem_bytes };
}

/* What is unknown counts as none. Groups are fresh, so a counter's value is the run's own. */
static uint64_t counted(uint64_t value) {
        return value == USAGE_UNKNOWN ? 0 : value;
}

Situation run_situation(const Run *run, uint64_t now_usec) {
        return (Situation){
                .phase = run->phase,
                .now_usec = now_usec,
                .deadline_usec = run->deadline_usec,
                .grace_end_usec = run->kill.grace_end_usec,
                .cpu_used_usec = counted(run->usage.cpu_usec),
                .cpu_limit_usec = run->request.cpu_time_usec,
                .own_oom = counted(run->usage.oom),
                .local_oom_kill = counted(run->usage.oom_kill_local),
                .private_bytes = run->enforcement == ENFORCEMENT_SAMPLED ? run->watch.private_bytes : 0,
                .memory_limit_bytes = run->request.memory_bytes,
                .stall_usec = run->watch.stall_usec,
                .stall_window_usec = run->watch.stall_window_usec,
                .memory_bytes = counted(run->usage.memory_bytes),
                .main_exited = run->main_exited,
                .launcher_gone = run->launcher_gone,
                .backstop = run->backstop,
                .cancel_asked = run->cancel_asked,
                .cancel_detail = run->cancel_detail,
                .outer_reason = run->outer_reason,
                .outer_detail = run->outer_detail,
        };
}

Ending run_ending(const Run *run) {
        return (Ending){
                .reason = run_has_kill(run) ? run->kill.reason : VERDICT_NONE,
                .status_known = run->status_known,
                .wait_status = run->wait_status,
                .exec_errno = run->exec_errno,
                .forwarded = run->forwarded,
                .own_oom = counted(run->usage.oom),
                .local_oom_kill = counted(run->usage.oom_kill_local),
                .max_events = counted(run->usage.max_events),
                .registered = run->registered,
                .launcher_gone = run->launcher_gone,
        };
}
