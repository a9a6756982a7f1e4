"""One pass (--once), the end of all runs (--drain), a new configuration (SIGHUP), sockets that somebody else has bound."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import ScidexTest, eventually, is_alive, pidfd, read_text, reap, require, wait_readable  # noqa: E402


class Passes(ScidexTest):
    def supervisor(self, *arguments, status=0):
        """A pass, waited for: its JSON, or (status not 0) what it said."""
        done = subprocess.run(
            [self.world.program("scidex-supervisor"), "--private", *arguments],
            env=self.world.environment(), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self.assertEqual(done.returncode, status, done.stderr)
        return json.loads(done.stdout) if status == 0 else done.stderr

    def start_waiting(self, *options):
        launch = self.start_scidex(*options, "--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        return launch

    def lose_supervisor(self, *launches):
        """Launchers stopped first: they would start another one."""
        for launch in launches:
            launch.signal(signal.SIGSTOP)
        pid, recorder = self.world.supervisor_pid(), self.world.recorder_pid()
        for victim in (pid, recorder):
            with pidfd(victim) as fd:
                os.kill(victim, signal.SIGKILL)
                self.assertTrue(wait_readable(fd, 10))
            reap(victim)

    def test_once_asks_the_supervisor_that_is_there(self):
        launch = self.start_waiting()
        before = self.world.supervisor_pid()
        self.assertEqual(self.supervisor("--once"), {"alive": 1, "begun": []})
        self.assertEqual(self.world.supervisor_pid(), before)
        self.world.kill(launch.run_id())
        self.assert_status(launch.wait(), 143)

    def test_once_without_one_ends_what_is_orphaned_and_leaves_the_rest(self):
        world = self.new_world()
        world.may_leave_zombies = True
        require(world.tree, "a tree that outlives its supervisor")
        orphan, other = self.start_waiting("--analysis-id", "orphan", "--grace", "1s"), self.start_waiting()
        lost, kept = orphan.run(), other.run()
        self.lose_supervisor(orphan, other)
        orphan.signal(signal.SIGKILL)
        orphan.process.wait()
        account = self.supervisor("--once")
        self.assertEqual((account["adopted"], account["alive"]), (2, 1))
        self.assertEqual([(run["run_id"], run["verdict"]) for run in account["ended"]], [(lost["run_id"], "orphaned")])
        self.assertFalse(is_alive(lost["pid"]))
        self.assertTrue(is_alive(kept["pid"]))
        other.signal(signal.SIGCONT)
        eventually(self.world.supervisor_pid, 20, "the launcher starts a supervisor again")
        self.world.kill(kept["run_id"])
        self.assert_status(other.wait(), 143)
        self.assert_recorded(lost["run_id"], "orphaned")

    def test_drain_ends_all_runs_as_a_shutdown_and_they_are_recorded_when_it_returns(self):
        launches = [self.start_waiting() for _ in range(3)]
        ids = [launch.run_id() for launch in launches]
        self.assertEqual(self.supervisor("--drain"), {"drained": 3})
        for run_id in ids:
            run, _ = self.assert_recorded(run_id, "cancelled")
            self.assertEqual(run["detail"], "shutdown")
        for launch in launches:
            self.assert_status(launch.wait(), 143)

    def test_while_runs_are_being_ended_none_is_begun(self):
        stubborn = self.start_scidex("--grace", "3s", "--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
        stubborn.read_line()
        drain = subprocess.Popen(
            [self.world.program("scidex-supervisor"), "--private", "--drain"],
            env=self.world.environment(), stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        eventually(lambda: self.world.list()[0]["state"] == "grace", 10, "the drain has begun")
        refused = self.run_scidex("--", "true")
        self.assert_status(refused, 125)
        self.assertIn("is ending all runs and begins none", refused.stderr)
        self.assertEqual(json.loads(drain.communicate(timeout=60)[0]), {"drained": 1})
        self.assert_status(stubborn.wait(), 143)

    def test_drain_without_a_supervisor_ends_them_all_the_same(self):
        world = self.new_world()
        world.may_leave_zombies = True
        require(world.tree, "a tree that outlives its supervisor")
        launch = self.start_waiting("--grace", "1s")
        run = launch.run()
        self.lose_supervisor(launch)
        account = self.supervisor("--drain")
        self.assertEqual([(ended["verdict"], ended["detail"]) for ended in account["ended"]], [("cancelled", "shutdown")])
        launch.signal(signal.SIGCONT)
        self.assert_status(launch.wait(), 143)
        self.assert_recorded(run["run_id"], "cancelled")

    def test_a_pass_does_not_take_a_socket_away_that_somebody_else_listens_at(self):
        world = self.new_world()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(world.socket)
            listener.listen()
            self.assertEqual(self.supervisor("--once")["adopted"], 0)
            self.assertTrue(os.path.exists(world.socket))
        os.unlink(world.socket)


class Service(ScidexTest):
    def config_path(self):
        return os.path.join(self.world.directory, "scidex", "supervisor.conf")

    def write_config(self, text):
        os.makedirs(os.path.dirname(self.config_path()), exist_ok=True)
        with open(self.config_path(), "w", encoding="utf-8") as file:
            file.write(text)

    def reload(self, says):
        os.kill(self.world.daemon.pid, signal.SIGHUP)
        eventually(lambda: says in self.world.daemon_log(), 10, f"the log says {says!r}: {self.world.daemon_log()}")

    def test_a_reload_holds_for_new_runs_and_changes_none_that_runs(self):
        self.new_world()
        self.write_config("[limits]\nmemory = 1G\n")
        self.world.start_daemon("--config", self.config_path())
        first = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        first.read_line()
        self.write_config("[limits]\nmemory = 512M\n")
        self.reload("the configuration is reloaded")
        second = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        second.read_line()
        self.assertEqual(first.run()["memory_limit_bytes"], 1 << 30)
        self.assertEqual(second.run()["memory_limit_bytes"], 512 << 20)
        for launch in (first, second):
            self.world.kill(launch.run_id())
            self.assert_status(launch.wait(), 143)

    def test_a_broken_file_is_told_at_a_reload_and_the_old_one_holds(self):
        self.new_world()
        self.write_config("[limits]\nmemory = 1G\n")
        self.world.start_daemon("--config", self.config_path())
        self.write_config("[limits]\nmemory = lots\n")
        self.reload("is not reloaded")
        self.assertIn(f"{self.config_path()}:2", self.world.daemon_log())
        launch = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        self.assertEqual(launch.run()["memory_limit_bytes"], 1 << 30)
        self.world.kill(launch.run_id())
        self.assert_status(launch.wait(), 143)

    def test_sockets_that_are_handed_over_are_served_and_stay_when_it_ends(self):
        world = self.new_world()
        record = os.path.join(world.runtime, "record")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as control, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as second:
            for number, (listener, path) in enumerate(((second, record), (control, world.socket))):
                listener.bind(path)
                listener.listen(64)
            pid = os.fork()
            if pid == 0:
                os.dup2(second.fileno(), 50)
                os.dup2(control.fileno(), 51)
                os.dup2(50, 3)
                os.dup2(51, 4)
                os.closerange(5, 64)
                environment = world.environment(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
                os.execve(world.program("scidex-supervisor"), ["scidex-supervisor", "--daemon"], environment)
            # It connects before anybody accepts: the connection waits, as systemd's socket has it.
            self.assert_status(world.run("--", "true"), 0)
            self.assertEqual(world.supervisor_pid(), pid)
            self.assertEqual(len(eventually(world.history, 5, "the record answers at the socket that was handed over")), 1)
            with pidfd(pid) as fd:
                os.kill(pid, signal.SIGTERM)
                self.assertTrue(wait_readable(fd, 10))
            world.collect(pid)
            self.assertTrue(os.path.exists(world.socket) and os.path.exists(record))
        os.unlink(world.socket)
        os.unlink(record)

    def test_a_recorder_that_hangs_does_not_keep_the_next_supervisor_from_starting(self):
        world = self.new_world()
        world.start_daemon()
        old = world.recorder_pid()
        os.kill(old, signal.SIGSTOP)
        with pidfd(world.daemon.pid) as fd:
            os.kill(world.daemon.pid, signal.SIGKILL)
            self.assertTrue(wait_readable(fd, 10))
        world.daemon.wait()
        world.start_daemon()
        self.assert_status(world.run("--", "true"), 0)
        os.kill(old, signal.SIGCONT)
        eventually(lambda: reap(old) or not is_alive(old), 15, "the old recorder ends")
        eventually(lambda: len(world.history()) == 1, 10, "the new one answers")

    def kill_daemon(self):
        """kill -9, and its recorder's end."""
        recorder = self.recorder
        with pidfd(self.world.daemon.pid) as fd:
            os.kill(self.world.daemon.pid, signal.SIGKILL)
            self.assertTrue(wait_readable(fd, 10))
        self.world.daemon.wait()
        eventually(lambda: reap(recorder) or not is_alive(recorder), 15, "the recorder ends")

    def start_daemon(self):
        self.world.start_daemon()
        self.recorder = self.world.recorder_pid()

    def test_a_launch_that_loses_its_supervisor_before_the_answer_asks_the_next_one(self):
        world = self.new_world()
        self.start_daemon()
        os.kill(world.daemon.pid, signal.SIGSTOP)  # the question arrives, and no answer comes
        launch = self.start_scidex("--analysis-id", "again", "--", "sh", "-c", "exit 7")
        eventually(lambda: read_text(f"/proc/{launch.process.pid}/wchan", "").strip() not in ("", "0"), 10, "it waits")
        self.kill_daemon()
        self.start_daemon()
        self.assert_status(launch.wait(), 7)
        eventually(lambda: [row["verdict"] for row in world.history(analysis_id="again")] == ["failed"], 10)

    def test_what_a_dead_supervisor_made_for_a_launcher_that_asks_again_is_dropped(self):
        world = self.new_world()
        require(world.tree, "a tree that outlives its supervisor")
        self.start_daemon()
        with world.client() as first:
            old = first.call("launch", request={"analysis_id": "again"})["run_id"]
            self.kill_daemon()
            self.start_daemon()
            self.assertEqual([row["run_id"] for row in world.list()], [old])
            with world.client() as second:
                new = second.call("launch", request={"analysis_id": "again"}, again=True)["run_id"]
                self.assertEqual([row["run_id"] for row in world.list()], [new])
                self.assertEqual(len(world.groups()), 1)
        eventually(lambda: world.groups() == [], 10, "its launcher is gone")
        self.assertNotIn(old, [row["run_id"] for row in world.history()])

    def test_who_waits_for_a_run_that_is_dropped_is_told(self):
        world = self.new_world()
        require(world.tree, "a tree that outlives its supervisor")
        self.start_daemon()
        with world.client() as first:
            old = first.call("launch", request={"analysis_id": "again"})["run_id"]
            self.kill_daemon()
            self.start_daemon()
            with world.client() as waiting, world.client() as second:
                waiting.send({"v": 1, "op": "wait", "run": old})
                waiting.send({"v": 1, "op": "status"})
                self.assertEqual(waiting.receive()["re"], "status")  # so it waits by now
                second.call("launch", request={"analysis_id": "again"}, again=True)
                answer = waiting.receive()
                self.assertEqual((answer["ok"], answer["error"]["code"]), (False, "gone"), answer)

    def test_a_run_is_not_dropped_while_a_nested_one_refers_to_it(self):
        # Its launcher has lost the connection before it told what it started, asks again as soon as the group is empty,
        # and the nested run's event is not yet committed: freed then, it was used after that.
        world = self.new_world()
        require(world.tree, "groups")
        world.may_leave_zombies = True  # the nested run's launcher dies before its process
        world.start_daemon()
        request = {"analysis_id": "outer", "timeout_usec": 600_000_000, "grace_usec": 1_000_000}
        first = world.client()
        outer = first.call("launch", request=request)["run_id"]
        events = os.path.join(next(row["group"] for row in world.list() if row["run_id"] == outer), "cgroup.events")
        go_read, go_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                os.read(go_read, 1)
                self.nest(world, {**request, "analysis_id": "inner"})
            os._exit(0)
        first.call("move", pid=pid)
        first.socket.send(b"no packet")
        self.assertIsNone(first.receive())
        first.socket.close()
        with world.client() as second:
            os.write(go_write, b"x")
            eventually(lambda: "populated 0" in read_text(events, "populated 0"), 20, every=0)
            second.call("launch", request=request, again=True)
            eventually(lambda: world.history(analysis_id="inner"), 10, "the nested run is recorded")
            # Its row is written before its group is removed.
            eventually(lambda: "inner" not in [row["analysis_id"] for row in world.list()], 10, "the nested run is gone")
            with world.client() as third:  # now nothing refers to it
                third.call("launch", request=request, again=True)
                self.assertNotIn(outer, [row["run_id"] for row in world.list()])
        os.waitpid(pid, 0)
        for fd in (go_read, go_write):
            os.close(fd)
        self.assertIsNone(world.daemon.poll(), world.daemon_log())

    def nest(self, world, request):
        """In a process of its own: a run with one process, and then the end of its launcher."""
        client = world.client()
        client.call("launch", request=request)
        pid = os.fork()
        if pid == 0:
            client.socket.close()
            os.execv("/bin/sleep", ["sleep", "1000"])
        client.call("move", pid=pid)
        client.send({"v": 1, "op": "started", "pid": pid})
        client.call("status")  # it has been heard

    def test_the_rows_of_runs_that_had_just_ended_survive_both_programs(self):
        world = self.new_world()
        world.start_daemon()
        recorder = world.recorder_pid()
        os.kill(recorder, signal.SIGSTOP)  # so that nothing is committed
        results = [world.run("--quiet", "--", "sh", "-c", f"exit {number}") for number in range(3)]
        with pidfd(world.daemon.pid) as fd:
            os.kill(world.daemon.pid, signal.SIGKILL)
            self.assertTrue(wait_readable(fd, 10))
        world.daemon.wait()
        with pidfd(recorder) as fd:
            os.kill(recorder, signal.SIGKILL)
            self.assertTrue(wait_readable(fd, 10))
        reap(recorder)
        self.assertEqual(len(os.listdir(world.socket + ".rows")), 3)
        world.start_daemon()
        eventually(lambda: len(world.history()) == 3, 10, "the rows are recorded by the next one")
        self.assertEqual(sorted(row["exit_status"] for row in world.history()), [0, 1, 2])
        self.assertEqual(sorted(result.status for result in results), [0, 1, 2])
        eventually(lambda: os.listdir(world.socket + ".rows") == [], 5, "what is committed is no longer kept")
