/*
 * What the recorder's live mirror is told beside the rows: who we are, which run is being ended, and the figures that
 * only we can measure.
 *
 * Called by the wiring, after each kill step, and by a timer of its own while somebody watches.  The hard thing is that
 * it must never matter: nothing of it is kept, and what does not fit into the link at once is left out
 * (recorder_tell()).
 */
#include "base/clock.h"
#include "base/file.h"
#include "control/priority.h"
#include "supervise/life.h"
#include "supervise/serve.h"
#include "supervise/watch.h"
#include <string.h>

#define XATTR_STARTS     "user.scidex.starts"
#define STARTS_MAX_BYTES 32
#define ROWS_PER_PACKET  64 /* some 6 KiB: the link takes a few of these beside the rows of kills */
#define PERIOD_USEC      (2 * USEC_PER_SEC)
#define WATCHED_USEC     (30 * USEC_PER_SEC) /* after a question; the mirror asks again before */
#define ACCURACY_USEC    (100 * USEC_PER_MSEC)
#define SHARE            50 /* the figures take at most this part of one CPU's time */
#define SLICE_RUNS       8  /* then whoever else is due has its turn */

uint64_t tidings_count_start(int tree_fd) {
        _cleanup_(freep) char *text = NULL, *next = NULL;
        uint64_t starts = 0;

        if (tree_fd >= 0 && xattr_read(tree_fd, XATTR_STARTS, &text) == 0)
                starts = strtoull(text, NULL, 10);
        starts++;
        next = text_printf("%llu", (unsigned long long)starts);
        if (tree_fd >= 0 && next)
                (void)xattr_write(tree_fd, XATTR_STARTS, next);
        return starts;
}

static json_t *facts_object(const Supervisor *s) {
        char at[CLOCK_RFC3339_MAX];

        return json_pack("{s:s, s:i, s:s, s:s, s:I, s:I, s:s, s:o, s:o}", "version", SCIDEX_VERSION, "pid",
                (int)getpid(), "mode", s->options.private_mode ? "private" : "system", "started_at",
                clock_format_rfc3339(at, s->started_at), "starts", (json_int_t)s->starts, "recorder_starts",
                (json_int_t)recorder_starts(s->recorder), "enforcement", s->tree.memory ? "kernel" : "sampled", "tree",
                serve_tree_object(s), "http", http_sockets_to_json(&s->http));
}

void tidings_facts(Supervisor *s) {
        if (s->recorder)
                (void)recorder_tell(s->recorder,
                        json_pack("{s:i, s:s, s:o}", "v", MESSAGE_VERSION, "op", "supervisor", "supervisor",
                                facts_object(s)));
}

static void send_rows(Supervisor *s, const char *op, json_t *rows) {
        (void)recorder_tell(s->recorder, json_pack("{s:i, s:s, s:O}", "v", MESSAGE_VERSION, "op", op, "rows", rows));
        (void)json_array_clear(rows);
}

void tidings_state(const Run *run) {
        Supervisor *s = run->supervisor;
        _cleanup_(json_decrefp) json_t *rows = NULL;

        if (!run->announced || s->http.n == 0)
                return; /* its row will say it; or nobody can look */
        rows = json_pack("[[s, s]]", run->id.text, phase_to_string(run->phase));
        if (rows)
                send_rows(s, "state", rows);
}

/* A recorder that has just been started knows what runs from the record, which says of none that it is being ended. */
static void tell_states(Supervisor *s) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        Run *run;

        LIST_FOREACH(run, &s->runs, link) {
                if (!rows || !run->announced || run->phase <= PHASE_RUNNING)
                        continue;
                (void)json_array_append_new(rows, json_pack("[s, s]", run->id.text, phase_to_string(run->phase)));
                if (json_array_size(rows) == ROWS_PER_PACKET)
                        send_rows(s, "state", rows);
        }
        if (json_array_size(rows) > 0)
                send_rows(s, "state", rows);
}

void tidings_linked(void *userdata) {
        Supervisor *s = userdata;

        if (!s->recorder)
                return; /* the first one, while it is being made: told by the wiring */
        tidings_facts(s);
        tell_states(s);
}

static bool is_ours_to_measure(const Run *run) {
        return run_lives(run) && run->announced &&
                (!run_is_grouped(run) || !run->supervisor->tree.memory || run->enforcement == ENFORCEMENT_SAMPLED);
}

