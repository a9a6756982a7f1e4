#!/usr/bin/python3
"""How long the end of a run takes: from its deadline until the kernel says that its last process is dead.

    tests/bench/kill.py [--rounds N] [--quick] [--json FILE] [--check]

Groups of 1 to 1,000 processes which honour TERM, and which ignore it and meet cgroup.kill at the end of their grace, under
a supervisor that runs already. Beside them, in turns with them (A B C A B C …), the floor: the same crowd in a group of
nobody's which one C program ends, by kill(2) for each process or by a write to cgroup.kill; and coreutils `timeout` with
one process. "Dead" is `populated 0` of the group, seen by kill-watch; the times of the run's own event stand beside, so
that what scidex says of itself is checked by somebody else.

Where the v2 tree has no memory controller, runs with a memory limit are sampled: the supervisor reads each process now and
then, and once more before it ends them. There such runs have rows of their own, and those without a memory limit are held
against the floor: they are watched as all runs are where there is the controller.
"""

import statistics
import sys

from crowds import RawCrowd, SupervisedCrowd, Watch, group_of, read_words
from figures import Report, parser, require, scidextest, summary
from scidextest import SLOW, World, host_controllers

# Processes, and turns.
SIZES = {1: 24, 10: 24, 100: 18, 1000: 12} if SLOW == 1 else {1: 9, 10: 7, 100: 5, 1000: 3}
QUICK_SIZES = {1: 6, 10: 6, 100: 6, 1000: 6} if SLOW == 1 else {1: 3, 10: 2, 100: 2}
AHEAD_SEC = 0.15 * SLOW  # of a deadline: whoever looks on is there, and the dust of the launch has settled
GRACE_SEC = 0.3 * SLOW
ONE_MS = 5.0  # promised natively of one process
KILL_FACTOR = 1.2  # promised of 1,000 processes, of a raw cgroup.kill
TRUTH_MS, LATE_MS = 2.0, 12.0  # promised natively: how far empty_at is from what was seen; of many: a notice comes once in 10 ms

SCIDEX, SAMPLED, SWEEP, KILL = "scidex", "scidex, sampled", "kill(2) for each", "cgroup.kill"
TIMEOUT_MOST, TIMEOUT_LEAST = "coreutils timeout, from its exec", "coreutils timeout, from its command's start"


class Bench:
    """found: {(kind, how, processes, what): [milliseconds]}"""

    def __init__(self, world):
        self.world, self.found = world, {}
        self.ours = {SCIDEX: ("--memory", "infinity")}
        if "memory" in host_controllers():
            self.ours = {SCIDEX: ()}
        else:
            self.ours[SAMPLED] = ()

    def note(self, kind, how, processes, **seconds):
        for what, value in seconds.items():
            self.found.setdefault((kind, how, processes, what), []).append(value * 1e3)

    def median(self, *key):
        return statistics.median(self.found[key]) if key in self.found else None

    def supervised(self, kind, how, processes):
        grace = ("--grace", f"{int(GRACE_SEC * 1000)}ms", "--timeout", "1h", "--quiet")
        crowd = SupervisedCrowd(self.world, processes, how, *grace, *self.ours[kind])
        watch = Watch(group_of(crowd.pid))
        crowd.set_deadline(AHEAD_SEC)
        term = int(read_words(crowd.launch.process.stdout)[1]) / 1e9 if how == "note" else None
        dead = watch.dead_at()
        crowd.launch.wait()
        event = crowd.event()
        begin = event["deadline_at"]
        if term:
            self.note(kind, how, processes, term=term - begin)
        self.note(kind, how, processes, began=event["decided_at"] - begin, sent=event["term_at"] - begin)
        if how == "ignore":
            begin = event["term_at"] + GRACE_SEC
            self.note(kind, how, processes, killed=event["kill_at"] - begin)
        self.note(kind, how, processes, dead=dead - begin, said=event["empty_at"] - begin, differs=abs(event["empty_at"] - dead))

    def raw(self, kind, how, processes):
        begin, end, dead = RawCrowd(self.world.tree_parent, processes, how).end_by("kill" if kind == KILL else "term")
        self.note(kind, how, processes, dead=dead - begin, call=end - begin)

    def timed_out(self):
        """It begins to count between its own exec and the first instruction of what it runs: measured from both."""
        crowd = RawCrowd(self.world.tree_parent, 1, "note", ("timeout", f"{AHEAD_SEC:g}"))
        watch = Watch(crowd.pid)
        term = int(read_words(crowd.process.stdout)[1]) / 1e9
        dead = watch.dead_at()
        crowd.process.wait()  # it collects its child
        crowd.remove()
        for kind, begin in ((TIMEOUT_MOST, crowd.executed), (TIMEOUT_LEAST, crowd.started)):
            self.note(kind, "note", 1, term=term - begin - AHEAD_SEC, dead=dead - begin - AHEAD_SEC)

    def turn(self, processes, number):
        """Each of them once, another one first each time: of a thousand the kernel clears away for long."""
        steps = [(self.supervised, kind, how) for kind in self.ours for how in ("honour", "ignore")]
        steps += [(self.raw, SWEEP, "honour"), (self.raw, KILL, "ignore")]
        first = number % len(steps)
        for step, kind, how in steps[first:] + steps[:first]:
            step(kind, how, processes)
        if processes == 1:
            for kind in self.ours:
                self.supervised(kind, "note", 1)
            self.timed_out()

    def measure(self, sizes, rounds):
        for processes, turns in sizes.items():
            for number in range(rounds or turns):
                self.turn(processes, number)


