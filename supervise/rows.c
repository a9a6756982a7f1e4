/*
 * Rows of ended runs that are not yet committed.
 *
 * Called when a row is sent, when it is acknowledged, and by a supervisor that has just started. Not durable on
 * purpose: after a reboot there is no group either, and the record closes what it knew as `lost`.
 */
#include "supervise/rows.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/uuid.h"
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define ROW_MAX_BYTES 65536 /* a row fits into a packet */
#define NAME_SUFFIX   ".json"

int rows_open(const char *socket_path, Rows *ret) {
        _cleanup_(freep) char *path = text_printf("%s.rows", socket_path);
        _cleanup_(close_fdp) int fd = -EBADF;
        struct stat st;
        int r;

        *ret = ROWS_NONE;
        if (!path)
                return -ENOMEM;
        r = directory_make(path, 0700);
        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid() || (st.st_mode & 0077) != 0)
                return -EPERM; /* somebody else's: what it says is not ours */
        *ret = (Rows){ .fd = TAKE_FD(fd), .path = TAKE_PTR(path) };
        return 0;
}

void rows_deinit(Rows *rows) {
        if (rows->path)
                (void)rmdir(rows->path);
        free(rows->path);
        (void)close_fd(rows->fd);
        *rows = ROWS_NONE;
}

void rows_note(const Rows *rows, const char *run_id, const json_t *row) {
        _cleanup_(freep) char *name = text_printf("%s" NAME_SUFFIX, run_id), *text = NULL;
        _cleanup_(close_fdp) int fd = -EBADF;

        if (rows->fd < 0 || !name)
                return;
        text = json_to_text(row);
        if (!text)
                return;
        fd = openat(rows->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd >= 0 && write(fd, text, strlen(text)) < (ssize_t)strlen(text))
                (void)unlinkat(rows->fd, name, 0); /* half a row is none */
}

void rows_forget(const Rows *rows, const char *run_id) {
        _cleanup_(freep) char *name = text_printf("%s" NAME_SUFFIX, run_id);

        if (rows->fd >= 0 && name)
                (void)unlinkat(rows->fd, name, 0);
}

static void each_row(const Rows *rows, const char *name, RowsFunc func, void *userdata) {
        _cleanup_(freep) char *text = NULL, *id = strdup(name);
        _cleanup_(json_decrefp) json_t *row = NULL;
        char *suffix = id ? strstr(id, NAME_SUFFIX) : NULL;

        if (!suffix || strlen(suffix) != strlen(NAME_SUFFIX))
                return;
        *suffix = '\0';
        if (!uuid_valid(id) || file_read_at(rows->fd, name, ROW_MAX_BYTES, &text, NULL) < 0 ||
                json_parse(text, strlen(text), &row) < 0)
                return;
        if (json_is_object(row))
                func(id, row, userdata);
}

void rows_each(const Rows *rows, RowsFunc func, void *userdata) {
        _cleanup_(closedirp) DIR *directory = rows->path ? opendir(rows->path) : NULL;
        struct dirent *entry;

        while (directory && (entry = readdir(directory)))
                each_row(rows, entry->d_name, func, userdata);
}
