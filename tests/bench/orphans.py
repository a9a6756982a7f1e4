#!/usr/bin/python3
"""How long a run outlives its launcher or its deadline: under scidex, and under the polling watchdog that it replaces.

    tests/bench/orphans.py [--quick] [--json FILE] [--check]

The launcher gets kill -9, or the deadline passes, at moments spread evenly over one period of the slowest watchdog: what
polls finds out at its next look, so the phase is what is measured. All of them are watched at the same time, by scidex,
by psutil_watchdog.py each second and each 30 s. The processes themselves note when TERM reaches them (kill-crowd).

Beside it the processor time that watching 100 idle processes takes. Of the slow watchdog that is derived: one look of the
fast one, each 30 s. Where the v2 tree has no memory controller scidex samples memory as the watchdog does, so there is a
row for runs without a memory limit, too.
"""

import contextlib
import importlib.util
import os
import random
import statistics
import subprocess
import sys
import threading
import time

from crowds import SupervisedCrowd, read_words
from figures import Report, parser, processor_sec, require, scidextest, summary
from scidextest import OTHERS, SLOW, World, eventually, helper, host_controllers

SCIDEX, FAST = "scidex", "psutil each 1 s"
SETTLE_SEC = 2 * SLOW  # before the first end: a launch, or a start of Python
IDLE, IDLE_SEC = 100 if SLOW == 1 else 20, 10
ORPHAN_MS, FACTOR = 10.0, 50  # promised: of scidex natively, and how many times sooner than the fastest watchdog


class Watchdog:
    """psutil_watchdog.py with its registry."""

    def __init__(self, directory, every):
        from psutil_watchdog import open_registry

        self.every, self.path = every, os.path.join(directory, f"registry-{every:g}")
        self.registry = open_registry(self.path)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "psutil_watchdog.py")
        self.process = subprocess.Popen([sys.executable, script, "--registry", self.path, "--every", str(every)])
        OTHERS.add(self.process.pid)

    def register(self, pid, parent, deadline=None, memory_bytes=None):
        from psutil_watchdog import register

        register(self.registry, pid, parent, deadline, memory_bytes)

    def end(self):
        self.process.kill()
        self.process.wait()
        OTHERS.discard(self.process.pid)
        self.registry.close()


