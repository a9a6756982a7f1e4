"""Ordinary users: in a login session (kernel enforcement through the user manager) and from cron (no manager at all)."""

import json
import os
import pwd
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import MIB, ScidexTest, helper, program, require  # noqa: E402

GUEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest")


class AsUser(ScidexTest):
    """Runs scidex-run as USER by HOW, in a world of that user's, without a tree of the test's making."""

    how, user = None, None

    def setUp(self):
        super().setUp()
        require("systemd", "memory-controller", f"user:{self.user}")
        self.new_world(owner=self.user, tree=False)
        # The launcher is a grandchild: its parent, the login program, is who collects it.
        self.world.may_leave_zombies = True

    def run_as(self, *arguments, **options):
        return self.world.run(*arguments, prefix=(os.path.join(GUEST, self.how), self.user), **options)

    def uid(self):
        return pwd.getpwnam(self.user).pw_uid


class Login(AsUser):
    how, user = "as-login", "alice"

    def test_the_kernel_enforces_through_the_user_manager(self):
        result = self.run_as("--memory", "64M", "--", helper("leaker"), "anon", "300", "0")
        self.assert_status(result, 137)
        self.assert_verdict(result, "memory")
        run = result.run
        self.assertEqual((run["enforcement"], run["containment"], run["uid"]), ("kernel", "group", self.uid()))
        self.assertEqual(run["not_enforced"], [])
        self.assertIn(f"user@{self.uid()}.service/", run["group"])
        self.assertEqual(len(result.stderr.splitlines()), 1, result)
        _, (event,) = self.assert_recorded(run["run_id"], "memory")
        self.assertEqual(event["memory_limit_bytes"], 64 * MIB)

    def test_a_process_of_the_session_is_registered_and_let_go(self):
        # Moved by the manager; it may not be moved back out of the user's part of the tree, so it is let go where it is.
        script = f"""
            trap 'kill $process $launcher' EXIT
            {program('scidex-run')} --quiet -- sleep 1000 >/dev/null 2>&1 & launcher=$!
            until {program('scidexctl')} list --json | grep -q '"running"'; do :; done
            sleep 1000 >/dev/null 2>&1 & process=$!
            {program('scidexctl')} register $process --memory 100M --analysis-id session >&2 || exit 10
            echo $(cat /proc/$process/cgroup)
            {program('scidexctl')} unregister session >&2 || exit 11
            kill -0 $process || exit 12
            kill $process $launcher; wait; trap - EXIT
            {program('scidexctl')} history --analysis session --json"""
        done = subprocess.run(
            [os.path.join(GUEST, self.how), self.user, "sh", "-c", script], env=self.world.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        cgroup, _, history = done.stdout.partition("\n")
        self.assertRegex(cgroup, rf"/user@{self.uid()}.service/.*/session-[0-9a-f]{{8}}$")
        (run,) = json.loads(history)["runs"]
        self.assertEqual((run["verdict"], run["detail"]), ("lost", "unregistered"))

    def test_require_kernel_is_satisfied(self):
        result = self.run_as("--require=kernel", "--", "id", "-un")
        self.assert_status(result, 0)
        self.assertEqual(result.stdout, b"alice\n")
        self.assertEqual(result.stderr, "")

    def test_timeout_and_grace_hold_for_every_process(self):
        result = self.run_as(
            "--timeout", "2s", "--grace", "1s", "--", "sh", "-c", 'trap "" TERM; setsid sleep 1000 & sleep 1000')  # fmt: skip
        self.assert_status(result, 124)
        _, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual(event["processes_killed"], 3)
        self.assertEqual([entry["signal"] for entry in event["signals"]], ["TERM", "KILL"])

    def test_a_daemonised_child_is_ended(self):
        result = self.run_as("--", "sh", "-c", f"{helper('daemonise')} sleep 1000; exit 7")
        self.assert_status(result, 7)
        self.assert_recorded(result.run["run_id"], "failed", events=["orphan"])

    def test_pids_hold(self):
        result = self.run_as("--pids", "50", "--timeout", "3s", "--grace", "500ms", "--", helper("forkbomb"), "2000")
        self.assert_status(result, 124)
        self.assertLessEqual(result.run["pids_peak"], 50)

    def test_exit_statuses_come_through(self):
        for command, status in ((["sh", "-c", "exit 7"], 7), (["/no/such"], 127), (["/tmp"], 126), (["sh", "-c", "kill -SEGV $$"], 139)):
            with self.subTest(command=command):
                self.assert_status(self.run_as("--", *command), status)

    def test_a_nested_run_works(self):
        result = self.run_as("--", self.world.program("scidex-run"), "--", "sh", "-c", "exit 5")
        self.assert_status(result, 5)

    def test_many_runs_one_after_the_other(self):
        for _ in range(5):
            self.assert_status(self.run_as("--", "true"), 0)


class Cron(AsUser):
    how, user = "as-cron", "bob"

    def test_without_a_user_manager_it_is_sampled_and_says_so(self):
        result = self.run_as("--memory", "256M", "--", "id", "-un", env={"XDG_RUNTIME_DIR": None})
        self.assert_status(result, 0)
        self.assertEqual(result.stdout, b"bob\n")
        self.assertEqual(result.run["enforcement"], "sampled")
        self.assertIn("sampled", result.stderr)

    def test_require_kernel_is_125_with_the_remedy(self):
        result = self.run_as("--require=kernel", "--", "echo", "ran", report=False)
        self.assert_status(result, 125)
        self.assertEqual(result.stdout, b"")
        self.assertRegex(result.stderr, r"linger|log ?in|system supervisor")

    def test_a_leaker_is_killed_by_the_sampler(self):
        result = self.run_as("--memory", "100M", "--", helper("leaker"), "anon", "1000", "20")
        self.assert_status(result, 137)
        _, (event,) = self.assert_recorded(result.run["run_id"], "memory")
        self.assertGreater(event["overshoot_bytes"], 0)

    def test_a_daemonised_child_is_found_without_a_group(self):
        result = self.run_as("--", "sh", "-c", f"{helper('daemonise')} sleep 1000; exit 7")
        self.assert_status(result, 7)
        self.assert_recorded(result.run["run_id"], "failed", events=["orphan"])

    def test_timeout_holds(self):
        result = self.run_as(
            "--timeout", "2s", "--grace", "1s", "--", "sh", "-c", 'trap "" TERM; setsid sleep 1000 & sleep 1000')  # fmt: skip
        self.assert_status(result, 124)
        _, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
        self.assertEqual(event["processes_killed"], 3)


class Between(AsUser):
    """One user's supervisor and another user."""

    how, user = "as-cron", "bob"

    def test_a_server_of_another_user_is_not_trusted(self):
        world = self.world
        os.chmod(world.runtime, 0o777)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
            server.bind(world.socket)
            os.chmod(world.socket, 0o777)
            # SO_PEERCRED of a listener is that of listen(2).
            os.seteuid(pwd.getpwnam("alice").pw_uid)
            server.listen()
            os.seteuid(0)
            result = self.run_as("--", "echo", "ran", report=False)
        os.unlink(world.socket)
        self.assert_status(result, 125)
        self.assertEqual(result.stdout, b"")
        self.assertIn(world.socket, result.stderr)

    def test_another_user_can_neither_see_nor_end_a_run(self):
        world = self.world
        launch = world.start(
            "--", "sh", "-c", "echo ready; exec sleep 1000", prefix=(os.path.join(GUEST, "as-cron"), "bob"))  # fmt: skip
        launch.read_line()
        (run,) = world.list()
        ctl = [os.path.join(GUEST, "as-cron"), "alice", program("scidexctl")]
        done = subprocess.run(
            [*ctl, "kill", run["run_id"], "--json"], env=world.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # fmt: skip
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse(json.loads(done.stdout).get("ok", False))
        self.assertEqual(world.show(run["run_id"])["state"], "running")
        # Nor is the record readable to others.
        self.assertEqual(os.stat(world.database_path()).st_mode & 0o007, 0)
        world.kill(run["run_id"])
        self.assert_status(launch.wait(), 143)

    def test_the_run_keeps_its_users_ids(self):
        result = self.run_as("--", "id")
        plain = subprocess.run([os.path.join(GUEST, "as-cron"), "bob", "id"], stdout=subprocess.PIPE, check=True).stdout
        self.assertEqual(result.stdout, plain)
