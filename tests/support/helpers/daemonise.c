/*
 * daemonise COMMAND...: starts COMMAND as a daemon does (fork, setsid, fork, new directory, no terminal) and exits.
 *
 * For tests of leftovers: what polls parents and sessions loses such a process. Says the daemon's pid on stdout, which
 * stays open in it only if $DAEMONISE_KEEP_STDOUT is set.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void become_daemon(char **command) {
        pid_t daemon;
        int null;

        if (setsid() < 0)
                _exit(2);
        daemon = fork();
        if (daemon != 0) {
                /* Said here: the daemon itself may be killed before it could. */
                printf("%d\n", daemon);
                fflush(stdout);
                _exit(daemon < 0 ? 2 : 0);
        }
        null = open("/dev/null", O_RDWR);
        if (chdir("/") < 0 || null < 0)
                _exit(2);
        dup2(null, STDIN_FILENO);
        dup2(null, STDERR_FILENO);
        if (!getenv("DAEMONISE_KEEP_STDOUT"))
                dup2(null, STDOUT_FILENO);
        if (null > STDERR_FILENO)
                close(null);
        execvp(command[0], command);
        _exit(127);
}

int main(int argc, char **argv) {
        pid_t child;
        int status;

        if (argc < 2)
                return 2;
        child = fork();
        if (child < 0)
                return 2;
        if (child == 0)
                become_daemon(argv + 1);
        return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}
