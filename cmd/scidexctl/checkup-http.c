/*
 * doctor's word on the status over HTTP.
 *
 * Called by checkup().  Pure.  A port that somebody else has is a warning: runs are supervised all the same.
 */
#include "cmd/scidexctl/checkup-findings.h"

#include "base/cleanup.h"
#include "base/file.h"
#include <string.h>

#define NAME "status over HTTP"

static const json_t *sockets_of(const DoctorFacts *d) {
        return json_object_get(json_object_get(d->status, "status"), "http");
}

/* Those that stand, with commas between them. NULL on OOM. Caller frees. */
static char *list_standing(const json_t *sockets) {
        char *list = strdup("");
        const json_t *socket;
        size_t i;

        json_array_foreach((json_t *)sockets, i, socket) {
                _cleanup_(freep) char *before = list;
                const char *place = json_string_value(json_object_get(socket, "listen"));

                list = before && place && json_is_true(json_object_get(socket, "ok"))
                        ? text_printf("%s%s%s", before, *before ? ", " : "", place)
                        : TAKE_PTR(before);
        }
        return list;
}

static const json_t *first_lacking(const json_t *sockets) {
        const json_t *socket;
        size_t i;

        json_array_foreach(
                (json_t *)sockets, i, socket) if (!json_is_true(json_object_get(socket, "ok"))) return socket;
        return NULL;
}

void check_http(Findings *f, const DoctorFacts *d) {
        const json_t *sockets = sockets_of(d), *lacking = first_lacking(sockets);
        _cleanup_(freep) char *standing = NULL;

        if (json_array_size(sockets) == 0)
                return;
        if (lacking) {
                const char *place = json_string_value(json_object_get(lacking, "listen"));
                const char *detail = json_string_value(json_object_get(lacking, "detail"));

                finding_add(f, NAME, FINDING_WARNING,
                        "See who has it (ss -ltnp), or name another place: [http] listen in supervisor.conf, or "
                        "SCIDEX_HTTP_LISTEN. It is tried again by itself.",
                        "the supervisor can't listen at %s: %s", place ? place : "?", detail ? detail : "?");
                return;
        }
        if (!d->has_full_recorder) {
                finding_add(f, NAME, FINDING_WARNING, "Install scidex-recorder-full beside scidex-recorder.",
                        "scidex-recorder-full, which serves it, is not found: who connects waits in vain");
                return;
        }
        standing = list_standing(sockets);
        finding_add(f, NAME, FINDING_OK, NULL, "at %s", standing ? standing : "?");
}
