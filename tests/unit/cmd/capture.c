/* An fd pointed at a memory file for a while: stderr of what is tested. Used by the launcher's tests. */
#include "tests/unit/cmd/capture.h"

#include "base/cleanup.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cmocka.h>

Capture capture_begin(int fd) {
        Capture capture = { .fd = fd, .saved = dup(fd), .file = memfd_create("capture", MFD_CLOEXEC) };

        assert_true(capture.saved >= 0 && capture.file >= 0);
        assert_int_equal(dup2(capture.file, fd), fd);
        return capture;
}

char *capture_end(Capture *capture) {
        struct stat st;
        char *text;

        (void)fflush(stdout);
        assert_int_equal(dup2(capture->saved, capture->fd), capture->fd);
        assert_int_equal(fstat(capture->file, &st), 0);
        text = calloc(1, (size_t)st.st_size + 1);
        assert_non_null(text);
        assert_int_equal(pread(capture->file, text, (size_t)st.st_size, 0), st.st_size);
        capture->saved = close_fd(capture->saved);
        capture->file = close_fd(capture->file);
        return text;
}
