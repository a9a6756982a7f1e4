"""Processes without a parent, runs without a launcher: nothing outlives its run, no run its launcher."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    SLOW,
    ScidexTest,
    children_of,
    eventually,
    helper,
    is_alive,
    pidfd,
    process_state,
    wait_readable,
)


class Leftovers(ScidexTest):
    def test_a_daemonised_child_is_killed_and_the_status_stays_the_runs_own(self):
        result = self.run_scidex("--", "sh", "-c", f"{helper('daemonise')} sleep 1000; exit 7")
        daemon = int(result.stdout)
        self.assertFalse(is_alive(daemon), "the launcher returned before the group was empty")
        self.assert_status(result, 7)
        self.assert_verdict(result, "failed")
        _, (event,) = self.assert_recorded(result.run["run_id"], "failed", events=["orphan"])
        self.assertEqual(event["processes_killed"], 1)
        (process,) = event["processes"]
        self.assertEqual(process["pid"], daemon)
        self.assertIn(process["comm"], ("sleep", "daemonise"))  # before or after its exec
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM"])

    def test_a_run_with_leftovers_that_exits_0_is_completed(self):
        result = self.run_scidex("--", "sh", "-c", "sleep 1000 & exit 0")
        self.assert_status(result, 0)
        self.assert_verdict(result, "completed")
        self.assert_recorded(result.run["run_id"], "completed", events=["orphan"])

    def test_leftovers_that_ignore_term_are_killed_after_the_grace(self):
        result = self.run_scidex(
            "--grace", "1s", "--", "sh", "-c", f'trap "" TERM; {helper("daemonise")} sleep 1000; exit 0')  # fmt: skip
        self.assert_status(result, 0)
        _, (event,) = self.assert_recorded(result.run["run_id"], "completed", events=["orphan"])
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM", "KILL"])
        self.assertGreaterEqual(result.seconds, 1)

    def test_children_that_end_with_the_run_are_no_leftovers(self):
        """A pipeline's last processes end a moment after the first: that is no kill and no event."""
        result = self.run_scidex("--", "sh", "-c", "i=0; while [ $i -lt 20 ]; do (exit 0) & i=$((i+1)); done; wait")
        self.assert_status(result, 0)
        self.assert_recorded(result.run["run_id"], "completed", events=[])

    def test_the_launcher_collects_what_is_handed_to_it(self):
        """A daemon that ends while the run goes on becomes no zombie."""
        launch = self.start_scidex("--", "sh", "-c", f"{helper('daemonise')} sleep 0.1; exec sleep 1000")
        daemon = int(launch.read_line())
        eventually(lambda: process_state(daemon) is None, 10, "the daemon is collected")
        self.assertEqual([pid for pid in children_of(launch.pid) if process_state(pid) == "Z"], [])
        launch.signal(signal.SIGTERM)
        launch.wait()


class Orphaned(ScidexTest):
    def kill_launcher(self, *arguments, grace="1s"):
        world = self.new_world()
        world.may_leave_zombies = True
        launch = world.start("--grace", grace, "--", *arguments)
        pids = [int(word) for word in launch.read_line().split()]
        run_id = launch.run_id()
        with world.client() as client:
            client.send({"v": 1, "op": "wait", "run": run_id})
            self.assertEqual(client.call("status")["re"], "status")  # so we wait by now: later the run might be gone
            begin = time.monotonic()
            launch.signal(signal.SIGKILL)
            run = client.receive()["run"]
        seconds = time.monotonic() - begin
        self.assertFalse([pid for pid in pids if is_alive(pid)])
        return run, seconds

    def test_kill_9_of_the_launcher_ends_the_run(self):
        run, seconds = self.kill_launcher("sh", "-c", "setsid sleep 1000 & echo $! $$; exec sleep 1000", grace="100s")
        self.assertLess(seconds, 5 * SLOW)
        self.assertEqual(run["verdict"], "orphaned")
        self.assert_recorded(run["run_id"], "orphaned")

    def test_kill_9_of_the_launcher_ends_a_run_that_ignores_term_within_the_grace(self):
        run, seconds = self.kill_launcher(
            "sh", "-c", 'trap "" TERM; setsid sleep 1000 & echo $! $$; sleep 1000', grace="1s")  # fmt: skip
        self.assertGreaterEqual(seconds, 0.9)
        self.assertLess(seconds, 1 + 2 * SLOW)  # it includes the way to the disk
        self.assertEqual(run["verdict"], "orphaned")
        _, (event,) = self.assert_recorded(run["run_id"], "orphaned")
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM", "KILL"])

    def test_a_stopped_launcher_is_alive(self):
        launch = self.start_scidex(
            "--timeout", f"{max(2, SLOW // 2)}s", "--grace", "1s", "--", "sh", "-c", "echo ready; exec sleep 1000"
        )  # fmt: skip
        launch.read_line()
        run = launch.run()
        launch.signal(signal.SIGSTOP)
        # The supervisor does not need the launcher to enforce. Nobody collects the main process meanwhile.
        with pidfd(run["pid"]) as main:
            self.assertTrue(wait_readable(main, 10), "the limit holds")
        self.assertEqual(process_state(run["pid"]), "Z")
        launch.signal(signal.SIGCONT)
        result = launch.wait()
        self.assert_status(result, 124)
        self.assert_recorded(run["run_id"], "timeout")


class Crashed(ScidexTest):
    def test_kill_9_of_the_main_process_is_crashed_and_not_memory(self):
        launch = self.start_scidex("--", "sh", "-c", "echo $$; exec sleep 1000")
        os.kill(int(launch.read_line()), signal.SIGKILL)
        result = launch.wait()
        self.assert_status(result, 137)
        self.assert_verdict(result, "crashed")
        self.assertEqual(result.run["exit_signal"], "KILL")
        self.assert_recorded(result.run["run_id"], "crashed", events=[])

    def test_term_from_elsewhere_to_the_main_process_is_crashed_with_143(self):
        launch = self.start_scidex("--", "sh", "-c", "echo $$; exec sleep 1000")
        os.kill(int(launch.read_line()), signal.SIGTERM)
        result = launch.wait()
        self.assert_status(result, 143)
        self.assert_verdict(result, "crashed")
