/*
 * Findings about the database that the record is sent to.
 *
 * Called by checkup.c; pure.  Two tell of it: the recorder, which ships (its `storage.postgres`), and the server itself
 * (scidex-db's `status`), which knows what no recorder sees.  The hard thing is not to frighten: a database that is
 * away costs nothing but time, since every row waits in the local history, so each of these findings says that, too.
 */
#include "cmd/scidexctl/checkup-findings.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "cmd/scidexctl/rows.h"
#include "status/field.h"
#include <string.h>

#define BACKLOG_USEC (UINT64_C(3600) * USEC_PER_SEC) /* a row that waits longer while the server answers */
#define AHEAD_USEC   (UINT64_C(7) * 24 * BACKLOG_USEC)
#define NAME         "database"

static bool has(const json_t *object, const char *key, const char *value) {
        const char *text = field_text(object, key);

        return text && strcmp(text, value) == 0;
}

/* ", 12 rows wait in the local history, the first since 2026-…"; "" when none does. NULL on OOM. */
static char *backlog_text(const json_t *postgres) {
        const char *since = field_text(postgres, "oldest_waiting_at");
        uint64_t waiting = 0;
        char when[FORMAT_MAX];

        if (!field_u64(postgres, "waiting", &waiting) || waiting == 0)
                return strdup("");
        return text_printf("; %ju row%s in the local history%s%s", (uintmax_t)waiting,
                waiting == 1 ? " waits" : "s wait", since ? ", the first since " : "",
                since ? field_when(when, postgres, "oldest_waiting_at", "?") : "");
}

/* What the recorder says of it. */
static void check_shipping(Findings *f, const json_t *postgres) {
        const char *state = field_text(postgres, "state"), *detail = field_text(postgres, "detail");
        const char *hint = field_text(postgres, "hint"), *server = field_text(postgres, "server");
        _cleanup_(freep) char *backlog = backlog_text(postgres);
        uint64_t shipped = 0;

        if (!server || !*server)
                server = "the server"; /* of a connection string that is none */
        (void)field_u64(postgres, "shipped", &shipped);
        if (strcmp(state, "ok") == 0)
                finding_add(f, NAME, FINDING_OK, NULL, "%s takes the record, %ju row%s sent since the start%s", server,
                        (uintmax_t)shipped, shipped == 1 ? "" : "s", backlog ? backlog : "");
        else if (strcmp(state, "connecting") == 0)
                finding_add(f, NAME, FINDING_WARNING, "Ask again in 10 s; then it says why not.",
                        "%s is being connected to%s", server, backlog ? backlog : "");
        else
                finding_add(f, NAME, FINDING_NOT_OK,
                        hint ? hint : "Look at the server's log; nothing is lost, and limits are enforced as ever.",
                        "%s: %s%s%s%s", server, state, detail ? ": " : "", detail ? detail : "",
                        backlog ? backlog : "");
}

/* What scidexctl itself has found, where no recorder tells. */
static void check_answer(Findings *f, const json_t *answer) {
        const json_t *error = json_object_get(answer, "error");
        const char *message = field_text(error, "message"), *detail = field_text(error, "detail");
        const char *hint = field_text(error, "hint");

        if (!error)
                finding_add(f, NAME, FINDING_OK, NULL, "it answers; no recorder is running that would send to it");
        else
                finding_add(f, NAME, FINDING_NOT_OK, hint ? hint : "Look at the server's log.", "%s%s%s",
                        message ? message : "no answer", detail ? ": " : "", detail ? detail : "");
}

static void check_waiting(Findings *f, const json_t *postgres, uint64_t now) {
        uint64_t dead = 0, lost = 0, oldest, waiting = 0;
        char text[FORMAT_MAX];

        if (field_u64(postgres, "dead_letters", &dead) && dead > 0)
                finding_add(f, "database rows", FINDING_WARNING,
                        "scidexctl db dead shows them with the server's words; when the cause is mended, scidexctl db "
                        "retry sends them again.",
                        "%ju row%s refused for good and put aside; they are in the local history", (uintmax_t)dead,
                        dead == 1 ? " was" : "s were");
        if (field_u64(postgres, "given_up", &lost) && lost > 0)
                finding_add(f, "database gaps", FINDING_WARNING,
                        "Mend what keeps the database away, or give the history more room: [storage] history_size.",
                        "%ju row%s forgotten before it could be sent: the local history was full", (uintmax_t)lost,
                        lost == 1 ? " was" : "s were");
        if (has(postgres, "state", "ok") && field_u64(postgres, "waiting", &waiting) && waiting > 0 &&
                field_time(postgres, "oldest_waiting_at", &oldest) && usec_sub(now, oldest) > BACKLOG_USEC)
                finding_add(f, "database backlog", FINDING_WARNING,
                        "If the number does not fall, see what slows the server down (pg_stat_activity, locks).",
                        "%ju row%s to be sent, the first for %s", (uintmax_t)waiting,
                        waiting == 1 ? " waits" : "s wait",
                        format_duration(text, usec_sub(now, oldest) / USEC_PER_SEC * USEC_PER_SEC));
}

