/* The program itself, on its sockets: what is acknowledged is on the disk, and nobody can hold it up. */
#include "tests/unit/db/scratch.h"

#include "base/clock.h"
#include "control/client.h"
#include "control/server.h"
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define AT            "2026-11-21T07:00:00.000000Z"
#define DEADLINE_MSEC 10000
#define BIG_EVENTS    8 /* more than the log has got room for from before */

typedef struct Program {
        Scratch scratch;
        char *socket_path; /* owned; of the record socket */
        pid_t pid;
        int link;  /* owned; to the recorder */
        int ended; /* owned; of a pipe whose other end only the recorder has: hangs up when it ends */
        int n;
} Program;

static void need_program(void) {
        if (access(RECORDER, X_OK) == 0)
                return;
        print_message("no scidex-recorder at " RECORDER " on this machine\n");
        skip();
}

/* The child keeps only the sockets that are its own, so that a hang-up is one. */
static pid_t spawn(char *const argv[], int first, int second, int *ret_ended) {
        int fds[2];
        pid_t pid;

        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        if (pid == 0) {
                (void)fcntl(fds[1], F_DUPFD, 20);
                if (dup2(first, 3) >= 0 && (second < 0 || dup2(second, 4) >= 0) && fcntl(3, F_SETFD, 0) == 0 &&
                        (second < 0 || fcntl(4, F_SETFD, 0) == 0))
                        (void)execv(RECORDER, argv);
                _exit(127);
        }
        assert_true(pid > 0);
        assert_int_equal(close(fds[1]), 0);
        *ret_ended = fds[0];
        return pid;
}

/* An fd with a number that the child's dup2 does not hit. */
static int above(int fd) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);

        assert_true(high >= 0);
        assert_int_equal(close(fd), 0);
        return high;
}

static void program_start_with(Program *program, const char *const *more) {
        char *argv[16] = { (char *)"scidex-recorder", (char *)"--supervisor-fd", (char *)"3", (char *)"--listen-fd",
                (char *)"4", (char *)"--directory", program->scratch.directory, NULL };
        _cleanup_(close_fdp) int theirs = -EBADF, listening = -EBADF;
        int pair[2], fd;

        for (size_t i = 7; more && *more; i++)
                argv[i] = (char *)*more++;
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        program->link = above(pair[0]);
        theirs = above(pair[1]);
        (void)unlink(program->socket_path);
        assert_int_equal(server_listen(program->socket_path, 0666, PEER_GID_NONE, &fd), 0);
        listening = above(fd);
        program->pid = spawn(argv, theirs, listening, &program->ended);
}

static void program_start(Program *program) {
        program_start_with(program, NULL);
}

static void program_init(Program *program) {
        need_program();
        *program = (Program){ .link = -EBADF, .ended = -EBADF };
        scratch_init(&program->scratch);
        program->socket_path = text_printf("%s/record", program->scratch.top);
}

static int program_wait(Program *program) {
        struct pollfd ended = { .fd = program->ended, .events = POLLIN };
        int status = 0;

        assert_int_equal(poll(&ended, 1, DEADLINE_MSEC), 1);
        program->ended = close_fd(program->ended);
        assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
        program->pid = 0;
        return status;
}

static void program_deinit(Program *program) {
        program->link = close_fd(program->link);
        program->ended = close_fd(program->ended);
        if (program->pid > 0) {
                (void)kill(program->pid, SIGKILL);
                (void)waitpid(program->pid, NULL, 0);
        }
        free(program->socket_path);
        scratch_deinit(&program->scratch);
}

static json_t *receive(int fd) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        Message message = MESSAGE_NONE;

        assert_int_equal(poll(&ready, 1, DEADLINE_MSEC), 1);
        assert_int_equal(message_receive(fd, &message), 0);
        return message.body;
}

static const char *storage_state(const json_t *packet) {
        return json_string_value(json_object_get(json_object_get(packet, "storage"), "state"));
}

static bool is_storage(const json_t *packet) {
        const char *op = json_string_value(json_object_get(packet, "op"));

        return op && strcmp(op, "storage") == 0;
}

