/* Between serve.c (the table of operations) and the files that handle them. */
#pragma once

#include "base/process.h"
#include "supervise/supervisor-internal.h"

#define SERVE_HINT_DRAINING "Try again when the host is up again, or scidex-keeper.service is running."

typedef struct Request {
        Supervisor *s;
        Session *session;
        Message *message;
        const char *op;
} Request;

/* Sends a reply; its reference is taken over. */
void serve_answer(const Request *q, json_t *reply);
/* A refusal: what is wrong, with what (NULL: the message says it), what to do. */
void serve_refuse(const Request *q, const char *code, const char *message, const char *detail, const char *hint);
/* Whether the sender of the packet may see and end this run. */
bool serve_peer_may(const Request *q, const Run *run);
/* The one live run that member `run` names, among those that the caller may see; NULL: the refusal is sent. */
Run *serve_select_one(const Request *q);
/* Whether the caller, who may see the run, may also lift its limits: not the owner of what root has registered. Else
 * the refusal is sent. */
bool serve_may_change(const Request *q, const Run *run);
/* The innermost run that pid lies within, by its cgroup; NULL: none. */
Run *serve_run_around(Supervisor *s, pid_t pid);

/*
 * Whether uid may have this run: fills in the configured defaults for what was not asked for (config_admit()), or sends
 * the refusal and returns false. nested: its group will lie within another run's.
 */
bool serve_admit(const Request *q, uid_t uid, bool nested, RunRequest *request);
/* Whether a live run may be changed so (config_admit_change()); else the refusal is sent. */
bool serve_admit_change(const Request *q, const Run *run, const RunRequest *after);

/*
 * The process that a launcher names in `pid`, with a pidfd (owned by the caller). 0; -ESRCH: it has ended and nothing
 * is known but its pid, no pidfd; -EPERM no child of the launcher, or not its user's; -EINVAL no pid; -errno can't be
 * told now.
 */
int serve_child(const Request *q, ProcessIdentity *ret, int *ret_pidfd);
/* Nobody was in the group, and the process that was to be moved has ended: who is in it now has strayed there, and is
 * moved to where its parent lives. */
void serve_bring_back_strays(const Supervisor *s, const Run *run);
#define SERVE_LEAF_NAME "main" /* where a run's own processes go when a nested one needs the group */
/* Makes the run's group and sets its limits. 0, also where none can be made; -errno with *ret_what what
 * could not be done, for people. */
int serve_make_group(Supervisor *s, Run *run, const char **ret_what);
/* What a launcher, or who registers, is to be told of what can't be kept. */
json_t *serve_warnings(const Supervisor *s, const Run *run);

/* The `tree` of a status. NULL on OOM. */
json_t *serve_tree_object(const Supervisor *s);
/* A live run as `show` tells it, made to fit a packet. NULL on OOM. */
json_t *serve_run_in_full(Supervisor *s, Run *run);

void serve_launch(const Request *q);
void serve_started(const Request *q);
void serve_move(const Request *q);
void serve_exited(const Request *q);
void serve_cancel(const Request *q);
void serve_attach(const Request *q);

void serve_list(const Request *q);
/* Goes on with the session's list, which is under way. */
void serve_list_more(Supervisor *s, Session *session);
void serve_show(const Request *q);
void serve_wait(const Request *q);
/* The session ends: it lists and waits no more. */
void serve_end_questions(Supervisor *s, Session *session);

void serve_drain(const Request *q);
void serve_once(const Request *q);
void serve_set(const Request *q);
void serve_register(const Request *q);
void serve_unregister(const Request *q);
