"""The queries of docs/database.md, and how long each takes: planning and execution, medians in one session.

Each is asked ten times after one that is not counted, planned each time. The first of all in a new session, where the
server must first read what partitions and indexes there are, is a figure of its own (`first_ms`). On a machine that does
other things as well the fastest of ten, and the pages that the execution looks at, say more than the median.
"""

import json
import re
import statistics

EVENT_TIME = "decided_at >= now() - interval"
RUN_AT = "coalesce(ended_at, launched_at, stored_at)"
PEAK = "max(coalesce(private_peak_bytes, memory_peak_bytes)) AS peak_bytes, max(duration_sec)"

# True: one of those that a status page asks, which has a promise.
QUERIES = {
    "status": (True, "SELECT * FROM watchdog_status"),
    "kills of 24 h by reason": (True, "SELECT reason, sum(kills) FROM watchdog_kills_24h GROUP BY reason ORDER BY 2 DESC"),
    "kills of 24 h by host": (True, "SELECT host, sum(kills) FROM watchdog_kills_24h GROUP BY host ORDER BY 2 DESC"),
    "the last 20 kills": (
        True, "SELECT event_id, decided_at, host, analysis_ref, reason, detail FROM watchdog_events WHERE decided_at IS NOT NULL ORDER BY decided_at DESC LIMIT 20",
    ),
    "the last 20 kills for memory": (
        True, "SELECT event_id, decided_at, host, analysis_ref FROM watchdog_events WHERE reason = 'memory' ORDER BY decided_at DESC LIMIT 20",
    ),
    "the last 20 kills of a host": (
        True, "SELECT event_id, decided_at, reason, analysis_ref FROM watchdog_events WHERE host = 'node-07' ORDER BY decided_at DESC LIMIT 20",
    ),
    "kills of an analysis by reason": (
        True, "SELECT reason, count(*), max(decided_at) FROM watchdog_events WHERE analysis_ref = 'SDA-42' GROUP BY reason",
    ),
    "kills of an analysis, the last 50": (
        True,
        "SELECT decided_at, host, reason, detail, duration_sec, memory_peak_bytes, memory_limit_bytes,"
        " round(100.0 * memory_peak_bytes / nullif(memory_limit_bytes, 0)) AS percent"
        " FROM watchdog_events WHERE analysis_ref = 'SDA-42' ORDER BY decided_at DESC LIMIT 50",
    ),
    "the kills of a run": (
        True, "SELECT seq, reason, detail, decided_at, evidence, processes_killed, processes FROM watchdog_events WHERE run_id = '{run_id}' ORDER BY seq",
    ),
    "memory over time of a kill": (
        True,
        "SELECT t.sec, m.bytes FROM watchdog_events e, jsonb_array_elements_text(e.timeline -> 't_sec') WITH ORDINALITY AS t(sec, n)"
        " JOIN LATERAL (SELECT e.timeline -> 'memory_bytes' ->> (t.n - 1)::integer AS bytes) m ON true WHERE e.event_id = '{event_id}'",
    ),
    "what has arrived in the last minute": (
        True, "SELECT event_id, host, analysis_ref, reason, decided_at FROM watchdog_events WHERE received_at >= now() - interval '1 minute' ORDER BY received_at",
    ),
    "what runs now (1,000)": (
        True,
        "SELECT host, host_silent, analysis_ref, pid, state, launched_at, deadline_at, memory_bytes, memory_limit_bytes"
        " FROM watchdog_live ORDER BY deadline_at NULLS LAST",
    ),
    "hosts that are silent": (
        True,
        "SELECT host, supervisor, now() - heartbeat_at AS silent_for, waiting, dead_letters FROM watchdog_hosts"
        " WHERE heartbeat_at < now() - 3 * heartbeat_sec * interval '1 second' OR waiting > 0 OR dead_letters > 0",
    ),
    "one run": (True, "SELECT * FROM watchdog_runs WHERE run_id = '{run_id}'"),
    "the last 100 runs of a day": (
        True,
        f"SELECT run_id, host, analysis_ref, verdict, ended_at, duration_sec FROM watchdog_runs"
        f" WHERE {RUN_AT} >= now() - interval '1 day' ORDER BY {RUN_AT} DESC LIMIT 100",
    ),
    "the last 100 runs of a host": (
        True, f"SELECT run_id, analysis_ref, verdict, ended_at FROM watchdog_runs WHERE host = 'node-07' ORDER BY {RUN_AT} DESC LIMIT 100",
    ),
    "the last 100 runs that crashed": (
        True, f"SELECT run_id, host, analysis_ref, ended_at FROM watchdog_runs WHERE verdict = 'crashed' ORDER BY {RUN_AT} DESC LIMIT 100",
    ),
    "how an analysis ends": (
        False, f"SELECT verdict, count(*), {PEAK} FROM watchdog_runs WHERE analysis_ref = 'SDA-42' GROUP BY verdict",
    ),
    "kills of 24 h, counted": (
        False, f"SELECT reason, count(*) FROM watchdog_events WHERE {EVENT_TIME} '24 hours' GROUP BY reason ORDER BY 2 DESC",
    ),
    "kills by day, 90 days": (
        False, "SELECT date_trunc('day', hour) AS day, sum(kills) FROM watchdog_kills_by_hour WHERE hour >= now() - interval '90 days' GROUP BY 1 ORDER BY 1",
    ),
    "kills per analysis, 7 days": (
        False,
        "SELECT e.analysis_ref, e.analysis_id IS NOT NULL AS known, count(*) AS kills, max(e.decided_at) AS last FROM watchdog_events e"
        " WHERE e.decided_at >= now() - interval '7 days' GROUP BY 1, 2 ORDER BY kills DESC LIMIT 20",
    ),
    "runs of 24 h by verdict": (
        False, f"SELECT verdict, count(*) FROM watchdog_runs WHERE {RUN_AT} >= now() - interval '24 hours' GROUP BY verdict",
    ),
}  # fmt: skip


def statements(server):
    """With ids that are there: name, whether promised, SQL."""
    found = server.rows("SELECT run_id, event_id FROM watchdog_events WHERE analysis_ref = 'SDA-42' ORDER BY decided_at LIMIT 1")
    run_id, event_id = found[0] if found else ["00000000-0000-0000-0000-000000000000"] * 2
    return [(name, status, sql.replace("{run_id}", run_id).replace("{event_id}", event_id)) for name, (status, sql) in QUERIES.items()]


def measure(server, sql, tries=10):
    """Milliseconds in one session: planning and execution, medians; together, the fastest and the first; pages, and rows."""
    statement = f"EXPLAIN (ANALYZE, SUMMARY, BUFFERS, TIMING off, FORMAT json) {sql};\n"
    text = server.psql("SET jit = off;\n" + statement * (tries + 1))
    plans = [json.loads(part)[0] for part in re.split(r"\n(?=\[\n)", text)]
    times = [(plan["Planning Time"], plan["Execution Time"]) for plan in plans]
    top = plans[-1]["Plan"]
    return {
        "planning_ms": round(statistics.median(one[0] for one in times[1:]), 2),
        "execution_ms": round(statistics.median(one[1] for one in times[1:]), 2),
        "fastest_ms": round(min(sum(one) for one in times[1:]), 2),
        "first_ms": round(sum(times[0]), 2),
        "pages": top["Shared Hit Blocks"] + top["Shared Read Blocks"],
        "rows": top["Actual Rows"],
    }


def plan(server, sql):
    return server.psql(f"SET jit = off; EXPLAIN (ANALYZE, BUFFERS) {sql}")
