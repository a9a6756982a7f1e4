/* Who asks for `top`, in a process of its own: no answer that is late keeps the screen from what is typed. */
#pragma once

#include "base/cleanup.h"
#include "cmd/scidexctl/ctl.h"
#include <sys/types.h>

#define TOP_KILLS 5 /* the last ones that are asked for */

typedef struct Worker {
        pid_t pid;     /* owned; 0: none */
        int fd;        /* owned; readable: worker_take(), or it is gone */
        char *text;    /* owned; of an answer that is not whole yet */
        size_t size;   /* of it */
        bool is_asked; /* an answer is to come */
} Worker;

#define WORKER_NONE ((Worker){ .fd = -EBADF })

/* Starts it. The signals of the terminal are blocked by then and stay so in it: it ends with us. 0, -errno. */
int worker_start(Worker *worker, const Options *options);
void worker_stop(Worker *worker);

/*
 * Asks; one question at a time. "look": {"ok","runs","events","hosts"}; "wait": the same as soon as the database tells
 * of something new, at most 5 s later; "kill" a run: the supervisor's answer; "show" a run: {"ok","text"}, as the verb
 * says it. 0, -EBUSY, -errno.
 */
int worker_ask(Worker *worker, const char *what, const char *run_id);
/* Takes what has come. *ret_answer NULL: it is not whole yet. 0, -EPIPE: the worker is gone, -errno. */
int worker_take(Worker *worker, json_t **ret_answer);
