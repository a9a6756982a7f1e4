"""What is seen first, or by whom, changes nothing: a supervisor that comes in the middle, who dies slowly."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    MIB,
    SLOW,
    ProtocolError,
    ScidexTest,
    children_of,
    eventually,
    helper,
    is_alive,
    needs,
    process_parent,
    process_state,
    read_text,
    write_text,
)


def sleeps(status):
    """How often a process has gone to sleep, by its /proc/PID/status."""
    return next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))


class Replacing(ScidexTest):
    def replace_supervisor(self):
        """The launcher starts the next one, and takes up its run there."""
        old = self.kill_supervisor()
        eventually(lambda: self.world.supervisor_pid() not in (None, old), 20, "another supervisor answers")
        eventually(self.world.list, 20, "it has the run")
        time.sleep(0.5 * SLOW)  # the launcher comes back within 50 ms, and tells what it has to tell


class Adopted(Replacing):
    """By the next supervisor, in each phase."""

    @needs("groups")
    def test_a_process_whose_leader_has_ended_lives(self):
        launch = self.start_scidex("--timeout", "100s", "--", helper("leaderless"), "7", stdin=-1)
        self.assertEqual(launch.read_line(), "ready")
        run = launch.run()
        self.assertEqual(process_state(run["pid"]), "Z")
        self.replace_supervisor()
        (row,) = self.world.list()
        self.assertEqual((row["run_id"], row["state"], row["pid"]), (run["run_id"], "running", run["pid"]))
        launch.process.stdin.close()
        self.assert_status(launch.wait(), 7)
        self.assert_recorded(run["run_id"], "failed", events=[])

    @needs("groups")
    def test_in_its_grace_its_end_is_seen_at_once(self):
        """Where the main process is gone already: who else ends tells nobody but the group."""
        child = "trap '' TERM; echo $$; read line; exit 0"
        launch = self.start_scidex(
            "--timeout", "100s", "--grace", "100s", "--memory", "infinity", "--", "sh", "-c", "exec 3<&0; sh -c \"$0\" <&3 & wait", child, stdin=-1
        )  # fmt: skip
        child = int(launch.read_line())
        run = launch.run()
        self.world.kill(run["run_id"])
        eventually(lambda: not is_alive(run["pid"]), 10, "its main process hears the TERM")
        self.assertTrue(is_alive(child))
        self.replace_supervisor()
        self.assertEqual(self.world.list()[0]["state"], "grace")
        with open(f"/proc/{self.world.supervisor_pid()}/status", encoding="utf-8") as status:
            before = sleeps(status)
            time.sleep(2)
            status.seek(0)
            self.assertLess(sleeps(status) - before, 8)  # it listens, and does not look every now and then
        begin = time.monotonic()
        launch.process.stdin.close()
        self.assert_status(launch.wait(), 143)
        self.assertLess(time.monotonic() - begin, 5 * SLOW)
        _, (event,) = self.assert_recorded(run["run_id"], "cancelled")
        self.assertIsNone(event["kill_at"])

    @needs("groups")
    def test_it_is_warned_once(self):
        launch = self.start_scidex(
            "--timeout", "100s", "--warn-before", "99s", "--warn-signal", "USR1", "--", helper("sigcount"), signal.SIGUSR1, str(500 * SLOW), "0"
        )  # fmt: skip
        self.assertEqual(launch.read_line(), "ready")
        run = eventually(lambda: (run := launch.run()).get("warned_at") and run, 20, "it is warned")
        self.replace_supervisor()
        result = launch.wait()
        self.assert_status(result, 0)
        self.assertEqual(result.stdout, b"1 times\n")
        row, _ = self.assert_recorded(run["run_id"], "completed", events=[])
        self.assertEqual(row["warned_at"], run["warned_at"])

    @needs("groups", "memory-controller")
    def test_a_limit_that_its_supervisor_died_setting_is_set(self):
        launch = self.start_scidex("--memory", "100M", "--", "sh", "-c", "echo ready; read line", stdin=-1)
        launch.read_line()
        run = launch.run()
        # As one leaves the group that dies between the note and the write.
        attribute = json.loads(os.getxattr(run["group"], "user.scidex.run"))
        attribute["setting"] = True
        attribute["request"]["memory_bytes"] = 80 * MIB
        limit = os.path.join(run["group"], "memory.max")
        self.assertEqual(int(read_text(limit)), 100 * MIB)
        os.setxattr(run["group"], "user.scidex.run", json.dumps(attribute).encode())
        self.kill_supervisor()
        eventually(lambda: int(read_text(limit)) == 80 * MIB, 20, "the limit is what was asked for")
        eventually(lambda: not json.loads(os.getxattr(run["group"], "user.scidex.run"))["setting"], 20, "that is noted")
        # What is not under way is left as an admin has set it.
        write_text(limit, str(90 * MIB))
        self.replace_supervisor()
        self.assertEqual(int(read_text(limit)), 90 * MIB)
        launch.process.stdin.close()
        self.assert_status(launch.wait(), 1)


class Leaderless(ScidexTest):
    """A process whose main thread has ended lives in the others."""

    def assert_ended_in_time(self):
        launch = self.start_scidex("--timeout", f"{max(1, SLOW // 2)}s", "--grace", "100s", "--", helper("leaderless"), "7", stdin=-1)
        self.assertEqual(launch.read_line(), "ready")
        result = launch.wait()
        self.assert_status(result, 124)
        self.assertLess(result.seconds, 50)  # it has heard the TERM
        _, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual((event["signals"][0]["processes"], event["processes_killed"]), (1, 1))
        launch.process.stdin.close()

    def test_its_time_is_over(self):
        self.assert_ended_in_time()

    def test_its_time_is_over_without_a_group(self):
        self.new_world(tree=False)
        self.assert_ended_in_time()

    def test_one_that_ignores_term_is_killed(self):
        """cgroup.kill passes it by."""
        launch = self.start_scidex("--timeout", f"{max(1, SLOW // 2)}s", "--grace", "500ms", "--", helper("leaderless"), "7", "ignore", stdin=-1)
        self.assertEqual(launch.read_line(), "ready")
        result = launch.wait(20)
        self.assert_status(result, 124)
        _, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM", "KILL"])
        launch.process.stdin.close()

    def test_a_child_that_ignores_term_is_killed(self):
        launch = self.start_scidex(
            "--timeout", f"{max(1, SLOW // 2)}s", "--grace", "500ms", "--",
            "sh", "-c", f"exec 3<&0; {helper('leaderless')} 7 ignore <&3 & echo $!; wait", stdin=-1,
        )  # fmt: skip
        lines = [launch.read_line(), launch.read_line()]
        child = int(next(line for line in lines if line != "ready"))
        result = launch.wait(20)
        self.assert_status(result, 124)
        self.assert_gone([child])
        _, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM", "KILL"])
        launch.process.stdin.close()

    def test_the_backstop_kills_it_too(self):
        launch = self.start_scidex("--timeout", f"{max(3, SLOW)}s", "--grace", "0s", "--", helper("leaderless"), "7", "ignore", stdin=-1)
        self.assertEqual(launch.read_line(), "ready")
        run = launch.run()
        self.assert_backstop(run)
        self.assert_status(launch.wait(), 124)
        _, (event,) = self.assert_recorded(run["run_id"], "timeout")
        self.assertEqual(event["detail"], "backstop")
        launch.process.stdin.close()

    @needs("groups")
    def test_it_is_not_registered(self):
        """The kernel would move its threads and still list it where it was: it could not be held."""
        self.new_world().start_daemon()
        with subprocess.Popen([helper("leaderless"), "7"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            self.assertEqual(process.stdout.readline(), b"ready\n")
            with self.world.client() as client, self.assertRaises(ProtocolError) as refused:
                client.call("register", pid=process.pid, request={})
        self.assertEqual(refused.exception.code, "gone")

    def test_as_a_leftover_it_is_ended(self):
        script = f"mkfifo held said; {helper('leaderless')} 7 <>held >said & read line <said; exit 5"
        result = self.run_scidex("--", "sh", "-c", script, cwd=self.here().directory)
        self.assert_status(result, 5)
        _, (event,) = self.assert_recorded(result.run["run_id"], "failed", events=["orphan"])
        self.assertEqual(event["processes_killed"], 1)


class Starting(Replacing):
    def test_a_supervisor_is_no_child_of_the_launcher_that_started_it(self):
        """Whose children are those of its run: their ends are told, and the backstop kills them."""
        launch = self.start_scidex("--", "sh", "-c", "echo ready; read line", stdin=-1)
        launch.read_line()
        run = launch.run()
        self.kill_supervisor()
        pid = eventually(self.world.supervisor_pid, 20, "the launcher starts another")
        self.assertNotEqual(process_parent(pid), launch.pid)
        self.assertEqual(children_of(launch.pid), [run["pid"]])
        launch.process.stdin.close()
        launch.wait()

    def test_who_holds_the_lock_and_starts_none_is_not_waited_for_without_end(self):
        self.here()
        os.makedirs(os.path.dirname(self.world.socket), mode=0o700, exist_ok=True)
        with open(f"{self.world.socket}.lock", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            result = self.run_scidex("--", "true")
        self.assert_status(result, 125)
        self.assertIn(f"another scidex-run holds {self.world.socket}.lock", result.stderr)
        self.assertGreater(result.seconds, 19)
        self.assert_status(self.run_scidex("--", "true"), 0)


class Dying(ScidexTest):
    @needs("groups")
    def test_who_frees_its_memory_for_long_is_no_leftover(self):
        megabytes = 200 if SLOW > 1 else 1500
        launch = self.start_scidex(
            "--memory", "infinity", "--grace", "30s", "--",
            "sh", "-c", f"mkfifo held; {helper('leaker')} anon {megabytes} 0 >held & read line <held; kill -9 $!; exit 5",
            cwd=self.here().directory,
        )  # fmt: skip
        result = launch.wait()
        self.assert_status(result, 5)
        self.assert_recorded(result.run["run_id"], "failed", events=[])


if __name__ == "__main__":
    import unittest

    unittest.main()
