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

int handover_write(const char *directory, const Handover *h) {
        _cleanup_(freep) char *left = text_printf("%s/left", directory), *name = text_printf("%s.json", h->run_id);
        _cleanup_(json_decrefp) json_t *o = NULL;
        _cleanup_(freep) char *text = NULL;
        _cleanup_(close_fdp) int fd = -EBADF;
        int r;

        if (!left || !name)
                return -ENOMEM;
        o = json_pack(
                "{s:i, s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:i, s:s, s:o, s:o, s:I, s:o, s:o, s:o}",
                "v", 1, "run_id", h->run_id, "boot_id", h->boot_id, "request", request_to_json(h->request),
                "launched_at", (json_int_t)h->launched_at, "launched_usec", (json_int_t)h->launched_usec, "ended_at",
                (json_int_t)h->ended_at, "ended_usec", (json_int_t)h->ended_usec, "launcher_pid", (int)h->launcher_pid,
                "pid", (int)h->pid, "wait_status", h->wait_status, "exec_errno", h->exec_errno, "forwarded",
                h->forwarded, "verdict", verdict_to_string(h->verdict), "detail", json_from_text(h->detail), "event_id",
                json_from_text(h->event_id), "killed_at", (json_int_t)h->killed_at, "memory_peak_bytes",
                json_from_u64(h->memory_peak_bytes), "own_oom", json_from_u64(h->own_oom), "local_oom_kill",
                json_from_u64(h->local_oom_kill));
        text = o ? json_to_text(o) : NULL;
        if (!text)
                return -ENOMEM;
        r = directory_make(left, 0700);
        if (r < 0)
                return r;
        fd = open(left, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return file_replace_at(fd, name, text, strlen(text), 0600);
}
