/*
 * The ends that launchers have left to the system's supervisor (supervise/handover.c writes them).
 *
 * Called while it adopts, once for each run that it has found: so nothing is listed, and files that belong to no run
 * are never looked at.  The hard thing is that every member of the group may write here: the name is opened without
 * following links and without waiting, and its owner must be the run's.
 */
#include "supervise/left.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define LEFT_MODE      01730
#define LEFT_MAX_BYTES (64 * 1024)

int left_open(const char *socket_path, gid_t group) {
        _cleanup_(freep) char *path = text_printf("%s.left", socket_path);
        _cleanup_(close_fdp) int fd = -EBADF;
        struct stat st;

        if (!path)
                return -ENOMEM;
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return -errno;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (st.st_uid != geteuid())
                return -EPERM;
        if (fchown(fd, (uid_t)-1, group) < 0 || fchmod(fd, LEFT_MODE) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static json_t *read_file(int directory, const char *name, uid_t uid) {
        _cleanup_(close_fdp) int fd =
                openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        _cleanup_(freep) char *text = NULL;
        json_t *o = NULL;
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != uid || st.st_nlink != 1 ||
                st.st_size > LEFT_MAX_BYTES)
                return NULL;
        text = malloc(LEFT_MAX_BYTES);
        n = text ? read(fd, text, LEFT_MAX_BYTES) : -1;
        if (n <= 0 || json_parse(text, (size_t)n, &o) < 0)
                return NULL;
        if (!json_is_object(o)) {
                json_decref(o);
                return NULL;
        }
        return o;
}

static void take_times(const json_t *o, Run *run) {
        uint64_t at = 0, usec = 0;

        (void)json_get_u64(o, "ended_at", &at);
        (void)json_get_u64(o, "ended_usec", &usec);
        if (usec < run->launched_usec || usec > clock_boottime_usec() || at < run->launched_at ||
                at > clock_realtime_usec())
                return;
        run->left_at = at;
        run->left_usec = usec;
}

bool left_take(int fd, Run *run) {
        _cleanup_(freep) char *name = text_printf("%s.json", run->id.text);
        _cleanup_(json_decrefp) json_t *o = NULL;
        const char *id;
        int status;

        if (fd < 0 || !name || run->status_known)
                return false;
        o = read_file(fd, name, run->uid);
        if (!o || json_get_text(o, "run_id", &id) < 0 || strcmp(id, run->id.text) != 0 ||
                json_get_int(o, "wait_status", &status) < 0)
                return false;
        run->wait_status = status;
        (void)json_get_int(o, "exec_errno", &run->exec_errno);
        (void)json_get_int(o, "forwarded", &run->forwarded);
        run->backstop = json_is_true(json_object_get(o, "backstop"));
        take_times(o, run);
        run->status_known = run->main_exited = run->launcher_gone = true;
        return true;
}

void left_forget(int fd, const char *run_id) {
        _cleanup_(freep) char *name = text_printf("%s.json", run_id);

        if (fd >= 0 && name)
                (void)unlinkat(fd, name, 0);
}
