/*
 * Public rows.
 *
 * Called for every row that is shown over HTTP.  The hard thing is that the same run comes from two places, the live
 * mirror and the record, and must have the same members from both: a page does not want to know where it came from.
 */
#include "status/public.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include <string.h>

/* Taken from the row of the record as they are. */
static const char *const run_members[] = { "run_id", "state", "verdict", "launched_at", "deadline_at", "ended_at",
        "timeout_sec", "grace_sec", "memory_bytes", "memory_peak_bytes", "memory_limit_bytes", "anon_bytes",
        "file_bytes", "shmem_bytes", "swap_bytes", "cpu_sec", "pids", "pids_limit", "psi_memory_full_sec",
        "enforcement", "exit_status", "exit_signal", "events" };

static const char *const event_members[] = { "event_id", "seq", "reason", "run_id", "launched_at", "decided_at",
        "term_at", "kill_at", "empty_at", "duration_sec", "exit_status", "exit_signal", "processes_killed",
        "memory_bytes", "memory_peak_bytes", "memory_limit_bytes", "anon_bytes", "file_bytes", "shmem_bytes",
        "swap_bytes", "timeout_sec", "grace_sec", "cpu_sec", "enforcement" };

/* What the words rest on beyond these: figures, and the supervisor's own words. */
static const char *const told_members[] = {
        "cpu_limit_sec",
        "thrash_sec",
        "private_peak_bytes",
        "oom_events",
        "oom_kill_events",
        "max_events",
        "pids_peak",
        "pids_max_events",
        "cpu_user_sec",
        "cpu_system_sec",
        "cpu_throttled_sec",
        "psi_memory_some_sec",
        "psi_memory_full_sec",
        "overshoot_bytes",
        "containment",
        "not_enforced",
        "signals",
        "timeline",
        "registered",
        "duration_sec",
};

/* Details that name nobody; of the others ("scidexctl kill by uid 1000") everybody knows the verdict alone. */
static const char *const told_details[] = {
        "thrashing",
        "backstop",
        "shutdown",
        "unregistered",
        "sampled",
        "by a second signal through scidex-run",
        "registered: only its parent knows the exit status",
};

json_t *public_time(uint64_t realtime_usec) {
        char buffer[CLOCK_RFC3339_MAX];

        return realtime_usec == 0 || realtime_usec == LIVE_NONE
                ? json_null()
                : json_string_nocheck(clock_format_rfc3339(buffer, realtime_usec));
}

json_t *public_seconds(uint64_t usec) {
        return usec == LIVE_NONE ? json_null() : json_real((double)usec / (double)USEC_PER_SEC);
}

static int set(json_t *object, const char *key, json_t *value) {
        return json_object_set_new_nocheck(object, key, value ? value : json_null());
}

static int set_short_id(json_t *object, const char *run_id) {
        size_t length = run_id ? strlen(run_id) : 0;

        return set(object, "short_id", length >= 8 ? json_string(run_id + length - 8) : NULL);
}

static json_t *seconds_since(uint64_t from_usec, uint64_t now_usec) {
        return from_usec == 0 || from_usec == LIVE_NONE ? json_null() : public_seconds(usec_sub(now_usec, from_usec));
}

/* To a thousandth: more is noise, and every digit is sent to every page. */
static double rounded(double value) {
        return (double)(int64_t)(value * 1000 + 0.5) / 1000;
}

static json_t *spark_of(const LiveRun *run) {
        _cleanup_(json_decrefp) json_t *list = json_array();

        for (size_t i = 0; i < run->n_spark; i++)
                if (json_array_append_new(list, json_real(rounded((double)run->spark[i]))) < 0)
                        return NULL;
        return TAKE_PTR(list);
}

static int live_times(json_t *o, const LiveRun *run, uint64_t now_usec) {
        return set(o, "launched_at", public_time(run->launched_usec)) ||
                set(o, "deadline_at", public_time(run->deadline_usec)) || set(o, "ended_at", NULL) ||
                set(o, "age_sec", seconds_since(run->launched_usec, now_usec)) ||
                set(o, "timeout_sec", public_seconds(run->timeout_usec)) ||
                set(o, "grace_sec", public_seconds(run->grace_usec));
}

static int live_figures(json_t *o, const LiveRun *run) {
        const LiveFigures *now = &run->now;

        return set(o, "memory_bytes", json_from_u64(now->memory_bytes)) ||
                set(o, "memory_peak_bytes", json_from_u64(now->memory_peak_bytes)) ||
                set(o, "memory_limit_bytes", json_from_u64(run->memory_limit_bytes)) ||
                set(o, "anon_bytes", json_from_u64(now->anon_bytes)) ||
                set(o, "file_bytes", json_from_u64(now->file_bytes)) ||
                set(o, "shmem_bytes", json_from_u64(now->shmem_bytes)) ||
                set(o, "swap_bytes", json_from_u64(now->swap_bytes)) ||
                set(o, "cpu_sec", public_seconds(now->cpu_usec)) ||
                set(o, "cpus", now->cpus < 0 ? json_null() : json_real(rounded(now->cpus))) ||
                set(o, "pids", json_from_u64(now->pids)) || set(o, "pids_limit", json_from_u64(run->pids_limit)) ||
                set(o, "share", json_real(rounded(run->share))) ||
                set(o, "psi_memory_full_sec", public_seconds(now->psi_memory_full_usec));
}

