/*
 * Figures of what runs, for those who look.
 *
 * Made by the recorder's face, driven by a timer of its own.  The hard thing is a thousand groups on a tenth of a
 * processor that also stores kills: so a pass goes in slices of half a millisecond, each paid for by waiting
 * (base/pace), and its place is the last id that was read, because runs come and go between two slices.
 */
#include "status/sampler.h"

#include "base/clock.h"
#include "base/pace.h"
#include "cgroup/usage.h"
#include <fcntl.h>
#include <string.h>

#define SLICE_USEC    500
#define ACCURACY_USEC USEC_PER_MSEC
#define PRIORITY      (SD_EVENT_PRIORITY_NORMAL + 20) /* storing, shipping and answering come before */
#define ID_MAX        64                              /* bytes of a run id; a longer one is none of ours */

struct Sampler {
        Live *live;             /* borrowed */
        sd_event_source *timer; /* owned */
        Pace pace;
        char last_id[ID_MAX];      /* of the run that was read last in this pass, "": it begins */
        uint64_t begun_usec;       /* BOOTTIME of this pass */
        uint64_t asked_usec;       /* BOOTTIME of the last question to the supervisor, 0: none yet */
        size_t turn, n_turns, i;   /* of the runs that are not shown, every n_turns-th is read in full */
        bool supervisor_is_needed; /* some run is not ours to read */
};

static void to_figures(const Usage *usage, LiveFigures *ret) {
        *ret = (LiveFigures){ .memory_bytes = usage->memory_bytes,
                .memory_peak_bytes = usage->memory_peak_bytes,
                .swap_bytes = usage->swap_bytes,
                .anon_bytes = usage->anon_bytes,
                .file_bytes = usage->file_bytes,
                .shmem_bytes = usage->shmem_bytes,
                .pids = usage->pids,
                .cpu_usec = usage->cpu_usec,
                .psi_memory_full_usec = usage->psi_memory_full_usec,
                .cpus = -1,
                .sampled_usec = clock_boottime_usec() };
}

/* A group that is gone, or was never there, leaves the figures as they are: its run's row is on its way. */
static void read_run(Sampler *sampler, LiveRun *run, bool in_full) {
        _cleanup_(close_fdp) int fd = open(run->group, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        Usage usage = USAGE_NONE;
        LiveFigures figures;
        int r;

        if (fd < 0)
                return;
        r = in_full ? usage_read_figures(fd, &usage) : usage_read_sample(fd, &usage);
        if (r != 0)
                return;
        if (usage.memory_bytes == USAGE_UNKNOWN) { /* no memory controller here */
                sampler->supervisor_is_needed = true;
                return;
        }
        to_figures(&usage, &figures);
        live_sampled(sampler->live, run, &figures);
}

static void read_next(Sampler *sampler, LiveRun *run) {
        bool in_full = run->is_shown || sampler->i % sampler->n_turns == sampler->turn;

        sampler->i++;
        if (!run->group || run->is_sampled)
                sampler->supervisor_is_needed = true;
        else
                read_run(sampler, run, in_full);
}

static void forget_shown(LiveRun *run, void *userdata) {
        run->is_shown = false;
}

static void begin_pass(Sampler *sampler) {
        LiveRun *top[SAMPLER_SHOWN_MAX];
        size_t n = live_top(sampler->live, top, SAMPLER_SHOWN_MAX);

        live_each(sampler->live, forget_shown, NULL);
        for (size_t i = 0; i < n; i++)
                top[i]->is_shown = true;
        sampler->begun_usec = clock_boottime_usec();
        sampler->n_turns = live_count(sampler->live) / SAMPLER_SHOWN_MAX + 1;
        sampler->turn = (sampler->turn + 1) % sampler->n_turns;
        sampler->i = 0;
        sampler->supervisor_is_needed = false;
}

/* Good for a while: asked again when half of that is over. */
static void ask_supervisor(Sampler *sampler) {
        uint64_t now_usec = clock_boottime_usec();

        if (!sampler->supervisor_is_needed ||
                (sampler->asked_usec != 0 && now_usec < usec_add(sampler->asked_usec, LIVE_TOLD_USEC / 2)))
                return;
        sampler->asked_usec = now_usec;
        live_ask_samples(sampler->live);
}

/* Reads until the slice is used up. True: the pass is over. */
static bool read_slice(Sampler *sampler) {
        uint64_t begun_usec = clock_process_cpu_usec();
        LiveRun *run;

        if (!*sampler->last_id)
                begin_pass(sampler);
        while ((run = live_next(sampler->live, sampler->last_id))) {
                (void)snprintf(sampler->last_id, sizeof(sampler->last_id), "%s", run->run_id);
                read_next(sampler, run);
                if (usec_sub(clock_process_cpu_usec(), begun_usec) >= SLICE_USEC)
                        return false;
        }
        return true;
}

static void end_pass(Sampler *sampler) {
        *sampler->last_id = '\0';
        ask_supervisor(sampler);
}

static void arm(Sampler *sampler, uint64_t at_usec) {
        (void)sd_event_source_set_time(sampler->timer, at_usec);
        (void)sd_event_source_set_enabled(sampler->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Sampler *sampler = userdata;
        uint64_t next_usec;
        bool over;

        if (!*sampler->last_id && !live_is_watched(sampler->live))
                return 0; /* until somebody looks again */
        pace_begin(&sampler->pace);
        over = read_slice(sampler);
        if (over)
                end_pass(sampler);
        pace_end(&sampler->pace, clock_boottime_usec());
        next_usec = pace_wait(&sampler->pace, clock_boottime_usec());
        if (over)
                next_usec = MAX_OF(next_usec, usec_add(sampler->begun_usec, SAMPLER_PERIOD_USEC));
        arm(sampler, next_usec);
        return 0;
}

static void on_watch(void *userdata) {
        Sampler *sampler = userdata;

        if (sd_event_source_get_enabled(sampler->timer, NULL) <= 0)
                arm(sampler, MAX_OF(pace_wait(&sampler->pace, clock_boottime_usec()), UINT64_C(1)));
}

int sampler_new(sd_event *event, Live *live, Sampler **ret) {
        _cleanup_(sampler_freep) Sampler *sampler = calloc(1, sizeof(*sampler));
        int r;

        if (!sampler)
                return -ENOMEM;
        *sampler = (Sampler){ .live = live, .n_turns = 1 };
        pace_init(&sampler->pace, SAMPLER_QUOTA_PERCENT, SAMPLER_CPU_PERCENT);
        r = sd_event_add_time(event, &sampler->timer, CLOCK_BOOTTIME, 0, ACCURACY_USEC, on_timer, sampler);
        if (r >= 0)
                r = sd_event_source_set_priority(sampler->timer, PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_enabled(sampler->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = live_on_watch(live, on_watch, sampler);
        if (r < 0)
                return r;
        if (live_is_watched(live))
                on_watch(sampler);
        *ret = TAKE_PTR(sampler);
        return 0;
}

void sampler_free(Sampler *sampler) {
        (void)live_on_watch(sampler->live, NULL, sampler);
        sd_event_source_disable_unref(sampler->timer);
        free(sampler);
}
