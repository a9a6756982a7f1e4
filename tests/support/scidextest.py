"""What the tests of native/ and vm/ share: a world of their own per test, the programs, the protocol, and the check at the end.

A test derives from ScidexTest. Each test method gets a World: a scratch directory with its own control socket, record and
tree, so that no supervisor, record or group of the machine is touched; `self.run_scidex(...)` is one launch in it, waited
for; `self.start_scidex(...)` one that goes on.

The hard thing is the end. After every test, whatever its outcome: nothing it started may be alive, as a process or as
a zombie, and its tree must be empty; else the test fails. Processes are known by SCIDEX_TEST in their environment, and
because the test process is child subreaper: what lost its parent becomes ours, also when it changed its environment.

No sleeps: what has an fd (pipe, pidfd, socket) is waited for; only where the kernel has none, `eventually` looks every 10 ms.
"""

import contextlib
import ctypes
import errno
import functools
import hashlib
import json
import os
import pwd
import secrets
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("SCIDEX_BUILD") or os.path.join(REPO, "build"))

IN_VM = os.environ.get("SCIDEX_VM") == "1"
# Emulated, everything that is not a timer takes 40 times as long; so may what only guards against a hang.
SLOW = 10 if IN_VM else 1
# In the guest, how long after its deadline a process of a run may still be seen, beyond what the contract says.
MIB = 1 << 20

PROGRAMS = ("scidex-run", "scidex-supervisor", "scidex-recorder", "scidex-recorder-full", "scidex-db", "scidexctl")
# Programs of ours that may become orphans while a test goes on: daemons, and the children of daemons that were killed.
OWN_COMMS = (*(name[:15] for name in PROGRAMS), "scidex-measure")

# Children of ours that belong to no world: a database server, say. Whoever puts a pid here collects it.
OTHERS = set()

PR_SET_CHILD_SUBREAPER = 36


# --- the host


def program(name):
    """Absolute path of a program of ours; a missing one is an error, not a skip: then nothing is tested."""
    path = os.path.join(BUILD, "cmd", name)
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"{path}: not built (SCIDEX_BUILD={os.environ.get('SCIDEX_BUILD', 'unset')})")
    return path


def helper(name):
    """A program of tests/support/helpers."""
    for folder in ("tests/support", "tests/bench"):
        path = os.path.join(BUILD, folder, name)
        if os.access(path, os.X_OK):
            return path
    raise FileNotFoundError(f"helper {name}: not built in {BUILD}/tests/support")


def skip(reason):
    """Skips because this machine can never have it."""
    raise unittest.SkipTest("not here: " + reason)


def skip_missing(reason):
    """Skips because something is not installed; in the guest, where all is, the runner counts it as a failure."""
    raise unittest.SkipTest(reason)


