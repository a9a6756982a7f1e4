"""For n = 1, 2, …: the n-th call of a family fails in one program; whatever it is, nothing is leaked, lost or left running.

failing.c is preloaded into one program of a scenario (it knows it by its comm) and fails the n-th call of a family:
memory, file descriptors, reading and writing, groups, processes, the event loop, the disk. Each scenario is run once to
count the calls, then once for each n: all of them in long mode (SCIDEX_TEST_LONG=1), spread over the whole in short mode.

Afterwards, whatever failed: scidex-run has ended by itself, in time, with the right status or 125 and a reason; no process
of the run lives; no group is left once the next supervisor has been there; the record has at most one row of a run and one
event of a kill, and those that scidex-run did not complain about; and nobody crashed.

The launcher is linked statically in ordinary builds, so its faults need a build with -Dstatic_launcher=false.
"""

import contextlib
import errno
import os
import re
import signal
import sqlite3
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from scidextest import BUILD, ScidexTest, eventually, is_alive, needs, program, read_text, skip  # noqa: E402

LONG = os.environ.get("SCIDEX_TEST_LONG") == "1"
FAULTS_SHORT = 3  # for each test in short mode
FAULTS_LONG = int(os.environ.get("SCIDEX_TEST_FAULTS", "400"))  # at most, in long mode
LIBRARY = os.path.join(BUILD, "tests", "fault", "failing.so")

# What each program is known by, and who is to live through its faults.
COMMS = {"launcher": "scidex-run", "supervisor": "scidex-supervisor"[:15], "recorder": "scidex-recorder"[:15]}
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}


class Scenario:
    """ARGUMENTS of scidex-run, the STATUS it is to end with, and within how many SECONDS, when nothing fails."""

    def __init__(self, arguments, status, seconds, events):
        self.arguments, self.status, self.seconds, self.events = arguments, status, seconds, events


SCENARIOS = {
    "ends_with_7": Scenario(["--", "sh", "-c", "exit 7"], 7, 1, 0),
    "times_out": Scenario(["--timeout", "200ms", "--grace", "200ms", "--", "sleep", "1000"], 124, 1, 1),
    "leaves_one_behind": Scenario(["--grace", "200ms", "--", "sh", "-c", "sleep 1000 & exit 3"], 3, 1, 1),
}

# What a launcher waits at most: 20 s for an answer, 20 s and the grace after the end; the start of a supervisor.
PATIENCE = 50


def is_static(path):
    with open(path, "rb") as file:
        return b"ld-linux" not in file.read(1 << 16)


