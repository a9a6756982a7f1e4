/*
 * pressed MEGABYTES: a program that speaks systemd's memory pressure protocol, as https://systemd.io/MEMORY_PRESSURE
 * has it.
 *
 * For tests of what a run is told. It arms the trigger that its environment names, takes memory in a child, and waits
 * for the notification in itself: the child is the one that stalls. Says `armed`, then `pressure` and exits 0; exits 1
 * with a reason when something is missing or refused, 2 when no notification came in time.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MSEC 120000
#define MEGABYTE  (1UL << 20)

static int digit(char c) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        const char *at = c ? strchr(digits, c) : NULL;

        return at ? (int)(at - digits) : -1;
}

/* RFC 4648; the number of bytes. */
static size_t decode(const char *text, char *to, size_t size) {
        unsigned value = 0, bits = 0;
        size_t n = 0;

        for (; digit(*text) >= 0 && n < size; text++) {
                value = value << 6 | (unsigned)digit(*text);
                bits += 6;
                if (bits >= 8) {
                        bits -= 8;
                        to[n++] = (char)(value >> bits);
                }
        }
        return n;
}

static int arm(void) {
        const char *path = getenv("MEMORY_PRESSURE_WATCH"), *text = getenv("MEMORY_PRESSURE_WRITE");
        char trigger[256];
        size_t size;
        int fd;

        if (!path || !text) {
                fprintf(stderr, "pressed: MEMORY_PRESSURE_%s is not set\n", path ? "WRITE" : "WATCH");
                exit(1);
        }
        size = decode(text, trigger, sizeof(trigger));
        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || write(fd, trigger, size) < 0) {
                fprintf(stderr, "pressed: %s: %s\n", path, strerror(errno));
                exit(1);
        }
        return fd;
}

static void take(unsigned long megabytes) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (unsigned long i = 0; i < megabytes; i++) {
                char *place = mmap(NULL, MEGABYTE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                if (place == MAP_FAILED)
                        _exit(1);
                for (unsigned long at = 0; at < MEGABYTE; at += 4096)
                        place[at] = 1;
        }
        for (;;)
                pause();
}

int main(int argc, char *argv[]) {
        struct pollfd waiting = { .fd = arm(), .events = POLLPRI };
        pid_t child;
        int n;

        if (argc != 2)
                return 1;
        (void)puts("armed");
        (void)fflush(stdout);
        child = fork();
        if (child == 0)
                take(strtoul(argv[1], NULL, 10));
        n = poll(&waiting, 1, WAIT_MSEC);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        if (n != 1 || !(waiting.revents & POLLPRI) || waiting.revents & POLLERR)
                return 2;
        (void)puts("pressure");
        return 0;
}
