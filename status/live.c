/*
 * The live mirror: the table of runs.
 *
 * Called by the recorder's intake (packets), by the sampler (figures) and by whoever shows something.  The hard thing
 * is the cost: a thousand runs and two hundred pages that look at them.  So runs are plain structs in one array in the
 * order of their ids (UUIDv7: a new one nearly always goes to the end), and a change is one number, which whoever shows
 * something compares with that of its last look.
 */
#include "status/live-internal.h"

#include "base/clock.h"
#include "db/queries.h"
#include <string.h>

#define FIRST_ROOM 64
#define FEW        128 /* that are looked for one by one; more are sorted: runs may come in any order */

int live_new(Live **ret) {
        Live *live = calloc(1, sizeof(*live));

        if (!live)
                return -ENOMEM;
        TAILQ_INIT(&live->looks);
        *ret = live;
        return 0;
}

void live_free(Live *live) {
        live_drop_looks(live);
        for (size_t i = 0; i < live->n; i++)
                live_run_free(live->runs[i]);
        free(live->runs);
        json_decref(live->facts);
        free(live);
}

/* Where run_id is, or would have to be. */
static size_t place_of(const Live *live, const char *run_id, bool *ret_there) {
        size_t low = 0, high = live->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(live->runs[middle]->run_id, run_id);

                if (order == 0) {
                        *ret_there = true;
                        return middle;
                }
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        *ret_there = false;
        return low;
}

LiveRun *live_find(Live *live, const char *run_id) {
        bool there;
        size_t place = place_of(live, run_id, &there);

        return there ? live->runs[place] : NULL;
}

static void touch(Live *live, LiveRun *run) {
        live->generation++;
        if (run)
                run->generation = live->generation;
}

static int insert(Live *live, LiveRun *run) {
        bool there;
        size_t place = place_of(live, run->run_id, &there);

        if (live->n == live->allocated) {
                size_t more = live->allocated ? live->allocated * 2 : FIRST_ROOM;
                LiveRun **runs = reallocarray(live->runs, more, sizeof(void *));

                if (!runs)
                        return -ENOMEM;
                live->runs = runs;
                live->allocated = more;
        }
        memmove(live->runs + place + 1, live->runs + place, (live->n - place) * sizeof(void *));
        live->runs[place] = run;
        live->n++;
        return 0;
}

static void remove_at(Live *live, size_t place) {
        live_run_free(live->runs[place]);
        live->n--;
        memmove(live->runs + place, live->runs + place + 1, (live->n - place) * sizeof(void *));
        touch(live, NULL);
}

static int take_process(Live *live, const json_t *row, uint64_t at_usec) {
        _cleanup_(live_run_freep) LiveRun *made = NULL;
        const char *run_id = json_string_value(json_object_get(row, "run_id"));
        LiveRun *run = run_id ? live_find(live, run_id) : NULL;
        int r;

        if (!run) {
                if (live->n >= LIVE_RUNS_MAX)
                        return 0;
                run = made = calloc(1, sizeof(*made));
                if (!made)
                        return -ENOMEM;
                made->now = LIVE_FIGURES_NONE;
        }
        r = live_run_read(run, row, at_usec);
        if (r == 0 && made) {
                r = insert(live, made);
                if (r == 0)
                        (void)TAKE_PTR(made);
        }
        if (r == 0)
                touch(live, run);
        return r == -EINVAL ? 0 : r;
}

static void take_run(Live *live, const json_t *row) {
        const char *run_id = json_string_value(json_object_get(row, "run_id"));
        bool there = false;
        size_t place = run_id ? place_of(live, run_id, &there) : 0;

        if (there)
                remove_at(live, place);
}

/* A run's event is sent when its group is empty: what is left is to be written down. */
static void take_event(Live *live, const json_t *row) {
        const char *run_id = json_string_value(json_object_get(row, "run_id"));
        LiveRun *run = run_id ? live_find(live, run_id) : NULL;

        if (!run)
                return;
        run->state = LIVE_ENDING;
        run->n_events++;
        touch(live, run);
}

