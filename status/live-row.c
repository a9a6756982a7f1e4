/*
 * What rows and samples say, as numbers.
 *
 * Called by live.c.  The rows come from our own supervisor or record, but a record can be of another version and a
 * supervisor of a newer one: a member that is missing, or is not what it should be, is unknown and nothing else.
 */
#include "status/live-internal.h"

#include "base/clock.h"
#include <string.h>

#define SPARK_GAP_USEC \
        (60 * USEC_PER_SEC) /* after so long without a look the points would stand side by side wrongly */

static const char *const states[LIVE_STATE_MAX_] = {
        [LIVE_STARTING] = "starting",
        [LIVE_RUNNING] = "running",
        [LIVE_GRACE] = "grace",
        [LIVE_KILLING] = "killing",
        [LIVE_ENDING] = "ending",
};

#define N LIVE_NONE
const LiveFigures LIVE_FIGURES_NONE = { N, N, N, N, N, N, N, N, N, -1, 0 };
#undef N

const char *live_state_to_string(LiveState state) {
        return state >= 0 && state < LIVE_STATE_MAX_ ? states[state] : NULL;
}

LiveState live_state_from_string(const char *text) {
        for (LiveState state = 0; text && state < LIVE_STATE_MAX_; state++)
                if (strcmp(states[state], text) == 0)
                        return state;
        return LIVE_STATE_INVALID_;
}

static const char *text_of(const json_t *row, const char *key) {
        return json_string_value(json_object_get(row, key));
}

static uint64_t number_of(const json_t *value) {
        return json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t)json_integer_value(value)
                                                                        : LIVE_NONE;
}

static uint64_t bytes_of(const json_t *row, const char *key) {
        return number_of(json_object_get(row, key));
}

static uint64_t usec_of_number(const json_t *value) {
        double sec = json_is_number(value) ? json_number_value(value) : -1;

        return sec >= 0 && sec < 1e12 ? (uint64_t)(sec * (double)USEC_PER_SEC + 0.5) : LIVE_NONE;
}

static uint64_t usec_of(const json_t *row, const char *key) {
        return usec_of_number(json_object_get(row, key));
}

static uint64_t time_of(const json_t *row, const char *key, uint64_t otherwise) {
        const char *text = text_of(row, key);
        uint64_t usec;

        return text && clock_parse_rfc3339(text, &usec) == 0 ? usec : otherwise;
}

static int keep(char **at, const char *text) {
        char *copy = NULL;

        if (*at && text && strcmp(*at, text) == 0)
                return 0;
        if (text) {
                copy = strdup(text);
                if (!copy)
                        return -ENOMEM;
        }
        free(*at);
        *at = copy;
        return 0;
}

void live_run_free(LiveRun *run) {
        free(run->run_id);
        free(run->analysis_id);
        free(run->group);
        free(run);
}

static void read_limits(LiveRun *run, const json_t *row) {
        uint64_t uid = bytes_of(row, "uid"), events = bytes_of(row, "events");
        const char *enforcement = text_of(row, "enforcement");

        run->uid = (uid_t)uid; /* LIVE_NONE: nobody's */
        run->launched_usec = time_of(row, "launched_at", 0);
        run->deadline_usec = time_of(row, "deadline_at", LIVE_NONE);
        run->timeout_usec = usec_of(row, "timeout_sec");
        run->grace_usec = usec_of(row, "grace_sec");
        run->memory_limit_bytes = bytes_of(row, "memory_limit_bytes");
        run->pids_limit = bytes_of(row, "pids_limit");
        run->n_events = events == LIVE_NONE ? 0 : (unsigned)events;
        run->is_sampled = enforcement && strcmp(enforcement, "sampled") == 0;
        run->is_registered = json_is_true(json_object_get(row, "registered"));
        run->is_nested = text_of(row, "outer_run_id") != NULL;
}

/* Where the kernel counts no peak it is the highest that was seen. */
static void raise_peak(LiveFigures *figures) {
        if (figures->memory_bytes != LIVE_NONE &&
                (figures->memory_peak_bytes == LIVE_NONE || figures->memory_peak_bytes < figures->memory_bytes))
                figures->memory_peak_bytes = figures->memory_bytes;
}

int live_run_read(LiveRun *run, const json_t *row, uint64_t at_usec) {
        const char *run_id = text_of(row, "run_id");
        LiveState state = live_state_from_string(text_of(row, "state"));
        LiveFigures figures = { .memory_bytes = bytes_of(row, "memory_bytes"),
                .memory_peak_bytes = bytes_of(row, "memory_peak_bytes"),
                .swap_bytes = bytes_of(row, "swap_bytes"),
                .anon_bytes = bytes_of(row, "anon_bytes"),
                .file_bytes = bytes_of(row, "file_bytes"),
                .shmem_bytes = bytes_of(row, "shmem_bytes"),
                .pids = bytes_of(row, "pids"),
                .cpu_usec = usec_of(row, "cpu_sec"),
                .psi_memory_full_usec = usec_of(row, "psi_memory_full_sec"),
                .cpus = -1,
                .sampled_usec = at_usec };

        if (!run_id || !*run_id || state < 0)
                return -EINVAL;
        if (keep(&run->run_id, run_id) < 0 || keep(&run->analysis_id, text_of(row, "analysis_id")) < 0 ||
                keep(&run->group, text_of(row, "group")) < 0)
                return -ENOMEM;
        run->state = state;
        read_limits(run, row);
        raise_peak(&figures);
        if (run->now.sampled_usec == 0)
                run->now = figures;
        return 0;
}

