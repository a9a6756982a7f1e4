"""scidexctl against a live supervisor, and after it has gone."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import ScidexTest  # noqa: E402


class Ctl(ScidexTest):
    def ctl(self, *arguments, status=0):
        world = self.here()
        done = subprocess.run(
            [world.program("scidexctl"), *arguments], env=world.environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
        if status is not None:
            self.assertEqual(done.returncode, status, (arguments, done.stdout, done.stderr))
        return done

    def json(self, *arguments, status=0):
        done = self.ctl(*arguments, "--json", status=status)
        return [json.loads(line) for line in done.stdout.splitlines()] if "\n{" in done.stdout.strip() else json.loads(done.stdout)

    def test_list_show_and_kill_a_live_run(self):
        launch = self.start_scidex("--analysis-id", "SDA-9", "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        run_id = launch.run_id()
        listed = self.ctl("list").stdout
        self.assertIn(run_id[-8:], listed)
        self.assertIn("SDA-9", listed)
        self.assertIn(run_id, self.ctl("list", "--json").stdout)
        self.assertIn("SDA-9", self.ctl("show", run_id[-8:]).stdout)
        self.ctl("kill", run_id[-8:])
        self.assert_status(launch.wait(), 143)
        self.assert_recorded(run_id, "cancelled")

    def test_why_tells_what_happened_and_on_what_evidence(self):
        result = self.run_scidex("--analysis-id", "SDA-9", "--timeout", "500ms", "--grace", "500ms", "--", "sh", "-c", 'trap "" TERM; sleep 1000')
        text = self.ctl("why", result.run["run_id"][-8:]).stdout
        self.assertIn("SDA-9", text)
        self.assertIn("TERM", text)
        self.assertIn("KILL", text)
        self.assertRegex(text, "500 ?ms")
        self.assertNotIn("\x1b", text)
        self.assertIn(result.run["run_id"], self.ctl("why", result.run["run_id"], "--json").stdout)

    def test_the_record_can_be_asked_when_no_supervisor_runs(self):
        result = self.run_scidex("--timeout", "300ms", "--", "sleep", "1000")
        self.world.stop_supervisor()
        self.assertIn(result.run["run_id"][-8:], self.ctl("history").stdout)
        self.assertIn("timeout", self.ctl("events").stdout)
        self.assertIn("300", self.ctl("why", result.run["run_id"][-8:]).stdout)
        self.assertFalse(os.path.exists(self.world.socket))

    def test_top_shows_once_what_runs_here_where_there_is_no_terminal(self):
        empty = self.json("top")
        self.assertEqual((empty["runs"], empty["events"]), ([], []))
        killed = self.run_scidex("--analysis-id", "SDA-8", "--timeout", "300ms", "--", "sleep", "1000")
        launch = self.start_scidex("--analysis-id", "SDA-9", "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        text = self.ctl("top").stdout
        self.assertLess(text.index("SDA-9"), text.index("SDA-8"))
        self.assertIn("1 run\n", text)
        self.assertNotIn("\x1b", text)
        answer = self.json("top")
        self.assertEqual([run["analysis_id"] for run in answer["runs"]], ["SDA-9"])
        self.assertEqual([event["run_id"] for event in answer["events"]], [killed.run["run_id"]])
        self.ctl("kill", "SDA-9")
        launch.wait()

    def test_without_a_database_all_hosts_are_nobody(self):
        done = self.ctl("list", "--all-hosts", status=3)
        self.assertIn("no database is configured", done.stderr)
        self.assertEqual(self.json("top", "--all-hosts", status=3)["error"]["code"], "no-database")
        self.assertIn("--follow goes with --all-hosts", self.ctl("events", "--follow", status=2).stderr)

    def test_json_stays_json_on_failure(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        for arguments in (["show", "nothing-of-that-name"], ["kill", "nothing-of-that-name"], ["why", "nothing-of-that-name"]):
            with self.subTest(arguments=arguments):
                done = self.ctl(*arguments, "--json", status=None)
                self.assertNotEqual(done.returncode, 0)
                self.assertFalse(json.loads(done.stdout).get("ok", False))

    def test_doctor_says_ok_or_not_and_the_remedy(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        done = self.ctl("doctor", status=None)
        self.assertIn("memory", done.stdout)
        json.loads(self.ctl("doctor", "--json", status=None).stdout)

    def test_a_launch_that_failed_says_where_to_ask_and_that_works(self):
        result = self.run_scidex("--timeout", "300ms", "--", "sleep", "1000")
        words = next(line for line in result.stderr.splitlines() if "Details: " in line).partition("Details: ")[2].split()
        self.assertEqual(words[:2], ["scidexctl", "why"])
        self.assertIn("sleep", self.ctl(*words[1:]).stdout)
