/*
 * The one that asks.
 *
 * Called by `top`.  The hard thing is that asking may take as long as a supervisor, a disk or a name server hangs, and
 * that all of it is written to block.  So it is done in a child, which answers one question after the other on a
 * stream: the length of a JSON text, then the text.  The child has no terminal to spoil: its output goes nowhere but
 * into answers.
 */
#include "cmd/scidexctl/top-worker.h"

#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/rows.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define WAIT_USEC   (5 * USEC_PER_SEC)
#define QUESTION    1024         /* bytes: a word and a run id */
#define ANSWER_MOST (256U << 20) /* of some 100,000 runs */

/* The child's. */
typedef struct Asker {
        const Options *options;
        Source source; /* of the database, with --all-hosts */
        bool is_open;
} Asker;

static json_t *ask_list(Asker *a, const char *op, uint64_t limit) {
        Options options = *a->options;
        _cleanup_(json_decrefp) json_t *failure = NULL, *request = NULL;

        options.limit = limit;
        if (options.all_hosts)
                return rows_ask(&a->source, &options, op);
        request = request_filtered(op, &options, &failure);
        if (!request)
                return TAKE_PTR(failure);
        return ask(&options, strcmp(op, "list") == 0 ? WHERE_LIVE : WHERE_RECORD, request);
}

/* Puts its rows into the result. NULL, or the answer if it is a failure. Of this host alone, that nothing runs or is
 * recorded is none: so it is before the first run. */
static json_t *put_rows(Asker *a, json_t *result, const char *name, const char *op, uint64_t limit) {
        _cleanup_(json_decrefp) json_t *answer = ask_list(a, op, limit);
        json_t *rows = json_object_get(answer, "rows");

        if (answer_status(answer) == CTL_NO_ANSWER && !a->options->all_hosts) {
                (void)json_object_set(result, strcmp(op, "list") == 0 ? "no_supervisor" : "no_record",
                        json_object_get(answer, "error"));
                (void)json_object_set_new(result, name, json_array());
                return NULL;
        }
        if (answer_status(answer) != CTL_OK)
                return answer ? TAKE_PTR(answer) : answer_failed("failed", NULL, "out of memory");
        (void)json_object_set(result, name, rows);
        return NULL;
}

static json_t *look(Asker *a) {
        _cleanup_(json_decrefp) json_t *result = json_pack("{s:b}", "ok", true);
        json_t *failure = NULL;

        if (a->options->all_hosts && !a->is_open) {
                failure = ask_open_database(a->options, &a->source);
                a->is_open = !failure;
        }
        if (!failure)
                failure = put_rows(a, result, "runs", "list", 0);
        if (!failure && a->options->all_hosts)
                failure = put_rows(a, result, "hosts", "hosts", 0);
        if (!failure)
                failure = put_rows(a, result, "events", "events", TOP_KILLS);
        if (failure && a->is_open) { /* so that it is connected to anew */
                source_deinit(&a->source);
                a->is_open = false;
        }
        return failure ? failure : TAKE_PTR(result);
}

/* A connection that hung up is noticed when it is asked. */
static json_t *wait_and_look(Asker *a) {
        if (a->is_open)
                json_decref(rows_listen(&a->source, WAIT_USEC));
        else
                (void)poll(NULL, 0, (int)(WAIT_USEC / USEC_PER_MSEC));
        return look(a);
}

static json_t *kill_run(const Asker *a, const char *run_id) {
        _cleanup_(json_decrefp) json_t *request = request_run("kill", run_id);

        return request ? ask(a->options, WHERE_LIVE, request) : NULL;
}

/* What the verb prints, as text. */
static json_t *show(const Asker *a, const char *run_id) {
        _cleanup_(close_fdp) int file = memfd_create("scidexctl-top", MFD_CLOEXEC);
        char *arguments[] = { (char *)run_id, NULL };
        const Terminal plain = { .utf8 = terminal_probe(true).utf8 };
        Options options = *a->options;
        _cleanup_(freep) char *text = NULL;
        struct stat st;

        options.arguments = arguments;
        options.n_arguments = 1;
        if (file < 0 || dup2(file, STDOUT_FILENO) < 0 || dup2(file, STDERR_FILENO) < 0)
                return NULL;
        (void)verb_show(&options, &plain);
        (void)fflush(stdout);
        if (fstat(file, &st) < 0)
                return NULL;
        text = calloc(1, (size_t)st.st_size + 1);
        if (!text || pread(file, text, (size_t)st.st_size, 0) < 0)
                return NULL;
        return json_pack("{s:b, s:s, s:o}", "ok", true, "run_id", run_id, "text", json_from_text(text));
}

