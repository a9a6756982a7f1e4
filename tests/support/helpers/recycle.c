/*
 * recycle PID [UID]: makes a child with just that pid (clone3 with set_tid: root), as user UID, that does nothing.
 *
 * Says `recycled` when it is there, and stays its parent until it is ended. For tests of what believes in a number.
 */

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 5000 /* of 1 ms: the one who has the number may just be going */

int main(int argc, char **argv) {
        pid_t wanted = argc > 1 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
        struct clone_args arguments = {
                .exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&wanted, .set_tid_size = 1
        };
        long pid = -1;

        for (int i = 0; i < TRIES; i++) {
                pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
                if (pid >= 0 || errno != EEXIST)
                        break;
                usleep(1000);
        }
        if (pid < 0) {
                perror("recycle: clone3");
                return 2;
        }
        if (pid == 0) {
                if (argc > 2 && setuid((uid_t)strtol(argv[2], NULL, 10)) < 0)
                        _exit(2);
                prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes it back */
                if (write(STDOUT_FILENO, "recycled\n", 9) < 0)
                        _exit(2);
                for (;;)
                        pause();
        }
        while (waitpid((pid_t)pid, NULL, 0) < 0 && errno == EINTR)
                ;
        return 0;
}
