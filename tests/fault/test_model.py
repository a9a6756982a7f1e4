"""What the model of the chaos run must find: a record with one wrong row, and the same record without it.

The model only sees what scidex gets right, so a hole in it would never be noticed. Here each of its rules meets what it is against.
"""

import os
import sys
import types
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import model  # noqa: E402
from schedule import Run  # noqa: E402

BEGUN = [("5", "r1")]


def row(verdict, **members):
    return {"run_id": "r1", "analysis_id": "w0-r1", "verdict": verdict, "detail": None, "exit_status": None, "exit_signal": None, "state": "ended",
            "timeout_sec": 0.3, "duration_sec": 0.31, "pid": 5, "launched": 1000.0} | members  # fmt: skip


def event(reason, **members):
    return {"event_id": "e1", "run_id": "r1", "seq": 1, "reason": reason, "detail": None, "signals": "[]", "kill_at": 1, "duration_sec": 1, "decided": 1000.4} | members


def told(verdict, run_id="r1"):
    return {"run": {"run_id": run_id, "verdict": verdict}}


def inner(verdict="failed", **members):
    return row(verdict, run_id="i1", analysis_id="w0-r1-inner", exit_status=4) | members


class Model(unittest.TestCase):
    def judged(self, kind, *rows, events=(), marks=BEGUN, hits=(), happened=(), faults=(), inner_marks=(), inner_report=None, **members):
        """The checks that a run of KIND and its ROWS fail."""
        run = Run(1, kind, "w0-r1", 0.0, 0.1, [])
        one = types.SimpleNamespace(run=run, kind=run.kind, name=run.name, hits=set(hits), launch=kind != "registered", stderr="", status=None, report=None,
                                    accepted=False, unanswered=False)  # fmt: skip
        one.started_as = lambda suffix="": list(inner_marks if suffix else marks)
        one.inner_report = lambda: inner_report
        vars(one).update(members)
        found = []
        self.chaos = types.SimpleNamespace(rows=list(rows), event_rows=list(events), happened=set(happened), started=[one], refused=0, backstops=0, server=None,
                                           schedule=types.SimpleNamespace(disk=False, faults=list(faults)), find=lambda check, *_: found.append(check))  # fmt: skip
        model.judge_runs(self.chaos)
        return found

    def test_a_launcher_that_crashes_before_its_run_begins(self):
        self.assertEqual(self.judged("completes", marks=(), status=-11), ["status", "refused"])
        self.assertEqual(self.judged("completes", marks=(), status=125, stderr="no group"), ["refused"])

    def test_a_launcher_that_crashes_where_it_was_to_be_killed(self):
        ended = {"events": [event("orphaned")], "hits": ["launcher-kill"]}
        self.assertEqual(self.judged("stays", row("orphaned"), status=-11, **ended), ["status"])
        self.assertEqual(self.judged("stays", row("orphaned"), status=-9, **ended), [])

    def test_a_wrong_exit_status(self):
        both = {"report": told("failed")}
        self.assertEqual(self.judged("fails", row("failed", exit_status=55), status=55, **both), ["verdict", "status"])
        self.assertEqual(self.judged("fails", row("failed", exit_status=55), status=7, **both), ["verdict"])
        self.assertEqual(self.judged("fails", row("failed", exit_status=7), status=55, **both), ["status"])
        self.assertEqual(self.judged("fails", row("failed", exit_status=7), status=7, **both), [])

    def test_a_crash_by_a_signal_that_nobody_has_sent(self):
        hit = {"hits": ["main-kill"], "report": told("crashed")}
        self.assertEqual(self.judged("times-out", row("crashed", exit_signal="TERM"), status=143, **hit), ["verdict", "status"])
        self.assertEqual(self.judged("times-out", row("crashed", exit_signal="SEGV"), status=139, **hit), ["verdict", "status"])
        self.assertEqual(self.judged("times-out", row("crashed", exit_signal="KILL"), status=137, **hit), [])
        self.assertEqual(self.judged("crashes", row("crashed", exit_signal="KILL"), status=137, report=told("crashed")), ["verdict", "status"])
        self.assertEqual(self.judged("crashes", row("crashed", exit_signal="KILL"), status=137, **hit), [])
        self.assertEqual(self.judged("crashes", row("crashed", exit_signal="SEGV"), status=139, **hit), [])

    def test_an_event_that_a_launcher_has_handed_over_has_no_lists(self):
        self.assertEqual(self.judged("times-out", row("timeout"), events=[event("timeout", signals=None)], status=124, report=told("timeout")), [])

    def test_a_limit_that_was_left_to_the_launcher(self):
        late = {"events": [event("timeout", decided=1005.8)], "status": 124, "report": told("timeout")}
        by_launcher = row("timeout", detail="backstop", duration_sec=5.8)
        self.assertEqual(self.judged("times-out", by_launcher, **late), ["deadline"])
        self.assertEqual(self.judged("times-out", by_launcher, happened=["supervisor-kill"], **late), [])
        self.assertEqual(self.chaos.backstops, 1)
        self.assertEqual(self.judged("times-out", by_launcher, happened=["supervisor-stop"], faults=[(1.0, "supervisor-stop", {"seconds": 6.5})], **late), [])
        self.assertEqual(self.chaos.backstops, 0)

    def test_a_limit_that_is_early_or_passed_over(self):
        told_so = {"events": [event("timeout", decided=1005.0)], "status": 124, "report": told("timeout")}
        other = row("completed", run_id="r2", analysis_id="w0-r2", launched=1003.0)
        self.assertEqual(self.judged("times-out", row("timeout", duration_sec=0.2), **told_so), ["deadline"])
        self.assertEqual(self.judged("times-out", row("timeout"), other, **told_so), ["deadline"])
        self.assertEqual(self.judged("times-out", row("timeout"), other, hits=["supervisor-errors"], **told_so), [])

    def test_what_errors_excuse_is_excused_only_where_they_were(self):
        lost = {"events": [event("orphaned")], "status": 125}
        self.assertEqual(self.judged("fails", row("orphaned"), **lost), ["verdict", "status", "report"])
        self.assertEqual(self.judged("fails", row("orphaned"), hits=["launcher-errors"], **lost), [])

    def test_a_registration_whose_answer_was_lost(self):
        ended = {"marks": (), "events": [event("timeout")]}
        self.assertEqual(self.judged("registered", row("timeout"), **ended), ["verdict", "refused"])
        self.assertEqual(self.judged("registered", row("timeout"), accepted=True, **ended), [])
        self.assertEqual(self.judged("registered", row("timeout"), unanswered=True, **ended), [])
        self.assertEqual(self.judged("registered", marks=(), accepted=True), ["lost"])
        self.assertEqual(self.judged("registered", marks=()), ["refused"])

    def test_a_run_that_is_lost_with_its_group(self):
        seen = {"status": 7, "report": told("lost")}
        self.assertEqual(self.judged("fails", row("lost"), happened=["supervisor-kill"], **seen), ["verdict"])
        self.assertEqual(self.judged("fails", row("lost"), hits=["group-remove"], **seen), ["verdict"])
        self.assertEqual(self.judged("fails", row("lost"), hits=["group-remove"], happened=["supervisor-kill"], **seen), [])
        self.assertEqual(self.judged("fails", row("lost"), hits=["group-remove"], happened=["supervisor-kill"], **seen | {"status": 0}), ["status"])

    def test_a_run_inside_of_another(self):
        outer, around = row("failed", exit_status=4), {"status": 4, "report": told("failed")}
        known = {"inner_marks": [("6", "i1")], "inner_report": told("failed", "i1")}
        self.assertEqual(self.judged("nests", outer, inner(), **known, **around), [])
        self.assertEqual(self.judged("nests", outer, **known, **around), ["lost"])
        self.assertEqual(self.judged("nests", outer, inner(exit_status=5), **known, **around), ["verdict"])
        self.assertEqual(self.judged("nests", outer, inner("orphaned"), **known, **around), ["verdict", "report"])
        self.assertEqual(self.judged("nests", outer, inner("timeout"), inner_marks=[("6", "i1")], hits=["child-kill"], **around), ["verdict"])
        self.assertEqual(self.judged("nests", outer, inner(), **around), ["verdict"])
        self.assertEqual(self.judged("nests", outer, inner(), events=[event("orphan", run_id="i1")], **known, **around), ["events"])
        self.assertEqual(self.judged("nests", outer, inner(), **known | {"inner_marks": [("6", "i1")] * 2}, **around), ["begun"])
        refused = {"status": 125, "report": told("failed")}
        self.assertEqual(self.judged("nests", row("failed", exit_status=125), **refused), [])
        self.assertEqual(self.judged("nests", row("failed", exit_status=125), inner(), **known, **refused), ["verdict", "status"])

    def test_postgresql_with_another_verdict_or_a_run_that_lives(self):
        tables = {"watchdog_runs": [["r1", "failed"]], "watchdog_events": [["e1", "timeout"]], "watchdog_processes": []}
        found = []
        server = types.SimpleNamespace(rows=lambda statement: tables[statement.split()[-1]])
        chaos = types.SimpleNamespace(rows=[row("failed")], event_rows=[event("timeout")], server=server, find=lambda check, *_: found.append(check))
        model.judge_postgres(chaos)
        self.assertEqual(found, [])
        tables |= {"watchdog_runs": [["r1", "completed"]], "watchdog_events": [["e1", "orphan"]], "watchdog_processes": [["r1"]]}
        model.judge_postgres(chaos)
        self.assertEqual(found, ["postgres"] * 3)


if __name__ == "__main__":
    unittest.main()