static json_t *answer_to(Asker *a, char *question) {
        char *run_id = strchr(question, ' ');

        if (run_id)
                *run_id++ = '\0';
        if (strcmp(question, "look") == 0)
                return look(a);
        if (strcmp(question, "wait") == 0)
                return wait_and_look(a);
        if (run_id && strcmp(question, "kill") == 0)
                return kill_run(a, run_id);
        return run_id ? show(a, run_id) : NULL;
}

static int write_all(int fd, const void *bytes, size_t size) {
        for (const char *p = bytes; size > 0;) {
                ssize_t n = send(fd, p, size, MSG_NOSIGNAL);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                size -= (size_t)n;
        }
        return 0;
}

static int answer_write(int fd, const json_t *answer) {
        _cleanup_(freep) char *text = answer ? json_to_text(answer) : NULL;
        uint64_t size;
        int r;

        if (!text)
                text = strdup("{\"ok\":false,\"error\":{\"code\":\"failed\",\"message\":\"out of memory\"}}");
        if (!text)
                return -ENOMEM;
        size = strlen(text);
        r = write_all(fd, &size, sizeof(size));
        return r == 0 ? write_all(fd, text, size) : r;
}

static _Noreturn void worker_main(const Options *options, int fd, pid_t parent) {
        _cleanup_(close_fdp) int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
        Asker a = { .options = options, .source = SOURCE_NONE };
        char question[QUESTION];
        ssize_t n;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || nothing < 0 || dup2(nothing, STDIN_FILENO) < 0)
                _exit(CTL_NO_ANSWER);
        while ((n = recv(fd, question, sizeof(question) - 1, 0)) > 0) {
                _cleanup_(json_decrefp) json_t *answer = NULL;

                question[n] = '\0';
                if (dup2(nothing, STDOUT_FILENO) < 0 || dup2(nothing, STDERR_FILENO) < 0)
                        break;
                answer = answer_to(&a, question);
                if (answer_write(fd, answer) < 0)
                        break;
        }
        source_deinit(&a.source);
        _exit(CTL_OK);
}

int worker_start(Worker *worker, const Options *options) {
        _cleanup_(close_fdp) int ours = -EBADF, theirs = -EBADF;
        pid_t parent = getpid(), pid;
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return -errno;
        ours = fds[0];
        theirs = fds[1];
        (void)fflush(stdout);
        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0) {
                (void)close(ours);
                worker_main(options, theirs, parent);
        }
        *worker = (Worker){ .pid = pid, .fd = TAKE_FD(ours) };
        return 0;
}

void worker_stop(Worker *worker) {
        worker->fd = close_fd(worker->fd);
        if (worker->pid > 0) {
                if (worker->is_asked) /* it may hang; what it has started ends with its connection */
                        (void)kill(worker->pid, SIGKILL);
                while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        free(worker->text);
        *worker = WORKER_NONE;
}

int worker_ask(Worker *worker, const char *what, const char *run_id) {
        _cleanup_(freep) char *question = text_printf("%s%s%s", what, run_id ? " " : "", run_id ? run_id : "");
        int r;

        if (worker->is_asked)
                return -EBUSY;
        if (!question)
                return -ENOMEM;
        if (strlen(question) >= QUESTION)
                return -ENAMETOOLONG;
        r = write_all(worker->fd, question, strlen(question));
        worker->is_asked = r == 0;
        return r;
}

/* How many bytes are missing from what is to be read next: the length, or the text behind it. */
static int answer_missing(const Worker *worker, size_t *ret) {
        uint64_t size;

        if (worker->size < sizeof(size)) {
                *ret = sizeof(size) - worker->size;
                return 0;
        }
        memcpy(&size, worker->text, sizeof(size));
        if (size > ANSWER_MOST)
                return -EFBIG;
        *ret = sizeof(size) + size - worker->size;
        return 0;
}

int worker_take(Worker *worker, json_t **ret_answer) {
        size_t missing;
        int r = answer_missing(worker, &missing);
        char *text = r == 0 ? realloc(worker->text, worker->size + missing) : NULL;
        ssize_t n;

        *ret_answer = NULL;
        if (!text)
                return r < 0 ? r : -ENOMEM;
        worker->text = text;
        n = recv(worker->fd, worker->text + worker->size, missing, MSG_DONTWAIT);
        if (n <= 0)
                return n == 0 ? -EPIPE : errno == EAGAIN || errno == EINTR ? 0 : -errno;
        worker->size += (size_t)n;
        r = answer_missing(worker, &missing);
        if (r < 0 || missing > 0)
                return r;
        r = json_parse(worker->text + sizeof(uint64_t), worker->size - sizeof(uint64_t), ret_answer);
        worker->size = 0;
        worker->is_asked = false;
        return r;
}
