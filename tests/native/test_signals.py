"""Signals through scidex-run, and the terminal: job control works on a run as on any command."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    SLOW,
    ScidexTest,
    children_of,
    deadline,
    eventually,
    helper,
    is_alive,
    process_comm,
    process_state,
    wait_readable,
)


class Forwarded(ScidexTest):
    """Signals that a process sent to the launcher."""

    def test_each_reaches_the_run_once(self):
        for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "WINCH", "CONT", "TSTP"):
            with self.subTest(signal=name):
                number = getattr(signal, "SIG" + name)
                launch = self.start_scidex("--", helper("sigcount"), int(number), 100 * SLOW, "9")
                self.assertEqual(launch.read_line(), "ready")
                launch.signal(number)
                if name == "TSTP":
                    # The launcher stops as a shell expects of a job; fg is a SIGCONT.
                    self.assertEqual(launch.read_line(), "1 times")
                    eventually(lambda: process_state(launch.pid) == "T", 10, "the launcher stops too")
                    launch.signal(signal.SIGCONT)
                result = launch.wait()
                self.assertTrue(name == "TSTP" or result.stdout == b"1 times\n", result)
                self.assert_status(result, 9)
                self.assert_verdict(result, "failed")

    def test_a_run_that_handles_int_and_exits_0_is_completed(self):
        launch = self.start_scidex("--", helper("sigcount"), int(signal.SIGINT), 10, "0")
        launch.read_line()
        launch.signal(signal.SIGINT)
        result = launch.wait()
        self.assert_status(result, 0)
        self.assertIsNone(result.died_of)
        self.assert_verdict(result, "completed")

    def test_a_run_that_dies_of_term_is_cancelled_with_143(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        launch.signal(signal.SIGTERM)
        result = launch.wait()
        self.assert_status(result, 143)
        self.assert_verdict(result, "cancelled")

    def test_after_int_the_launcher_dies_of_int_itself(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        launch.signal(signal.SIGINT)
        result = launch.wait()
        self.assertEqual(result.died_of, signal.SIGINT, result)
        self.assertEqual(result.status, 130)
        self.assert_verdict(result, "cancelled")

    def stubborn(self):
        """A run that survives INT and TERM, and says what it got."""
        launch = self.start_scidex(
            "--grace", "500ms", "--", "sh", "-c",
            'trap "echo int" INT; trap "echo term" TERM; echo ready; while :; do sleep 1000 & wait; done',
        )  # fmt: skip
        self.assertEqual(launch.read_line(), "ready")
        return launch

    def test_the_first_int_kills_nothing_and_the_second_starts_the_kill(self):
        launch = self.stubborn()
        launch.signal(signal.SIGINT)
        self.assertEqual(launch.read_line(), "int")
        self.assertEqual(self.world.show(launch.run_id())["state"], "running")
        launch.signal(signal.SIGINT)
        result = launch.wait()
        self.assertEqual(result.died_of, signal.SIGINT, result)
        self.assert_verdict(result, "cancelled")
        _, (event,) = self.assert_recorded(result.run["run_id"], "cancelled")
        self.assertEqual(event["signals"][-1]["signal"], "KILL")

    def test_the_second_term_starts_the_kill_too(self):
        launch = self.stubborn()
        launch.signal(signal.SIGTERM)
        self.assertEqual(launch.read_line(), "term")
        launch.signal(signal.SIGTERM)
        result = launch.wait()
        self.assert_status(result, 143)
        self.assert_verdict(result, "cancelled")

    def test_a_signal_at_the_very_start_is_not_lost(self):
        """Whenever it comes, the launcher ends soon: before the run exists, or by way of it."""
        for delay in (0, 0.002, 0.005, 0.01, 0.02):
            with self.subTest(delay=delay):
                launch = self.start_scidex("--", "sleep", "1000")
                # Not to wait for something: the moment itself is what is varied.
                time.sleep(delay * SLOW)
                launch.signal(signal.SIGTERM)
                result = launch.wait(20)
                self.assert_status(result, 143)


class Terminal:
    """A program in the foreground of a terminal of its own."""

    def __init__(self, command, environment):
        self.master, slave = os.openpty()
        self.text = ""

        def before():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True, preexec_fn=before,
        )  # fmt: skip
        os.close(slave)
        self.pidfd = os.pidfd_open(self.process.pid)

    def type(self, text):
        os.write(self.master, text.encode())

    def read_until(self, needle, timeout=20):
        """What was written up to and with needle."""
        end = time.monotonic() + deadline(timeout)
        while needle not in self.text:
            if time.monotonic() > end or not wait_readable(self.master, timeout) or not self.read_some():
                raise AssertionError(f"{needle!r} did not appear; the terminal shows {self.text!r}")
        at = self.text.index(needle) + len(needle)
        found, self.text = self.text[:at], self.text[at:]
        return found

    def read_some(self):
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def wait(self, timeout=20):
        """The return code of the first process; what it wrote last is in .text."""
        end = time.monotonic() + deadline(timeout)
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError(f"did not end; the terminal shows {self.text!r}")
            if wait_readable(self.master, 0.1):
                self.read_some()
        while wait_readable(self.master, 0) and self.read_some():
            pass
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.pidfd)
        with contextlib.suppress(OSError):
            os.close(self.master)


class OnATerminal(ScidexTest):
    def open(self, *command, **environment):
        self.terminal = Terminal([str(word) for word in command], self.here().environment(PS1="$ ", **environment))
        self.world.launches.append(TerminalLaunch(self.terminal))
        return self.terminal

    def scidex_run(self):
        return self.here().program("scidex-run")

    def only_run(self):
        def found():
            try:
                return [row for row in self.world.list() if row["pid"]]
            except OSError:
                # The supervisor is only being started.
                return None

        return eventually(found, 10)[0]

    def history(self):
        rows = eventually(lambda: self.world.history(), 5)
        return rows

    def test_ctrl_c_reaches_the_run_once_and_one_that_exits_0_is_completed(self):
        terminal = self.open(self.scidex_run(), "--", helper("sigcount"), int(signal.SIGINT), 300 * SLOW, "0")
        terminal.read_until("ready")
        terminal.type("\x03")
        terminal.read_until("1 times")
        self.assertEqual(terminal.wait(), 0)
        (row,) = self.history()
        self.assertEqual(row["verdict"], "completed")

    def test_ctrl_c_ends_a_run_that_does_not_handle_it_and_the_launcher_dies_of_it(self):
        terminal = self.open(self.scidex_run(), "--", "sh", "-c", "echo ready; exec sleep 1000")
        terminal.read_until("ready")
        terminal.type("\x03")
        self.assertEqual(terminal.wait(), -signal.SIGINT)
        (row,) = self.history()
        self.assertEqual(row["verdict"], "cancelled")
        self.assertEqual(row["exit_signal"], "INT")

    def test_ctrl_backslash_is_quit(self):
        terminal = self.open(self.scidex_run(), "--", helper("sigcount"), int(signal.SIGQUIT), 300 * SLOW, "5")
        terminal.read_until("ready")
        terminal.type("\x1c")
        terminal.read_until("1 times")
        self.assertEqual(terminal.wait(), 5)

    def test_a_shell_loop_stops_when_the_run_dies_of_ctrl_c(self):
        terminal = self.open(
            "bash", "-c", f"for i in 1 2 3; do {self.scidex_run()} -- sh -c 'echo started; exec sleep 1000'; echo next; done"
        )
        terminal.read_until("started")
        terminal.type("\x03")
        self.assertEqual(terminal.wait(), -signal.SIGINT)
        self.assertNotIn("next", terminal.text)
        self.assertNotIn("started", terminal.text)
        self.assertEqual(len(self.history()), 1)

    def test_a_shell_loop_goes_on_when_the_run_handled_ctrl_c(self):
        terminal = self.open(
            "bash", "-c",
            f"for i in 1 2; do {self.scidex_run()} -- {helper('sigcount')} {int(signal.SIGINT)} 10 0; echo next $i; done",
        )  # fmt: skip
        terminal.read_until("ready")
        terminal.type("\x03")
        terminal.read_until("next 1")
        terminal.read_until("ready")
        terminal.type("\x03")
        terminal.read_until("next 2")
        self.assertEqual(terminal.wait(), 0)

    def test_ctrl_z_stops_launcher_and_run_and_fg_continues_them(self):
        terminal = self.open("bash", "--norc", "--noprofile", "-i")
        # Not as typed: the terminal echoes what is typed.
        terminal.type(f"{self.scidex_run()} -- sh -c 'echo star''ted; read line; echo got $line'\n")
        terminal.read_until("started")
        run = self.only_run()
        terminal.type("\x1a")
        terminal.read_until("Stopped")
        eventually(lambda: process_state(run["pid"]) == "T", 10, "the run is stopped")
        eventually(lambda: process_state(run["launcher_pid"]) == "T", 10, "the launcher is stopped")
        self.assertEqual(self.world.show(run["run_id"])["state"], "running")
        terminal.type("fg\n")
        eventually(lambda: process_state(run["pid"]) != "T", 10, "the run is continued")
        terminal.type("hello\n")
        terminal.read_until("got hello")
        terminal.type("echo status $?; exit\n")
        terminal.read_until("status 0")
        self.assertEqual(terminal.wait(), 0)

    def test_a_run_stopped_with_ctrl_z_is_still_ended_at_its_limit(self):
        terminal = self.open("bash", "--norc", "--noprofile", "-i")
        terminal.type(f"{self.scidex_run()} --timeout {max(3, SLOW)}s --grace 1s -- sh -c 'echo star''ted; exec sleep 1000'\n")
        terminal.read_until("started")
        run = self.only_run()
        terminal.type("\x1a")
        terminal.read_until("Stopped")
        eventually(lambda: not is_alive(run["pid"]), 15, "the stopped run is ended")
        terminal.type("fg\n")
        terminal.read_until("killed")
        terminal.type("echo status $?; exit\n")
        terminal.read_until("status 124")
        terminal.wait()

    def test_bg_and_a_read_from_the_terminal_stop_the_run_as_the_shell_expects(self):
        terminal = self.open("bash", "--norc", "--noprofile", "-i")
        terminal.type(f"{self.scidex_run()} -- sh -c 'echo star''ted; read line; echo got $line' &\n")
        terminal.read_until("started")
        # A background job that reads gets SIGTTIN, the launcher with it: maybe before it has told the run's pid.
        launcher = self.world.list()[0]["launcher_pid"]
        (reader,) = children_of(launcher)
        eventually(lambda: process_state(reader) == "T", 10, "the reader in the background is stopped")
        eventually(lambda: process_state(launcher) == "T", 10, "its launcher too")
        terminal.type("fg\n")
        eventually(lambda: process_state(reader) != "T", 10, "the run is continued")
        terminal.type("hello\n")
        terminal.read_until("got hello")
        terminal.type("exit\n")
        terminal.wait()

    def test_end_of_file_and_editing_work(self):
        terminal = self.open(self.scidex_run(), "--", "cat")
        eventually(lambda: [pid for pid in children_of(self.only_run()["launcher_pid"]) if process_comm(pid) == "cat"], 10)
        terminal.type("one\n\x04")
        terminal.read_until("one\r\none\r\n")
        self.assertEqual(terminal.wait(), 0)

    def test_closing_the_terminal_ends_the_run(self):
        terminal = self.open(self.scidex_run(), "--grace", "1s", "--", "sh", "-c", "echo ready; exec sleep 1000")
        terminal.read_until("ready")
        run = self.only_run()
        os.close(terminal.master)
        terminal.master = os.open("/dev/null", os.O_RDONLY)
        eventually(lambda: not is_alive(run["pid"]), 10, "hang-up ends the run")
        eventually(lambda: terminal.process.poll() is not None, 10, "and its launcher")


class TerminalLaunch:
    """A Terminal as one of the world's launches, so that it is ended with them."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.process, self.pid = terminal.process, terminal.process.pid
        self.result = None

    def close(self):
        self.terminal.close()