/* The next acknowledgement; reports of the storage's state in between are passed over. */
static json_t *receive_reply(const Program *program) {
        json_t *packet = receive(program->link);

        while (is_storage(packet)) {
                json_decref(packet);
                packet = receive(program->link);
        }
        return packet;
}

static void send_row(Program *program, const char *op, json_t *object) {
        const char *member = strcmp(op, "event") == 0 ? "event" : "run";
        _cleanup_(json_decrefp) json_t *packet =
                json_pack("{s:i, s:s, s:i, s:o}", "v", 1, "op", op, "n", ++program->n, member, object);

        assert_non_null(packet);
        assert_int_equal(message_send(program->link, packet, NULL, 0), 0);
}

static void assert_acknowledged(const Program *program, int n) {
        _cleanup_(json_decrefp) json_t *reply = receive_reply(program);

        assert_true(json_is_true(json_object_get(reply, "ok")));
        assert_int_equal(json_integer_value(json_object_get(reply, "n")), n);
}

static void await_storage(const Program *program, const char *state) {
        for (;;) {
                _cleanup_(json_decrefp) json_t *packet = receive(program->link);

                if (is_storage(packet) && strcmp(storage_state(packet), state) == 0)
                        return;
        }
}

static int connect_to(const Program *program) {
        int fd = -EBADF;

        assert_int_equal(client_connect(program->socket_path, &fd), 0);
        return fd;
}

static json_t *ask(int fd, json_t *request) {
        Message reply = MESSAGE_NONE;

        assert_int_equal(client_ask(fd, request, DEADLINE_MSEC * USEC_PER_MSEC, &reply), 0);
        json_decref(request);
        return reply.body;
}

static json_t *request_of(const char *op) {
        json_t *request = message_request(op);

        assert_non_null(request);
        return request;
}

static void an_event_is_on_the_disk_when_it_is_acknowledged(void **state) {
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 1);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM watchdog_events"), 1);
}

static void what_stands_before_an_event_is_committed_with_it_in_order(void **state) {
        _cleanup_(program_deinit) Program program;
        uint64_t begin;

        program_init(&program);
        program_start(&program);
        await_storage(&program, "ok");
        begin = clock_boottime_usec();
        send_row(&program, "process", make_run("r1", "a", 0, AT));
        send_row(&program, "run", make_run("r0", "a", 0, AT));
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        for (int n = 1; n <= 3; n++)
                assert_acknowledged(&program, n);
        assert_true(clock_boottime_usec() - begin < 400 * USEC_PER_MSEC);
}

static void a_run_is_written_behind_by_less_than_a_second(void **state) {
        _cleanup_(program_deinit) Program program;
        uint64_t begin;

        program_init(&program);
        program_start(&program);
        await_storage(&program, "ok");
        begin = clock_boottime_usec();
        send_row(&program, "run", make_run("r0", "a", 0, AT));
        assert_acknowledged(&program, 1);
        assert_in_range(clock_boottime_usec() - begin, 300 * USEC_PER_MSEC, 1000 * USEC_PER_MSEC);
}

static void a_packet_that_is_no_row_is_answered_and_holds_nothing_up(void **state) {
        static const char *const wrong[] = { "{\"v\":1,\"op\":\"nonsense\",\"n\":1}",
                "{\"v\":1,\"op\":\"event\",\"n\":2}", "{\"v\":1,\"op\":\"run\",\"n\":3,\"run\":7}", "{\"v\":1,\"n\":4}",
                "{\"v\":1,\"op\":7,\"n\":5}" };
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                _cleanup_(json_decrefp) json_t *reply = NULL;

                assert_int_equal(send(program.link, wrong[i], strlen(wrong[i]), 0), (ssize_t)strlen(wrong[i]));
                reply = receive_reply(&program);
                assert_true(json_is_false(json_object_get(reply, "ok")));
                assert_int_equal(json_integer_value(json_object_get(reply, "n")), (json_int_t)i + 1);
        }
        send_row(&program, "event", make_event("", "r1", 1, AT));
        {
                _cleanup_(json_decrefp) json_t *reply = receive_reply(&program);

                assert_true(json_is_false(json_object_get(reply, "ok")));
        }
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 2);
}

