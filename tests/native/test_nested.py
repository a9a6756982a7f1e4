"""A run started from within a run: its group lies in the outer one's, and it shares the outer one's fate."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import SLOW, ScidexTest, eventually, helper, host_controllers, is_alive, needs  # noqa: E402

# A limit that leaves both the time to start.
SOON = f"{max(2, SLOW // 2)}s"


class Nested(ScidexTest):
    def inner(self):
        return self.here().program("scidex-run")

    def both(self, *rows):
        """(outer, inner) rows, by outer_run_id."""
        rows = rows or eventually(self.two_with_pids, 10, "two runs")
        inner = next(row for row in rows if row["outer_run_id"])
        outer = next(row for row in rows if row["run_id"] == inner["outer_run_id"])
        return outer, inner

    def two_with_pids(self):
        rows = [row for row in self.world.list() if row["pid"]]
        return rows if len(rows) == 2 else None

    def start_two(self, *options, inner_options=(), command="sh -c 'echo ready; exec sleep 1000'"):
        launch = self.start_scidex(*options, "--", "sh", "-c", f"{self.inner()} {' '.join(inner_options)} -- {command}; echo inner $?; exit 0")
        self.assertEqual(launch.read_line(), "ready")
        return launch

    def test_scidex_run_of_scidex_run_of_true_works(self):
        result = self.run_scidex("--", self.inner(), "--", "true")
        self.assert_status(result, 0)
        rows = eventually(lambda: len(self.world.history()) == 2 and self.world.history(), 5)
        outer, inner = self.both(*rows)
        self.assertEqual({outer["verdict"], inner["verdict"]}, {"completed"})
        self.assertEqual(self.world.count_rows("watchdog_events", outer["run_id"]), 0)
        self.assertEqual(self.world.count_rows("watchdog_events", inner["run_id"]), 0)

    def test_three_deep_and_the_status_comes_through(self):
        result = self.run_scidex("--", self.inner(), "--", self.inner(), "--", "sh", "-c", "exit 9")
        self.assert_status(result, 9)
        self.assertEqual(self.world.groups(), [])

    def test_two_inner_runs_one_after_the_other_and_at_once(self):
        script = f"{self.inner()} -- true; {self.inner()} -- sh -c 'exit 3' & {self.inner()} -- sh -c 'exit 4' & wait; echo done"
        result = self.run_scidex("--", "sh", "-c", script)
        self.assert_status(result, 0)
        rows = eventually(lambda: len(self.world.history()) == 4 and self.world.history(), 5)
        self.assertEqual(sorted(row["exit_status"] for row in rows), [0, 0, 3, 4])

    @needs("groups")
    def test_the_inner_group_lies_within_the_outer_one(self):
        launch = self.start_two()
        outer, inner = self.both()
        self.assertTrue(inner["group"].startswith(outer["group"] + "/"), (outer["group"], inner["group"]))
        self.world.kill(outer["run_id"])
        launch.wait()

    def test_the_inner_run_has_the_grace_of_the_outer_one(self):
        path = os.path.join(self.new_world().directory, "tidied")
        command = f"sh -c \"trap 'sleep 1; echo tidy > {path}; exit 0' TERM; echo ready; while :; do sleep 0.1; done\""
        launch = self.start_two("--timeout", SOON, "--grace", f"{5 * max(1, SLOW // 2)}s", command=command)
        self.assert_status(launch.wait(), 124)
        self.assertTrue(os.path.exists(path), "it was killed before it had tidied up")

    def test_the_end_of_the_outer_run_ends_the_inner_one(self):
        launch = self.start_two("--timeout", f"{max(3, SLOW)}s", "--grace", "2s")
        outer, inner = self.both()
        result = launch.wait()
        self.assert_status(result, 124)
        self.assertFalse(is_alive(inner["pid"]))
        self.assert_recorded(outer["run_id"], "timeout")
        row, (event,) = self.assert_recorded(inner["run_id"], "cancelled")
        self.assertIn("outer " + outer["run_id"][-8:], row["detail"])
        self.assertIn("timeout", row["detail"])
        self.assertEqual(event["reason"], "cancelled")
        self.assertEqual(self.world.groups(), [])

    def test_the_inner_end_does_not_touch_the_outer_one(self):
        launch = self.start_two("--timeout", "100s", inner_options=["--timeout", SOON, "--grace", "1s"])
        result = launch.wait()
        self.assert_status(result, 0)
        self.assertEqual(result.stdout, b"inner 124\n")
        self.assert_verdict(result, "completed")

    def test_kill_9_of_the_outer_launcher_ends_both(self):
        launch = self.start_two("--grace", "1s")
        self.world.may_leave_zombies = True
        outer, inner = self.both()
        launch.signal(signal.SIGKILL)
        eventually(lambda: not self.world.list() or all(row["state"] == "ended" for row in self.world.list()), 15, "both end")
        self.assertFalse(is_alive(inner["pid"]) or is_alive(outer["pid"]))
        self.assert_recorded(outer["run_id"], "orphaned")
        self.assert_recorded(inner["run_id"], "cancelled")

    def test_kill_9_of_the_inner_launcher_ends_the_inner_run_only(self):
        launch = self.start_scidex("--", "sh", "-c", f"{self.inner()} --grace 1s -- sh -c 'echo ready; exec sleep 1000'; echo inner $?; exec sleep 1000")
        launch.read_line()
        outer, inner = self.both()
        os.kill(inner["launcher_pid"], signal.SIGKILL)
        eventually(lambda: not is_alive(inner["pid"]), 10)
        while not launch.read_line().startswith("inner"):
            pass
        self.assertTrue(is_alive(outer["pid"]))
        self.assert_recorded(inner["run_id"], "orphaned")
        self.world.kill(outer["run_id"])
        self.assert_status(launch.wait(), 143)
        self.assert_recorded(outer["run_id"], "cancelled")

    @needs("memory-controller")
    def test_the_outer_memory_limit_holds_for_the_inner_run(self):
        script = f"{self.inner()} --memory 2G -- {helper('leaker')} anon 500 0; exit 0"
        result = self.run_scidex("--memory", "96M", "--", "sh", "-c", script)
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory")
        rows = eventually(lambda: len(self.world.history()) == 2 and self.world.history(), 10)
        outer, inner = self.both(*rows)
        self.assert_recorded(outer["run_id"], "memory")
        row, _ = self.assert_recorded(inner["run_id"], "host-oom")
        self.assertIn("outer " + outer["run_id"][-8:], row["detail"])

    @needs("memory-controller")
    def test_the_inner_memory_limit_ends_the_inner_run_only(self):
        script = f"{self.inner()} --memory 64M -- {helper('leaker')} anon 500 0; echo inner $?"
        result = self.run_scidex("--memory", "1G", "--", "sh", "-c", script)
        self.assert_status(result, 0)
        self.assertEqual(result.stdout, b"inner 137\n")
        self.assert_verdict(result, "completed")

    def test_a_run_can_not_end_a_run_that_is_not_within_it(self):
        other = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        other.read_line()
        run_id = other.run_id()
        ctl = self.world.program("scidexctl")
        result = self.run_scidex("--", "sh", "-c", f"{ctl} kill {run_id}; echo status $?")
        self.assertNotIn(b"status 0", result.stdout)
        self.assertEqual(self.world.show(run_id)["state"], "running")
        self.world.kill(run_id)
        self.assert_status(other.wait(), 143)

    @needs("pids-controller")
    def test_the_outer_pids_limit_holds_for_the_inner_run(self):
        self.assertIn("pids", host_controllers())
        script = f"{self.inner()} --pids 4000 --timeout 3s --grace 500ms -- {helper('forkbomb')} 5000; echo inner $?"
        result = self.run_scidex("--pids", "50", "--", "sh", "-c", script)
        self.assertEqual(result.stdout.splitlines()[-1], b"inner 124")  # before it the bomb says that it was held
        self.assertLessEqual(result.run["pids_peak"], 50)