def spread(values):
    found = summary(values)
    return [found["median"], found["quartile_1"], found["quartile_3"], found["max"], found["n"]]


def end_table(report, bench, how, floor, title):
    rows = []
    for processes in sorted({key[2] for key in bench.found}):
        least = bench.median(floor, how, processes, "dead")
        for kind in (*bench.ours, floor):
            dead = bench.found[kind, how, processes, "dead"]
            rows.append([f"{processes} {kind}", *spread(dead), bench.median(kind, how, processes, "said"), statistics.median(dead) / least])
    columns = ["", "median", "quartile 1", "quartile 3", "max", "turns", "says the record", "x floor"]
    report.table(title, columns, rows)


def parts_table(report, bench):
    """Where the time goes, by the event's own times."""
    rows = []
    for processes in sorted({key[2] for key in bench.found}):
        for kind in bench.ours:
            parts = [bench.median(kind, "honour", processes, what) for what in ("began", "sent", "dead")]
            killed = bench.median(kind, "ignore", processes, "killed")
            rows.append([f"{processes} {kind}", parts[0], parts[1] - parts[0], parts[2] - parts[1], killed])
    report.table(
        "where it goes, ms, medians",
        ["", "deadline to decision", "marker, list, figures", "TERM to last dead", "end of grace to KILL"], rows)  # fmt: skip


def one_table(report, bench):
    rows = []
    for kind in (*bench.ours, TIMEOUT_MOST, TIMEOUT_LEAST):
        for what, words in (("term", "TERM heard"), ("dead", "dead")):
            rows.append([f"{kind}: {words}", *spread(bench.found[kind, "note", 1, what])])
    report.table("one process which notes TERM and ends, ms from the deadline", ["", "median", "quartile 1", "quartile 3", "max", "turns"], rows)


def promise(report, bench):
    native = not scidextest.IN_VM
    report.promise("one process that honours TERM is dead after", bench.median(SCIDEX, "honour", 1, "dead"), ONE_MS, " ms", native)
    many = max(key[2] for key in bench.found)
    ratio = bench.median(SCIDEX, "ignore", many, "dead") / bench.median(KILL, "ignore", many, "dead")
    report.promise(f"{many} processes that ignore TERM die in, of a raw cgroup.kill", ratio, KILL_FACTOR, " x", many == 1000)
    for processes in sorted({key[2] for key in bench.found}):
        differs = [value for key, values in bench.found.items() if (key[0], *key[2:]) == (SCIDEX, processes, "differs") for value in values]
        report.promise(f"{processes} processes: the record's empty_at is off by", statistics.median(differs), TRUTH_MS if processes == 1 else LATE_MS, " ms", native)


def main():
    options = parser(__doc__)
    options.add_argument("--rounds", type=int, help="of each size, instead of its own number")
    options.add_argument("--quick", action="store_true", help="few turns")
    options = options.parse_args()
    require("groups")
    scidextest.become_subreaper()
    report = Report("kill")
    world = World()
    try:
        world.start_daemon()
        bench = Bench(world)
        bench.measure(QUICK_SIZES if options.quick else SIZES, options.rounds)
    finally:
        left = world.finish()
    end_table(report, bench, "honour", SWEEP, "processes that honour TERM: ms from the deadline (of the floor: from its first kill) to the last one's death")
    end_table(report, bench, "ignore", KILL, "processes that ignore TERM: ms from the end of the grace (of the floor: from the write) to the last one's death")
    one_table(report, bench)
    parts_table(report, bench)
    promise(report, bench)
    return report.end(options, left)


if __name__ == "__main__":
    sys.exit(main())