static void when_the_supervisor_hangs_up_what_is_pending_is_stored(void **state) {
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        for (int i = 0; i < 10; i++) {
                _cleanup_(freep) char *run_id = text_printf("r%d", i);

                send_row(&program, "run", make_run(run_id, "a", 0, AT));
        }
        program.link = close_fd(program.link);
        assert_int_equal(program_wait(&program), 0);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM watchdog_runs"), 10);
}

static void signals_of_a_terminal_do_not_end_it(void **state) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        await_storage(&program, "ok");
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                assert_int_equal(kill(program.pid, signals[i]), 0);
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 1);
        program.link = close_fd(program.link);
        assert_int_equal(program_wait(&program), 0);
}

static void after_kill_9_sending_again_doubles_nothing(void **state) {
        _cleanup_(program_deinit) Program program;

        program_init(&program);
        program_start(&program);
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 1);
        assert_int_equal(kill(program.pid, SIGKILL), 0);
        assert_int_equal(WTERMSIG(program_wait(&program)), SIGKILL);
        program.link = close_fd(program.link);
        program_start(&program);
        send_row(&program, "event", make_event("e1", "r1", 1, AT));
        assert_acknowledged(&program, 2);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM watchdog_events"), 1);
}

/* From one short write to the end of the space. */
static void fill(const Program *program) {
        _cleanup_(freep) char *path = text_printf("%s/filler", program->scratch.directory), *block = calloc(1, 4096);
        _cleanup_(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        while (write(fd, block, 4096) > 0)
                ;
        assert_int_equal(errno, ENOSPC);
}

static json_t *big_event(const char *event_id, int seq) {
        json_t *event = make_event(event_id, "r1", seq, AT);
        char text[40001];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(json_object_set_new(event, "cmdline", json_string(text)), 0);
        return event;
}

/* Fills the disk and sends events until the log has no room left for one. The number of those that still found room. */
static int send_until_full(Program *program) {
        int stored = 0;

        program_init(program);
        scratch_mount(&program->scratch, "2m");
        program_start(program);
        await_storage(program, "ok");
        fill(program);
        for (int seq = 1; seq <= BIG_EVENTS; seq++) {
                _cleanup_(freep) char *event_id = text_printf("e%d", seq);

                send_row(program, "event", big_event(event_id, seq));
        }
        for (;; stored++) {
                _cleanup_(json_decrefp) json_t *packet = receive(program->link);

                if (is_storage(packet)) {
                        assert_string_equal(storage_state(packet), "full");
                        return stored;
                }
                assert_int_equal(json_integer_value(json_object_get(packet, "n")), stored + 1);
        }
}

static void unfill(const Program *program) {
        _cleanup_(freep) char *filler = text_printf("%s/filler", program->scratch.directory);

        assert_int_equal(unlink(filler), 0);
}

static void a_full_disk_is_reported_and_retried_without_a_new_event(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int asker = -EBADF;
        _cleanup_(json_decrefp) json_t *answer = NULL;
        int stored = send_until_full(&program);

        send_row(&program, "run", make_run("r1", "a", 0, AT));
        unfill(&program);
        for (int n = stored + 1; n <= BIG_EVENTS + 1; n++)
                assert_acknowledged(&program, n);
        asker = connect_to(&program);
        answer = ask(asker, request_of("storage"));
        assert_string_equal(storage_state(answer), "ok");
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM watchdog_events"), BIG_EVENTS);
}

static void the_next_event_tries_a_failed_disk_at_once(void **state) {
        _cleanup_(program_deinit) Program program;
        int stored = send_until_full(&program);
        uint64_t begin;

        unfill(&program);
        begin = clock_boottime_usec();
        send_row(&program, "event", big_event("last", BIG_EVENTS + 1));
        for (int n = stored + 1; n <= BIG_EVENTS + 1; n++)
                assert_acknowledged(&program, n);
        assert_true(clock_boottime_usec() - begin < 800 * USEC_PER_MSEC);
}

static void store_events(Program *program, int n) {
        for (int i = 1; i <= n; i++) {
                _cleanup_(freep) char *event_id = text_printf("e%d", i);

                send_row(program, "event", big_event(event_id, i));
                assert_acknowledged(program, program->n);
        }
}

/* With an event of another run behind it, so that it does not wait to be written. */
static void store_run_now(Program *program, json_t *run) {
        send_row(program, "run", run);
        send_row(program, "event", make_event("other", "other", 1, AT));
        assert_acknowledged(program, program->n - 1);
        assert_acknowledged(program, program->n);
}

static void a_client_that_does_not_read_holds_up_only_itself(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int slow = -EBADF, quick = -EBADF;
        _cleanup_(json_decrefp) json_t *first = NULL, *kills = NULL, *end = NULL;
        int rows = 1;

        program_init(&program);
        program_start(&program);
        store_events(&program, 200);
        slow = connect_to(&program);
        first = ask(slow, json_pack("{s:i, s:s, s:n}", "v", 1, "op", "events", "limit"));
        assert_non_null(json_object_get(first, "row"));
        /* It has 4 MB to read and reads nothing. */
        quick = connect_to(&program);
        kills = ask(quick, request_of("kills"));
        assert_int_equal(json_integer_value(json_object_get(kills, "count")), 200);
        send_row(&program, "event", make_event("last", "r1", 1000, AT));
        assert_acknowledged(&program, program.n);
        while (!end) {
                json_t *packet = receive(slow);

                if (json_object_get(packet, "row")) {
                        rows++;
                        json_decref(packet);
                } else
                        end = packet;
        }
        assert_int_equal(rows, 200);
        assert_true(json_is_true(json_object_get(end, "end")));
        assert_int_equal(json_integer_value(json_object_get(end, "count")), 200);
}

static void one_list_at_a_time(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int fd = -EBADF;
        bool busy = false, end = false;

        program_init(&program);
        program_start(&program);
        store_events(&program, 100);
        fd = connect_to(&program);
        for (int i = 0; i < 2; i++) {
                _cleanup_(json_decrefp) json_t *request = json_pack("{s:i, s:s, s:n}", "v", 1, "op", "events", "limit");

                assert_int_equal(message_send(fd, request, NULL, 0), 0);
        }
        while (!end || !busy) {
                _cleanup_(json_decrefp) json_t *packet = receive(fd);
                const char *code = json_string_value(json_object_get(json_object_get(packet, "error"), "code"));

                busy = busy || (code && strcmp(code, "busy") == 0);
                end = end || json_is_true(json_object_get(packet, "end"));
        }
}

static void why_shows_the_newest_event_whole_and_earlier_ones_short(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int fd = -EBADF;
        _cleanup_(json_decrefp) json_t *answer = NULL, *why = NULL;
        const json_t *events;

        program_init(&program);
        program_start(&program);
        for (int seq = 1; seq <= 2; seq++) {
                json_t *event = make_event(
                        seq == 1 ? "e1" : "e2", "run-one", seq, seq == 1 ? AT : "2026-11-21T08:00:00.000000Z");

                assert_int_equal(json_object_set_new(event, "processes", json_pack("[{s:i}]", "pid", seq)), 0);
                send_row(&program, "event", event);
                assert_acknowledged(&program, seq);
        }
        store_run_now(&program, make_run("run-one", "SDA-1", 1000, AT));
        fd = connect_to(&program);
        why = ask(fd, json_pack("{s:i, s:s, s:s}", "v", 1, "op", "why", "run", "SDA-1"));
        events = json_object_get(why, "events");
        assert_string_equal(json_string_value(json_object_get(json_object_get(why, "run"), "run_id")), "run-one");
        assert_int_equal(json_array_size(events), 2);
        assert_string_equal(json_string_value(json_object_get(json_array_get(events, 0), "event_id")), "e2");
        assert_true(json_is_array(json_object_get(json_array_get(events, 0), "processes")));
        assert_null(json_object_get(json_array_get(events, 1), "processes"));
        answer = ask(fd, json_pack("{s:i, s:s, s:s}", "v", 1, "op", "why", "run", "nobody"));
        assert_string_equal(json_string_value(json_object_get(json_object_get(answer, "error"), "code")), "not-found");
}

static void why_always_fits_into_a_packet(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int fd = -EBADF;
        _cleanup_(json_decrefp) json_t *why = NULL;
        json_t *run = make_run("r1", "SDA-1", 1000, AT);
        char text[60001];

        program_init(&program);
        program_start(&program);
        store_events(&program, 20);
        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(json_object_set_new(run, "timeline", json_pack("[s]", text)), 0);
        store_run_now(&program, run);
        fd = connect_to(&program);
        why = ask(fd, json_pack("{s:i, s:s, s:s}", "v", 1, "op", "why", "run", "r1"));
        assert_true(json_is_true(json_object_get(why, "ok")));
        assert_true(json_array_size(json_object_get(why, "events")) >= 1);
        assert_string_equal(
                json_string_value(json_array_get(json_object_get(json_object_get(why, "run"), "left_out"), 0)),
                "timeline");
}

static int count_seen(const Program *program, const char *op, uid_t uid, gid_t gid) {
        _cleanup_(json_decrefp) json_t *request = message_request(op);
        _cleanup_(message_deinit) Message reply = MESSAGE_NONE;
        _cleanup_(close_fdp) int fd = -EBADF;

        if (setgroups(1, &gid) < 0 || setresuid(uid, uid, uid) < 0 || client_connect(program->socket_path, &fd) != 0 ||
                client_ask(fd, request, DEADLINE_MSEC * USEC_PER_MSEC, &reply) != 0)
                return 200;
        if (!json_is_true(json_object_get(reply.body, "ok")))
                return 201;
        return (int)json_integer_value(json_object_get(reply.body, "count"));
}

/* In a child, as the uid can't be changed back. */
static int count_seen_by(const Program *program, const char *op, uid_t uid, gid_t gid) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
                _exit(count_seen(program, op, uid, gid));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WEXITSTATUS(status);
}

