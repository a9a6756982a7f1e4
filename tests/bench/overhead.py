#!/usr/bin/python3
"""What a run loses by being one: programs that compute, only allocate, only make children, with and without scidex.

    tests/bench/overhead.py [--processes N] [--turns N] [--json FILE] [--check]

One process that works in turns of some ten ms, which it times itself (work.c): every second turn in its run's group, with
the limits and the supervisor's eye on it, every other one in the group that the bench is in, where it is moved to before.
So both see the same machine, and the same memory: where that lies makes a greater difference than what is measured. A
process's figure is the median of with / without over its turns. Promised is the upper end of the 95 % confidence interval
(bootstrap) of the median over the processes: at most 1 % for the one that computes, 3 % for the one that allocates.
Processor time is what is promised about: it has in it what the group's accounting costs, and not who else was running.
The wall clock's ratio stands beside it. Of the one that makes children nothing is promised: only the parent's processor time
is in its figures.

Without is the group that the bench is in. With a bare init in a guest that is the root, of which the kernel counts nothing.
Under systemd it is the unit of the command (scidex-vm.service), for which it counts memory and processes, too: there the
figures say what a group of one's own and its limits cost, not what accounting costs beside none.
"""

import os
import statistics
import subprocess
import sys

import figures
import scidextest
from crowds import group_of
from scidextest import World, helper, host_controllers, write_text

# Program: how much of it is a turn, and the most that it may lose.
PROGRAMS = {
    "cpu": ("2" if scidextest.IN_VM else "20", 1.01),
    "alloc": ("1", 1.03),
    "fork": ("20" if scidextest.IN_VM else "40", None),
}


class Worker:
    """A process that works a turn when it is told to, in the group that it is told to."""

    def __init__(self, world, *work):
        limits = () if "memory" in host_controllers() else ("--memory", "infinity")
        # Somebody stays in the run, so that it is not over while its main process is outside.
        self.launch = world.start("--quiet", *limits, "--", "sh", "-c", 'sleep 1000 & exec "$@"', "sh", helper("work"), *work, "turns", stdin=subprocess.PIPE)
        self.pid = self.launch.main_pid()
        self.inside = self.launch.run()["group"]

    def turn(self, group):
        """(wall, processor) nanoseconds of the work itself."""
        write_text(os.path.join(group, "cgroup.procs"), str(self.pid))
        self.launch.process.stdin.write(b"x")
        self.launch.process.stdin.flush()
        wall, cpu, _ = self.launch.read_line(60).split()
        return int(wall), int(cpu)

    def end(self):
        write_text(os.path.join(self.inside, "cgroup.procs"), str(self.pid))
        self.launch.process.stdin.close()
        result = self.launch.wait()
        if result.status:
            raise SystemExit(f"overhead: {result}")


def ratios(world, work, turns):
    """Medians of with / without over the turns of one process: of processor time, of wall clock."""
    worker, outside, cpu, wall = Worker(world, *work), group_of("self"), [], []
    groups = (worker.inside, outside)
    for group in groups:
        worker.turn(group)
    for index in range(turns):
        found = {group: worker.turn(group) for group in (groups if index % 2 else reversed(groups))}
        wall.append(found[worker.inside][0] / found[outside][0])
        cpu.append(found[worker.inside][1] / found[outside][1])
    worker.end()
    return statistics.median(cpu), statistics.median(wall)


def percent(ratio):
    return (ratio - 1) * 100


def main():
    parser = figures.parser(__doc__)
    parser.add_argument("--processes", type=int, default=20, help="of each program (%(default)s)")
    parser.add_argument("--turns", type=int, default=40, help="of each process, in each group (%(default)s)")
    options = parser.parse_args()
    scidextest.become_subreaper()
    report, world, rows, promises = figures.Report("overhead"), World(), [], []
    report.say_if_no_memory("nothing is charged to the run's group")
    try:
        world.start_daemon()
        # One processor for all that is started from here; the supervisor has its own, and nothing to do.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        for name, (amount, most) in PROGRAMS.items():
            cpu, wall = zip(*(ratios(world, (name, amount), options.turns) for _ in range(options.processes)))
            low, high = figures.interval(cpu)
            wall_low, wall_high = figures.interval(wall)
            rows.append([name, percent(statistics.median(cpu)), percent(low), percent(high), percent(statistics.median(wall)), percent(wall_low), percent(wall_high), len(cpu)])
            if most is not None:
                promises.append((f"{name}: processor time with / without, upper end", high, most))
    finally:
        left = world.finish()
    report.table(
        "What a run loses by being one, in %",
        ["", "CPU median", "95 % from", "to", "wall median", "95 % from", "to", "processes"], rows,
    )  # fmt: skip
    for promise in promises:
        report.promise(*promise, " x")
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
