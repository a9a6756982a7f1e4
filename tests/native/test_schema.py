"""Every document over HTTP is as docs/schema has it, whatever runs, and its figures are those of the record."""

import json
import os
import signal
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from feeder import timestamp, uuid7  # noqa: E402
from scidextest import MIB, eventually  # noqa: E402
from statustest import BASE, SCHEMAS, Crowd, StatusTest, scale, schema_errors, schema_store  # noqa: E402

# What ends by SIGKILL only: who ignores a signal goes on to do so over exec.
STUBBORN = ("sh", "-c", "trap '' TERM; echo ready; exec sleep 1000")
REASONS = ["timeout", "cpu-time", "memory", "host-oom", "orphaned", "cancelled", "orphan"]
HOSTILE = "<script>\u202egnp.exe\"'&\\ \u00e9\x1b[31m\n\t%s"


class Documents(StatusTest):
    def assert_documents(self, web, run_ids=(), limit=100):
        """All that have no argument, those of these runs, and the stream's first message. Returns them by name."""
        found = {
            "status": self.assert_schema("status.json", web.json("/api/quests/status")),
            "runs": self.assert_schema("runs.json", web.json(f"/api/runs?limit={limit}")),
            "ended": self.assert_schema("runs.json", web.json("/api/runs?state=ended&limit=100")),
            "events": self.assert_schema("events.json", web.json("/api/events?limit=200")),
        }
        for run_id in run_ids:
            found[run_id] = self.assert_schema("run.json", web.json(f"/api/runs/{run_id}"))
        with web.stream() as stream:
            message = stream.next()
            self.assertEqual(message.kind, "snapshot")
            found["snapshot"] = self.assert_schema("stream-snapshot.json", message.data)
        return found

    def wait_seen(self, world, *run_ids):
        """The recorder hears of a run when it has lived for a second, or is asked to end."""

        def seen():
            return {row["run_id"] for row in world.web.json("/api/runs")["runs"]}.issuperset(run_ids)

        eventually(seen, 10, "the runs are shown")

    def assert_problem(self, answer, status):
        self.assertEqual((answer.status, answer.type), (status, "application/problem+json"), answer.body[:500])
        document = self.assert_schema("problem.json", answer.json())
        self.assertEqual(document["status"], status)
        self.assertTrue(document["detail"], document)

    def test_before_the_first_run_all_is_there_and_empty(self):
        world = self.new_world()
        world.start_daemon()
        found = self.assert_documents(world.web)
        watchdog = found["status"]["watchdog"]
        self.assertEqual((watchdog["monitored_count"], watchdog["grace_count"], watchdog["kills_last_24h"]), (0, 0, 0))
        self.assertEqual(watchdog["kills_by_reason"], dict.fromkeys(REASONS, 0))
        self.assertEqual(set(watchdog["states"].values()), {0})
        self.assertEqual(watchdog["recent_events"], [])
        self.assertEqual(watchdog["supervisor"]["connected"], True)
        self.assertEqual((found["runs"]["count"], found["runs"]["runs"], found["events"]["events"], found["snapshot"]["runs"]), (0, [], [], []))

    def test_with_runs_that_live_are_in_grace_were_killed_and_completed(self):
        world = self.new_world()
        world.start_daemon()
        done = self.run_scidex("--analysis-id", "done", "--", "true").run
        failed = self.run_scidex("--", "sh", "-c", "exit 3").run
        killed = self.run_scidex("--analysis-id", HOSTILE, "--timeout", "1200ms", "--", "sleep", "1000").run
        living = self.start_scidex("--analysis-id", HOSTILE, "--memory", "300M", "--", "sleep", "1000")
        endless = self.start_scidex("--memory", "infinity", "--timeout", "infinity", "--pids", "infinity", "--", "sleep", "1000")
        graced = self.start_scidex("--analysis-id", "graced", "--grace", "60s", "--", *STUBBORN)
        graced.read_line()
        ids = {"living": living.run_id(), "endless": endless.run_id(), "graced": graced.run_id()}
        self.wait_seen(world, *ids.values())
        world.kill(ids["graced"])
        # A document is made anew at most once a second.
        eventually(lambda: world.web.status()["grace_count"] == 1, 10, "the status shows the grace")
        eventually(lambda: world.web.json("/api/runs")["runs"][0]["run_id"] == ids["graced"], 10, "grace comes first")
        ended = [one["run_id"] for one in (done, failed, killed)]
        found = self.assert_documents(world.web, [*ids.values(), *ended])

        watchdog = found["status"]["watchdog"]
        self.assertEqual((watchdog["monitored_count"], watchdog["states"]["running"], watchdog["states"]["grace"]), (3, 2, 1))
        self.assertEqual((watchdog["kills_last_24h"], watchdog["kills_by_reason"]["timeout"]), (1, 1))
        rows = {row["run_id"]: row for row in found["runs"]["runs"]}
        self.assertEqual(set(rows), set(ids.values()))
        self.assertEqual(rows[ids["living"]]["memory_limit_bytes"], 300 * MIB)
        endless_row = rows[ids["endless"]]
        self.assertEqual([endless_row[name] for name in ("memory_limit_bytes", "timeout_sec", "deadline_at", "pids_limit")], [None] * 4)
        self.assertEqual({row["run_id"]: row["verdict"] for row in found["ended"]["runs"]}, dict(zip(ended, ("completed", "failed", "timeout"))))
        self.assertEqual(found[failed["run_id"]]["run"]["exit_status"], 3)
        detail = found[killed["run_id"]]
        self.assertEqual(detail["run"]["analysis_id"], world.why(killed["run_id"])["run"]["analysis_id"])
        self.assertEqual([event["reason"] for event in detail["events"]], ["timeout"])
        self.assertEqual(len(detail["timeline"]["t_sec"]), len(detail["timeline"]["memory_bytes"]))
        self.assertIn("time", detail["why"])
        os.kill(graced.main_pid(), signal.SIGKILL)
        for launch in (living, endless):
            world.kill(launch.run_id())
        for launch in (living, endless, graced):
            launch.wait()

    def test_over_tcp_only_public_members_over_the_socket_those_of_the_record(self):
        world = self.new_world()
        world.start_daemon()
        killed = self.run_scidex("--label", "secret=label", "--timeout", "300ms", "--", "sleep", "1000.0625").run
        living = self.start_scidex("--label", "secret=label", "--", "sleep", "1000.0625")
        ids = [killed["run_id"], living.run_id()]
        self.wait_seen(world, ids[1])
        public = self.assert_documents(world.web, ids)
        for name, definition in (("runs", "run"), ("ended", "run"), ("events", "event")):
            for row in public[name]["events" if name == "events" else "runs"]:
                self.assert_schema("common.json", row, definition)
        for run_id in ids:
            self.assert_schema("common.json", public[run_id]["run"], "run")
            for event in public[run_id]["events"]:
                self.assert_schema("common.json", event, "event")
        for word in ("1000.0625", "secret", "sleep", "/tmp", "launcher_pid"):
            self.assertNotIn(word, json.dumps(public).replace(ids[0], "").replace(ids[1], ""), word)

        own = self.assert_documents(world.socket_web, ids)
        for run_id in ids:
            self.assert_schema("common.json", own[run_id]["run"], "own_run")
            self.assertEqual(own[run_id]["run"]["cmdline"], "sleep 1000.0625")
            self.assertEqual(own[run_id]["run"]["labels"], {"secret": "label"})
        self.assertEqual(own[ids[1]]["run"]["launcher_pid"], living.pid)
        self.assertEqual(own[ids[0]]["events"][0]["uid"], os.getuid())
        world.kill(ids[1])
        living.wait()

    def test_the_stream_tells_of_a_run_that_comes_is_killed_and_goes(self):
        world = self.new_world()
        world.start_daemon()
        with world.web.stream() as stream:
            self.assertEqual(stream.next().kind, "snapshot")
            launch = self.start_scidex("--analysis-id", "seen", "--", "sleep", "1000")
            run_id = launch.run_id()

            def update_with(condition):
                while True:
                    message = stream.next("update")
                    self.assert_schema("stream-update.json", message.data)
                    if condition(message.data):
                        return message.data

            update_with(lambda data: any(row["run_id"] == run_id and row["state"] == "running" for row in data["runs"]))
            world.kill(run_id)
            launch.wait()
            message = stream.next("event")
            self.assert_schema("stream-event.json", message.data)
            self.assertEqual((message.data["event"]["run_id"], message.data["event"]["reason"]), (run_id, "cancelled"))
            self.assertEqual(message.id, message.data["event"]["event_id"])
            update_with(lambda data: run_id in data["gone"])

    def test_after_a_gap_the_stream_tells_first_what_was_missed(self):
        world = self.new_world()
        world.start_daemon()
        killed = ("--timeout", "200ms", "--", "sleep", "1000")
        first = self.run_scidex(*killed).run["run_id"]
        with world.web.stream() as stream:
            snapshot = stream.next()
            self.assertEqual(snapshot.data["watchdog"]["recent_events"][0]["run_id"], first)
            last = stream.last_id
        missed = [self.run_scidex(*killed).run["run_id"] for _ in range(3)]
        with world.web.stream(last) as stream:
            told = [stream.next() for _ in range(4)]
        self.assertEqual([message.kind for message in told], ["event"] * 3 + ["snapshot"])
        self.assertEqual([message.data["event"]["run_id"] for message in told[:3]], missed)
        self.assertFalse(told[3].data["reset"])
        with world.web.stream("019aa000-0000-7000-8000-00000000dead") as stream:
            message = stream.next()
        self.assertEqual((message.kind, message.data["reset"]), ("snapshot", True))

    def test_with_a_thousand_runs(self):
        number = scale(1000)
        world = self.new_world()
        world.start_daemon()
        with Crowd(world, number):
            eventually(lambda: world.web.status()["monitored_count"] == number, 10, "the status has them all")
            found = self.assert_documents(world.web, limit=1000)
            self.assertEqual(found["status"]["watchdog"]["states"]["running"], number)
            self.assertEqual(found["runs"]["count"], number)
            everyone = {row["run_id"] for row in found["runs"]["runs"]}
            self.assertEqual(everyone, {row["run_id"] for row in world.list()})
            self.assertEqual(len(found["snapshot"]["runs"]), min(100, number))
            first = self.assert_schema("runs.json", world.web.json("/api/runs?limit=30&offset=0"))
            second = self.assert_schema("runs.json", world.web.json("/api/runs?limit=30&offset=30"))
            self.assertEqual((len(first["runs"]), len(second["runs"]), second["count"], second["offset"]), (30, 30, number, 30))
            one = self.assert_schema("runs.json", world.web.json("/api/runs?analysis_id=crowd-7"))
            self.assertEqual((one["count"], one["runs"][0]["analysis_id"]), (1, "crowd-7"))
        eventually(lambda: world.web.status()["monitored_count"] == 0, 10, "and then none")

    def test_the_kills_of_the_status_are_those_of_the_record_in_the_last_24_hours(self):
        world = self.new_world()
        world.start_daemon()
        self.run_scidex("--timeout", "200ms", "--", "sleep", "1000")
        world.stop_supervisor()
        self.multiply_events(world)
        world.start_daemon()
        watchdog = self.assert_schema("status.json", world.web.json("/api/quests/status"))["watchdog"]
        since = timestamp(time.time() - 24 * 3600)
        rows = world.sql("SELECT reason, count(*) FROM watchdog_events WHERE decided_at >= ? GROUP BY reason", since)
        self.assertEqual(dict(rows), {"timeout": 21, "memory": 10})
        self.assertEqual({reason: count for reason, count in watchdog["kills_by_reason"].items() if count}, dict(rows))
        self.assertEqual(watchdog["kills_last_24h"], 31)
        newest = world.sql("SELECT event_id FROM watchdog_events ORDER BY decided_at DESC LIMIT 20")
        self.assertEqual([event["event_id"] for event in watchdog["recent_events"]], [row[0] for row in newest])
        self.assertEqual((watchdog["storage"]["kind"], watchdog["storage"]["state"], watchdog["storage"]["events"]), ("sqlite", "ok", 71))

    def multiply_events(self, world):
        """30 more of the last day, and 40 older ones, like the one that is there."""
        now = time.time()
        with sqlite3.connect(world.database_path()) as connection:
            names = [row[1] for row in connection.execute("PRAGMA table_info(watchdog_events)")]
            row = dict(zip(names, connection.execute("SELECT * FROM watchdog_events").fetchone()))
            for i in range(70):
                age = 60 * (i + 1) if i < 30 else 24 * 3600 + 60 * (i - 29)
                reason = "memory" if i % 3 == 0 else "timeout"
                other = {**row, "event_id": uuid7(now - age), "run_id": uuid7(now - age - 1), "reason": reason, "decided_at": timestamp(now - age)}
                other["stored_at"] = other["ended_at"] = timestamp(now - age)
                marks = ", ".join("?" * len(names))
                columns = ", ".join(f'"{name}"' for name in names)
                connection.execute(f"INSERT INTO watchdog_events ({columns}) VALUES ({marks})", [other[name] for name in names])
        connection.close()

    def test_what_is_asked_wrongly_is_answered_by_a_problem_with_its_remedy(self):
        world = self.new_world()
        world.start_daemon()
        for path in ("/api/runs?limt=5", "/api/runs?limit=many", "/api/events?since=yesterday", "/api/runs?state=asleep"):
            with self.subTest(path):
                self.assert_problem(world.web.ask(path), 400)
        for path in ("/nothing", "/api/runs/019aa000-0000-7000-8000-00000000dead", "/api/nothing"):
            with self.subTest(path):
                self.assert_problem(world.web.ask(path), 404)
        self.assert_problem(world.web.ask("/api/runs", method="POST"), 405)
        self.assert_problem(world.web.ask("/api/runs", headers={"Host": "evil.example"}), 421)

    def test_the_schemas_are_served_as_they_are_in_the_docs(self):
        world = self.new_world()
        world.start_daemon()
        self.assertGreater(len(schema_store()), 7)
        for name in os.listdir(SCHEMAS):
            answer = world.web.ask(f"/schema/{name}")
            self.assertEqual(answer.status, 200, name)
            self.assertEqual(answer.json(), schema_store()[BASE + name])


class Schemas(StatusTest):
    def test_each_is_a_schema(self):
        from jsonschema import Draft202012Validator

        for schema in schema_store().values():
            Draft202012Validator.check_schema(schema)

    def test_what_is_not_named_is_refused(self):
        """A validator that accepted everything would pass every other test here."""
        self.assertTrue(schema_errors("status.json", {}))
        problem = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": None, "hint": "look"}
        self.assertEqual(schema_errors("problem.json", problem), [])
        self.assertTrue(schema_errors("problem.json", {**problem, "trace": "x"}))
        self.assertTrue(schema_errors("problem.json", {**problem, "status": 200}))
        self.assertTrue(schema_errors("stream-update.json", {"schema": 1, "generated_at": "now", "watchdog": None, "runs": [], "gone": []}))


if __name__ == "__main__":
    import unittest

    unittest.main()