static void others_see_their_own_rows_only(void **state) {
        static const char *const groups[] = { "--group", "700", "--group-name", "scidex", "--admin-group", "701",
                NULL };
        _cleanup_(program_deinit) Program program;

        if (geteuid() != 0) {
                print_message("not root: can't ask as another user\n");
                skip();
        }
        program_init(&program);
        assert_int_equal(chmod(program.scratch.top, 0755), 0);
        program_start_with(&program, groups);
        store_events(&program, 3); /* of uid 1000 */
        assert_int_equal(count_seen_by(&program, "kills", 0, 0), 3);
        assert_int_equal(count_seen_by(&program, "kills", 1000, 700), 3);
        assert_int_equal(count_seen_by(&program, "kills", 1001, 700), 0);
        assert_int_equal(count_seen_by(&program, "kills", 1001, 701), 3); /* an admin */
        assert_int_equal(count_seen_by(&program, "kills", 1000, 702), 201);
        assert_int_equal(count_seen_by(&program, "retry", 1001, 700), 201); /* what was refused may be anybody's */
        assert_int_equal(count_seen_by(&program, "dead", 1001, 700), 201);
        assert_int_equal(count_seen_by(&program, "retry", 1001, 701), 0);
}

static void what_the_database_refused_is_listed_and_sent_again(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int asker = -EBADF;
        _cleanup_(json_decrefp) json_t *first = NULL, *second = NULL, *end = NULL, *one = NULL, *none = NULL,
                                       *all = NULL;

        program_init(&program);
        program_start(&program);
        store_events(&program, 2);
        run_sql(&program.scratch,
                "INSERT INTO dead_letters (kind, key, created_at, failed_at, sqlstate, message) VALUES"
                " ('event', 'e1', '" AT "', '" AT "', '22021', 'no'), ('event', 'e2', '" AT "', '" AT
                "', '23514', 'never')");
        asker = connect_to(&program);
        first = ask(asker, request_of("dead"));
        second = receive(asker);
        end = receive(asker);
        assert_string_equal(json_string_value(json_object_get(json_object_get(first, "row"), "key")), "e1");
        assert_string_equal(json_string_value(json_object_get(json_object_get(second, "row"), "message")), "never");
        assert_true(json_is_true(json_object_get(end, "end")));
        assert_int_equal(json_integer_value(json_object_get(end, "count")), 2);
        one = ask(asker, json_pack("{s:i, s:s, s:i}", "v", 1, "op", "retry", "id", 1));
        assert_int_equal(json_integer_value(json_object_get(one, "count")), 1);
        none = ask(asker, json_pack("{s:i, s:s, s:i}", "v", 1, "op", "retry", "id", 1));
        assert_false(json_is_true(json_object_get(none, "ok")));
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM outbox WHERE key='e1'"), 1);
        all = ask(asker, request_of("retry"));
        assert_int_equal(json_integer_value(json_object_get(all, "count")), 1);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM dead_letters"), 0);
        assert_int_equal(count_rows(&program.scratch, "SELECT count(*) FROM outbox"), 2);
}

