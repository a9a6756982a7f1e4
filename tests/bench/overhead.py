#!/usr/bin/python3
"""What a run loses by being one: a program that computes, and one that only allocates, with and without scidex.

    tests/bench/overhead.py [--pairs N] [--json FILE] [--check]

In pairs, with and without, in an order that changes; the program times itself (work.c), so that the launch is not in it.
A pair's ratio is not touched by what the machine does for longer than a pair. Promised is the upper end of the 95 %
confidence interval (bootstrap) of the median of these ratios: at most 1 % for the one that computes, 3 % for the other.
Processor time is what is promised about: it has in it what the group's accounting costs, and not who else was running.
The wall clock's ratio stands beside it.
"""

import statistics
import subprocess
import sys

import figures
import scidextest
from scidextest import World, helper, host_controllers, program

# Program: what it does, natively and emulated (about a quarter of a second), and the most that it may lose.
PROGRAMS = {"cpu": (("400", "8"), 1.01), "alloc": (("30", "2"), 1.03)}


def once(command, environment):
    """(wall, processor) nanoseconds of the work itself."""
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    wall, cpu, _ = done.stdout.split()
    return int(wall), int(cpu)


def pairs(world, work, number):
    """Ratios with / without: of processor time, of wall clock."""
    environment = world.environment()
    limits = () if "memory" in host_controllers() else ("--memory", "infinity")
    inside = [program("scidex-run"), "--quiet", *limits, "--", *work]
    cpu, wall = [], []
    once(inside, environment)
    for index in range(number):
        order = (inside, work) if index % 2 else (work, inside)
        found = {id(command): once(command, environment) for command in order}
        ours, bare = found[id(inside)], found[id(work)]
        wall.append(ours[0] / bare[0])
        cpu.append(ours[1] / bare[1])
    return cpu, wall


def percent(ratio):
    return (ratio - 1) * 100


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=40 if scidextest.IN_VM else 80)
    options = parser.parse_args()
    scidextest.become_subreaper()
    report, world, rows, promises = figures.Report("overhead"), World(), [], []
    try:
        world.start_daemon()
        for name, (amounts, most) in PROGRAMS.items():
            cpu, wall = pairs(world, [helper("work"), name, amounts[scidextest.IN_VM]], options.pairs)
            low, high = figures.interval(cpu)
            wall_low, wall_high = figures.interval(wall)
            rows.append([name, percent(statistics.median(cpu)), percent(low), percent(high), percent(statistics.median(wall)), percent(wall_low), percent(wall_high), len(cpu)])
            promises.append((f"{name}: processor time with / without, upper end", high, most))
    finally:
        left = world.finish()
    report.table(
        "What a run loses by being one, in %",
        ["", "CPU median", "95 % from", "to", "wall median", "95 % from", "to", "pairs"], rows,
    )  # fmt: skip
    for promise in promises:
        report.promise(*promise, " x")
    if left:
        raise SystemExit("left behind: " + "; ".join(left))
    return report.end(options)


if __name__ == "__main__":
    sys.exit(main())