static void take_alive(Live *live, const json_t *packet) {
        const json_t *run_ids = json_object_get(packet, "run_ids");
        json_t *item;
        size_t i;

        if (!json_is_array(run_ids))
                return;
        for (i = 0; i < live->n; i++)
                live->runs[i]->is_listed = false;
        json_array_foreach((json_t *)run_ids, i, item) {
                const char *run_id = json_string_value(item);
                LiveRun *run = run_id ? live_find(live, run_id) : NULL;

                if (run)
                        run->is_listed = true;
        }
        for (i = live->n; i-- > 0;)
                if (!live->runs[i]->is_listed)
                        remove_at(live, i);
}

static void take_state(Live *live, const json_t *packet) {
        const json_t *row;
        size_t i;

        json_array_foreach(json_object_get(packet, "rows"), i, row) {
                const char *run_id = json_string_value(json_array_get(row, 0));
                LiveState state = live_state_from_string(json_string_value(json_array_get(row, 1)));
                LiveRun *run = run_id ? live_find(live, run_id) : NULL;

                if (!run || state < 0)
                        continue;
                run->state = state;
                touch(live, run);
        }
}

static void take_samples(Live *live, const json_t *packet) {
        uint64_t now_usec = clock_boottime_usec();
        const json_t *sample;
        size_t i;

        json_array_foreach(json_object_get(packet, "rows"), i, sample) {
                LiveFigures figures;
                const char *run_id = live_sample_read(sample, now_usec, &figures);
                LiveRun *run = run_id ? live_find(live, run_id) : NULL;

                if (run)
                        live_sampled(live, run, &figures);
        }
}

static void take_supervisor(Live *live, const json_t *packet) {
        json_t *facts = json_object_get(packet, "supervisor");

        if (!json_is_object(facts))
                return;
        (void)json_incref(facts);
        json_decref(live->facts);
        live->facts = facts;
        live_supervisor_read(&live->supervisor, facts);
        touch(live, NULL);
}

static void take_look(Live *live, const json_t *packet) {
        const char *run_id = json_string_value(json_object_get(packet, "run_id"));
        const json_t *run = json_object_get(packet, "run");

        if (run_id)
                live_answer_looks(live, run_id, json_is_object(run) ? run : NULL);
}

int live_take(Live *live, const char *op, const json_t *packet) {
        static const struct {
                const char *op, *member; /* member NULL: the packet itself */
                void (*take)(Live *live, const json_t *object);
        } operations[] = {
                { "run", "run", take_run },
                { "event", "event", take_event },
                { "alive", NULL, take_alive },
                { "state", NULL, take_state },
                { "samples", NULL, take_samples },
                { "supervisor", NULL, take_supervisor },
                { "look", NULL, take_look },
        };
        int r = 0;

        live->supervisor.is_connected = true;
        if (strcmp(op, "process") == 0)
                r = take_process(live, json_object_get(packet, "run"), clock_boottime_usec());
        for (size_t i = 0; i < ELEMENTSOF(operations); i++)
                if (strcmp(op, operations[i].op) == 0)
                        operations[i].take(
                                live, operations[i].member ? json_object_get(packet, operations[i].member) : packet);
        return r;
}

static int load_row(const json_t *row, void *userdata) {
        return take_process(userdata, row, 0);
}

int live_load(Live *live, Spool *spool) {
        int r = query_live(spool, load_row, live);

        return r == -ENOMEM ? r : 0;
}

void live_hung_up(Live *live) {
        live->supervisor.is_connected = false;
        touch(live, NULL);
        live_answer_looks(live, NULL, NULL);
}

size_t live_count(const Live *live) {
        return live->n;
}

LiveRun *live_at(Live *live, size_t i) {
        return live->runs[i];
}

