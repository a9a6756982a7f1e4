#!/usr/bin/python3
"""Which system calls a launch and a kill are made of, on which side.

    tests/bench/calls.py [--runs N] [--json FILE]

strace counts those of the supervisor (a run's share, over N runs) and of one launcher; of a run that ends by itself, and
of one that reaches its deadline. It makes everything slower, so that only the numbers mean something, not their times;
the times by part are in launch.py and kill.py. That the launch path stays short is promised by the sums.
"""

import collections
import os
import re
import signal
import subprocess
import sys

import figures
import scidextest
from scidextest import World, program, wait_readable

KINDS = {"a launch of true": ("--", "/bin/true"), "a kill at the deadline": ("--timeout", "1s", "--", "/bin/sleep", "1000")}
SHOWN = 12  # calls named in the table; the others are summed up
MOST_LAUNCHER, MOST_SUPERVISOR = 70, 140  # calls, of a launch of true


def counted(path):
    """Calls by name in a file of `strace -c`."""
    found = collections.Counter()
    with open(path, encoding="utf-8") as file:
        for line in file:
            match = re.match(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if match and match.group(2) != "total":
                found[match.group(2)] += int(match.group(1))
    return found


def of_launcher(world, arguments):
    """Without what the run itself does: it is followed nowhere."""
    path = os.path.join(world.directory, "strace-launcher")
    command = ["strace", "-c", "-o", path, program("scidex-run"), "--quiet", *arguments]
    subprocess.run(command, env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return counted(path)


def of_supervisor(world, arguments, runs):
    path = os.path.join(world.directory, "strace-supervisor")
    tracer = subprocess.Popen(["strace", "-c", "-o", path, "-p", str(world.supervisor_pid())], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if not wait_readable(tracer.stderr.fileno(), 20):
            raise SystemExit("strace does not attach")
        for _ in range(runs):
            world.run("--quiet", *arguments, report=False)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
    return collections.Counter({name: number / runs for name, number in counted(path).items()})


def rows(launcher, supervisor):
    names = sorted({*launcher, *supervisor}, key=lambda name: -(launcher[name] + supervisor[name]))
    made = [[name, float(launcher[name]), float(supervisor[name])] for name in names[:SHOWN]]
    others = names[SHOWN:]
    made.append([f"{len(others)} others", float(sum(launcher[name] for name in others)), float(sum(supervisor[name] for name in others))])
    return made + [["together", float(launcher.total()), float(supervisor.total())]]


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--runs", type=int, default=5 if scidextest.IN_VM else 20)
    options = parser.parse_args()
    scidextest.require("strace", "root")
    scidextest.become_subreaper()
    report, world, sums = figures.Report("calls"), World(), {}
    try:
        world.start_daemon()
        for kind, arguments in KINDS.items():
            launcher, supervisor = of_launcher(world, arguments), of_supervisor(world, arguments, options.runs)
            report.table(f"System calls of {kind}", ["", "launcher", "supervisor"], rows(launcher, supervisor))
            sums[kind] = launcher.total(), supervisor.total()
    finally:
        left = world.finish()
    launcher, supervisor = next(iter(sums.values()))
    report.promise("system calls of a launch: launcher", launcher, MOST_LAUNCHER)
    report.promise("system calls of a launch: supervisor", supervisor, MOST_SUPERVISOR)
    if left:
        raise SystemExit("left behind: " + "; ".join(left))
    return report.end(options)


if __name__ == "__main__":
    sys.exit(main())
