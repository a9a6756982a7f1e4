/*
 * Events in the order in which they were recorded, for those who follow them.
 *
 * Called for a reader of the stream that names the last event it has seen.  The hard thing is what "later" means: ids
 * and times are those of the decision, and a kill that took long to end is recorded after one that was decided later.
 * The order of the record is that of the rowids, and only that misses nothing.
 */
#include "db/queries.h"

#include "base/file.h"
#include "db/statement.h"

/* 0 and a statement with its one parameter bound, on its first row; QUERY_E_END, QUERY_E_AWAY, -ENOMEM. */
static int begin(Spool *spool, const char *sql, const char *text, int64_t number, sqlite3_stmt **ret) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        sqlite3 *db = NULL;
        int r = spool_reader(spool, &db), rc;

        if (r != 0)
                return r == SPOOL_E_EMPTY ? QUERY_E_END : QUERY_E_AWAY;
        rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        if (rc == SQLITE_OK)
                rc = text ? sqlite3_bind_text(statement, 1, text, -1, SQLITE_TRANSIENT)
                          : sqlite3_bind_int64(statement, 1, number);
        if (rc == SQLITE_OK)
                rc = sqlite3_step(statement);
        if (rc == SQLITE_ROW) {
                *ret = TAKE_PTR(statement);
                return 0;
        }
        if (rc == SQLITE_DONE)
                return QUERY_E_END;
        spool_read_failed(spool, rc);
        return rc == SQLITE_NOMEM ? -ENOMEM : QUERY_E_AWAY;
}

int query_event_place(Spool *spool, const char *event_id, int64_t *ret_place) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        int r = begin(spool, "SELECT rowid FROM watchdog_events WHERE event_id=?1", event_id, 0, &statement);

        if (r == 0)
                *ret_place = sqlite3_column_int64(statement, 0);
        return r == QUERY_E_END ? QUERY_E_NOT_FOUND : r;
}

int query_event_after(Spool *spool, int64_t *place, json_t **ret_row) {
        _cleanup_(statement_finalizep) sqlite3_stmt *statement = NULL;
        _cleanup_(freep) char *list = columns_select_list(RECORD_EVENT), *sql = NULL;
        int r;

        if (list)
                sql = text_printf("SELECT rowid, %s FROM watchdog_events WHERE rowid>?1 ORDER BY rowid LIMIT 1", list);
        if (!sql)
                return -ENOMEM;
        r = begin(spool, sql, NULL, *place, &statement);
        if (r != 0)
                return r;
        *ret_row = columns_read(statement, RECORD_EVENT, 1, "timeline");
        if (!*ret_row)
                return -ENOMEM;
        *place = sqlite3_column_int64(statement, 0);
        return 0;
}
