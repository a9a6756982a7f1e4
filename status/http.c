/*
 * The server in the loop: when it runs, and for how long.
 *
 * Called by the loop for the library's epoll fd, its time-outs, and each listening socket.  The hard thing is that one
 * call of the library serves everything that is ready, and that this process shares a small quota with the supervisor.
 * So requests are stopped at the door (suspended) once a slice is used up, taken up one by one as the pace allows, and
 * until then neither sockets nor the library are looked at: a flood waits in the backlog.
 */
#include "status/http-internal.h"

#include "base/clock.h"
#include "control/priority.h"
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define PRIORITY_HTTP   (PRIORITY_CLIENTS + 10) /* storing, and those who ask by the record socket, come first */
#define ACCEPTS         16                      /* of one socket in one turn */
#define RESUMES         4                       /* readers of the stream between two looks at the clock */
#define SEND_BYTES      (64 << 10) /* of a connection, in the kernel: bounds what one costs that does not read */
#define RECEIVE_BYTES   (16 << 10) /* the same of what it asks for and we have not read yet */
#define FULL_RETRY_USEC (250 * USEC_PER_MSEC)
#define PAUSE_USEC      USEC_PER_MSEC /* at least, between two turns that are paced: waking up costs as well */

static uint64_t thread_cpu_usec(void) {
        struct timespec now = { 0 };

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return (uint64_t)now.tv_sec * USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

bool http_is_over(const Http *http) {
        return usec_sub(thread_cpu_usec(), http->slice_usec) >= HTTP_SLICE_USEC;
}

static bool has_waiting(const Http *http) {
        return !TAILQ_EMPTY(&http->parked) || !TAILQ_EMPTY(&http->due);
}

static bool is_local_fd(int fd) {
        struct sockaddr_storage address = { 0 };
        socklen_t size = sizeof(address);

        return getsockname(fd, (struct sockaddr *)&address, &size) == 0 && address.ss_family == AF_UNIX;
}

/* When the library, a connection or a question to the supervisor wants to be looked at. */
static uint64_t next_usec(Http *http, uint64_t now_usec) {
        MHD_UNSIGNED_LONG_LONG library_msec;
        uint64_t at = connections_expire(http, now_usec);

        at = MIN_OF(at, exchanges_expire(http, now_usec));
        for (size_t i = 0; i < ELEMENTSOF(http->full_until_usec); i++)
                if (http->full_until_usec[i] > now_usec)
                        at = MIN_OF(at, http->full_until_usec[i]);
        if (MHD_get_timeout(http->daemon, &library_msec) == MHD_YES)
                at = MIN_OF(at, usec_add(now_usec, library_msec * USEC_PER_MSEC));
        return has_waiting(http) ? now_usec : at;
}

/* Sets everything for the next turn. While the pace says wait, nothing is looked at. */
static void plan(Http *http) {
        uint64_t now = clock_boottime_usec(), wait = pace_wait(http->options.pace, now);
        uint64_t at = next_usec(http, now);

        if (wait > 0)
                at = MAX_OF(wait, usec_add(now, PAUSE_USEC));
        (void)sd_event_source_set_enabled(http->io, wait > 0 ? SD_EVENT_OFF : SD_EVENT_ON);
        for (size_t i = 0; i < http->n_listeners; i++)
                (void)sd_event_source_set_enabled(http->listeners[i].source,
                        wait > 0 || http->full_until_usec[http->listeners[i].is_local] > now ? SD_EVENT_OFF
                                                                                             : SD_EVENT_ON);
        (void)sd_event_source_set_time(http->timer, at);
        (void)sd_event_source_set_enabled(http->timer, at == USEC_INFINITY ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* Some of those that wait. */
static void resume_some(Http *http) {
        Exchange *exchange = TAILQ_FIRST(&http->parked);

        if (exchange)
                exchange_resume(exchange);
        for (size_t i = 0; i < RESUMES && (exchange = TAILQ_FIRST(&http->due)); i++)
                exchange_resume(exchange);
}

/* Nothing is accepted for a while, unless a connection ends. A full house over TCP does not shut admins out. */
static void hold_off(Http *http, bool is_local) {
        http->full_until_usec[is_local] = usec_add(clock_boottime_usec(), FULL_RETRY_USEC);
}

/* Whether there is room for one more; else nothing more is accepted for the moment. */
static bool has_room(Http *http, bool is_local) {
        size_t all = http->n_local + http->n_remote;

        if (all < HTTP_CONNECTIONS_MAX && (is_local || http->n_remote < HTTP_CONNECTIONS_MAX - HTTP_LOCAL_RESERVED))
                return true;
        if (!connections_evict(http, clock_boottime_usec()))
                hold_off(http, is_local);
        return false;
}

/* Nobody is sent away for nobody. */
static bool has_somebody(const Listener *listener) {
        struct pollfd look = { .fd = listener->fd, .events = POLLIN };

        return poll(&look, 1, 0) > 0;
}

static void accept_some(Http *http, const Listener *listener) {
        for (unsigned i = 0; i < ACCEPTS && has_somebody(listener) && has_room(http, listener->is_local); i++) {
                struct sockaddr_storage address = { 0 };
                socklen_t size = sizeof(address);
                int send_bytes = SEND_BYTES, receive_bytes = RECEIVE_BYTES;
                int fd = accept4(listener->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);

                /* Without fds or memory the backlog stays readable: not at once again. */
                if (fd < 0 && errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
                        hold_off(http, listener->is_local);
                if (fd < 0)
                        return;
                (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
                (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
                /* It closes the fd when it can't. An address of the other end says nothing that is used. */
                (void)MHD_add_connection(http->daemon, fd, (struct sockaddr *)&address, size);
        }
}

/* Each turn: whoever comes now is served in turn with those whose work goes on. */
static void accept_all(Http *http) {
        for (size_t i = 0; i < http->n_listeners; i++)
                if (http->full_until_usec[http->listeners[i].is_local] <= clock_boottime_usec())
                        accept_some(http, &http->listeners[i]);
}

static void turn(Http *http) {
        uint64_t now = clock_boottime_usec();

        if (pace_wait(http->options.pace, now) == 0) {
                http->is_running = true;
                http->slice_usec = thread_cpu_usec();
                pace_begin(http->options.pace);
                accept_all(http);
                do {
                        resume_some(http);
                        (void)MHD_run(http->daemon);
                } while (has_waiting(http) && !http_is_over(http));
                pace_end(http->options.pace, clock_boottime_usec());
                http->is_running = false;
        }
        plan(http);
}

void http_again(Http *http) {
        if (!http->is_running)
                plan(http);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        turn(userdata);
        return 0;
}

/* Whether there is work that no socket would tell of. */
static bool has_work(Http *http) {
        MHD_UNSIGNED_LONG_LONG library_msec;

        return has_waiting(http) || (MHD_get_timeout(http->daemon, &library_msec) == MHD_YES && library_msec == 0);
}

/* What was waited for may be the pace alone: then the sockets are looked at again, or each turn would pay for the next.
 */
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        Http *http = userdata;

        if (has_work(http))
                turn(http);
        else
                plan(http);
        return 0;
}

static int on_listener(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        turn(userdata);
        return 0;
}

static void on_news(void *userdata) {
        Http *http = userdata;
        Exchange *exchange;

        TAILQ_FOREACH(exchange, &http->asleep, link)
        exchange->queue = &http->due;
        TAILQ_CONCAT(&http->due, &http->asleep, link);
        http_again(http);
}

static void on_recorded(const json_t *row, void *userdata) {
        Http *http = userdata;

        documents_forget(http->documents);
}

/* The target is left as it came: http-parse.c reads it, once. */
static size_t leave_alone(void *userdata, struct MHD_Connection *connection, char *text) {
        return strlen(text);
}

static int start_daemon(Http *http) {
        const union MHD_DaemonInfo *info;

        http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
                NULL, exchange_handle, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
                MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_HEADERS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                (unsigned)(HTTP_IDLE_USEC / USEC_PER_SEC), MHD_OPTION_STRICT_FOR_CLIENT, 1,
                MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_UNESCAPE_CALLBACK, leave_alone, NULL,
                MHD_OPTION_URI_LOG_CALLBACK, exchange_begin, http, MHD_OPTION_NOTIFY_CONNECTION, connection_notify,
                http, MHD_OPTION_NOTIFY_COMPLETED, exchange_end, http, MHD_OPTION_END);
        info = http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
        return info ? info->epoll_fd : -EIO;
}

static int add_sources(Http *http, int epoll_fd) {
        int r = sd_event_add_io(http->event, &http->io, epoll_fd, EPOLLIN, on_io, http);

        if (r >= 0)
                r = sd_event_source_set_priority(http->io, PRIORITY_HTTP);
        if (r >= 0)
                r = sd_event_add_time(http->event, &http->timer, CLOCK_BOOTTIME, 0, 1, on_timer, http);
        if (r >= 0)
                r = sd_event_source_set_priority(http->timer, PRIORITY_HTTP);
        return r < 0 ? r : sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
}

static int listen_to(Http *http) {
        int r = live_on_event(http->options.board->live, on_recorded, http);

        if (r >= 0)
                r = live_on_run(http->options.board->live, on_recorded, http);
        stream_on_news(http->options.stream, on_news, http);
        return r;
}

int http_new(sd_event *event, const HttpOptions *options, Http **ret) {
        _cleanup_(http_freep) Http *http = calloc(1, sizeof(*http));
        int r;

        if (!http)
                return -ENOMEM;
        http->event = sd_event_ref(event);
        http->options = *options;
        for (Phase phase = 0; phase < PHASE_MAX_; phase++)
                TAILQ_INIT(&http->phases[phase]);
        TAILQ_INIT(&http->parked);
        TAILQ_INIT(&http->queued);
        TAILQ_INIT(&http->looking);
        TAILQ_INIT(&http->asleep);
        TAILQ_INIT(&http->due);
        r = documents_new(&http->documents);
        if (r >= 0)
                r = start_daemon(http);
        if (r >= 0)
                r = add_sources(http, r);
        if (r >= 0)
                r = listen_to(http);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(http);
        return 0;
}

int http_listen(Http *http, int fd) {
        Listener *listener = &http->listeners[http->n_listeners];
        int r;

        if (http->n_listeners == HTTP_LISTENERS_MAX)
                return -ENOSPC;
        *listener = (Listener){ .fd = fd, .is_local = is_local_fd(fd) };
        r = sd_event_add_io(http->event, &listener->source, fd, EPOLLIN, on_listener, http);
        if (r < 0)
                return r;
        http->n_listeners++;
        return sd_event_source_set_priority(listener->source, PRIORITY_HTTP);
}

/* The library stops only when nothing is suspended. */
static void resume_all(Http *http) {
        struct ExchangeQueue *queues[] = { &http->queued, &http->parked, &http->looking, &http->asleep, &http->due };

        for (size_t i = 0; i < ELEMENTSOF(queues); i++)
                while (!TAILQ_EMPTY(queues[i]))
                        exchange_resume(TAILQ_FIRST(queues[i]));
}

void http_free(Http *http) {
        (void)live_on_event(http->options.board->live, NULL, http);
        (void)live_on_run(http->options.board->live, NULL, http);
        stream_on_news(http->options.stream, NULL, NULL);
        for (size_t i = 0; i < http->n_listeners; i++)
                sd_event_source_disable_unref(http->listeners[i].source);
        sd_event_source_disable_unref(http->timer);
        sd_event_source_disable_unref(http->io);
        http->is_running = true; /* nothing is planned any more */
        if (http->daemon) {
                resume_all(http);
                MHD_stop_daemon(http->daemon);
        }
        if (http->documents)
                documents_free(http->documents);
        sd_event_unref(http->event);
        free(http);
}
