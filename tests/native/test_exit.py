"""What a caller of scidex-run sees of a run that ends by itself: status, bytes, environment. As if scidex-run were not there."""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import IN_VM, MIB, Pump, ScidexTest, helper, needs, pidfd, wait_readable, write_text  # noqa: E402


class ExitStatus(ScidexTest):
    def test_status_0_is_completed(self):
        result = self.run_scidex("--", "true")
        self.assert_status(result, 0)
        self.assert_verdict(result, "completed")
        self.assertEqual(result.run["exit_status"], 0)

    def test_status_7_is_passed_on_and_failed(self):
        result = self.run_scidex("--", "sh", "-c", "exit 7")
        self.assert_status(result, 7)
        self.assert_verdict(result, "failed")
        self.assertEqual(result.run["exit_status"], 7)

    def test_statuses_that_mean_something_to_us_are_the_commands_own_when_it_gives_them(self):
        for status in (124, 125, 126, 127, 137, 143, 255):
            with self.subTest(status=status):
                result = self.run_scidex("--", "sh", "-c", f"exit {status}")
                self.assert_status(result, status)
                self.assert_verdict(result, "failed")

    def test_a_segmentation_fault_is_139_and_crashed(self):
        result = self.run_scidex("--", "sh", "-c", "kill -SEGV $$")
        self.assert_status(result, 128 + signal.SIGSEGV)
        self.assert_verdict(result, "crashed")
        self.assertEqual(result.run["exit_signal"], "SEGV")
        self.assertIsNone(result.run["exit_status"])

    def test_a_command_that_does_not_exist_is_127_and_named(self):
        for command in ("no-such-command-here", "/no/such/path"):
            with self.subTest(command=command):
                result = self.run_scidex("--", command)
                self.assert_status(result, 127)
                self.assertIn(command, result.stderr)

    def test_a_file_that_is_not_executable_is_126_and_named(self):
        path = os.path.join(self.new_world().directory, "data.csv")
        write_text(path, "a,b\n1,2\n")
        result = self.run_scidex("--", path)
        self.assert_status(result, 126)
        self.assertIn(path, result.stderr)

    def test_a_directory_is_126(self):
        self.assert_status(self.run_scidex("--", "/tmp"), 126)

    def test_a_run_that_ends_by_itself_says_nothing(self):
        result = self.run_scidex("--memory", "1G", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual(result.stdout, b"out\n")
        lines = result.stderr.splitlines()
        # Where the host can't enforce, that is said, loudly: it is no word about the run's end.
        self.assertIn("err", lines)
        self.assertFalse([line for line in lines if "ended" in line or "completed" in line or "failed" in line], result)

    def test_quiet_silences_everything_of_ours(self):
        result = self.run_scidex("--quiet", "--timeout", "300ms", "--grace", "300ms", "--", "sleep", "1000")
        self.assert_status(result, 124)
        self.assertEqual(result.stderr, "")
        self.assertEqual(result.stdout, b"")

    def test_verbose_says_one_line_at_the_end(self):
        quiet = self.run_scidex("--", "true")
        loud = self.run_scidex("--verbose", "--", "true")
        more = set(loud.stderr.splitlines()) - set(quiet.stderr.splitlines())
        self.assertEqual(len([line for line in more if line.startswith("scidex-run: ")]), len(more), loud)
        self.assertGreaterEqual(len(more), 1, loud)

    def test_options_end_at_the_first_word_of_the_command(self):
        result = self.run_scidex("echo", "--memory", "--frobnicate", "--", "-x")
        self.assert_status(result, 0)
        self.assertEqual(result.stdout, b"--memory --frobnicate -- -x\n")

    def test_slurms_names_are_aliases(self):
        result = self.run_scidex("--mem", "300M", "--time", "00:10:00", "--", "true")
        self.assert_status(result, 0)
        self.assertEqual(result.run["memory_limit_bytes"], 300 * MIB)
        self.assertEqual(result.run["timeout_sec"], 600)

    def test_an_option_takes_its_value_with_an_equals_sign_too(self):
        result = self.run_scidex("--memory=300M", "--timeout=1h 30min", "--", "true")
        self.assert_status(result, 0)
        self.assertEqual(result.run["timeout_sec"], 5400)

    def test_what_was_asked_stands_in_the_report(self):
        result = self.run_scidex(
            "--analysis-id", "SDA-42", "--memory", "1.5GiB", "--timeout", "90s", "--cpu-time", "1h", "--pids", "99",
            "--grace", "3s", "--term-signal", "INT", "--thrash", "30s", "--label", "project=atlas", "--label", "k=v=w", "--", "true",
        )  # fmt: skip
        self.assert_status(result, 0)
        run = result.run
        self.assertEqual(run["analysis_id"], "SDA-42")
        self.assertEqual(run["memory_limit_bytes"], 1536 * MIB)
        self.assertEqual(run["swap_limit_bytes"], 0)
        self.assertEqual((run["timeout_sec"], run["cpu_limit_sec"], run["grace_sec"], run["thrash_sec"]), (90, 3600, 3, 30))
        self.assertEqual(run["pids_limit"], 99)
        self.assertEqual(run["term_signal"], "INT")
        self.assertEqual(run["labels"], {"project": "atlas", "k": "v=w"})
        self.assertEqual(run["cmdline"], "true")
        self.assertRegex(run["run_id"], r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")

    def test_the_defaults_are_those_of_the_manual(self):
        run = self.run_scidex("--", "true").run
        self.assertEqual(run["memory_limit_bytes"], 2048 * MIB)
        self.assertEqual((run["timeout_sec"], run["grace_sec"], run["pids_limit"]), (1800, 10, 4096))
        self.assertIsNone(run["cpu_limit_sec"])
        self.assertEqual(run["term_signal"], "TERM")

    def test_infinity_is_no_limit(self):
        run = self.run_scidex("--timeout", "infinity", "--memory", "infinity", "--", "true").run
        self.assertIsNone(run["deadline_at"])
        self.assertIsNone(run["timeout_sec"])
        self.assertIsNone(run["memory_limit_bytes"])

    def test_help_and_version_are_0_on_stdout_and_start_nothing(self):
        for option in ("--help", "--version"):
            with self.subTest(option=option):
                result = self.run_scidex(option, report=False)
                self.assert_status(result, 0)
                self.assertTrue(result.stdout)
        self.assertFalse(os.path.exists(self.world.socket))


class Report(ScidexTest):
    def test_it_is_written_where_a_link_points_and_the_link_stays(self):
        link, target = os.path.join(self.here().directory, "link"), os.path.join(self.here().directory, "target")
        os.symlink(target, link)
        self.assert_status(self.run_scidex("--report", link, "--", "true", report=False), 0)
        self.assertTrue(os.path.islink(link))
        with open(target, encoding="utf-8") as file:
            self.assertEqual(json.load(file)["run"]["verdict"], "completed")

    def test_a_path_that_can_not_be_written_is_refused_before_anything_runs(self):
        missing = os.path.join(self.here().directory, "missing", "report.json")
        result = self.run_scidex("--report", missing, "--", "touch", os.path.join(self.here().directory, "ran"), report=False)
        self.assert_status(result, 125)
        self.assertIn(missing, result.stderr)
        self.assertFalse(os.path.exists(os.path.join(self.here().directory, "ran")))


class Bytes(ScidexTest):
    def test_stdin_and_stdout_are_the_runs_own_byte_for_byte(self):
        pump = Pump((32 if IN_VM else 1024) * MIB)
        launch = self.start_scidex("--memory", "256M", "--", "cat", stdin=subprocess.PIPE)

        def feed():
            with contextlib.suppress(BrokenPipeError):
                for block in pump.blocks():
                    launch.process.stdin.write(block)
            launch.process.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        digest, size = hashlib.sha256(), 0
        while data := os.read(launch.process.stdout.fileno(), MIB):
            digest.update(data)
            size += len(data)
        feeder.join()
        result = launch.wait(120)
        self.assert_status(result, 0)
        self.assertEqual(size, pump.total)
        self.assertEqual(digest.hexdigest(), pump.digest())

    def test_every_byte_value_survives(self):
        data = bytes(range(256)) * 17
        self.assertEqual(self.run_scidex("--", "cat", input=data).stdout, data)

    def test_a_reader_that_stops_early_ends_the_run_by_sigpipe_as_without_us(self):
        launch = self.start_scidex("--", "yes")
        self.assertEqual(launch.read_line(), "y")
        launch.process.stdout.close()
        launch.process.stdout = None
        result = launch.wait()
        self.assert_status(result, 128 + signal.SIGPIPE)
        self.assert_verdict(result, "crashed")


class Inheritance(ScidexTest):
    """fdcheck says what it inherited: run bare and run through scidex-run it must say the same."""

    def inherited(self, bare, arguments=(), before=None, **options):
        world = self.here()
        command = [helper("fdcheck")] if bare else [world.program("scidex-run"), "--quiet", *arguments, "--", helper("fdcheck")]
        done = subprocess.run(
            command, env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, preexec_fn=before, check=True, text=True, **options,
        )  # fmt: skip
        # The sequence number of a pipe is its own each time.
        return sorted(re.sub(r"(pipe|socket):\[\d+\]", r"\1", line) for line in done.stdout.splitlines())

    def test_fds_signals_umask_directory_and_limits_are_as_without_us(self):
        def before():
            os.umask(0o027)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

        first, second = os.pipe()
        options = {"before": before, "cwd": "/usr", "pass_fds": (first, second)}
        self.assertEqual(self.inherited(True, **options), self.inherited(False, **options))
        os.close(first)
        os.close(second)

    def test_blocked_and_ignored_signals_of_the_launcher_itself_do_not_leak(self):
        plain = self.inherited(False)
        self.assertEqual([line for line in plain if line.startswith(("blocked", "ignored"))],
                         [line for line in self.inherited(True) if line.startswith(("blocked", "ignored"))])

    def test_a_missing_stdin_stays_missing(self):
        world = self.here()
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", world.program("scidex-run"), "--quiet", "--", "sh", "-c", "exec 3</proc/self/fd/0"],
            env=world.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.assertNotEqual(done.returncode, 0, done)

    @needs("root")
    def test_a_negative_oom_score_adj_does_not_reach_the_run(self):
        def before():
            write_text("/proc/self/oom_score_adj", "-500")

        try:
            bare = self.inherited(True, before=before)
        except subprocess.SubprocessError:
            self.skipTest("not here: oom_score_adj can't be lowered")
        self.assertIn("oom_score_adj -500", bare)
        self.assertIn("oom_score_adj 0", self.inherited(False, before=before))

    def test_the_environment_is_the_callers_plus_ours(self):
        world = self.here()
        environment = world.environment(LANG="C", EMPTY="", WEIRD="a\nb=c")
        bare = subprocess.run(["env", "-0"], env=environment, stdout=subprocess.PIPE, check=True).stdout
        run = self.run_scidex("--quiet", "--", "env", "-0", env={"LANG": "C", "EMPTY": "", "WEIRD": "a\nb=c"})
        self.assertTrue(set(bare.split(b"\0")) <= set(run.stdout.split(b"\0")))
        more = set(run.stdout.split(b"\0")) - set(bare.split(b"\0"))
        self.assertTrue(all(entry.startswith((b"SCIDEX_", b"MEMORY_PRESSURE_")) for entry in more), more)
        self.assertIn(b"SCIDEX_RUN_ID=" + run.run["run_id"].encode(), more)

    def test_the_launcher_is_the_parent_of_the_run(self):
        launch = self.start_scidex("--", "sh", "-c", "echo $PPID; exec sleep 1000")
        self.assertEqual(int(launch.read_line()), launch.pid)
        launch.signal(signal.SIGTERM)
        launch.wait()

    def test_the_launcher_loads_libc_and_the_json_library_at_most(self):
        launch = self.start_scidex("--", "sh", "-c", "echo ready; exec sleep 1000")
        launch.read_line()
        with open(f"/proc/{launch.pid}/maps", encoding="utf-8") as file:
            mapped = {os.path.basename(line.split()[5]) for line in file if len(line.split()) > 5 and line.split()[5][0] == "/"}
        launch.signal(signal.SIGTERM)
        launch.wait()
        libraries = {name for name in mapped if ".so" in name}
        if any(name.startswith(("libasan", "libubsan")) for name in libraries):
            self.skipTest("not here: a sanitizer's libraries are loaded")
        allowed = re.compile(r"^(libc|libjansson|ld-linux-x86-64|ld-linux-aarch64)[.-]")
        self.assertFalse([name for name in libraries if not allowed.match(name)], mapped)


class Many(ScidexTest):
    def test_ten_at_once_without_a_supervisor_start_exactly_one(self):
        world = self.new_world()
        launches = [world.start("--", "sh", "-c", "echo ready; read line", stdin=subprocess.PIPE) for _ in range(10)]
        for launch in launches:
            launch.read_line(30)
        status = world.status()
        self.assertEqual(status["runs"], 10)
        for launch in launches:
            launch.process.stdin.write(b"\n")
        for launch in launches:
            self.assert_status(launch.wait(), 0)
        self.assertEqual(world.status()["pid"], status["pid"])

    def test_the_private_supervisor_ends_10_s_after_its_last_run(self):
        world = self.new_world()
        self.assert_status(world.run("--", "true"), 0)
        with pidfd(world.supervisor_pid()) as fd:
            self.assertTrue(wait_readable(fd, 20), "still there")
        self.assertFalse(os.path.exists(world.socket))
        # And the next launch starts another.
        self.assert_status(world.run("--", "true"), 0)