/* After a gap the points would not be evenly spaced any more. */
static void add_spark(LiveRun *run, const LiveFigures *figures, uint64_t before_usec) {
        if (usec_sub(figures->sampled_usec, before_usec) > SPARK_GAP_USEC)
                run->n_spark = 0;
        if (figures->memory_bytes == LIVE_NONE || run->memory_limit_bytes == LIVE_NONE || run->memory_limit_bytes == 0)
                return;
        if (run->n_spark == LIVE_SPARK_MAX) {
                memmove(run->spark, run->spark + 1, (LIVE_SPARK_MAX - 1) * sizeof(run->spark[0]));
                run->n_spark--;
        }
        run->spark[run->n_spark++] = (float)((double)figures->memory_bytes / (double)run->memory_limit_bytes);
}

static void take_number(uint64_t *at, uint64_t value) {
        if (value != LIVE_NONE)
                *at = value;
}

void live_run_measure(LiveRun *run, const LiveFigures *figures) {
        LiveFigures *now = &run->now;
        uint64_t passed = usec_sub(figures->sampled_usec, now->sampled_usec);

        if (figures->cpu_usec != LIVE_NONE && now->cpu_usec != LIVE_NONE && now->sampled_usec != 0 && passed > 0)
                now->cpus = (double)usec_sub(figures->cpu_usec, now->cpu_usec) / (double)passed;
        add_spark(run, figures, now->sampled_usec);
        take_number(&now->memory_bytes, figures->memory_bytes);
        take_number(&now->swap_bytes, figures->swap_bytes);
        take_number(&now->anon_bytes, figures->anon_bytes);
        take_number(&now->file_bytes, figures->file_bytes);
        take_number(&now->shmem_bytes, figures->shmem_bytes);
        take_number(&now->pids, figures->pids);
        take_number(&now->cpu_usec, figures->cpu_usec);
        take_number(&now->psi_memory_full_usec, figures->psi_memory_full_usec);
        take_number(&now->memory_peak_bytes, figures->memory_peak_bytes);
        raise_peak(now);
        now->sampled_usec = figures->sampled_usec;
}

const char *live_sample_read(const json_t *sample, uint64_t at_usec, LiveFigures *ret) {
        *ret = LIVE_FIGURES_NONE;
        ret->memory_bytes = number_of(json_array_get(sample, 1));
        ret->anon_bytes = number_of(json_array_get(sample, 2));
        ret->file_bytes = number_of(json_array_get(sample, 3));
        ret->shmem_bytes = number_of(json_array_get(sample, 4));
        ret->pids = number_of(json_array_get(sample, 5));
        ret->cpu_usec = usec_of_number(json_array_get(sample, 6));
        ret->sampled_usec = at_usec;
        return json_string_value(json_array_get(sample, 0));
}

static uint64_t count_of(const json_t *facts, const char *key) {
        uint64_t n = bytes_of(facts, key);

        return n == LIVE_NONE ? 0 : n;
}

void live_supervisor_read(LiveSupervisor *supervisor, const json_t *facts) {
        *supervisor = (LiveSupervisor){ .is_connected = true,
                .version = text_of(facts, "version"),
                .mode = text_of(facts, "mode"),
                .enforcement = text_of(facts, "enforcement"),
                .pid = (pid_t)count_of(facts, "pid"),
                .started_usec = time_of(facts, "started_at", 0),
                .starts = count_of(facts, "starts"),
                .recorder_starts = count_of(facts, "recorder_starts"),
                .facts = facts };
}

static double share_of(uint64_t value, uint64_t limit) {
        return value == LIVE_NONE || limit == LIVE_NONE || limit == 0 ? 0 : (double)value / (double)limit;
}

double live_share(const LiveRun *run, uint64_t realtime_usec) {
        const LiveFigures *now = &run->now;
        bool is_split = now->anon_bytes != LIVE_NONE && now->shmem_bytes != LIVE_NONE;
        uint64_t held = is_split ? now->anon_bytes + now->shmem_bytes : now->memory_bytes;
        double memory = share_of(held, run->memory_limit_bytes);
        double time =
                run->launched_usec == 0 ? 0 : share_of(usec_sub(realtime_usec, run->launched_usec), run->timeout_usec);

        return MAX_OF(memory, time);
}