static void without_a_group_nobody_else_reads(void **state) {
        _cleanup_(program_deinit) Program program;

        if (geteuid() != 0) {
                print_message("not root: can't ask as another user\n");
                skip();
        }
        program_init(&program);
        assert_int_equal(chmod(program.scratch.top, 0755), 0);
        program_start(&program);
        store_events(&program, 1);
        assert_int_equal(count_seen_by(&program, "kills", 0, 0), 1);
        assert_int_equal(count_seen_by(&program, "kills", 1000, 1000), 201);
}

static const char *const as_user[] = { "--uid", "1001", "--gid", "1002", NULL };

static bool status_has(pid_t pid, const char *line) {
        _cleanup_(freep) char *path = text_printf("/proc/%d/status", (int)pid), *text = NULL;

        assert_int_equal(file_read_at(AT_FDCWD, path, 65536, &text, NULL), 0);
        return strstr(text, line);
}

static void as_another_user_it_is_that_user_for_good(void **state) {
        _cleanup_(program_deinit) Program program;
        struct stat st;

        if (geteuid() != 0) {
                print_message("not root: can't become another user\n");
                skip();
        }
        program_init(&program);
        assert_int_equal(chmod(program.scratch.top, 0755), 0);
        assert_int_equal(setgroups(1, &(gid_t){ 4 }), 0); /* of root's */
        program_start_with(&program, as_user);
        assert_int_equal(setgroups(0, NULL), 0);
        store_events(&program, 1); /* it has started, and writes */
        assert_true(status_has(program.pid, "\nUid:\t1001\t1001\t1001\t1001\n"));
        assert_true(status_has(program.pid, "\nGid:\t1002\t1002\t1002\t1002\n"));
        assert_true(status_has(program.pid, "\nGroups:\t \n"));
        assert_true(status_has(program.pid, "\nCapPrm:\t0000000000000000\n"));
        assert_true(status_has(program.pid, "\nCapEff:\t0000000000000000\n"));
        assert_true(status_has(program.pid, "\nNoNewPrivs:\t1\n"));
        assert_int_equal(stat(program.scratch.directory, &st), 0);
        assert_int_equal(st.st_uid, 1001);
        assert_int_equal(st.st_gid, 1002);
        assert_int_equal(st.st_mode & 07777, 0750);
        assert_int_equal(stat(program.scratch.path, &st), 0);
        assert_int_equal(st.st_uid, 1001);
        assert_int_equal(st.st_mode & 07777, 0600);
}

