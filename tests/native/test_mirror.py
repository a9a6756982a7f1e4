"""What the recorder knows of what runs now: that its figures and states are right, and stay so when somebody is killed or started again."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import eventually, pidfd, wait_readable, write_text  # noqa: E402
from statustest import StatusTest, Web, free_port  # noqa: E402

MIB = 1 << 20
HOLDS_64_MIB = "import sys; block = bytearray(64 << 20); print('there', flush=True); sys.stdin.read()"
BURNS = "print('there', flush=True)\nwhile True: pass"
IGNORES_TERM = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('there', flush=True); time.sleep(1000)"


class MirrorTest(StatusTest):
    def start_python(self, code, *options):
        """A run of CODE, which has said that it is there."""
        launch = self.here().start(*options, "--", sys.executable, "-c", code, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.assertEqual(launch.process.stdout.readline(), b"there\n")
        return launch

    def row(self, analysis_id):
        """Of the list, as a page would see it; None while it is not there."""
        return next((row for row in self.here().web.json("/api/runs")["runs"] if row["analysis_id"] == analysis_id), None)

    def wait_row(self, analysis_id, condition=lambda row: True, what=None, timeout=20):
        def found():
            row = self.row(analysis_id)
            return row if row and condition(row) else None

        return eventually(found, timeout, what or f"{analysis_id} is shown")


class Figures(MirrorTest):
    def test_memory_is_what_the_run_holds(self):
        self.here().start_daemon()
        launch = self.start_python(HOLDS_64_MIB, "--analysis-id", "holder", "--memory", "256M")
        row = self.wait_row("holder", lambda row: row["memory_bytes"] and row["memory_bytes"] >= 64 * MIB, "its memory is shown")
        self.assertLess(row["memory_bytes"], 128 * MIB)
        self.assertGreaterEqual(row["memory_peak_bytes"], row["memory_bytes"])
        self.assertEqual(row["memory_limit_bytes"], 256 * MIB)
        totals = self.here().web.status()["totals"]
        self.assertGreaterEqual(totals["memory_bytes"], 64 * MIB)
        self.assertEqual(totals["limit_bytes"], 256 * MIB)
        # Looked at again and again it becomes a line. The first look may have come before it held anything.
        row = self.wait_row("holder", lambda row: len(row["spark"]) >= 2 and row["spark"][-1] > 0.2, "its spark grows")
        self.assertLess(max(row["spark"]), 0.5)
        launch.process.stdin.close()
        launch.wait()
        eventually(lambda: self.row("holder") is None, 20, "it is gone from the list")

    def test_processors_are_what_the_run_uses(self):
        self.here().start_daemon()
        launch = self.start_python(BURNS, "--analysis-id", "burner", "--time", "5min")
        # It has one thread. A recorder that was kept waiting in the middle of a sample says a little more or less.
        self.wait_row("burner", lambda row: row["cpus"] is not None and 0.2 < row["cpus"] < 1.3, "its rate is shown", 40)
        self.here().kill("burner")
        launch.wait()

    def test_a_run_without_a_memory_limit_is_measured_too(self):
        self.here().start_daemon()
        launch = self.start_python(HOLDS_64_MIB, "--analysis-id", "free", "--memory", "infinity")
        row = self.wait_row("free", lambda row: row["memory_bytes"] and row["memory_bytes"] >= 64 * MIB, "its memory is shown")
        self.assertIsNone(row["memory_limit_bytes"])
        self.assertEqual(row["spark"], [])
        launch.process.stdin.close()
        launch.wait()

    def test_the_page_of_a_live_run_has_its_timeline(self):
        self.here().start_daemon()
        launch = self.start_python(HOLDS_64_MIB, "--analysis-id", "line", "--memory", "256M")
        run_id = self.wait_row("line")["run_id"]

        def timeline():
            memory = self.here().web.json(f"/api/runs/{run_id}")["timeline"]["memory_bytes"]
            return memory and memory[-1] >= 64 * MIB

        eventually(timeline, 20, "the last sample is in the timeline")
        launch.process.stdin.close()
        launch.wait()

    def test_the_time_of_a_launch_is_recorded(self):
        self.here().start_daemon()
        run = self.here().run("--", "true").run
        self.assertGreater(run["launch_sec"], 0)
        self.assertLess(run["launch_sec"], 20)
        recorded = eventually(lambda: self.here().history(limit=1), 10, "it is in the record")[0]
        self.assertEqual(recorded["launch_sec"], run["launch_sec"])


class States(MirrorTest):
    def test_a_grace_is_seen_while_it_lasts(self):
        self.here().start_daemon()
        launch = self.start_python(IGNORES_TERM, "--analysis-id", "stubborn", "--grace", "1h")
        self.wait_row("stubborn", lambda row: row["state"] == "running")
        self.here().kill("stubborn")
        self.wait_row("stubborn", lambda row: row["state"] == "grace", "its grace is shown")
        status = self.here().web.status()
        self.assertEqual((status["monitored_count"], status["grace_count"]), (1, 1))
        with pidfd(launch.main_pid()) as fd:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        launch.wait()
        eventually(lambda: self.here().web.status()["monitored_count"] == 0, 20, "nothing is shown any more")
        self.assertEqual(self.here().web.status()["grace_count"], 0)

    def test_a_new_recorder_knows_what_the_one_before_knew(self):
        world = self.here()
        world.start_daemon()
        stubborn = self.start_python(IGNORES_TERM, "--analysis-id", "stubborn", "--grace", "1h")
        launch = self.start_python(HOLDS_64_MIB, "--analysis-id", "holder", "--memory", "256M")
        self.wait_row("stubborn")
        self.wait_row("holder")
        world.kill("stubborn")
        self.wait_row("stubborn", lambda row: row["state"] == "grace")
        before = world.recorder_pid()
        with pidfd(before) as fd:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
            self.assertTrue(wait_readable(fd, 10))
        # Who asks in between waits in the backlog: the socket is the supervisor's.
        row = self.wait_row("holder", lambda row: row["memory_bytes"] and row["memory_bytes"] >= 64 * MIB, "its memory is shown again")
        self.assertEqual(row["state"], "running")
        self.assertEqual(self.row("stubborn")["state"], "grace")
        self.assertEqual(world.status()["recorder_starts"], 2)
        self.assertNotEqual(world.recorder_pid(), before)
        with pidfd(world.show("stubborn")["pid"]) as fd:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        stubborn.wait()
        launch.process.stdin.close()
        launch.wait()

    def test_a_supervisor_that_is_killed_is_followed_by_one_that_says_so(self):
        world = self.here()
        world.start_daemon()
        launch = self.start_python(HOLDS_64_MIB, "--analysis-id", "holder", "--memory", "256M")
        self.wait_row("holder")
        self.assertEqual(world.status()["starts"], 1)
        world.stop_supervisor()
        world.start_daemon()
        row = self.wait_row("holder", lambda row: row["memory_bytes"] and row["memory_bytes"] >= 64 * MIB, "its memory is shown again")
        self.assertEqual(row["state"], "running")
        if world.tree:  # what counts the starts is an attribute of it
            self.assertEqual(world.status()["starts"], 2)
            self.assertEqual(world.web.status()["supervisor"]["restarts"], 1)
        launch.process.stdin.close()
        launch.wait()


class Sockets(MirrorTest):
    def configure(self, listen):
        world = self.here()
        path = os.path.join(world.directory, "supervisor.conf")
        write_text(path, f"[http]\nlisten = {listen}\n")
        return path

    def places(self):
        return {place["listen"]: place["ok"] for place in self.here().status()["http"]}

    def wait_refused(self, web):
        """The recorder from before may hold the socket until it has ended."""

        def refused():
            try:
                web.connect(2).connect()
            except ConnectionRefusedError:
                return True

        eventually(refused, 20, f"nobody listens at {web.place}")

    def test_a_port_that_is_taken_keeps_nothing_from_being_supervised(self):
        world = self.here()
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, path = taken.getsockname()[1], world.socket_web.place
        super(type(world), world).start_daemon(env={"SCIDEX_HTTP_LISTEN": f"127.0.0.1:{port} {path}"})
        self.assertEqual(self.places(), {f"127.0.0.1:{port}": False, path: True})
        self.assertIn(f"can't listen at 127.0.0.1:{port}: Address already in use", world.daemon_log())
        self.assert_status(world.run("--", "true"), 0)
        self.assertEqual(world.socket_web.ask("/healthz").status, 200)
        taken.close()
        eventually(lambda: self.places()[f"127.0.0.1:{port}"], 60, "it is had when it is free")
        self.assertEqual(Web(port).ask("/healthz").status, 200)
        self.assertEqual(world.daemon_log().count("can't listen"), 1)

    def test_a_reload_listens_elsewhere_and_keeps_what_stays(self):
        world = self.here()
        other = free_port()
        config = self.configure(f"127.0.0.1:{world.port}")
        options = {"SCIDEX_HTTP_LISTEN": ""}
        daemon = world.start_daemon("--config", config, env=options)
        self.configure(f"127.0.0.1:{world.port} 127.0.0.1:{other}")
        daemon.send_signal(signal.SIGHUP)
        eventually(lambda: self.places().get(f"127.0.0.1:{other}"), 10, "the second one stands")
        self.assertEqual(Web(other).ask("/healthz").status, 200)
        self.assertEqual(world.web.ask("/healthz").status, 200)
        self.configure(f"127.0.0.1:{other}")
        daemon.send_signal(signal.SIGHUP)
        eventually(lambda: list(self.places()) == [f"127.0.0.1:{other}"], 10, "the first one is given up")
        self.assertEqual(Web(other).ask("/healthz").status, 200)
        self.wait_refused(world.web)
        # One in the place of another: its number may be the same.
        self.configure(f"127.0.0.1:{world.port}")
        daemon.send_signal(signal.SIGHUP)
        eventually(lambda: list(self.places()) == [f"127.0.0.1:{world.port}"], 10, "the other one is given up")
        self.assertEqual(world.web.ask("/healthz").status, 200)
        self.wait_refused(Web(other))
        self.configure("no")
        daemon.send_signal(signal.SIGHUP)
        eventually(lambda: self.places() == {}, 10, "nothing is listened at")
        self.assert_status(world.run("--", "true"), 0)

    def test_who_asks_while_a_recorder_is_replaced_is_answered(self):
        world = self.here()
        world.start_daemon()
        answers, failures = [], []
        over = threading.Event()

        def ask():
            while not over.is_set():
                try:
                    answers.append(world.web.ask("/healthz").status)
                except OSError as error:  # its connection was the dead recorder's
                    failures.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            for _ in range(3):
                before = world.recorder_pid()
                with pidfd(before) as fd:
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                eventually(lambda before=before: world.recorder_pid() not in (None, before), 20, "there is another one")
                seen = len(answers)
                eventually(lambda seen=seen: len(answers) > seen, 20, "somebody is answered again")
        finally:
            over.set()
            thread.join()
        self.assertFalse([error for error in failures if isinstance(error, ConnectionRefusedError)], failures)
        self.assertLessEqual(len(failures), 3)  # the one that was being answered, each time

    def test_sockets_that_were_handed_over_take_the_place_of_those_named(self):
        world = self.here()
        handed = socket.socket()
        self.addCleanup(handed.close)
        handed.bind(("127.0.0.1", 0))
        handed.listen()
        port = handed.getsockname()[1]
        # As systemd does it: the fd is number 3, its name and the pid stand in the environment.
        activate = (
            "import os, sys\n"
            f"os.dup2({handed.fileno()}, 3)\n"
            "os.environ.update(LISTEN_FDS='1', LISTEN_FDNAMES='http', LISTEN_PID=str(os.getpid()))\n"
            "os.execv(sys.argv[1], sys.argv[1:])\n"
        )
        os.set_inheritable(handed.fileno(), True)
        with self.inherited(handed):
            super(type(world), world).start_daemon(prefix=[sys.executable, "-c", activate])
        self.assertEqual(self.places(), {f"127.0.0.1:{port}": True})
        self.assertEqual(Web(port).ask("/healthz").status, 200)
        with self.assertRaises(ConnectionRefusedError):
            world.web.ask("/healthz")

    @contextlib.contextmanager
    def inherited(self, handed):
        """What is started inside has the socket too."""
        original = subprocess.Popen

        def popen(*arguments, **options):
            return original(*arguments, pass_fds=(handed.fileno(),), **options)

        subprocess.Popen = popen
        try:
            yield
        finally:
            subprocess.Popen = original


if __name__ == "__main__":
    import unittest

    unittest.main()