LiveRun *live_next(Live *live, const char *run_id) {
        bool there = false;
        size_t place = run_id && *run_id ? place_of(live, run_id, &there) : 0;

        place += there;
        return place < live->n ? live->runs[place] : NULL;
}

void live_each(Live *live, LiveEachFunc func, void *userdata) {
        for (size_t i = 0; i < live->n; i++)
                func(live->runs[i], userdata);
}

uint64_t live_generation(const Live *live) {
        return live->generation;
}

const LiveSupervisor *live_supervisor(const Live *live) {
        return &live->supervisor;
}

static bool is_being_ended(const LiveRun *run) {
        return run->state == LIVE_GRACE || run->state == LIVE_KILLING;
}

/* Whether a is to be shown before b. */
static bool comes_first(const LiveRun *a, const LiveRun *b) {
        if (is_being_ended(a) != is_being_ended(b))
                return is_being_ended(a);
        if (a->share > b->share || a->share < b->share)
                return a->share > b->share;
        return strcmp(a->run_id, b->run_id) > 0; /* ids grow with time */
}

static int compare(const void *a, const void *b) {
        const LiveRun *x = *(LiveRun *const *)a, *y = *(LiveRun *const *)b;

        return comes_first(x, y) ? -1 : comes_first(y, x) ? 1 : 0;
}

/* false: no memory. */
static bool sort_all(const Live *live, LiveRun **list, size_t most) {
        _cleanup_(freep) LiveRun **all = calloc(live->n + 1, sizeof(LiveRun *));

        if (!all)
                return false;
        memcpy(all, live->runs, live->n * sizeof(LiveRun *));
        qsort(all, live->n, sizeof(LiveRun *), compare);
        memcpy(list, all, most * sizeof(LiveRun *));
        return true;
}

size_t live_top(Live *live, LiveRun **list, size_t most) {
        uint64_t now_usec = clock_realtime_usec();
        size_t n = 0;

        most = MIN_OF(most, live->n);
        for (size_t i = 0; i < live->n; i++)
                live->runs[i]->share = live_share(live->runs[i], now_usec);
        if (most > FEW && sort_all(live, list, most))
                return most;
        for (size_t i = 0; i < live->n; i++) {
                LiveRun *run = live->runs[i];
                size_t place;

                if (n == most && (most == 0 || !comes_first(run, list[n - 1])))
                        continue;
                if (n < most)
                        n++;
                for (place = n - 1; place > 0 && comes_first(run, list[place - 1]); place--)
                        list[place] = list[place - 1];
                list[place] = run;
        }
        return n;
}

static void add_known(uint64_t *sum, uint64_t value) {
        if (value != LIVE_NONE)
                *sum += value;
}

static void add_totals(LiveTotals *totals, const LiveRun *run) {
        const LiveFigures *now = &run->now;

        totals->n_by_state[run->state]++;
        totals->n_sampled += run->is_sampled;
        totals->oldest_sample_usec = MIN_OF(totals->oldest_sample_usec, now->sampled_usec);
        if (run->is_nested)
                return;
        totals->n_unlimited += run->memory_limit_bytes == LIVE_NONE;
        totals->n_measured += now->memory_bytes != LIVE_NONE;
        add_known(&totals->limit_bytes, run->memory_limit_bytes);
        add_known(&totals->memory_bytes, now->memory_bytes);
        add_known(&totals->anon_bytes, now->anon_bytes);
        add_known(&totals->file_bytes, now->file_bytes);
        add_known(&totals->shmem_bytes, now->shmem_bytes);
        totals->cpus += MAX_OF(now->cpus, 0.0);
}

void live_totals(Live *live, LiveTotals *ret) {
        *ret = (LiveTotals){ .n_runs = live->n, .oldest_sample_usec = LIVE_NONE };
        for (size_t i = 0; i < live->n; i++)
                add_totals(ret, live->runs[i]);
}

void live_sampled(Live *live, LiveRun *run, const LiveFigures *figures) {
        live_run_measure(run, figures);
        touch(live, run);
}
