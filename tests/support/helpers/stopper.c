/*
 * stopper stop|freeze: a process that stops itself (SIGSTOP), or freezes the cgroup it is in.
 *
 * For tests of the kill: a stopped process does not see SIGTERM before SIGCONT, a frozen one sees nothing at all. Says
 * `stopping` first. On SIGTERM it says `term` and exits 3, so that the test knows that it was woken to hear it.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void on_term(int signal_number) {
        if (write(STDOUT_FILENO, "term\n", 5) < 0)
                _exit(4);
        _exit(3);
}

/* The cgroup2 mount point from /proc/self/mountinfo: field 5 of the line whose type is cgroup2. */
static int find_mount(char *buffer, size_t size) {
        FILE *file = fopen("/proc/self/mountinfo", "re");
        char *line = NULL;
        size_t room = 0;
        int found = -1;

        while (found < 0 && file && getline(&line, &room, file) > 0)
                if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %255s", buffer) == 1)
                        found = 0;
        free(line);
        if (file)
                fclose(file);
        return size >= 256 ? found : -1;
}

static int freeze_own_cgroup(void) {
        FILE *file = fopen("/proc/self/cgroup", "re");
        char mount[256], *path = NULL, *line = NULL;
        size_t room = 0;
        int fd = -1;

        if (!file || find_mount(mount, sizeof(mount)) < 0)
                return -1;
        while (getline(&line, &room, file) > 0)
                if (strncmp(line, "0::", 3) == 0) {
                        line[strcspn(line, "\n")] = '\0';
                        if (asprintf(&path, "%s%s/cgroup.freeze", mount, line + 3) > 0)
                                fd = open(path, O_WRONLY | O_CLOEXEC);
                }
        return fd < 0 ? -1 : (int)write(fd, "1", 1);
}

int main(int argc, char **argv) {
        if (argc != 2 || signal(SIGTERM, on_term) == SIG_ERR || write(STDOUT_FILENO, "stopping\n", 9) < 0)
                return 2;
        if (strcmp(argv[1], "freeze") == 0) {
                if (freeze_own_cgroup() < 0) {
                        perror("stopper: freeze");
                        return 2;
                }
        } else
                raise(SIGSTOP);
        for (;;)
                pause();
}
