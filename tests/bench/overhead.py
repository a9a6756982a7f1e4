#!/usr/bin/python3
"""What a run loses by being one: programs that compute, only allocate, only make children, with and without scidex.

    tests/bench/overhead.py [--pairs N] [--turns N] [--json FILE] [--check]

In pairs of processes, one in a run and one beside it, on one processor, that take turns of some ten ms: what the machine
does for longer than that touches both alike. The program times its turns itself (work.c), so that no launch is in them. A
pair's ratio is the median of its turns'; each pair has new processes, for where their memory lies makes a difference of
its own. Promised is the upper end of the 95 % confidence interval (bootstrap) of the median over the pairs: at most 1 % for
the one that computes, 3 % for the other.
Processor time is what is promised about: it has in it what the group's accounting costs, and not who else was running.
The wall clock's ratio stands beside it. Of the one that makes children nothing is promised: only the parent's processor time
is in its figures.

Without is the group that the bench is in. Under systemd in a guest that is the unit of the command (scidex-vm.service), for
which the kernel counts memory and processes, too: there the figures say what a group of one's own and its limits cost, not
what accounting costs beside none.
"""

import os
import statistics
import subprocess
import sys

import figures
import scidextest
from scidextest import World, helper, host_controllers, program

# Program: how much of it is a turn, and the most that it may lose.
PROGRAMS = {
    "cpu": ("2" if scidextest.IN_VM else "20", 1.01),
    "alloc": ("1", 1.03),
    "fork": ("20" if scidextest.IN_VM else "40", None),
}


class Worker:
    """A process that works a turn when it is told to."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def turn(self):
        """(wall, processor) nanoseconds of the work itself."""
        self.process.stdin.write(b"x")
        self.process.stdin.flush()
        wall, cpu, _ = self.process.stdout.readline().split()
        return int(wall), int(cpu)

    def end(self):
        self.process.stdin.close()
        status = self.process.wait()
        self.process.stdout.close()
        if status:
            raise RuntimeError(f"{self.process.args} ended with {status}")


def pair(inside, work, environment, turns):
    """Medians of with / without over the turns: of processor time, of wall clock."""
    ours, bare = Worker(inside, environment), Worker(work, environment)
    cpu, wall = [], []
    ours.turn(), bare.turn()
    for index in range(turns):
        both = {}
        for worker in (ours, bare) if index % 2 else (bare, ours):
            both[worker] = worker.turn()
        wall.append(both[ours][0] / both[bare][0])
        cpu.append(both[ours][1] / both[bare][1])
    ours.end(), bare.end()
    return statistics.median(cpu), statistics.median(wall)


def pairs(world, work, number, turns):
    """Ratios with / without: of processor time, of wall clock."""
    limits = () if "memory" in host_controllers() else ("--memory", "infinity")
    inside = [program("scidex-run"), "--quiet", *limits, "--", *work]
    return zip(*(pair(inside, work, world.environment(), turns) for _ in range(number)))


def percent(ratio):
    return (ratio - 1) * 100


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--pairs", type=int, default=30, help="of processes, of each program (%(default)s)")
    parser.add_argument("--turns", type=int, default=40, help="of each process (%(default)s)")
    options = parser.parse_args()
    scidextest.become_subreaper()
    report, world, rows, promises = figures.Report("overhead"), World(), [], []
    report.say_if_no_memory("nothing is charged to the run's group")
    try:
        world.start_daemon()
        # One processor for all that is started from here; the supervisor has its own, and nothing to do.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        for name, (amount, most) in PROGRAMS.items():
            cpu, wall = pairs(world, [helper("work"), name, amount, "turns"], options.pairs, options.turns)
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
