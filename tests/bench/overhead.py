#!/usr/bin/python3
"""What a run loses by being one: programs that compute, only allocate, only make children, with and without scidex.

    tests/bench/overhead.py [--pairs N] [--json FILE] [--check]

In pairs, with and without, in an order that changes; the program times itself (work.c), so that the launch is not in it.
A pair's ratio is not touched by what the machine does for longer than a pair. Promised is the upper end of the 95 %
confidence interval (bootstrap) of the median of these ratios: at most 1 % for the one that computes, 3 % for the other.
Processor time is what is promised about: it has in it what the group's accounting costs, and not who else was running.
The wall clock's ratio stands beside it. Of the one that makes children nothing is promised: only the parent's processor time
is in its figures.

Without is the group that the bench is in. Under systemd in a guest that is the unit of the command (scidex-vm.service), for
which the kernel counts memory and processes, too: there the figures say what a group of one's own and its limits cost, not
what accounting costs beside none.
"""

import statistics
import subprocess
import sys

import figures
import scidextest
from scidextest import World, helper, host_controllers, program

# Program: how much of it is about a quarter of a second here, and the most that it may lose.
PROGRAMS = {
    "cpu": ("8" if scidextest.IN_VM else "400", 1.01),
    "alloc": ("2" if scidextest.IN_VM else "4", 1.03),
    "fork": ("100" if scidextest.IN_VM else "600", None),
}


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
        if index % 2:
            ours, bare = once(inside, environment), once(work, environment)
        else:
            bare, ours = once(work, environment), once(inside, environment)
        wall.append(ours[0] / bare[0])
        cpu.append(ours[1] / bare[1])
    return cpu, wall


def percent(ratio):
    return (ratio - 1) * 100


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=40 if scidextest.IN_VM else 80, help="with and without, of each program")
    options = parser.parse_args()
    scidextest.become_subreaper()
    report, world, rows, promises = figures.Report("overhead"), World(), [], []
    report.say_if_no_memory("nothing is charged to the run's group")
    try:
        world.start_daemon()
        for name, (amount, most) in PROGRAMS.items():
            cpu, wall = pairs(world, [helper("work"), name, amount], options.pairs)
            low, high = figures.interval(cpu)
            wall_low, wall_high = figures.interval(wall)
            rows.append([name, percent(statistics.median(cpu)), percent(low), percent(high), percent(statistics.median(wall)), percent(wall_low), percent(wall_high), len(cpu)])
            if most is not None:
                promises.append((f"{name}: processor time with / without, upper end", high, most))
    finally:
        left = world.finish()
    report.table(
        "What a run loses by being one, in %",
        ["", "CPU median", "95 % from", "to", "wall median", "95 % from", "to", "pairs"], rows,
    )  # fmt: skip
    for promise in promises:
        report.promise(*promise, " x")
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
