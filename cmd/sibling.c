/*
 * Finding a program of ours from another one.
 *
 * Called by scidex-run (supervisor), scidex-supervisor and scidexctl (recorder).  /proc/self/exe is believed, PATH
 * never is: what is started here may run as root.
 */
#include "cmd/sibling.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <limits.h>
#include <string.h>

static int own_directory(char **ret) {
        _cleanup_(freep) char *path = malloc(PATH_MAX);
        ssize_t n;

        if (!path)
                return -ENOMEM;
        n = readlink("/proc/self/exe", path, PATH_MAX - 1);
        if (n < 0)
                return -errno;
        path[n] = '\0';
        *strrchr(path, '/') = '\0';
        *ret = TAKE_PTR(path);
        return 0;
}

int sibling_find(const char *program, char **ret_path) {
        _cleanup_(freep) char *directory = NULL, *beside = NULL, *installed = NULL;
        int r = own_directory(&directory);

        if (r < 0)
                return r;
        beside = text_printf("%s/%s", directory, program);
        installed = text_printf("%s/%s", SCIDEX_LIBEXEC, program);
        if (!beside || !installed)
                return -ENOMEM;
        if (access(beside, X_OK) == 0)
                *ret_path = TAKE_PTR(beside);
        else if (access(installed, X_OK) == 0)
                *ret_path = TAKE_PTR(installed);
        else
                return -ENOENT;
        return 0;
}