static json_t *seconds(uint64_t usec) {
        return usec == USAGE_UNKNOWN ? json_null() : json_real((double)usec / (double)USEC_PER_SEC);
}

/* As live_sample_read() takes it. NULL on OOM. */
static json_t *sample_row(Run *run, uint64_t now_usec) {
        const Usage *u = &run->usage;

        if (run_is_grouped(run))
                (void)usage_read_figures(run->group.fd, &run->usage);
        if (run->watch.next_look_usec == USEC_INFINITY) /* without a limit nobody looks at its memory */
                (void)watch_memory(run, now_usec);
        return json_pack("[s, o, o, o, o, o, o]", run->id.text,
                json_from_u64(run->watch.peak_bytes != 0 ? run->watch.private_bytes : USAGE_UNKNOWN),
                json_from_u64(u->anon_bytes), json_from_u64(u->file_bytes), json_from_u64(u->shmem_bytes),
                json_from_u64(u->pids), seconds(u->cpu_usec));
}

/* From the run behind the last one. True: the round is over. */
static bool sample_slice(Supervisor *s, uint64_t now_usec) {
        _cleanup_(json_decrefp) json_t *rows = json_array();
        size_t n = 0;
        Run *run;

        LIST_FOREACH(run, &s->runs, link) {
                if (run->told_usec >= s->told_round_usec || !is_ours_to_measure(run))
                        continue;
                if (n++ == SLICE_RUNS)
                        break;
                run->told_usec = now_usec;
                (void)json_array_append_new(rows, sample_row(run, now_usec));
        }
        if (json_array_size(rows) > 0)
                send_rows(s, "samples", rows);
        return !run;
}

static void arm_samples(Supervisor *s, uint64_t at_usec) {
        (void)sd_event_source_set_time(s->samples, at_usec);
        (void)sd_event_source_set_enabled(s->samples, SD_EVENT_ONESHOT);
}

static int on_samples(sd_event_source *source, uint64_t usec, void *userdata) {
        Supervisor *s = userdata;
        uint64_t now_usec = clock_boottime_usec(), begun_usec = clock_process_cpu_usec();
        uint64_t cost_usec;
        bool over;

        if (s->told_round_usec == 0)
                s->told_round_usec = now_usec;
        over = sample_slice(s, now_usec);
        cost_usec = usec_sub(clock_process_cpu_usec(), begun_usec) * SHARE;
        if (!over) {
                arm_samples(s, usec_add(now_usec, cost_usec));
                return 0;
        }
        if (now_usec < s->watched_until_usec)
                arm_samples(s, MAX_OF(usec_add(s->told_round_usec, PERIOD_USEC), usec_add(now_usec, cost_usec)));
        s->told_round_usec = 0;
        return 0;
}

static void watch(Supervisor *s) {
        s->watched_until_usec = usec_add(clock_boottime_usec(), WATCHED_USEC);
        if (s->samples) {
                if (sd_event_source_get_enabled(s->samples, NULL) <= 0)
                        arm_samples(s, clock_boottime_usec());
                return;
        }
        if (sd_event_add_time(
                    s->event, &s->samples, CLOCK_BOOTTIME, clock_boottime_usec(), ACCURACY_USEC, on_samples, s) >= 0)
                (void)sd_event_source_set_priority(s->samples, PRIORITY_SAMPLES);
}

static void look(Supervisor *s, const json_t *packet) {
        const char *run_id = NULL;
        _cleanup_(json_decrefp) json_t *object = NULL;
        Run *run;

        if (json_get_text(packet, "run_id", &run_id) < 0)
                return;
        run = restart_find(s, run_id);
        if (run)
                object = serve_run_in_full(s, run);
        (void)recorder_tell(s->recorder,
                json_pack("{s:i, s:s, s:b, s:s, s:o}", "v", MESSAGE_VERSION, "re", "look", "ok", true, "run_id", run_id,
                        "run", object ? json_incref(object) : json_null()));
}

void tidings_asked(const char *op, const json_t *packet, void *userdata) {
        if (strcmp(op, "watch") == 0)
                watch(userdata);
        else if (strcmp(op, "look") == 0)
                look(userdata, packet);
}
