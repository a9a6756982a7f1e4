"""The configuration as users and admins meet it: a private supervisor's defaults and caps, and what --check-config says."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import SLOW, ProtocolError, ScidexTest, eventually, pidfd, read_text, wait_readable  # noqa: E402

MIB = 1 << 20
GIB = 1 << 30


class ConfigTest(ScidexTest):
    def configure(self, text, name="supervisor.conf"):
        world = self.here()
        path = os.path.join(world.directory, "scidex", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def check_config(self, *arguments, env=None):
        world = self.here()
        return subprocess.run(
            [world.program("scidex-supervisor"), "--private", "--check-config", *arguments],
            env=world.environment(**(env or {})), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip

    def refused(self, result, *needles):
        self.assert_status(result, 125)
        self.assertEqual(result.stdout, b"")
        self.assertEqual(len(result.stderr.splitlines()), 1, result)
        for needle in needles:
            self.assertIn(needle, result.stderr)


class Defaults(ConfigTest):
    def test_what_is_not_asked_for_is_as_configured(self):
        self.configure("[limits]\nmemory = 300M\ntimeout = 7min\ngrace = 3s\npids = 55\nthrash = 2min\nswap = 1M\n")
        run = self.here().run("--", "true").run
        self.assertEqual(run["memory_limit_bytes"], 300 * MIB)
        self.assertEqual(run["timeout_sec"], 420)
        self.assertEqual(run["grace_sec"], 3)
        self.assertEqual(run["pids_limit"], 55)
        self.assertEqual(run["thrash_sec"], 120)
        self.assertEqual(run["swap_limit_bytes"], MIB)

    def test_what_is_asked_for_is_not_changed(self):
        self.configure("[limits]\nmemory = 300M\ntimeout = 7min\n")
        run = self.here().run("--memory", "2G", "--time", "30min", "--", "true").run
        self.assertEqual(run["memory_limit_bytes"], 2 * GIB)
        self.assertEqual(run["timeout_sec"], 1800)

    def test_the_run_and_its_launcher_go_by_the_effective_limits(self):
        self.configure("[limits]\nmemory = 300M\ntimeout = 3s\ngrace = 1s\n")
        world = self.here()
        result = world.run("--", "sh", "-c", "echo $SCIDEX_MEMORY_MAX; exec sleep 60")
        self.assert_status(result, 124)
        self.assertIn("wall-clock limit 3s reached", result.stderr)
        self.assertEqual(result.stdout, b"%d\n" % (300 * MIB))
        result = world.run("--timeout", "1min", "--verbose", "--", "true")
        self.assertIn("of 300 MiB", result.stderr)

    def test_the_backstop_is_that_of_the_effective_limits(self):
        # The built-in ones are 30 min and 10 s: only a launcher that goes by its supervisor's word ends this in time.
        limit = max(3, SLOW // 2)
        self.configure(f"[limits]\ntimeout = {limit}s\ngrace = 0\n")
        world = self.here()
        launch = world.start("--", "sh", "-c", "echo up; exec sleep 300")
        launch.read_line()
        main, supervisor = launch.main_pid(), world.supervisor_pid()
        with pidfd(main) as ended, pidfd(supervisor) as stopped:
            signal.pidfd_send_signal(stopped, signal.SIGSTOP)
            try:
                self.assertTrue(wait_readable(ended, 30), "the backstop did not end the run")
                # The limit and 5 s; with the built-in grace 10 s later.
                self.assertLess(time.monotonic() - launch.started, limit + 15)
            finally:
                signal.pidfd_send_signal(stopped, signal.SIGCONT)
        result = launch.wait()
        self.assert_status(result, 124)
        self.assertEqual(result.run["detail"], "backstop")

    def test_a_default_above_a_cap_shrinks_to_it(self):
        self.configure("[limits]\nmemory_max = 100M\ntimeout_max = 5min\n")
        run = self.here().run("--", "true").run
        self.assertEqual(run["memory_limit_bytes"], 100 * MIB)
        self.assertEqual(run["timeout_sec"], 300)

    def test_a_limit_that_contradicts_a_configured_default_is_refused_by_the_supervisor(self):
        self.configure("[limits]\ntimeout = 5min\n")
        self.refused(self.here().run("--warn-before", "10min", "--", "true", report=False), "before the start", "--timeout")

    def test_a_variable_wins_over_the_file(self):
        self.configure("[limits]\nmemory = 300M\ntimeout = 7min\n")
        run = self.here().run("--", "true", env={"SCIDEX_LIMITS_MEMORY": "200M"}).run
        self.assertEqual(run["memory_limit_bytes"], 200 * MIB)
        self.assertEqual(run["timeout_sec"], 420)

    def test_a_launcher_of_before_that_sends_all_is_taken_at_its_word(self):
        self.configure("[limits]\nmemory = 300M\nmemory_max = 1G\n")
        world = self.here()
        other = world.start("--", "sh", "-c", "read line", stdin=subprocess.PIPE)
        other.run_id()
        with world.client() as client:
            reply = client.call("launch", request={"memory_bytes": 512 * MIB, "timeout_usec": None, "grace_usec": 5})
            self.assertEqual(reply["request"]["memory_bytes"], 512 * MIB)
            self.assertIsNone(reply["request"]["timeout_usec"])
            self.assertEqual(reply["request"]["grace_usec"], 5)
            self.assertEqual(reply["request"]["pids"], 4096)
            self.assertNotIn("cmdline", reply["request"])
        with world.client() as client, self.assertRaises(ProtocolError) as refused:
            client.call("launch", request={"memory_bytes": 2 * GIB})
        self.assertEqual(refused.exception.code, "denied")
        self.assertIn("memory_max", refused.exception.hint)
        other.process.stdin.write(b"\n")
        self.assert_status(other.wait(), 0)


class Caps(ConfigTest):
    def test_what_is_above_a_cap_is_refused_with_the_line_that_sets_it(self):
        path = self.configure("# caps\n[limits]\nmemory_max = 1G\ntimeout_max = 2h\n")
        world = self.here()
        self.refused(
            world.run("--memory", "2G", "--", "true", report=False),
            f"memory limit 2.0 GiB is above the cap of 1.0 GiB for one run (memory_max in {path}:3). "
            "Write --memory 1G or less, or raise memory_max",
        )
        self.refused(world.run("--memory", "infinity", "--", "true", report=False), "a run without memory limit", f"{path}:3")
        self.refused(
            world.run("--time", "3h", "--", "true", report=False),
            f"wall-clock limit 3h is above the cap of 2h (timeout_max in {path}:4). Write --timeout 2h or less",
        )
        self.assertEqual(world.groups(), [])
        self.assert_status(world.run("--memory", "1G", "--time", "2h", "--", "true"), 0)

    def test_runs_at_once_are_counted_nested_ones_too(self):
        path = self.configure("[limits]\nruns_max = 2\n")
        world = self.here()
        launch = world.start(
            "--", world.program("scidex-run"), "--", "sh", "-c", "echo up; read line", stdin=subprocess.PIPE
        )
        launch.read_line()
        self.refused(
            world.run("--", "true", report=False),
            f"you have 2 runs, and the cap is 2 at once (runs_max in {path}:2). Wait for one to end (scidexctl list)",
        )
        launch.process.stdin.write(b"\n")
        self.assert_status(launch.wait(), 0)
        self.assert_status(world.run("--", "true"), 0)

    def test_the_memory_of_all_runs_is_counted_that_of_nested_ones_once(self):
        path = self.configure("[limits]\nmemory_total_max = 1G\nmemory = 600M\n")
        world = self.here()
        launch = world.start(
            "--", world.program("scidex-run"), "--", "sh", "-c", "echo up; read line", stdin=subprocess.PIPE
        )
        launch.read_line()
        self.refused(
            world.run("--", "true", report=False),
            "memory limit 600 MiB beside the 600 MiB of your other runs is above the cap of 1.0 GiB for all your runs together",
            f"memory_total_max in {path}:2",
            "Write --memory 424M or less, wait for one to end (scidexctl list), or raise memory_total_max",
        )
        self.assert_status(world.run("--memory", "424M", "--", "true"), 0)
        launch.process.stdin.write(b"\n")
        self.assert_status(launch.wait(), 0)
        self.assert_status(world.run("--", "true"), 0)


class Broken(ConfigTest):
    def test_a_broken_file_refuses_launches_with_its_line_until_it_is_mended(self):
        path = self.configure("[limits]\nmemory_max = 2GB\n")
        world = self.here()
        self.refused(
            world.run("--", "true", report=False),
            f"{path}:2: [limits] memory_max = \"2GB\": not a size; write 2G",
            "--check-config",
        )
        self.configure("[limits]\nmemory_max = 2G\n")
        self.assert_status(world.run("--", "true"), 0)

    def test_a_broken_file_does_not_keep_limits_from_being_enforced(self):
        world = self.here()
        launch = world.start("--timeout", "5s", "--", "sh", "-c", "echo up; exec sleep 300")
        launch.read_line()
        path = self.configure("[limits\nmemory = x\n")
        world.stop_supervisor(9)
        world.faults.clear()  # that it was killed is what this is about
        result = launch.wait()  # the launcher starts the next one, which adopts
        self.assert_status(result, 124)
        self.assertEqual(result.run["verdict"], "timeout")
        self.assertNotEqual(result.run["detail"], "backstop")
        self.refused(world.run("--", "true", report=False), f"{path}:1: the section's name is not closed")

    def test_what_is_odd_is_logged_and_no_reason_to_refuse(self):
        path = self.configure("[limits]\nmemroy = 1G\n[storage]\nrecord_cmdline = perhaps\n")
        world = self.here()
        self.assert_status(world.run("--", "true"), 0)
        done = self.check_config()
        self.assertEqual(done.returncode, 78)
        self.assertIn(f"{path}:2: [limits] memroy = \"1G\": unknown key", done.stdout)


class Storage(ConfigTest):
    def test_command_lines_are_kept_as_configured(self):
        for how, cmdline in (("full", "sh -c : secret"), ("argv0", "sh"), ("no", None)):
            with self.subTest(how=how):
                world = self.here()
                self.configure(f"[storage]\nrecord_cmdline = {how}\n")
                run = world.run("--", "sh", "-c", ":", "secret").run
                self.assertEqual(run["cmdline"], cmdline)
                row = eventually(lambda: [r for r in world.history() if r["run_id"] == run["run_id"]], 10)[0]
                self.assertEqual(row["cmdline"], cmdline)
                world.stop_supervisor()

    def test_the_record_lies_where_the_file_says(self):
        world = self.here()
        place = os.path.join(world.directory, "elsewhere")
        self.configure(f"[storage]\nsqlite = {place}/spool.sqlite\nhistory = 2days\nhistory_size = 3G\n")
        self.assert_status(world.run("--", "true"), 0)
        eventually(lambda: os.path.exists(os.path.join(place, "spool.sqlite")), 10, "the record is made")
        recorder = read_text(f"/proc/{world.recorder_pid()}/cmdline").split("\0")
        self.assertIn("172800000000us,3145728K", recorder)

    def test_it_is_found_there_without_a_supervisor_too(self):
        world = self.here()
        place = os.path.join(world.directory, "elsewhere")
        self.configure(f"[storage]\nsqlite = {place}/spool.sqlite\n")
        run = world.run("--", "true").run
        world.stop_supervisor()  # and waits for the recorder, which has written all then
        done = subprocess.run(
            [world.program("scidexctl"), "history"], env=world.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        self.assertIn(run["run_id"][-8:], done.stdout, done)

    def test_an_end_that_no_supervisor_saw_is_left_there(self):
        world = self.here()
        world.copy_programs()
        place = os.path.join(world.directory, "elsewhere")
        self.configure(f"[storage]\nsqlite = {place}/spool.sqlite\n")
        launch = world.start("--", "sh", "-c", "echo up; read line; exit 7", stdin=subprocess.PIPE)
        launch.read_line()
        run_id = launch.run_id()
        supervisor = os.path.join(world.programs, "scidex-supervisor")
        os.rename(supervisor, supervisor + ".away")
        world.stop_supervisor(9)
        world.faults.clear()  # that it was killed is what this is about
        launch.process.stdin.write(b"\n")
        self.assert_status(launch.wait(), 7)
        self.assertTrue(os.path.exists(os.path.join(place, "left", run_id + ".json")))
        os.rename(supervisor + ".away", supervisor)
        self.assert_status(world.run("--", "true"), 0)
        row = eventually(lambda: [r for r in world.history() if r["run_id"] == run_id], 10, "the end is recorded")[0]
        self.assertEqual((row["verdict"], row["exit_status"]), ("failed", 7))


class System(ConfigTest):
    """A daemon of root's, as the system's is, and ordinary users. Users and their group by number, as nobody has a name everywhere."""

    GROUP, ALICE, BOB = 64701, 64702, 64703

    def setUp(self):
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("only root can be several users")
        world = self.here()
        world.copy_programs()
        for path in (world.directory, world.runtime):
            os.chmod(path, 0o755)

    def start_system(self, text):
        path = self.configure(f"[users]\ngroup = {self.GROUP}\nadmin_group = {self.GROUP + 9}\n" + text)
        self.here().start_daemon("--config", path)
        return path

    def as_user(self, uid, *arguments, start=False, group=None, **options):
        prefix = ("setpriv", f"--reuid={uid}", f"--regid={group or uid}", f"--groups={self.GROUP}")
        world = self.here()
        return (world.start if start else world.run)(*arguments, prefix=prefix, report=False, cwd="/", **options)

    def test_caps_bind_users_and_not_admins(self):
        path = self.start_system("[limits]\nmemory_max = 100M\ntimeout_max = 1min\n")
        world = self.here()
        self.refused(
            self.as_user(self.ALICE, "--memory", "200M", "--", "true"),
            f"memory limit 200 MiB is above the cap of 100 MiB for one run (memory_max in {path}:5). "
            "Write --memory 100M or less, or ask the admin to raise memory_max",
        )
        self.refused(self.as_user(self.ALICE, "--time", "2min", "--", "true"), f"timeout_max in {path}:6")
        result = self.as_user(self.ALICE, "--", "sh", "-c", "echo $SCIDEX_MEMORY_MAX")
        self.assert_status(result, 0)
        self.assertEqual(result.stdout, b"%d\n" % (100 * MIB))
        self.assert_status(self.as_user(self.ALICE, "--memory", "200M", "--", "true", group=self.GROUP + 9), 0)
        self.assert_status(world.run("--memory", "200M", "--", "true"), 0)

    def test_each_user_has_their_own_count_and_their_own_caps(self):
        path = self.start_system(f"[limits]\nruns_max = 1\n[user {self.BOB}]\nruns_max = 2\n")
        alice = self.as_user(self.ALICE, "--", "sh", "-c", "echo up; read line", start=True, stdin=subprocess.PIPE)
        alice.read_line()
        self.refused(self.as_user(self.ALICE, "--", "true"), f"you have 1 run, and the cap is 1 at once (runs_max in {path}:5)")
        bob = self.as_user(self.BOB, "--", "sh", "-c", "echo up; read line", start=True, stdin=subprocess.PIPE)
        bob.read_line()
        self.assert_status(self.as_user(self.BOB, "--", "true"), 0)
        for launch in (alice, bob):
            launch.process.stdin.write(b"\n")
            self.assert_status(launch.wait(), 0)

    def test_a_broken_file_shuts_out_users_and_not_admins_until_a_reload(self):
        path = self.start_system("[limits]\nmemory_max = 100MB\n")
        world = self.here()
        self.refused(
            self.as_user(self.ALICE, "--", "true"),
            f"{path}:5: [limits] memory_max = \"100MB\": not a size",
            "Ask the admin to mend it",
        )
        self.assert_status(world.run("--", "true"), 0)
        self.assertIn(f"{path}:5: [limits] memory_max", world.daemon_log())
        with open(path, "a") as file:
            file.write("memory_max = 100M\n")
        self.reload("not reloaded")  # line 5 is still there
        self.refused(self.as_user(self.ALICE, "--", "true"), f"{path}:5")
        with open(path, "w") as file:
            file.write(f"[users]\ngroup = {self.GROUP}\nadmin_group = 1\n[limits]\nmemory_max = 100M\n")
        self.reload("is reloaded")
        self.assert_status(self.as_user(self.ALICE, "--", "true"), 0)
        self.refused(self.as_user(self.ALICE, "--memory", "1G", "--", "true"), f"memory_max in {path}:5")

    def test_the_service_says_that_users_are_shut_out(self):
        world = self.here()
        path = os.path.join(world.directory, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
            notified.bind(path)
            notified.settimeout(20)
            config = self.configure("[limits]\nmemory_max = 5\n")
            world.start_daemon("--config", config, env={"NOTIFY_SOCKET": path})

            def said_until_ready():
                words = []
                while not words or words[-1] != "READY=1":
                    words += notified.recv(4096).decode().splitlines()
                return words

            said = said_until_ready()
            self.assertTrue([word for word in said if word.startswith(f"STATUS=Only admins can launch: {config}:2: ")], said)
            self.configure("[limits]\nmemory_max = 5G\n")
            self.reload("is reloaded")
            self.assertIn("STATUS=", said_until_ready())
            world.stop_supervisor()

    def reload(self, said):
        with pidfd(self.here().supervisor_pid()) as fd:
            signal.pidfd_send_signal(fd, signal.SIGHUP)
        eventually(lambda: said in self.here().daemon_log(), 10, said)

    def test_a_reload_binds_new_launches_only(self):
        path = self.start_system("[limits]\nmemory_max = 1G\n")
        launch = self.as_user(self.ALICE, "--memory", "500M", "--", "sh", "-c", "echo up; read line", start=True, stdin=subprocess.PIPE)
        launch.read_line()
        with open(path, "a") as file:
            file.write("memory_max = 100M\n")
        self.reload("is reloaded")
        self.refused(self.as_user(self.ALICE, "--memory", "500M", "--", "true"), f"memory_max in {path}:6")
        self.assertEqual(self.here().show(launch.run_id())["memory_limit_bytes"], 500 * MIB)
        launch.process.stdin.write(b"\n")
        self.assert_status(launch.wait(), 0)


class CheckConfig(ConfigTest):
    def test_all_is_well(self):
        path = self.configure("[limits]\nmemory = 1G\n")
        extra = self.configure("[http]\nlisten = no\n", "supervisor.conf.d/10-http.conf")
        done = self.check_config()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, f"{path}: ok\n{extra}: ok\n")

    def test_no_file_is_well_too(self):
        done = self.check_config()
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, "no configuration file: the built-in values hold\n")

    def test_each_mistake_is_a_line(self):
        path = self.configure("[limits]\nmemory = 1\n\nfoo\n[nonsense]\nx = y\n[limits]\nmemroy = 1G\n")
        extra = self.configure("[http]\nlisten = here\n", "supervisor.conf.d/10-http.conf")
        done = self.check_config(env={"SCIDEX_LIMITS_GRACE": "2 days"})
        self.assertEqual((done.returncode, done.stderr), (78, ""))
        places = [re.match(r"([^ ]+): ", line).group(1) for line in done.stdout.splitlines()]
        self.assertEqual(places, [f"{path}:2", f"{path}:4", f"{path}:6", f"{path}:8", f"{extra}:2", "SCIDEX_LIMITS_GRACE"])

    def test_a_file_can_be_named(self):
        path = self.configure("[limits]\nmemory = 1\n", "other.conf")
        self.assertEqual(self.check_config().returncode, 0)
        done = self.check_config("--config", path)
        self.assertEqual(done.returncode, 78)
        self.assertIn(f"{path}:2: [limits] memory", done.stdout)
        done = self.check_config("--config", path + ".none")
        self.assertEqual(done.returncode, 78)
        self.assertIn("No such file", done.stdout)

    def test_the_shipped_sample_is_well_and_says_the_built_in_values(self):
        sample = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "units", "supervisor.conf")
        if not os.path.exists(sample):
            self.skipTest("the sample is not beside the tests here")
        text = open(sample).read()
        self.assertEqual(self.check_config("--config", sample).returncode, 0)
        # With every key in force, but for the place of the system's own record.
        path = self.configure(re.sub(r"^#((?!sqlite)[a-z_]+ =.*)$", r"\1", text, flags=re.M))
        done = self.check_config()
        self.assertEqual((done.returncode, done.stdout), (0, f"{path}: ok\n"))
        run = self.here().run("--", "true").run
        self.assertEqual((run["memory_limit_bytes"], run["timeout_sec"], run["grace_sec"]), (2 * GIB, 1800, 10))
        self.assertEqual((run["pids_limit"], run["swap_limit_bytes"], run["thrash_sec"]), (4096, 0, 60))


if __name__ == "__main__":
    import unittest

    unittest.main()
