/*
 * Whether a control socket may be bound, or its lock taken, at a path.
 *
 * Called by scidex-run before it starts a private supervisor, and by scidex-supervisor.  The hard thing is /tmp:
 * anybody could have made the directory first, so it must be ours and writable by nobody else, and it must be no link.
 */
#include "cmd/place.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

int place_check(const char *socket_path, char **ret_error) {
        _cleanup_(freep) char *copy = strdup(socket_path);
        const char *directory;
        struct stat st;
        int r;

        if (!copy)
                return -ENOMEM;
        directory = dirname(copy);
        r = directory_make(directory, geteuid() == 0 && strcmp(directory, "/run/scidex") == 0 ? 0755 : 0700);
        if (r < 0) {
                *ret_error =
                        text_printf("can't make %s: %s; set XDG_RUNTIME_DIR or SCIDEX_SOCKET", directory, strerror(-r));
                return r;
        }
        if (lstat(directory, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 0022) == 0)
                return 0;
        *ret_error = text_printf("%s is not a directory of yours that only you can write to; remove it, or set "
                                 "SCIDEX_SOCKET to a path elsewhere",
                directory);
        return -EPERM;
}
