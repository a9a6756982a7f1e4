/*
 * From what a person types to one run.
 *
 * Called for `why` and for lists of one run's events.  The hard thing is that ids are shown short, by their last eight
 * digits (the first of a UUIDv7 are the time and shared by all runs of a minute), and that an analysis id may look like
 * such a piece: so what is whole comes before what is a part.  A part goes through an index on the last four
 * characters, or through the primary key as a range; it is checked to be hexadecimal before, so that no character in it
 * means anything.
 */
#include "db/queries.h"

#include "base/file.h"
#include "db/schema.h"
#include "db/statement.h"
#include <ctype.h>
#include <string.h>

#define RUN_ID_LENGTH 36

void selection_deinit(Selection *selection) {
        free(selection->run_id);
        free(selection->analysis_id);
        json_decref(selection->candidates);
        *selection = (Selection){ .run_id = NULL };
}

/* The run ids that a statement (parameters ?1 text, ?2 uid) gives, at most one more than can be shown. */
static int read_ids(sqlite3 *db, const char *sql, const Viewer *viewer, const char *text, json_t **ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(json_decrefp) json_t *ids = json_array();
        int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_bind_text(statement, 1, text, -1, SQLITE_TRANSIENT);
        if (rc == SQLITE_OK && sqlite3_bind_parameter_count(statement) > 1)
                rc = sqlite3_bind_int64(statement, 2, (int64_t)viewer->uid);
        if (rc != SQLITE_OK)
                return rc;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
                if (json_array_append_new(ids, json_from_text((const char *)sqlite3_column_text(statement, 0))) < 0)
                        return SQLITE_NOMEM;
        if (rc != SQLITE_DONE)
                return rc;
        *ret = TAKE_PTR(ids);
        return SQLITE_OK;
}

static int ids_whole(sqlite3 *db, const Viewer *viewer, const char *run_id, json_t **ret) {
        const char *own = viewer->all ? "" : " AND uid=?2";
        _cleanup_(freep) char *sql = text_printf("SELECT run_id FROM watchdog_runs WHERE run_id=?1%s UNION"
                                                 " SELECT run_id FROM watchdog_processes WHERE run_id=?1%s UNION"
                                                 " SELECT run_id FROM watchdog_events WHERE run_id=?1%s",
                own, own, own);

        return sql ? read_ids(db, sql, viewer, run_id, ret) : SQLITE_NOMEM;
}

static int ids_newest_of_analysis(sqlite3 *db, const Viewer *viewer, const char *analysis_id, json_t **ret) {
        const char *own = viewer->all ? "" : " AND uid=?2";
        _cleanup_(freep) char *sql =
                text_printf("SELECT run_id FROM (SELECT * FROM (SELECT run_id, " RUN_AT " AS at FROM watchdog_runs"
                            " WHERE analysis_id=?1%s ORDER BY " RUN_AT " DESC, rowid DESC LIMIT 1)"
                            " UNION ALL SELECT run_id, " RUN_AT " FROM watchdog_processes WHERE analysis_id=?1%s)"
                            " ORDER BY at DESC LIMIT 1",
                        own, own);

        return sql ? read_ids(db, sql, viewer, analysis_id, ret) : SQLITE_NOMEM;
}

static int ids_of_part(sqlite3 *db, const Viewer *viewer, const char *part, json_t **ret) {
        const char *own = viewer->all ? "" : " AND uid=?2";
        _cleanup_(freep) char *sql =
                text_printf("SELECT run_id FROM watchdog_runs WHERE run_id>=?1 AND run_id<=?1||'~'%s UNION"
                            " SELECT run_id FROM watchdog_runs WHERE substr(run_id,-4)=substr(?1,-4) AND "
                            "substr(run_id,-length(?1))=?1%s"
                            " UNION SELECT run_id FROM watchdog_processes WHERE run_id>=?1 AND run_id<=?1||'~'%s UNION"
                            " SELECT run_id FROM watchdog_processes WHERE substr(run_id,-length(?1))=?1%s LIMIT %d",
                        own, own, own, own, QUERY_CANDIDATES_MAX);

        return sql ? read_ids(db, sql, viewer, part, ret) : SQLITE_NOMEM;
}

/* In lower case, as ids are stored. NULL in *ret if it is no part of a run id at all. */
static int normalize_part(const char *selector, char **ret) {
        size_t length = strlen(selector);

        *ret = NULL;
        if (length < SELECTOR_MIN || length > RUN_ID_LENGTH || strspn(selector, "0123456789abcdefABCDEF-") != length)
                return 0;
        *ret = strdup(selector);
        if (!*ret)
                return -ENOMEM;
        for (char *p = *ret; *p; p++)
                *p = (char)tolower((unsigned char)*p);
        return 0;
}

static int take_id(json_t *ids, char **ret) {
        *ret = strdup(json_string_value(json_array_get(ids, 0)));
        return *ret ? 0 : -ENOMEM;
}

static int select_part(Spool *spool, sqlite3 *db, const Viewer *viewer, const char *selector, Selection *ret) {
        _cleanup_(json_decrefp) json_t *ids = NULL;
        _cleanup_(freep) char *part = NULL;
        int r = normalize_part(selector, &part), rc;

        if (r < 0 || !part)
                return r < 0 ? r : QUERY_E_NOT_FOUND;
        rc = ids_of_part(db, viewer, part, &ids);
        if (rc != SQLITE_OK) {
                spool_read_failed(spool, rc);
                return QUERY_E_AWAY;
        }
        if (json_array_size(ids) == 0)
                return QUERY_E_NOT_FOUND;
        if (json_array_size(ids) == 1)
                return take_id(ids, &ret->run_id);
        ret->candidates = TAKE_PTR(ids);
        return QUERY_E_AMBIGUOUS;
}

int query_select(Spool *spool, const Viewer *viewer, const char *selector, Selection *ret) {
        _cleanup_(json_decrefp) json_t *whole = NULL, *newest = NULL;
        sqlite3 *db = NULL;
        int r = spool_reader(spool, &db), rc;

        *ret = (Selection){ .run_id = NULL };
        if (r != 0)
                return r == SPOOL_E_EMPTY ? QUERY_E_NOT_FOUND : QUERY_E_AWAY;
        rc = ids_whole(db, viewer, selector, &whole);
        if (rc == SQLITE_OK && json_array_size(whole) > 0)
                return take_id(whole, &ret->run_id);
        if (rc == SQLITE_OK)
                rc = ids_newest_of_analysis(db, viewer, selector, &newest);
        if (rc != SQLITE_OK) {
                spool_read_failed(spool, rc);
                return QUERY_E_AWAY;
        }
        if (json_array_size(newest) == 0)
                return select_part(spool, db, viewer, selector, ret);
        ret->analysis_id = strdup(selector);
        r = ret->analysis_id ? take_id(newest, &ret->run_id) : -ENOMEM;
        if (r < 0)
                selection_deinit(ret);
        return r;
}
