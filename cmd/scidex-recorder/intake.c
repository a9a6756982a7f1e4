/*
 * Rows from the supervisor to the spool.
 *
 * Called by the loop.  The hard thing is to be durable at once for a kill, cheap for a launch, and still in order: so
 * there is one queue, and everything in front of an event is committed with it, in one transaction, with one fsync.  A
 * queue without an event waits 0.5 s (the promise is 1 s) unless it grows: the supervisor has few rows on the wire and
 * sends the next only as these are acknowledged.  A transaction that fails leaves the queue as it is; the next event,
 * or a timer that backs off, tries again.  When nothing is pending no timer runs.
 */
#include "cmd/scidex-recorder/intake.h"

#include "base/clock.h"
#include "base/log.h"
#include "control/message.h"
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>

#define BEHIND_USEC       (500 * USEC_PER_MSEC)
#define BATCH_ROWS        128  /* of one transaction: bounds what one event waits for */
#define EAGER_ROWS        16   /* half of what the supervisor has on the wire: it waits for us */
#define PENDING_MAX       1024 /* rows kept here while the disk fails; the rest stays with the supervisor */
#define LIVE_OUTGOING_MAX 64   /* then what the mirror asks for is left out */
#define PACKETS_PER_WAKE  64
#define RETRY_MIN_USEC    (1 * USEC_PER_SEC)
#define RETRY_MAX_USEC    (30 * USEC_PER_SEC)
#define RETAIN_EVERY_USEC (3600 * USEC_PER_SEC)
#define RETAIN_SLACK_USEC (600 * USEC_PER_SEC)

typedef struct Pending {
        STAILQ_ENTRY(Pending) link;
        SpoolKind kind;
        json_t *packet;       /* owned */
        const json_t *object; /* inside packet */
        json_t *n;            /* inside packet; may be NULL */
} Pending;

typedef struct Outgoing {
        STAILQ_ENTRY(Outgoing) link;
        json_t *packet; /* owned */
} Outgoing;

struct Intake {
        sd_event *event; /* owned */
        Spool *spool;
        Shipping *shipping;                          /* borrowed; may be NULL */
        Live *live;                                  /* borrowed; may be NULL */
        int fd;                                      /* owned */
        sd_event_source *io;                         /* owned */
        sd_event_source *flush, *behind, *retry;     /* owned */
        sd_event_source *retain_step, *retain_timer; /* owned */
        STAILQ_HEAD(, Pending) pending;
        STAILQ_HEAD(, Outgoing) outgoing;
        size_t n_pending, n_outgoing;
        uint64_t backoff_usec;
        uint64_t retained_usec; /* when forgetting was last done, BOOTTIME */
        uint64_t changes;       /* of the spool, as last reported */
        bool failing;           /* the last attempt to store did not work */
        bool retain_armed;
};

static void pending_free(Pending *row) {
        json_decref(row->packet);
        free(row);
}

static void outgoing_free(Outgoing *out) {
        json_decref(out->packet);
        free(out);
}

void intake_free(Intake *intake) {
        Pending *row;
        Outgoing *out;

        while ((row = STAILQ_FIRST(&intake->pending))) {
                STAILQ_REMOVE_HEAD(&intake->pending, link);
                pending_free(row);
        }
        while ((out = STAILQ_FIRST(&intake->outgoing))) {
                STAILQ_REMOVE_HEAD(&intake->outgoing, link);
                outgoing_free(out);
        }
        shipping_on_change(intake->shipping, NULL, NULL);
        sd_event_source_disable_unref(intake->retain_timer);
        sd_event_source_disable_unref(intake->retain_step);
        sd_event_source_disable_unref(intake->retry);
        sd_event_source_disable_unref(intake->behind);
        sd_event_source_disable_unref(intake->flush);
        sd_event_source_disable_unref(intake->io);
        (void)close_fd(intake->fd);
        sd_event_unref(intake->event);
        free(intake);
}

/* While the disk fails, or the supervisor does not take its acknowledgements, more is not read. */
static void arm_link(Intake *intake) {
        bool reads = intake->n_pending < PENDING_MAX && intake->n_outgoing < PENDING_MAX;

        if (intake->io)
                (void)sd_event_source_set_io_events(intake->io,
                        (reads ? (uint32_t)EPOLLIN : 0) | (intake->n_outgoing > 0 ? (uint32_t)EPOLLOUT : 0));
}

/* An acknowledgement is lost, or a row: the next recorder gets all of them again, where this one would be waited for.
 */
