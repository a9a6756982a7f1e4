/*
 * Who listens to the live mirror, and who asks the supervisor through it.
 *
 * Called by what shows things (the pages, the metrics, the sampler) and by intake, which is the way to the supervisor.
 * The hard thing is a listener that changes the lists while it is told: answers are taken off their list before they
 * are given, and given only to those who had asked by then.
 */
#include "status/live-internal.h"

#include "base/clock.h"
#include <string.h>

static void look_free(Live *live, Look *look) {
        TAILQ_REMOVE(&live->looks, look, link);
        live->n_looks--;
        free(look->run_id);
        free(look);
}

void live_drop_looks(Live *live) {
        Look *look;

        while ((look = TAILQ_FIRST(&live->looks)))
                look_free(live, look);
}

void live_answer_looks(Live *live, const char *run_id, const json_t *run) {
        uint64_t last = live->look_serial;
        Look *look;

        for (bool more = true; more;) {
                more = false;
                TAILQ_FOREACH(look, &live->looks, link) {
                        LiveRowFunc func = look->func;
                        void *userdata = look->userdata;

                        if (look->serial > last || (run_id && strcmp(look->run_id, run_id) != 0))
                                continue;
                        look_free(live, look);
                        func(run, userdata);
                        more = true; /* the list may be another one by now */
                        break;
                }
        }
}

void live_stored(Live *live, const char *op, const json_t *row) {
        const Listeners *listeners = strcmp(op, "event") == 0 ? &live->on_event
                : strcmp(op, "run") == 0                      ? &live->on_run
                                                              : NULL;

        for (size_t i = 0; listeners && i < listeners->n; i++)
                listeners->list[i].row(row, listeners->list[i].userdata);
}

void live_watch(Live *live) {
        bool was_watched = live_is_watched(live);

        live->watched_until_usec = usec_add(clock_boottime_usec(), LIVE_WATCH_USEC);
        for (size_t i = 0; !was_watched && i < live->on_watch.n; i++)
                live->on_watch.list[i].watch(live->on_watch.list[i].userdata);
}

bool live_is_watched(const Live *live) {
        return clock_boottime_usec() < live->watched_until_usec;
}

static void forget_listener(Listeners *listeners, const void *userdata) {
        size_t n = 0;

        for (size_t i = 0; i < listeners->n; i++)
                if (listeners->list[i].userdata != userdata)
                        listeners->list[n++] = listeners->list[i];
        listeners->n = n;
}

static int listen_to(Listeners *listeners, const Listener *listener) {
        if (!listener->watch && !listener->row) {
                forget_listener(listeners, listener->userdata);
                return 0;
        }
        if (listeners->n == LIVE_LISTENERS_MAX)
                return -ENOSPC;
        listeners->list[listeners->n++] = *listener;
        return 0;
}

int live_on_watch(Live *live, LiveWatchFunc func, void *userdata) {
        return listen_to(&live->on_watch, &(Listener){ .watch = func, .userdata = userdata });
}

int live_on_event(Live *live, LiveRowFunc func, void *userdata) {
        return listen_to(&live->on_event, &(Listener){ .row = func, .userdata = userdata });
}

int live_on_run(Live *live, LiveRowFunc func, void *userdata) {
        return listen_to(&live->on_run, &(Listener){ .row = func, .userdata = userdata });
}

void live_set_link(Live *live, LiveSendFunc func, void *userdata) {
        live->send = func;
        live->send_userdata = userdata;
        live->supervisor.is_connected = func != NULL;
}

static int send_packet(const Live *live, json_t *packet) {
        if (!packet)
                return -ENOMEM;
        live->send(packet, live->send_userdata);
        return 0;
}

static bool is_linked(const Live *live) {
        return live->send && live->supervisor.is_connected;
}

int live_look(Live *live, const char *run_id, LiveRowFunc func, void *userdata) {
        Look *look;
        int r;

        if (!is_linked(live))
                return -ENOTCONN;
        if (live->n_looks >= LIVE_LOOKS_MAX)
                return -EBUSY;
        look = calloc(1, sizeof(*look));
        if (!look)
                return -ENOMEM;
        *look = (Look){ .run_id = strdup(run_id), .func = func, .userdata = userdata, .serial = ++live->look_serial };
        TAILQ_INSERT_TAIL(&live->looks, look, link);
        live->n_looks++;
        r = look->run_id ? send_packet(live, json_pack("{s:i, s:s, s:s}", "v", 1, "op", "look", "run_id", run_id))
                         : -ENOMEM;
        if (r < 0)
                look_free(live, look);
        return r;
}

void live_look_cancel(Live *live, const void *userdata) {
        Look *look, *next;

        for (look = TAILQ_FIRST(&live->looks); look; look = next) {
                next = TAILQ_NEXT(look, link);
                if (look->userdata == userdata)
                        look_free(live, look);
        }
}

void live_ask_samples(Live *live) {
        if (is_linked(live))
                (void)send_packet(live, json_pack("{s:i, s:s}", "v", 1, "op", "watch"));
}
