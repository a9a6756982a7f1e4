"""Many users at the system's supervisor, some of them hostile: nobody sees, ends or holds up what is another's.

Alice and Bob are in the group, Carol is an admin, Mallory in no group; none of them needs an account, they are numbers. The
supervisor is root's, in a world of its own, and its group is `users`, which every Debian has. A hostile client is a process of
its user's (`as_user`), because the kernel says to the supervisor who has connected and who has sent.
"""

import array
import contextlib
import errno
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import (  # noqa: E402
    Client, ProtocolError, ScidexTest, children_of, deadline, eventually, helper, is_alive, pidfd, process_parent,
    read_text, require, wait_readable, write_text,
)  # fmt: skip

USERS, STAFF = 100, 50
ALICE, BOB, CAROL, MALLORY = (61001, (USERS,)), (61002, (USERS,)), (61003, (STAFF,)), (61004, ())
MIB = 1 << 20
PYTHON = "/usr/bin/python3"  # that who runs the tests has may be closed to others


def become(user):
    uid, groups = user
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def popen_as(user):
    uid, groups = user
    return {"user": uid, "group": uid, "extra_groups": list(groups)}


class UserProcess:
    """FUNCTION() in a process of USER's; .result() is what it returned, or raises what it raised."""

    def __init__(self, user, function):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(reading)
                become(user)
                try:
                    answer = (True, function())
                except BaseException as error:  # noqa: BLE001: told to the other side
                    answer = (False, error)
                try:
                    data = pickle.dumps(answer)
                    pickle.loads(data)
                except Exception:  # noqa: BLE001: an exception of its own making
                    data = pickle.dumps((False, RuntimeError(repr(answer[1]))))
                with os.fdopen(writing, "wb") as pipe:
                    pipe.write(data)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        self.reading = reading

    def result(self, timeout=60):
        data = b""
        try:
            while True:
                if not wait_readable(self.reading, timeout):
                    raise AssertionError("a user's process did not end")
                part = os.read(self.reading, 1 << 20)
                if not part:
                    break
                data += part
        finally:
            self.end()
        fine, value = pickle.loads(data)
        if not fine:
            raise value
        return value

    def end(self):
        if self.reading is not None:
            os.close(self.reading)
            self.reading = None
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def resident_bytes(pid):
    for line in read_text(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def fd_count(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cgroup_of(pid):
    for line in read_text(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:]
    return None


class Clients(ScidexTest):
    def setUp(self):
        super().setUp()
        require("root", "groups")
        world = self.new_world()
        for path in (world.directory, world.runtime, world.state):
            os.chmod(path, 0o755)
        self.users = []
        self.start_supervisor()

    def start_supervisor(self, **env):
        self.world.start_daemon(env={"SCIDEX_USERS_GROUP": "users", "SCIDEX_USERS_ADMIN_GROUP": "staff", **env})
        self.supervisor = self.world.supervisor_pid()

    def tearDown(self):
        for user in self.users:
            user.end()
        super().tearDown()

    def start_as(self, user, function):
        process = UserProcess(user, function)
        self.users.append(process)
        return process

    def as_user(self, user, function):
        return self.start_as(user, function).result()

    def call_as(self, user, op, **members):
        """The reply, also one with ok false; None where the connection was ended."""

        def ask():
            with self.world.client() as client:
                client.send({"v": 1, "op": op, **members})
                return client.receive()

        return self.as_user(user, ask)

    def launch_as(self, user, *arguments, **options):
        return self.world.start(*arguments, report=False, **popen_as(user), **options)

    def sleeper_of(self, user):
        launch = self.launch_as(user, "--analysis-id", f"of-{user[0]}", "--", "sh", "-c", "echo up; exec sleep 1000")
        launch.read_line()
        return launch, launch.run()["run_id"]

    def assert_refused(self, reply, code):
        self.assertIsNotNone(reply)
        self.assertFalse(reply.get("ok"), reply)
        self.assertEqual(reply["error"]["code"], code, reply)

    def assert_serves(self, user=BOB):
        self.assertTrue(self.call_as(user, "status")["ok"])

    def end(self, launch, run_id):
        self.world.kill(run_id)
        self.assertEqual(launch.wait().status, 143)


class Groups(Clients):
    def test_the_sockets_are_the_groups(self):
        for name in ("control", "record"):
            status = os.stat(os.path.join(self.world.runtime, name))
            self.assertEqual((status.st_uid, status.st_gid, status.st_mode & 0o777), (0, USERS, 0o660))

    def test_a_member_runs_as_itself_inside_of_its_group(self):
        launch = self.launch_as(ALICE, "--", "sh", "-c", "id -u; id -G; sed -n 's/^0:://p' /proc/self/cgroup")
        self.assertEqual(launch.read_line(), str(ALICE[0]))
        self.assertEqual(set(launch.read_line().split()), {str(ALICE[0]), str(USERS)})
        cgroup = launch.read_line()
        self.assertEqual(launch.wait().status, 0, launch.result)
        self.assertIn(os.path.basename(self.world.tree), cgroup)
        self.assertNotEqual(os.path.basename(cgroup), os.path.basename(self.world.tree))

    def test_who_is_in_no_group_is_told_so_and_nothing_runs(self):
        launch = self.launch_as(MALLORY, "--", "echo", "ran")
        result = launch.wait()
        self.assert_status(result, 125)
        self.assertEqual(result.stdout, b"")
        self.assertRegex(result.stderr, r"permission denied.*group")

    def test_one_that_gets_at_the_socket_all_the_same_hears_the_group_and_whom_to_ask(self):
        for name in ("control", "record"):
            os.chmod(os.path.join(self.world.runtime, name), 0o666)
        for op in ("status", "list", "launch", "kill", "drain", "nonsense"):
            reply = self.call_as(MALLORY, op, run="x", request={})
            self.assert_refused(reply, "denied")
            self.assertEqual(reply["error"]["message"], f"uid {MALLORY[0]} is not a member of group users")
            self.assertIn("Ask the admin: usermod -aG users USER", reply["error"]["hint"])
        self.assertIn(f"uid {MALLORY[0]} is not a member of group users", self.world.daemon_log())
        record = os.path.join(self.world.runtime, "record")

        def read():
            with Client(record) as client:
                client.send({"v": 1, "op": "storage"})
                return client.receive(), client.receive()

        reply, after = self.as_user(MALLORY, read)
        self.assert_refused(reply, "denied")
        self.assertIsNone(after, "and the connection is ended")


class Others(Clients):
    """Bob, who may launch, asks about what is Alice's."""

    def setUp(self):
        super().setUp()
        self.launch, self.run_id = self.sleeper_of(ALICE)

    def tearDown(self):
        if self.launch.result is None:
            self.end(self.launch, self.run_id)
        super().tearDown()

    def rows_as(self, user, op, record=False, **members):
        path = os.path.join(self.world.runtime, "record" if record else "control")

        def ask():
            with Client(path) as client:
                return client.rows(op, **members)

        return self.as_user(user, ask)

    def test_it_is_neither_seen_nor_ended_nor_changed(self):
        for selector in (self.run_id, self.run_id[-8:], f"of-{ALICE[0]}"):
            for op in ("show", "kill", "wait", "set", "unregister"):
                self.assert_refused(self.call_as(BOB, op, run=selector, request={"timeout_usec": 1}, timeout_usec=1), "not-found")
        self.assertEqual(self.rows_as(BOB, "list"), [])
        self.assertEqual(self.rows_as(BOB, "list", all=True), [])
        self.assertEqual(self.world.show(self.run_id)["state"], "running")

    def test_alice_sees_it_and_so_does_the_admin(self):
        self.assertEqual([row["run_id"] for row in self.rows_as(ALICE, "list")], [self.run_id])
        self.assertEqual([row["run_id"] for row in self.rows_as(CAROL, "list")], [self.run_id])
        self.assertEqual(self.call_as(CAROL, "kill", run=self.run_id)["runs"], [self.run_id])
        self.assertEqual(self.launch.wait().status, 143)

    def test_the_status_has_counts_and_nothing_of_hers(self):
        status = self.call_as(BOB, "status")
        self.assertEqual(status["status"]["runs"], 1)
        text = json.dumps(status)
        for hers in (self.run_id, f"of-{ALICE[0]}", "sleep 1000"):
            self.assertNotIn(hers, text)

    def test_nobody_else_can_speak_for_its_launcher(self):
        self.assert_refused(self.call_as(BOB, "attach", run_id=self.run_id, pid=self.launch.main_pid()), "denied")
        # Alice herself neither: her launcher is another process.
        self.assert_refused(self.call_as(ALICE, "attach", run_id=self.run_id, pid=self.launch.main_pid()), "denied")
        self.assert_refused(self.call_as(BOB, "exited", run_id=self.run_id, status=0), "bad-request")
        self.assert_refused(self.call_as(BOB, "move", run_id=self.run_id, pid=os.getpid()), "bad-request")

        def silent():
            with self.world.client() as client:
                client.send({"v": 1, "op": "cancel", "run_id": self.run_id, "signal": 15})
                client.send({"v": 1, "op": "started", "run_id": self.run_id, "pid": 1})
                return client.call("status")["ok"]

        self.assertTrue(self.as_user(BOB, silent))
        self.assertEqual(self.world.show(self.run_id)["state"], "running")

    def test_only_admins_drain(self):
        for op in ("drain", "once"):
            self.assert_refused(self.call_as(BOB, op), "denied")
        self.assertEqual(self.world.show(self.run_id)["state"], "running")

    def test_the_record_of_it_is_hers_and_the_admins(self):
        self.end(self.launch, self.run_id)
        self.assert_recorded(self.run_id, "cancelled")
        for user, n in ((ALICE, 1), (CAROL, 1), (BOB, 0)):
            for op in ("history", "events"):
                self.assertEqual(len(self.rows_as(user, op, record=True)), n, (user, op))

        def why():
            with self.world.record_client() as client:
                return client.call("why", run=self.run_id)["run"]["run_id"]

        def kills():
            with self.world.record_client() as client:
                return client.call("kills")["count"]

        self.assertEqual(self.as_user(ALICE, why), self.run_id)
        with self.assertRaisesRegex((ProtocolError, RuntimeError), "not-found"):
            self.as_user(BOB, why)
        self.assertEqual(self.as_user(ALICE, kills), 1)
        self.assertEqual(self.as_user(BOB, kills), 0)

    def test_a_run_can_change_neither_its_limits_nor_what_is_noted_of_it(self):
        tamper = """
import errno, os, sys
group, failures = sys.argv[1], []
def expect(what, function):
    try:
        function()
        failures.append(what + " was allowed")
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            failures.append(f"{what}: {error}")
def write(name):
    with open(os.path.join(group, name), "w") as file:
        file.write("max")
for place in (group, os.path.dirname(group)):
    for name in ("user.scidex.run", "user.scidex.kill", "user.scidex.mine"):
        expect("set " + name, lambda: os.setxattr(place, name, b"{}"))
        expect("remove " + name, lambda: os.removexattr(place, name))
expect("rmdir", lambda: os.rmdir(group))
expect("mkdir", lambda: os.mkdir(group + "/mine"))
expect("rename", lambda: os.rename(group, group + "x"))
for name in ("cgroup.procs", "cgroup.kill", "cgroup.freeze", "memory.max", "pids.max"):
    if os.path.exists(os.path.join(group, name)):
        expect(name, lambda: write(name))
print(failures or "nothing")
"""
        group = self.world.show(self.run_id)["group"]
        script = os.path.join(self.world.directory, "tamper.py")
        write_text(script, tamper)
        # From inside a run of Bob's, at Alice's group; then at its own.
        launch = self.launch_as(BOB, "--", PYTHON, script, group)
        self.assertEqual(launch.read_line(), "nothing")
        self.assert_status(launch.wait(), 0)
        own = "exec " + PYTHON + " " + script + ' "$1$(sed -n "s/^0:://p" /proc/self/cgroup)"'
        mount = group[: -len(cgroup_of(self.launch.main_pid()))]
        launch = self.launch_as(BOB, "--", "sh", "-c", own, "sh", mount)
        self.assertEqual(launch.read_line(), "nothing")
        self.assert_status(launch.wait(), 0)


class Processes(Clients):
    """What a launcher says of processes."""

    def moves(self, client, pid):
        client.send({"v": 1, "op": "move", "pid": pid})
        return client.receive()

    def test_only_an_own_child_is_moved(self):
        victim = subprocess.Popen(["sleep", "1000"], **popen_as(ALICE))
        root = subprocess.Popen(["sleep", "1000"])
        before = {process.pid: cgroup_of(process.pid) for process in (victim, root)}

        def try_all():
            child = os.fork()
            if child == 0:
                signal.pause()
            replies = []
            with self.world.client() as client:
                client.send({"v": 1, "op": "launch", "request": {}})
                client.receive()
                for pid in (victim.pid, root.pid, self.supervisor, 1, 2, 0, -1, os.getpid(), os.getppid(), 4194304):
                    replies.append((pid, self.moves(client, pid)))
                last = self.moves(client, child)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return replies, last

        try:
            replies, last = self.as_user(BOB, try_all)
            for _, reply in replies:
                self.assertFalse(reply["ok"], replies)
                self.assertIn(reply["error"]["code"], ("denied", "gone"), replies)
            self.assertTrue(last["ok"], last)
            for process in (victim, root):
                self.assertEqual(cgroup_of(process.pid), before[process.pid])
        finally:
            for process in (victim, root):
                process.kill()
                process.wait()

    def test_a_group_that_is_not_empty_takes_no_second_process(self):
        """Else its own process could be taken for a stray, and brought back out of its limits."""

        def both():
            children = []
            for _ in range(2):
                child = os.fork()
                if child == 0:
                    signal.pause()
                children.append(child)
            with self.world.client() as client:
                client.send({"v": 1, "op": "launch", "request": {}})
                client.receive()
                replies = [self.moves(client, child) for child in children]
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            return replies

        first, second = self.as_user(BOB, both)
        self.assertTrue(first["ok"], first)
        self.assert_refused(second, "bad-request")


class Recycled(Clients):
    """The launcher's child ends, is collected, and its pid goes to another user's process just before the move."""

    def start_supervisor(self):
        self.gate = os.path.join(self.world.directory, "gate")
        for end in ("out", "in"):
            os.mkfifo(f"{self.gate}.{end}", 0o600)
        super().start_supervisor(
            LD_PRELOAD=helper("gate.so"), SCIDEX_GATE_COMM="scidex-supervis", SCIDEX_GATE=self.gate,
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
        )  # fmt: skip

    def at_gate(self):
        """The pid that the supervisor is about to move; it waits for open_gate()."""
        fd = os.open(f"{self.gate}.out", os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(fd, "rb", buffering=0) as pipe:
            data = b""
            while True:
                if not wait_readable(fd, 20):
                    raise AssertionError("the supervisor did not come to the gate")
                part = pipe.read(16)
                if part == b"" and data:
                    return int(data)
                data += part or b""

    def open_gate(self):
        write_text(f"{self.gate}.in", "x")

    def recycle(self, pid, home):
        """A process of Alice's with that pid, whose parent lives in the cgroup home."""
        process = subprocess.Popen(
            [helper("recycle"), str(pid), str(ALICE[0])], stdout=subprocess.PIPE,
            preexec_fn=lambda: write_text(os.path.join(home, "cgroup.procs"), "0"),
        )  # fmt: skip
        line = process.stdout.readline()
        process.stdout.close()
        if line != b"recycled\n":
            process.kill()
            process.wait()
            self.fail("the pid could not be given anew")
        return process

    def test_the_stray_is_brought_home_and_the_launch_refused(self):
        home = os.path.join(self.world.tree_parent, "home")
        os.mkdir(home)
        stranger = None
        try:
            with self.world.client() as client:
                client.send({"v": 1, "op": "launch", "request": {}})
                run_id = client.receive()["run_id"]
                child = os.fork()
                if child == 0:
                    signal.pause()
                client.send({"v": 1, "op": "move", "pid": child})
                self.assertEqual(self.at_gate(), child)
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                stranger = self.recycle(child, home)
                self.assertNotEqual(process_parent(child), os.getpid())
                self.open_gate()
                # Brought back by a second move, of the same number.
                self.assertEqual(self.at_gate(), child)
                inside = cgroup_of(child)
                self.open_gate()
                self.assert_refused(client.receive(), "gone")
                self.assertTrue(is_alive(child), "nobody is killed")
                self.assertEqual(os.path.basename(cgroup_of(child)), "home")
                self.assertNotEqual(inside, cgroup_of(child), "it had strayed")
                self.assertIn(run_id, [row["run_id"] for row in self.world.list()])
            eventually(lambda: not self.world.groups(), 10, "the run that was not started is over")
            self.assertTrue(is_alive(child))
        finally:
            if stranger:
                os.kill(child, signal.SIGKILL)  # collected by its parent, which then ends
                stranger.wait()
            eventually(lambda: not read_text(os.path.join(home, "cgroup.procs"), "x").strip(), 10, "home is empty")
            os.rmdir(home)


class Borrowed(Clients):
    """A launcher names as its own what is another's, or another run's."""

    def test_a_child_that_is_roots_is_not_ended_for_the_launcher(self):
        reading, writing = os.pipe()
        launcher = os.fork()
        if launcher == 0:  # as after sudo: a process of Alice's with a child that is root's
            child = os.fork()
            if child == 0:
                signal.pause()
            try:
                become(ALICE)
                os.write(writing, b"%d\n" % child)
                with self.world.client() as client, contextlib.suppress(OSError):
                    client.call("launch", request={"grace_usec": 0})
                    client.send({"v": 1, "op": "started", "pid": child})
                    client.send({"v": 1, "op": "cancel", "signal": 15})
                    client.send({"v": 1, "op": "status"})
                    client.receive()
                os.write(writing, b"told\n")
                signal.pause()
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "r") as pipe:
            child = int(pipe.readline())
            try:
                with pidfd(child) as fd:
                    self.assertEqual(pipe.readline(), "told\n")
                    self.assertFalse(wait_readable(fd, 0.5), "root's process lives on")
            finally:
                os.kill(launcher, signal.SIGKILL)
                os.waitpid(launcher, 0)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(child, 0)
            eventually(lambda: not self.world.groups(), 10, "its run is over")

    def test_a_process_of_one_run_is_not_moved_into_the_next(self):
        def chain():
            child = os.fork()
            if child == 0:
                signal.pause()
            try:
                with self.world.client() as first, self.world.client() as second:
                    first.call("launch", request={})
                    first.call("move", pid=child)
                    first.send({"v": 1, "op": "started", "pid": child})
                    second.call("launch", request={})
                    second.send({"v": 1, "op": "move", "pid": child})
                    return second.receive()
            finally:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)

        self.assert_refused(self.as_user(ALICE, chain), "denied")
        eventually(lambda: not self.world.groups(), 10, "both are over")

    def test_a_run_that_asks_and_dies_at_once_is_not_taken_for_who_stands_outside(self):
        script = os.path.join(self.world.directory, "ask.py")
        write_text(script, """
import os, socket, sys, time
client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
client.connect(sys.argv[1])
client.send(b'{"v":1,"op":"status"}')
client.recv(1 << 17)
print("connected", flush=True)
sys.stdin.readline()
child = os.fork()
if child == 0:
    client.send(b'{"v":1,"op":"set","run":"' + os.environ["SCIDEX_RUN_ID"].encode() + b'","timeout_usec":86400000000}')
    os._exit(0)
os.waitpid(child, 0)
print("asked", flush=True)
time.sleep(1000)
""")
        launch = self.launch_as(
            ALICE, "--timeout", "1h", "--", PYTHON, "-I", script, self.world.socket, stdin=subprocess.PIPE,
        )  # fmt: skip
        run_id = launch.run()["run_id"]
        self.assertEqual(launch.read_line(), "connected")
        os.kill(self.supervisor, signal.SIGSTOP)
        try:
            launch.process.stdin.write(b"go\n")
            launch.process.stdin.flush()
            self.assertEqual(launch.read_line(), "asked")
        finally:
            os.kill(self.supervisor, signal.SIGCONT)
        self.assert_serves()
        self.assertEqual(self.world.show(run_id)["timeout_sec"], 3600)
        self.end(launch, run_id)

class Hostile(Clients):
    def connections(self, n):
        found = []
        for _ in range(n):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.connect(self.world.socket)
            found.append(client)
        return found

    def assert_memory(self, before, mib):
        if "asan" in read_text(f"/proc/{self.supervisor}/maps"):
            return  # it keeps what is freed
        grown = resident_bytes(self.supervisor) - before
        self.assertLess(grown, mib * MIB, f"the supervisor has grown by {grown >> 10} KiB")

    def test_a_thousand_half_open_connections_cost_a_descriptor_each(self):
        self.assert_serves()
        before, fds = resident_bytes(self.supervisor), fd_count(self.supervisor)
        ready, go = os.pipe(), os.pipe()

        def hold():
            clients = self.connections(1000)
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            return len(clients)

        alice = self.start_as(ALICE, hold)
        try:
            self.assertTrue(wait_readable(ready[0], 30))
            eventually(lambda: fd_count(self.supervisor) >= fds + 990, 20, "all are accepted")
            self.assert_serves()
            result = self.launch_as(BOB, "--", "true").wait()
            self.assert_status(result, 0)
            self.assertLess(fd_count(self.supervisor), fds + 1020)
            self.assert_memory(before, 16)
            os.write(go[1], b"x")
            self.assertEqual(alice.result(), 1000)
            eventually(lambda: fd_count(self.supervisor) <= fds + 2, 20, "and all are closed")
        finally:
            for fd in (*ready, *go):
                os.close(fd)

    def test_garbage_ends_its_own_connection(self):
        self.assert_serves()
        before, fds = resident_bytes(self.supervisor), fd_count(self.supervisor)
        packets = [
            b"", b"\0", b"[", b"[]", b"null", b"1", b'"x"', b"{", b'{"v":1', b"\xff" * 1000, b"[" * 60000, b'{"a":' * 10000,
            b"{}" + b" " * 70000, os.urandom(65536), b'{"v":1,"op":"' + b"x" * 65000 + b'"}', b'{"v":1,"op":["status"]}',
            b'{"v":1e400,"op":"status"}', b'{"v":1,"op":"status"}\0', b'{"op":"status"}', b'{"v":1,"op":"launch"}',
            b'{"v":1,"op":"launch","request":[]}', b'{"v":1,"op":"launch","request":{"labels":' + b'{"a":' * 2000 + b"1" + b"}" * 2001,
            b'{"v":1,"op":"move","pid":1e300}', b'{"v":1,"op":"kill","run":"' + b"%n" * 100 + b'"}',
        ]  # fmt: skip

        def send_all():
            for packet in packets * 20:
                with contextlib.closing(self.connections(1)[0]) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        client.send(packet)
                        client.send(b'{"v":1,"op":"list"}')
                        client.recv(1 << 17)
            return True

        self.assertTrue(self.as_user(ALICE, send_all))
        self.assert_serves()
        self.assertEqual(self.world.supervisor_pid(), self.supervisor)
        eventually(lambda: fd_count(self.supervisor) <= fds + 2, 20, "its connections are closed")
        self.assert_memory(before, 16)

    def test_descriptors_are_not_taken(self):
        self.assert_serves()
        before, fds = resident_bytes(self.supervisor), fd_count(self.supervisor)
        peak = []

        def pass_many():
            reading, writing = os.pipe()
            own = array.array("i", [reading] * 200)
            n = 0
            with contextlib.closing(self.connections(1)[0]) as client:
                for _ in range(300):
                    client.sendmsg([b'{"v":1,"op":"status"}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, own)])
                    n += json.loads(client.recv(1 << 17))["ok"]
            # In nobody's table they are closed: the pipe has no reader left.
            os.close(reading)
            try:
                os.write(writing, b"x")
                return n, False
            except BrokenPipeError:
                return n, True

        alice = self.start_as(ALICE, pass_many)
        while is_alive(alice.pid) and not select.select([alice.reading], [], [], 0.01)[0]:
            peak.append(fd_count(self.supervisor))
        self.assertEqual(alice.result(), (300, True))
        self.assertLessEqual(max(peak, default=0), fds + 3)
        self.assert_memory(before, 8)

    def test_whom_a_launcher_says_it_found_dead_costs_what_an_event_lists(self):
        self.assert_serves()
        before = resident_bytes(self.supervisor)  # what lives on in the run keeps it
        junk = [[{}] * 200] * 64  # 40 KiB in the packet, 4 MiB in memory
        ready, go = os.pipe(), os.pipe()

        def bloat():
            clients, children = [], []
            for _ in range(24):
                client = self.world.client()
                client.call("launch", request={"grace_usec": 60000000})
                children.append(os.fork())
                if children[-1] == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    while True:
                        signal.pause()
                client.call("move", pid=children[-1])
                client.send({"v": 1, "op": "exited", "status": 9, "killed": junk, "killed_count": 64})
                clients.append(client)
            os.write(ready[1], b"x")
            os.read(go[0], 1)
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            return len(clients)

        alice = self.start_as(ALICE, bloat)
        try:
            self.assertTrue(wait_readable(ready[0], 30))
            self.assert_serves()
            self.assert_memory(before, 24)
            os.write(go[1], b"x")
            self.assertEqual(alice.result(), 24)
        finally:
            for fd in (*ready, *go):
                os.close(fd)
        eventually(lambda: not self.world.groups(), 20, "its runs are over")

    def test_who_does_not_read_is_held_to_what_it_has(self):
        self.assert_serves()
        before = resident_bytes(self.supervisor)

        def stuff():
            clients = self.connections(100)
            for client in clients:
                client.setblocking(False)
                with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                    for _ in range(2000):
                        client.send(b'{"v":1,"op":"status"}')
            return len(clients)

        self.assertEqual(self.as_user(ALICE, stuff), 100)
        self.assert_serves()
        self.assert_memory(before, 32)

    def test_a_flood_of_alices_does_not_keep_bob_waiting(self):
        self.assert_serves()
        before = resident_bytes(self.supervisor)
        reading, writing = os.pipe()

        def flood():
            clients = self.connections(32)
            poll = select.poll()
            for client in clients:
                client.setblocking(False)
                poll.register(client, select.POLLIN | select.POLLOUT)
            by_fd = {client.fileno(): client for client in clients}
            n, answered = 0, 0
            os.write(writing, b"x")
            while True:
                for fd, events in poll.poll():
                    with contextlib.suppress(BlockingIOError):
                        if events & select.POLLIN:
                            answered += bool(by_fd[fd].recv(1 << 17))
                    with contextlib.suppress(BlockingIOError):
                        if events & select.POLLOUT:
                            n += by_fd[fd].send(b'{"v":1,"op":"list"}')
                if answered and answered % 500 == 0:
                    os.write(writing, b"a")

        alice = self.start_as(ALICE, flood)
        os.close(writing)
        try:
            self.assertTrue(wait_readable(reading, 30))
            os.read(reading, 1)
            # Her burst is used up: from here on she has what her rate gives.
            for _ in range(3):
                self.assertTrue(wait_readable(reading, 60), "she is answered, too")
                os.read(reading, 1 << 16)
            for _ in range(20):
                self.assert_serves()
            for _ in range(3):
                launch, run_id = self.sleeper_of(BOB)
                self.assertEqual(self.call_as(BOB, "kill", run=run_id)["runs"], [run_id])
                self.assertEqual(launch.wait().status, 143)
            self.assertTrue(is_alive(alice.pid), "the flood went on")
            self.assert_memory(before, 32)
        finally:
            os.close(reading)
            alice.end()

    def test_a_connection_that_was_passed_on_is_not_its_owners_word(self):
        """Alice connects and a process of Bob's sends: by inheritance, as a set-uid program or a careless daemon would."""

        # Alice with root's right to become Bob, until she has.
        def as_alice_connected():
            os.setgroups(ALICE[1])
            os.setresgid(ALICE[0], ALICE[0], ALICE[0])
            os.seteuid(ALICE[0])
            client = self.connections(1)[0]
            os.seteuid(0)
            child = os.fork()
            reading, writing = os.pipe()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
            pid = os.fork()
            if pid == 0:
                os.setresuid(BOB[0], BOB[0], BOB[0])
                client.send(b'{"v":1,"op":"list"}')
                os.write(writing, client.recv(1 << 17))
                os._exit(0)
            os.waitpid(pid, 0)
            return json.loads(os.read(reading, 1 << 17)), client.recv(1 << 17)

        reply, after = self.as_user((0, (0,)), as_alice_connected)
        self.assert_refused(reply, "denied")
        self.assertEqual(after, b"", "and the connection is ended")
        self.assert_serves(ALICE)


if __name__ == "__main__":
    import unittest

    unittest.main()
