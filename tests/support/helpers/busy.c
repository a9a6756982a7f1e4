/*
 * busy [PROCESSES]: burns CPU in PROCESSES (1) processes until it is ended. For tests of the CPU-time limit.
 */

#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
        long processes = argc > 1 ? strtol(argv[1], NULL, 10) : 1;
        volatile unsigned long turns = 0;

        for (long i = 1; i < processes; i++)
                if (fork() == 0)
                        break;
        for (;;)
                turns++;
}