static void check_schema(Findings *f, const json_t *server) {
        const char *detail = field_text(server, "detail"), *hint = field_text(server, "hint");
        uint64_t version;

        if (!has(server, "state", "ok"))
                finding_add(f, "database schema", FINDING_NOT_OK, hint ? hint : "Look at the server's log.", "%s",
                        detail ? detail : "it can't be read");
        else if (field_u64(server, "version", &version))
                finding_add(f, "database schema", FINDING_OK, NULL, "version %ju, that of these programs",
                        (uintmax_t)version);
}

/* Why analysis_id can't refer to the platform's table: nothing fails for it, but the reference is missing. */
static void check_analyses(Findings *f, const json_t *analyses) {
        const char *state = field_text(analyses, "state"), *detail = field_text(analyses, "detail");
        const char *hint = field_text(analyses, "hint"), *table = field_text(analyses, "table");

        if (!state || strcmp(state, "absent") == 0 || strcmp(state, "linked") == 0)
                return;
        finding_add(f, "database analyses", FINDING_WARNING, hint ? hint : "scidexctl db migrate adds it.",
                "analysis_id does not refer to %s (%s); analysis_ref has every id", table ? table : "analyses",
                detail ? detail : state);
}

static void check_partitions(Findings *f, const json_t *partitions, uint64_t now) {
        uint64_t until = 0;

        if (partitions && (!field_time(partitions, "until_at", &until) || until < usec_add(now, AHEAD_USEC)))
                finding_add(f, "database partitions", FINDING_WARNING,
                        "scidexctl db migrate makes them; so does a recorder that ships.",
                        "there is no partition for next week's events: they would go to the default one");
}

static void check_settings(Findings *f, const json_t *server) {
        static const struct {
                const char *member;
                bool bad;
                const char *why, *remedy;
        } settings[] = {
                { "fsync", false, "fsync is off: a power failure of the server can lose or damage what it has taken",
                        "Switch it on in postgresql.conf; what was acknowledged is no longer in the outbox." },
                { "full_page_writes", false,
                        "full_page_writes is off: a power failure of the server can damage what it has taken",
                        "Switch it on in postgresql.conf; what was acknowledged is no longer in the outbox." },
                { "standby", true, "it is a standby: the record can be read there, not written",
                        "Name the primary server: [storage] postgres." },
                { "everyone_may_create", true, "everybody may make tables and functions in the record's schema",
                        "REVOKE CREATE ON SCHEMA … FROM PUBLIC" },
        };
        const char *encoding = field_text(server, "encoding");

        if (encoding && strcmp(encoding, "UTF8") != 0)
                finding_add(f, "database encoding", FINDING_WARNING,
                        "Make the database with ENCODING 'UTF8' (createdb -E UTF8 -T template0).",
                        "it is %s: ids and command lines with other characters are refused and put aside", encoding);
        for (size_t i = 0; i < ELEMENTSOF(settings); i++) {
                const json_t *value = json_object_get(server, settings[i].member);

                if (json_is_boolean(value) && json_is_true(value) == settings[i].bad)
                        finding_add(f, "database settings", FINDING_WARNING, settings[i].remedy, "%s", settings[i].why);
        }
}

static void check_hosts(Findings *f, const json_t *hosts) {
        const char *first = NULL;
        const json_t *host;
        size_t n, i, silent;

        json_array_foreach(hosts, i, host) {
                if (!first && json_is_true(json_object_get(host, "silent")))
                        first = field_text(host, "host");
        }
        n = hosts_count(hosts, &silent);
        if (first)
                finding_add(f, "database hosts", FINDING_WARNING,
                        "See whether they run; one that is gone for good: scidexctl db forget HOST.",
                        "%zu of %zu host%s silent: %s%s", silent, n, n == 1 ? " is" : "s are", first,
                        silent > 1 ? " and others" : "");
}

void check_database(Findings *f, const DoctorFacts *d) {
        const json_t *postgres = json_object_get(json_object_get(d->storage, "storage"), "postgres");
        const json_t *server = json_object_get(d->database, "database");

        if (field_text(postgres, "state")) {
                check_shipping(f, postgres);
                check_waiting(f, postgres, d->now_usec);
        } else if (d->database)
                check_answer(f, d->database);
        else if (d->database_unused)
                finding_add(f, NAME, FINDING_WARNING,
                        "systemctl reload scidex-supervisor, or send it HUP; then its log says why not.",
                        "one is configured, but the supervisor that runs sends nothing to it");
        if (!server)
                return;
        check_schema(f, server);
        check_analyses(f, json_object_get(server, "analyses"));
        check_partitions(f, json_object_get(server, "partitions"), d->now_usec);
        check_settings(f, server);
        check_hosts(f, json_object_get(server, "hosts"));
}
