"""Limits other than memory, and the kill: whatever a run does, its group is dead and gone at the promised time."""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    SLOW,
    ScidexTest,
    cgroup_mount,
    group_processes,
    helper,
    host_controllers,
    is_alive,
    needs,
    seconds_between,
)

# How late a signal, or the look that finds the group empty, may be; emulated, either takes longer.
SLACK = 0.1 if SLOW == 1 else 0.3

# A limit that leaves a run the time to set its trap.
SOON = f"{max(1, SLOW // 2)}s"


class Timeout(ScidexTest):
    def run_that_ignores_term(self):
        """Its row and event; all of it is dead."""
        launch = self.start_scidex(
            "--timeout", "2s", "--grace", "1s", "--",
            "sh", "-c", 'trap "" TERM; setsid sleep 1000 & echo $! $$; sleep 1000',
        )  # fmt: skip
        pids = [int(word) for word in launch.read_line().split()]
        result = launch.wait()
        self.assertFalse([pid for pid in pids if is_alive(pid)])
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        run, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM", "KILL"])
        self.assertTrue(all(entry["at"] for entry in event["signals"]))
        self.assertEqual(event["processes_killed"], 3)
        self.assertEqual(sorted(entry["comm"] for entry in event["processes"]), ["sh", "sleep", "sleep"])
        self.assertTrue(set(pids) <= {entry["pid"] for entry in event["processes"]})
        return run, event

    def test_a_run_that_ignores_term_is_dead_at_limit_plus_grace(self):
        """To SLACK, once in six: how late a busy host lets anybody be is not ours; never early."""
        late = []
        for _ in range(6):
            run, event = self.run_that_ignores_term()
            times = [seconds_between(run["launched_at"], event[key]) for key in ("term_at", "kill_at", "empty_at")]
            for seconds, promised in zip(times, (2, 3, 3)):
                self.assertGreater(seconds, promised - 0.01)
                self.assertLess(seconds, promised + 10)
            if all(seconds < promised + SLACK for seconds, promised in zip(times, (2, 3, 3))):
                return
            late.append(times)
        self.fail(f"seconds to TERM, KILL, empty: {late}")

    def test_a_run_that_obeys_term_does_not_wait_for_the_grace(self):
        begin = time.monotonic()
        result = self.run_scidex("--timeout", SOON, "--grace", "100s", "--", "sleep", "1000")
        self.assertLess(time.monotonic() - begin, 5 * SLOW)
        self.assert_status(result, 124)
        _, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM"])
        self.assertIsNone(event["kill_at"])

    def test_a_limit_that_passes_before_the_command_begins(self):
        """As on a busy host: the supervisor ends a run whose launcher has not come to start it. Nobody waits for anybody then."""
        for _ in range(8):
            result = self.run_scidex("--timeout", "1us", "--grace", "1s", "--", "sleep", "1000")
            self.assert_status(result, 124)
            self.assertLess(result.seconds, 5 * SLOW)
            self.assert_recorded(result.run["run_id"], "timeout")

    def test_a_run_that_cleans_up_and_exits_0_after_term_is_still_a_timeout(self):
        result = self.run_scidex(
            "--timeout", SOON, "--", "sh", "-c", 'trap "echo saved; exit 0" TERM; sleep 1000 & wait')  # fmt: skip
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        self.assertEqual(result.stdout, b"saved\n")

    def test_the_kill_is_one_line_that_says_what_to_ask_next(self):
        result = self.run_scidex("--analysis-id", "SDA-42", "--timeout", "500ms", "--", "sleep", "1000")
        lines = [line for line in result.stderr.splitlines() if "killed" in line]
        self.assertEqual(len(lines), 1, result)
        short = result.run["run_id"][-8:]
        self.assertRegex(lines[0], rf"^scidex-run: SDA-42 killed: .*(500ms|0\.5).*scidexctl why {short}$")

    def test_the_term_signal_can_be_chosen(self):
        result = self.run_scidex(
            "--timeout", SOON, "--grace", "100s", "--term-signal", "INT", "--",
            "sh", "-c", 'trap "echo int; exit" INT; trap "" TERM; sleep 1000',
        )  # fmt: skip
        self.assert_status(result, 124)
        self.assertEqual(result.stdout, b"int\n")
        _, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual(event["signals"][0]["signal"], "INT")

    def test_a_warning_comes_before_the_deadline_and_kills_nothing(self):
        s = max(1, SLOW // 3)
        result = self.run_scidex(
            "--timeout", f"{4 * s}s", "--warn-before", f"{3 * s}s", "--warn-signal", "USR1", "--",
            helper("sigcount"), signal.SIGUSR1, "100", "0",
        )  # fmt: skip
        self.assert_status(result, 0)
        self.assert_verdict(result, "completed")
        self.assertEqual(result.stdout, b"ready\n1 times\n")
        self.assertLess(result.run["duration_sec"], 4 * s - 0.1)
        run, _ = self.assert_recorded(result.run["run_id"], "completed", events=[])
        self.assertGreater(seconds_between(run["launched_at"], run["warned_at"]), s - 0.1)

    def test_a_stopped_run_is_woken_to_hear_the_term(self):
        begin = time.monotonic()
        result = self.run_scidex("--timeout", SOON, "--grace", "100s", "--", helper("stopper"), "stop")
        self.assertLess(time.monotonic() - begin, 5 * SLOW)
        self.assert_status(result, 124)
        self.assertEqual(result.stdout, b"stopping\nterm\n")

    @needs("groups")
    def test_a_run_that_froze_its_own_group_is_thawed_to_hear_the_term(self):
        begin = time.monotonic()
        result = self.run_scidex("--timeout", SOON, "--grace", "100s", "--", helper("stopper"), "freeze")
        self.assertLess(time.monotonic() - begin, 5 * SLOW)
        self.assert_status(result, 124)
        self.assertEqual(result.stdout, b"stopping\nterm\n")

    def test_cpu_time_counts_all_processes_of_the_run(self):
        begin = time.monotonic()
        result = self.run_scidex("--cpu-time", "1s", "--timeout", "100s", "--", helper("busy"), "2")
        self.assertLess(time.monotonic() - begin, 20 * SLOW)
        self.assert_status(result, 124)
        self.assert_verdict(result, "cpu-time")
        _, (event,) = self.assert_recorded(result.run["run_id"], "cpu-time")
        self.assertGreaterEqual(event["cpu_sec"], 1)
        self.assertLess(event["cpu_sec"], 1 + SLOW)
        self.assertEqual(event["cpu_limit_sec"], 1)

    def test_a_run_that_sleeps_uses_no_cpu_time(self):
        # Of half the time that it takes: emulated, the start of a program alone uses much.
        result = self.run_scidex("--cpu-time", f"{500 * SLOW}ms", "--", "sleep", SLOW)
        self.assert_status(result, 0)

    def test_kill_on_request_is_143_and_cancelled(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        run_id = launch.run_id()
        self.assertEqual(self.world.kill(run_id[-8:]), [run_id])
        result = launch.wait()
        self.assert_status(result, 143)
        self.assert_verdict(result, "cancelled")
        self.assert_recorded(run_id, "cancelled")


class Runaways(ScidexTest):
    """All gone, the group removed, no zombie left, nothing else touched."""

    def setUp(self):
        super().setUp()
        # Not of the run, but by the same name and user: nobody may touch it.
        self.bystander = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL)

    def tearDown(self):
        alive = self.bystander.poll() is None
        self.bystander.kill()
        self.bystander.wait()
        super().tearDown()
        self.assertTrue(alive, "a process that is not of the run was killed")

    @needs("pids-controller")
    def test_a_fork_bomb_is_held_by_pids_and_ended(self):
        result = self.run_scidex(
            "--pids", "100", "--timeout", "3s", "--grace", "500ms", "--", helper("forkbomb"), "100000")  # fmt: skip
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        _, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertGreater(event["pids_max_events"], 0)
        self.assertLessEqual(event["pids_peak"], 100)
        self.assertLess(event["duration_sec"], 3.5 + SLOW)
        self.assertEqual(self.world.groups(), [])

    @needs("groups")
    def test_a_fork_bomb_without_a_pids_controller_is_ended_and_said_not_to_be_held(self):
        result = self.run_scidex(
            "--pids", "100", "--timeout", "1s", "--grace", "500ms", "--", helper("forkbomb"), "1000")  # fmt: skip
        self.assert_status(result, 124)
        held = "pids" in host_controllers()
        self.assertEqual("pids" not in (result.run["not_enforced"] or []), held, result)
        self.assertEqual(self.world.groups(), [])

    def test_two_thousand_processes_are_all_counted_and_killed(self):
        launch = self.start_scidex("--grace", "100s", "--", helper("crowd"), "2000")
        self.assertEqual(launch.read_line(60), "crowd")
        run = launch.run()
        pids = group_processes(run["group"]) if run["group"] else []
        self.world.kill(run["run_id"])
        result = launch.wait(60)
        self.assert_status(result, 143)
        # First what needs the supervisor: a private one leaves after 10 s.
        _, (event,) = self.assert_recorded(run["run_id"], "cancelled")
        self.assertEqual(event["processes_killed"], 2001)
        self.assertEqual(len(event["processes"]), 64)
        self.assert_gone(pids)

    def test_two_thousand_processes_that_ignore_term_are_killed_after_the_grace(self):
        launch = self.start_scidex("--grace", "1s", "--", helper("crowd"), "2000", "ignore")
        self.assertEqual(launch.read_line(60), "crowd")
        run_id = launch.run_id()
        self.world.kill(run_id)
        result = launch.wait(60)
        self.assert_status(result, 143)
        _, (event,) = self.assert_recorded(run_id, "cancelled")
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM", "KILL"])
        # All of it: what the supervisor did before TERM is not taken from it (the two clocks may be slewed apart).
        self.assertGreaterEqual(seconds_between(event["term_at"], event["kill_at"]), 0.999)

    @needs("groups", "root")
    def test_sub_cgroups_of_mode_000_are_emptied_and_removed(self):
        script = f"""
            g={cgroup_mount()}$(sed -n 's/^0:://p' /proc/self/cgroup)
            mkdir -p $g/a/b/c $g/d
            sleep 1000 & echo $! >$g/a/b/c/cgroup.procs; one=$!
            sleep 1000 & echo $! >$g/d/cgroup.procs; two=$!
            echo 1 >$g/d/cgroup.freeze
            chmod 000 $g/a/b/c $g/a/b $g/a $g/d
            echo $one $two
            wait
        """
        launch = self.start_scidex("--grace", "5s", "--", "sh", "-c", script)
        pids = [int(word) for word in launch.read_line().split()]
        run_id = launch.run_id()
        self.world.kill(run_id)
        result = launch.wait()
        self.assert_status(result, 143)
        self.assert_gone(pids)
        _, (event,) = self.assert_recorded(run_id, "cancelled")
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM"])
        self.assertEqual(event["processes_killed"], 3)
        self.assertEqual(self.world.groups(), [])

    @needs("groups", "root")
    def test_a_well_behaved_run_may_leave_empty_sub_cgroups(self):
        script = f"g={cgroup_mount()}$(sed -n 's/^0:://p' /proc/self/cgroup); mkdir -p $g/a/b; chmod 000 $g/a"
        result = self.run_scidex("--", "sh", "-c", script)
        self.assert_status(result, 0)
        self.assertEqual(self.world.groups(), [])
        self.assert_recorded(result.run["run_id"], "completed", events=[])

    def test_two_hundred_short_orphans_leave_no_zombie(self):
        """The check after the test finds any that the launcher did not collect."""
        result = self.run_scidex("--", "sh", "-c", "i=0; while [ $i -lt 200 ]; do (true &); i=$((i+1)); done")
        self.assert_status(result, 0)


class Cpus(ScidexTest):
    @needs("cpu-controller")
    def test_cpus_throttles(self):
        result = self.run_scidex("--cpus", "0.5", "--timeout", "2s", "--", helper("busy"))
        self.assert_status(result, 124)
        self.assertLess(result.run["cpu_sec"], 0.7 * result.run["duration_sec"])
        self.assertGreater(result.run["cpu_throttled_sec"], 0)
