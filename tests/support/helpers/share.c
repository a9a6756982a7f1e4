/*
 * share PROCESSES MEGABYTES: fills MEGABYTES once, then PROCESSES children share every page of it.
 *
 * For the sampled engine: the sum of their RSS is PROCESSES + 1 times the truth. Says `shared` when all children have
 * read all pages, and exits 0 when its stdin ends; the children with it.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void read_and_hold(const char *place, size_t size, int ready) {
        unsigned long sum = 0;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (size_t at = 0; at < size; at += 4096)
                sum += (unsigned char)place[at];
        if (write(ready, sum ? "y" : "n", 1) < 0)
                _exit(2);
        for (;;)
                pause();
}

int main(int argc, char **argv) {
        long processes = argc == 3 ? strtol(argv[1], NULL, 10) : 0;
        size_t size = argc == 3 ? strtoul(argv[2], NULL, 10) << 20 : 0;
        int ready[2];
        char byte, *place;

        if (processes <= 0 || size == 0 || pipe(ready) < 0)
                return 2;
        place = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (place == MAP_FAILED)
                return 2;
        memset(place, 1, size);
        for (long i = 0; i < processes; i++)
                if (fork() == 0)
                        read_and_hold(place, size, ready[1]);
        for (long i = 0; i < processes; i++)
                if (read(ready[0], &byte, 1) != 1)
                        return 2;
        if (write(STDOUT_FILENO, "shared\n", 7) < 0)
                return 2;
        while (read(STDIN_FILENO, &byte, 1) > 0)
                ;
        kill(0, SIGCONT);
        return 0;
}
