"""The record: one row per run, one event per kill, before anyone is told; and what happens when the disk does not play along."""

import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import MIB, SLOW, ScidexTest, eventually, is_alive, needs, parse_time, process_state, wait_readable  # noqa: E402

SLEEPER = ("--timeout", "500ms", "--grace", "1s", "--", "sleep", "1000")


class Record(ScidexTest):
    def test_one_row_per_run_and_one_event_per_kill_after_everything(self):
        done = self.run_scidex("--", "true")
        failed = self.run_scidex("--", "false")
        killed = self.run_scidex(*SLEEPER)
        self.assert_recorded(done.run["run_id"], "completed", events=[])
        self.assert_recorded(failed.run["run_id"], "failed", events=[])
        self.assert_recorded(killed.run["run_id"], "timeout")
        self.assertEqual(len(self.world.history()), 3)
        self.assertEqual(len(self.world.events()), 1)
        self.assertEqual(self.world.sql("SELECT count(*) FROM watchdog_processes")[0][0], 0)

    def test_an_event_is_in_the_file_when_the_launcher_returns(self):
        """Committed before it is reported to anyone: no wait here."""
        result = self.run_scidex(*SLEEPER)
        self.assertEqual(self.world.count_rows("watchdog_events", result.run["run_id"]), 1)

    def test_the_rows_hold_what_was_seen(self):
        launch = self.start_scidex("--analysis-id", "SDA-42", "--memory", "200M", "--label", "a=b", *SLEEPER)
        result = launch.wait()
        run, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        for row in (run, event):
            self.assertEqual(row["analysis_id"], "SDA-42")
            self.assertEqual(row["uid"], os.getuid())
            self.assertEqual(row["launcher_pid"], launch.pid)
            self.assertEqual(row["comm"], "sleep")
            self.assertEqual(row["cmdline"], "sleep 1000")
            self.assertEqual(row["cmdline_length"], len("sleep 1000"))
            self.assertEqual(row["memory_limit_bytes"], 200 * MIB)
            self.assertEqual(row["labels"], {"a": "b"})
            self.assertEqual(row["exit_signal"], "TERM")
            self.assertEqual(row["host"], os.uname().nodename)
            self.assertEqual(row["boot_id"].replace("-", ""), open("/proc/sys/kernel/random/boot_id").read().strip().replace("-", ""))
            self.assertIn(row["enforcement"], ("kernel", "sampled"))
            self.assertGreater(row["duration_sec"], 0.4)
        self.assertEqual(run["state"], "ended")
        self.assertEqual(run["events"], 1)
        self.assertTrue(parse_time(run["launched_at"]) < parse_time(event["decided_at"]) <= parse_time(event["term_at"]))
        self.assertLessEqual(parse_time(event["term_at"]), parse_time(event["empty_at"]))
        timeline = event["timeline"]
        self.assertEqual(len({len(timeline[name]) for name in ("t_sec", "memory_bytes", "cpu_sec")}), 1)
        self.assertGreaterEqual(len(timeline["t_sec"]), 1)
        self.assertLessEqual(len(timeline["t_sec"]), 120)

    def test_a_long_command_line_is_capped_and_its_length_kept(self):
        result = self.run_scidex("--", "true", *["x" * 1000] * 30)
        run, _ = self.assert_recorded(result.run["run_id"], "completed", events=[])
        self.assertLessEqual(len(run["cmdline"].encode()), 4096)
        self.assertEqual(run["cmdline_length"], len("true") + 30 * 1001)

    def test_a_command_line_of_many_hundred_kilobytes_launches(self):
        result = self.run_scidex("--", "true", *["y" * 100000] * 10)
        self.assert_status(result, 0)
        self.assertEqual(result.run["cmdline_length"], len("true") + 10 * 100001)

    def test_bytes_that_are_no_utf_8_launch_and_are_recorded_escaped(self):
        world = self.here()
        done = subprocess.run(
            [world.program("scidex-run"), "--", "printf", "%s", b"caf\xe9"], env=world.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.assertEqual((done.returncode, done.stdout), (0, b"caf\xe9"))
        rows = eventually(world.history, 5)
        self.assertIn("caf", rows[0]["cmdline"])

    def test_history_and_events_can_be_asked_by_analysis_verdict_and_number(self):
        self.run_scidex("--analysis-id", "A", "--", "true")
        self.run_scidex("--analysis-id", "A", *SLEEPER)
        self.run_scidex("--analysis-id", "B", "--", "false")
        eventually(lambda: len(self.world.history()) == 3, 5)
        self.assertEqual([row["analysis_id"] for row in self.world.history()], ["B", "A", "A"])
        self.assertEqual(len(self.world.history(analysis_id="A")), 2)
        self.assertEqual([row["verdict"] for row in self.world.history(verdict="failed")], ["failed"])
        self.assertEqual(len(self.world.history(limit=1)), 1)
        self.assertEqual(len(self.world.events(analysis_id="A")), 1)
        self.assertEqual(len(self.world.events(reason="memory")), 0)
        why = self.world.why("A")
        self.assertEqual(why["run"]["verdict"], "timeout")
        self.assertEqual(len(why["events"]), 1)

    def test_the_record_outlives_the_supervisor(self):
        result = self.run_scidex(*SLEEPER)
        self.world.stop_supervisor()
        self.assert_status(self.run_scidex("--", "true"), 0)
        self.assert_recorded(result.run["run_id"], "timeout")

    def test_a_stopped_supervisor_has_written_everything(self):
        """Rows are written behind; the end of the supervisor does not wait for that second."""
        results = [self.run_scidex("--", "true") for _ in range(5)]
        self.world.stop_supervisor()
        for result in results:
            self.assertEqual(self.world.count_rows("watchdog_runs", result.run["run_id"]), 1)


class RecorderDies(ScidexTest):
    def kill_recorder(self):
        pid = eventually(self.world.recorder_pid, 10)
        os.kill(pid, signal.SIGKILL)
        return pid

    def test_kill_9_of_the_recorder_loses_and_doubles_nothing(self):
        launch = self.start_scidex("--timeout", f"{1 * SLOW}s", "--grace", "1s", "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        before = self.run_scidex("--", "true")
        old = self.kill_recorder()
        during = self.run_scidex("--", "false")
        result = launch.wait()
        self.assert_status(result, 124)
        self.assertNotEqual(eventually(self.world.recorder_pid, 10), old)
        self.assert_recorded(before.run["run_id"], "completed", events=[])
        self.assert_recorded(during.run["run_id"], "failed", events=[])
        self.assert_recorded(result.run["run_id"], "timeout")

    def test_killed_again_and_again_while_runs_are_killed_each_is_recorded_once(self):
        launches = []
        for i in range(8):
            launches.append(self.start_scidex("--analysis-id", f"SDA-{i}", *SLEEPER))
            if i % 2:
                self.kill_recorder()
        for launch in launches:
            result = launch.wait()
            self.assert_status(result, 124)
            self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual(self.world.sql("SELECT count(*) FROM watchdog_events")[0][0], 8)
        self.assertEqual(self.world.sql("SELECT count(*) FROM watchdog_runs")[0][0], 8)

    def test_a_recorder_that_can_not_be_started_again_stops_no_kill(self):
        world = self.new_world()
        world.copy_programs()
        self.assert_status(world.run("--", "true"), 0)
        program = os.path.join(world.programs, "scidex-recorder")
        os.rename(program, program + ".away")
        self.kill_recorder()
        result = self.run_unrecorded(world)
        os.rename(program + ".away", program)
        eventually(lambda: world.status()["unrecorded"] == 0, 60, "the record is written by the next recorder")
        self.assert_recorded(result.run["run_id"], "timeout")

    def test_an_installation_without_a_recorder_stops_no_kill_and_says_so(self):
        world = self.new_world()
        world.copy_programs()
        program = os.path.join(world.programs, "scidex-recorder")
        os.rename(program, program + ".away")
        result = self.run_unrecorded(world)
        world.stop_supervisor()
        os.rename(program + ".away", program)
        self.assert_status(world.run("--", "true"), 0)
        if world.tree:
            # From the marker in the group that was kept for this.
            self.assert_recorded(result.run["run_id"], "timeout")

    def run_unrecorded(self, world):
        result = world.run(*SLEEPER)
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        self.assertRegex(result.stderr, "(?i)record")
        self.assertGreaterEqual(world.status()["unrecorded"], 1)
        return result


class Disk(ScidexTest):
    """Limits go on being enforced, the record is kept and written when possible, and it is loud."""

    def assert_unrecorded_but_enforced(self, result):
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        self.assertLess(result.seconds, 15 + 2 * SLOW)
        self.assertRegex(result.stderr, r"(?i)record", "nothing was said of the record")

    @needs("root")
    def test_a_full_disk(self):
        world = self.new_world()
        world.mount_tmpfs(world.state, "1m")
        self.assert_status(world.run("--", "true"), 0)
        eventually(lambda: len(world.history()) == 1, 5)
        fill = os.path.join(world.state, "fill")
        with open(fill, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4096) == 4096:
                    pass
            except OSError:
                pass
        # What SQLite has set aside for its log is used up first.
        labels = [word for number in range(30) for word in ("--label", f"label{number}=" + "x" * 200)]
        results = []
        while world.status()["storage"]["state"] != "full":
            self.assertLess(len(results), 60, "the disk was never full")
            results.append(world.run(*labels, "--timeout", "50ms", "--", "sleep", "1000"))
        results.append(world.run(*SLEEPER))
        self.assert_unrecorded_but_enforced(results[-1])
        status = world.status()
        self.assertGreaterEqual(status["unrecorded"], 2, status)
        self.assertEqual(status["storage"]["state"], "full", status)
        os.unlink(fill)
        eventually(lambda: world.status()["unrecorded"] == 0, 60, "the record is written when there is room")
        for result in results:
            self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual(world.storage()["state"], "ok")

    @needs("root")
    def test_a_read_only_directory(self):
        world = self.new_world()
        world.mount_tmpfs(world.state, "8m", "ro")
        result = world.run(*SLEEPER)
        self.assert_unrecorded_but_enforced(result)
        self.assertEqual(world.status()["storage"]["state"], "read-only")
        subprocess.run(["mount", "-o", "remount,rw", world.state], check=True)
        eventually(lambda: world.status()["unrecorded"] == 0, 60, "the record is written when it can be")
        self.assert_recorded(result.run["run_id"], "timeout")

    def test_a_directory_that_is_a_file(self):
        world = self.new_world()
        shutil.rmtree(world.state)
        with open(world.state, "w", encoding="utf-8"):
            pass
        result = world.run(*SLEEPER)
        self.assert_unrecorded_but_enforced(result)
        # Event before rmdir: the empty group with its marker is what the event would be finished from.
        os.unlink(world.state)
        os.mkdir(world.state, 0o700)
        eventually(lambda: world.status()["unrecorded"] == 0, 60, "the record is written when it can be")
        self.assert_recorded(result.run["run_id"], "timeout")

    def test_a_corrupt_file_is_set_aside_and_never_deleted(self):
        world = self.new_world()
        self.assert_status(world.run("--", "true"), 0)
        path = world.database_path()
        world.stop_supervisor()
        for suffix in ("-wal", "-shm"):
            if os.path.exists(path + suffix):
                os.unlink(path + suffix)
        garbage = os.urandom(100000)
        with open(path, "wb") as file:
            file.write(garbage)
        result = world.run(*SLEEPER)
        self.assert_status(result, 124)
        self.assert_recorded(result.run["run_id"], "timeout")
        storage = world.storage()
        self.assertEqual(len(storage["set_aside"]), 1, storage)
        with open(storage["set_aside"][0], "rb") as file:
            self.assertEqual(file.read(), garbage)
        self.assertEqual(len(world.history()), 1)

    def test_a_file_torn_in_the_middle_is_set_aside(self):
        world = self.new_world()
        for _ in range(5):
            world.run(*SLEEPER)
        path = world.database_path()
        world.stop_supervisor()
        size = os.path.getsize(path)
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(os.urandom(max(4096, size - 8192)))
        result = world.run(*SLEEPER)
        self.assert_status(result, 124)
        self.assert_recorded(result.run["run_id"], "timeout")

    def test_a_hung_disk(self):
        """The recorder stopped is a recorder that waits for its disk."""
        world = self.new_world()
        self.assert_status(world.run("--", "true"), 0)
        recorder = eventually(world.recorder_pid, 10)
        os.kill(recorder, signal.SIGSTOP)
        try:
            eventually(lambda: process_state(recorder) == "T", 5)
            begin = time.monotonic()
            launches = [world.start(*SLEEPER) for _ in range(3)]
            results = [launch.wait(60) for launch in launches]
            seconds = time.monotonic() - begin
            done = world.run("--", "true")
        finally:
            if is_alive(recorder):
                os.kill(recorder, signal.SIGCONT)
        self.assertLess(seconds, 15 + 2 * SLOW)
        for result in results:
            self.assert_unrecorded_but_enforced(result)
            self.assertLess(result.run["duration_sec"], 4)  # the end, not the run, waits 5 s for its record
        self.assert_status(done, 0)
        eventually(lambda: world.status()["unrecorded"] == 0, 30, "the record is written when the disk is back")
        for result in results:
            self.assert_recorded(result.run["run_id"], "timeout")
        self.assert_recorded(done.run["run_id"], "completed", events=[])

    def test_status_answers_while_the_disk_hangs(self):
        world = self.new_world()
        self.assert_status(world.run("--", "true"), 0)
        recorder = eventually(world.recorder_pid, 10)
        os.kill(recorder, signal.SIGSTOP)
        try:
            with world.client() as client:
                client.send({"v": 1, "op": "status"})
                self.assertTrue(wait_readable(client.socket.fileno(), 4), "the supervisor waits for its recorder")
                self.assertTrue(client.receive()["ok"])
        finally:
            os.kill(recorder, signal.SIGCONT)
