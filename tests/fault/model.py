"""What the record must say of the runs of a world, given what has hit them.

Called by chaosworld.py when all is over: judge() reads the record itself and tells each wrong thing by find(). A run has one
verdict of the set that its kind and its hits allow, and exactly the events that this verdict owes; nothing here asks when
something happened, but for a time limit, which may never be early. What is documented as permitted is named where it is.
"""

import contextlib
import json
import sqlite3

from schedule import FATAL

KILLED = ("timeout", "memory", "host-oom", "cpu-time")
STATUS = {"completed": 0, "timeout": 124, "memory": 137, "host-oom": 137, "cancelled": 143}
DISTURBS = {"main-kill", "child-kill", "group-kill"}
AT_ONCE = 0.1

RUN_COLUMNS = "run_id, analysis_id, verdict, detail, exit_status, exit_signal, state, timeout_sec, duration_sec, pid, julianday(launched_at) * 86400 AS launched"
EVENT_COLUMNS = "event_id, run_id, seq, reason, detail, signals, kill_at, duration_sec, julianday(decided_at) * 86400 AS decided"


def read(path, statement):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)
    with contextlib.closing(connection):
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(statement)]


def judge(chaos):
    path = chaos.world.database
    chaos.rows = read(path, f"SELECT {RUN_COLUMNS} FROM watchdog_runs")
    chaos.event_rows = read(path, f"SELECT {EVENT_COLUMNS} FROM watchdog_events ORDER BY run_id, seq")
    chaos.n_events = len(chaos.event_rows)
    chaos.verdicts = {}
    for row in chaos.rows:
        chaos.verdicts[row["verdict"]] = chaos.verdicts.get(row["verdict"], 0) + 1
    judge_tables(chaos, path)
    for one in chaos.started:
        judge_run(chaos, one)
    if chaos.server:
        judge_postgres(chaos)


def judge_tables(chaos, path):
    runs = {row["run_id"] for row in chaos.rows}
    ids = [row["event_id"] for row in chaos.event_rows]
    if len(set(ids)) != len(ids):
        chaos.find("events", None, "an event id is there twice")
    for row in chaos.event_rows:
        if row["run_id"] not in runs:
            chaos.find("events", None, f"an event of no run: {row}")
    for run in runs:
        seqs = [row["seq"] for row in chaos.event_rows if row["run_id"] == run]
        if seqs != list(range(1, len(seqs) + 1)):
            chaos.find("events", None, f"{run}: seq {seqs}")
    for row in chaos.rows:
        if row["state"] != "ended" or not row["verdict"]:
            chaos.find("verdict", None, f"all is over, and a run is not: {row}")
    for row in read(path, "SELECT run_id, analysis_id FROM watchdog_processes"):
        chaos.find("processes", None, f"it does not live: {row}")


def run_id_of(chaos, one):
    """None: nobody was told of a run."""
    started = one.started_as()
    if started:
        return started[0][1]
    if one.report:
        return one.report["run"]["run_id"]
    if one.accepted or one.unanswered:
        return next((row["run_id"] for row in chaos.rows if row["analysis_id"] == one.name and row["pid"] is not None), "none" if one.accepted else None)
    return None


def judge_run(chaos, one):
    if len(one.started_as()) > 1:
        chaos.find("begun", one, f"its command has begun {len(one.started_as())} times")
    run_id = run_id_of(chaos, one)
    rows = [row for row in chaos.rows if row["analysis_id"] == one.name]
    # docs/architecture.md, "supervisor, between a launcher's question and its answer": a group that was made and not told of.
    for row in rows:
        if row["run_id"] != run_id and row["pid"] is not None:
            chaos.find("verdict", one, f"a run that its launcher knows nothing of: {row}")
    if run_id is None:
        judge_refused(chaos, one)
        return
    row = next((row for row in rows if row["run_id"] == run_id), None)
    if row is None:
        # The launcher says so: "docs/man/scidex-run, `can't be left`": no supervisor came, and its disk is full.
        if not is_unpromised(chaos, one):
            chaos.find("lost", one, f"{run_id} has no row; status {one.status}, {one.stderr!r}")
        return
    if row["verdict"] not in allowed(chaos, one):
        chaos.find("verdict", one, f"{row['verdict']} ({row['detail']}), allowed: {sorted(allowed(chaos, one))}, hit by {sorted(one.hits)}")
    judge_events(chaos, one, row, [event for event in chaos.event_rows if event["run_id"] == run_id])
    judge_times(chaos, one, row)
    if one.launch and not is_unpromised(chaos, one):
        judge_launcher(chaos, one, row)


def is_unpromised(chaos, one):
    return "can't be left" in one.stderr and (chaos.schedule.disk or "launcher-errors" in one.hits)


def judge_refused(chaos, one):
    """Its command never began, and no run was promised: it says why, unless it was killed."""
    if not one.launch or one.status is None or one.status < 0:
        return
    if one.status != 125 or not one.stderr.strip():
        chaos.find("status", one, f"no run, status {one.status}: {one.stderr!r}")
    chaos.count("refused launches")


