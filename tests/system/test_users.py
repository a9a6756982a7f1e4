"""Ordinary users, an admin and a stranger at the installed service, and the user that keeps its record."""

import grp
import os
import pwd
import signal
import stat
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import seconds_between  # noqa: E402
from systemtest import (  # noqa: E402
    command,
    RUNTIME, STATE, SystemTest, as_user, connect_as, eventually, is_alive, pidfd, read_text, run_as, wait_readable,
)  # fmt: skip


def status_field(pid, name):
    for line in read_text(f"/proc/{pid}/status").splitlines():
        if line.startswith(name + ":"):
            return line.split()[1:]
    raise AssertionError(f"no {name} in the status of {pid}")


class Recorder(SystemTest):
    def keeper(self):
        return pwd.getpwnam("scidex")

    def assert_unprivileged(self, pid):
        uid, gid = str(self.keeper().pw_uid), str(self.keeper().pw_gid)
        self.assertEqual(status_field(pid, "Uid"), [uid] * 4)
        self.assertEqual(status_field(pid, "Gid"), [gid] * 4)
        self.assertEqual(status_field(pid, "Groups"), [])
        for name in ("CapPrm", "CapEff", "CapAmb"):
            self.assertEqual(int(status_field(pid, name)[0], 16), 0)
        self.assertEqual(status_field(pid, "NoNewPrivs"), ["1"])

    def record_a_run(self):
        result = self.world.run("--", "sh", "-c", "exit 7")
        self.assert_status(result, 7)
        return result.run["run_id"]

    def recorded(self, run_id):
        eventually(lambda: [row for row in self.world.history(limit=1000) if row["run_id"] == run_id], 10, "its row")

    def test_it_is_the_user_scidex_and_so_is_the_record(self):
        self.recorded(self.record_a_run())
        self.assert_unprivileged(self.world.recorder_pid())
        status = os.stat(STATE)
        self.assertEqual((status.st_uid, stat.S_IMODE(status.st_mode)), (self.keeper().pw_uid, 0o750))
        status = os.stat(self.world.database)
        self.assertEqual((status.st_uid, stat.S_IMODE(status.st_mode)), (self.keeper().pw_uid, 0o600))

    def test_so_is_the_next_one(self):
        first = self.world.recorder_pid()
        os.kill(first, signal.SIGKILL)
        second = eventually(lambda: (pid := self.world.recorder_pid()) != first and pid, 10, "another recorder")
        self.recorded(self.record_a_run())
        self.assert_unprivileged(second)

    def test_what_root_has_recorded_before_is_given_to_it(self):
        before = self.record_a_run()
        self.recorded(before)
        # The recorder ends after its supervisor (KillMode=process), and takes files of the record with it.
        with pidfd(self.world.recorder_pid()) as recorder:
            self.world.stop_service()
            self.assertTrue(wait_readable(recorder, 20), "the recorder ends")
        for name in os.listdir(STATE):
            if name.startswith("spool.sqlite"):
                os.chown(os.path.join(STATE, name), 0, 0)
        os.chown(STATE, 0, 0)
        self.world.start_units()
        self.recorded(before)
        self.recorded(self.record_a_run())
        self.assertEqual(os.stat(self.world.database).st_uid, self.keeper().pw_uid)
        self.assertEqual(os.stat(STATE).st_uid, self.keeper().pw_uid)


