/* The recorder as a program, with the test for its supervisor and its clients. */
#pragma once

#include "tests/unit/db/scratch.h"

#include "control/message.h"
#include <sys/types.h>

#define AT            "2026-11-21T07:00:00.000000Z"
#define DEADLINE_MSEC 10000

typedef struct Program {
        Scratch scratch;
        char *socket_path; /* owned; of the record socket */
        pid_t pid;
        int link;  /* owned; to the recorder */
        int ended; /* owned; of a pipe whose other end only the recorder has: hangs up when it ends */
        int n;
} Program;

void need_program(void);
/* The child keeps only the sockets that are its own, so that a hang-up is one. */
pid_t spawn(char *const argv[], int first, int second, int *ret_ended);
/* An fd with a number that the child's dup2 does not hit. */
int above(int fd);
void program_start_with(Program *program, const char *const *more);
void program_start(Program *program);
void program_init(Program *program);
int program_wait(Program *program);
void program_deinit(Program *program);
json_t *receive(int fd);
const char *storage_state(const json_t *packet);
bool is_storage(const json_t *packet);
/* The next acknowledgement; reports of the storage's state in between are passed over. */
json_t *receive_reply(const Program *program);
void send_row(Program *program, const char *op, json_t *object);
void assert_acknowledged(const Program *program, int n);
void await_storage(const Program *program, const char *state);
int connect_to(const Program *program);
json_t *ask(int fd, json_t *request);
json_t *request_of(const char *op);
json_t *big_event(const char *event_id, int seq);
void store_events(Program *program, int n);
