#!/usr/bin/python3
"""What one short launch costs: scidex-run beside its peers, in one run on one machine.

    tests/bench/launch.py [--rounds N] [--json FILE] [--check]

The command is `true`, so that what is measured is the wrapper. The peers take turns (A B C A B C …), since a machine's
speed drifts; launch-bench, in C, starts and times them. Medians and quartiles, and the ratios to the bare command and to
coreutils `timeout`: under emulation only the ratios mean something. What a machine lacks is left out and said.

The floor is one program that does what a run in a cgroup needs and nothing else (launch-floor.c); once dynamic, as the
measured `true` is, and once static. scidex-run is measured with a running supervisor as root, as a user whose process the
supervisor has to move into its group, with a record on a real disk, and as the first launch of all.

--check fails where a promise is broken. Called so by ./check in the guest, where all peers are.
"""

import contextlib
import json
import os
import pwd
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

import figures
import scidextest
from scidextest import Client, World, helper, host_controllers, pidfd, program, read_text, wait_readable

COMMAND = "/bin/true"
OURS = "scidex-run, supervisor running"
FLOOR, STATIC_FLOOR, SYSTEMD_SCOPE = "floor (dynamic)", "floor (static)", "systemd-run --scope"
SYSTEMD_LIMITS = ("-p", "MemoryMax=2G", "-p", "RuntimeMaxSec=1800")
RUNEXEC_TIMES_BARE = 55  # not packaged: 1,235 ms where bare was 22, in a guest like ours
# Peer or row, the most that ours may be of it, what is to be said of it. Checked emulated only: see judge().
PROMISES = (
    ("coreutils timeout", 1.0, ""),
    (FLOOR, 1.1, ", its command dynamic as true is"),
    (SYSTEMD_SCOPE, 1 / 3, ""),
    ("bare", RUNEXEC_TIMES_BARE / 20, f": a 20th of runexec, which took {RUNEXEC_TIMES_BARE} x bare in an older guest"),
)


