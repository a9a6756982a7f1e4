"""Every bad input: status 125, a message that names the input, the reason and the remedy, and nothing made."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import ScidexTest, deadline, host_controllers, skip  # noqa: E402

# (arguments before the command, what the message must contain: the input, then what tells reason or remedy)
BAD = [
    # Sizes
    (["--memory", "2GB"], ["2GB", "--memory", "2G"]),
    (["--memory", "512"], ["512", "--memory", "512M"]),
    (["--memory", "512MB"], ["512MB", "512M"]),
    (["--memory", "1.5"], ["1.5", "--memory", "M"]),
    (["--memory", "lots"], ["lots", "--memory"]),
    (["--memory", ""], ["--memory"]),
    (["--memory", "-1G"], ["-1G", "--memory"]),
    (["--memory", "0"], ["--memory"]),
    (["--memory", "0G"], ["0G", "--memory"]),
    (["--memory", "1e9"], ["1e9", "--memory"]),
    (["--memory", "99999999999999999999G"], ["99999999999999999999G", "--memory"]),
    (["--memory", "16777216T"], ["16777216T", "--memory"]),
    (["--memory", "2G "], ["2G", "--memory"]),
    (["--memory", "1G 5M"], ["1G 5M", "--memory"]),
    (["--mem", "2GB"], ["2GB", "2G"]),
    (["--memory-high", "2gigs"], ["2gigs", "--memory-high"]),
    (["--swap", "1"], ["--swap"]),
    (["--swap", "x"], ["x", "--swap"]),
    # Times
    (["--timeout", "30"], ["30", "--timeout", "30min"]),
    (["--time", "30"], ["30", "30min"]),
    (["--timeout", "soon"], ["soon", "--timeout"]),
    (["--timeout", ""], ["--timeout"]),
    (["--timeout", "-5s"], ["-5s", "--timeout"]),
    (["--timeout", "1y5"], ["1y5", "--timeout"]),
    (["--timeout", "1:2:3:4"], ["1:2:3:4", "--timeout"]),
    (["--timeout", "1h 30"], ["1h 30", "--timeout"]),
    (["--timeout", "99999999999999999999s"], ["99999999999999999999s", "--timeout"]),
    (["--timeout", "0s"], ["0s", "--timeout"]),
    (["--cpu-time", "5"], ["5", "--cpu-time"]),
    (["--cpu-time", "0s"], ["0s", "--cpu-time"]),
    (["--grace", "10"], ["10", "--grace", "10s"]),
    (["--grace", "infinity"], ["infinity", "--grace"]),
    (["--thrash", "x"], ["x", "--thrash"]),
    (["--warn-before", "7"], ["7", "--warn-before"]),
    # Numbers
    (["--pids", "0"], ["\"0\"", ". Write e.g. --pids"]),
    (["--pids", "-1"], ["-1", "--pids"]),
    (["--pids", "many"], ["many", "--pids"]),
    (["--pids", "1.5"], ["1.5", "--pids"]),
    (["--pids", "99999999999999999999"], ["99999999999999999999", "--pids"]),
    (["--cpus", "0"], ["0", "--cpus"]),
    (["--cpus", "-2"], ["-2", "--cpus"]),
    (["--cpus", "two"], ["two", "--cpus"]),
    (["--cpus", "1e3"], ["1e3", "--cpus"]),
    # Signals
    (["--term-signal", "FOO"], ["FOO", "--term-signal"]),
    (["--term-signal", "0"], ["0", "--term-signal"]),
    (["--term-signal", "65"], ["65", "--term-signal"]),
    (["--term-signal", "-9"], ["-9", "--term-signal"]),
    (["--term-signal", ""], ["--term-signal"]),
    (["--warn-before", "1s", "--warn-signal", "BAR"], ["BAR", "--warn-signal"]),
    # Ids and labels
    (["--analysis-id", "x" * 256], ["--analysis-id", "255"]),
    (["--analysis-id", ""], ["--analysis-id"]),
    (["--label", "novalue"], ["novalue", "--label", "="]),
    (["--label", "=value"], ["=value", "--label"]),
    (["--label", "k=" + "v" * 300], ["label", "255"]),
    # Options themselves
    (["--frobnicate"], ["--frobnicate"]),
    (["--memroy", "2G"], ["--memroy", "--help"]),
    (["-z"], ["-z"]),
    (["--require=cgroups"], ["cgroups", "kernel"]),
    (["--require", "magic"], ["magic", "kernel"]),
    (["--report", "/no/such/directory/report.json"], ["/no/such/directory"]),
    (["--quiet=yes"], ["--quiet"]),
]


class BadOptions(ScidexTest):
    def refused(self, arguments, needles, command=("--", "true")):
        result = self.here().run(*arguments, *command, report=False)
        self.assert_status(result, 125)
        self.assertEqual(result.stdout, b"")
        for needle in needles:
            self.assertIn(needle, result.stderr)
        # A reason and a remedy: more than one sentence or line, and never a bare "invalid argument".
        self.assertGreater(len(result.stderr.split()), 4, result)
        self.assertTrue(all(line.startswith(("scidex-run:", " ", "\t")) for line in result.stderr.splitlines()), result)
        self.assertNotIn("Traceback", result.stderr)
        return result

    def test_every_bad_value_is_refused_with_its_name_reason_and_remedy(self):
        for arguments, needles in BAD:
            with self.subTest(arguments=arguments):
                self.refused_bytes(arguments, needles)
        self.assertEqual(self.world.groups(), [])
        self.assertFalse(os.path.exists(self.world.socket), "a supervisor was started for a launch that is refused")

    def refused_bytes(self, arguments, needles):
        world = self.here()
        done = subprocess.run(
            [world.program("scidex-run"), *arguments, "--", "true"], env=world.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        text = done.stderr.decode()
        self.assertEqual(done.returncode, 125, (arguments, text))
        self.assertEqual(done.stdout, b"")
        for needle in needles:
            self.assertIn(needle, text)
        self.assertGreater(len(text.split()), 5, text)
        self.assertTrue(text.startswith("scidex-run: "), text)
        self.assertNotIn("\x1b", text)

    def test_no_command_is_refused_and_says_how(self):
        for arguments in ([], ["--"], ["--memory", "1G"], ["--memory", "1G", "--"]):
            with self.subTest(arguments=arguments):
                self.refused(arguments, ["command"], command=())

    def test_an_option_without_its_value_is_refused(self):
        for option in ("--memory", "--timeout", "--analysis-id", "--label", "--report", "--grace", "--pids", "--cpus"):
            with self.subTest(option=option):
                self.refused([option], [option], command=())

    def test_control_characters_of_an_input_do_not_reach_the_terminal(self):
        result = self.run_scidex("--memory", "\x1b[31m2G\x07", "--", "true", report=False)
        self.assert_status(result, 125)
        self.assertNotIn("\x1b", result.stderr)
        self.assertNotIn("\x07", result.stderr)

    def test_a_bad_option_beats_a_bad_command(self):
        self.refused(["--memory", "2GB"], ["2GB"], command=("--", "/no/such/command"))

    def test_good_spellings_are_taken(self):
        for arguments in (
            ["--memory", "512M"], ["--memory", "1.5GiB"], ["--memory", "2T"], ["--memory", "524288K"], ["--memory", "infinity"],
            ["--timeout", "90s"], ["--timeout", "1h 30min"], ["--timeout", "1.5h"], ["--timeout", "01:02:03"], ["--timeout", "2d"],
            ["--term-signal", "SIGINT"], ["--term-signal", "INT"], ["--term-signal", "2"],
            ["--term-signal", "RTMIN+3"], ["--cpus", "0.5"], ["--cpus", "64"], ["--pids", "1"], ["--analysis-id", "x" * 255],
            ["--analysis-id", "Zürich ☃"], ["--label", "k="], ["--swap", "0"], ["--swap", "1G"], ["--grace", "0s"],
        ):  # fmt: skip
            with self.subTest(arguments=arguments):
                self.assert_status(self.run_scidex(*arguments, "--", "true"), 0)

    def test_the_supervisor_and_the_keeper_say_what_they_take_too(self):
        world = self.here()
        for name, arguments, needles in (
            ("scidex-supervisor", ["--frobnicate"], ["--frobnicate", "unknown", "scidex-supervisor --help"]),
            ("scidex-supervisor", ["--config"], ["--config", "value is missing", "scidex-supervisor --help"]),
            ("scidex-supervisor", ["--private=yes"], ["--private=yes", "takes no value", "scidex-supervisor --help"]),
            ("scidex-supervisor", ["run"], ["run", "options only", "--help"]),
            ("scidex-keeper", ["--help"], ["--help", "systemd starts this program"]),
        ):
            with self.subTest(name=name, arguments=arguments):
                done = subprocess.run(
                    [world.program(name), *arguments], env=world.environment(), stdin=subprocess.DEVNULL,
                    capture_output=True, text=True, timeout=60,
                )  # fmt: skip
                self.assertEqual((done.returncode, done.stdout), (64, ""), done)
                self.assertTrue(done.stderr.startswith(f"{name}: "), done.stderr)
                for needle in needles:
                    self.assertIn(needle, done.stderr)


class Refusals(ScidexTest):
    """No group can be had: 125 with the remedy, and the command does not run."""

    def assert_did_not_run(self, result):
        self.assert_status(result, 125)
        self.assertEqual(result.stdout, b"")
        self.assertTrue(result.stderr.startswith("scidex-run: "), result)

    def test_require_kernel_refuses_where_memory_could_only_be_sampled(self):
        if "memory" in host_controllers():
            skip("the kernel enforces memory (tests/vm has it refused for a user of cron)")
        result = self.run_scidex("--require=kernel", "--", "echo", "ran", report=False)
        self.assert_did_not_run(result)
        self.assertIn("memory", result.stderr)
        self.assertIn("scidexctl doctor", result.stderr)
        self.assertEqual(self.world.groups(), [])

    def test_a_socket_that_refuses_is_said_and_never_a_silent_fallback(self):
        world = self.new_world()
        # Bound and held by somebody, but nobody listens and the queue is none.
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
            holder.bind(world.socket)
            holder.listen()
            result = world.run("--", "echo", "ran", report=False)
            self.assert_did_not_run(result)
            self.assertIn(world.socket, result.stderr)
        os.unlink(world.socket)

    def test_a_server_that_hangs_up_is_said(self):
        world = self.new_world()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.bind(world.socket)
            server.listen()
            launch = world.start("--", "echo", "ran", report=False)
            connection, _ = server.accept()
            connection.close()
        os.unlink(world.socket)
        result = launch.wait(60)
        self.assertIn(result.status, (0, 125), result)

    def test_a_reply_that_is_no_json_is_said(self):
        world = self.new_world()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.bind(world.socket)
            server.listen()
            launch = world.start("--", "echo", "ran", report=False)
            connection, _ = server.accept()
            connection.recv(1 << 17)
            connection.send(b"this is not json")
            result = launch.wait()
            connection.close()
        os.unlink(world.socket)
        self.assert_did_not_run(result)

    def test_a_launch_that_is_denied_gives_the_servers_message_and_hint(self):
        world = self.new_world()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.bind(world.socket)
            server.listen()
            launch = world.start("--", "echo", "ran", report=False)
            connection, _ = server.accept()
            connection.recv(1 << 17)
            connection.send(
                b'{"v":1,"re":"launch","ok":false,"error":{"code":"denied","message":"not on a Sunday","hint":"wait for Monday"}}'
            )
            result = launch.wait()
            connection.close()
        os.unlink(world.socket)
        self.assert_did_not_run(result)
        self.assertIn("not on a Sunday", result.stderr)
        self.assertIn("wait for Monday", result.stderr)

    def test_a_row_that_has_no_verdict_yet_is_not_the_end(self):
        """Of a run that ended under a supervisor that has not yet recorded it: the launcher asks again."""
        world, run_id = self.new_world(), "01a226f2-d427-707a-8203-510857b2070d"
        now = int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1e6)
        made = {"run_id": run_id, "start": "plain", "environment": [], "request": {}, "warnings": [], "launched_boottime_usec": now,
                "launched_at_usec": 1, "deadline_boottime_usec": now + 60_000_000}  # fmt: skip
        with contextlib.ExitStack() as stack:

            def listen(path):
                server = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
                server.settimeout(deadline(20))
                server.bind(path)
                server.listen()
                return server

            def take(server, *answers):
                connection, _ = server.accept()
                with connection:
                    for answer in answers:
                        connection.recv(1 << 17)
                        if answer:
                            connection.send(json.dumps({"v": 1, "ok": True, **answer}).encode())

            control, record = listen(world.socket), listen(os.path.join(world.runtime, "record"))
            launch = world.start("--", "true")
            take(control, {"re": "launch", **made}, None, None)
            for verdict in (None, "completed"):
                take(control, {"re": "attach", "ok": False, "error": {"code": "gone", "message": "no such run"}})
                take(record, {"re": "why", "run": {"run_id": run_id, "verdict": verdict}, "events": []})
            result = launch.wait()
        os.unlink(world.socket)
        self.assert_status(result, 0)
        self.assert_verdict(result, "completed")

    def test_a_runtime_directory_that_can_not_be_written_is_said(self):
        world = self.new_world()
        result = world.run("--", "echo", "ran", report=False, env={"SCIDEX_SOCKET": "/proc/nothing/control"})
        self.assert_did_not_run(result)
        self.assertIn("/proc/nothing", result.stderr)

    def test_a_socket_path_that_is_too_long_is_said(self):
        world = self.new_world()
        path = os.path.join(world.runtime, "x" * 120)
        result = world.run("--", "echo", "ran", report=False, env={"SCIDEX_SOCKET": path})
        self.assert_did_not_run(result)

    def test_a_missing_supervisor_program_is_said(self):
        world = self.new_world()
        world.copy_programs()
        os.unlink(os.path.join(world.programs, "scidex-supervisor"))
        result = world.run("--", "echo", "ran", report=False)
        if result.status == 0:
            skip("a scidex is installed on this machine and its supervisor is taken")
        self.assert_did_not_run(result)
        self.assertIn("scidex-supervisor", result.stderr)
