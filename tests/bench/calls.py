#!/usr/bin/python3
"""Which system calls a launch and a kill are made of, on which side.

    tests/bench/calls.py [--runs N] [--json FILE]

strace counts those of the supervisor (a run's share, over N runs) and of one launcher; of a run that ends by itself, and
of one that reaches its deadline. It makes everything slower, so that only the numbers mean something, not their times;
the times by part are in launch.py and kill.py. That the launch path stays short is promised by the sums. A launch that
fails, or of which nothing was counted, ends the bench: it would pass for a short one.
"""

import collections
import os
import re
import subprocess
import sys

import figures
import scidextest
from scidextest import World, program

# What is launched, and the status that it ends with.
KINDS = {"a launch of true": (("--", "/bin/true"), 0), "a kill at the deadline": (("--timeout", "1s", "--", "/bin/sleep", "1000"), 124)}
SHOWN = 12  # calls named in the table; the others are summed up
MOST_LAUNCHER, MOST_SUPERVISOR = 70, 140  # calls, of a launch of true


def counted(path):
    """Calls by name in a file of `strace -c`; at least one."""
    found = collections.Counter()
    with open(path, encoding="utf-8") as file:
        for line in file:
            match = re.match(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line)
            if match and match.group(2) != "total":
                found[match.group(2)] += int(match.group(1))
    if found.total() == 0:
        raise SystemExit(f"calls: strace has counted nothing: {scidextest.read_text(path)[:2000]!r}")
    return found


def of_launcher(world, arguments, status):
    """Without what the run itself does: it is followed nowhere."""
    path = os.path.join(world.directory, "strace-launcher")
    command = ["strace", "-c", "-o", path, program("scidex-run"), "--quiet", *arguments]
    done = subprocess.run(command, env=world.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode != status:
        raise SystemExit(f"calls: {' '.join(arguments)} under strace ended with {done.returncode}, not {status}: {done.stderr[:2000]}")
    return counted(path)


def of_supervisor(world, arguments, status, runs):
    path = os.path.join(world.directory, "strace-supervisor")
    with figures.strace(world.supervisor_pid(), path, "-c"):
        for _ in range(runs):
            result = world.run("--quiet", *arguments, report=False)
            if result.status != status:
                raise SystemExit(f"calls: {' '.join(arguments)} ended with {result}, not {status}")
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
    figures.require("strace", "root")
    scidextest.become_subreaper()
    report, world, sums = figures.Report("calls"), World(), {}
    try:
        world.start_daemon()
        for kind, (arguments, status) in KINDS.items():
            launcher, supervisor = of_launcher(world, arguments, status), of_supervisor(world, arguments, status, options.runs)
            report.table(f"System calls of {kind}", ["", "launcher", "supervisor"], rows(launcher, supervisor))
            sums[kind] = launcher.total(), supervisor.total()
    finally:
        left = world.finish()
    launcher, supervisor = next(iter(sums.values()))
    report.promise("system calls of a launch: launcher", launcher, MOST_LAUNCHER)
    report.promise("system calls of a launch: supervisor", supervisor, MOST_SUPERVISOR)
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