static char *file_in(const char *directory, const char *name) {
        char *path = text_printf("%s/%s", directory, name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
        return path;
}

static uid_t owner_of(const char *path) {
        struct stat st;

        assert_int_equal(lstat(path, &st), 0);
        return st.st_uid;
}

static void what_root_has_recorded_is_given_to_the_user_and_nothing_else(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(freep) char *victim = NULL, *twice = NULL, *mine = NULL, *by_link = NULL, *by_name = NULL;

        if (geteuid() != 0) {
                print_message("not root: can't become another user\n");
                skip();
        }
        program_init(&program);
        assert_int_equal(chmod(program.scratch.top, 0755), 0);
        program_start(&program);
        store_events(&program, 2);
        program.link = close_fd(program.link);
        assert_int_equal(program_wait(&program), 0);

        victim = file_in(program.scratch.top, "shadow");
        twice = file_in(program.scratch.top, "shadow-too");
        mine = file_in(program.scratch.directory, "notes");
        by_link = text_printf("%s-wal2", program.scratch.path);
        by_name = text_printf("%s-hard", program.scratch.path);
        assert_int_equal(symlink(victim, by_link), 0);
        assert_int_equal(link(twice, by_name), 0);
        program_start_with(&program, as_user);
        assert_int_equal(count_seen_by(&program, "kills", 0, 0), 2);
        assert_int_equal(owner_of(program.scratch.path), 1001);
        assert_int_equal(owner_of(program.scratch.directory), 1001);
        assert_int_equal(owner_of(victim), 0);
        assert_int_equal(owner_of(twice), 0);
        assert_int_equal(owner_of(mine), 0);
        assert_int_equal(owner_of(by_link), 0);
}

static void without_a_supervisor_it_reads_and_changes_nothing(void **state) {
        _cleanup_(program_deinit) Program program;
        _cleanup_(close_fdp) int theirs = -EBADF;
        _cleanup_(json_decrefp) json_t *history = NULL;
        int pair[2];

        program_init(&program);
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        program.link = above(pair[0]);
        theirs = above(pair[1]);
        {
                char *const argv[] = { (char *)"scidex-recorder", (char *)"--read", (char *)"--directory",
                        program.scratch.directory, (char *)"--fd", (char *)"3", NULL };

                program.pid = spawn(argv, theirs, -EBADF, &program.ended);
        }
        close_fdp(&theirs);
        history = ask(program.link, request_of("history"));
        assert_true(json_is_true(json_object_get(history, "end")));
        assert_int_equal(json_integer_value(json_object_get(history, "count")), 0);
        program.link = close_fd(program.link);
        assert_int_equal(program_wait(&program), 0);
        assert_int_equal(access(program.scratch.directory, F_OK), -1);
}

static void wrong_usage_is_status_64(void **state) {
        static const char *const wrong[][4] = {
                { "--directory", "/nowhere" },
                { "--supervisor-fd", "0" },
                { "--supervisor-fd", "99", "--directory", "/nowhere" },
                { "--read", "--directory", "/nowhere" },
                { "--supervisor-fd", "3", "--uid", "1000" },
                { "--uid", "x" },
                { "--frobnicate" },
                { "word" },
        };

        need_program();
        for (size_t i = 0; i < ELEMENTSOF(wrong); i++) {
                char *argv[6] = { (char *)"scidex-recorder" };
                int status = 0;
                pid_t pid;

                for (size_t k = 0; k < ELEMENTSOF(wrong[i]); k++)
                        argv[k + 1] = (char *)wrong[i][k];
                pid = fork();
                if (pid == 0) {
                        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

                        if (dup2(null, 0) == 0 && dup2(null, 2) == 2)
                                (void)execv(RECORDER, argv);
                        _exit(127);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_int_equal(WEXITSTATUS(status), 64);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_event_is_on_the_disk_when_it_is_acknowledged),
                cmocka_unit_test(what_stands_before_an_event_is_committed_with_it_in_order),
                cmocka_unit_test(a_run_is_written_behind_by_less_than_a_second),
                cmocka_unit_test(a_packet_that_is_no_row_is_answered_and_holds_nothing_up),
                cmocka_unit_test(when_the_supervisor_hangs_up_what_is_pending_is_stored),
                cmocka_unit_test(signals_of_a_terminal_do_not_end_it),
                cmocka_unit_test(after_kill_9_sending_again_doubles_nothing),
                cmocka_unit_test(a_full_disk_is_reported_and_retried_without_a_new_event),
                cmocka_unit_test(the_next_event_tries_a_failed_disk_at_once),
                cmocka_unit_test(a_client_that_does_not_read_holds_up_only_itself),
                cmocka_unit_test(one_list_at_a_time),
                cmocka_unit_test(why_shows_the_newest_event_whole_and_earlier_ones_short),
                cmocka_unit_test(why_always_fits_into_a_packet),
                cmocka_unit_test(others_see_their_own_rows_only),
                cmocka_unit_test(what_the_database_refused_is_listed_and_sent_again),
                cmocka_unit_test(without_a_group_nobody_else_reads),
                cmocka_unit_test(as_another_user_it_is_that_user_for_good),
                cmocka_unit_test(what_root_has_recorded_is_given_to_the_user_and_nothing_else),
                cmocka_unit_test(without_a_supervisor_it_reads_and_changes_nothing),
                cmocka_unit_test(wrong_usage_is_status_64),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
