#!/usr/bin/python3
"""How far a program that leaks gets above its memory limit, and how long until it is ended and until its user is told.

    tests/bench/overshoot.py [--quick] [--json FILE] [--check]

The program takes memory at a known rate and notes when it crosses its limit and when TERM comes (limit-leak). It runs
under scidex, whose limit is the kernel's where the v2 tree has a memory controller and sampled where not (there both are
measured where there is one), and under psutil_watchdog.py, each second and each 30 s, begun at moments spread over its
period. It stops growing 2 GiB above the limit, so no figure is larger: of the slow watchdog only the low rate is measured.

Where the kernel holds the limit the program is dead before it could note that it crossed it: there is no time to its death
then, the launcher's end is counted from its death, and how far it got is the group's memory.peak, which the kernel keeps at
memory.max: that nothing is above it says that the limit was the kernel's, not how far scidex let it grow.
"""

import concurrent.futures
import importlib.util
import random
import subprocess
import sys
import time

from crowds import Watch, read_words
from figures import Report, parser, require, scidextest, summary
from orphans import Watchdog, spread_out
from scidextest import IN_VM, MIB, SLOW, World, helper, host_controllers, read_text

LIMIT_MIB = 200
RATES = (20, 100) if IN_VM else (50, 500)  # MiB a second
MOST_MIB = LIMIT_MIB + (1024 if IN_VM else 2048)
ROUNDS, QUICK_ROUNDS = 7, 3
SLOW_ROUNDS, SLOW_SEC = 4, 30  # of the watchdog of each 30 s, all at once
SAMPLED_SHARE = 0.25  # of the limit: what docs/architecture.md says of sampled runs
KERNEL, SAMPLED = "scidex, kernel", "scidex, sampled"
KERNEL_MIB = 64 / 1024  # what the kernel charges though a group is full (measured: a page)


def notes(text):
    """{"crossed": (seconds, MiB), "term": …} of what limit-leak has said."""
    lines = [line.split() for line in text.splitlines()]
    return {line[0]: (int(line[1]) / 1e9, int(line[2])) for line in lines if len(line) == 3}


def found_of(ready, said, dead, told, peak_mib):
    """Milliseconds and MiB of one sample. READY: what it said at its start. PEAK_MIB: where nobody could note it."""
    noted = "crossed" in said
    crossed = said["crossed"][0] if noted else dead
    reached = said["term"][1] if "term" in said else peak_mib
    return {
        "rate": LIMIT_MIB / (crossed - int(ready[2]) / 1e9),
        "overshoot": max(0, reached - LIMIT_MIB),
        "term": (said["term"][0] - crossed) * 1e3 if "term" in said else None,
        "dead": (dead - crossed) * 1e3 if noted else None,
        "told": (told - crossed) * 1e3 if told else None,
    }


def leaker(rate):
    return [helper("limit-leak"), str(LIMIT_MIB), str(rate), str(MOST_MIB)]


def supervised(world, rate):
    launch = world.start("--memory", f"{LIMIT_MIB}M", "--grace", "10s", "--quiet", "--", *leaker(rate))
    ready = read_words(launch.process.stdout)
    died, ended = Watch(ready[1]), Watch(launch.pid)
    result = launch.wait()
    (event,) = world.events(run=result.run["run_id"])
    if event["reason"] != "memory":
        raise SystemExit(f"overshoot: ended as {event['reason']}: {result}")
    return found_of(ready, notes(result.stdout.decode()), died.dead_at(), ended.dead_at(), event["memory_peak_bytes"] / MIB)


def watched(watchdog, rate):
    process = subprocess.Popen(leaker(rate), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0)
    ready = read_words(process.stdout)
    watchdog.register(process.pid, None, memory_bytes=LIMIT_MIB * MIB)
    died = Watch(process.pid)
    said = notes(process.stdout.read().decode())
    process.wait()
    process.stdout.close()
    return found_of(ready, said, died.dead_at(), None, None)


def watched_slowly(watchdog, moment, rate):
    time.sleep(moment)
    return watched(watchdog, rate)


