"""What the tests of system/ share: the installed service, ordinary users, and the check that each test leaves it well.

They run in a guest under systemd in which `meson install` has put everything in place (tests/vm/run --init system), and
nowhere else: they start and kill the machine's own scidex-supervisor. A test derives from SystemTest; `self.world` is a
Service, which has the verbs of scidextest.World: `self.world.start(…, user="alice")` is a launch that goes on,
`self.world.run(…)` one waited for, `list`, `show`, `kill`, `history`, `events`, `why` ask as root.

Users: alice and bob are in the group scidex, dave is in scidex-admin, mallory in neither.

The quota of the supervisor's processor time is lifted, unless a test's class says `as_shipped = True`: emulated, a start
takes half a second of it, so 5 s under the quota.

After every test the units must be active and answer, and no run, group or process of the test be left; the next test
starts from there, with the same record: look rows up by run id, never count all.
"""

import contextlib
import functools
import grp
import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile

from scidextest import (  # noqa: F401
    REPO,
    Client,
    Launch,
    ScidexTest,
    World,
    children_of,
    deadline,
    eventually,
    group_processes,
    has_systemd,
    is_alive,
    pidfd,
    process_comm,
    read_text,
    skip,
    wait_readable,
    write_text,
)

SUPERVISOR = "scidex-supervisor.service"
SOCKET = "scidex-supervisor.socket"
KEEPER = "scidex-keeper.service"
DRAIN = "scidex-drain.service"
UNITS = (KEEPER, DRAIN, SOCKET, SUPERVISOR)

RUNTIME = "/run/scidex"
STATE = "/var/lib/scidex"

# Of those that the image has not (tests/vm/image) the accounts are made.
USERS = {"alice": ["scidex"], "bob": ["scidex"], "dave": ["scidex-admin"], "mallory": []}


# --- systemd


def command(*words, check=True, **options):
    """A program waited for, its output as text."""
    done = subprocess.run(
        [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, words))}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def systemctl(*words, check=True):
    return command("systemctl", *words, check=check)


def unit_property(unit, name):
    return systemctl("show", "--property", name, "--value", unit).stdout.rstrip("\n")


def unit_state(unit):
    return unit_property(unit, "ActiveState")


def main_pid(unit):
    """0 when the unit has no process."""
    return int(unit_property(unit, "MainPID"))


def unit_cgroup(unit):
    """Directory of the unit's cgroup; None when it has none."""
    path = unit_property(unit, "ControlGroup")
    return "/sys/fs/cgroup" + path if path else None


def journal(*matches, cursor=None):
    """The journal's entries, oldest first. Matches as of journalctl: NAME=VALUE."""
    command("journalctl", "--sync")
    words = ["journalctl", "--output=json", "--no-pager", "--quiet", *matches]
    if cursor:
        # Not --after-cursor: with matches it leaves out the first entry that matches, unless that is the cursor's.
        words.append(f"--cursor={cursor}")
    entries = [json.loads(line) for line in command(*words).stdout.splitlines()]
    return [entry for entry in entries if entry["__CURSOR"] != cursor]


def journal_cursor():
    command("journalctl", "--sync")
    entries = command("journalctl", "--output=json", "--lines=1", "--no-pager", "--quiet").stdout
    return json.loads(entries)["__CURSOR"] if entries else None


# --- users


def as_user(name):
    """Arguments of subprocess that make a child of that user's: uids, gids and supplementary groups are all the user's."""
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": supplementary_groups(name)}


def supplementary_groups(name):
    return [group.gr_gid for group in grp.getgrall() if name in group.gr_mem]


def user_environment(name, **extra):
    """As after a login, but without a session: no XDG_RUNTIME_DIR."""
    entry = pwd.getpwnam(name)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": entry.pw_dir,
        "USER": name,
        "LOGNAME": name,
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "PYTHONPATH": os.path.join(REPO, "tests", "support"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "SCIDEX_VM": os.environ.get("SCIDEX_VM", ""),
    }
    return environment | extra


def run_as(name, *words, check=False, env=None, **options):
    """A program run by that user, waited for."""
    options.setdefault("cwd", "/")
    return command(*words, check=check, env=user_environment(name, **(env or {})), **as_user(name), **options)


def python_as(name, source, *arguments, **options):
    """A Python program run by that user; it may import scidextest."""
    return run_as(name, "python3", "-c", source, *arguments, **options)


def connect_as(name, path=f"{RUNTIME}/control"):
    """A Client whose connection is that user's for the server (SO_PEERCRED, SO_PEERGROUPS).

    What is sent then has root's SCM_CREDENTIALS and our pid: where that matters use python_as.
    """
    entry, groups = pwd.getpwnam(name), os.getgroups()
    os.setgroups(supplementary_groups(name))
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    try:
        return Client(path)
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


# --- installation


@functools.cache
def install():
    """What docs/operations.md has an admin do after `meson install`; and the users of the tests."""
    if not has_systemd() or os.environ.get("SCIDEX_VM") != "1" or shutil.which("scidex-run") is None:
        skip("only in a guest under systemd with scidex installed (tests/vm/run --init system)")
    command("systemd-sysusers")
    command("systemd-tmpfiles", "--create", "scidex.conf")
    for name, groups in USERS.items():
        try:
            pwd.getpwnam(name)
        except KeyError:
            command("useradd", "--create-home", "--shell", "/bin/bash", name)
        for group in groups:
            command("gpasswd", "--add", name, group)
    systemctl("daemon-reload")
    systemctl("enable", "--quiet", SUPERVISOR)


