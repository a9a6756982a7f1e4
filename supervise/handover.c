/*
 * Writing a handover; restart.c reads it.
 *
 * Called by a launcher that has waited for a supervisor in vain.
 */
#include "supervise/handover.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <fcntl.h>
#include <string.h>

static char *handover_text(const Handover *h) {
        _cleanup_(json_decrefp) json_t *o = json_pack(
                "{s:i, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, "
                "s:s, s:o, s:o, s:I, s:o, s:o, s:o, s:b}",
                "v", 1, "run_id", h->run_id, "boot_id", h->boot_id, "request", request_to_json(h->request),
                "launched_at", (json_int_t)h->launched_at, "launched_usec", (json_int_t)h->launched_usec, "ended_at",
                (json_int_t)h->ended_at, "ended_usec", (json_int_t)h->ended_usec, "launcher_pid", (int)h->launcher_pid,
                "pid", (int)h->pid, "wait_status", h->wait_status, "exec_errno", h->exec_errno, "forwarded",
                h->forwarded, "verdict", verdict_to_string(h->verdict), "detail", json_from_text(h->detail), "event_id",
                json_from_text(h->event_id), "killed_at", (json_int_t)h->killed_at, "memory_peak_bytes",
                json_from_u64(h->memory_peak_bytes), "own_oom", json_from_u64(h->own_oom), "local_oom_kill",
                json_from_u64(h->local_oom_kill), "backstop", h->backstop);

        return o ? json_to_text(o) : NULL;
}

int handover_write(const char *directory, const Handover *h) {
        _cleanup_(freep) char *left = text_printf("%s/left", directory), *name = text_printf("%s.json", h->run_id);
        _cleanup_(freep) char *text = handover_text(h);
        _cleanup_(close_fdp) int fd = -EBADF;
        int r;

        if (!left || !name || !text)
                return -ENOMEM;
        r = directory_make(left, 0700);
        if (r < 0)
                return r;
        fd = open(left, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return file_replace_at(fd, name, text, strlen(text), 0600);
}

/* No temporary name and no fsync: it is memory, and half a file is believed by nobody. */
int handover_write_system(const char *socket_path, const Handover *h) {
        _cleanup_(freep) char *path = text_printf("%s.left/%s.json", socket_path, h->run_id), *text = handover_text(h);
        _cleanup_(close_fdp) int fd = -EBADF;

        if (!path || !text)
                return -ENOMEM;
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        if (write(fd, text, strlen(text)) == (ssize_t)strlen(text))
                return 0;
        (void)unlink(path);
        return -ENOSPC;
}