static void give_up(Intake *intake) {
        log_line(LOG_LEVEL_ERROR, "out of memory; starting anew");
        (void)sd_event_exit(intake->event, EXIT_FAILURE);
}

static void send_outgoing(Intake *intake) {
        Outgoing *out;
        int r;

        while ((out = STAILQ_FIRST(&intake->outgoing))) {
                r = message_send(intake->fd, out->packet, NULL, 0);
                if (r == -EAGAIN)
                        return;
                /* What is not the hang-up, which is noticed where it is read. */
                if (r < 0 && r != -EPIPE)
                        give_up(intake);
                STAILQ_REMOVE_HEAD(&intake->outgoing, link);
                intake->n_outgoing--;
                outgoing_free(out);
        }
}

/* Takes the packet over. */
static void say(Intake *intake, json_t *packet) {
        Outgoing *out = packet && intake->fd >= 0 ? calloc(1, sizeof(*out)) : NULL;

        if (!out) {
                if (intake->fd >= 0)
                        give_up(intake);
                json_decref(packet);
                return;
        }
        out->packet = packet;
        STAILQ_INSERT_TAIL(&intake->outgoing, out, link);
        intake->n_outgoing++;
        send_outgoing(intake);
}

static void answer(Intake *intake, const char *op, json_t *n, json_t *reply) {
        if (reply && n && json_object_set(reply, "n", n) < 0) {
                json_decref(reply);
                reply = NULL;
        }
        say(intake, reply);
}

static void send_storage(void *userdata) {
        Intake *intake = userdata;
        json_t *packet = message_request("storage");

        if (packet && json_object_set_new(packet, "storage", shipping_storage(intake->shipping, intake->spool)) < 0) {
                json_decref(packet);
                packet = NULL;
        }
        say(intake, packet);
}

/* One line in the log and one packet for the supervisor, if there is something new. */
static void report_storage(Intake *intake) {
        bool bad = spool_state(intake->spool) != STORAGE_OK;
        const char *detail = spool_detail(intake->spool), *hint = spool_hint(intake->spool);

        if (spool_changes(intake->spool) == intake->changes)
                return;
        if (bad || *detail || intake->changes > 0)
                log_line(bad ? LOG_LEVEL_ERROR : LOG_LEVEL_INFO, "the record is %s%s%s%s%s",
                        storage_state_to_string(spool_state(intake->spool)), *detail ? ": " : "", detail,
                        hint ? ". " : "", hint ? hint : "");
        intake->changes = spool_changes(intake->spool);
        send_storage(intake);
}