@functools.cache
def quota_now():
    """[whether the supervisor's unit has its quota]; a list, to be changed."""
    return [True]


def set_quota(on):
    if quota_now() != [on]:
        systemctl("set-property", "--runtime", SUPERVISOR, "CPUQuota=10%" if on else "CPUQuota=")
        quota_now()[0] = on


# --- the service


class Service(World):
    """The machine's own scidex. Owns what one test starts in it, and nothing else."""

    def __init__(self):
        self.test_id = secrets.token_hex(8)
        self.mark = f"SCIDEX_TEST={self.test_id}"
        self.directory = tempfile.mkdtemp(prefix="sx-", dir="/tmp")
        os.chmod(self.directory, 0o1777)
        self.runtime, self.state = RUNTIME, STATE
        self.socket = f"{RUNTIME}/control"
        self.database = f"{STATE}/spool.sqlite"
        self.launches, self.mounts, self.supervisors, self.faults = [], [], set(), []
        self.daemon = None
        self.cursor = journal_cursor()

    def environment(self, user="root", **extra):
        return user_environment(user, SCIDEX_TEST=self.test_id, **extra)

    def program(self, name):
        return shutil.which(name)

    def start(self, *arguments, user="alice", report=True, prefix=(), env=None, **options):
        """scidex-run with these arguments, as that user."""
        path = os.path.join(self.directory, f"report-{len(self.launches)}.json") if report else None
        words = [*prefix, self.program("scidex-run")]
        if path:
            words += ["--report", path]
        words += [str(argument) for argument in arguments]
        options = as_user(user) | {"cwd": "/"} | options
        launch = Launch(self, words, self.environment(user, **(env or {})), path, **options)
        self.launches.append(launch)
        return launch

    def ctl(self, *words, user="root", check=True):
        """scidexctl, as that user."""
        return run_as(user, self.program("scidexctl"), *words, check=check)

    def ctl_json(self, *words, user="root"):
        """What scidexctl --json says, whatever its status."""
        return json.loads(self.ctl(*words, "--json", user=user, check=False).stdout)

    # Units

    def start_units(self):
        done = systemctl("start", *UNITS, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr + "\n".join(self.unit_log()))
        self.wait_ready()

    def start_service(self):
        systemctl("start", SUPERVISOR)
        self.wait_ready()

    def stop_service(self):
        """Until start_service(): without the socket's unit the next client would start it."""
        systemctl("stop", SOCKET)

    def restart_service(self):
        systemctl("restart", SUPERVISOR)
        return self.wait_ready()

    def kill_service(self, number=signal.SIGKILL):
        """Sends the signal to the supervisor's process and returns its pid when it has ended."""
        pid = main_pid(SUPERVISOR)
        with pidfd(pid) as fd:
            signal.pidfd_send_signal(fd, number)
            if not wait_readable(fd, 10):
                raise AssertionError(f"the supervisor {pid} did not end by signal {number}")
        return pid

    def wait_ready(self, other_than=None):
        """Pid of a supervisor that answers, and is not other_than."""

        def answers():
            pid = self.supervisor_pid()
            return pid if pid != other_than else None

        return eventually(answers, 10, "the supervisor answers")

    def journal(self, *matches):
        """What the journal got since the test began."""
        return journal(*matches, cursor=self.cursor)

    def unit_log(self, unit=SUPERVISOR):
        """What the unit's processes said, and what systemd said about it."""
        return [str(entry.get("MESSAGE")) for entry in self.journal(f"_SYSTEMD_UNIT={unit}", "+", f"UNIT={unit}")]

    # Groups

    def tree_path(self):
        return unit_cgroup(KEEPER)

    def groups(self):
        tree = self.tree_path()
        if not tree:
            return []
        names = [name for name in os.listdir(tree) if os.path.isdir(os.path.join(tree, name))]
        return [name for name in names if name not in ("keeper", "supervisor") and not name.startswith(".")]

    # The end

    def finish(self):
        problems = self.end_launches() + self.check_units() + self.wait_for_groups()
        problems += self.end_processes() + self.reap_adopted() + self.faults
        shutil.rmtree(self.directory, ignore_errors=True)
        return problems

    def check_units(self):
        problems = [f"{unit} was left {state}" for unit in UNITS if (state := unit_state(unit)) != "active"]
        try:
            self.start_units()
        except AssertionError as error:
            problems.append(str(error))
        return problems

    def wait_for_groups(self):
        with contextlib.suppress(AssertionError):
            eventually(lambda: not self.groups(), 3)
        tree = self.tree_path()
        return [f"a group was left: {name}: {group_processes(os.path.join(tree, name))}" for name in self.groups()]


class SystemTest(ScidexTest):
    as_shipped = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        install()
        set_quota(cls.as_shipped)

    def setUp(self):
        super().setUp()
        self.world = Service()
        ScidexTest.worlds.append(self.world)
        self.world.start_units()
