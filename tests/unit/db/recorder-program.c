/* Starting the recorder, and talking to it. */
#include "tests/unit/db/recorder-program.h"

#include "base/clock.h"
#include "control/client.h"
#include "control/server.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

void need_program(void) {
        if (access(RECORDER, X_OK) == 0)
                return;
        print_message("no scidex-recorder at " RECORDER " on this machine\n");
        skip();
}

pid_t spawn(char *const argv[], int first, int second, int *ret_ended) {
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

int above(int fd) {
        int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);

        assert_true(high >= 0);
        assert_int_equal(close(fd), 0);
        return high;
}

void program_start_with(Program *program, const char *const *more) {
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

void program_start(Program *program) {
        program_start_with(program, NULL);
}

void program_init(Program *program) {
        need_program();
        *program = (Program){ .link = -EBADF, .ended = -EBADF };
        scratch_init(&program->scratch);
        program->socket_path = text_printf("%s/record", program->scratch.top);
}

int program_wait(Program *program) {
        struct pollfd ended = { .fd = program->ended, .events = POLLIN };
        int status = 0;

        assert_int_equal(poll(&ended, 1, DEADLINE_MSEC), 1);
        program->ended = close_fd(program->ended);
        assert_int_equal(waitpid(program->pid, &status, 0), program->pid);
        program->pid = 0;
        return status;
}

void program_deinit(Program *program) {
        program->link = close_fd(program->link);
        program->ended = close_fd(program->ended);
        if (program->pid > 0) {
                (void)kill(program->pid, SIGKILL);
                (void)waitpid(program->pid, NULL, 0);
        }
        free(program->socket_path);
        scratch_deinit(&program->scratch);
}

json_t *receive(int fd) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        Message message = MESSAGE_NONE;

        assert_int_equal(poll(&ready, 1, DEADLINE_MSEC), 1);
        assert_int_equal(message_receive(fd, &message), 0);
        return message.body;
}

const char *storage_state(const json_t *packet) {
        return json_string_value(json_object_get(json_object_get(packet, "storage"), "state"));
}

bool is_storage(const json_t *packet) {
        const char *op = json_string_value(json_object_get(packet, "op"));

        return op && strcmp(op, "storage") == 0;
}

json_t *receive_reply(const Program *program) {
        json_t *packet = receive(program->link);

        while (is_storage(packet)) {
                json_decref(packet);
                packet = receive(program->link);
        }
        return packet;
}

void send_row(Program *program, const char *op, json_t *object) {
        const char *member = strcmp(op, "event") == 0 ? "event" : "run";
        _cleanup_(json_decrefp) json_t *packet =
                json_pack("{s:i, s:s, s:i, s:o}", "v", 1, "op", op, "n", ++program->n, member, object);

        assert_non_null(packet);
        assert_int_equal(message_send(program->link, packet, NULL, 0), 0);
}

void assert_acknowledged(const Program *program, int n) {
        _cleanup_(json_decrefp) json_t *reply = receive_reply(program);

        assert_true(json_is_true(json_object_get(reply, "ok")));
        assert_int_equal(json_integer_value(json_object_get(reply, "n")), n);
}

void await_storage(const Program *program, const char *state) {
        for (;;) {
                _cleanup_(json_decrefp) json_t *packet = receive(program->link);

                if (is_storage(packet) && strcmp(storage_state(packet), state) == 0)
                        return;
        }
}

int connect_to(const Program *program) {
        int fd = -EBADF;

        assert_int_equal(client_connect(program->socket_path, &fd), 0);
        return fd;
}

json_t *ask(int fd, json_t *request) {
        Message reply = MESSAGE_NONE;

        assert_int_equal(client_ask(fd, request, DEADLINE_MSEC * USEC_PER_MSEC, &reply), 0);
        json_decref(request);
        return reply.body;
}

json_t *request_of(const char *op) {
        json_t *request = message_request(op);

        assert_non_null(request);
        return request;
}

json_t *big_event(const char *event_id, int seq) {
        json_t *event = make_event(event_id, "r1", seq, AT);
        char text[40001];

        memset(text, 'x', sizeof(text) - 1);
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(json_object_set_new(event, "cmdline", json_string(text)), 0);
        return event;
}

void store_events(Program *program, int n) {
        for (int i = 1; i <= n; i++) {
                _cleanup_(freep) char *event_id = text_printf("e%d", i);

                send_row(program, "event", big_event(event_id, i));
                assert_acknowledged(program, program->n);
        }
}