@functools.cache
def cgroup_mount():
    """Mount point of cgroup2, None without one."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        for line in file:
            left, _, right = line.partition(" - ")
            if right.startswith("cgroup2 "):
                return left.split()[4]
    return None


def has_systemd():
    return os.path.isdir("/run/systemd/system")


def read_text(path, default=None):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        if default is None:
            raise
        return default


def write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def enable_controllers(directory):
    """Hands all controllers that directory has down to its children, one by one: one that refuses costs no other."""
    for name in read_text(os.path.join(directory, "cgroup.controllers"), "").split():
        with contextlib.suppress(OSError):
            write_text(os.path.join(directory, "cgroup.subtree_control"), "+" + name)


@functools.cache
def test_trees():
    """The cgroup directory below which each test makes its tree; None where this user may make none.

    Under systemd a unit with Delegate=yes that stays active without a process: systemd leaves its directory alone.
    """
    mount = cgroup_mount()
    if mount is None or os.geteuid() != 0 or not os.access(mount, os.W_OK):
        return None
    if not has_systemd():
        enable_controllers(mount)
        return mount
    unit = f"scidex-tests-{os.getpid()}.service"
    subprocess.run(
        ["systemd-run", "--quiet", "--collect", f"--unit={unit}", "--service-type=oneshot", "--remain-after-exit",
         "-p", "Delegate=yes", "-p", "TasksMax=infinity", "-p", "OOMPolicy=continue", "true"],
        check=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    slice_directory = os.path.join(mount, "system.slice")
    enable_controllers(mount)
    enable_controllers(slice_directory)
    directory = os.path.join(slice_directory, unit)
    os.makedirs(directory, exist_ok=True)
    enable_controllers(directory)
    return directory


def host_controllers():
    """Controllers that a tree of ours has on this machine."""
    parent = test_trees()
    return set() if parent is None else set(read_text(os.path.join(parent, "cgroup.subtree_control"), "").split())


def require(*what):
    """Skips the test where the machine can't have one of: memory-controller pids-controller cpu-controller
    io-controller groups root systemd bare disk strace user:NAME."""
    for name in what:
        kind, _, value = name.partition(":")
        if kind.endswith("-controller") and kind[: -len("-controller")] not in host_controllers():
            skip(f"the v2 tree has no {kind.replace('-', ' ')}")
        if kind == "groups" and test_trees() is None:
            skip("no cgroup can be made (no writable cgroup2, or not root)")
        if kind == "root" and os.geteuid() != 0:
            skip("not root")
        if kind == "systemd" and not has_systemd():
            skip("systemd is not the init")
        if kind == "bare" and has_systemd():
            skip("systemd is the init")
        if kind == "user":
            require_user(value)
        if kind == "disk" and not os.path.exists(disk_path()):
            skip_missing(f"no {disk_path()} (tests/vm/boot --disk, or $SCIDEX_TEST_DISK)")
        if kind == "strace" and shutil.which("strace") is None:
            skip_missing("strace is not installed")


def needs(*what):
    """Decorator: see require()."""

    def decorate(function):
        @functools.wraps(function)
        def wrapped(self, *args, **kwargs):
            require(*what)
            return function(self, *args, **kwargs)

        return wrapped

    return decorate


def needs_user(name):
    return needs(f"user:{name}")


def require_user(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        if IN_VM:
            skip_missing(f"no user {name}")
        skip(f"no user {name} on this machine")
    if os.geteuid() != 0:
        skip("only root can become another user")


def disk_path():
    """A block device whose pages can be thrown out and read again (tmpfs, all that the guest has else, can't)."""
    return os.environ.get("SCIDEX_TEST_DISK", "/dev/nvme0n1")


# --- waiting


def deadline(seconds):
    """A bound that only guards against a hang, on the machine we are on."""
    return seconds * SLOW


def eventually(condition, timeout=10, what=None, every=0.01):
    """Waits until condition() is true and returns it. Only for what has no fd to wait for. timeout: see deadline()."""
    end = time.monotonic() + deadline(timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline(timeout):g} s: {what or getattr(condition, '__doc__', condition)}")
        time.sleep(every)


def wait_readable(fd, timeout):
    """Whether fd (a pidfd, a pipe) became readable within deadline(timeout)."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(deadline(timeout) * 1000))


@contextlib.contextmanager
def pidfd(pid):
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        os.close(fd)


# --- processes


def process_state(pid):
    """R S D T Z …, or None when there is no such process."""
    text = read_text(f"/proc/{pid}/stat", "")
    return text.rpartition(")")[2].split()[0] if text else None


def process_comm(pid):
    return read_text(f"/proc/{pid}/comm", "").rstrip("\n")


def process_parent(pid):
    text = read_text(f"/proc/{pid}/stat", "")
    return int(text.rpartition(")")[2].split()[1]) if text else None


def is_alive(pid):
    """Runs, sleeps or is stopped; a zombie is not alive."""
    return process_state(pid) not in (None, "Z", "X")


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children_of(pid):
    return [other for other in all_pids() if process_parent(other) == pid]


def processes_with_environment(assignment):
    """Pids of processes whose environment, at exec, had NAME=VALUE."""
    found = []
    needle = assignment.encode()
    for pid in all_pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if needle in file.read().split(b"\0"):
                    found.append(pid)
        except OSError:
            continue
    return found


def describe_process(pid):
    command = read_text(f"/proc/{pid}/cmdline", "").replace("\0", " ").strip()
    return f"{pid} ({process_comm(pid)}, state {process_state(pid)}, parent {process_parent(pid)}): {command[:160]}"


def become_subreaper():
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def group_processes(directory):
    """All pids of a cgroup and those below it."""
    pids = []
    for place, _, _ in os.walk(directory):
        with contextlib.suppress(OSError):
            pids += [int(pid) for pid in read_text(os.path.join(place, "cgroup.procs")).split()]
    return pids


# --- the protocol (docs/protocol.md)


class ProtocolError(Exception):
    """A reply with ok false. .code .message .hint .packet"""

    def __init__(self, packet):
        error = packet.get("error") or {}
        self.packet, self.code, self.message = packet, error.get("code"), error.get("message")
        self.hint = error.get("hint")
        super().__init__(f"{self.code}: {self.message} ({self.hint})")


class Client:
    """One connection: one packet is one JSON object."""

    def __init__(self, path, timeout=20):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(deadline(timeout))
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.socket.close()

    def send(self, packet):
        self.socket.send(json.dumps(packet).encode())

    def receive(self):
        """The next packet, None at the end of the connection."""
        data, fds, _, _ = socket.recv_fds(self.socket, 1 << 17, 8)
        for fd in fds:
            os.close(fd)
        return json.loads(data) if data else None

    def call(self, op, **members):
        """One request, one reply."""
        self.send({"v": 1, "op": op, **members})
        reply = self.receive()
        if reply is None:
            raise ConnectionError(f"{op}: the server ended the connection")
        if not reply.get("ok"):
            raise ProtocolError(reply)
        return reply

    def rows(self, op, **members):
        """One request, a reply of rows."""
        self.send({"v": 1, "op": op, **members})
        rows = []
        while True:
            reply = self.receive()
            if reply is None:
                raise ConnectionError(f"{op}: the server ended the connection after {len(rows)} rows")
            if "row" in reply:
                rows.append(reply["row"])
            elif reply.get("ok"):
                if reply.get("count") != len(rows):
                    raise AssertionError(f"{op}: {len(rows)} rows, but count is {reply.get('count')}")
                return rows
            else:
                raise ProtocolError(reply)


# --- launches


class Result:
    """How one launch ended: status as a shell would say it, signal the launcher itself died of (or None), output, times."""

    def __init__(self, returncode, stdout, stderr, seconds, report):
        self.status = returncode if returncode >= 0 else 128 - returncode
        self.died_of = -returncode if returncode < 0 else None
        self.stdout, self.stderr, self.seconds, self.report = stdout, stderr, seconds, report

    @property
    def run(self):
        """The run object of --report."""
        return self.report.get("run", self.report) if self.report else None

    def __str__(self):
        verdict = f", verdict {self.run.get('verdict')} ({self.run.get('detail')})" if self.run else ""
        return f"status {self.status}{verdict}, {self.seconds:.2f} s\nstdout: {self.stdout[:2000]!r}\nstderr: {self.stderr[:4000]}"


class Launch:
    """A scidex-run that goes on. Its stdout is a pipe that read_line() reads; stderr goes to a file."""

    def __init__(self, world, command, environment, report, **options):
        self.world, self.report_path = world, report
        self.errors = tempfile.TemporaryFile(dir=world.directory)
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, stderr=self.errors, env=environment, bufsize=0, **options)
        self.pid = self.process.pid
        self.pidfd = os.pidfd_open(self.pid)
        self.output = b""
        self.result = None

    def read_line(self, timeout=20):
        """The next line of the run's stdout, without its newline: what a run says when it has got somewhere."""
        fd = self.process.stdout.fileno()
        while b"\n" not in self.output:
            if not wait_readable(fd, timeout):
                raise AssertionError(f"no line within {deadline(timeout):g} s; stderr: {self.stderr()}")
            data = os.read(fd, 65536)
            if not data:
                raise AssertionError(f"stdout ended after {self.output!r}; stderr: {self.stderr()}")
            self.output += data
        line, _, self.output = self.output.partition(b"\n")
        return line.decode()

    def stderr(self):
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode(errors="replace")

    def signal(self, number):
        signal.pidfd_send_signal(self.pidfd, number)

    def wait(self, timeout=60):
        if self.result is not None:
            return self.result
        chunks = [self.output]
        fd = self.process.stdout.fileno() if self.process.stdout else None
        end = time.monotonic() + deadline(timeout)
        # First to the launcher's end; then what is in the pipe, without waiting for others who hold it.
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if fd is not None:
            poll.register(fd, select.POLLIN)
        ended = None
        while ended is None:
            ready = [number for number, _ in poll.poll(max(0, end - time.monotonic()) * 1000)]
            if not ready:
                raise AssertionError(f"scidex-run {self.pid} did not end within {deadline(timeout):g} s; stderr: {self.stderr()}")
            if fd in ready:
                data = os.read(fd, 1 << 20)
                chunks.append(data)
                if not data:
                    poll.unregister(fd)
            elif self.pidfd in ready:
                ended = time.monotonic()
        if fd is not None:
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(fd, 1 << 20):
                    chunks.append(data)
        self.process.wait()
        self.result = Result(self.process.returncode, b"".join(chunks), self.stderr(), ended - self.started, self.report())
        self.close()
        return self.result

    def report(self):
        text = read_text(self.report_path, "") if self.report_path else ""
        return json.loads(text) if text else None

    def close(self):
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
            self.errors.close()
            if self.process.stdout:
                self.process.stdout.close()
            if self.process.stdin:
                self.process.stdin.close()

    def run_id(self):
        """From the supervisor's list, by the launcher's pid."""
        return self.run()["run_id"]

    def run(self):
        def found():
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                # The run may speak before its launcher has told its pid.
                return next((row for row in self.world.list() if row["launcher_pid"] == self.pid and row["pid"]), None)

        return eventually(found, 10, f"a run of launcher {self.pid} in the list")

    def main_pid(self):
        return eventually(lambda: self.run()["pid"], 10, "the run has a main process")


class World:
    """A supervisor's surroundings of one test's own. OWNER: the user they belong to (None: who we are)."""

    def __init__(self, owner=None, tree=True, memory=True):
        self.test_id = secrets.token_hex(8)
        self.mark = f"SCIDEX_TEST={self.test_id}"
        # Short: a socket's path has 108 bytes.
        self.directory = tempfile.mkdtemp(prefix="sx-", dir="/tmp")
        self.runtime = os.path.join(self.directory, "run")
        self.state = os.path.join(self.directory, "state")
        self.socket = os.path.join(self.runtime, "control")
        self.database = os.path.join(self.state, "scidex", "spool.sqlite")
        for path in (self.runtime, self.state):
            os.mkdir(path, 0o700)
        self.launches, self.mounts, self.supervisors, self.faults = [], [], set(), []
        self.programs = self.daemon = None
        self.tree_parent, self.tree = None, None
        if tree and test_trees() is not None:
            self.make_tree(memory)
        if owner is not None:
            self.give_to(owner)

    def make_tree(self, memory):
        """An own directory for the tree, inside one more if the memory controller is to be missing in it."""
        name = "sx-" + self.test_id
        self.tree_parent = os.path.join(test_trees(), name)
        os.mkdir(self.tree_parent)
        if memory:
            enable_controllers(self.tree_parent)
        self.tree = os.path.join(self.tree_parent, "tree")
        os.mkdir(self.tree)

    def give_to(self, owner):
        entry = pwd.getpwnam(owner)
        os.chmod(self.directory, 0o755)
        for path in (self.directory, self.runtime, self.state):
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def environment(self, **extra):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SCIDEX_")}
        environment.update(
            SCIDEX_TEST=self.test_id,
            SCIDEX_SOCKET=self.socket,
            XDG_RUNTIME_DIR=self.runtime,
            XDG_STATE_HOME=self.state,
            XDG_CONFIG_HOME=self.directory,
            NO_COLOR="1",
            SCIDEX_HTTP_LISTEN="no",  # else all of them, as root, would ask for the port of the machine's own
        )
        if self.tree:
            environment["SCIDEX_TREE"] = self.tree
        for key, value in extra.items():
            if value is None:
                environment.pop(key, None)
            else:
                environment[key] = value
        return environment

    # Programs

    def program(self, name):
        return os.path.join(self.programs, name) if self.programs else program(name)

    def copy_programs(self):
        """From now on this world's own copies, so that a test can make one unavailable."""
        self.programs = os.path.join(self.directory, "bin")
        os.mkdir(self.programs, 0o755)
        for name in PROGRAMS:
            if os.path.exists(os.path.join(BUILD, "cmd", name)):
                shutil.copy2(program(name), self.programs)

    # Launches

    def start(self, *arguments, report=True, prefix=(), env=None, **options):
        path = os.path.join(self.directory, f"report-{len(self.launches)}.json") if report else None
        command = [*prefix, self.program("scidex-run")]
        if path:
            command += ["--report", path]
        command += [str(argument) for argument in arguments]
        launch = Launch(self, command, self.environment(**(env or {})), path, **options)
        self.launches.append(launch)
        return launch

    def run(self, *arguments, input=None, timeout=60, **options):
        """One launch, waited for. INPUT: bytes for its stdin."""
        if input is not None:
            options["stdin"] = subprocess.PIPE
        launch = self.start(*arguments, **options)
        if input is not None:
            launch.process.stdin.write(input)
            launch.process.stdin.close()
        return launch.wait(timeout)

    # The supervisor

    def client(self):
        return Client(self.socket)

    def record_client(self):
        return Client(os.path.join(self.runtime, "record"))

    def status(self):
        with self.client() as client:
            return client.call("status")["status"]

    def supervisor_pid(self):
        """Of the supervisor that answers; None when none does."""
        try:
            pid = self.status()["pid"]
        except (OSError, ProtocolError):
            return None
        self.supervisors.add(pid)
        return pid

    def recorder_pid(self):
        supervisor = self.supervisor_pid()
        return next((pid for pid in children_of(supervisor) if process_comm(pid) == "scidex-recorder"), None)

    def list(self):
        with self.client() as client:
            return client.rows("list")

    def show(self, run):
        with self.client() as client:
            return client.call("show", run=run)["run"]

    def kill(self, run):
        with self.client() as client:
            return client.call("kill", run=run)["runs"]

    def start_daemon(self, *arguments, env=None, prefix=()):
        """A supervisor that does not end by itself when it is idle (--daemon), ready for connections.

        PREFIX: a program that executes it. A launcher that has lost the last supervisor may be quicker and start a private
        one: then that one serves.
        """
        before = len(self.daemon_log())
        errors = open(os.path.join(self.directory, "daemon.log"), "ab")
        with errors:
            process = subprocess.Popen(
                [*prefix, self.program("scidex-supervisor"), "--daemon", *arguments],
                env=self.environment(**(env or {})),
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
            )  # fmt: skip
        self.daemon = process

        def ready():
            if process.poll() is not None and not self.is_another_there(self.daemon_log()[before:]):
                raise AssertionError(f"scidex-supervisor ended with {process.returncode}: {self.daemon_log()}")
            return self.supervisor_pid()

        eventually(ready, 10, "the supervisor answers")
        return process

    def is_another_there(self, log):
        """Whether a supervisor that ended says that another one was quicker: it has the tree or, without one, the socket."""
        return "another supervisor holds" in log or "can't bind the control socket: Address already in use" in log

    def daemon_log(self):
        return read_text(os.path.join(self.directory, "daemon.log"), "")

    def stop_supervisor(self, number=signal.SIGTERM):
        """Ends the supervisor by its pid and waits for it, and for its children. False when there was none."""
        # One that answered before may have failed at just this question.
        known = [other for other in self.supervisors if is_alive(other) and process_comm(other) in OWN_COMMS and self.is_ours(other)]
        pid = self.supervisor_pid() or next(iter(known), None)
        if pid is None:
            return False
        children = [child for child in children_of(pid) if process_comm(child) in OWN_COMMS]
        with pidfd(pid) as fd:
            signal.pidfd_send_signal(fd, number)
            if not wait_readable(fd, 15):
                raise AssertionError(f"the supervisor did not end {deadline(15):g} s after signal {number}")
        self.collect(pid)
        for child in children:
            if process_comm(child) == "scidex-measure":  # is killed when its parent has ended: no status to look at
                eventually(lambda child=child: not is_alive(child), 15, "what reads for the supervisor ends with it")
            else:
                eventually(lambda child=child: self.collect(child) or not is_alive(child), 15, "the recorder ends with its supervisor")
        return True

    def collect(self, pid):
        """reap() of a program of ours that was asked to end: any status but 0 is a fault (99 is a sanitizer's)."""
        try:
            collected, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return process_state(pid) is None
        if collected == pid and status != 0:
            self.faults.append(f"a daemon ended with {os.waitstatus_to_exitcode(status)}: {self.logs()[-2000:]}")
        return collected == pid

    def logs(self):
        """What the supervisors of this world said, and their recorders."""
        text = self.daemon_log()
        for place, _, names in os.walk(self.state):
            text += "".join(read_text(os.path.join(place, name), "") for name in names if name.endswith(".log"))
        return text

    # The record

    def history(self, **members):
        with self.record_client() as client:
            return client.rows("history", **members)

    def events(self, **members):
        """Of a run that is not in the record (yet): none."""
        with self.record_client() as client:
            try:
                return client.rows("events", **members)
            except ProtocolError as error:
                if error.code == "not-found":
                    return []
                raise

    def why(self, run):
        with self.record_client() as client:
            return client.call("why", run=run)

    def storage(self):
        with self.record_client() as client:
            return client.call("storage")["storage"]

    def database_path(self):
        """Where the record lies, as the recorder says; as we asked where none answers."""
        try:
            return self.storage()["path"]
        except (OSError, ProtocolError, KeyError):
            return self.database

    def sql(self, statement, *values):
        """Reads the record itself, beside the recorder: what is really in the file."""
        connection = sqlite3.connect(f"file:{self.database_path()}?mode=ro", uri=True, timeout=deadline(5))
        with contextlib.closing(connection):
            return connection.execute(statement, values).fetchall()

    def count_rows(self, table, run_id):
        return self.sql(f"SELECT count(*) FROM {table} WHERE run_id = ?", run_id)[0][0]

    # Groups

    def groups(self):
        """Names of the groups of runs in the tree."""
        if not self.tree or not os.path.isdir(self.tree):
            return []
        return [
            name
            for name in os.listdir(self.tree)
            if name != "supervisor" and os.path.isdir(os.path.join(self.tree, name))
        ]

    # Mounts

    def mount_tmpfs(self, path, size, *options):
        subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", "mode=700", *options]), "tmpfs", path], check=True)
        self.mounts.append(path)

    # The end

    def finish(self):
        """Ends everything and returns what should not have been there."""
        problems = self.end_launches() + self.wait_for_groups() + self.end_supervisors()
        problems += self.end_processes() + self.reap_adopted() + self.remove_tree() + self.faults
        # A recorder that its supervisor collected leaves no status to us.
        problems += [line for line in self.logs().splitlines() if "Sanitizer" in line or "runtime error:" in line]
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", path], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
        return problems

    def end_launches(self):
        problems = []
        for launch in self.launches:
            if launch.result is None and launch.process.poll() is None:
                problems.append(f"a launcher was left running: {describe_process(launch.pid)}")
                launch.process.kill()
            launch.process.wait()
            launch.close()
        return problems

    def wait_for_groups(self):
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self.groups(), 3)
        return [f"a group was left: {name}: {group_processes(os.path.join(self.tree, name))}" for name in self.groups()]

    def end_supervisors(self):
        problems = []
        try:
            # One that a launcher has started beside it may have been slower to come, and be the next.
            while self.end_supervisor():
                pass
        except (AssertionError, OSError) as error:
            problems.append(str(error))
        for pid in self.supervisors:
            if is_alive(pid) and process_comm(pid) in OWN_COMMS and self.is_ours(pid):
                problems.append(f"a supervisor was left: {describe_process(pid)}")
                os.kill(pid, signal.SIGKILL)
        if self.daemon:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.daemon.wait(deadline(5))
        return problems

    def end_supervisor(self):
        """Ends the one that answers, or will. False when there is none."""
        # A launcher that was ended while it started one leaves it: it does not answer yet, and would not end well now.
        with contextlib.suppress(AssertionError):
            eventually(lambda: self.supervisor_pid() or not self.is_one_starting(), 5)
        # A daemon behind a private one that a launcher was quicker to start waits, and would be the next.
        if self.daemon and self.daemon.poll() is None and self.supervisor_pid() not in (None, self.daemon.pid):
            self.daemon.kill()
            self.daemon.wait()
        return self.stop_supervisor()

    def is_one_starting(self):
        """Whether a program of ours is there, or has just begun to be one: in the middle of an exec it has no environment."""

        def may_be_ours(pid):
            environment = read_text(f"/proc/{pid}/environ", "")
            return not environment or self.mark in environment.split("\0")

        return any(is_alive(pid) and process_comm(pid) in OWN_COMMS for pid in filter(may_be_ours, adopted() + self.ours()))

    def is_ours(self, pid):
        return self.test_id in read_text(f"/proc/{pid}/environ", "") or process_parent(pid) == os.getpid()

    def ours(self):
        return [pid for pid in processes_with_environment(self.mark) if pid != os.getpid()]

    def end_processes(self):
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self.ours(), 3)
        problems = []
        for pid in self.ours():
            problems.append(f"a process was left: {describe_process(pid)}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return problems

    def reap_adopted(self):
        """Collects what lost its parent to us. A launcher that lived had to do that itself: its zombies are a fault."""
        problems = []
        for pid in adopted():
            comm = process_comm(pid)
            if is_alive(pid):
                problems.append(f"an adopted process was left: {describe_process(pid)}")
                os.kill(pid, signal.SIGKILL)
            elif comm not in OWN_COMMS and not self.may_leave_zombies:
                problems.append(f"a zombie was left to others: {pid} ({comm})")
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        return problems

    # A test that kills a launcher says so: then nobody else could collect the run's processes.
    may_leave_zombies = False

    def remove_tree(self):
        if not self.tree_parent:
            return []
        with contextlib.suppress(OSError):
            write_text(os.path.join(self.tree_parent, "cgroup.kill"), "1")
        for place, names, _ in os.walk(self.tree_parent):
            for name in names:
                with contextlib.suppress(OSError):
                    os.chmod(os.path.join(place, name), 0o755)

        def removed():
            for place, _, _ in os.walk(self.tree_parent, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(place)
            return not os.path.isdir(self.tree_parent)

        try:
            eventually(removed, 5)
        except AssertionError:
            return [f"the tree could not be removed: {self.tree_parent}"]
        return []


def known_children():
    """Pids that a Popen of ours will collect."""
    return OTHERS | {process.pid for process in subprocess._active} | {
        launch.pid for world in ScidexTest.worlds for launch in world.launches
    } | {world.daemon.pid for world in ScidexTest.worlds if world.daemon}


def adopted():
    known = known_children()
    return [pid for pid in children_of(os.getpid()) if pid not in known]


def reap(pid):
    """Collects pid if it is a zombie of ours. Whether it is gone."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return process_state(pid) is None


# --- the base of all tests


class ScidexTest(unittest.TestCase):
    maxDiff = None
    worlds = []

    @classmethod
    def setUpClass(cls):
        become_subreaper()

    def setUp(self):
        self.problems = []
        ScidexTest.worlds = []
        self.world = None

    def new_world(self, **options):
        world = World(**options)
        ScidexTest.worlds.append(world)
        if self.world is None:
            self.world = world
        return world

    def tearDown(self):
        for world in ScidexTest.worlds:
            self.problems += world.finish()
        ScidexTest.worlds = []
        if self.problems:
            self.fail("left behind:\n  " + "\n  ".join(self.problems))

    # Short forms: the first use makes the world.

    def here(self):
        return self.world or self.new_world()

    def run_scidex(self, *arguments, **options):
        return self.here().run(*arguments, **options)

    def start_scidex(self, *arguments, **options):
        return self.here().start(*arguments, **options)

    # What tests say over and over

    def assert_status(self, result, status):
        self.assertEqual(result.status, status, result)

    def assert_verdict(self, result, verdict, detail=None):
        self.assertIsNotNone(result.run, result)
        self.assertEqual(result.run["verdict"], verdict, result)
        if detail is not None:
            self.assertIn(detail, result.run["detail"] or "", result)

    def assert_gone(self, pids, timeout=5):
        """Not even as zombies, unless they are ours to collect."""
        adopted_now = set()

        def gone():
            adopted_now.update(pid for pid in pids if process_parent(pid) == os.getpid())
            return not [pid for pid in pids if process_state(pid) is not None and pid not in adopted_now] and not [
                pid for pid in pids if is_alive(pid)
            ]

        try:
            eventually(gone, timeout)
        except AssertionError:
            self.fail("still there: " + "; ".join(describe_process(pid) for pid in pids if process_state(pid)))

    def kill_supervisor(self):
        """kill -9, and its recorder's end. Its pid."""
        pid, recorder = self.world.supervisor_pid(), self.world.recorder_pid()
        with pidfd(pid) as fd:
            os.kill(pid, signal.SIGKILL)
            self.assertTrue(wait_readable(fd, 10))
        reap(pid)
        if recorder:
            eventually(lambda: reap(recorder) or not is_alive(recorder), 15, "the recorder ends with its supervisor")
        return pid

    def assert_backstop(self, run):
        """The supervisor stands still, and the main process is killed all the same."""
        with pidfd(self.world.supervisor_pid()) as supervisor, pidfd(run["pid"]) as main:
            signal.pidfd_send_signal(supervisor, signal.SIGSTOP)
            try:
                self.assertTrue(wait_readable(main, 30), "the backstop did not kill")
            finally:
                signal.pidfd_send_signal(supervisor, signal.SIGCONT)

    def assert_recorded(self, run_id, verdict, events=None, world=None):
        """Exactly one row for the run, and, of its events, exactly those reasons; in the file itself too. Returns (run, events)."""
        world = world or self.world
        events = [verdict] if events is None else events

        def rows():
            return [row for row in world.history() if row["run_id"] == run_id]

        # Rows of runs are written behind, by at most a second.
        eventually(rows, 5, f"a row of run {run_id} in the record")
        found = rows()
        self.assertEqual(len(found), 1, found)
        self.assertEqual(found[0]["verdict"], verdict, found[0])
        recorded = world.events(run=run_id)
        self.assertEqual(sorted(event["reason"] for event in recorded), sorted(events), recorded)
        self.assertEqual(len({event["event_id"] for event in recorded}), len(recorded))
        self.assertEqual(sorted(event["seq"] for event in recorded), list(range(1, len(recorded) + 1)))
        self.assertEqual(world.count_rows("watchdog_runs", run_id), 1)
        self.assertEqual(world.count_rows("watchdog_events", run_id), len(events))
        self.assertEqual(world.count_rows("watchdog_processes", run_id), 0)
        return found[0], recorded


def parse_time(text):
    """RFC 3339 in UTC to seconds since 1970."""
    import datetime

    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def seconds_between(earlier, later):
    return parse_time(later) - parse_time(earlier)


class Pump:
    """Bytes made without a file and compared without keeping them: block i is the SHA-512 of i, repeated."""

    BLOCK = 1 << 20

    def __init__(self, total):
        self.total = total

    def blocks(self):
        for index in range(self.total // self.BLOCK):
            yield hashlib.sha512(index.to_bytes(8, "big")).digest() * (self.BLOCK // 64)

    def digest(self):
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block)
        return digest.hexdigest()


def is_errno(error, *numbers):
    return isinstance(error, OSError) and error.errno in {getattr(errno, name) for name in numbers}