class Users(SystemTest):
    def sleeper(self, user="alice"):
        launch = self.world.start("--analysis-id", f"of-{user}", "--", "sh", "-c", "echo up; exec sleep 1000", user=user)
        launch.read_line()
        return launch, launch.run_id()

    def ids(self, user, verb):
        rows = self.world.ctl_json(verb, user=user)
        rows = rows if isinstance(rows, list) else next(value for value in rows.values() if isinstance(value, list))
        return [row["run_id"] for row in rows]

    def test_both_sockets_are_the_groups(self):
        for name in ("control", "record"):
            status = os.stat(os.path.join(RUNTIME, name))
            self.assertEqual((status.st_uid, status.st_gid), (0, grp.getgrnam("scidex").gr_gid))
            self.assertEqual(stat.S_IMODE(status.st_mode), 0o660)

    def test_a_users_run_is_seen_and_ended_by_its_owner_and_admins_only(self):
        launch, run_id = self.sleeper("alice")
        for verb in ("show", "kill", "why"):
            done = self.world.ctl(verb, run_id, user="bob", check=False)
            self.assertNotEqual(done.returncode, 0, done)
            self.assertNotIn("sleep 1000", done.stdout)
        self.assertNotIn(run_id, self.ids("bob", "list"))
        self.assertIn(run_id, self.ids("alice", "list"))
        self.assertIn(run_id, self.ids("dave", "list"))
        self.assertEqual(self.world.show(run_id)["state"], "running")
        self.world.ctl("kill", run_id, user="dave")
        result = launch.wait()
        self.assert_status(result, 143)
        self.assert_recorded(run_id, "cancelled")
        self.assertEqual(self.world.why(run_id)["run"]["uid"], pwd.getpwnam("alice").pw_uid)
        self.assertNotIn(run_id, self.ids("bob", "history"))
        self.assertIn(run_id, self.ids("alice", "history"))

    def test_the_tree_shows_ones_own_runs_and_calls_those_of_others_neither_theirs_nor_foreign(self):
        (own, own_id), (other, other_id) = self.sleeper("bob"), self.sleeper("alice")
        groups = {group["name"]: group for group in self.world.ctl_json("tree", user="bob")["tree"]["groups"]}
        mine, others = (groups[os.path.basename(self.world.show(run_id)["group"])] for run_id in (own_id, other_id))
        self.assertEqual((mine["kind"], mine["run_id"], others["kind"], others["run_id"]), ("run", own_id, "run-not-listed", None))
        self.assertGreater(mine["private_bytes"], 0)
        self.assertEqual([process["pid"] for process in mine["processes"]], [own.main_pid()])
        self.assertNotIn("foreign", [group["kind"] for group in groups.values()])
        for launch, run_id in ((own, own_id), (other, other_id)):
            self.world.kill(run_id)
            launch.wait()

    def test_a_runs_request_is_not_read_from_its_group_by_another_user(self):
        launch = self.start_scidex("--label", "secret=plan", "--", "sh", "-c", "echo ready; exec sleep 1000", user="alice")
        launch.read_line()
        group = launch.run()["group"]
        read = f"import os; print(os.getxattr({group!r}, 'user.scidex.run'))"
        self.assertIn("secret", command("python3", "-c", read).stdout)
        for name in ("bob", "mallory"):
            done = run_as(name, "python3", "-c", read)
            self.assertIn("Permission denied", done.stderr)
            self.assertNotIn("secret", done.stdout)
        self.world.kill(launch.run_id())
        self.assert_status(launch.wait(), 143)

    def test_a_run_is_its_users_with_their_groups_and_no_way_to_others_groups(self):
        done = self.world.run("--", "sh", "-c", "id -un; id -Gn; cat /proc/self/cgroup", user="bob")
        self.assert_status(done, 0)
        who, groups, cgroup = done.stdout.decode().splitlines()
        self.assertEqual(who, "bob")
        self.assertIn("scidex", groups.split())
        self.assertIn("scidex-keeper.service", cgroup)
        launch, run_id = self.sleeper("alice")
        group = self.world.show(run_id)["group"]
        for name in ("cgroup.procs", "cgroup.kill", "memory.max", "cgroup.freeze"):
            done = run_as("bob", "sh", "-c", f"echo 1 > {group}/{name}")
            self.assertNotEqual(done.returncode, 0, name)
        done = run_as("alice", "python3", "-c", f"import os; os.setxattr({group!r}, 'user.scidex.kill', b'{{}}')")
        self.assertIn("Permission denied", done.stderr)
        self.assertTrue(is_alive(launch.main_pid()))
        self.world.ctl("kill", run_id, user="alice")
        self.assert_status(launch.wait(), 143)

    def test_a_stranger_is_told_the_group_and_nothing_runs(self):
        result = self.world.run("--", "echo", "ran", user="mallory", report=False)
        self.assert_status(result, 125)
        self.assertEqual(result.stdout, b"")
        self.assertEqual(len(result.stderr.splitlines()), 1, result)
        self.assertIn("scidex", result.stderr)
        self.assertIn("group", result.stderr)
        self.assertNotEqual(self.world.ctl("list", user="mallory", check=False).returncode, 0)
        with self.assertRaises(PermissionError):
            connect_as("mallory")


FLOOD = """
import select
from scidextest import Client
clients = [Client("/run/scidex/control").socket for _ in range(16)]
poll = select.poll()
for client in clients:
    client.setblocking(False)
    poll.register(client, select.POLLIN | select.POLLOUT)
by_fd = {client.fileno(): client for client in clients}
sent = answered = 0
while True:
    for fd, events in poll.poll():
        try:
            if events & select.POLLIN:
                answered += bool(by_fd[fd].recv(1 << 17))
            if events & select.POLLOUT:
                by_fd[fd].send(b'{"v":1,"op":"list"}')
                sent += 1
        except BlockingIOError:
            pass
    if answered > 200 and sent > 0:
        print("flood", flush=True)
        sent = -1 << 62
"""


class Flood(SystemTest):
    """With the quota of processor time that the unit ships with."""

    as_shipped = True

    def test_alices_flood_delays_neither_bobs_launch_nor_his_deadline(self):
        supervisor = self.world.supervisor_pid()
        flood = subprocess.Popen(
            ["python3", "-c", FLOOD], env=self.world.environment("alice"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            cwd="/", **as_user("alice"),
        )  # fmt: skip
        try:
            self.assertTrue(wait_readable(flood.stdout.fileno(), 60))
            self.assertEqual(flood.stdout.readline(), b"flood\n")
            self.assert_status(self.world.run("--", "sh", "-c", "exit 3", user="bob"), 3)
            result = self.world.run("--timeout", "3s", "--grace", "1s", "--", "sleep", "1000", user="bob")
            self.assert_status(result, 124)
            run, (event,) = self.assert_recorded(result.run["run_id"], "timeout")
            self.assertLess(seconds_between(run["deadline_at"], event["term_at"]), 2)
            self.assertIsNone(flood.poll(), "the flood went on")
            self.assertEqual(self.world.supervisor_pid(), supervisor)
            self.assertLess(int(status_field(supervisor, "VmRSS")[0]), 64 * 1024)
        finally:
            flood.kill()
            flood.wait()
            flood.stdout.close()


if __name__ == "__main__":
    import unittest

    unittest.main()
