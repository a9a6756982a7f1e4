/*
 * A disk that hangs: fsync() and fdatasync() do not return while the file $SCIDEX_TEST_HANG exists.
 *
 * Preloaded by tests/postgres into the recorder. The hard thing is that a disk gives no sign when it is back: so this
 * looks every 10 ms, as the test that makes and removes the file.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void hang(void) {
        const struct timespec pause = { .tv_nsec = 10 * 1000 * 1000 };
        const char *path = getenv("SCIDEX_TEST_HANG");

        while (path && access(path, F_OK) == 0)
                (void)nanosleep(&pause, NULL);
}

__attribute__((visibility("default"))) int fsync(int __fd) {
        hang();
        return (int)syscall(SYS_fsync, __fd);
}

__attribute__((visibility("default"))) int fdatasync(int __fildes) {
        hang();
        return (int)syscall(SYS_fdatasync, __fildes);
}