static void arm_once(sd_event_source *source) {
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static void arm_timer(sd_event_source *source, uint64_t at_usec) {
        (void)sd_event_source_set_time(source, at_usec);
        arm_once(source);
}

static void disarm(sd_event_source *source) {
        (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

static bool is_armed(sd_event_source *source) {
        return sd_event_source_get_enabled(source, NULL) > 0;
}

/* Rows have come: some day the oldest must go. */
static void plan_retention(Intake *intake) {
        if (spool_is_oversize(intake->spool))
                arm_once(intake->retain_step);
        if (!is_armed(intake->retain_timer) && !is_armed(intake->retain_step))
                arm_timer(intake->retain_timer, usec_add(intake->retained_usec, RETAIN_EVERY_USEC));
}

static Pending *take_first(Intake *intake) {
        Pending *row = STAILQ_FIRST(&intake->pending);

        STAILQ_REMOVE_HEAD(&intake->pending, link);
        intake->n_pending--;
        return row;
}

static void acknowledge(Intake *intake, const SpoolRow *stored) {
        Pending *row = take_first(intake);
        const char *op = json_string_value(json_object_get(row->packet, "op"));

        if (stored->result == 0)
                answer(intake, op, row->n, message_reply(op));
        else
                answer(intake, op, row->n,
                        message_error(op, "bad-request", "this is no row of the record", NULL,
                                "A run needs its run_id, an event also its event_id; sending it again is no use."));
        if (stored->result == 0 && !stored->was_there && intake->live)
                live_stored(intake->live, op, row->object);
        pending_free(row);
}

/* The first rows of the queue in one transaction. 0 or SPOOL_E_AWAY. */
static int store_batch(Intake *intake) {
        SpoolRow rows[BATCH_ROWS];
        Pending *row;
        size_t n = 0;
        int r;

        STAILQ_FOREACH(row, &intake->pending, link) {
                if (n == BATCH_ROWS)
                        break;
                rows[n++] = (SpoolRow){ .kind = row->kind, .object = row->object };
        }
        r = spool_store(intake->spool, rows, n);
        for (size_t i = 0; r == 0 && i < n; i++)
                acknowledge(intake, &rows[i]);
        return r;
}

/* Only the timer backs off: events that try in between, and fail too, neither delay it nor make it slower. */
static void store_failed(Intake *intake) {
        if (intake->failing && is_armed(intake->retry))
                return;
        intake->backoff_usec = intake->failing ? MIN_OF(intake->backoff_usec * 2, RETRY_MAX_USEC) : RETRY_MIN_USEC;
        intake->failing = true;
        disarm(intake->behind);
        arm_timer(intake->retry, usec_add(clock_boottime_usec(), intake->backoff_usec));
}

static void store(Intake *intake) {
        if (intake->n_pending == 0 && !intake->failing)
                return;
        disarm(intake->behind);
        if (store_batch(intake) != 0)
                store_failed(intake);
        else {
                intake->failing = false;
                disarm(intake->retry);
                plan_retention(intake);
                shipping_wake(intake->shipping);
                if (intake->n_pending > 0)
                        arm_once(intake->flush);
        }
        report_storage(intake);
        arm_link(intake);
}

static int on_flush(sd_event_source *source, void *userdata) {
        store(userdata);
        return 0;
}

static int on_time(sd_event_source *source, uint64_t usec, void *userdata) {
        store(userdata);
        return 0;
}

static int on_retain_step(sd_event_source *source, void *userdata) {
        Intake *intake = userdata;
        bool more = false;

        if (spool_retain(intake->spool, clock_realtime_usec(), &more) != 0 && !intake->failing)
                store_failed(intake);
        intake->retained_usec = clock_boottime_usec();
        if (more)
                arm_once(intake->retain_step);
        report_storage(intake);
        return 0;
}

static int on_retain_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Intake *intake = userdata;

        arm_once(intake->retain_step);
        return 0;
}

/* The object of a packet: `run` of process and run, `event` of event; of `alive` the packet is the row. */
static const json_t *row_object(const json_t *packet, SpoolKind kind) {
        static const char *const members[_SPOOL_KIND_MAX] = {
                [SPOOL_PROCESS] = "run", [SPOOL_RUN] = "run", [SPOOL_EVENT] = "event"
        };

        return members[kind] ? json_object_get(packet, members[kind]) : packet;
}

/* What is only for the mirror, which need not be there: neither stored nor acknowledged. */
static bool is_tiding(const char *op) {
        static const char *const tidings[] = { "look", "samples", "state", "supervisor" };

        for (size_t i = 0; i < ELEMENTSOF(tidings); i++)
                if (strcmp(op, tidings[i]) == 0)
                        return true;
        return false;
}

/* Returns false where that is all that is to be done with the packet. */
static bool take_live(Intake *intake, const Message *message) {
        const char *op = json_string_value(json_object_get(message->body, "op"));

        if (!op)
                op = json_string_value(json_object_get(message->body, "re"));
        if (op && intake->live && live_take(intake->live, op, message->body) < 0)
                give_up(intake);
        return !op || !is_tiding(op);
}

static void take_packet(Intake *intake, Message *message) {
        const char *op = json_string_value(json_object_get(message->body, "op"));
        json_t *n = json_object_get(message->body, "n");
        SpoolKind kind = op ? spool_kind_from_string(op) : _SPOOL_KIND_INVALID;
        Pending *row;

        if (!take_live(intake, message))
                return;
        if (kind < 0 || !json_is_object(row_object(message->body, kind))) {
                answer(intake, op, n,
                        message_error(op ? op : "?", kind < 0 ? "unsupported" : "bad-request",
                                kind < 0 ? "the recorder has no such operation" : "the packet has no row", NULL, NULL));
                return;
        }
        row = calloc(1, sizeof(*row));
        if (!row) {
                give_up(intake);
                return;
        }
        *row = (Pending){ .kind = kind, .packet = message->body, .n = n };
        message->body = NULL;
        row->object = row_object(row->packet, kind);
        STAILQ_INSERT_TAIL(&intake->pending, row, link);
        intake->n_pending++;
        if (kind == SPOOL_EVENT || (!intake->failing && intake->n_pending >= EAGER_ROWS))
                arm_once(intake->flush);
        else if (!intake->failing && !is_armed(intake->behind))
                arm_timer(intake->behind, usec_add(clock_boottime_usec(), BEHIND_USEC));
}

static void hang_up(Intake *intake) {
        intake->io = sd_event_source_disable_unref(intake->io);
        intake->fd = close_fd(intake->fd);
        if (intake->live)
                live_hung_up(intake->live);
        while (intake->n_pending > 0 && store_batch(intake) == 0)
                ;
        if (intake->n_pending > 0)
                log_line(LOG_LEVEL_ERROR, "the supervisor is gone and %zu records could not be stored: %s",
                        intake->n_pending, spool_detail(intake->spool));
        shipping_finish(intake->shipping, intake->event, intake->n_pending > 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int on_link(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Intake *intake = userdata;

        if (revents & EPOLLOUT)
                send_outgoing(intake);
        for (unsigned i = 0; (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) && i < PACKETS_PER_WAKE; i++) {
                _cleanup_(message_deinit) Message message = MESSAGE_NONE;
                int r = message_receive(fd, &message);

                if (r == -EAGAIN)
                        break;
                if (r != 0) {
                        hang_up(intake);
                        return 0;
                }
                take_packet(intake, &message);
        }
        arm_link(intake);
        return 0;
}

void intake_settle(Intake *intake) {
        if (!intake || intake->fd < 0)
                return;
        (void)on_link(intake->io, intake->fd, EPOLLIN, intake);
        if (intake->n_pending > 0 && !intake->failing)
                store(intake);
}

/* What is asked for the mirror may be lost: it is never worth a queue that is full. */
static void send_for_live(json_t *packet, void *userdata) {
        Intake *intake = userdata;

        if (intake->n_outgoing < LIVE_OUTGOING_MAX)
                say(intake, packet);
        else
                json_decref(packet);
}

void intake_set_live(Intake *intake, Live *live) {
        if (!intake)
                return;
        intake->live = live;
        live_set_link(live, intake->fd >= 0 ? send_for_live : NULL, intake);
}

static int add_source_time(Intake *intake, uint64_t accuracy, sd_event_time_handler_t handler, sd_event_source **ret) {
        int r = sd_event_add_time(intake->event, ret, CLOCK_BOOTTIME, 0, accuracy, handler, intake);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

/* Runs when no packet waits to be read: what has come together is committed together. */
static int add_source_defer(Intake *intake, int64_t priority, sd_event_handler_t handler, sd_event_source **ret) {
        int r = sd_event_add_defer(intake->event, ret, handler, intake);

        if (r >= 0)
                r = sd_event_source_set_priority(*ret, priority);
        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_sources(Intake *intake) {
        int r;

        if (intake->fd >= 0) {
                if (fcntl(intake->fd, F_SETFL, O_NONBLOCK) < 0)
                        return -errno;
                r = sd_event_add_io(intake->event, &intake->io, intake->fd, EPOLLIN, on_link, intake);
                if (r < 0)
                        return r;
        }
        if ((r = add_source_defer(intake, SD_EVENT_PRIORITY_NORMAL + 1, on_flush, &intake->flush)) < 0 ||
                (r = add_source_defer(intake, SD_EVENT_PRIORITY_IDLE, on_retain_step, &intake->retain_step)) < 0 ||
                (r = add_source_time(intake, 1, on_time, &intake->behind)) < 0 ||
                (r = add_source_time(intake, 1, on_time, &intake->retry)) < 0)
                return r;
        return add_source_time(intake, RETAIN_SLACK_USEC, on_retain_timer, &intake->retain_timer);
}

int intake_new(sd_event *event, int fd, Spool *spool, Shipping *shipping, Intake **ret) {
        _cleanup_(intake_freep) Intake *intake = calloc(1, sizeof(*intake));
        int r;

        if (!intake) {
                (void)close_fd(fd);
                return -ENOMEM;
        }
        *intake = (Intake){ .event = sd_event_ref(event), .spool = spool, .shipping = shipping, .fd = fd };
        STAILQ_INIT(&intake->pending);
        STAILQ_INIT(&intake->outgoing);
        r = add_sources(intake);
        if (r < 0)
                return r;
        shipping_on_change(shipping, send_storage, intake);
        report_storage(intake);
        if (spool_state(spool) == STORAGE_OK)
                arm_once(intake->retain_step);
        else
                store_failed(intake);
        arm_link(intake);
        *ret = TAKE_PTR(intake);
        return 0;
}
