"""What the record must say of the runs of a world, given what has hit them.

Called by chaosworld.py when all is over: judge() reads the record itself and tells each wrong thing by find(). A run has one
verdict of the set that its kind and its hits allow, and exactly the events that this verdict owes; nothing here asks when
something happened, but for a time limit, which may never be early. What is documented as permitted is named where it is.
"""

import contextlib
import json
import signal
import sqlite3

from schedule import FATAL

KILLED = ("timeout", "memory", "host-oom", "cpu-time")
STATUS = {"completed": 0, "timeout": 124, "memory": 137, "host-oom": 137, "cancelled": 143}
DISTURBS = {"main-kill", "child-kill", "group-kill"}
INNER = {"failed", "crashed", "cancelled", "orphaned"}  # of a run inside of one that was hit
DEATHS = {"supervisor-kill", "both-kill", "supervisor-and-launcher-kill", "disk-read-only"}  # of a supervisor
UNSERVED = DEATHS | {"supervisor-stop", "supervisor-errors", "launcher-stop", "launcher-kill"}  # may leave a world without one for a time
BACKSTOP_SECONDS = 5.0  # of a launcher, from the end of the grace
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
    judge_runs(chaos)
    if chaos.server:
        judge_postgres(chaos)


def judge_runs(chaos):
    for one in chaos.started:
        judge_run(chaos, one)
        if one.run.kind_name == "nests":
            judge_inner(chaos, one)
    if chaos.refused * 2 > len(chaos.started):  # no flavour does that to more than a few
        chaos.find("refused", None, f"{chaos.refused} of {len(chaos.started)} launches were refused")


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
    if row["verdict"] in ("completed", "failed", "crashed") and told_status(one, row) not in {expected_status(one, row)} - {None}:
        chaos.find("verdict", one, f"it ended with {told_status(one, row)}, expected {expected_status(one, row)}: {row}")
    judge_events(chaos, one, row, [event for event in chaos.event_rows if event["run_id"] == run_id])
    judge_times(chaos, one, row)
    if one.launch and not is_unpromised(chaos, one):
        judge_launcher(chaos, one, row)


def is_unpromised(chaos, one):
    return "can't be left" in one.stderr and (chaos.schedule.disk or "launcher-errors" in one.hits)


def judge_refused(chaos, one):
    """Its command never began, and no run was promised: it says why (whoever kills launchers waits until it has begun)."""
    if one.launch and one.status is None:
        return
    if one.launch and (one.status != 125 or not one.stderr.strip()):
        chaos.find("status", one, f"no run, status {one.status}: {one.stderr!r}")
    chaos.refused += 1


def allowed(chaos, one):
    verdicts = {one.kind.natural[0]} if one.kind.natural else set()
    verdicts |= {FATAL[hit] for hit in one.hits if hit in FATAL}
    if "launcher-errors" in one.hits:
        verdicts.add("orphaned")  # one that has no memory to go on ends
    if "group-remove" in one.hits and chaos.happened & DEATHS:
        verdicts.add("lost")  # docs/database.md: nobody saw its end. What a supervisor leaves to the next one was in its group
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
        # One whose limit passes, or that is cancelled, before it began has nobody to ignore a TERM. What a launcher was told
        # and has handed over, when nobody could record it, has no lists (docs/protocol.md).
        termed = any(sent["processes"] for sent in json.loads(event["signals"] or "[]") if sent["signal"] == "TERM")
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
    if row["detail"] == "backstop":
        judge_backstop(chaos, one, row)
    if "clock-jump" in chaos.happened or "supervisor-errors" in one.hits or not one.launch:
        return
    over = row["launched"] + row["timeout_sec"]
    for event in chaos.event_rows:
        served = [other["launched"] for other in chaos.rows if over + AT_ONCE < other["launched"] < event["decided"] - AT_ONCE]
        if event["run_id"] == row["run_id"] and served and row["detail"] != "backstop":
            chaos.find("deadline", one, f"its limit was over, {len(served)} runs were launched, and {event['decided'] - over:.2f} s later it was ended")


