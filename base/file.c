/*
 * Small files, kernel files, directories, extended attributes: the only place that loops over read(2) and write(2).
 *
 * Called by cgroup/ for every kernel file, by adoption for the attributes of a group, by the mains for configuration.
 *
 * The hard thing is that kernel files lie about their size (0, or one page), so a read can only go on until the
 * kernel says end of file, in a buffer that grows; and that they take a value in one write(2) or not at all, so a
 * short write there is an error and is never continued. Ordinary files are replaced, never rewritten in place: a
 * crash leaves the old content or the new one.
 */
#include "base/file.h"

#include "base/cleanup.h"
#include "base/parse.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define READ_FIRST_BYTES ((size_t)4096) /* one page holds nearly every kernel file */
#define NUMBER_MAX_BYTES 64             /* a decimal number and a newline, with room to notice that it is none */

static ssize_t read_retry(int fd, void *buffer, size_t size) {
        ssize_t n;

        do
                n = read(fd, buffer, size);
        while (n < 0 && errno == EINTR);
        return n;
}

/* Reads until end of file. A byte more than allowed is asked for, to tell "full" from "too large". */
static int read_all(int fd, size_t max_bytes, char **ret, size_t *ret_size) {
        _cleanup_(freep) char *text = NULL;
        size_t size = 0, room = 0;

        for (;;) {
                ssize_t n;

                if (size == room) {
                        char *larger;

                        room = MIN_OF(room ? room * 2 : READ_FIRST_BYTES, max_bytes + 1);
                        larger = realloc(text, room + 1);
                        if (!larger)
                                return -ENOMEM;
                        text = larger;
                }
                n = read_retry(fd, text + size, room - size);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t)n;
                if (size > max_bytes)
                        return -EFBIG;
                /* The kernel's files stop early only before a record that does not fit: half a buffer left is the end.
                 */
                if ((size_t)n <= READ_FIRST_BYTES / 2 && room - size >= READ_FIRST_BYTES / 2)
                        break;
        }

        text[size] = '\0';
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

int file_read_at(int dir, const char *name, size_t max_bytes, char **ret, size_t *ret_size) {
        _cleanup_(close_fdp) int fd = -EBADF;
        size_t size = 0;
        int r;

        if (max_bytes >= SIZE_MAX / 4)
                return -EINVAL;
        fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        r = read_all(fd, max_bytes, ret, &size);
        if (r < 0)
                return r;
        if (ret_size)
                *ret_size = size;
        return 0;
}

int file_read_u64_at(int dir, const char *name, uint64_t *ret) {
        _cleanup_(close_fdp) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        char text[NUMBER_MAX_BYTES];
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read_retry(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        if (n > 0 && text[n - 1] == '\n')
                n--;
        text[n] = '\0';
        if (strlen(text) != (size_t)n)
                return -EINVAL;
        if (strcmp(text, "max") == 0) {
                *ret = UINT64_MAX;
                return 0;
        }
        return parse_u64(text, ret) < 0 ? -EINVAL : 0;
}

int file_write_at(int dir, const char *name, const char *text) {
        _cleanup_(close_fdp) int fd = -EBADF;
        size_t size = strlen(text);
        ssize_t n;

        fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        do
                n = write(fd, text, size);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return (size_t)n == size ? 0 : -EIO;
}

int text_find_u64(const char *text, const char *key, uint64_t *ret) {
        size_t length = strlen(key);

        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                char number[NUMBER_MAX_BYTES];
                size_t digits;

                if (strncmp(line, key, length) != 0 || line[length] != ' ')
                        continue;
                digits = strcspn(line + length + 1, "\n");
                if (digits >= sizeof(number))
                        return -EINVAL;
                memcpy(number, line + length + 1, digits);
                number[digits] = '\0';
                return parse_u64(number, ret) < 0 ? -EINVAL : 0;
        }
        return -ENOENT;
}

static int write_all(int fd, const char *data, size_t size) {
        while (size > 0) {
                ssize_t n = write(fd, data, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                data += n;
                size -= (size_t)n;
        }
        return 0;
}

/* A name beside name, so that rename(2) stays within one file system; random, so that writers do not collide. */
static char *temporary_name(const char *name) {
        uint64_t nonce;

        if (getrandom(&nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
                return NULL;
        return text_printf("%s.%016" PRIx64, name, nonce);
}

/* Makes the rename itself durable. Not every file system can (EINVAL): then nothing better exists. */
static int sync_parent(int dir, const char *name) {
        const char *slash = strrchr(name, '/');
        _cleanup_(freep) char *parent = slash ? strndup(name, (size_t)(slash - name) + 1) : strdup(".");
        _cleanup_(close_fdp) int fd = -EBADF;

        if (!parent)
                return -ENOMEM;
        fd = openat(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (fsync(fd) < 0 && errno != EINVAL)
                return -errno;
        return 0;
}

static int fill(int fd, const void *data, size_t size, mode_t mode) {
        int r = write_all(fd, data, size);

        if (r < 0)
                return r;
        /* Not open(2)'s mode: the umask would take bits away, and the content was secret until now. */
        if (fchmod(fd, mode) < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

int file_replace_at(int dir, const char *name, const void *data, size_t size, mode_t mode) {
        _cleanup_(freep) char *temporary = temporary_name(name);
        _cleanup_(close_fdp) int fd = -EBADF;
        int r;

        if (!temporary)
                return -ENOMEM;
        fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        r = fill(fd, data, size, mode);
        if (r == 0 && renameat(dir, temporary, dir, name) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlinkat(dir, temporary, 0);
                return r;
        }
        return sync_parent(dir, name);
}

int directory_make(const char *path, mode_t mode) {
        _cleanup_(freep) char *part = strdup(path);
        struct stat st;

        if (!part)
                return -ENOMEM;
        for (char *p = part + strspn(part, "/"); *p;) {
                char after;

                p += strcspn(p, "/");
                after = *p;
                *p = '\0';
                if (mkdir(part, mode) < 0 && errno != EEXIST)
                        return -errno;
                *p = after;
                p += strspn(p, "/");
        }
        if (stat(path, &st) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int xattr_read(int fd, const char *name, char **ret) {
        for (;;) {
                _cleanup_(freep) char *text = NULL;
                ssize_t size = fgetxattr(fd, name, NULL, 0), n;

                if (size < 0)
                        return -errno;
                text = malloc((size_t)size + 1);
                if (!text)
                        return -ENOMEM;
                /* A buffer of size 0 would ask for the size again. */
                n = size == 0 ? 0 : fgetxattr(fd, name, text, (size_t)size);
                if (n >= 0) {
                        text[n] = '\0';
                        *ret = TAKE_PTR(text);
                        return 0;
                }
                /* Grown between the two calls. */
                if (errno != ERANGE)
                        return -errno;
        }
}

int xattr_write(int fd, const char *name, const char *text) {
        return fsetxattr(fd, name, text, strlen(text), 0) < 0 ? -errno : 0;
}

char *text_printf(const char *format, ...) {
        char *text = NULL;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&text, format, ap);
        va_end(ap);
        return r < 0 ? NULL : text;
}
