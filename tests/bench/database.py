#!/usr/bin/python3
"""A year of launches in the database: its growth, the queries of docs/database.md, shipping into it, and forgetting.

    tests/bench/database.py [--launches-per-day N] [--days N] [--hosts N] [--plans] [--json FILE] [--check]

100,000 launches a day on 100 hosts: 5 days of it, in a minute and a half; with `--days 365` what docs/performance.md
has (36.5 million runs, 1.8 million kills, 40 GB, half an hour on an idle machine). A server of its own gets the tables
by `scidexctl db migrate` and rows as recorders send them (yearrows.py). At a month, half a year and the end: sizes and
queries (yearqueries.py). Then, with fsync on: the next partition, shipping beside shipping into empty tables, and the
oldest month going while a recorder ships and somebody asks for the status (yearlife.py).

--check fails if a query of a status page takes more than 5 ms (the fastest of ten, as other work only makes it slower),
or if somebody waited for more than 2 s while a month went. --plans prints EXPLAIN (ANALYZE, BUFFERS) of each query.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import figures  # noqa: E402
import yearlife  # noqa: E402
import yearqueries  # noqa: E402
from postgresserver import Server  # noqa: E402
from postgrestest import migrate  # noqa: E402
from yearrows import Year  # noqa: E402

PROMISED_MS = 5.0
PROMISED_WAIT_SEC = 2.0
STAGES = (30, 182)
# Of the partitions as one, as nobody cares in which of them a row lies.
RELATIONS = """
WITH tables AS (
    SELECT c.oid, CASE WHEN i.inhrelid IS NULL THEN c.relname ELSE 'watchdog_events' END AS name
      FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
     WHERE c.relkind = 'r' AND c.relname ~ '^watchdog_'
), sizes AS (
    SELECT name, 0 AS part, 'rows' AS what, pg_table_size(oid) AS bytes FROM tables
    UNION ALL
    SELECT name, 1, 'index ' || regexp_replace(pg_get_indexdef(x.indexrelid), '^.* USING btree ', ''), pg_relation_size(x.indexrelid)
      FROM tables JOIN pg_index x ON x.indrelid = tables.oid
)
SELECT name || ': ' || what, sum(bytes) FROM sizes GROUP BY name, part, what HAVING sum(bytes) > 1000000 ORDER BY name, part, what
"""


def sizes(report, year, days):
    runs, events = year.server.number("SELECT count(*) FROM watchdog_runs"), year.server.number("SELECT count(*) FROM watchdog_events")
    rows = []
    for name, size in year.server.rows(RELATIONS):
        number = {"watchdog_runs": runs, "watchdog_events": events}.get(name.partition(":")[0])
        rows.append([name, round(int(size) / 1e6, 1), round(int(size) / number) if number else None])
    rows.append(["all", round(year.server.number("SELECT pg_database_size(current_database())") / 1e6, 1), None])
    report.table(f"{days} days: {runs} runs, {events} kills", ["", "MB", "bytes a row"], rows)


def queries(report, server, days, plans):
    """The slowest of those that a status page asks: the fastest of its ten, and its name."""
    rows, worst = [], (0.0, "")
    for name, status, sql in yearqueries.statements(server):
        found = yearqueries.measure(server, sql)
        together = round(found["planning_ms"] + found["execution_ms"], 2)
        title = name if status else f"{name} (a report)"
        rows.append([title, found["planning_ms"], found["execution_ms"], together, *(found[one] for one in ("fastest_ms", "first_ms", "pages", "rows"))])
        worst = max(worst, (found["fastest_ms"], name)) if status else worst
        if plans:
            print(f"\n{name}\n{yearqueries.plan(server, sql)}")
    report.table(f"{days} days: queries, ms", ["", "planning", "execution", "together", "fastest", "first in a session", "pages", "rows"], rows)
    return worst


def live(report, server, backlog):
    server.configure(fsync="on")
    server.psql("CHECKPOINT")
    empty, full = yearlife.ship_in_turns(server, backlog)
    rows = [
        ["the next partition, ms", yearlife.next_partition(server)],
        [f"{2 * backlog} rows shipped into empty tables, rows/s", empty],
        ["into these", full],
    ]
    report.table("shipping, fsync on", ["", ""], rows)
    report.promise("shipping into empty tables against these", empty / full, 2, " x", checked=False)


def forgetting(report, server, days):
    """The oldest month at once, and then what a timer does each day."""
    if days < 4:
        report.leave_out("forgetting", "there is no day to forget")
        return
    month = min(31, days // 3)
    rows = []
    for kept in (days - month, days - month - 1):
        done = yearlife.retain(server, kept)
        rows.append([f"{kept} days kept", done["months"], done["runs"], done["seconds"], done["status"], done["shipping"], yearlife.vacuum(server)])
        report.promise("who waited longest while it went", max(done["status"], done["shipping"]), PROMISED_WAIT_SEC, " s")
    columns = ["scidexctl db retain", "months", "runs", "s", "a status waited, s", "a kill waited, s", "VACUUM, s"]
    report.table("forgetting, fsync on", columns, rows)


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--launches-per-day", type=int, default=100_000)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--backlog", type=int, default=10_000, help="events, and as many runs, that are shipped at once")
    parser.add_argument("--plans", action="store_true")
    options = parser.parse_args()
    report = figures.Report("database")
    server = Server(shared_buffers="2GB", max_wal_size="2GB", fsync="off", maintenance_work_mem="512MB")
    try:
        server.start()
        server.create_database()
        done = migrate(server.conninfo())
        if done.returncode != 0:
            sys.exit(done.stderr)
        year = Year(server, options.launches_per_day, options.days, options.hosts)
        times = []
        for days in [*(one for one in STAGES if one < options.days), options.days]:
            launches, rows_sec, indexes_sec = year.extend(days)
            times.append([f"back to {days} days", launches, rows_sec, launches / rows_sec, indexes_sec])
            sizes(report, year, days)
            worst, name = queries(report, server, days, options.plans)
        report.table("generated, fsync off", ["", "launches", "s", "launches/s", "indexes and VACUUM, s"], times)
        report.promise(f"the slowest query of a status page ({name})", worst, PROMISED_MS, " ms")
        live(report, server, options.backlog)
        forgetting(report, server, options.days)
    finally:
        server.remove()
    return report.end(options)


if __name__ == "__main__":
    sys.exit(main())
