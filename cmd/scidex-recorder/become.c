/*
 * The recorder of the system's supervisor is not root: it parses what clients ask, holds a database, and later speaks
 * to networks.
 *
 * Called by main before anything is opened.  The hard thing is what is there already: a record that root has written
 * must become the user's, but in a directory that is (or may have been) the user's own, a name may be a link to
 * anything.  So each file is held by an O_PATH descriptor that follows no link, and must be a regular file of root's
 * with one name; that a user can't make in its own directory.
 */
#include "cmd/scidex-recorder/become.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "db/database.h"
#include <fcntl.h>
#include <grp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define DIRECTORY_MODE 0750
#define PARENTS_MODE   0755

static int make_parents(const char *directory) {
        _cleanup_(freep) char *parents = strdup(directory);
        char *slash;

        if (!parents)
                return -ENOMEM;
        slash = strrchr(parents, '/');
        if (!slash || slash == parents)
                return 0;
        *slash = '\0';
        return directory_make(parents, PARENTS_MODE);
}

/* Sets the mode while it is ours: of another user's directory that would take one more capability. */
static int make_directory(const char *directory, int *ret_fd) {
        bool made = false;
        int fd, r = make_parents(directory);

        if (r < 0)
                return r;
        if (mkdir(directory, 0700) == 0)
                made = true;
        else if (errno != EEXIST)
                return -errno;
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (made && fchmod(fd, DIRECTORY_MODE) < 0) {
                r = -errno;
                (void)close(fd);
                return r;
        }
        *ret_fd = fd;
        return 0;
}

static int give_file(int dir, const char *name, uid_t uid, gid_t gid) {
        _cleanup_(close_fdp) int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1)
                return 0;
        return fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int give_record(int dir, uid_t uid, gid_t gid) {
        int copy = fcntl(dir, F_DUPFD_CLOEXEC, 3);
        _cleanup_(closedirp) DIR *list = copy < 0 ? NULL : fdopendir(copy);
        struct dirent *entry;

        if (!list) {
                int r = -errno;

                (void)close_fd(copy);
                return r;
        }
        while ((entry = readdir(list))) {
                int r = strncmp(entry->d_name, DATABASE_NAME, strlen(DATABASE_NAME)) == 0
                        ? give_file(dir, entry->d_name, uid, gid)
                        : 0;

                if (r < 0 && r != -ENOENT)
                        return r;
        }
        return 0;
}

int become_prepare(const char *directory, uid_t uid, gid_t gid) {
        _cleanup_(close_fdp) int dir = -EBADF;
        struct stat st;
        int r;

        r = make_directory(directory, &dir);
        if (r == 0)
                r = give_record(dir, uid, gid);
        if (r < 0)
                return r;
        if (fstat(dir, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid()) /* the user's already; or another's, who then has to let it in */
                return 0;
        return fchown(dir, uid, gid) < 0 ? -errno : 0;
}

int become_user(uid_t uid, gid_t gid) {
        if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0 ||
                prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -errno;
        if (uid != 0 && (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0 || setgroups(0, NULL) == 0))
                return -ENOTRECOVERABLE;
        if (getuid() != uid || geteuid() != uid || getgid() != gid || getegid() != gid)
                return -ENOTRECOVERABLE;
        return 0;
}
