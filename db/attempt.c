/*
 * Connecting aside.
 *
 * Called by the shipping.  PQconnectStart() resolves names before it returns (10 s with a dead resolver), and no libpq
 * call can be told not to.  So a detached thread does all of it, and the loop hears of the end through an eventfd.  The
 * hard thing is an attempt that nobody waits for any more: the thread can't be ended, so what it works on belongs to
 * both sides, and the last one frees it, with the connection if that came too late.  It shares nothing else.
 */
#include "db/attempt.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define STACK_BYTES                                                                                       \
        (512 * 1024) /* TLS and resolver plug-ins want some; the default of 8 MiB counts as locked memory \
                      */

typedef struct Job {
        atomic_int holders;
        int fd;                                  /* owned; written once, when what follows is set */
        char *conninfo, *password, *application; /* owned */
        int r;
        PGconn *connection; /* owned */
        PostgresTrouble trouble;
} Job;

static atomic_int running;

struct Attempt {
        Job *job; /* shared */
        sd_event_source *done;
        AttemptFunc func;
        void *userdata;
};

static void job_unref(Job *job) {
        if (atomic_fetch_sub(&job->holders, 1) > 1)
                return;
        PQfinish(job->connection);
        postgres_trouble_deinit(&job->trouble);
        if (job->password)
                explicit_bzero(job->password, strlen(job->password));
        free(job->application);
        free(job->password);
        free(job->conninfo);
        (void)close_fd(job->fd);
        free(job);
}

static void job_unrefp(Job **job) {
        if (*job)
                job_unref(*job);
}

static void *work(void *userdata) {
        Job *job = userdata;
        PostgresOptions options = {
                .conninfo = job->conninfo, .password = job->password, .application = job->application
        };

        job->r = postgres_connect(&options, &job->connection, &job->trouble);
        (void)eventfd_write(job->fd, 1);
        job_unref(job);
        (void)atomic_fetch_sub(&running, 1);
        return NULL;
}

static int on_done(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Attempt *attempt = userdata;
        Job *job = attempt->job;
        PGconn *connection = TAKE_PTR(job->connection);

        /* The callee may free the attempt, and with it the job. */
        (void)atomic_fetch_add(&job->holders, 1);
        attempt->done = sd_event_source_disable_unref(attempt->done);
        attempt->func(job->r, connection, &job->trouble, attempt->userdata);
        job_unref(job);
        return 0;
}

static Job *job_new(const PostgresOptions *options) {
        _cleanup_(job_unrefp) Job *job = calloc(1, sizeof(*job));

        if (!job)
                return NULL;
        atomic_init(&job->holders, 1);
        job->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        job->conninfo = strdup(options->conninfo);
        job->password = options->password ? strdup(options->password) : NULL;
        job->application = options->application ? strdup(options->application) : NULL;
        if (job->fd < 0 || !job->conninfo || (options->password && !job->password) ||
                (options->application && !job->application))
                return NULL;
        return TAKE_PTR(job);
}

/* No signal is ever for this thread. 0 or -errno. */
static int start(Job *job) {
        pthread_attr_t attributes;
        pthread_t thread;
        sigset_t all, before;
        int error;

        (void)sigfillset(&all);
        (void)pthread_attr_init(&attributes);
        (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        (void)atomic_fetch_add(&running, 1);
        error = pthread_create(&thread, &attributes, work, job);
        if (error != 0)
                (void)atomic_fetch_sub(&running, 1);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        (void)pthread_attr_destroy(&attributes);
        return -error;
}

int attempt_new(sd_event *event, const PostgresOptions *options, AttemptFunc func, void *userdata, Attempt **ret) {
        _cleanup_(attempt_freep) Attempt *attempt = calloc(1, sizeof(*attempt));
        int r;

        if (!attempt)
                return -ENOMEM;
        attempt->func = func;
        attempt->userdata = userdata;
        attempt->job = job_new(options);
        if (!attempt->job)
                return -ENOMEM;
        r = sd_event_add_io(event, &attempt->done, attempt->job->fd, EPOLLIN, on_done, attempt);
        if (r < 0)
                return r;
        (void)atomic_fetch_add(&attempt->job->holders, 1);
        r = start(attempt->job);
        if (r < 0) {
                job_unref(attempt->job);
                return r;
        }
        *ret = TAKE_PTR(attempt);
        return 0;
}

bool attempt_is_running(void) {
        return atomic_load(&running) > 0;
}

void attempt_free(Attempt *attempt) {
        sd_event_source_disable_unref(attempt->done);
        if (attempt->job)
                job_unref(attempt->job);
        free(attempt);
}
