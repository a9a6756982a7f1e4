/* Within recorder: the child process. */
#pragma once

#include "supervise/recorder.h"

/* Starts the program; fd is its end of the link. 0 and its pid, -errno. */
int recorder_spawn(const RecorderOptions *options, int fd, pid_t *ret_pid);