class Faults(ScidexTest):
    injected = {}  # family of program: faults

    def setUp(self):
        super().setUp()
        if not os.path.exists(LIBRARY):
            raise FileNotFoundError(f"{LIBRARY}: not built")

    @classmethod
    def tearDownClass(cls):
        for name, count in sorted(cls.injected.items()):
            print(f"  {count:5} faults of {name}", file=sys.stderr)

    # One run with one fault

    def fault_environment(self, world, who, family, n, number, times=1):
        self.counter = os.path.join(world.directory, "counter")
        with open(self.counter, "wb") as file:
            file.write(bytes(16))
        return {
            "LD_PRELOAD": LIBRARY,
            "SCIDEX_FAULT_COMM": COMMS[who],
            "SCIDEX_FAULT_FAMILY": family,
            "SCIDEX_FAULT_N": str(n),
            "SCIDEX_FAULT_TIMES": str(times),
            "SCIDEX_FAULT_ERRNO": str(number),
            "SCIDEX_FAULT_COUNTER": self.counter,
        }

    def counted(self):
        """Calls seen, calls failed."""
        with open(self.counter, "rb") as file:
            return struct.unpack("=QQ", file.read(16))

    def wait_with_bound(self, launch):
        try:
            return launch.wait(PATIENCE)
        except AssertionError as error:
            launch.process.kill()
            launch.process.wait()
            self.fail(f"scidex-run did not end: {error}")

    def one(self, who, scenario, family, n, number, times=1):
        """Runs it with a fault; everything is checked. Returns the calls seen."""
        world = self.new_world()
        world.may_leave_zombies = True  # a launcher that fails can't collect
        try:
            launch = world.start(*scenario.arguments, env=self.fault_environment(world, who, family, n, number, times))
            result = self.wait_with_bound(launch)
            self.check_status(scenario, result)
            self.check_processes(world)
            self.next_supervisor(world)
            self.check_record(world, scenario, result)
            self.check_crashes(world, result)
            seen, failed = self.counted()
        finally:
            self.supervisor_is_there(world)  # so that finish() knows it
            problems = world.finish()
            ScidexTest.worlds.remove(world)
            self.world = None
        if problems:
            self.fail("left behind:\n  " + "\n  ".join(problems))
        name = f"{family} in the {who}"
        Faults.injected[name] = Faults.injected.get(name, 0) + (failed > 0)
        return seen

    def check_status(self, scenario, result):
        self.assertIn(result.status, (scenario.status, 125), result)
        if result.status == 125:
            said = [line for line in result.stderr.splitlines() if "warning:" not in line]
            self.assertTrue(said, f"125 without a reason: {result}")

    def check_processes(self, world):
        """What lives of the test is scidex's own."""

        def strangers():
            return [pid for pid in world.ours() if not read_text(f"/proc/{pid}/comm", "scidex").startswith("scidex")]

        # A launcher that failed leaves the end to the supervisor: that takes the grace.
        eventually(lambda: not strangers(), 8, f"no process of the run is left: {strangers()}")

    def supervisor_is_there(self, world):
        """Whether one answers; it may fail at just that question, once."""
        for _ in range(2):
            with contextlib.suppress(KeyError, ConnectionError):
                if world.supervisor_pid() is not None:
                    return True
        return False

    def next_supervisor(self, world):
        """The one with the fault leaves, the next cleans up."""
        there = self.supervisor_is_there(world)
        if not world.groups() and there:
            return
        with contextlib.suppress(AssertionError, OSError):
            world.stop_supervisor()
        for pid in [pid for pid in world.ours() if read_text(f"/proc/{pid}/comm", "").startswith("scidex")]:
            eventually(lambda pid=pid: not is_alive(pid), 15, f"{pid} ends")
        after = world.run("--", "true", env={"LD_PRELOAD": None})
        self.assertEqual(after.status, 0, f"the next run fails: {after}")
        eventually(lambda: not world.groups(), 8, f"the next supervisor removes the groups: {world.groups()}")

    def check_record(self, world, scenario, result):
        def rows():
            with contextlib.suppress(sqlite3.OperationalError):  # not yet made
                return world.sql(
                    "SELECT run_id, verdict, (SELECT count(*) FROM watchdog_events e WHERE e.run_id = r.run_id) FROM watchdog_runs r"
                )
            return []

        ended = bool(result.run)
        if not ended:
            # It was not promised to be there, but not to be there twice either.
            for _, _, events in rows():
                self.assertLessEqual(events, 1)
            return
        promised = "can't be written yet" not in result.stderr and "can't be left" not in result.stderr
        if promised:
            eventually(lambda: [row for row in rows() if row[0] == result.run["run_id"]], 8, f"the row that was promised: {result}")
        mine = [row for row in rows() if row[0] == result.run["run_id"]]
        self.assertLessEqual(len(mine), 1)
        for _, verdict, events in mine:
            self.assertLessEqual(events, 1)
            if promised and result.status != 125:
                self.assertEqual(verdict, result.run["verdict"])
                self.assertEqual(events, scenario.events, result)

    def check_crashes(self, world, result):
        self.assertNotIn(result.died_of, CRASHES, result)
        log = read_text(os.path.join(world.state, "scidex", "supervisor.log"), "")
        self.assertIsNone(re.search(r"recorder .* crashed|Segmentation|Aborted", log), log)

    # For n = 1, 2, …

    def places(self, total, cap):
        if total <= cap:
            return range(1, total + 1)
        return sorted({1 + i * (total - 1) // (cap - 1) for i in range(cap)})

    def each(self, who, family, numbers, name):
        if who == "launcher" and is_static(program("scidex-run")):
            skip("the launcher is linked statically (-Dstatic_launcher=false makes one that faults reach)")
        scenario = SCENARIOS[name]
        total = self.one(who, scenario, family, 0, 0)
        self.assertGreater(total, 0, f"the {who} makes no call of {family}: the library does not reach it")
        cap = FAULTS_LONG if LONG else FAULTS_SHORT
        for number, n in enumerate(self.places(total, cap)):
            with self.subTest(who=who, scenario=name, n=n, of=total, errno=errno.errorcode[numbers[number % len(numbers)]]):
                self.one(who, scenario, family, n, numbers[number % len(numbers)])


FAMILIES = {
    "launcher": {
        "memory": [errno.ENOMEM],
        "fd": [errno.EMFILE],
        "io": [errno.EIO, errno.ENOMEM],
        "process": [errno.ENOMEM, errno.EAGAIN],
    },
    "supervisor": {
        "memory": [errno.ENOMEM],
        "fd": [errno.EMFILE],
        "io": [errno.EIO, errno.ENOMEM],
        "group": [errno.ENOSPC, errno.EIO],
        "process": [errno.ENOMEM, errno.EMFILE],
        "event": [errno.ENOMEM],
    },
    "recorder": {
        "memory": [errno.ENOMEM],
        "fd": [errno.EMFILE],
        "io": [errno.EIO, errno.ENOMEM],
        "event": [errno.ENOMEM],
        "disk": [errno.EIO, errno.ENOSPC],
    },
}


def add_tests():
    """One test for each program, family and scenario."""
    for who, families in FAMILIES.items():
        for family, numbers in families.items():
            for name in SCENARIOS:

                def test(self, who=who, family=family, numbers=numbers, name=name):
                    self.each(who, family, numbers, name)

                setattr(Faults, f"test_{family}_of_the_{who}_{name}", needs("groups")(test))


add_tests()

if __name__ == "__main__":
    unittest.main()
