#!/usr/bin/python3
"""Launches a second: 1, 2 and 8 that launch `true` one after the other, beside their peers.

    tests/bench/throughput.py [--launches N] [--turns N] [--json FILE] [--check]

Each client is a launch-bench process; all of a turn's clients together make the same number of launches, and the turns of
the peers alternate. What counts is the time from the first launch to the end of the last. In it are, for all peers alike,
the start of the clients from Python (one fork and exec each) and launch-bench's vfork, exec and wait for each launch; not
the row in the record, which is written behind. Beside the rate: the processor time that supervisor and recorder take for a
launch, that row too, natively to the nanosecond (schedstat).
"""

import statistics
import subprocess
import sys
import time

import figures
import scidextest
from figures import processor_sec
from launch import COMMAND, FLOOR, SYSTEMD_LIMITS, SYSTEMD_SCOPE, environment_words
from scidextest import World, eventually, helper, program

CLIENTS = (1, 2, 8)
OURS = "scidex-run"


def entries(world):
    found = {
        "bare": [COMMAND],
        "coreutils timeout": ["timeout", "1800", COMMAND],
        OURS: [*environment_words(world), program("scidex-run"), "--quiet", COMMAND],
    }
    if world.tree_parent:
        found[FLOOR] = [helper("launch-floor-dynamic"), world.tree_parent, COMMAND]
    if scidextest.has_systemd():
        found[SYSTEMD_SCOPE] = ["systemd-run", "--quiet", "--scope", *SYSTEMD_LIMITS, COMMAND]
    return found


def say_what_is_missing(report, world):
    there = entries(world)
    for name, reason in ((FLOOR, "no cgroup can be made"), (SYSTEMD_SCOPE, "systemd is not the init")):
        if name not in there:
            report.leave_out(name, reason)
    report.say_if_no_memory("the runs' limit of memory is sampled")


def turn(words, clients, launches):
    """Launches a second."""
    begin = time.monotonic()
    started = [
        subprocess.Popen([helper("launch-bench"), str(launches // clients), *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(clients)
    ]
    for process in started:
        _, errors = process.communicate()
        if process.returncode != 0 or errors:
            raise SystemExit(f"{words}: {errors[:2000]}")
    return launches // clients * clients / (time.monotonic() - begin)


def measure(world, options):
    """Rates by peer and number of clients; processor seconds that the supervisor and the recorder took for each launch."""
    pids = world.supervisor_pid(), world.recorder_pid()
    rates, taken, launched = {}, [0, 0], 0
    for _ in range(options.turns):
        for name, words in entries(world).items():
            for clients in CLIENTS:
                before = [processor_sec(pid) for pid in pids]
                rates.setdefault((name, clients), []).append(turn(words, clients, options.launches))
                if name == OURS:
                    eventually(lambda: world.status()["unrecorded"] == 0, 30, "all rows are stored")
                    taken = [sum_ + processor_sec(pid) - was for sum_, pid, was in zip(taken, pids, before)]
                    launched += options.launches // clients * clients
    return rates, [seconds / launched for seconds in taken]


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--launches", type=int, default=40 if scidextest.IN_VM else 400, help="in each turn")
    parser.add_argument("--turns", type=int, default=3 if scidextest.IN_VM else 5, help="of each peer")
    options = parser.parse_args()
    scidextest.become_subreaper()
    report, world = figures.Report("throughput"), World()
    try:
        say_what_is_missing(report, world)
        world.start_daemon()
        rates, costs = measure(world, options)
    finally:
        left = world.finish()
    rows = []
    for name in entries(world):
        medians = [statistics.median(rates[name, clients]) for clients in CLIENTS]
        rows.append([name, *medians, medians[-1] / medians[0]])
    report.table("Launches of true a second, by clients", ["", *map(str, CLIENTS), f"{CLIENTS[-1]} / {CLIENTS[0]}"], rows)
    report.table("Processor time of a launch", ["", "ms"], [["supervisor", costs[0] * 1e3], ["recorder", costs[1] * 1e3]])
    for clients in CLIENTS:
        ratio = statistics.median(rates["coreutils timeout", clients]) / statistics.median(rates[OURS, clients])
        report.promise(f"coreutils timeout's rate / ours, {clients} clients", ratio, 1.0, " x", checked=scidextest.IN_VM and clients == 1)
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