json_t *public_live(const LiveRun *run, uint64_t realtime_usec, bool hides_ids, bool has_spark) {
        _cleanup_(json_decrefp) json_t *o = json_object();

        if (!o || set(o, "run_id", json_from_text(run->run_id)) || set_short_id(o, run->run_id) ||
                set(o, "analysis_id", hides_ids ? NULL : json_from_text(run->analysis_id)) ||
                set(o, "state", json_string(live_state_to_string(run->state))) || set(o, "verdict", NULL) ||
                set(o, "reason", NULL) || live_times(o, run, realtime_usec) || live_figures(o, run) ||
                set(o, "enforcement", json_string(run->is_sampled ? "sampled" : "kernel")) ||
                set(o, "registered", json_boolean(run->is_registered)) || set(o, "exit_status", NULL) ||
                set(o, "exit_signal", NULL) || set(o, "events", json_integer(run->n_events)) ||
                (has_spark && set(o, "spark", spark_of(run))))
                return NULL;
        return TAKE_PTR(o);
}

static int take(json_t *o, const json_t *row, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++) {
                json_t *value = json_object_get(row, names[i]);

                if (set(o, names[i], value ? json_incref(value) : NULL) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int set_ids(json_t *o, const json_t *row, bool hides_ids) {
        json_t *analysis_id = json_object_get(row, "analysis_id");

        return set_short_id(o, json_string_value(json_object_get(row, "run_id"))) ||
                set(o, "analysis_id", hides_ids || !analysis_id ? NULL : json_incref(analysis_id));
}

/* Why it was killed: its verdict, if that is one which something was killed for. */
static json_t *reason_of(const json_t *row) {
        const char *verdict = json_string_value(json_object_get(row, "verdict"));

        if (!verdict || json_integer_value(json_object_get(row, "events")) == 0 || strcmp(verdict, "completed") == 0 ||
                strcmp(verdict, "failed") == 0 || strcmp(verdict, "crashed") == 0 || strcmp(verdict, "lost") == 0)
                return json_null();
        return json_string(verdict);
}

json_t *public_run(const json_t *row, bool hides_ids) {
        _cleanup_(json_decrefp) json_t *o = json_object();
        json_t *age = json_object_get(row, "duration_sec");

        if (!o || take(o, row, run_members, ELEMENTSOF(run_members)) || set_ids(o, row, hides_ids) ||
                set(o, "reason", reason_of(row)) || set(o, "age_sec", age ? json_incref(age) : NULL) ||
                set(o, "cpus", NULL) || set(o, "share", NULL) ||
                set(o, "registered", json_boolean(json_is_true(json_object_get(row, "registered")))) ||
                set(o, "spark", json_array()))
                return NULL;
        return TAKE_PTR(o);
}

json_t *public_event(const json_t *row, bool hides_ids) {
        _cleanup_(json_decrefp) json_t *o = json_object();

        if (!o || take(o, row, event_members, ELEMENTSOF(event_members)) || set_ids(o, row, hides_ids))
                return NULL;
        return TAKE_PTR(o);
}

static int take_known(json_t *o, const json_t *row, const char *const *names, size_t n) {
        for (size_t i = 0; i < n; i++) {
                json_t *value = json_object_get(row, names[i]);

                if (value && json_object_set(o, names[i], value) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Numbers and yes or no: in texts could stand anything. */
static json_t *figures_of(const json_t *evidence) {
        _cleanup_(json_decrefp) json_t *o = json_object();
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)evidence, key, value) {
                if ((json_is_number(value) || json_is_boolean(value)) && json_object_set(o, key, value) < 0)
                        return NULL;
        }
        return TAKE_PTR(o);
}

static int set_detail(json_t *o, const json_t *row) {
        const char *detail = json_string_value(json_object_get(row, "detail"));

        for (size_t i = 0; detail && i < ELEMENTSOF(told_details); i++)
                if (strcmp(detail, told_details[i]) == 0)
                        return set(o, "detail", json_string(detail));
        return 0;
}

json_t *public_told(const json_t *row, bool hides_ids) {
        _cleanup_(json_decrefp) json_t *o = json_object();

        if (!o || take_known(o, row, run_members, ELEMENTSOF(run_members)) ||
                take_known(o, row, event_members, ELEMENTSOF(event_members)) ||
                take_known(o, row, told_members, ELEMENTSOF(told_members)) || set_ids(o, row, hides_ids) ||
                set(o, "evidence", figures_of(json_object_get(row, "evidence"))) || set_detail(o, row))
                return NULL;
        return TAKE_PTR(o);
}

int public_complete(json_t *object, const json_t *row) {
        const char *key;
        json_t *value;

        json_object_foreach((json_t *)row, key, value) {
                if (!json_object_get(object, key) && json_object_set(object, key, value) < 0)
                        return -ENOMEM;
        }
        return 0;
}
