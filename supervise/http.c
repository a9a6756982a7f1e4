/*
 * The status over HTTP, as far as it is the supervisor's: binding the sockets and handing them to the recorder.
 *
 * Called by the wiring at the start and after each reload.  What can't be had is said once and tried again: after a
 * crash a recorder may hold a port for the seconds that it takes it to end.
 */
#include "base/clock.h"
#include "base/log.h"
#include "supervise/supervisor-internal.h"
#include <string.h>
#include <systemd/sd-daemon.h>

#define HANDED_NAME      "http" /* FileDescriptorName= in scidex-http.socket */
#define RETRY_FIRST_USEC (250 * USEC_PER_MSEC)
#define RETRY_MAX_USEC   (30 * USEC_PER_SEC)
#define ACCURACY_USEC    (100 * USEC_PER_MSEC)

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata);

static void say_sockets(Supervisor *s) {
        for (size_t i = 0; i < s->http.n; i++) {
                HttpSocket *socket = &s->http.list[i];
                bool is_path = *socket->listen == '/';

                if (!socket->is_new)
                        continue;
                socket->is_new = false;
                if (socket->error == 0)
                        log_line(LOG_LEVEL_INFO, "status over HTTP at %s%s", is_path ? "" : "http://", socket->listen);
                else
                        log_line(LOG_LEVEL_WARNING,
                                "[http] listen: can't listen at %s: %s; going on without it, and trying again",
                                socket->listen, strerror(socket->error));
        }
}

static void arm_retry(Supervisor *s) {
        uint64_t at_usec = usec_add(clock_boottime_usec(), s->http_backoff_usec);

        s->http_retry = sd_event_source_disable_unref(s->http_retry);
        if (!http_sockets_lack(&s->http))
                return;
        s->http_backoff_usec = MIN_OF(s->http_backoff_usec * 2, RETRY_MAX_USEC);
        if (sd_event_add_time(s->event, &s->http_retry, CLOCK_BOOTTIME, at_usec, ACCURACY_USEC, on_retry, s) >= 0)
                (void)sd_event_source_set_priority(s->http_retry, SD_EVENT_PRIORITY_IDLE);
}

RecorderHttp supervisor_http(const Supervisor *s) {
        RecorderHttp http = { .generation = s->http.generation };

        http.n_fds = http_sockets_fds(&s->http, http.fds);
        http.hosts = s->config ? s->config->http_hosts : NULL;
        http.hides_analysis_ids = s->config && !s->config->http_analysis_ids;
        return http;
}

static void hand_over(Supervisor *s) {
        RecorderHttp http = supervisor_http(s);

        supervisor_admit_http(s);
        if (recorder_set_http(s->recorder, &http) < 0)
                log_line(LOG_LEVEL_ERROR, "[http]: no memory; there is no status over HTTP until the next reload");
        tidings_facts(s);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Supervisor *s = userdata;
        bool changed = http_sockets_retry(&s->http, supervisor_policy(s).group) > 0;

        say_sockets(s);
        arm_retry(s);
        if (changed)
                hand_over(s);
        return 0;
}

static void take_handed(Supervisor *s, int n_handed, char **names) {
        for (int i = 0; i < n_handed; i++) {
                int fd = SD_LISTEN_FDS_START + i;

                if (strcmp(names[i], HANDED_NAME) == 0 && sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0 &&
                        http_sockets_take(&s->http, fd) < 0)
                        log_line(LOG_LEVEL_WARNING, "a socket of scidex-http.socket can't be used, ignoring it");
        }
}

static void bind_sockets(Supervisor *s) {
        const char *listen_at = s->config ? s->config->http_listen : NULL;

        s->http_backoff_usec = RETRY_FIRST_USEC;
        if (supervisor_is_single_pass(s) || http_sockets_set(&s->http, listen_at, supervisor_policy(s).group) >= 0)
                return;
        log_line(LOG_LEVEL_ERROR, "[http] listen: no memory; what was listened at stays as it was");
}

void supervisor_open_http(Supervisor *s, int n_handed, char **names) {
        if (names)
                take_handed(s, n_handed, names);
        bind_sockets(s);
        say_sockets(s);
        arm_retry(s);
}

void supervisor_apply_http(Supervisor *s) {
        bind_sockets(s);
        say_sockets(s);
        arm_retry(s);
        hand_over(s);
}