def ordinary_user():
    """Somebody who is not root and is on every machine."""
    for name in ("alice", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def is_on_disk(path):
    """Whether the file system that PATH is on has a block device (that is what an fsync waits for)."""
    device = os.stat(path).st_dev
    return os.path.exists(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")


def environment_words(world, runtime=None, tree=None):
    """NAME=VALUE for launch-bench: of a launch in that world, or in a place and a tree inside it."""
    runtime, tree = runtime or world.runtime, tree or world.tree
    return [f"SCIDEX_TEST={world.test_id}", f"SCIDEX_SOCKET={runtime}/control", f"XDG_STATE_HOME={runtime}", *([f"SCIDEX_TREE={tree}"] if tree else [])]


class Bench:
    def __init__(self, rounds, report):
        self.rounds, self.report = rounds, report
        self.entries = {}
        self.worlds = []
        self.cold, self.warm = self.world(), self.world()
        self.cold_places = []
        self.directory = tempfile.mkdtemp(prefix="sx-", dir="/tmp")
        self.mounted = None

    def world(self, **options):
        self.worlds.append(World(**options))
        return self.worlds[-1]

    def add(self, name, *words, environment=(), user=None):
        self.entries[name] = [*([f"@{user.pw_uid}:{user.pw_gid}"] if user else []), *environment, *words]

    def add_peers(self):
        self.add("bare", COMMAND)
        self.add("coreutils timeout", "timeout", "1800", COMMAND)
        self.add_systemd()
        self.add_cgroup_tools()
        self.add_crun()
        if self.cold.tree_parent:
            self.add(STATIC_FLOOR, helper("launch-floor"), self.cold.tree_parent, COMMAND)
            self.add(FLOOR, helper("launch-floor-dynamic"), self.cold.tree_parent, COMMAND)
        else:
            self.report.leave_out(FLOOR, "no cgroup can be made")

    def add_systemd(self):
        if not scidextest.has_systemd():
            self.report.leave_out("systemd-run", "systemd is not the init")
            return
        self.add(SYSTEMD_SCOPE, "systemd-run", "--quiet", "--scope", *SYSTEMD_LIMITS, COMMAND)
        self.add("systemd-run --pipe --wait", "systemd-run", "--quiet", "--pipe", "--wait", "--collect", *SYSTEMD_LIMITS, COMMAND)

    def add_cgroup_tools(self):
        name = "cgcreate+cgset+cgexec+cgdelete"
        if "memory" not in host_controllers() or shutil.which("cgexec") is None:
            self.report.leave_out(name, "no v2 memory controller" if shutil.which("cgexec") else "cgroup-tools are not installed")
            return
        group = "memory,pids:scidex-bench"
        self.add(
            name, "cgcreate", "-g", group, ":then", "cgset", "-r", "memory.max=2147483648", "-r", "pids.max=4096", "scidex-bench",
            ":then", "cgexec", "-g", group, COMMAND, ":then", "cgdelete", "-g", group,
        )  # fmt: skip

    def add_crun(self):
        """A container of nothing but a cgroup: the root file system and all namespaces are the host's."""
        if shutil.which("crun") is None or "memory" not in host_controllers():
            self.report.leave_out("crun run", "no v2 memory controller" if shutil.which("crun") else "crun is not installed")
            return
        bundle = {
            "ociVersion": "1.0.0",
            "process": {"terminal": False, "user": {"uid": 0, "gid": 0}, "args": [COMMAND], "env": ["PATH=/usr/bin:/bin"], "cwd": "/"},
            "root": {"path": "/", "readonly": False},
            "mounts": [],
            "linux": {"namespaces": [], "cgroupsPath": "/scidex-bench-crun", "resources": {"memory": {"limit": 2 << 30, "swap": 2 << 30}, "pids": {"limit": 4096}}},
        }
        with open(os.path.join(self.directory, "config.json"), "w", encoding="utf-8") as file:
            json.dump(bundle, file)
        self.add("crun run", "crun", "--cgroup-manager=cgroupfs", "run", "--no-pivot", "--bundle", self.directory, "scidex-bench-%d")

    def add_ours(self):
        launch = (program("scidex-run"), "--quiet", COMMAND)
        self.warm.start_daemon()
        self.add(OURS, *launch, environment=environment_words(self.warm))
        self.add("scidex-run --version: the launcher's own start", program("scidex-run"), "--version")
        self.add_user(launch)
        self.add_disk(launch)
        # Each first launch its own world: a supervisor stays for 10 s, and would make the next one warm.
        for index in range(self.rounds):
            place = os.path.join(self.cold.runtime, str(index))
            os.mkdir(place, 0o700)
            self.cold_places.append(place)
            if self.cold.tree_parent:
                os.mkdir(os.path.join(self.cold.tree_parent, f"tree-{index}"))
        place, tree = os.path.join(self.cold.runtime, "%d"), self.cold.tree_parent and os.path.join(self.cold.tree_parent, "tree-%d")
        self.add("scidex-run, first launch", *launch, environment=environment_words(self.cold, place, tree))

    def add_user(self, launch):
        user, world = ordinary_user(), self.world()
        if user is None or os.geteuid() != 0 or world.tree is None:
            self.report.leave_out("scidex-run, ordinary user", "not root, or nobody else is there")
            return
        os.chmod(world.directory, 0o755)
        os.chmod(world.runtime, 0o755)
        world.start_daemon(env={"SCIDEX_USERS_GROUP": str(user.pw_gid)})
        os.chmod(world.socket, 0o666)
        self.add("scidex-run, ordinary user", *launch, environment=environment_words(world), user=user)

    def add_disk(self, launch):
        """The record where an fsync waits for a device: the usual place natively, a disk of its own in a guest."""
        name, world = "scidex-run, record on disk", self.world()
        if not is_on_disk(world.state):
            if not scidextest.IN_VM and "SCIDEX_TEST_DISK" not in os.environ:
                self.report.leave_out(name, "the scratch directory is in memory, and no disk to be mounted is named by SCIDEX_TEST_DISK")
                return
            if not os.path.exists(scidextest.disk_path()):
                self.report.leave_out(name, f"no {scidextest.disk_path()}")
                return
            subprocess.run(["mount", scidextest.disk_path(), world.state], check=True)
            world.mounts.append(world.state)
        elif is_on_disk(self.warm.state):
            self.report.leave_out(name, "all of them are: the scratch directory is on a disk")
            return
        world.start_daemon()
        self.add(name, *launch, environment=environment_words(world))

    def measure(self):
        """Name to milliseconds, in the order of the rounds."""
        command = [helper("launch-bench"), str(self.rounds)]
        for words in self.entries.values():
            command += [*words, ":::"]
        done = subprocess.run(command[:-1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0 or done.stderr:
            raise SystemExit(f"launch bench: {done.stderr[:4000]}")
        times = {name: [] for name in self.entries}
        names = list(self.entries)
        for line in done.stdout.splitlines():
            _, entry, nanoseconds = line.split()
            times[names[int(entry)]].append(int(nanoseconds) / 1e6)
        return times

    def end(self):
        for place in self.cold_places:
            with contextlib.suppress(OSError), Client(os.path.join(place, "control")) as client:
                pid = client.call("status")["status"]["pid"]
                with pidfd(pid) as fd:
                    signal.pidfd_send_signal(fd, signal.SIGTERM)
                    wait_readable(fd, 15)
        scidextest.ScidexTest.worlds = self.worlds
        shutil.rmtree(self.directory, ignore_errors=True)
        return [problem for world in self.worlds for problem in world.finish()]


def show(report, times):
    beside = [statistics.median(times[name]) if name in times else None for name in ("bare", "coreutils timeout", STATIC_FLOOR)]
    rows = []
    for name, values in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        one = figures.summary(values)
        ratios = [one["median"] / other if other else None for other in beside]
        rows.append([name, one["median"], one["quartile_1"], one["quartile_3"], *ratios, one["n"]])
    report.table("One launch of true", ["", "median ms", "quartile 1", "quartile 3", "x bare", "x timeout", "x static floor", "launches"], rows)


def judge(report, times):
    """By the medians; emulated, where all peers are: one that is missing there would take its promise with it. Natively the
    time of a bare launch is too short to be promised about."""
    ours = statistics.median(times[OURS])
    for peer, most, words in PROMISES:
        if peer in times:
            ratio = ours / statistics.median(times[peer])
            report.promise(f"{OURS} / {peer}{words}", ratio, round(most, 3), " x", checked=scidextest.IN_VM)
        elif scidextest.IN_VM:
            report.problem(f"{peer} is missing in the guest, and with it what is promised beside it")


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=25 if scidextest.IN_VM else 60, help="launches of each kind")
    options = parser.parse_args()
    scidextest.become_subreaper()
    report = figures.Report("launch")
    report.say_if_no_memory("the runs' limit of memory is sampled, and the floors write none")
    bench = Bench(options.rounds, report)
    try:
        bench.add_peers()
        bench.add_ours()
        times = bench.measure()
    finally:
        problems = bench.end()
    show(report, times)
    judge(report, times)
    return report.end(options, problems)


if __name__ == "__main__":
    sys.exit(main())
