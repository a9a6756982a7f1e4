"""The supervisor dies: the run goes on under the next one, and where there is none the launcher holds the deadline."""

import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    SLOW,
    ScidexTest,
    eventually,
    helper,
    is_alive,
    parse_time,
    pidfd,
    read_text,
    reap,
    require,
    wait_readable,
    write_text,
)


class WithoutSupervisor(ScidexTest):
    def next_supervisor(self, old):
        def answers():
            pid = self.world.supervisor_pid()
            return pid if pid not in (None, old) else None

        return eventually(answers, 20, "another supervisor answers")

    def start_waiting(self, *options):
        launch = self.start_scidex(*options, "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        return launch


class Adoption(WithoutSupervisor):
    def test_the_launcher_restarts_it_and_it_adopts(self):
        launch = self.start_waiting("--analysis-id", "adopted", "--label", "a=b")
        before = launch.run()
        self.next_supervisor(self.kill_supervisor())
        after = eventually(lambda: self.world.list() and launch.run(), 20)
        for member in ("run_id", "analysis_id", "pid", "launcher_pid", "uid", "state", "labels", "group", "launched_at", "deadline_at", "cmdline", "memory_limit_bytes"):
            self.assertEqual(after[member], before[member], member)
        self.assertEqual(after["state"], "running")
        self.world.kill(before["run_id"])
        self.assert_status(launch.wait(), 143)
        self.assert_recorded(before["run_id"], "cancelled")

    def test_the_adopted_are_listed_newest_first(self):
        launches = [self.start_waiting() for _ in range(12)]
        before = [row["run_id"] for row in self.world.list()]
        self.assertEqual(before, [launch.run_id() for launch in reversed(launches)])
        self.next_supervisor(self.kill_supervisor())
        launches.append(self.start_waiting())
        after = eventually(lambda: (lambda rows: len(rows) == 13 and rows)([row["run_id"] for row in self.world.list()]), 20)
        self.assertEqual(after, [launches[-1].run_id(), *before])
        for launch in launches:
            launch.signal(signal.SIGTERM)
            self.assert_status(launch.wait(), 143)

    def test_the_deadline_stays_where_it_was(self):
        launch = self.start_waiting("--timeout", f"{3 * (SLOW // 2 or 1)}s", "--grace", "1s")
        run_id = launch.run_id()
        self.kill_supervisor()
        result = launch.wait()
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        run, (event,) = self.assert_recorded(run_id, "timeout")
        self.assertGreater(run["duration_sec"], run["timeout_sec"] - 0.1)
        self.assertLess(run["duration_sec"], run["timeout_sec"] + max(1, 0.2 * SLOW))
        self.assertNotIn("backstop", run["detail"] or "")

    def test_the_exit_status_is_not_lost(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; read line; exit 5", stdin=-1)
        launch.read_line()
        run_id = launch.run_id()
        old = self.kill_supervisor()
        self.next_supervisor(old)
        launch.process.stdin.write(b"\n")
        self.assert_status(launch.wait(), 5)
        self.assert_recorded(run_id, "failed", events=[])

    def test_a_run_that_ends_while_there_is_no_supervisor_is_recorded_once(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; read line; exit 5", stdin=-1)
        launch.read_line()
        run_id = launch.run_id()
        launch.process.stdin.write(b"\n")
        self.kill_supervisor()
        self.assert_status(launch.wait(), 5)
        # Whoever recorded it: a supervisor that the launcher started, or the next.
        self.assert_status(self.run_scidex("--", "true"), 0)
        self.assert_recorded(run_id, "failed", events=[])

    def test_killed_while_it_makes_room_for_a_nested_run_it_leaves_nobody_frozen(self):
        require("root", "groups")
        launch = self.start_scidex("--timeout", "60s", "--", "sh", "-c", "echo up; read line; echo $line", stdin=-1)
        self.assertEqual(launch.read_line(), "up")
        group = launch.run()["group"]
        os.mkdir(os.path.join(group, "main"))
        write_text(os.path.join(group, "cgroup.freeze"), "1")
        self.next_supervisor(self.kill_supervisor())
        launch.process.stdin.write(b"on\n")
        launch.process.stdin.flush()
        self.assertEqual(launch.read_line(10), "on")
        self.assert_status(launch.wait(), 0)

    def test_killed_three_times_it_is_still_one_run(self):
        launch = self.start_waiting()
        run_id = launch.run_id()
        for _ in range(3):
            self.next_supervisor(self.kill_supervisor())
            self.assertEqual(launch.run_id(), run_id)
        self.world.kill(run_id)
        self.assert_status(launch.wait(), 143)
        self.assert_recorded(run_id, "cancelled")

    def test_many_runs_are_adopted_together(self):
        launches = [self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000") for _ in range(5)]
        for launch in launches:
            launch.read_line()
        ids = {launch.run_id() for launch in launches}
        self.next_supervisor(self.kill_supervisor())
        eventually(lambda: {row["run_id"] for row in self.world.list()} == ids, 20, "all five are back")
        for run_id in ids:
            self.world.kill(run_id)
        for launch in launches:
            self.assert_status(launch.wait(), 143)
        for run_id in ids:
            self.assert_recorded(run_id, "cancelled")

    def test_what_is_not_ours_in_the_tree_is_named_and_left_alone(self):
        require("groups")
        launch = self.start_waiting("--analysis-id", "SDA/42")
        path = launch.run()["group"]
        self.assertRegex(os.path.basename(path), r"^SDA_42-[0-9a-f]{8}$")
        foreign, unfinished = (os.path.join(self.world.tree, name) for name in ("theirs", "SDA_43-0123abcd"))
        below = os.path.join(path, "own-0123abcd")
        for directory in (foreign, unfinished, below):
            os.mkdir(directory)
        self.next_supervisor(self.kill_supervisor())
        status = self.world.status()
        self.assertEqual((status["foreign_groups"], status["foreign_group_names"]), (1, ["theirs"]))
        self.assertTrue(os.path.isdir(foreign))
        self.assertTrue(os.path.isdir(below), "what lies inside a run's group is the run's")
        self.assertFalse(os.path.exists(unfinished), "a group that never had a run is removed")
        os.rmdir(foreign)
        self.world.kill(launch.run_id())
        self.assert_status(launch.wait(), 143)

    def test_a_kill_that_was_begun_is_finished_under_the_same_event_id(self):
        launch = self.start_scidex("--grace", "2s", "--", "sh", "-c", 'trap "echo term" TERM; echo ready; while :; do sleep 1000 & wait; done')
        launch.read_line()
        run_id = launch.run_id()
        self.world.kill(run_id)
        self.assertEqual(launch.read_line(), "term")
        self.kill_supervisor()
        result = launch.wait()
        self.assert_status(result, 143)
        self.assert_verdict(result, "cancelled")
        self.assert_recorded(run_id, "cancelled")

    def test_what_a_launcher_was_told_without_a_record_is_recorded_by_the_next(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        supervisor, recorder = self.world.supervisor_pid(), self.world.recorder_pid()
        os.kill(recorder, signal.SIGSTOP)
        result = self.run_scidex("--grace", "200ms", "--", "sh", "-c", "sleep 1000 & exit 3")
        self.assert_status(result, 3)
        self.assertIn("can't be written yet", result.stderr)
        for pid in (supervisor, recorder):
            os.kill(pid, signal.SIGKILL)
            eventually(lambda pid=pid: reap(pid) or not is_alive(pid), 15, "it is gone")
        self.assert_status(self.run_scidex("--", "true"), 0)
        self.assert_recorded(result.run["run_id"], "failed", events=["orphan"])

    def test_launcher_and_supervisor_both_killed_the_next_one_ends_the_run(self):
        world = self.new_world()
        world.may_leave_zombies = True
        launch = self.start_waiting("--grace", "1s")
        run = launch.run()
        # Stopped first: it would restart the supervisor before it is killed.
        launch.signal(signal.SIGSTOP)
        self.kill_supervisor()
        launch.signal(signal.SIGKILL)
        launch.process.wait()
        self.assertTrue(is_alive(run["pid"]) or not world.tree)
        self.assert_status(world.run("--", "true"), 0)
        eventually(lambda: not is_alive(run["pid"]), 10, "the orphan is ended")
        if world.tree:
            self.assert_recorded(run["run_id"], "orphaned")

    def test_a_stale_socket_does_not_stop_the_next_launch(self):
        self.assert_status(self.run_scidex("--", "true"), 0)
        self.kill_supervisor()
        self.assertTrue(os.path.exists(self.world.socket))
        self.assert_status(self.run_scidex("--", "true"), 0)


class Backstop(WithoutSupervisor):
    """Kept from restarting: its program can not be executed. The launcher alone holds limit and kill."""

    def setUp(self):
        super().setUp()
        self.new_world().copy_programs()
        self.supervisor_program = os.path.join(self.world.programs, "scidex-supervisor")

    def forbid(self):
        # Removed, not chmod: root may execute by name what has no x for others only if somebody has it.
        os.rename(self.supervisor_program, self.supervisor_program + ".away")

    def allow(self):
        os.rename(self.supervisor_program + ".away", self.supervisor_program)

    def test_of_a_group_that_is_removed_nothing_was_left_behind(self):
        require("groups")
        launch = self.start_scidex("--", "sh", "-c", "echo ready; read line; exit 5", stdin=-1)
        launch.read_line()
        group = launch.run()["group"]
        self.forbid()
        self.kill_supervisor()
        launch.process.stdin.write(b"\n")
        launch.process.stdin.flush()
        eventually(lambda: "populated 0" in read_text(os.path.join(group, "cgroup.events")), 10)
        os.rmdir(group)
        result = launch.wait()
        self.assert_status(result, 5)
        self.assert_verdict(result, "failed")
        self.allow()
        self.assertNotIn("can't be killed", result.stderr)

    def test_it_ends_the_run_at_deadline_plus_grace_plus_5_s_and_it_is_recorded_once(self):
        limit = max(4, 2 * SLOW)  # by when nobody is there who could start a supervisor
        launch = self.start_scidex(
            "--timeout", f"{limit}s", "--grace", "1s", "--",
            "sh", "-c", f"{helper('daemonise')} sleep 1000; exec sleep 1000",
        )  # fmt: skip
        daemon = int(launch.read_line())
        run = launch.run()
        self.forbid()
        self.kill_supervisor()
        with pidfd(run["pid"]) as fd:
            self.assertTrue(wait_readable(fd, 30), "the backstop did not kill")
        seconds = time.time() - parse_time(run["launched_at"])
        self.assertGreater(seconds, limit + 1 + 5 - 0.1)
        self.assertLess(seconds, limit + 1 + 5 + 2 * SLOW)
        result = launch.wait()
        self.assertFalse(is_alive(daemon) and self.world.tree)
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout", "backstop")
        self.assertIn("killed", result.stderr)
        self.allow()
        self.assert_status(self.world.run("--", "true"), 0)
        _, (event,) = self.assert_recorded(run["run_id"], "timeout")
        self.assertIn("backstop", event["detail"])
        # Once: also after one more start.
        self.world.stop_supervisor()
        self.assert_status(self.world.run("--", "true"), 0)
        self.assert_recorded(run["run_id"], "timeout")
        self.assertEqual(self.world.groups(), [])

    def test_a_supervisor_that_stands_still_does_not_keep_a_run_alive(self):
        launch = self.start_waiting("--timeout", f"{max(3, SLOW)}s", "--grace", "500ms")
        run = launch.run()
        self.assert_backstop(run)
        result = launch.wait()
        self.assert_status(result, 124)
        self.assert_verdict(result, "timeout")
        _, (event,) = self.assert_recorded(run["run_id"], "timeout")
        self.assertEqual(event["detail"], "backstop")

    def test_a_run_that_ends_by_itself_keeps_its_status(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; read line; exit 6", stdin=-1)
        launch.read_line()
        run_id = launch.run_id()
        self.forbid()
        self.kill_supervisor()
        launch.process.stdin.write(b"\n")
        result = launch.wait(30)
        self.assert_status(result, 6)
        self.assert_verdict(result, "failed")
        self.allow()
        self.assert_status(self.world.run("--", "true"), 0)
        self.assert_recorded(run_id, "failed", events=[])

    def test_a_supervisor_that_comes_back_in_time_takes_over(self):
        launch = self.start_waiting()
        run_id = launch.run_id()
        self.forbid()
        old = self.kill_supervisor()
        self.allow()
        self.next_supervisor(old)
        eventually(lambda: [row for row in self.world.list() if row["run_id"] == run_id], 20)
        self.world.kill(run_id)
        self.assert_status(launch.wait(), 143)
        self.assert_recorded(run_id, "cancelled")