def judge_backstop(chaos, one, row):
    """Its launcher ended it: nobody else could. After a kill others should soon be there, so these are counted."""
    if not chaos.happened.union(*(other.hits for other in chaos.started)) & UNSERVED:
        chaos.find("deadline", one, f"its launcher had to end it, and nothing has kept a supervisor from that: {row}")
    stops = [parameters["seconds"] for _, what, parameters in chaos.schedule.faults if what == "supervisor-stop"]
    stops += [seconds for other in chaos.started for _, what, seconds in other.run.faults if what == "launcher-stop"]
    if max(stops, default=0) < BACKSTOP_SECONDS:
        chaos.backstops += 1


def is_spared(one):
    return not one.hits & (DISTURBS | set(FATAL) | {"launcher-errors"})


def told_status(one, row):
    """What the row says that its launcher ends with; None: of a signal that nobody has sent."""
    if row["verdict"] != "crashed":
        return row["exit_status"]
    signals = {"KILL": 137, "SEGV": 139} if one.run.kind_name == "crashes" else {"KILL": 137}
    return signals.get(row["exit_signal"])


def expected_status(one, row):
    """What its launcher ends with."""
    natural = one.kind.natural and row["verdict"] in (one.kind.natural[0], "lost") and not one.hits & set(FATAL)
    if one.run.kind_name == "nests":  # what its own launcher ends with: 125 where it was refused
        natural = natural and is_spared(one) and one.started_as(".inner")
    return one.kind.natural[1] if natural else STATUS.get(row["verdict"], told_status(one, row))


def judge_launcher(chaos, one, row):
    """What it told whoever called it."""
    if one.status is None or one.status < 0:
        if one.status is not None and (one.status != -signal.SIGKILL or "launcher-kill" not in one.hits):
            chaos.find("status", one, f"it died of signal {-one.status}: {one.stderr!r}")
        return
    if one.status == 125 and "launcher-errors" in one.hits:
        return
    expected = expected_status(one, row)
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


def judge_inner(chaos, one):
    """The run that it launches: known by what its launcher was told, and by what its command has said."""
    begun, report = one.started_as(".inner"), one.inner_report()
    rows = {row["run_id"]: row for row in chaos.rows if row["analysis_id"] == f"{one.name}-inner"}
    known = {run_id for _, run_id in begun} | ({report["run"]["run_id"]} if report else set())
    if len(begun) > 1:
        chaos.find("begun", one, f"the command inside of it has begun {len(begun)} times")
    for run_id in known - set(rows):
        if not is_unpromised(chaos, one):
            chaos.find("lost", one, f"{run_id} inside of it has no row; {one.stderr!r}")
    for run_id, row in rows.items():
        if run_id not in known:
            if row["pid"] is not None and is_spared(one):
                chaos.find("verdict", one, f"a run inside of it that nobody knows of: {row}")
        elif is_spared(one) and (row["verdict"], row["exit_status"]) != ("failed", 4):
            chaos.find("verdict", one, f"nothing has hit it, and inside of it: {row}")
        elif is_spared(one) and any(event["run_id"] == run_id for event in chaos.event_rows):
            chaos.find("events", one, f"nothing has hit it, and inside of it was a kill: {row}")
        elif row["verdict"] not in INNER:
            chaos.find("verdict", one, f"inside of it, allowed: {sorted(INNER)}, hit by {sorted(one.hits)}: {row}")
        if report and report["run"]["run_id"] == run_id and report["run"]["verdict"] != row["verdict"]:
            chaos.find("report", one, f"inside of it was told {report['run']['verdict']}, the record says {row}")


def judge_postgres(chaos):
    """All that is here, once, and nothing that lives."""
    for table, columns, here in (("watchdog_runs", ("run_id", "verdict"), chaos.rows), ("watchdog_events", ("event_id", "reason"), chaos.event_rows)):
        there = [tuple(row) for row in chaos.server.rows(f"SELECT {', '.join(columns)} FROM {table}")]
        ours = {tuple(row[column] for column in columns) for row in here}
        if set(there) != ours or len(there) != len(set(there)):
            chaos.find("postgres", None, f"{table}: {len(there)} rows, missing {sorted(ours - set(there))}, not ours {sorted(set(there) - ours)}")
    for row in chaos.server.rows("SELECT * FROM watchdog_processes"):
        chaos.find("postgres", None, f"it does not live: {row}")
