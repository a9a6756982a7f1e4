"""The status of the installed service: where it is, who sees what, and that under the unit's quota those who look delay no kill.

Kills are compared, never asserted in seconds: with 50 dashboards and a scraper in turns with nobody who looks.
"""

import json
import os
import statistics
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import eventually, parse_time  # noqa: E402
from statustest import Web, schema_errors  # noqa: E402
from systemtest import RUNTIME, SUPERVISOR, SystemTest, as_user, main_pid, python_as, systemctl, user_environment  # noqa: E402

PLACE = f"{RUNTIME}/http"
ASK = "import sys; from statustest import Web; print(Web(sys.argv[1]).ask(sys.argv[2]).body.decode())"
KILLED = ("--timeout", "200ms", "--grace", "5s", "--", "sleep", "1000")
CLIENTS = 50
ROUNDS = 5
FACTOR, SLACK = 3, 0.1  # the quota alone stops everything for up to 20 ms at a time

WATCH = r"""
import sys
from statustest import Web
streams = [Web(8787).stream() for _ in range(int(sys.argv[1]))]
print("connected", flush=True)
sys.stdin.read()
"""


class StatusSystemTest(SystemTest):
    def setUp(self):
        super().setUp()
        self.web = Web(8787)
        self.wait_web()

    def wait_web(self):
        eventually(self.web.is_healthy, 10, "the status answers")

    def wait_shown(self, *run_ids):
        eventually(lambda: {row["run_id"] for row in self.web.json("/api/runs")["runs"]}.issuperset(run_ids), 10, "the runs are shown")


class Installed(StatusSystemTest):
    def ask_as(self, user, path):
        """The document that this user sees over the Unix socket."""
        return json.loads(python_as(user, ASK, PLACE, path, check=True).stdout)

    def test_it_is_there_as_shipped_and_outlives_its_recorder_and_its_supervisor(self):
        document = self.web.json("/api/quests/status")
        self.assertEqual(schema_errors("status.json", document), [])
        self.assertEqual((document["watchdog"]["supervisor"]["mode"], document["watchdog"]["supervisor"]["enforcement"]), ("system", "kernel"))
        restarts = document["watchdog"]["supervisor"]["restarts"]
        recorder = self.world.recorder_pid()
        os.kill(recorder, 9)
        # The supervisor keeps the sockets: who asks now waits for the next recorder.
        self.assertEqual(self.web.ask("/metrics").status, 200)
        self.assertNotEqual(self.world.recorder_pid(), recorder)
        before = main_pid(SUPERVISOR)
        systemctl("restart", SUPERVISOR)
        self.world.wait_ready(other_than=before)
        self.wait_web()
        eventually(lambda: self.web.status()["supervisor"]["restarts"] == restarts + 1, 10, "the restart is counted")

    def test_each_sees_own_runs_in_full_admins_all_and_others_what_is_public(self):
        launches = {user: self.world.start("--", "sleep", "1000.125", user=user) for user in ("alice", "bob")}
        ids = {user: launch.run_id() for user, launch in launches.items()}
        self.wait_shown(*ids.values())
        for viewer, own in (("alice", {"alice"}), ("bob", {"bob"}), ("dave", {"alice", "bob"}), ("root", {"alice", "bob"})):
            with self.subTest(viewer):
                rows = {row["run_id"]: row for row in self.ask_as(viewer, "/api/runs")["runs"]}
                for user, run_id in ids.items():
                    definition = "own_run" if user in own else "run"
                    self.assertEqual(schema_errors("common.json", rows[run_id], definition), [])
                    self.assertEqual(rows[run_id].get("cmdline"), "sleep 1000.125" if user in own else None)
                    one = self.ask_as(viewer, f"/api/runs/{run_id}")["run"]
                    self.assertEqual(schema_errors("common.json", one, definition), [])
        for row in self.web.json("/api/runs")["runs"]:
            self.assertEqual(schema_errors("common.json", row, "run"), [])
        refused = python_as("mallory", ASK, PLACE, "/api/runs")
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("PermissionError", refused.stderr)
        for user, launch in launches.items():
            self.world.kill(ids[user])
            launch.wait()


class UnderTheQuota(StatusSystemTest):
    as_shipped = True

    def latency(self):
        run_id = self.world.run(*KILLED).run["run_id"]
        # A launcher is told after a while also when its event is not committed yet.
        (event,) = eventually(lambda: self.world.events(run=run_id), 20, "its event is recorded")
        return parse_time(event["empty_at"]) - parse_time(event["deadline_at"])

    def watched_latency(self):
        """With dashboards and a scraper that asks again as soon as it has its answer."""
        over, answers = threading.Event(), []
        watch = subprocess.Popen(["python3", "-c", WATCH, str(CLIENTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=user_environment("alice"), **as_user("alice"))  # fmt: skip

        def scrape():
            while not over.is_set():
                try:
                    answers.append(self.web.ask("/metrics").status)
                except OSError:
                    answers.append(None)

        scraper = threading.Thread(target=scrape)
        try:
            self.assertEqual(watch.stdout.readline(), "connected\n")
            scraper.start()
            return self.latency()
        finally:
            over.set()
            watch.communicate()
            scraper.join()

    def test_dashboards_and_a_scraper_delay_no_kill(self):
        alone, watched = [], []
        for _ in range(ROUNDS):
            alone.append(self.latency())
            watched.append(self.watched_latency())
        print(f"     deadline to empty group, {CLIENTS} dashboards: {statistics.median(watched) * 1e3:.0f} ms, without {statistics.median(alone) * 1e3:.0f} ms")
        self.assertLessEqual(statistics.median(watched), statistics.median(alone) * FACTOR + SLACK)


if __name__ == "__main__":
    import unittest

    unittest.main()