def allowed(chaos, one):
    verdicts = {one.kind.natural[0]} if one.kind.natural else set()
    verdicts |= {FATAL[hit] for hit in one.hits if hit in FATAL}
    if one.run.kind_name == "registered" and one.hits:
        verdicts.add("lost")  # docs/protocol.md: only its parent knows the exit status
    if "launcher-errors" in one.hits:
        verdicts.add("orphaned")  # one that has no memory to go on ends
    return verdicts


def owed_events(one, row):
    """(reason, least, most) of the events that a run of this row must have."""
    verdict, detail = row["verdict"], row["detail"] or ""
    disturbed = one.hits & DISTURBS
    left = (1, 1) if one.kind.leaves and not disturbed else (0, 1) if one.kind.children or one.kind.leaves else (0, 0)
    if verdict in KILLED:
        return verdict, 1, 1
    if verdict == "cancelled" and "by a signal" not in detail:
        return verdict, 1, 1
    if verdict == "orphaned":
        return ("orphan", *((0, 1) if one.kind.children else (0, 0))) if "nobody collected" in detail else ("orphaned", 1, 1)
    if verdict in ("completed", "failed") and not one.kind.leaves:
        return ("orphan", 0, 1 if disturbed or one.run.kind_name == "nests" else 0)
    return ("orphan", *left)


def judge_events(chaos, one, row, events):
    reason, least, most = owed_events(one, row)
    found = [event["reason"] for event in events]
    if not least <= len(events) <= most or any(other != reason for other in found):
        chaos.find("events", one, f"{row['verdict']} ({row['detail']}) with events {found}, owed: {least} to {most} {reason}; hit by {sorted(one.hits)}")
    for event in events:
        # One whose limit passes, or that is cancelled, before it began has nobody to ignore a TERM.
        termed = any(sent["processes"] for sent in json.loads(event["signals"]) if sent["signal"] == "TERM")
        ready = one.started_as() if not one.kind.leaves else event["reason"] == "orphan"  # who is left ignores it by then
        if one.kind.ignores and ready and termed and not one.hits & DISTURBS and event["kill_at"] is None:
            chaos.find("kill", one, f"it ignores TERM, and nobody has killed it: {event}")


def judge_times(chaos, one, row):
    """A limit is never early; and whoever serves launches has ended all whose limit is over, also if it has adopted them.

    That compares what one thread did one after the other, so a machine that stands still changes nothing.
    """
    if row["verdict"] != "timeout":
        return
    if row["duration_sec"] < row["timeout_sec"]:
        chaos.find("deadline", one, f"{row['timeout_sec']} s were over after {row['duration_sec']} s")
    if "clock-jump" in chaos.happened or "supervisor-errors" in one.hits or not one.launch:
        return
    over = row["launched"] + row["timeout_sec"]
    for event in chaos.event_rows:
        served = [other["launched"] for other in chaos.rows if over + AT_ONCE < other["launched"] < event["decided"] - AT_ONCE]
        if event["run_id"] == row["run_id"] and served and row["detail"] != "backstop":
            chaos.find("deadline", one, f"its limit was over, {len(served)} runs were launched, and {event['decided'] - over:.2f} s later it was ended")


def judge_launcher(chaos, one, row):
    """What it told whoever called it."""
    if one.status is None or one.status < 0:
        if one.status is not None and "launcher-kill" not in one.hits:
            chaos.find("status", one, f"it died of signal {-one.status}: {one.stderr!r}")
        return
    if one.status == 125 and "launcher-errors" in one.hits:
        return
    expected = STATUS.get(row["verdict"], row["exit_status"])
    if row["verdict"] == "crashed":
        expected = {"SEGV": 139, "KILL": 137, "TERM": 143}.get(row["exit_signal"])
    if one.status != expected:
        chaos.find("status", one, f"status {one.status}, expected {expected}: {row}, {one.stderr!r}")
    if not one.report:
        chaos.find("report", one, f"no report: status {one.status}, {one.stderr!r}")
        return
    told = one.report["run"]
    if (told["run_id"], told["verdict"]) != (row["run_id"], row["verdict"]):
        chaos.find("report", one, f"it was told {told['run_id']} {told['verdict']} ({told.get('detail')}), the record says {row}")
    event = one.report.get("event")
    if event and event["event_id"] not in {other["event_id"] for other in chaos.event_rows}:
        chaos.find("report", one, f"it was told of an event that is not in the record: {json.dumps(event)[:200]}")


def judge_postgres(chaos):
    """All that is here, once."""
    for table, key, here in (("watchdog_runs", "run_id", chaos.rows), ("watchdog_events", "event_id", chaos.event_rows)):
        there = [row[0] for row in chaos.server.rows(f"SELECT {key} FROM {table}")]
        missing, strange = {row[key] for row in here} - set(there), set(there) - {row[key] for row in here}
        if missing or strange or len(there) != len(set(there)):
            chaos.find("postgres", None, f"{table}: {len(there)} rows, missing {sorted(missing)}, not ours {sorted(strange)}")
