/*
 * thrasher FILE MEGABYTES SECONDS: touches random pages of the first MEGABYTES of FILE, for SECONDS.
 *
 * With a working set somewhat larger than the memory limit every touch is a page that was thrown out a moment ago (a
 * refault): the process stands still in reclaim and I/O, yet is never out of memory. FILE may be a block device: its
 * pages are page cache as a file's. $THRASHER_READERS (1) processes do it at once. The caller switches read-ahead off,
 * of the disk: madvise(MADV_RANDOM) would, but tells newer kernels (MGLRU) not to count what is thrown out as missed.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static time_t now(void) {
        struct timespec time;

        clock_gettime(CLOCK_MONOTONIC, &time);
        return time.tv_sec;
}

static int touch_until(const volatile char *place, size_t pages, time_t end, unsigned int seed) {
        unsigned long sum = 0;

        while (now() < end)
                for (int i = 0; i < 64; i++)
                        sum += (unsigned char)place[(size_t)rand_r(&seed) % pages * 4096];
        return sum == 1;
}

int main(int argc, char **argv) {
        const char *readers_text = getenv("THRASHER_READERS");
        long readers = readers_text ? strtol(readers_text, NULL, 10) : 1;
        size_t size = argc == 4 ? strtoul(argv[2], NULL, 10) << 20 : 0;
        time_t end = argc == 4 ? now() + strtol(argv[3], NULL, 10) : 0;
        char *place;
        int fd;

        if (size == 0 || (fd = open(argv[1], O_RDONLY | O_CLOEXEC)) < 0) {
                perror("thrasher");
                return 2;
        }
        place = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        if (place == MAP_FAILED) {
                perror("thrasher");
                return 2;
        }
        for (long i = 1; i < readers; i++)
                if (fork() == 0)
                        _exit(touch_until(place, size / 4096, end, (unsigned int)i));
        touch_until(place, size / 4096, end, 0);
        while (wait(NULL) > 0)
                ;
        return 0;
}
