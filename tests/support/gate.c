/*
 * Preloaded into a supervisor under test: it stops before each write of a pid to a cgroup.procs until it is let on.
 *
 *     SCIDEX_GATE_COMM  the program that it concerns
 *     SCIDEX_GATE       two FIFOs: the pid is written to $SCIDEX_GATE.out, then a byte is awaited from $SCIDEX_GATE.in
 *
 * So a test decides what happens between the supervisor's look at a process and its move.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int is_move(int fd, const char *text, size_t size) {
        char link[64], path[4096], comm[17] = "";
        const char *wanted = getenv("SCIDEX_GATE_COMM");
        ssize_t length;

        (void)prctl(PR_GET_NAME, comm);
        if (!wanted || strcmp(comm, wanted) != 0 || size == 0 || text[0] < '1' || text[0] > '9')
                return 0;
        (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        length = readlink(link, path, sizeof(path) - 1);
        if (length < 0)
                return 0;
        path[length] = '\0';
        length -= (ssize_t)strlen("/cgroup.procs");
        return length > 0 && strcmp(path + length, "/cgroup.procs") == 0;
}

static void stop_at_gate(const char *text, size_t size, ssize_t (*real)(int, const void *, size_t)) {
        const char *name = getenv("SCIDEX_GATE");
        char path[4096], byte;
        int fd;

        (void)snprintf(path, sizeof(path), "%s.out", name ? name : "");
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return;
        (void)real(fd, text, size);
        (void)close(fd);
        (void)snprintf(path, sizeof(path), "%s.in", name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, &byte, 1) < 0)
                abort();
        (void)close(fd);
}

/* NOLINTNEXTLINE: unistd.h declares it, and hidden is what the build makes of everything */
__attribute__((visibility("default"))) ssize_t write(int fd, const void *text, size_t size) {
        ssize_t (*real)(int, const void *, size_t) = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");

        if (is_move(fd, text, size))
                stop_at_gate(text, size, real);
        return real(fd, text, size);
}