class Bench:
    def __init__(self, options):
        self.rounds = QUICK_ROUNDS if options.quick else ROUNDS
        self.found, self.watchdogs, self.slowly = {}, {}, []
        held = "memory" in host_controllers()
        self.worlds = {KERNEL: World(), SAMPLED: World(memory=False)} if held else {SAMPLED: World()}
        self.pool = concurrent.futures.ThreadPoolExecutor(SLOW_ROUNDS)
        self.directory = next(iter(self.worlds.values())).directory

    def start(self, report, quick):
        for world in self.worlds.values():
            world.start_daemon()
        if importlib.util.find_spec("psutil") is None:
            report.leave_out("psutil", "python3-psutil is not installed")
            return
        self.watchdogs["psutil each 1 s"] = Watchdog(self.directory, 1)
        available = next(int(line.split()[1]) / 1024 for line in read_text("/proc/meminfo").splitlines() if line.startswith("MemAvailable"))
        if quick or available < 2 * SLOW_ROUNDS * MOST_MIB:
            report.leave_out("psutil each 30 s", "a quick run" if quick else "too little memory is free")
            return
        slow = self.watchdogs["psutil each 30 s"] = Watchdog(self.directory, SLOW_SEC)
        moments = spread_out(SLOW_ROUNDS, SLOW_SEC, random.Random(2))
        self.slowly = [self.pool.submit(watched_slowly, slow, moment, RATES[0]) for moment in moments]

    def measure(self):
        for rate in RATES:
            for turn in range(self.rounds):
                for kind, world in self.worlds.items():
                    self.found.setdefault((kind, rate), []).append(supervised(world, rate))
                if self.watchdogs:
                    time.sleep(turn / self.rounds)  # another phase of its look in each turn
                    self.found.setdefault(("psutil each 1 s", rate), []).append(watched(self.watchdogs["psutil each 1 s"], rate))
        if self.slowly:
            self.found["psutil each 30 s", RATES[0]] = [future.result() for future in self.slowly]

    def end(self):
        for watchdog in self.watchdogs.values():
            watchdog.end()
        scidextest.ScidexTest.worlds = list(self.worlds.values())  # of each other they are known
        return [problem for world in self.worlds.values() for problem in world.finish()]


def middle(samples, what):
    values = [sample[what] for sample in samples if sample[what] is not None]
    return summary(values)["median"] if values else None


def show(report, found):
    rows = []
    for (kind, rate), samples in sorted(found.items(), key=lambda item: item[0][1]):
        over = summary([sample["overshoot"] for sample in samples])
        real = middle(samples, "rate")
        rows.append([f"{rate} MiB/s {kind}", real, over["median"], over["min"], over["max"], middle(samples, "term"), middle(samples, "dead"), middle(samples, "told"), over["n"]])  # fmt: skip
    report.table(
        f"above a limit of {LIMIT_MIB} MiB; times from the crossing, medians",
        ["", "real MiB/s", "MiB above", "min", "max", "TERM ms", "dead ms", "launcher's end ms", "n"], rows)  # fmt: skip


def promise(report, found):
    for kind, what, most in ((KERNEL, "memory.peak above memory.max, which the kernel holds", KERNEL_MIB), (SAMPLED, "furthest above the limit", SAMPLED_SHARE * LIMIT_MIB)):
        worst = [sample["overshoot"] for key, samples in found.items() if key[0] == kind for sample in samples]
        if worst:
            report.promise(f"{kind}: {what}", max(worst), most, " MiB", kind == KERNEL)


def main():
    options = parser(__doc__)
    options.add_argument("--quick", action="store_true", help="few rounds, without the watchdog of each 30 s")
    options = options.parse_args()
    require("groups")
    scidextest.become_subreaper()
    report, bench = Report("overshoot"), Bench(options)
    try:
        bench.start(report, options.quick)
        bench.measure()
    finally:
        left = bench.end()
    show(report, bench.found)
    promise(report, bench.found)
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