class Watched:
    """One process with a launcher, under a watchdog."""

    def __init__(self, watchdog):
        self.launcher = subprocess.Popen(
            ["sh", "-c", f"{helper('kill-crowd')} 1 note; exit 0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)  # fmt: skip
        self.stdout = self.launcher.stdout
        self.pid = int(read_words(self.stdout)[1])
        self.watchdog, self.reaper = watchdog, None

    def orphan(self):
        self.watchdog.register(self.pid, self.launcher.pid)
        return self.lose_launcher

    def lose_launcher(self):
        at = kill_hard(self.launcher)
        self.launcher.wait()
        # We stand for init: a zombie would keep the watchdog waiting, and all others with it.
        self.reaper = threading.Thread(target=os.waitpid, args=(self.pid, 0), daemon=True)
        self.reaper.start()
        return at

    def expire(self, at):
        self.watchdog.register(self.pid, self.launcher.pid, deadline=at)
        return lambda: at

    def heard(self):
        seen = int(read_words(self.stdout)[1]) / 1e9
        self.launcher.wait()
        self.stdout.close()
        if self.reaper:
            self.reaper.join()
        return seen


class Supervised:
    def __init__(self, world):
        self.crowd = SupervisedCrowd(world, 1, "note", "--timeout", "1h", "--quiet")

    def orphan(self):
        return lambda: kill_hard(self.crowd.launch.process)  # its children come to us, and are collected in heard()

    def expire(self, at):
        self.crowd.set_deadline(at - time.time())
        return lambda: None

    def heard(self):
        seen = int(read_words(self.crowd.launch.process.stdout)[1]) / 1e9
        self.crowd.launch.wait()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.crowd.pid, 0)
        return seen

    def deadline(self):
        return eventually(lambda: self.crowd.world.events(run=self.crowd.run_id) and self.crowd.event())["deadline_at"]


def kill_hard(process):
    at = time.time()
    process.kill()
    return at


def spread_out(number, period, chance):
    """One moment in each of NUMBER equal parts of the period."""
    return [period * (i + chance.random()) / number for i in range(number)]


def measure(make, number, period):
    """{(what, kind): [seconds]}. MAKE: {kind: a function that makes one process}."""
    chance, begin, plan = random.Random(1), time.time() + SETTLE_SEC, []
    for kind, function in make.items():
        for moment in spread_out(number, period, chance):
            plan.append((moment, "orphan", kind, function()))
        for moment in spread_out(number, period, chance):
            plan.append((moment, "deadline", kind, function()))
    begin = max(begin, time.time() + SLOW)
    ends = [(begin + at, what, kind, one, one.orphan() if what == "orphan" else one.expire(begin + at)) for at, what, kind, one in plan]
    began = {}
    for at, _, _, one, act in sorted(ends, key=lambda end: end[0]):
        time.sleep(max(0, at - time.time()))
        began[one] = act()
    found = {}
    for _, what, kind, one, _ in ends:
        seen = one.heard()
        found.setdefault((what, kind), []).append(seen - (began[one] or one.deadline()))
    return found


def idle_share(world, watchdog, *options):
    """Shares of one processor that watching IDLE idle processes takes: of scidex, and of the watchdog if there is one."""
    runs = [world.start("--timeout", "1h", "--quiet", *options, "--", "sleep", "1000") for _ in range(IDLE)]
    rows = eventually(lambda: len(found := [row for row in world.list() if row["pid"]]) == IDLE and found, 30, every=0.1)
    watchers = [[world.supervisor_pid(), world.recorder_pid()]]
    if watchdog:
        watchers.append([watchdog.process.pid])
        for row in rows:
            watchdog.register(row["pid"], row["launcher_pid"])
    before, begin = [sum(map(processor_sec, pids)) for pids in watchers], time.monotonic()
    time.sleep(IDLE_SEC)
    after, seconds = [sum(map(processor_sec, pids)) for pids in watchers], time.monotonic() - begin
    if watchdog:
        watchdog.registry.execute("DELETE FROM registered")
    for row in rows:
        world.kill(row["run_id"])
    for run in runs:
        run.wait()
    return [(b - a) / seconds for a, b in zip(before, after)]


def rows_of(found, what, kinds):
    ours = statistics.median(found[what, SCIDEX])
    for kind in kinds:
        one = summary([value * 1e3 for value in found[what, kind]])
        yield [kind, one["median"], one["min"], one["max"], one["n"], statistics.median(found[what, kind]) / ours]


def show(report, found, kinds, shares):
    for what, title in (("orphan", "kill -9 of the launcher to TERM in the run, ms"), ("deadline", "deadline to TERM in the run, ms")):
        report.table(title, ["", "median", "min", "max", "n", "x scidex"], list(rows_of(found, what, kinds)))
    ours = shares[SCIDEX][0]
    rows = [[kind, share[0]] for kind, share in shares.items()]
    if FAST in kinds:
        theirs = statistics.mean(share[1] for share in shares.values())
        rows += [[FAST, theirs], ["psutil each 30 s (derived)", theirs / 30]]
    report.table(f"watching {IDLE} idle processes, % of one processor", ["", "%", "x scidex"], [[kind, share * 100, share / ours] for kind, share in rows])


def bench(report, options):
    """What was left behind."""
    every = [1] if options.quick else [1, 30]
    if importlib.util.find_spec("psutil") is None:
        every = []
        report.leave_out("psutil", "python3-psutil is not installed; nor what is promised beside it")
    number, period = (6, 6) if options.quick else (10, 30)
    world = World()
    world.may_leave_zombies = True
    watchdogs = {f"psutil each {seconds} s": Watchdog(world.directory, seconds) for seconds in every}
    try:
        world.start_daemon()
        make = {SCIDEX: lambda: Supervised(world)}
        for kind, watchdog in watchdogs.items():
            make[kind] = lambda watchdog=watchdog: Watched(watchdog)
        found = measure(make, number, period)
        shares = {SCIDEX: idle_share(world, watchdogs.get(FAST))}
        if "memory" not in host_controllers():
            shares["scidex, without a memory limit"] = idle_share(world, watchdogs.get(FAST), "--memory", "infinity")
    finally:
        for watchdog in watchdogs.values():
            watchdog.end()
        left = world.finish()
    show(report, found, list(make), shares)
    median = {kind: statistics.median(found["orphan", kind]) for kind in make}
    report.promise("an orphan hears TERM after", median[SCIDEX] * 1e3, ORPHAN_MS, " ms", not scidextest.IN_VM)
    if FAST in median:
        report.promise(f"an orphan's TERM, scidex / {FAST}", median[SCIDEX] / median[FAST], 1 / FACTOR, " x", not scidextest.IN_VM)
    return left


def main():
    options = parser(__doc__)
    options.add_argument("--quick", action="store_true", help="without the watchdog of each 30 s")
    options = options.parse_args()
    require("groups")
    scidextest.become_subreaper()
    report = Report("orphans")
    return report.end(options, bench(report, options))


if __name__ == "__main__":
    sys.exit(main())
