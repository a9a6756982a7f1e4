/*
 * The database instead of this host: what --all-hosts, `db` and `top` ask.
 *
 * Called by the verbs.  scidexctl does not speak to PostgreSQL itself: scidex-db does, on a socketpair, with the
 * packets of the record socket.  So a list of all hosts is read as one of this host is, and the packets that both know
 * differ only in whose rows they bring.
 */
#include "base/cleanup.h"
#include "cmd/scidexctl/rows.h"
#include "control/message.h"
#include <string.h>

json_t *ask_open_database(const Options *options, Source *ret) {
        _cleanup_(freep) char *conninfo = NULL;
        int r = ask_conninfo(options, &conninfo);

        if (r == -ENOENT)
                return answer_failed("no-database",
                        "give --postgres CONNINFO, or configure it: [storage] postgres, or SCIDEX_STORAGE_POSTGRES",
                        "no database is configured");
        if (r == 0)
                r = source_database(conninfo, ret);
        if (r == -ENOENT)
                return answer_failed("no-database",
                        "install all of scidex together (meson install), or run it from one build directory",
                        "scidex-db, which asks the database, is not installed");
        return r < 0 ? answer_failed("failed", NULL, "the database can't be asked: %s", strerror(-r)) : NULL;
}

json_t *ask_database(const Options *options, const json_t *request, RowSink *sink) {
        _cleanup_(source_deinit) Source source = SOURCE_NONE;
        json_t *answer = ask_open_database(options, &source);

        source.sink = sink;
        return answer ? answer : source_ask(&source, request);
}

json_t *ask_anywhere(const Options *options, Where where, const json_t *request) {
        return options->all_hosts ? ask_database(options, request, NULL) : ask(options, where, request);
}

json_t *rows_ask(const Source *source, const Options *options, const char *op) {
        _cleanup_(json_decrefp) json_t *failure = NULL;
        _cleanup_(json_decrefp) json_t *request = request_filtered(op, options, &failure);

        if (!request)
                return TAKE_PTR(failure);
        if (json_object_set_new(request, "brief", json_true()) < 0)
                return NULL;
        return source_ask(source, request);
}

json_t *rows_listen(const Source *source, uint64_t timeout_usec) {
        _cleanup_(json_decrefp) json_t *request = message_request("listen");

        return request && json_object_set_new(request, "timeout_usec", json_from_u64(timeout_usec)) == 0
                ? source_ask(source, request)
                : NULL;
}
