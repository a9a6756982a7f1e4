"""What top, tree and the JSON of tree say, held against the files below /sys/fs/cgroup at the same moment."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import screenshot  # noqa: E402
from scidextest import MIB, ScidexTest, disk_path, eventually, group_processes, read_text, require  # noqa: E402
from terminal import Terminal  # noqa: E402

UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# Holds anonymous memory, and shared memory that stays mapped; reads so much of the disk; then does nothing.
HOLD = """
import mmap, sys, time
anon, shared, cache, disk = int(sys.argv[1]) << 20, int(sys.argv[2]) << 20, int(sys.argv[3]) << 20, sys.argv[4]
held = bytearray(b"x") * anon
mapped = mmap.mmap(-1, shared or 4096)
mapped.write(b"x" * shared)
file = open(disk, "rb", buffering=0)  # stays open: what is cached of a device goes with its last user
while cache > 0:
    cache -= len(file.read(1 << 20))
print("ready", flush=True)
time.sleep(100000)
"""


def to_bytes(text):
    number, unit = text.split()
    return float(number) * UNITS[unit]


def stat(group):
    return {name: int(value) for name, value in (line.split() for line in read_text(os.path.join(group, "memory.stat")).splitlines())}


def private_of(group):
    figures = stat(group)
    return figures["anon"] + figures["shmem"]


def cache_of(group):
    figures = stat(group)
    return figures["file"] - figures["shmem"]


class Truth(ScidexTest):
    alone = True  # there is one disk

    def setUp(self):
        super().setUp()
        require("memory-controller", "pids-controller", "disk")

    def hold(self, analysis, anon, shared, cache, *options):
        launch = self.start_scidex("--analysis-id", analysis, *options, "--", "python3", "-c", HOLD, str(anon), str(shared), str(cache), disk_path())
        self.assertEqual(launch.read_line(), "ready")
        return launch

    def end(self, *launches):
        for launch in launches:
            with self.here().client() as client:
                client.call("kill", run=launch.run_id())
            launch.wait()

    def row(self, screen, launch):
        """The columns of a run in top, by what they are; None while it is not there."""
        for line in screen.splitlines():
            found = re.match(
                r"(?P<id>[0-9a-f]{8}) (?P<analysis>\S+) +(?P<state>\w+) +(?P<age>\S.*?) {2,}(?P<left>\S.*?) +"
                r"(?P<used>[0-9.]+ [KMG]?i?B) / (?P<limit>[0-9.]+ [KMG]?i?B|inf) +\[(?P<bar>[|: ]{10})\] +"
                r"(?P<cache>[0-9.]+ [KMG]?i?B|-) +(?P<cpu>[0-9.]+|-) +(?P<stall>\d+ %|-) +(?P<processes>\d+|-)", line)  # fmt: skip
            if found and found["id"] == launch.run_id()[-8:]:
                return found
        return None

    def cpu(self, screen, launch):
        """Of its row; 0 while there is none, or only half of it is drawn."""
        row = self.row(screen, launch)
        return float(row["cpu"]) if row and row["cpu"] != "-" else 0

    def assert_close(self, said, truth, what):
        # What is said is rounded: to whole units from 10 on, to tenths below.
        self.assertLess(abs(to_bytes(said) - truth), max(0.06 * truth, 256 << 10), f"{what}: {said}, but {truth} bytes")

    def test_top_says_what_the_kernel_counts(self):
        a = self.hold("SDA-1", 48, 16, 40, "--memory", "160M", "--timeout", "2h")
        b = self.hold("SDA-2", 8, 0, 0, "--memory", "infinity", "--timeout", "1h")
        busy = self.start_scidex("--analysis-id", "SDA-3", "--memory", "64M", "--timeout", "30min", "--", "sh", "-c", "sleep 100000 & echo ready; while :; do :; done")
        busy.read_line()
        with Terminal(self.here(), [self.world.program("scidexctl"), "top"], columns=140, lines=24) as terminal:
            screen = terminal.wait_for(lambda text: all(self.row(text, launch) and self.row(text, launch)["cpu"] != "-" for launch in (a, b, busy)), 60)
            for launch in (a, b):
                row, group = self.row(screen, launch), launch.run()["group"]
                self.assert_close(row["used"], private_of(group), "memory")
                self.assert_close(row["cache"], cache_of(group), "cache")
                self.assertEqual(row["processes"], read_text(os.path.join(group, "pids.current")).strip())
                self.assertEqual(row["state"], "running")
            first = self.row(screen, a)
            self.assertEqual(to_bytes(first["limit"]), int(read_text(os.path.join(a.run()["group"], "memory.max"))))
            self.assertGreater(to_bytes(first["used"]), 63 * MIB)
            self.assertGreater(to_bytes(first["cache"]), 38 * MIB)
            # 64 of 160 MiB are four of ten cells and a bit for the program; 40 more are cache.
            self.assertRegex(first["bar"], r"^\|{4,5}:{2,3} +$")
            self.assertEqual(self.row(screen, b)["limit"], "inf")
            self.assertEqual(self.row(screen, busy)["processes"], "2")
            terminal.wait_for(lambda text: self.cpu(text, busy) > 0.5, 60)
            self.assertLess(self.cpu(terminal.screen(), a), 0.2)
            terminal.type("q")
            terminal.wait_for_end(0)
        self.end(a, b, busy)

    def test_a_run_in_its_grace_is_marked(self):
        launch = self.start_scidex("--analysis-id", "SDA-1", "--grace", "1h", "--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
        launch.read_line()
        with Terminal(self.here(), [self.world.program("scidexctl"), "top"], columns=140) as terminal:
            terminal.wait_for("SDA-1", 60)
            terminal.type("k")
            terminal.wait_for("End SDA-1")
            terminal.type("y")
            terminal.wait_for("1 in grace", 60)
            terminal.wait_for(lambda text: (row := self.row(text, launch)) and row["state"] == "grace", 60)
            terminal.type("q")
            terminal.wait_for_end(0)
        for pid in group_processes(launch.run()["group"]):
            os.kill(pid, 9)
        launch.wait()

    def test_tree_says_what_the_kernel_counts(self):
        run = self.here().program("scidex-run")
        a = self.hold("SDA-1", 48, 16, 40, "--memory", "160M")
        outer = self.start_scidex("--analysis-id", "outer", "--memory", "100M", "--pids", "50", "--", "sh", "-c", f"{run} --quiet --memory 50M --analysis-id inner -- sh -c 'echo ready; exec sleep 100000'")
        outer.read_line()
        done = subprocess.run([self.world.program("scidexctl"), "tree", "--json"], env=self.world.environment(), capture_output=True, text=True, check=True)
        tree = json.loads(done.stdout)["tree"]
        self.assertEqual(tree["path"], self.world.tree)
        places, path = {}, []
        for group in tree["groups"]:
            path[group["depth"] :] = [group["name"]]
            places["/".join(path)] = group
        truth = {directory for directory, _, _ in os.walk(self.world.tree)}
        self.assertEqual(set(places), truth)
        for directory, group in places.items():
            with self.subTest(directory=directory):
                self.assertEqual(sorted(process["pid"] for process in group["processes"]), sorted(int(pid) for pid in read_text(os.path.join(directory, "cgroup.procs")).split()))
                if group["kind"] != "run":
                    continue
                self.assertEqual(group["memory_limit_bytes"], int(read_text(os.path.join(directory, "memory.max"))))
                self.assertEqual(group["pids"], int(read_text(os.path.join(directory, "pids.current"))))
                self.assertLess(abs(group["private_bytes"] - private_of(directory)), MIB)
                self.assertEqual(group["anon_bytes"] + group["shmem_bytes"], group["private_bytes"])
        kinds = {group["analysis_id"]: (group["depth"], group["memory_limit_bytes"]) for group in places.values() if group["kind"] == "run"}
        self.assertEqual(kinds, {"SDA-1": (1, 160 * MIB), "outer": (1, 100 * MIB), "inner": (2, 50 * MIB)})
        self.assertEqual(next(group["pids_limit"] for group in places.values() if group["analysis_id"] == "outer"), 50)
        with Terminal(self.here(), [self.world.program("scidexctl"), "tree"], columns=140, lines=40) as terminal:
            text = terminal.wait_for("ended with 0", 60)
            for directory in truth:
                self.assertIn(os.path.basename(directory), text)
            for pid in group_processes(self.world.tree):
                self.assertIn(f" {pid} {read_text(f'/proc/{pid}/comm').strip()}", text)
            found = re.search(r"SDA-1-\S+ +running +(\S+ \S+) / (\S+ \S+) +(\d+) % +(\S+ \S+)", text)
            self.assert_close(found[1], private_of(a.run()["group"]), "memory")
            self.assertEqual(to_bytes(found[2]), 160 * MIB)
            self.assert_close(found[4], cache_of(a.run()["group"]), "cache")
            self.assertLess(text.index(" outer-"), text.index(" inner-"))
        self.end(a, outer)

    def test_the_picture_in_the_documentation(self):
        """docs/images/top.svg and tree.svg are what this leaves in $SCIDEX_SCREENSHOTS."""
        ctl, run = self.here().program("scidexctl"), self.world.program("scidex-run")
        self.assert_status(self.run_scidex("--analysis-id", "fit-spectra-17", "--memory", "48M", "--", "python3", "-c", "b = bytearray(1 << 30)"), 137)
        self.assert_status(self.run_scidex("--analysis-id", "align-reads-3", "--timeout", "1s", "--", "sleep", "1000"), 124)
        launches = [
            self.hold("fit-spectra-18", 130, 0, 20, "--memory", "160M", "--timeout", "2h"),
            self.hold("map-galaxies", 60, 0, 110, "--memory", "256M", "--timeout", "6h"),
            self.hold("exoplanet-42", 24, 8, 0, "--memory", "512M", "--timeout", "infinity"),
            self.start_scidex("--analysis-id", "fold-protein", "--memory", "64M", "--timeout", "30min", "--", "sh", "-c",
                              "sleep 100000 & echo ready; while :; do :; done"),
            self.start_scidex("--analysis-id", "sweep", "--memory", "200M", "--", "sh", "-c",
                              f"{run} --quiet --memory 100M --timeout 10min --analysis-id sweep-step-7 -- sh -c 'echo ready; exec sleep 100000'"),
        ]  # fmt: skip
        for launch in launches[3:]:
            self.assertEqual(launch.read_line(), "ready")
        environment = {"NO_COLOR": ""}
        with Terminal(self.world, [ctl, "top"], columns=126, lines=24, environment=environment) as terminal:
            terminal.wait_for(lambda text: all(self.row(text, launch) and self.row(text, launch)["cpu"] != "-" for launch in launches), 60)
            terminal.wait_for(lambda text: self.cpu(text, launches[3]) > 0.5, 60)
            terminal.type("t", "Down", "Down")
            terminal.wait_for("` sweep-step-7")
            screenshot.keep(terminal, "top", "scidexctl top: runs with their memory apart from the cache, CPU and time left, and the last kills")
            terminal.type("q")
            terminal.wait_for_end(0)
        with Terminal(self.world, [ctl, "tree"], columns=110, lines=20, environment=environment) as terminal:
            terminal.wait_for("ended with 0", 60)
            screenshot.keep(terminal, "tree", "scidexctl tree: the groups with their processes, memory and limits")
        self.end(*launches)

    def test_what_is_frozen_is_told(self):
        launch = self.hold("SDA-1", 1, 0, 0)
        group = launch.run()["group"]
        with open(os.path.join(group, "cgroup.freeze"), "w", encoding="utf-8") as file:
            file.write("1")
        eventually(lambda: "frozen 1" in read_text(os.path.join(group, "cgroup.events")))
        done = subprocess.run([self.world.program("scidexctl"), "tree"], env=self.world.environment(), capture_output=True, text=True, check=True)
        self.assertIn("running, frozen", done.stdout)
        self.end(launch)
